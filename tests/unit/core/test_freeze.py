"""Freeze windows (S12.3): what goes forward waits for their end, what goes back never does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.world import LOSSY, PAYMENTS, STABLE
from tests.unit.core.test_decide import BEGAN, FAIL, RUN, ask, holding, kinds, pods, started, world

from croupier.core.decide import decide
from croupier.core.freeze import before, freeze_of, in_force
from croupier.core.phases import Phase
from croupier.core.run import RunState, apply
from croupier.model.freeze import Freeze
from croupier.model.journal import Draft
from croupier.model.plan import SetSplit


def window(
    name: str = "cup-final", *, from_at: float = 0.0, until_at: float = 1e9, services: tuple[str, ...] = ()
) -> Freeze:
    return Freeze(
        name=name,
        title="Cup final",
        from_at=from_at,
        until_at=until_at,
        until="2030-07-14 21:00 Europe/Stockholm",
        services=services,
    )


def override(state: RunState, *names: str) -> RunState:
    body = {"command": "override", "who": "bob", "reason": "hotfix", "overridden": list(names)}
    return apply(state, Draft("command", RUN, BEGAN, body))


# --- which windows are open -------------------------------------------------------------------------------------------


def test_a_window_holds_from_its_first_moment_to_its_end_and_for_its_services() -> None:
    final = window(from_at=100.0, until_at=200.0, services=("bets",))
    assert [in_force([final], "bets", at) for at in (99.9, 100.0, 199.9, 200.0)] == [(), (final,), (final,), ()]
    assert in_force([final], "identity", 150.0) == ()


def test_of_two_open_windows_the_one_that_ends_last_is_named_first() -> None:
    early, late = window("a", until_at=10.0), window("b", until_at=20.0)
    assert in_force([early, late], "bets", 1.0) == (late, early)


# --- what waits -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("weight", [5, 50, 100])
def test_a_step_is_held_by_a_freeze_that_it_names_with_its_end(weight: int) -> None:
    state, well = holding(weight)
    decision = decide(state, replace(well, freezes=(window(),)))
    assert decision.state.phase is Phase.HELD
    assert (decision.state.code, decision.actions) == ("freeze", ())
    assert "cup-final (Cup final) until 2030-07-14 21:00 Europe/Stockholm" in decision.state.reason
    held = decision.drafts[-1]
    assert held.kind == "step.held"
    assert held.body["freeze"] == window().model_dump(mode="json", by_alias=True)


def test_a_freeze_of_any_length_meets_no_deadline_and_the_run_goes_on_by_itself() -> None:
    state, well = holding(5)
    state = decide(state, replace(well, freezes=(window(),))).state
    hours = replace(well, now=well.now + 86_400.0, freezes=(window(),))
    assert decide(state, hours).drafts == ()
    after = decide(state, replace(hours, freezes=()))
    assert kinds(after)[0] == "run.resumed"
    assert after.state.phase is Phase.HOLDING
    later = replace(well, now=hours.now + 60.0)
    assert decide(after.state, later).state.current.weight == 10


def test_nobody_is_moved_who_was_not_when_the_freeze_began() -> None:
    state, well = holding(5)
    entered = decide(state, well).state  # 10 % is entered and intended, and not in force
    assert entered.current.weight == 10
    frozen = decide(entered, replace(well, now=well.now + 1.0, freezes=(window(),)))
    assert frozen.state.phase is Phase.HELD
    assert [each.weight for each in frozen.actions if isinstance(each, SetSplit)] in ([], [10])
    later = decide(frozen.state, replace(world(well.now + 5.0, 10, 2), freezes=(window(),)))
    assert later.actions == ()


def test_a_run_that_prepares_puts_no_player_on_the_canary_and_is_not_called_late() -> None:
    state, ready = started(), world(BEGAN + 1000.0, 0, 0)
    frozen = replace(ready, freezes=(window(),))
    assert decide(state, frozen).state.phase is Phase.PREPARING
    assert decide(state, ready).state.phase is Phase.SETTLING


def test_a_pod_that_is_not_ready_for_a_moment_of_a_freeze_does_not_take_a_run_back_that_waits_for_its_end() -> None:
    state, ready = started(), world(BEGAN + 1000.0, 0, 0)
    assert ready.pods is not None
    blip = {digest: pods(digest, 0) for digest in ready.pods}
    assert decide(state, replace(ready, pods=blip)).state.code == "never-ready"
    frozen = decide(state, replace(ready, pods=blip, freezes=(window(),)))
    assert frozen.state.phase is Phase.PREPARING
    assert decide(frozen.state, ready).state.phase is Phase.SETTLING
    assert decide(ask(frozen.state, "abort"), replace(ready, freezes=(window(),))).state.phase is Phase.ROLLING_BACK


def test_a_person_does_not_promote_in_a_freeze() -> None:
    state, well = holding(5)
    frozen = replace(well, freezes=(window(),))
    assert decide(ask(state, "promote"), frozen).state.phase is Phase.HELD
    held = decide(state, frozen).state
    assert "step.passed" not in kinds(decide(ask(held, "promote"), frozen))


# --- what never waits -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_held", [False, True])
def test_a_failing_gate_and_a_person_take_it_back_in_a_freeze(is_held: bool) -> None:
    state, well = holding(25)
    frozen = replace(well, freezes=(window(),))
    state = decide(state, frozen).state if is_held else state
    assert decide(state, replace(frozen, verdict=FAIL)).state.phase is Phase.ROLLING_BACK
    back = decide(ask(state, "abort"), frozen)
    assert (back.state.phase, back.state.code) == (Phase.ROLLING_BACK, "aborted")
    assert back.actions


def test_a_release_of_what_was_stable_before_is_a_way_back_and_is_not_frozen() -> None:
    state, well = holding(5)
    returning = replace(state, returns=True)
    assert decide(returning, replace(well, freezes=(window(),))).state.current.weight == 10
    assert before(replace(state, phase=Phase.PROMOTED)) == STABLE
    assert before(replace(state, phase=Phase.PROMOTED, returns=True)) == "", "who was left by going back is no way back"
    assert before(None) == ""


@pytest.mark.parametrize("phase", [Phase.HELD, Phase.ROLLING_BACK, Phase.ROLLED_BACK])
def test_a_run_that_moved_nobody_for_good_leaves_the_way_back_of_before_it(phase: Phase) -> None:
    state, _ = holding(5)
    assert before(replace(state, phase=phase)) == ""
    assert before(replace(state, phase=phase, before=LOSSY)) == LOSSY


# --- the override -----------------------------------------------------------------------------------------------------


def test_an_override_lets_one_run_pass_one_window() -> None:
    state, well = holding(5)
    frozen = replace(well, freezes=(window(),))
    held = decide(state, frozen).state
    freed = override(held, "cup-final")
    assert freed.command is None
    assert decide(freed, frozen).state.phase is Phase.HOLDING
    assert freeze_of(freed, replace(frozen, freezes=(window("payday"), window()))) == window("payday")


def test_an_override_names_the_calendar_too_and_one_of_before_counts_for_every_namesake() -> None:
    state, well = holding(5)
    football, hockey = (window().model_copy(update={"calendar": each}) for each in ("football", "hockey"))
    frozen = replace(well, freezes=(football, hockey))
    assert freeze_of(override(state, "football/cup-final"), frozen) == hockey
    assert freeze_of(override(state, "cup-final"), frozen) is None


def test_an_override_takes_no_other_commands_place() -> None:
    state, _ = holding(5)
    assert override(ask(state, "abort"), "cup-final").command is not None


def test_a_start_in_spite_of_a_freeze_is_told_with_its_reason() -> None:
    body = {"restarts": {}, "who": "ann", "reason": "hotfix", "overridden": ["cup-final"]}
    state = apply(replace(started(), phase=Phase.PLANNED), Draft("run.started", RUN, BEGAN, body))
    assert state.overridden == ("cup-final",)
    assert state.story[-1].text == "started by ann in spite of the freeze cup-final: hotfix"
    assert in_force([window()], PAYMENTS.name, 1.0)
