"""Actions as calls of the ports."""

from __future__ import annotations

import pytest
from tests.support.world import HEALTHY, PAYMENTS, STABLE, World
from tests.unit.core.test_decide import started

from croupier.engine.handlers import Handlers
from croupier.model.plan import Retire, SetSplit
from croupier.model.traffic import Split
from croupier.model.workload import Pod, VersionPods


async def test_a_pod_without_an_address_moves_no_player_to_a_pod_that_is_to_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """``Reduce`` ends the last pods that are observed, whether or not those before them have an address."""
    world = await World.begin()
    (stable,) = await world.workloads.observe(PAYMENTS.name)
    lost = Pod(stable.pods[0].name, None, False, 1)
    split_set: list[Split] = []

    async def observe(service: str) -> list[VersionPods]:
        return [VersionPods(service, STABLE, stable.desired, (lost, *stable.pods[1:]))]

    async def set_split(split: Split) -> None:
        split_set.append(split)

    monkeypatch.setattr(world.workloads, "observe", observe)
    monkeypatch.setattr(world.traffic, "set_split", set_split)
    action = SetSplit(
        service=PAYMENTS.name, stable=STABLE, canary=HEALTHY, weight=0, offset=0, revision=1, stable_pods=3
    )
    await Handlers(world.traffic, world.workloads).carry_out(started(), action)
    assert split_set[0].stable.endpoints == (stable.pods[1].endpoint, stable.pods[2].endpoint)


@pytest.mark.parametrize(("traffic", "seconds"), [("websocket", 5.0), ("http", 60.0)])
async def test_old_pods_have_the_time_that_the_plan_recorded(
    monkeypatch: pytest.MonkeyPatch, traffic: str, seconds: float
) -> None:
    """Prevents: requests that are cut because somebody wrote ``traffic: websocket`` in the middle of a release."""
    world = await World.begin()
    given: list[float | None] = []

    async def retire(service: str, digest: str, drain_seconds: float | None = None) -> None:
        given.append(drain_seconds)

    monkeypatch.setattr(world.workloads, "retire", retire)
    state = started(PAYMENTS.model_copy(update={"traffic": traffic, "drain_seconds": 60.0}))
    await Handlers(world.traffic, world.workloads).carry_out(state, Retire(service=PAYMENTS.name, digest=STABLE))
    assert given == [seconds]
