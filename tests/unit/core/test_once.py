"""What a desk holds for long is kept once, and stays what it was."""

from __future__ import annotations

import pytest
from tests.support.world import HEALTHY, PAYMENTS, STABLE, release

from croupier.core.once import once
from croupier.core.plans.release import plan_release
from croupier.model.plan import EnsureVersion, Plan


def planned(run: str = "r-0001") -> Plan:
    plan = plan_release(
        run=run, service=PAYMENTS, stable=STABLE, canary=HEALTHY, release=release(), ordinal=0, dispersion={"errors": 2}
    )
    return Plan.model_validate_json(plan.model_dump_json())


def test_it_is_the_same_value_and_is_written_the_same() -> None:
    plan, other = planned(), planned()
    assert once(plan) is plan
    assert plan == other
    assert plan.model_dump_json() == other.model_dump_json()
    assert plan.model_dump_json(exclude_unset=True) == other.model_dump_json(exclude_unset=True)


def test_what_is_equal_in_a_plan_is_one_thing() -> None:
    before, after = planned(), once(planned())
    actions = [action for step in after.steps for action in (*step.actions, *step.way_back)]
    assert len(set(map(id, actions))) == len(set(actions)) < len(actions)
    assert len({id(each) for step in before.steps for each in (*step.actions, *step.way_back)}) == len(actions)


def test_values_of_two_kinds_are_two_things_whatever_they_say() -> None:
    plan = once(planned())
    kinds = [[type(action) for action in (*step.actions, *step.way_back)] for step in plan.steps]
    assert kinds == [[type(action) for action in (*step.actions, *step.way_back)] for step in planned().steps]


def test_plans_share_which_fields_were_given_but_a_copy_has_its_own() -> None:
    one, two = once(planned()), once(planned("r-0002"))
    assert one.steps[0].model_fields_set is two.steps[0].model_fields_set
    replicas = EnsureVersion(service=PAYMENTS.name, digest=HEALTHY, replicas=2)
    copied = once(replicas).model_copy(update={"kind": "ensure-version"})
    assert (copied.model_fields_set - replicas.model_fields_set, len(replicas.model_fields_set)) == ({"kind"}, 3)


@pytest.mark.parametrize("name", ["service", "stable", "canary"])
def test_words_are_one_thing_over_all_plans(name: str) -> None:
    assert getattr(once(planned()), name) is getattr(once(planned("r-0002")), name)
