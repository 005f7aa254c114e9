"""The canary plan (S4.5)."""

from __future__ import annotations

from typing import Literal

import pytest
from tests.support.world import HEALTHY, IDENTITY, PAYMENTS, STABLE, release

from croupier.core.plans.canary import canary_replicas, hold_back
from croupier.core.plans.defaults import default_policy
from croupier.core.plans.release import at_once, cannot_be_judged, plan_release
from croupier.model.plan import EnsureVersion, Plan, Retire, SetSplit, Settle
from croupier.model.service import LATENCY_EDGES, Objective, Service


def plan(service: Service = PAYMENTS, ordinal: int = 0) -> Plan:
    return plan_release(
        run="r-0001",
        service=service,
        stable=STABLE,
        canary=HEALTHY,
        release=release(service=service.name),
        ordinal=ordinal,
        dispersion={"deposits": 1.5},
    )


def test_the_steps_are_prepare_5_10_25_50_100_finish() -> None:
    assert [step.name for step in plan().steps] == ["prepare", "5 %", "10 %", "25 %", "50 %", "100 %", "finish"]
    assert [step.weight for step in plan().steps] == [0, 5, 10, 25, 50, 100, 100]


@pytest.mark.parametrize(
    ("service", "asked", "kept"), [(PAYMENTS, None, 1), (IDENTITY, None, 0), (IDENTITY, 3, 3), (PAYMENTS, 0, 0)]
)
def test_the_money_tier_leaves_one_percent_with_the_old_version_through_the_bake(
    service: Service, asked: int | None, kept: int
) -> None:
    """Release gates §1.9, "100 %": there must be somebody left to compare with."""
    planned = plan_release(
        run="r-0001",
        service=service,
        stable=STABLE,
        canary=HEALTHY,
        release=release(service=service.name, hold_back_percent=asked),
        ordinal=0,
        dispersion={},
    )
    bake, finish = planned.steps[-2:]
    assert (bake.weight, bake.name, bake.hold.gates) == (100 - kept, f"{100 - kept} %", False)
    assert bake.hold.dwell_seconds == planned.release.bake_seconds
    assert (finish.weight, [type(action) for action in finish.actions]) == (100, [Settle, Retire])


@pytest.mark.parametrize(
    ("service", "asked", "kept"), [(PAYMENTS, None, 300.0), (IDENTITY, None, 60.0), (PAYMENTS, 7.0, 7.0)]
)
def test_the_old_version_of_money_is_kept_for_five_minutes_where_nobody_says(
    service: Service, asked: float | None, kept: float
) -> None:
    wanted = release(service=service.name, bake_seconds=asked)
    planned = plan_release(
        run="r-0001", service=service, stable=STABLE, canary=HEALTHY, release=wanted, ordinal=0, dispersion={}
    )
    assert planned.steps[-2].hold.dwell_seconds == kept


def test_who_moves_everybody_at_once_holds_nobody_back() -> None:
    assert hold_back(release(steps=(100,), hold_back_percent=None), PAYMENTS) == 0


@pytest.mark.parametrize("strategy", ["canary", "rolling"])
def test_a_release_at_once_has_one_step_whatever_was_asked_for(strategy: Literal["canary", "rolling"]) -> None:
    asked = at_once(release(strategy=strategy, hold_back_percent=5, bake_seconds=7.0))
    planned = plan_release(
        run="r-0001", service=PAYMENTS, stable=STABLE, canary=HEALTHY, release=asked, ordinal=0, dispersion={}
    )
    assert [step.weight for step in planned.steps] == [0, 100, 100]
    assert planned.steps[1].hold.dwell_seconds == 7.0


@pytest.mark.parametrize(
    ("returns", "is_confirmed", "is_up", "expected"),
    [
        (True, True, True, False),
        (True, False, True, True),
        (True, True, False, True),
        (False, False, False, False),
    ],
)
def test_only_a_way_back_goes_on_without_who_does_not_answer(
    returns: bool, is_confirmed: bool, is_up: bool, expected: bool
) -> None:
    assert cannot_be_judged(returns=returns, is_confirmed=is_confirmed, is_up=is_up) is expected


@pytest.mark.parametrize(("steps", "kept"), [((5, 98, 100), 1), ((5, 99, 100), 0), ((5, 50, 100), 5)])
def test_the_hold_back_never_sends_players_of_the_step_before_back(steps: tuple[int, ...], kept: int) -> None:
    assert hold_back(release(steps=steps, hold_back_percent=5), PAYMENTS) == kept


def test_every_step_with_traffic_can_be_taken_back_capacity_first() -> None:
    for step in plan().steps[1:-1]:
        kinds = [type(action) for action in step.way_back]
        assert kinds == [EnsureVersion, SetSplit, Settle, Retire]
        assert step.way_back[0].digest == STABLE
        assert step.way_back[1].weight == 0


def test_revisions_only_rise_also_on_the_way_back() -> None:
    steps = plan().steps
    forward = [action.revision for step in steps for action in step.actions if isinstance(action, SetSplit)]
    back = {action.revision for step in steps for action in step.way_back if isinstance(action, SetSplit)}
    assert forward == [1, 2, 3, 4, 5]
    assert back == {6}


def test_the_window_of_players_turns_from_release_to_release() -> None:
    def window(ordinal: int) -> set[int]:
        split = next(action for action in plan(ordinal=ordinal).steps[1].actions if isinstance(action, SetSplit))
        return {(split.offset + slot) % 10_000 for slot in range(500)}

    for ordinal in range(8):
        assert not window(ordinal) & window(ordinal + 1), "nobody is first twice in a row"


@pytest.mark.parametrize(("weight", "pods"), [(1, 2), (5, 2), (25, 2), (49, 2), (50, 4), (100, 4)])
def test_there_are_two_pods_at_least_and_all_from_half_on(weight: int, pods: int) -> None:
    assert canary_replicas(PAYMENTS, weight) == pods
    assert canary_replicas(PAYMENTS.model_copy(update={"replicas": 20}), 25) == 5


@pytest.mark.parametrize(("service", "at_deadline"), [(PAYMENTS, "back"), (IDENTITY, "hold")])
def test_the_money_tier_goes_back_at_a_deadline_and_others_hold(service: Service, at_deadline: str) -> None:
    assert {step.hold.at_deadline for step in plan(service).steps[1:-1]} == {at_deadline}


def test_gates_come_from_the_objectives_and_errors_are_always_watched() -> None:
    assert [gate.signal for gate in default_policy(IDENTITY).gates] == ["errors"]
    payments = PAYMENTS.model_copy(
        update={
            "objectives": (
                Objective(signal="latency", p95_seconds=0.4),
                Objective(signal="deposits", success_ratio=0.9985),
                Objective(signal="withdrawals", success_ratio=0.99),
            )
        }
    )
    policy = default_policy(payments)
    assert [(gate.signal, gate.role, gate.objective_ratio) for gate in policy.gates] == [
        ("deposits", "required", 0.9985),
        ("errors", "required", None),
        ("withdrawals", "veto", 0.99),
        ("latency", "veto", None),
    ]
    assert policy.latency_edges == LATENCY_EDGES
    assert all(gate.margin.points is not None for gate in policy.gates if gate.role == "required")
