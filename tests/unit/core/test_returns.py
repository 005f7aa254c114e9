"""A run that goes back to the version before waits for nobody who only confirms (S4.6)."""

from __future__ import annotations

from dataclasses import replace
from math import inf

import pytest
from tests.support.world import HEALTHY, STABLE
from tests.unit.core.test_decide import BEGAN, FAIL, RUN, UNDECIDED, ask, holding, kinds, pods, split, started, world

from croupier.core.decide import decide
from croupier.core.due import UNCONFIRMED_SECONDS, weight_counted
from croupier.core.phases import Phase
from croupier.core.plans.release import as_return
from croupier.core.run import RunState, apply
from croupier.core.snapshot import Snapshot
from croupier.model.journal import Draft
from croupier.model.plan import Retire, SetSplit, Settle

REFUSED = {"traffic": "HTTPRoute casino/payments-api.mesh: mesh: Accepted is False"}


def refused(s: Snapshot, seconds: float = UNCONFIRMED_SECONDS) -> Snapshot:
    """What ``s`` has confirmed is only written, and somebody refuses it for so long."""
    return replace(s, split=None, written=s.split, unconfirmed_seconds=seconds, verdict=UNDECIDED, faults=REFUSED)


def returning(weight: int) -> tuple[RunState, Snapshot]:
    state, well = holding(weight)
    return replace(state, returns=True), well


def test_a_step_that_somebody_refuses_to_confirm_passes_without_gates_and_says_so() -> None:
    state, well = returning(5)
    decision = decide(state, refused(well))
    assert decision.state.current.weight == 10
    (passed,) = (each for each in decision.drafts if each.kind == "step.passed")
    assert passed.body["code"] == "unconfirmed"
    assert "mesh: Accepted is False" in passed.body["reason"]
    settled = decide(decision.state, refused(world(well.now + 1.0, 10, 2)))
    assert kinds(settled).count("step.settled") == 1


def test_who_is_slow_to_confirm_is_waited_for_and_so_are_gates() -> None:
    """Prevents: a way back that runs past its gates, because a gateway took a second."""
    state, well = returning(5)
    assert decide(state, refused(well, UNCONFIRMED_SECONDS - 1.0)).state.current.weight == 5
    assert decide(state, replace(well, verdict=UNDECIDED)).state.current.weight == 5


def test_a_release_of_something_new_waits_for_the_confirmation() -> None:
    state, well = holding(5)
    assert decide(state, refused(well)).state.current.weight == 5


def test_pods_first_and_never_over_a_failing_gate() -> None:
    state, well = returning(5)
    unready = {STABLE: pods(STABLE, 4), HEALTHY: pods(HEALTHY, 0)}
    assert decide(state, replace(refused(well), pods=unready)).state.current.weight == 5
    assert decide(state, replace(refused(well), verdict=FAIL)).state.phase is Phase.ROLLING_BACK


def test_the_end_waits_for_the_confirmation_and_both_versions_stay() -> None:
    """Prevents: callers who are sent to pods that have ended, because a mesh was told and did not listen."""
    state, well = returning(100)
    decision = decide(state, refused(well))
    assert decision.state.phase is Phase.PROMOTING
    written = replace(split(100, 5), run="-", revision=0, weights={HEALTHY: 100})
    for later in (1.0, 600.0):
        decision = decide(decision.state, replace(refused(replace(well, now=well.now + later)), written=written))
        assert [type(action) for action in decision.actions] == [Settle]
    confirmed = replace(well, now=well.now + 700.0, split=written)
    assert [type(action) for action in decide(decision.state, confirmed).actions] == [Retire]
    back = decide(ask(decision.state, "abort"), refused(well))
    assert back.state.phase is Phase.ROLLING_BACK


@pytest.mark.parametrize("weight", [5, 100])
def test_a_way_back_that_is_taken_back_ends_only_when_that_is_confirmed(weight: int) -> None:
    state, well = returning(weight)
    decision = decide(ask(state, "abort"), well)
    written = refused(world(well.now + 30.0, 0, 6))
    decision = decide(decision.state, written)
    assert (decision.state.phase, decision.state.zero_at) == (Phase.ROLLING_BACK, None)
    assert not any(isinstance(action, Settle | Retire) for action in decision.actions)


def undoing(weight: int) -> tuple[RunState, Snapshot]:
    """A run that goes back and whose gates need not pass."""
    state, well = returning(weight)
    plan = state.plan.model_copy(update={"release": as_return(state.plan.release)})
    return replace(state, plan=plan), well


UNTOLD = {
    "gates that cannot tell": {"verdict": UNDECIDED},
    "no counters": {"verdict": None, "canary_age": inf, "stable_age": inf},
    "no evidence on disk": {"evidence": None},
    "an odd share of players": {"players": (900, 1100)},
    "nobody left on stable": {"pods": {STABLE: pods(STABLE, 0), HEALTHY: pods(HEALTHY, 4)}},
}


@pytest.mark.parametrize("untold", UNTOLD.values(), ids=UNTOLD.keys())
def test_an_undo_waits_for_nothing_that_nobody_can_tell(untold: dict[str, object]) -> None:
    """Prevents: a bad version that keeps its players, because it fails so much that nothing can be compared with it."""
    state, well = undoing(5)
    decision = decide(state, replace(well, **untold))
    (passed,) = (each for each in decision.drafts if each.kind == "step.passed")
    assert passed.body["code"] == "returns"
    assert decide(returning(5)[0], replace(well, **untold)).state.step == state.step, (
        "with gates that must pass it waits"
    )


def test_an_undo_settles_whatever_the_share_of_players_is() -> None:
    state = replace(undoing(5)[0], phase=Phase.SETTLING, settled_at=None)
    settled = decide(state, replace(world(BEGAN + 30.0, 5, 1), players=(900, 1100)))
    assert "step.settled" in kinds(settled)


def test_an_undo_has_pods_a_confirmed_split_and_gates_against_it() -> None:
    state, well = undoing(5)
    unready = {STABLE: pods(STABLE, 4), HEALTHY: pods(HEALTHY, 0)}
    assert decide(state, replace(well, pods=unready)).state.step == state.step
    assert decide(state, replace(well, split=None)).state.step == state.step
    assert decide(state, replace(well, now=well.now - 600.0)).state.step == state.step, (
        "a few scrapes, so that gates see"
    )
    assert decide(state, replace(well, verdict=FAIL)).state.phase is Phase.ROLLING_BACK


DOWN = {STABLE: pods(STABLE, 4), HEALTHY: pods(HEALTHY, 0)}
CRASHED = {STABLE: pods(STABLE, 4), HEALTHY: pods(HEALTHY, 4, restarts=9)}
HARM = {
    "a failing gate": {"verdict": FAIL},
    "no ready pod": {"pods": DOWN, "down_seconds": 60.0},
    "crashing pods": {"pods": CRASHED},
}


@pytest.mark.parametrize("seen", HARM.values(), ids=HARM.keys())
def test_what_shows_after_the_steps_were_skipped_takes_it_back_until_somebody_confirms(seen: dict[str, object]) -> None:
    """Prevents: players who stay on pods that have ended, because nobody watches a run that promotes."""
    state, well = returning(100)
    promoting = decide(state, refused(well)).state
    assert promoting.phase is Phase.PROMOTING
    later = replace(refused(replace(well, now=well.now + 60.0)), **seen)
    assert decide(promoting, later).state.phase is Phase.ROLLING_BACK
    confirmed = replace(well, now=well.now + 60.0, **seen)
    assert decide(promoting, confirmed).state.phase is Phase.PROMOTING
    nowhere_to_go = replace(later, pods={**DOWN, STABLE: pods(STABLE, 0)})
    assert decide(promoting, nowhere_to_go).state.phase is Phase.PROMOTING


def test_a_way_back_is_not_given_up_because_nobody_takes_its_split_up() -> None:
    """Prevents: a revert in Git that waits for a person, because for ten minutes no API server took what it writes."""
    state, well = returning(5)
    settling = decide(state, well).state
    assert (settling.phase, settling.current.weight) == (Phase.SETTLING, 10)
    later = replace(well, now=well.now + 3600.0, split=None, faults={"traffic": "webhook refuses"})
    decision = decide(settling, later)
    assert decision.state.phase is Phase.SETTLING
    assert any(isinstance(action, SetSplit) for action in decision.actions), "it goes on trying"
    assert decide(replace(settling, returns=False), later).state.phase is Phase.ROLLING_BACK
    no_pods = replace(later, pods={STABLE: pods(STABLE, 4), HEALTHY: pods(HEALTHY, 0)})
    assert decide(settling, no_pods).state.phase is Phase.ROLLING_BACK


def test_gates_ask_of_a_way_back_for_no_players_that_nobody_may_have_sent_to_it() -> None:
    state, well = returning(25)
    assert weight_counted(state, well.split) == 25
    assert weight_counted(state, split(10, 2)) == 10, "what is in force, not what is asked for"
    assert weight_counted(state, None) == 100
    assert weight_counted(replace(state, returns=False), split(10, 2)) == 10
    assert weight_counted(replace(state, returns=False), None) == 25


GONE = {STABLE: pods(STABLE, 0), HEALTHY: pods(HEALTHY, 4)}


def bereft(s: Snapshot, seconds: float = UNCONFIRMED_SECONDS) -> Snapshot:
    """Stable has had no ready pod for so long: it is not counted any more, and whoever is seen is elsewhere."""
    return replace(s, pods=GONE, stable_down_seconds=seconds, stable_age=900.0, verdict=UNDECIDED, players=(100, 0))


def test_who_goes_back_from_a_version_without_a_ready_pod_waits_for_no_gate() -> None:
    """Prevents: nine of ten players on pods that are not there, until gates have compared with them."""
    state, well = returning(5)
    decision = decide(state, bereft(well))
    (passed,) = (each for each in decision.drafts if each.kind == "step.passed")
    assert (passed.body["code"], decision.state.current.weight) == ("stable-down", 10)
    settled = decide(decision.state, bereft(world(well.now + 1.0, 10, 2)))
    assert kinds(settled).count("step.passed") == 1
    assert decide(state, bereft(well, UNCONFIRMED_SECONDS - 1.0)).state.current.weight == 5, "a blip is none"
    assert decide(state, replace(bereft(well), verdict=FAIL)).state.phase is Phase.HELD, "nobody is there to go back to"
    unready = {STABLE: pods(STABLE, 0), HEALTHY: pods(HEALTHY, 0)}
    assert decide(state, replace(bereft(well), pods=unready)).state.current.weight == 5
    assert decide(replace(state, returns=False), bereft(well)).state.current.weight == 5


def test_a_way_back_that_is_held_goes_on_when_the_version_that_it_leaves_dies() -> None:
    state, well = returning(5)
    held = apply(state, Draft("step.held", RUN, well.now, {"step": 1, "code": "deadline", "reason": "no verdict"}))
    assert held.phase is Phase.HELD
    assert decide(held, bereft(well)).state.current.weight == 10
    assert decide(replace(held, returns=False), bereft(well)).state.phase is Phase.HELD


def test_a_way_back_is_not_given_up_because_nobody_takes_the_order_for_its_pods() -> None:
    state, crashing = replace(started(), returns=True), {STABLE: pods(STABLE, 4), HEALTHY: pods(HEALTHY, 0)}
    later = replace(world(BEGAN + 3600.0, 0, 0), pods=crashing, asked_seconds=state.current.settle_seconds - 1.0)
    assert decide(state, later).state.phase is Phase.PREPARING
    assert decide(state, replace(later, pods=None)).state.phase is Phase.PREPARING
    assert decide(replace(state, returns=False), later).state.phase is Phase.ROLLING_BACK
    in_vain = replace(later, asked_seconds=state.current.settle_seconds)
    assert decide(state, in_vain).state.phase is Phase.ROLLING_BACK
