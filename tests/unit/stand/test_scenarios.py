from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from pydantic import JsonValue

from croupier.cli.root import cli
from croupier.errors import EnvironmentFault, Refused
from croupier.model.view import JournalEntryView, RunView
from croupier.report.example import PROMOTED, WATCHED
from croupier_stand import scenarios
from croupier_stand.demo import Demo, Journal, Money, Rates, lines, too_few
from croupier_stand.drills import DRILLS, DrillResult
from croupier_stand.faults import KINDS, StandFault
from croupier_stand.home import Home
from croupier_stand.scenarios import (
    CALM_SECONDS,
    DEFECTS,
    DEPOSIT_LOSS,
    FAULTS,
    Illness,
    Scenario,
    Served,
    Told,
    near_changes,
    passed_blind,
    split_times,
    without,
    without_unanswered,
)
from croupier_stand.scenarios import problems as problems_of
from croupier_stand.soak import LABELS, Replayed, Soak, drill_order, forecast_problem, forecast_ratio
from croupier_stand.soak import lines as soak_lines
from croupier_stand.stats import Failure


def told(**differing: object) -> Told:
    fields: dict[str, object] = {
        "label": "deposit-loss",
        "run": "r-0002",
        "expected": "rolled-back",
        "outcome": "rolled-back",
        "reason": "failed deposits",
        "caught_by": "deposits",
        "peak_weight": 5,
        "seconds": 108.0,
        "forecast_seconds": 70.0,
        "actual_seconds": 94.0,
        "zero_seconds": 0.4,
        "served": Served(deposits=132, bad_deposits=4, requests=292, bad_requests=0),
        "failed_requests": {},
        "failed_by_splits": 0,
        "failures_forgotten": False,
        "split_changes": 3,
        "problems": (),
    }
    return Told.model_validate(fields | differing)


def problems(told: Told, scenario: Scenario = DEPOSIT_LOSS) -> list[str]:
    return problems_of(told, scenario, scrape_seconds=5.0)


def test_a_run_that_ended_as_it_should_has_no_problems() -> None:
    assert problems(told()) == []


@pytest.mark.parametrize(
    ("differing", "said"),
    [
        ({"outcome": "promoted"}, "deposit-loss is promoted, not rolled-back"),
        ({"outcome": None}, "deposit-loss is not decided, not rolled-back"),
        ({"caught_by": "errors"}, "deposit-loss was taken back by errors, not by deposits: failed deposits"),
        ({"zero_seconds": 6.1}, "the canary had players 6.1 s after the verdict"),
        ({"failed_by_splits": 2}, "2 requests failed around a change of the split"),
    ],
)
def test_what_is_not_as_it_must_be_is_named(differing: dict[str, object], said: str) -> None:
    """A rollback takes the canary's traffic to zero within one scrape plus one second; no request fails for a split."""
    (found,) = problems(told(**differing))
    assert found.startswith(said)


def test_a_version_that_only_pods_tell_of_must_not_have_had_players() -> None:
    crashing = next(each for each in DEFECTS if each.label == "crash-loop")
    fields = {"label": "crash-loop", "caught_by": "restarts"}
    assert problems(told(**fields, peak_weight=0), crashing) == []
    assert problems(told(**fields), crashing) == ["crash-loop had players: 5 %"]


def test_a_way_back_that_does_not_name_the_provider_is_not_right() -> None:
    provider = next(each for each in DEFECTS if each.label == "provider")
    assert problems(told(label="provider", reason="failed deposits through psp-b: canary 4 of 61"), provider) == []
    (found,) = problems(told(label="provider"), provider)
    assert "the reason does not say 'through psp-b'" in found


def test_changes_of_the_split_are_read_from_the_intents_of_the_journal() -> None:
    def entry(at: float, kind: str, *actions: str) -> JournalEntryView:
        body = {"actions": [{"kind": action} for action in actions]}
        return JournalEntryView(seq=1, kind=kind, subject="r", at=at, body=body, previous="", hash="")

    entries = [
        entry(1.0, "intent", "ensure-version"),
        entry(2.0, "intent", "set-split"),
        entry(3.0, "outcome", "set-split"),
        entry(4.0, "intent", "settle"),
        entry(5.0, "run.ended"),
    ]
    assert split_times(entries) == [2.0, 4.0]


def test_a_change_of_the_split_answers_for_what_fails_from_then_until_the_last_pod_has_drained() -> None:
    def failure(at: float, *, by_edge: bool = True) -> Failure:
        return Failure(at, "deposit", "503 from the edge", by_edge, at - 0.1)

    guilty = [failure(99.9), failure(100.0), failure(109.0), failure(205.0)]
    others = [failure(99.0), failure(111.0), failure(101.0, by_edge=False)]
    assert near_changes([*others, *guilty], [100.0, 200.0]) == guilty


def test_what_a_silent_version_leaves_without_an_answer_is_not_charged_to_a_split() -> None:
    def failure(sent_at: float, cause: str = "no answer within 8 s") -> Failure:
        return Failure(sent_at + 8.0, "bet", cause, True, sent_at)

    own = [failure(100.0), failure(137.0)]
    others = [failure(99.9), failure(137.1), failure(120.0, "503 from the edge")]
    assert without_unanswered([*own, *others], 100.0, 137.0) == others


def test_when_players_forgot_failures_nobody_claims_that_no_split_did_harm() -> None:
    assert "too many requests failed" in problems(told(failures_forgotten=True))[0]


def test_a_run_that_goes_on_through_a_shared_incident_is_not_right_although_it_is_promoted() -> None:
    """S9.7: when everybody fails, nobody can tell; a run must wait, and not take luck for a pass."""
    fields = {"expected": "promoted", "outcome": "promoted", "waited_for": ("needs-time", "shared-incident")}
    assert problems(told(**fields), FAULTS[0]) == []
    (said,) = problems(told(**fields | {"waited_for": ("needs-time",)}), FAULTS[0])
    assert said == "psp-a was down, and the run was not held by shared-incident"


def test_a_demo_with_hardly_any_players_is_not_right() -> None:
    assert too_few(Rates(distinct=2_000, deposits_per_second=20.0, failed_requests={})) == []
    assert len(too_few(Rates(distinct=1_999, deposits_per_second=19.9, failed_requests={}))) == 2


def demo(**differing: object) -> Demo:
    fields: dict[str, object] = {
        "right": True,
        "problems": (),
        "seconds": 501.0,
        "scenarios": (told(),),
        "money": Money(before={"capture-not-credited": 4}, mended={"credited": 4}, after={}),
        "journal": Journal(path="/x/journal.sqlite", sound=True, entries=67, said="sound"),
        "players": Rates(distinct=3337, seconds=430.0, deposits_per_second=34.4, failed_requests={}),
    }
    return Demo.model_validate(fields | differing)


def test_the_table_of_the_demo_tells_what_the_acceptance_asks_for() -> None:
    text = "\n".join(lines(demo()))
    for part in ("deposit-loss", "rolled-back", "1m10s", "1m34s", "4 of 132", "0 of 292", "0.4 s", "0 / 0"):
        assert part in text
    assert "4 capture-not-credited" in text
    assert "after reconciliation   no violations" in text
    assert "/x/journal.sqlite" in text
    assert "All came out right in 8 min 21 s." in text


def test_a_demo_that_failed_says_why_and_never_that_all_is_right() -> None:
    text = "\n".join(lines(demo(right=False, problems=("r-0002 the canary had players 9.0 s after the verdict",))))
    assert "NOT RIGHT: r-0002 the canary had players" in text
    assert "All came out right" not in text


def test_a_soak_counts_by_scenario_and_lists_every_failed_run() -> None:
    failed = told(label="slow", run="r-0003", outcome="promoted", problems=("slow is promoted",))
    soak = Soak(
        right=False,
        seconds=600.0,
        runs=(told(), failed),
        aa_runs=10,
        aa_rolled_back=1,
        forecast_ratio=0.96,
        drills=(
            DrillResult(label="full disk", said="not tried: it needs root", is_skipped=True),
            DrillResult(label="clock", said="r-0004 promoted", problems=("a step passed while the clock was wrong",)),
        ),
        violations_after=0,
        journal=None,
        replay=Replayed(ok=False, verdicts=96, differing=("entry 7: passed, and would fail",)),
    )
    text = "\n".join(soak_lines(soak))
    assert "Forecast ÷ actual time to the verdict: median 0.96" in text
    assert "full disk: not tried: it needs root" in text
    assert "FAILED clock: a step passed while the clock was wrong" in text
    assert "Replay: of 96 verdicts: entry 7: passed, and would fail" in text
    assert "A/A: 1 of 10 healthy releases were taken back" in text
    assert "FAILED r-0003 slow: slow is promoted" in text


@pytest.mark.parametrize(("views", "ill"), [((WATCHED, PROMOTED), ["psp-a"]), ((PROMOTED,), [])])
def test_a_run_that_ended_before_its_partner_fell_ill_shows_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, views: tuple[RunView, ...], ill: list[str]
) -> None:
    begun: list[str] = []
    monkeypatch.setattr(scenarios, "follow", lambda *_: iter(views))
    monkeypatch.setattr(scenarios, "_largest_size_of_desk", lambda _: None)

    def begin(_home: Home, illness: Illness) -> StandFault:
        begun.append(illness.part)
        return StandFault(part=illness.part, kind=illness.kind, began_at=0.0, until=1.0)

    with nullcontext() if ill else pytest.raises(EnvironmentFault, match="ended before psp-a could be slow"):
        scenarios._watch(Home("unit", tmp_path), FAULTS[1], "r-0007", print, begin)
    assert begun == ill


class _Reluctant:
    """A desk that refuses a plan so many times."""

    def __init__(self, times: int) -> None:
        self.left = times

    def plan(self, release: object) -> object:
        self.left -= 1
        if self.left >= 0:
            raise Refused("stable fails 10 %")
        return release


def test_a_plan_that_is_refused_is_offered_again_for_as_long_as_was_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scenarios, "_REFUSED_PAUSE_SECONDS", 0.0)
    release: Any = object()
    said: list[str] = []
    desk: Any = _Reluctant(2)
    assert scenarios._plan(desk, release, said.append, 60.0) is release
    assert said == ["refused for now: stable fails 10 %"] * 2
    desk = _Reluctant(1)
    with pytest.raises(Refused, match="stable fails 10 %"):
        scenarios._plan(desk, release, said.append, 0.0)
    assert desk.left == 0, "it was asked once"


def test_the_forecast_is_compared_over_the_runs_that_have_both_times() -> None:
    runs = [told(forecast_seconds=f, actual_seconds=a) for f, a in ((50.0, 100.0), (90.0, 100.0), (300.0, 100.0))]
    assert forecast_ratio([*runs, told(forecast_seconds=None), told(actual_seconds=None)]) == 0.9
    assert forecast_ratio([told(actual_seconds=None)]) is None


@pytest.mark.parametrize(
    ("forecast", "count", "problem"),
    [
        (200.0, 10, ""),
        (201.0, 10, "forecasts: the median of forecast ÷ actual is 2.01, not 0.5 to 2"),
        (49.0, 10, "forecasts: the median of forecast ÷ actual is 0.49, not 0.5 to 2"),
        (900.0, 9, ""),
    ],
)
def test_a_soak_is_not_right_where_forecasts_are_off_as_a_whole(forecast: float, count: int, problem: str) -> None:
    runs = [told(forecast_seconds=forecast, actual_seconds=100.0)] * count
    assert forecast_problem(runs) == problem


def test_every_part_that_can_be_ill_is_ill_in_the_soak() -> None:
    """What a stand can suffer from and no scenario shows, nobody has seen."""
    played = {(each.illness.part, each.illness.kind) for each in FAULTS if each.illness is not None}
    known = {(part, kind) for part, kinds in KINDS.items() for kind in kinds if part != "psp-b"}
    assert played == known


@pytest.mark.parametrize("scenario", [each for each in FAULTS if each.illness and each.illness.blind_after is not None])
def test_a_step_could_pass_while_nobody_can_know(scenario: Scenario) -> None:
    """Else that none did would say nothing. The dwell begins when a step has settled, a few seconds after ``calm``."""
    illness, dwell = scenario.illness, scenario.settings["dwell_seconds"]
    assert illness is not None
    assert illness.blind_after is not None
    assert isinstance(dwell, float)
    assert CALM_SECONDS + illness.blind_after <= dwell < CALM_SECONDS + illness.seconds - 10.0


def test_drills_are_tried_as_often_as_scenarios_and_once_at_least() -> None:
    assert drill_order(0, ()) == drill_order(1, ()) == list(DRILLS)
    assert drill_order(10, ()).count("full disk") == 10
    assert drill_order(2, ["clock", "healthy"]) == ["clock", "clock"]


def test_labels_can_be_given_with_commas_between() -> None:
    assert len(set(LABELS)) == len(LABELS)
    assert not any("," in label for label in LABELS)


def test_a_label_that_is_none_is_refused_before_anything_is_started(tmp_path: Path) -> None:
    said = CliRunner().invoke(cli, ["stand", "soak", "--only", "healthy,envoy kiled", "--results", str(tmp_path / "x")])
    assert said.exit_code == 2
    assert "did you mean envoy killed?" in said.stderr
    assert not (tmp_path / "x").exists()


DEAD = Illness("stable", "killed", 20, blind_after=5.0)
KILLED = StandFault(part="stable", kind="killed", began_at=100.0, until=120.0)


def test_a_step_that_passes_while_nobody_can_know_is_a_problem() -> None:
    def passed(at: float, code: str = "gates") -> JournalEntryView:
        body: dict[str, JsonValue] = {"code": code}
        return JournalEntryView(seq=1, kind="step.passed", subject="r", at=at, body=body, previous="", hash="")

    others = [passed(104.9), passed(120.1), passed(110.0, "promote")]
    assert passed_blind(others, DEAD, KILLED) == []
    assert passed_blind([*others, passed(110.0)], DEAD, KILLED) == [passed(110.0)]
    assert passed_blind([passed(110.0)], DEAD._replace(blind_after=None), KILLED) == ()
    assert "1 steps passed although nobody could know" in problems(told(passed_blind=1))


def test_what_fails_because_all_stable_pods_are_dead_is_not_charged_to_a_split() -> None:
    def failure(at: float) -> Failure:
        return Failure(at, "deposit", "503 from the edge", True, at - 0.1)

    assert without([failure(100.0), failure(134.0)], DEAD, KILLED) == []
    assert without([failure(99.0), failure(136.0)], DEAD, KILLED) == [failure(99.0), failure(136.0)]
    slow = KILLED.model_copy(update={"part": "psp-a", "kind": "slow"})
    assert without([failure(100.0)], Illness("psp-a", "slow", 20), slow) == [failure(100.0)]


def test_a_desk_that_swallows_all_of_a_huge_page_is_a_problem() -> None:
    assert problems(told(desk_growth_bytes=20 * 2**20)) == []
    assert problems(told(desk_growth_bytes=100 * 2**20)) == ["the desk grew by 100 MiB"]
