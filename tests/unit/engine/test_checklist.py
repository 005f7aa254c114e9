"""The checklist of a release (S15): nine lines with evidence, waivers in the journal, and the preflight of a start."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from tests.support.world import HEALTHY, IDENTITY, LOSSY, PAYMENTS, STABLE, World, release

from croupier.core.checklist import proofs
from croupier.core.policy.catalogue import RULES
from croupier.engine.checklist import assess
from croupier.errors import Refused, UnknownName
from croupier.model.checklist import LINES, Checklist, ChecklistPolicy, ChecklistSource, LineWaiver, WaiverRequest
from croupier.model.view import GroupRequest
from croupier.report.plan import plan_text

ROOT = Path(__file__).parents[3]
TEMPLATE = ROOT / "examples" / "checklist" / "payments-api.yaml"
PAGE = ROOT / "docs" / "how-to" / "release-checklist.md"
NOW = 1_800_000_000.0
TODAY = datetime.fromtimestamp(NOW, UTC).date()

WORKLOAD = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: bets, namespace: casino}
spec:
  selector: {matchLabels: {app: bets}}
  template:
    metadata: {labels: {app: bets}, annotations: {%s}}
    spec:
      containers:
        - name: app
          image: registry.example/bets@sha256:0f0e0d0c0b0a090807060504030201000f0e0d0c0b0a09080706050403020100
          env: [%s]
"""


def seen(found: Checklist) -> Mapping[str, tuple[str, str]]:
    """What was looked at -> (state, result)."""
    return {proof.what: (proof.state, proof.result) for line in found.lines for proof in line.proofs}


def of(text: str, folder: Path, service: str = "bets") -> Checklist:
    file = folder / "all.yaml"
    file.write_text(text)
    return assess(service, ChecklistSource(manifests=(file,)), now=NOW)


def waiver(line: str = "S15.8", *, until: date = TODAY, entry: int = 7, service: str = "bets") -> LineWaiver:
    told = {"service": service, "line": line, "owner": "ann", "until": until, "reason": "the drill is next week"}
    return LineWaiver.model_validate({**told, "who": "marta", "at": NOW, "entry": entry})


# --- nine lines -------------------------------------------------------------------------------------------------------


def test_each_line_has_proofs_with_what_when_result_and_where() -> None:
    found = assess("payments-api", ChecklistSource(manifests=(TEMPLATE,)), now=NOW)
    assert tuple(line.id for line in found.lines) == LINES
    for line in found.lines:
        assert line.proofs
        assert all(proof.what and proof.result and proof.at == NOW for proof in line.proofs)
    assert any(proof.link == f"{TEMPLATE}:18" for line in found.lines for proof in line.proofs)


def test_the_template_of_the_requirements_lacks_what_the_page_says() -> None:
    """S14's own manifests do not pass S15; the page prints the answer, and this holds the page against it."""
    found = assess("payments-api", ChecklistSource(manifests=(TEMPLATE,)), now=NOW)
    assert not found.ready
    page = PAGE.read_text()
    for line in found.lines:
        for proof in line.proofs:
            told = {"pass": "pass", "fail": "FAIL", "no-evidence": "no evidence"}[proof.state]
            assert f"  {told:<11}  {proof.what}: {proof.result}\n" in page, proof


def test_what_is_rendered_from_a_platform_is_green_where_manifests_can_be() -> None:
    source = ChecklistSource(platform=ROOT / "src" / "croupier" / "cli" / "example", cell="lucky-se-eu-north")
    found = assess("payments-api", source, now=NOW)
    assert [line.id for line in found.lines if line.state == "green"] == ["S15.2", "S15.3", "S15.4"]
    assert seen(found)["autoscaler of the workload"][0] == "pass"
    assert found.sources == ("lucky-se-eu-north",)
    assert found.unread == (), "files of a Prometheus are no manifests"


def test_every_cell_is_looked_at_and_the_worst_counts() -> None:
    found = assess("payments-api", ChecklistSource(platform=ROOT / "src" / "croupier" / "cli" / "example"), now=NOW)
    assert found.sources == ("lucky-mt-eu-south", "lucky-se-eu-north")
    assert "in 2 of 2 places" in seen(found)["end-to-end tracing"][1]


def test_the_words_of_rules_are_rules() -> None:
    assert RULES.keys() >= proofs.ELSEWHERE


@pytest.mark.parametrize("service", ["wallet", "bets.other"])
def test_a_service_that_nothing_describes_is_an_error(tmp_path: Path, service: str) -> None:
    with pytest.raises(UnknownName, match="service"):
        of(WORKLOAD % ("", ""), tmp_path, service)


def test_nothing_given_is_no_evidence_of_anything() -> None:
    found = assess("bets", ChecklistSource(), now=NOW)
    assert {state for state, _ in seen(found).values()} == {"no-evidence"}
    assert found.not_checked == ("manifests: no platform folder and no manifests were given",)


def test_a_file_that_cannot_be_read_lets_nothing_pass(tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(WORKLOAD % ("", ""))
    (tmp_path / "bad.yaml").write_text("kind: [")
    found = assess("bets", ChecklistSource(manifests=(tmp_path,)), now=NOW)
    assert len(found.unread) == 1
    assert "pass" not in {state for state, _ in seen(found).values()}


# --- single proofs ----------------------------------------------------------------------------------------------------


POOL = """---
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {name: api}
spec: {limits: {cpu: %s}, template: {metadata: {labels: {pool: api}}}}
"""
WARM = """---
apiVersion: scheduling.k8s.io/v1
kind: PriorityClass
metadata: {name: makes-way}
value: %s
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: warm, namespace: casino}
spec:
  replicas: 4
  selector: {matchLabels: {app: warm}}
  template:
    metadata: {labels: {app: warm}}
    spec: {priorityClassName: makes-way, %s containers: [{name: pause, resources: {requests: {cpu: "1"}}}]}
"""
HERE, ELSEWHERE = "nodeSelector: {pool: api},", "nodeSelector: {pool: batch},"
ON_API = WORKLOAD.replace(
    "    spec:\n      containers", "    spec:\n      nodeSelector: {pool: api}\n      containers"
).replace("          env", "          resources: {requests: {cpu: '2'}}\n          env")


@pytest.mark.parametrize(
    ("text", "state", "result"),
    [
        ("", "no-evidence", "no NodePool and no machines"),
        (POOL % "'100'", "pass", "NodePool/api: 100 cpu"),
        (POOL % "'1'", "fail", "node-capacity: NodePool/api"),
        ((POOL % "'100'").replace("pool: api", "pool: batch"), "no-evidence", "sent to nodes that nothing"),
    ],
)
def test_nodes_are_added_where_the_service_runs(tmp_path: Path, text: str, state: str, result: str) -> None:
    """S15.5: a pool somewhere else, or one that is too small, is no cluster autoscaler."""
    got = seen(of(ON_API % ("", "") + text, tmp_path))["cluster autoscaler"]
    assert got[0] == state
    assert result in got[1]


@pytest.mark.parametrize(
    ("text", "state"),
    [
        (WARM % (-10, HERE), "pass"),
        (WARM % (-10, ELSEWHERE), "no-evidence"),
        (WARM % (10, HERE), "no-evidence"),
        ((WARM % (-10, HERE)).replace("replicas: 4", "replicas: 0"), "no-evidence"),
        (
            "---\n{apiVersion: autoscaling.x-k8s.io/v1alpha1, kind: CapacityBuffer, metadata: {name: a}, "
            "spec: {replicas: 3}}",
            "pass",
        ),
    ],
    ids=["where it runs", "elsewhere", "as important as others", "none now", "a buffer"],
)
def test_room_is_kept_warm_by_who_makes_way(tmp_path: Path, text: str, state: str) -> None:
    """S15.5."""
    found = seen(of(ON_API % ("", "") + POOL % "'100'" + text, tmp_path))
    assert found["warm nodes for the event"][0] == state


FLAGS = """---
apiVersion: core.openfeature.dev/v1beta1
kind: FeatureFlag
metadata: {name: flags, namespace: casino}
spec: {flagSpec: {flags: {live-stats: {state: ENABLED, variants: {%s}, defaultVariant: full}}}}
"""


@pytest.mark.parametrize(
    ("annotations", "text", "state"),
    [
        ("", FLAGS % "full: true, none: false", "no-evidence"),
        ("croupier.dev/heavy-features: live-stats", FLAGS % "full: true, none: false", "pass"),
        ("croupier.dev/heavy-features: live-stats", FLAGS % "full: true", "fail"),
        ("croupier.dev/heavy-features: live-stats", "", "fail"),
        ("croupier.dev/heavy-features: none", "", "pass"),
    ],
)
def test_what_is_heavy_can_be_switched_off(tmp_path: Path, annotations: str, text: str, state: str) -> None:
    """S15.6."""
    found = seen(of(WORKLOAD % (annotations, "") + text, tmp_path))
    assert found["feature flags for degradation"][0] == state


RESTORED = """---
apiVersion: postgresql.cnpg.io/v1
kind: Cluster
metadata: {name: wallet-restored, namespace: casino, creationTimestamp: "2026-11-20T08:00:00Z"}
spec: {instances: 1, bootstrap: %s}
%s
"""


@pytest.mark.parametrize(
    ("bootstrap", "status", "state"),
    [
        ("{recovery: {source: wallet}}", 'status: {phase: "Cluster in healthy state"}', "pass"),
        ("{recovery: {source: wallet}}", "status: {phase: Setting up primary}", "no-evidence"),
        ("{recovery: {source: wallet}}", "", "no-evidence"),
        ("{initdb: {database: wallet}}", 'status: {phase: "Cluster in healthy state"}', "no-evidence"),
    ],
)
def test_a_restore_is_tested_when_a_database_came_up_from_it(
    tmp_path: Path, bootstrap: str, status: str, state: str
) -> None:
    """S15.8: a manifest that would restore is no restore."""
    found = seen(of(WORKLOAD % ("", "") + RESTORED % (bootstrap, status), tmp_path))["a tested restore"]
    assert found[0] == state
    assert ("2026-11-20" in found[1]) == (state == "pass")


@pytest.mark.parametrize(
    ("made", "told"),
    [("2026-10-14", "made on 2026-10-14: it counts for 92 days"), ("long ago", "made on a day that is not written")],
)
def test_a_restore_of_long_ago_is_no_evidence(tmp_path: Path, made: str, told: str) -> None:
    """S15.8, policy N24: fresh. The check is made on 2027-01-15."""
    healthy = RESTORED % ("{recovery: {source: wallet}}", 'status: {phase: "Cluster in healthy state"}')
    found = seen(of(WORKLOAD % ("", "") + healthy.replace("2026-11-20T08:00:00Z", made), tmp_path))
    assert found["a tested restore"][0] == "no-evidence"
    assert told in found["a tested restore"][1]


@pytest.mark.parametrize(
    ("annotations", "env", "state"),
    [
        ("", "", "no-evidence"),
        ("", "{name: OTEL_EXPORTER_OTLP_ENDPOINT, value: http://collector.observe:4317}", "pass"),
        ("instrumentation.opentelemetry.io/inject-java: 'true'", "", "pass"),
        ("instrumentation.opentelemetry.io/inject-java: 'false'", "", "no-evidence"),
    ],
)
def test_tracing_is_on_when_spans_have_somewhere_to_go(tmp_path: Path, annotations: str, env: str, state: str) -> None:
    assert seen(of(WORKLOAD % (annotations, env), tmp_path))["end-to-end tracing"][0] == state


@pytest.mark.parametrize(
    ("names", "state"),
    [
        (("DepositsFail", "BetsFail", "WithdrawalsFail"), "pass"),
        (("DepositsFail", "BetsFail"), "no-evidence"),
        (("DepositsFail", "AlphabetsFail", "WithdrawalsFail"), "no-evidence"),
    ],
)
def test_alerts_exist_on_all_three_of_the_money(tmp_path: Path, names: tuple[str, ...], state: str) -> None:
    alerts = ", ".join(f"{{alert: {name}, expr: up == 0}}" for name in names)
    rule = (
        "---\napiVersion: monitoring.coreos.com/v1\nkind: PrometheusRule\nmetadata: {name: slis, namespace: casino}\n"
        f"spec: {{groups: [{{name: a, rules: [{alerts}]}}]}}\n"
    )
    told = seen(of(WORKLOAD % ("", "") + rule, tmp_path))["alerts on deposit, bet and withdrawal"]
    assert told[0] == state


@pytest.mark.parametrize(
    ("written", "state"),
    [
        ("", "no-evidence"),
        ("croupier.dev/on-call: tel:+35620000000", "pass"),
        ("croupier.dev/on-call: ask Ann", "fail"),
    ],
)
def test_whom_to_call_is_an_address(tmp_path: Path, written: str, state: str) -> None:
    assert seen(of(WORKLOAD % (written, ""), tmp_path))["whom to call at night"][0] == state


@pytest.mark.parametrize(
    ("made", "state"),
    [
        ("", "no-evidence"),
        (
            "---\napiVersion: external-secrets.io/v1\nkind: ExternalSecret\nmetadata: {name: psp, namespace: casino}\n"
            "spec: {refreshInterval: 1h, target: {name: psp-key}}\n",
            "pass",
        ),
    ],
)
def test_a_secret_comes_from_somewhere(tmp_path: Path, made: str, state: str) -> None:
    mounted = WORKLOAD % ("", "") + "      volumes: [{name: keys, secret: {secretName: psp-key}}]\n"
    assert seen(of(mounted + made, tmp_path))["secrets from the secret manager"][0] == state


@pytest.mark.parametrize(
    ("changes", "state"),
    [({}, "pass"), ({"steps": (5, 50, 100)}, "fail"), ({"strategy": "rolling"}, "fail")],
)
def test_the_plan_of_the_release_itself_counts(changes: dict[str, object], state: str) -> None:
    found = assess("payments-api", ChecklistSource(manifests=(TEMPLATE,)), now=NOW, release=release(**changes))
    assert seen(found)["canary steps 5 → 10 → 25 → 50 → 100 %"][0] == state
    assert seen(found)["SLO gates"][0] == "pass"


# --- waivers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "state"),
    [
        (waiver(), "waived"),
        (waiver(until=TODAY - timedelta(days=1)), "red"),
        (waiver("S15.7"), "red"),
        (waiver(service="wallet"), "red"),
    ],
)
def test_a_waiver_holds_for_its_line_to_its_last_day(tmp_path: Path, held: LineWaiver, state: str) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(WORKLOAD % ("", ""))
    found = assess("bets", ChecklistSource(manifests=(file,)), now=NOW, waivers=[held])
    assert next(line.state for line in found.lines if line.id == "S15.8") == state


def test_of_two_waivers_the_later_one_counts(tmp_path: Path) -> None:
    file = tmp_path / "all.yaml"
    file.write_text(WORKLOAD % ("", ""))
    held = [waiver(until=TODAY - timedelta(days=1), entry=9), waiver(entry=7)]
    found = assess("bets", ChecklistSource(manifests=(file,)), now=NOW, waivers=held)
    assert next(line.state for line in found.lines if line.id == "S15.8") == "red"


# --- the preflight of a release ---------------------------------------------------------------------------------------

DECLARED = {PAYMENTS.name: ChecklistSource(manifests=(TEMPLATE,))}


def asked(line: str, *, until: date) -> WaiverRequest:
    told = {"service": PAYMENTS.name, "line": line, "owner": "ann", "until": until, "reason": "decided on Monday"}
    return WaiverRequest.model_validate(told)


async def test_no_release_starts_while_a_line_is_red() -> None:
    world = await World.begin()
    desk = world.desk(checklists=DECLARED)
    await world.warm(desk)
    preview = await desk.plan(release())
    assert preview.checklist is not None
    assert not preview.checklist.ready
    with pytest.raises(Refused, match=r"payments-api is not ready for production: 8 of 9 lines are red: S15\.1"):
        await desk.start(release(), who="ann")
    assert not await desk.runs()


async def test_waived_lines_let_it_start_and_the_journal_says_who_answers() -> None:
    world = await World.begin()
    desk = world.desk(checklists=DECLARED)
    await world.warm(desk)
    until = datetime.fromtimestamp(world.clock.now(), UTC).date()
    for line in LINES:
        await desk.waive(asked(line, until=until), "marta")
    run = await desk.start(release(), who="ann")
    entries = await desk.entries()
    waived = [entry for entry in entries if entry.kind == "checklist.waived"]
    assert [entry.body["line"] for entry in waived] == list(LINES)
    assert {(entry.body["owner"], entry.body["who"]) for entry in waived} == {("ann", "marta")}
    started = next(entry for entry in entries if entry.kind == "run.started")
    assert f"S15.8 until {until} by ann" in str(started.body["checklist"])
    again = world.desk(checklists=DECLARED)
    await again.open()
    assert (await again.run_view(run)).outcome is None
    assert len(await again.waivers()) == 9


async def test_a_waiver_for_a_day_that_has_passed_is_refused() -> None:
    world = await World.begin()
    desk = world.desk(checklists=DECLARED)
    yesterday = datetime.fromtimestamp(world.clock.now(), UTC).date() - timedelta(days=1)
    with pytest.raises(Refused, match="has passed"):
        await desk.waive(asked("S15.8", until=yesterday), "marta")
    assert not await desk.waivers()


async def test_a_service_without_a_declared_source_starts_as_ever() -> None:
    world = await World.begin()
    desk = world.desk(checklists={"identity": ChecklistSource(manifests=(TEMPLATE,))})
    await world.warm(desk)
    assert (await desk.plan(release())).checklist is None
    assert await desk.start(release(LOSSY), who="ann") == "r-0001"


async def test_where_a_tier_requires_the_checklist_a_service_that_nobody_describes_does_not_start() -> None:
    """S15: a release does not start until the nine lines have evidence."""
    world = await World.begin()
    desk = world.desk(checklist=ChecklistPolicy(standard="warn"))
    await world.warm(desk)
    preview = await desk.plan(release())
    assert preview.checklist is not None
    assert (preview.checklist.ready, preview.asks) == (False, "require")
    with pytest.raises(Refused, match="payments-api is not ready for production: 8 of 9 lines are red"):
        await desk.start(release(), who="ann")
    with pytest.raises(Refused, match="not ready for production"):
        await desk.start_group(GroupRequest(releases=(release(),)), who="ann")


async def test_where_a_tier_only_warns_a_release_starts_and_the_journal_says_what_is_red() -> None:
    world = await World.begin()
    desk = world.desk(checklist=ChecklistPolicy(standard="warn"))
    await world.warm(desk)
    wanted = release(service=IDENTITY.name)
    preview = await desk.plan(wanted)
    assert preview.asks == "warn"
    assert "8 of 9 lines are red (S15.1, S15.2" in plan_text(preview)
    await desk.start(wanted, who="ann")
    assert str(world.entries("run.started")[0].body["checklist"]).startswith("8 of 9 lines are red")


async def test_a_desk_requires_the_checklist_of_both_tiers_where_its_settings_say_nothing() -> None:
    assert (ChecklistPolicy().money, ChecklistPolicy().standard) == ("require", "require")


async def test_going_forward_from_a_bad_stable_waits_for_no_checklist() -> None:
    world = await World.begin()
    desk = world.desk(checklists=DECLARED)
    await world.warm(desk)
    assert await desk.switch(release(HEALTHY, steps=(100,)), who="ann") == "r-0001"


async def test_the_version_before_waits_for_no_checklist() -> None:
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    assert (await world.play(desk, await desk.start(release(), who="ann"))).outcome == "promoted"
    strict = world.desk(checklists=DECLARED)
    await world.warm(strict)
    with pytest.raises(Refused, match="is not ready for production"):
        await strict.start(release(LOSSY), who="ann")
    back = await strict.start(release(STABLE), who="ann")
    assert (await world.play(strict, back)).outcome == "promoted"
