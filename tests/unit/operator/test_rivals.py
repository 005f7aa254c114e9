"""Two policies for one Service or one Deployment: one acts, the other says why it does not."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.small_cluster import NAMESPACE, POLICY_NAME, SERVICES, SmallCluster, condition, is_ready

from croupier.adapters.kubernetes_api import RELEASE_POLICIES


@pytest.fixture
async def world() -> AsyncIterator[SmallCluster]:
    async with SmallCluster.begin() as world:
        yield world


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"deployment": POLICY_NAME, "service": {"name": "other"}}, "spec.deployment: payments-api belongs to"),
        ({"deployment": "other", "service": {"name": POLICY_NAME}}, "spec.service.name: payments-api belongs to"),
    ],
)
async def test_the_second_policy_for_what_another_has_does_nothing_and_says_so(
    world: SmallCluster, spec: dict[str, Any], said: str
) -> None:
    """Callers were led to a version of the second one, which no gate had seen."""
    operator = await world.operator()
    await world.open(operator)
    await world.commit(name="other", config=False)
    await world.commit(BUILD="2")
    await world.declare(name="a-second", **spec)  # before the first by its name
    seen = set()
    for _ in range(30):
        await world.tick(operator)
        seen.add(world.find(SERVICES, POLICY_NAME)["spec"]["selector"]["croupier.dev/policy"])
    assert seen == {POLICY_NAME}
    stalled = condition(world.status("a-second"), "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "InvalidSpec")
    assert f"{said} ReleasePolicy {NAMESPACE}/{POLICY_NAME}" in stalled["message"]
    assert not [entry for entry in world.entries("run.planned") if "a-second" in str(entry.body)]


async def test_an_older_policy_that_is_edited_takes_nothing_away(world: SmallCluster) -> None:
    operator = await world.operator()
    await world.commit(name="an-older", config=False)
    await world.declare(name="an-older", suspend=True)
    world.clock.time += 60.0
    await world.open(operator)
    await world.declare(name="an-older", service={"name": POLICY_NAME})
    for _ in range(10):
        await world.tick(operator)
    assert is_ready(world.status())
    assert condition(world.status("an-older"), "Stalled")["reason"] == "InvalidSpec"
    assert world.find(SERVICES, POLICY_NAME)["spec"]["selector"]["croupier.dev/policy"] == POLICY_NAME


async def test_who_has_the_service_keeps_it_and_the_other_takes_over_when_it_is_gone(world: SmallCluster) -> None:
    operator = await world.operator()
    await world.open(operator)
    await world.declare(name="second", deployment=POLICY_NAME, service={"name": POLICY_NAME})
    await world.until(operator, lambda status: bool(status.get("conditions")), name="second")
    assert is_ready(world.status()), "the older one goes on"
    await world.git.delete(RELEASE_POLICIES, POLICY_NAME, namespace=NAMESPACE)
    await world.until(operator, is_ready, name="second")
    assert world.find(SERVICES, POLICY_NAME)["spec"]["selector"]["croupier.dev/policy"] == "second"
