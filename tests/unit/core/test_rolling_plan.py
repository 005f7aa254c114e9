"""The rolling plan: bounds that hold at every moment, and a way back from every step with players."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.world import HEALTHY, PAYMENTS, STABLE, release

from croupier.core.plans.release import plan_release
from croupier.core.plans.rolling import batches, rolling_steps
from croupier.model.plan import EnsureVersion, Plan, Reduce, SetSplit, Settle


def plan(replicas: int = 4, surge: int = 1, unavailable: int = 0) -> Plan:
    service = PAYMENTS.model_copy(update={"replicas": replicas})
    asked = release(strategy="rolling", max_surge=surge, max_unavailable=unavailable)
    asked = asked.model_copy(update={"steps": rolling_steps(service, asked)})
    return plan_release(
        run="r-0001", service=service, stable=STABLE, canary=HEALTHY, release=asked, ordinal=3, dispersion={}
    )


def test_players_move_with_the_pods() -> None:
    assert [step.name for step in plan().steps] == ["prepare", "25 %", "50 %", "75 %", "100 %", "finish"]
    assert [step.name for step in plan(unavailable=1).steps] == [
        *("prepare", "25 %", "room for 75 %", "75 %", "100 %", "finish"),
    ]


@given(st.integers(2, 64), st.integers(1, 8), st.integers(0, 8))
def test_pods_stay_within_their_bounds_at_every_moment(replicas: int, surge: int, unavailable: int) -> None:
    """Never more than replicas + surge exist, never fewer than replicas - unavailable serve; a pod that ends serves
    nobody any more."""
    new, old, serving_new, serving_old = 0, replicas, 0, replicas
    for step in plan(replicas, surge, unavailable).steps[:-1]:
        for action in step.actions:
            match action:
                case EnsureVersion():
                    new = max(new, action.replicas)
                case SetSplit():
                    serving_new = new if action.weight else 0
                    serving_old = old if action.stable_pods is None else min(old, action.stable_pods)
                case Reduce():
                    assert serving_old <= action.replicas
                    old = min(old, action.replicas)
            assert new + old <= replicas + surge
            assert serving_new + serving_old >= replicas - unavailable
    assert new == replicas
    assert old >= 1, "somebody is left to go back to"


@given(st.integers(2, 64), st.integers(1, 8), st.integers(0, 8))
def test_steps_rise_to_all_players(replicas: int, surge: int, unavailable: int) -> None:
    weights = [batch.weight for batch in batches(replicas, surge, unavailable)]
    assert weights == sorted(set(weights))
    assert weights[-1] == 100


@pytest.mark.parametrize("unavailable", [0, 1])
def test_the_way_back_brings_all_old_pods_before_players_return(unavailable: int) -> None:
    steps = plan(unavailable=unavailable).steps
    revisions = [action.revision for step in steps for action in step.actions if isinstance(action, SetSplit)]
    assert revisions == sorted(set(revisions))
    for step in steps[1:-1]:
        ensure, split, settle, _ = step.way_back
        assert isinstance(ensure, EnsureVersion)
        assert (ensure.digest, ensure.replicas) == (STABLE, 4)
        assert isinstance(split, SetSplit)
        assert (split.weight, split.stable_pods) == (0, None)
        assert split.revision > revisions[-1]
        assert isinstance(settle, Settle)
