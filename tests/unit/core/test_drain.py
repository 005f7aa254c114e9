"""Sockets of a version that leaves: how long they are waited for, what is told of those that are cut (S4.5, S6.7)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.world import HEALTHY, PAYMENTS, STABLE, release
from tests.unit.core.test_decide import BEGAN, SERVES_STABLE, pods, split, world

from croupier.core.decide import Decision, decide
from croupier.core.drain import COUNT_SECONDS, is_count_due, leaving, retire_seconds
from croupier.core.phases import Phase
from croupier.core.plans.release import plan_release
from croupier.core.run import RunState, apply, begin, story_line
from croupier.core.snapshot import Snapshot
from croupier.engine.views import accepted
from croupier.model.journal import Draft
from croupier.model.plan import Plan, Retire, SetSplit, Settle
from croupier.model.traffic import ObservedSplit

RUN = "r-0001"
TABLES = PAYMENTS.model_copy(update={"traffic": "websocket", "drain_seconds": 60.0})
SERVES_CANARY = ObservedSplit(service=PAYMENTS.name, run="-", revision=0, weights={HEALTHY: 100})


def planned(hold_back: int = 1) -> Plan:
    return plan_release(
        run=RUN,
        service=TABLES,
        stable=STABLE,
        canary=HEALTHY,
        release=release(steps=(5, 100), hold_back_percent=hold_back),
        ordinal=0,
        dispersion={},
    )


def on_the_way(*drafts: tuple[str, dict[str, object]], hold_back: int = 1) -> RunState:
    plan = planned(hold_back).model_dump(mode="json", by_alias=True)
    state = begin(Draft("run.planned", RUN, BEGAN, {"plan": plan, "stable": "first", "canary": "new"}))
    for kind, body in drafts:
        state = apply(state, Draft(kind, RUN, BEGAN, body))  # type: ignore[arg-type]
    return state


def promoting(hold_back: int = 1) -> RunState:
    drafts: list[tuple[str, dict[str, object]]] = [("run.started", {"restarts": {}}), ("step.settled", {"step": 0})]
    for step in (1, 2):
        drafts += [("step.entered", {"step": step, "name": "", "weight": 5}), ("step.settled", {"step": step})]
        drafts += [("step.passed", {"code": "", "players": 0})]
    return on_the_way(*drafts, ("run.promoting", {"code": "baked", "reason": ""}), hold_back=hold_back)


def looking(seconds: float, weight: int, revision: int, sockets: int | None) -> Snapshot:
    return replace(world(BEGAN + seconds, weight, revision), verdict=None, open_sockets=sockets)


def types(decision: Decision) -> list[type]:
    return [type(action) for action in decision.actions]


def told(decision: Decision) -> list[str]:
    return [line for draft in decision.drafts if (line := story_line(draft))]


def moved() -> Decision:
    """Promoted, and the data plane sends nobody to the old version any more."""
    decision = decide(promoting(), looking(1.0, 99, 2, None))
    assert types(decision) == [SetSplit]
    assert leaving(decision.state) is None
    decision = decide(decision.state, looking(2.0, 100, 4, 40))
    assert "traffic.moved" in [draft.kind for draft in decision.drafts]
    assert leaving(decision.state) == STABLE
    return decision


def test_a_promotion_waits_until_no_socket_to_the_old_version_is_open() -> None:
    decision = moved()
    assert decision.actions == (), "the count is older than the move"
    decision = decide(decision.state, looking(30.0, 100, 4, 1))
    assert (decision.actions, decision.drafts) == ((), ())
    decision = decide(decision.state, looking(31.0, 100, 4, 0))
    assert types(decision) == [Settle]
    assert told(decision) == ["no socket to the old version was open any more after 29 s"]
    settled = replace(looking(32.0, 100, 4, None), split=SERVES_CANARY)
    decision = decide(decision.state, settled)
    assert types(decision) == [Retire]
    decision = decide(decision.state, replace(settled, pods={HEALTHY: pods(HEALTHY, 4)}))
    assert (decision.state.phase, decision.state.cut_sockets) == (Phase.PROMOTED, 0)


def test_what_is_open_when_the_time_is_over_is_cut_and_told() -> None:
    decision = decide(moved().state, looking(61.9, 100, 4, 37))
    assert decision.actions == ()
    decision = decide(decision.state, looking(62.0, 100, 4, 37))
    assert types(decision) == [Settle]
    assert told(decision) == ["37 sockets were still open to the old version after 60 s: cut"]
    assert decision.state.cut_sockets == 37


def test_what_nobody_can_count_is_waited_for_to_the_end_and_not_called_none() -> None:
    decision = decide(moved().state, looking(61.9, 100, 4, None))
    assert decision.actions == ()
    decision = decide(decision.state, looking(62.0, 100, 4, None))
    assert types(decision) == [Settle]
    assert told(decision) == ["the old version ends after 60 s: nobody could count the sockets that it still had"]
    assert decision.state.cut_sockets is None


def test_where_nobody_is_held_back_the_old_version_has_been_left_already() -> None:
    plan = planned(hold_back=0)
    assert [type(action) for action in plan.steps[-1].actions] == [Settle, Retire]
    decision = decide(promoting(hold_back=0), looking(1.0, 100, 2, 12))
    assert leaving(decision.state) == STABLE
    assert decision.actions == ()


def test_the_way_back_waits_for_the_canarys_sockets() -> None:
    state = on_the_way(
        ("run.started", {"restarts": {}}),
        ("step.settled", {"step": 0}),
        ("step.entered", {"step": 1, "name": "5 %", "weight": 5}),
        ("intent", {"actions": [planned().steps[1].actions[1].model_dump(mode="json", by_alias=True)]}),
        ("run.rolling-back", {"code": "worse", "reason": "worse"}),
    )
    decision = decide(state, looking(1.0, 0, 3, 9))
    assert (leaving(decision.state), decision.actions) == (HEALTHY, ())
    decision = decide(decision.state, looking(6.5, 0, 3, 9))
    assert decision.actions == (), "players who play are not cut"
    decision = decide(decision.state, looking(61.0, 0, 3, 1))
    assert types(decision) == [Settle]
    assert told(decision) == ["1 socket was still open to the canary after 60 s: cut"]
    decision = decide(decision.state, replace(looking(62.0, 0, 3, None), split=SERVES_STABLE))
    assert types(decision) == [Retire]


def ask_back(state: RunState) -> RunState:
    body = {"command": "abort", "who": "ann", "reason": "it is bad after all"}
    return apply(state, Draft("command", RUN, BEGAN, body))


@pytest.mark.parametrize("is_moved", [False, True])
def test_a_person_may_go_back_while_the_old_version_has_sockets(is_moved: bool) -> None:
    """Its pods are there: nobody is made to stay on a bad version for as long as its sockets are waited for."""
    state = moved().state if is_moved else replace(promoting(), peak_weight=99)
    assert accepted(state, None) == ("abort",)
    decision = decide(ask_back(state), looking(10.0, 100, 4, 40))
    assert (decision.state.phase, decision.state.code) == (Phase.ROLLING_BACK, "aborted")
    assert next(each for each in decision.actions if isinstance(each, SetSplit)).weight == 0
    decision = decide(decision.state, looking(11.0, 0, 5, 9))
    assert (leaving(decision.state), decision.actions) == (HEALTHY, ()), "now the canary is waited for"
    decision = decide(decision.state, looking(12.0, 0, 5, 0))
    assert types(decision) == [Settle]
    decision = decide(decision.state, replace(looking(13.0, 0, 5, None), split=SERVES_STABLE))
    assert types(decision) == [Retire]
    only_stable = replace(looking(14.0, 0, 5, None), split=SERVES_STABLE, pods={STABLE: pods(STABLE, 4)})
    assert decide(decision.state, only_stable).state.phase is Phase.ROLLED_BACK


def test_nobody_goes_back_by_an_abort_once_the_old_version_has_been_waited_for() -> None:
    state = decide(moved().state, looking(31.0, 100, 4, 0)).state
    assert accepted(state, None) == ()
    assert decide(ask_back(state), looking(32.0, 100, 4, 0)).state.phase is Phase.PROMOTING


def test_sockets_are_counted_seldom_and_their_end_is_seen_soon() -> None:
    """Each count asks every pod of the version, and a wait may last for hours."""
    state = moved().state
    counted = [BEGAN + 2.0]
    for half in range(1, 116):
        now = BEGAN + 2.0 + half / 2
        if is_count_due(state, now, counted[-1]):
            assert now - counted[-1] <= max(0.5, min(COUNT_SECONDS, 0.3 * (now - BEGAN)))
            counted.append(now)
    assert len(counted) < 30
    assert counted[-1] - counted[-2] == COUNT_SECONDS
    assert is_count_due(state, BEGAN + 62.0, BEGAN + 61.5), "those that are cut are told as they are then"
    assert is_count_due(state, BEGAN + 30.0, BEGAN + 31.0), "the clock was set back"


def test_who_has_waited_for_sockets_gives_pods_only_the_time_until_proxies_have_heard() -> None:
    assert retire_seconds(planned()) == 5.0
    assert retire_seconds(planned().model_copy(update={"drain_seconds": 2.0})) == 2.0
    assert retire_seconds(planned().model_copy(update={"waits_for_sockets": False})) == 60.0


def test_a_person_may_go_back_while_nobody_confirms_that_the_old_version_is_left() -> None:
    """Prevents: everybody on a bad version until a gateway answers, because the run was just about to end."""
    state = decide(moved().state, looking(31.0, 100, 4, 0)).state
    fault = {"traffic": "HTTPRoute casino/tables is not confirmed: the mesh is down"}
    silent = replace(looking(40.0, 100, 4, None), split=None, faults=fault)
    state = decide(state, silent).state
    assert accepted(state, None) == ("abort",)
    decision = decide(ask_back(state), replace(silent, now=BEGAN + 41.0))
    assert decision.state.phase is Phase.ROLLING_BACK
    assert next(each for each in decision.actions if isinstance(each, SetSplit)).weight == 0


@pytest.mark.parametrize("traffic", ["http", "batch"])
def test_a_service_without_sockets_ends_its_old_version_at_once(traffic: str) -> None:
    plan = plan_release(
        run=RUN,
        service=TABLES.model_copy(update={"traffic": traffic}),
        stable=STABLE,
        canary=HEALTHY,
        release=release(hold_back_percent=1),
        ordinal=0,
        dispersion={},
    )
    assert not plan.waits_for_sockets
    assert [type(action) for action in plan.steps[-1].actions] == [Settle, Retire]


def test_a_split_that_falls_back_while_sockets_are_waited_for_is_set_again() -> None:
    """Somebody restarted the edge with an older file: players must not return to a version that leaves."""
    decision = decide(moved().state, replace(looking(10.0, 99, 2, 5), split=split(99, 2)))
    assert types(decision) == [SetSplit]
