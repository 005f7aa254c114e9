"""Whole releases in virtual time, on memory back ends."""

from __future__ import annotations

from tests.support.world import BROKEN, HEALTHY, LOSSY, PAYMENTS, STABLE, World, release


async def test_a_healthy_version_climbs_every_step_and_is_promoted() -> None:
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    run = await desk.start(release(), who="ann")
    view = await world.play(desk, run)
    assert (view.outcome, view.phase, view.weight) == ("promoted", "promoted", 100)
    assert world.serves() == {HEALTHY: 100}
    weights = [split.canary.weight for split in world.splits_set if split.canary]
    assert weights == [5, 10, 25, 50, 100]


async def test_a_version_that_loses_deposits_is_taken_back_without_a_person() -> None:
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    run = await desk.start(release(LOSSY), who="ann")
    view = await world.play(desk, run)
    assert (view.outcome, view.code) == ("rolled-back", "worse")
    assert world.serves() == {STABLE: 100}
    assert view.peak_weight == 5
    assert LOSSY not in {pods.digest for pods in await world.workloads.observe(PAYMENTS.name)}


async def test_a_version_that_is_never_ready_gets_no_player() -> None:
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    run = await desk.start(release(BROKEN), who="ann")
    view = await world.play(desk, run)
    assert (view.outcome, view.code, view.peak_weight) == ("rolled-back", "never-ready", 0)
    assert not world.splits_set
