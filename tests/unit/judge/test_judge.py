"""Judge mode: what Argo Rollouts and Flagger are answered, and that asking changes nothing.

Requests here are made by ``Judged`` as both make them; those that their clients really sent are in ``test_recorded``.
"""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
from tests.support.judged import NOW, SCRAPE_SECONDS, Judged

from croupier.cli.root import cli
from croupier.errors import SpecError
from croupier.judge.app import HOOKS
from croupier.model.judge import ArmSelectors
from croupier.spec.documents import load_judge

FIRST_TRAFFIC = NOW + 30.0


@pytest.fixture
def judged(tmp_path: Path) -> Judged:
    (tmp_path / "token").write_text("t")
    return Judged(tmp_path)


async def after(judged: Judged, seconds: float) -> None:
    """Time passes while somebody asks every half minute, as controllers do."""
    end = judged.clock.time + seconds
    while judged.clock.time < end:
        judged.clock.time += 30.0
        await judged.argo()


# --- Argo Rollouts ----------------------------------------------------------------------------------------------------


async def test_a_canary_that_fails_is_a_fail_and_stays_one(judged: Judged) -> None:
    judged.counters.bad_ratio = 0.2
    assert (await judged.argo()).json()["verdict"] == "inconclusive"
    await after(judged, 120.0)
    answer = (await judged.argo()).json()
    assert (answer["verdict"], answer["code"]) == ("fail", "worse")
    assert "canary" in answer["reason"]
    judged.counters.fault = "Prometheus is gone"
    judged.clock.time += 600.0
    assert (await judged.argo()).json()["verdict"] == "fail"


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_a_canary_that_has_failed_is_not_pardoned_for_behaving_since(judged: Judged, is_restarted: bool) -> None:
    """Evidence sinks again while it does. The chance of a needless way back holds for the highest it ever was, whoever
    asked then; and a version that was condemned must not be promoted by the next question but one."""
    judged.counters.bad_ratio = 0.02
    judged.counters.bad_until = NOW + 90.0
    await judged.argo()
    await judged.flagger("rollout")
    judged.clock.time += 3000.0
    if is_restarted:
        judged.restart()
    answer = (await judged.argo()).json()
    assert (answer["verdict"], answer["code"]) == ("fail", "worse")
    assert (await judged.flagger("rollback")).status_code == 200
    assert (await judged.flagger("confirm-promotion")).status_code == 403
    judged.clock.time += 60.0
    assert (await judged.argo()).json()["reason"] == answer["reason"]


async def test_a_canary_as_good_as_stable_passes_and_says_how_long_it_needs_before(judged: Judged) -> None:
    await judged.argo()
    judged.clock.time += 45.0
    early = (await judged.argo()).json()
    assert early["verdict"] == "inconclusive"
    assert early["needsSeconds"] is None or early["needsSeconds"] > 0
    await after(judged, 300.0)
    answer = (await judged.argo()).json()
    assert (answer["verdict"], answer["gates"][0]["gate"]) == ("pass", "errors")


async def test_asking_twice_changes_nothing(judged: Judged) -> None:
    await judged.argo()
    judged.clock.time += 120.0
    first, second = (await judged.argo()).json(), (await judged.argo()).json()
    assert first == second
    assert first["samples"] > 0


async def test_the_log_says_why_once_for_each_verdict(judged: Judged, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="croupier.judge.cases")
    judged.counters.bad_ratio = 0.2
    await judged.argo()
    await after(judged, 300.0)
    case = (await judged.argo()).json()["case"]
    told = [message for message in caplog.messages if message.startswith(f"case {case}: fail")]
    assert len(told) == 1
    assert "(worse): errors: canary" in told[0]


async def test_a_judge_that_was_down_catches_up_and_answers_as_one_that_was_not(tmp_path: Path) -> None:
    answers = []
    for is_killed in (False, True):
        folder = tmp_path / str(is_killed)
        folder.mkdir()
        judged = Judged(folder)
        judged.counters.bad_ratio = 0.004
        await judged.argo()
        await after(judged, 90.0)
        if is_killed:
            judged.restart()
            judged.clock.time += 120.0
        else:
            await after(judged, 120.0)
        answers.append((await judged.argo()).json())
    assert answers[0] == answers[1]


async def test_another_revision_is_another_case(judged: Judged) -> None:
    judged.counters.bad_ratio = 0.2
    await judged.argo()
    await after(judged, 120.0)
    assert (await judged.argo("b2c3d4")).json()["verdict"] == "inconclusive"
    assert (await judged.argo()).json()["verdict"] == "fail"


async def test_a_revision_that_nobody_asked_about_for_an_hour_is_judged_anew(judged: Judged) -> None:
    first = (await judged.argo()).json()
    judged.clock.time += 3 * 3600.0
    second = (await judged.argo()).json()
    assert second["case"] != first["case"]
    judged.restart()
    assert (await judged.argo()).json()["case"] == second["case"]


async def test_metrics_that_do_not_answer_are_inconclusive_and_no_error(judged: Judged) -> None:
    judged.counters.fault = "Prometheus at http://prom does not answer: refused"
    await judged.argo()
    judged.clock.time += 30.0
    answer = await judged.argo()
    assert answer.status_code == 200
    assert (answer.json()["verdict"], answer.json()["code"]) == ("inconclusive", "no-data")
    assert "refused" in answer.json()["reason"]


async def test_questions_that_cannot_be_answered_are_errors_of_the_measurement(judged: Judged) -> None:
    stranger = await judged.argo(token="guess")
    assert (stranger.status_code, stranger.json()["error"]["code"]) == (401, "UNAUTHORIZED")
    assert (await judged.argo(service="other.test")).status_code == 404
    assert (await judged.argo('x"} or {y="')).status_code == 422
    assert (await judged.argo("5c4d5b6f8f")).status_code == 422
    assert judged.counters.reads == 0


# --- Flagger ----------------------------------------------------------------------------------------------------------


async def test_rollback_is_confirmed_for_a_fail_and_for_nothing_else(judged: Judged) -> None:
    judged.counters.bad_ratio = 0.2
    assert (await judged.flagger("rollback")).status_code == 403
    for _ in range(4):
        judged.clock.time += 30.0
        answer = await judged.flagger("rollback")
    assert answer.status_code == 200
    assert "fail (worse)" in answer.text
    assert (await judged.flagger("rollout")).status_code == 403
    assert (await judged.flagger("confirm-promotion", phase="WaitingPromotion")).status_code == 403
    assert (await judged.flagger("confirm-traffic-increase")).status_code == 403


async def test_a_good_canary_may_go_on_and_be_promoted_and_is_never_taken_back(judged: Judged) -> None:
    assert (await judged.flagger("confirm-promotion")).status_code == 403
    for _ in range(12):
        judged.clock.time += 30.0
        assert (await judged.flagger("rollback")).status_code == 403
        assert (await judged.flagger("rollout")).status_code == 200
    assert (await judged.flagger("confirm-traffic-increase")).status_code == 200
    assert (await judged.flagger("confirm-promotion", phase="WaitingPromotion")).status_code == 200


async def test_the_first_traffic_is_allowed_and_more_waits_for_evidence(judged: Judged) -> None:
    judged.counters.began_at = NOW + 60.0
    judged.clock.time += 30.0
    await judged.flagger("rollback")
    judged.clock.time += 30.0
    assert (await judged.flagger("confirm-traffic-increase")).status_code == 200
    judged.clock.time += 30.0
    assert (await judged.flagger("confirm-traffic-increase")).status_code == 403


async def test_the_second_increase_is_not_taken_for_the_first_while_prometheus_is_behind(judged: Judged) -> None:
    judged.counters.began_at = NOW + 60.0
    await judged.flagger("rollback")
    judged.clock.time = NOW + 60.0
    assert (await judged.flagger("confirm-traffic-increase")).status_code == 200
    judged.clock.time += SCRAPE_SECONDS
    assert (await judged.flagger("confirm-traffic-increase")).status_code == 403


async def test_a_first_increase_that_did_not_come_about_is_allowed_again(judged: Judged) -> None:
    judged.counters.began_at = NOW + 600.0
    await judged.flagger("rollback")
    judged.clock.time = NOW + 60.0
    assert (await judged.flagger("confirm-traffic-increase")).status_code == 200
    judged.restart()
    judged.clock.time += SCRAPE_SECONDS
    assert (await judged.flagger("confirm-traffic-increase")).status_code == 403
    judged.clock.time += 3 * SCRAPE_SECONDS
    assert (await judged.flagger("confirm-traffic-increase")).status_code == 200


async def test_without_a_weight_nobody_knows_of_first_traffic(judged: Judged) -> None:
    judged.counters.weight = None
    judged.counters.began_at = NOW + 600.0
    await judged.flagger("rollback")
    judged.clock.time += 60.0
    assert (await judged.flagger("confirm-traffic-increase")).status_code == 403


@pytest.mark.parametrize("hook", HOOKS)
async def test_whatever_goes_wrong_nothing_is_taken_back_or_promoted(judged: Judged, hook: str) -> None:
    judged.counters.fault = "gone"
    if hook in ("rollback", "confirm-promotion", "confirm-traffic-increase"):
        assert (await judged.flagger(hook)).status_code == 403
    if hook == "rollout":
        assert (await judged.flagger(hook)).status_code == 200, "no failed check"
    assert (await judged.flagger(hook, token="guess")).status_code == 401
    if hook != "event":
        assert (await judged.flagger(hook, name="unknown")).status_code in (200 if hook == "post-rollout" else 403, 403)
        assert (await judged.flagger(hook, checksum="")).status_code == 422
    assert (await judged.client.post(f"/v1/flagger/{hook}", content=b"{")).status_code == 422
    assert (await judged.client.post(f"/v1/flagger/{hook}", content=b" " * 100_000)).status_code == 403


async def test_an_older_flagger_names_its_revision_in_metadata(judged: Judged) -> None:
    more = {"metadata": {"token": "8d1f0c6a", "revision": "v2"}}
    assert "pass" not in (await judged.flagger("rollback", checksum="", **more)).text


async def test_after_the_rollout_the_same_revision_is_judged_anew(judged: Judged) -> None:
    judged.counters.bad_ratio = 0.2
    await judged.flagger("rollback")
    judged.clock.time += 120.0
    assert (await judged.flagger("rollback")).status_code == 200
    assert (await judged.flagger("post-rollout", phase="Failed")).status_code == 200
    judged.clock.time += 1.0
    assert (await judged.flagger("rollback")).status_code == 403


async def test_hooks_before_the_first_traffic_and_events_are_only_noted(judged: Judged) -> None:
    for hook in ("confirm-rollout", "pre-rollout", "event"):
        assert (await judged.flagger(hook, phase="Waiting")).status_code == 200
    assert judged.counters.reads == 0
    assert (await judged.flagger("confirm-everything")).status_code == 404


# --- settings ---------------------------------------------------------------------------------------------------------


def test_settings_name_every_problem_with_its_place(tmp_path: Path) -> None:
    path = tmp_path / "judge.yaml"
    path.write_text("""
prometheus: http://prom:9090
state: state
tokenFile: token
services:
  - name: podinfo.test
    policy:
      gates: [{signal: errors, margin: {points: 1.0}}, {signal: deposits, margin: {points: 1.0}}]
    signals:
      - signal: errors
        canary: {total: a, bad: b, good: c}
        stable: {total: a, bad: b}
""")
    with pytest.raises(SpecError) as caught:
        load_judge(path)
    assert [(problem.code, problem.line) for problem in caught.value.problems] == [
        ("MISSING_SIGNAL", 10),
        ("SELECTORS", 11),
    ]


def test_failures_that_are_no_part_of_their_total_have_their_place(tmp_path: Path) -> None:
    """A slip in one of the two names: failures would have no series, and that means none."""
    path = tmp_path / "judge.yaml"
    path.write_text("""
prometheus: http://prom:9090
state: state
tokenFile: token
services:
  - name: podinfo.test
    policy:
      gates: [{signal: errors, margin: {points: 1.0}}]
    signals:
      - signal: errors
        canary:
          total: http_requests_total{pod=~"podinfo-$canary-.+", namespace="a,b"}
          bad: http_requests_total{namespace="a,b",pod=~"podinfo-$canary-.+",code=~"5.."}
        stable:
          total: http_requests_total{pod=~"podinfo-$stable-.+"}
          bad: http_requests_total{pod=~"podinof-$stable-.+",code=~"5.."}
""")
    with pytest.raises(SpecError) as caught:
        load_judge(path)
    assert [(problem.line, problem.message) for problem in caught.value.problems] == [
        (16, 'bad is no part of total: it lacks pod=~"podinfo-$stable-.+"')
    ]


@pytest.mark.parametrize(
    ("total", "bad", "lacks"),
    [
        ('{app="a",code!~"4.."}', '{app="a",code=~"5.."}', []),
        ('{code=~"2..|5.."}', '{code=~"5.."}', []),
        ('{code!="404"}', '{code="503"}', []),
        ('{status!~"4xx"}', '{status="5xx"}', []),
        ('{code=~"2.."}', '{code=~"5.."}', ['code=~"2.."']),
        ('{code!="404"}', '{code=~"[45].."}', ['code!="404"']),
        ('{code!~"4.."}', "", ['code!~"4.."']),
        ('{code!~"("}', '{code=~"5.."}', ['code!~"("']),
    ],
)
def test_a_total_may_leave_statuses_out_that_are_no_failures(total: str, bad: str, lacks: list[str]) -> None:
    """Prevents: a judge that does not start any more, because its total is without what clients have done wrong."""
    selectors = ArmSelectors(total=f"requests_total{total}", bad=f"requests_total{bad}")
    assert selectors.missing_matchers == lacks
    if bad and not lacks:
        assert selectors.always_told_by in (["code"], ["status"]), "what tells failures apart is asked for all the same"


def test_strata_without_their_label_and_labels_without_strata_have_their_places(tmp_path: Path) -> None:
    path = tmp_path / "judge.yaml"
    path.write_text("""
prometheus: http://prom:9090
state: state
tokenFile: token
services:
  - name: podinfo.test
    policy:
      gates:
        - {signal: deposits, margin: {points: 1.0}, strata: [{by: provider, of: [psp-a]}]}
    signals:
      - signal: deposits
        strata: {market: country}
        canary: {total: a, bad: b}
        stable: {total: a, bad: b}
""")
    with pytest.raises(SpecError) as caught:
        load_judge(path)
    assert {(problem.line, problem.message) for problem in caught.value.problems} == {
        (12, "the gate on deposits needs the label of provider"),
        (12, "the gate on deposits has no strata by market"),
    }


def test_what_is_no_plain_selector_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "judge.yaml"
    for wrong in ("rate(a[1m])", "a}", 'a{b="}"}'):
        path.write_text(f"""
prometheus: http://prom:9090
state: state
tokenFile: token
services:
  - name: a.b
    policy: {{gates: [{{signal: errors, margin: {{points: 1.0}}}}]}}
    signals:
      - {{signal: errors, canary: {{total: '{wrong}', bad: a}}, stable: {{total: a, bad: a}}}}
""")
        with pytest.raises(SpecError):
            load_judge(path)


def test_check_reads_the_settings_and_ends(judged: Judged, tmp_path: Path) -> None:
    from click.testing import CliRunner

    result = CliRunner().invoke(cli, ["judge", "--config", str(tmp_path / "judge.yaml"), "--check"])
    assert (result.exit_code, result.stdout) == (0, "sound: 1 services\n")


def test_a_port_that_somebody_else_has_is_the_environments_fault(judged: Judged, tmp_path: Path) -> None:
    from click.testing import CliRunner

    path = tmp_path / "judge.yaml"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        path.write_text(f"{path.read_text()}port: {port}\n")
        result = CliRunner().invoke(cli, ["judge", "--config", str(path)])
    assert result.exit_code == 4
    assert f"cannot listen on 127.0.0.1, port {port}" in result.stderr
