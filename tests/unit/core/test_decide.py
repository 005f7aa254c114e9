"""Each rule of ``decide`` alone: one state, one look at the world in which all is well, and one thing changed."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.world import HEALTHY, IDENTITY, PAYMENTS, STABLE, release

from croupier.core.decide import FAULT_SECONDS, Decision, decide
from croupier.core.phases import Phase
from croupier.core.plans.release import plan_release
from croupier.core.run import RunState, apply, begin
from croupier.core.snapshot import Evidence, Snapshot
from croupier.model.journal import Draft
from croupier.model.plan import EnsureVersion, Retire, SetSplit, Settle
from croupier.model.service import Service
from croupier.model.traffic import ObservedSplit
from croupier.model.verdict import ArmNumbers, GateReading, Outcome, Verdict
from croupier.model.workload import Pod, VersionPods

RUN = "r-0001"
BEGAN = 1000.0
PASS = Verdict(outcome=Outcome.PASS, code="not-worse", reason="no worse", gates=())
FAIL = Verdict(outcome=Outcome.FAIL, code="worse", reason="worse", gates=())
UNDECIDED = Verdict(outcome=Outcome.INCONCLUSIVE, code="needs-time", reason="20 s more", gates=())


def pods(digest: str, ready: int, *, desired: int = 4, restarts: int = 0) -> VersionPods:
    made = tuple(
        Pod(f"{digest[7]}-{i}", None, i < ready, restarts if i == 0 else 0, "exit code 1") for i in range(desired)
    )
    return VersionPods(PAYMENTS.name, digest, desired, made)


def split(weight: int, revision: int) -> ObservedSplit:
    weights = {digest: share for digest, share in ((STABLE, 100 - weight), (HEALTHY, weight)) if share}
    return ObservedSplit(service=PAYMENTS.name, run=RUN, revision=revision, weights=weights)


SERVES_STABLE = ObservedSplit(service=PAYMENTS.name, run="-", revision=0, weights={STABLE: 100})


def started(service: Service = PAYMENTS) -> RunState:
    plan = plan_release(
        run=RUN,
        service=service,
        stable=STABLE,
        canary=HEALTHY,
        release=release(service=service.name),
        ordinal=0,
        dispersion={},
    )
    body = {"plan": plan.model_dump(mode="json", by_alias=True), "stable": "first", "canary": "new", "forecast": None}
    state = begin(Draft("run.planned", RUN, BEGAN, body))
    return apply(state, Draft("run.started", RUN, BEGAN, {"restarts": {STABLE: 7}, "who": "ann"}))


def world(now: float, weight: int, revision: int) -> Snapshot:
    """All is well ``now``: the split is in force, pods are ready, counters are fresh, the gates pass."""
    players = 2000 * weight // 100
    return Snapshot(
        now=now,
        split=split(weight, revision) if revision else SERVES_STABLE,
        pods={STABLE: pods(STABLE, 4, restarts=7), HEALTHY: pods(HEALTHY, 4)},
        verdict=PASS if revision else None,
        evidence=Evidence(sha256="0" * 64, samples=3),
        canary_age=1.0,
        stable_age=1.0,
        players=(players, 2000 - players),
    )


STEPS = {5: 1, 10: 2, 25: 3, 50: 4, 100: 5}


def holding(weight: int = 5, service: Service = PAYMENTS) -> tuple[RunState, Snapshot]:
    """A run that has held at ``weight`` for 60 s, and a world in which it would pass now."""
    state, now = started(service), BEGAN
    for reached, revision in ((0, 0), *STEPS.items()):
        now += 60.0
        state = decide(state, replace(world(now, reached, revision), verdict=UNDECIDED)).state if reached else state
        if reached == weight:
            break
        state = decide(state, world(now + 60.0, reached, revision)).state
        now += 60.0
    assert (state.phase, state.current.weight) == (Phase.HOLDING, weight)
    return state, world(now + 60.0, weight, STEPS[weight])


def kinds(decision: Decision) -> list[str]:
    return [draft.kind for draft in decision.drafts]


def ask(state: RunState, command: str) -> RunState:
    return apply(state, Draft("command", RUN, BEGAN, {"command": command, "who": "bob", "reason": "because"}))


@pytest.mark.parametrize("weight", [5, 10, 25, 50])
def test_a_step_passes_when_all_is_well_and_the_next_split_is_set_in_the_same_round(weight: int) -> None:
    state, well = holding(weight)
    decision = decide(state, well)
    assert kinds(decision)[-3:] == ["step.passed", "step.entered", "intent"]
    assert [type(action) for action in decision.actions] == [SetSplit]
    assert decision.state.weight > weight


BREACH = GateReading(
    gate="deposits",
    role="required",
    outcome=Outcome.INCONCLUSIVE,
    code="slo-breach",
    message="misses its objective",
    unit="players",
    canary=ArmNumbers(bad=1, total=2),
    stable=ArmNumbers(bad=0, total=2),
)

HOLDS = {
    "inconclusive gates": {"verdict": UNDECIDED},
    "no verdict at all": {"verdict": None},
    "no counters of the canary": {"canary_age": 16.0},
    "no counters of stable": {"stable_age": 16.0},
    "counters only from before the step": {"canary_age": 120.0},
    "a split that cannot be asked for": {"split": None},
    "a split of another revision": {"split": split(5, 99)},
    "another weight in the data plane": {"split": split(10, 1)},
    "nobody who answers for the pods": {"pods": None},
    "too few ready canary pods": {"pods": {STABLE: pods(STABLE, 4, restarts=7), HEALTHY: pods(HEALTHY, 1)}},
    "no ready stable pod": {"pods": {STABLE: pods(STABLE, 0, restarts=7), HEALTHY: pods(HEALTHY, 4)}},
    "three times as many players as expected": {"players": (300, 1700)},
}


@pytest.mark.parametrize("changes", HOLDS.values(), ids=HOLDS.keys())
def test_one_thing_amiss_holds_the_step(changes: dict[str, object]) -> None:
    state, well = holding()
    decision = decide(state, replace(well, **changes))
    assert "step.passed" not in kinds(decision)
    assert decision.state.phase is Phase.HOLDING
    assert decision.state.weight == 5


def test_inconclusive_never_promotes_however_long_it_lasts() -> None:
    state, well = holding(service=IDENTITY)
    for seconds in range(0, 100_000, 500):
        state = decide(state, replace(well, now=well.now + seconds, verdict=UNDECIDED)).state
    assert (state.phase, state.weight) == (Phase.HELD, 5)


@pytest.mark.parametrize("weight", [5, 100])
def test_the_dwell_is_two_scrapes_at_least(weight: int) -> None:
    state, well = holding(weight)
    assert state.settled_at is not None
    early = replace(well, now=state.settled_at + 9.9)
    assert "step.passed" not in kinds(decide(state, early))
    assert "step.passed" in kinds(decide(state, replace(well, now=state.settled_at + 10.0)))


@pytest.mark.parametrize("weight", list(STEPS))
def test_a_failing_gate_takes_all_players_back_in_the_same_round(weight: int) -> None:
    state, well = holding(weight)
    decision = decide(state, replace(well, verdict=FAIL))
    assert "run.rolling-back" in kinds(decision)
    assert [(type(action), getattr(action, "weight", None)) for action in decision.actions] == [(SetSplit, 0)]


@pytest.mark.parametrize("command", ["promote", "resume", "pause"])
def test_no_command_keeps_a_failing_gate_from_taking_the_run_back(command: str) -> None:
    state, well = holding()
    decision = decide(ask(state, command), replace(well, verdict=FAIL))
    assert decision.state.phase is Phase.ROLLING_BACK


OVERRULED = {"inconclusive gates", "no ready stable pod", "three times as many players as expected"}
"""What a person may overrule once the run is held."""


@pytest.mark.parametrize("what", HOLDS)
def test_a_person_skips_the_dwell_and_nothing_else(what: str) -> None:
    state, well = holding()
    assert state.settled_at is not None
    early = replace(well, now=state.settled_at + 6.0)
    assert "step.passed" not in kinds(decide(state, early))
    passed = [draft for draft in decide(ask(state, "promote"), early).drafts if draft.kind == "step.passed"]
    assert (passed[0].body["who"], passed[0].body["reason"]) == ("bob", "because")
    decision = decide(ask(state, "promote"), replace(well, **HOLDS[what]))
    assert "step.passed" not in kinds(decision)
    assert decision.state.command is not None, "it waits for what is missing"


@pytest.mark.parametrize("what", HOLDS)
def test_once_held_a_person_overrules_what_cannot_be_decided_but_not_what_is_missing(what: str) -> None:
    state, well = holding(service=IDENTITY)
    assert state.settled_at is not None
    late = state.settled_at + 100_000.0
    held = decide(state, replace(well, now=late, verdict=UNDECIDED)).state
    assert held.phase is Phase.HELD
    decision = decide(ask(held, "promote"), replace(well, now=late, **HOLDS[what]))
    passed = [draft for draft in decision.drafts if draft.kind == "step.passed"]
    assert bool(passed) == (what in OVERRULED)
    if passed:
        assert (passed[0].body["who"], passed[0].body["code"]) == ("bob", "person")


@pytest.mark.parametrize(("service", "phase"), [(PAYMENTS, Phase.ROLLING_BACK), (IDENTITY, Phase.HELD)])
def test_at_the_deadline_money_goes_back_and_others_are_held(service: Service, phase: Phase) -> None:
    state, well = holding(service=service)
    assert state.settled_at is not None
    late = replace(well, now=state.settled_at + 120.0, verdict=UNDECIDED)
    decision = decide(state, late)
    assert (decision.state.phase, decision.state.code) == (phase, "deadline")
    assert "20 s more" in decision.state.reason


def test_an_objective_missed_at_100_percent_holds_and_below_it_only_withholds() -> None:
    missed = Verdict(outcome=Outcome.INCONCLUSIVE, code="no-data", reason="?", gates=(BREACH,))
    state, well = holding(100)
    decision = decide(state, replace(well, verdict=missed))
    assert (decision.state.phase, decision.state.code) == (Phase.HELD, "slo-breach")
    assert decision.state.reason == "misses its objective"
    state, well = holding(50)
    assert decide(state, replace(well, verdict=missed)).state.phase is Phase.HOLDING


@pytest.mark.parametrize("phase", [Phase.HOLDING, Phase.HELD, Phase.PAUSED])
def test_an_objective_missed_while_stable_keeps_it_takes_a_bake_back_whoever_stopped_it(phase: Phase) -> None:
    state, well = holding(100)
    bake = state.current.model_copy(update={"weight": 99})  # one in a hundred was held back
    steps = (*state.plan.steps[:-2], bake, state.plan.steps[-1])
    state = replace(state, phase=phase, plan=state.plan.model_copy(update={"steps": steps}))
    missed = Verdict(outcome=Outcome.INCONCLUSIVE, code="slo-breach", reason="?", gates=(BREACH,))
    decision = decide(state, replace(well, verdict=missed))
    assert (decision.state.phase, decision.state.code) == (Phase.ROLLING_BACK, "slo-breach")


def test_what_nobody_watched_is_neither_bake_nor_deadline() -> None:
    state, well = holding()
    late = replace(well, now=well.now + 3600.0, verdict=UNDECIDED)
    assert decide(state, late).state.phase is not Phase.HOLDING, "an hour is beyond the deadline"
    away = replace(late, unwatched_seconds=3600.0)
    decision = decide(state, away)
    assert kinds(decision)[0] == "unwatched"
    assert decision.state.phase is Phase.HOLDING
    assert state.settled_at is not None
    assert decision.state.settled_at == state.settled_at + 3600.0
    again = decide(decision.state, replace(away, now=away.now + 3600.0))
    assert "unwatched" not in kinds(again), "once a step"
    assert again.state.phase is not Phase.HOLDING


@pytest.mark.parametrize(
    ("back", "left", "more"), [(100.0, 3500.0, 0.0), (3580.0, 20.0, 3600.0), (7200.0, 0.0, 3600.0)]
)
def test_a_clock_that_is_set_back_takes_no_more_than_it_went_back(back: float, left: float, more: float) -> None:
    """An hour that nobody watched was bake again after a clock was put right by two minutes."""
    state, well = holding()
    well = replace(well, verdict=UNDECIDED)
    given = decide(state, replace(well, now=well.now + 3600.0, unwatched_seconds=3600.0)).state
    taken = decide(given, replace(well, now=well.now + 3600.0 - back, unwatched_seconds=-back)).state
    assert state.settled_at is not None
    assert taken.phase is Phase.HOLDING
    assert (taken.settled_at, taken.unwatched_seconds) == (min(state.settled_at + left, taken.updated_at), left)
    ahead = decide(taken, replace(well, now=taken.updated_at + 3600.0, unwatched_seconds=3600.0)).state
    assert ahead.unwatched_seconds == left + more, "once a step"


def test_pods_that_start_while_nobody_watches_are_not_given_up_at_once() -> None:
    state = started()
    starting = replace(
        world(BEGAN + 3600.0, 0, 0), pods={STABLE: pods(STABLE, 4, restarts=7), HEALTHY: pods(HEALTHY, 0)}
    )
    assert decide(state, starting).state.code == "never-ready"
    assert decide(state, replace(starting, unwatched_seconds=3595.0)).state.phase is Phase.PREPARING


@pytest.mark.parametrize(("restarts", "phase"), [(2, Phase.PASSED), (3, Phase.ROLLING_BACK)])
def test_the_third_restart_more_than_stable_is_one_too_many(restarts: int, phase: Phase) -> None:
    state, well = holding()
    restarted = {STABLE: pods(STABLE, 4, restarts=7), HEALTHY: pods(HEALTHY, 4, restarts=restarts)}
    decision = decide(state, replace(well, pods=restarted))
    assert ("run.rolling-back" in kinds(decision)) == (phase is Phase.ROLLING_BACK)
    shared = {STABLE: pods(STABLE, 4, restarts=7 + restarts), HEALTHY: pods(HEALTHY, 4, restarts=restarts)}
    assert "run.rolling-back" not in kinds(decide(state, replace(well, pods=shared)))


def test_a_canary_that_runs_out_of_memory_goes_back_and_the_reason_says_so() -> None:
    state, well = holding()
    killed = pods(HEALTHY, 3, desired=4, restarts=3)
    killed = replace(killed, pods=(*killed.pods[:-1], replace(killed.pods[-1], ready=False, reason="OOMKilled")))
    decision = decide(state, replace(well, pods={STABLE: pods(STABLE, 4, restarts=7), HEALTHY: killed}))
    assert decision.state.code == "restarts"
    assert "OOMKilled" in decision.state.reason


def test_a_split_rises_only_once_enough_pods_are_ready() -> None:
    state, well = holding(25)
    two = {STABLE: pods(STABLE, 4, restarts=7), HEALTHY: pods(HEALTHY, 2, desired=2)}
    decision = decide(state, replace(well, pods=two))
    assert decision.state.current.weight == 50
    assert [type(action) for action in decision.actions] == [EnsureVersion]
    starting = {STABLE: pods(STABLE, 4, restarts=7), HEALTHY: pods(HEALTHY, 3)}
    decision = decide(decision.state, replace(well, pods=starting))
    assert (decision.actions, decision.state.weight) == ((), 25)
    decision = decide(decision.state, well)
    assert [type(action) for action in decision.actions] == [SetSplit]


def test_a_split_that_was_set_is_put_right_also_while_pods_are_down() -> None:
    state, well = holding()
    down = {STABLE: pods(STABLE, 4, restarts=7), HEALTHY: pods(HEALTHY, 0)}
    decision = decide(state, replace(well, pods=down, split=split(5, 99)))
    assert [type(action) for action in decision.actions] == [SetSplit]


def going_back(weight: int = 25, command: str = "abort", **changes: object) -> tuple[RunState, Snapshot]:
    state, well = holding(weight)
    decision = decide(ask(state, command), replace(well, **changes))
    assert decision.state.phase is Phase.ROLLING_BACK
    return decision.state, well


def test_the_way_back_is_capacity_traffic_drain_settle_retire() -> None:
    state, well = going_back()
    short = {STABLE: pods(STABLE, 3, desired=3, restarts=7), HEALTHY: pods(HEALTHY, 4)}
    decision = decide(state, replace(well, pods=short))
    assert [type(action) for action in decision.actions] == [EnsureVersion, SetSplit]
    zero = replace(well, split=split(0, 6))
    decision = decide(decision.state, zero)
    assert "traffic.returned" in kinds(decision)
    assert decision.actions == (), "what is in flight is waited for"
    assert decision.state.weight == 0
    decision = decide(decision.state, replace(zero, now=zero.now + 4.9))
    assert decision.actions == ()
    decision = decide(decision.state, replace(zero, now=zero.now + 5.0))
    assert [type(action) for action in decision.actions] == [Settle]
    settled = replace(zero, now=zero.now + 6.0, split=SERVES_STABLE)
    decision = decide(decision.state, settled)
    assert [type(action) for action in decision.actions] == [Retire]
    gone = replace(settled, pods={STABLE: pods(STABLE, 4, restarts=7)})
    decision = decide(decision.state, gone)
    assert kinds(decision) == ["outcome", "run.ended"]
    assert (decision.state.phase, decision.state.code, decision.actions) == (Phase.ROLLED_BACK, "aborted", ())


@pytest.mark.parametrize(
    ("stable", "canary", "seconds", "returns"),
    [(4, 4, 0, True), (2, 4, 0, True), (1, 4, 0, False), (1, 0, 0, True), (1, 4, 90, True), (0, 4, 90, False)],
)
def test_players_return_once_stable_can_carry_them(stable: int, canary: int, seconds: float, returns: bool) -> None:
    found = {STABLE: pods(STABLE, stable, restarts=7), HEALTHY: pods(HEALTHY, canary)}
    state, well = going_back(pods=found)
    decision = decide(state, replace(well, pods=found, now=well.now + seconds))
    assert (SetSplit in [type(action) for action in decision.actions]) == returns


def test_when_nobody_answers_the_way_back_is_tried_all_the_same() -> None:
    state, well = going_back()
    decision = decide(state, replace(well, pods=None, split=None))
    assert [type(action) for action in decision.actions] == [EnsureVersion, SetSplit]


def test_a_canary_that_never_gets_ready_is_retired_before_any_player_sees_it() -> None:
    state = started()
    none = replace(world(BEGAN, 0, 0), pods={STABLE: pods(STABLE, 4, restarts=7), HEALTHY: pods(HEALTHY, 0)})
    assert decide(state, replace(none, now=BEGAN + 59.0)).state.phase is Phase.PREPARING
    decision = decide(state, replace(none, now=BEGAN + 60.0))
    assert (decision.state.phase, decision.state.code) == (Phase.ROLLING_BACK, "never-ready")
    assert "exit code 1" in decision.state.reason
    assert [type(action) for action in decision.actions] == [Retire]


def test_a_crash_loop_is_not_waited_for() -> None:
    looping = {STABLE: pods(STABLE, 4, restarts=7), HEALTHY: pods(HEALTHY, 0, restarts=3)}
    decision = decide(started(), replace(world(BEGAN + 5.0, 0, 0), pods=looping))
    assert (decision.state.phase, decision.state.code) == (Phase.ROLLING_BACK, "restarts")


def test_a_fault_is_written_when_it_begins_and_when_it_ends_and_not_in_between() -> None:
    state, well = holding()
    undecided = replace(well, verdict=UNDECIDED)
    decision = decide(state, replace(undecided, faults={"metrics": "gone for 3 s"}))
    assert kinds(decision) == ["fault"]
    decision = decide(decision.state, replace(undecided, faults={"metrics": "gone for 8 s"}))
    assert kinds(decision) == []
    decision = decide(decision.state, undecided)
    assert kinds(decision) == [], "it is told of for a while"
    decision = decide(decision.state, replace(undecided, now=undecided.now + FAULT_SECONDS))
    assert [(draft.kind, draft.body["message"]) for draft in decision.drafts] == [("fault", "")]


def test_a_verdict_is_written_when_it_changes_and_not_for_its_numbers() -> None:
    state, well = holding()
    again = UNDECIDED.model_copy(update={"reason": "19 s more", "against": 0.3})
    assert kinds(decide(state, replace(well, verdict=again))) == []
    changed = UNDECIDED.model_copy(update={"code": "no-data"})
    assert kinds(decide(state, replace(well, verdict=changed))) == ["verdict"]


def test_a_person_promotes_past_an_old_version_that_has_died() -> None:
    """Prevents: most players on pods that are not there, and a promote that waits for somebody to count them."""
    state, well = holding()
    dead = {STABLE: pods(STABLE, 0, restarts=7), HEALTHY: pods(HEALTHY, 4)}
    blind = replace(well, stable_age=900.0, verdict=UNDECIDED.model_copy(update={"code": "no-data"}), pods=dead)
    held = apply(state, Draft("step.held", RUN, well.now, {"step": 1, "code": "stable-down", "reason": "no pod"}))
    assert decide(ask(held, "promote"), blind).state.current.weight == 10
    assert decide(ask(state, "promote"), blind).state.current.weight == 5, "not before a person was called"
    assert decide(held, blind).state.current.weight == 5
    assert decide(ask(held, "promote"), replace(blind, canary_age=900.0)).state.current.weight == 5
    assert decide(ask(held, "promote"), replace(blind, pods=well.pods)).state.current.weight == 5, "it runs: wait"
    assert decide(ask(held, "promote"), replace(blind, verdict=FAIL)).state.current.weight == 5
