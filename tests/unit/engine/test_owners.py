"""Where services come and go, a run belongs to what it was started for, and ends with it."""

from __future__ import annotations

import pytest
from tests.support.world import HEALTHY, PAYMENTS, World, release

from croupier.engine.desk import Desk

RUN = "r-0001"


async def started(owner: str = "") -> tuple[World, Desk]:
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    await desk.start(release(HEALTHY), owner=owner)
    await desk.round()
    return world, desk


async def test_a_run_is_found_by_whom_it_was_started_for_also_after_a_restart() -> None:
    world, desk = await started("uid-1")
    for each in (desk, world.desk()):
        await each.open()
        found = await each.last_run(PAYMENTS.name, owner="uid-1")
        assert found is not None
        assert found.run == RUN
        assert (await each.last_run(PAYMENTS.name, owner="uid-2")) is None
        assert (await each.last_run(PAYMENTS.name)) == found
        assert each.live_owners() == {RUN: (PAYMENTS.name, "uid-1")}


async def test_a_run_that_was_started_for_nobody_is_everybodys() -> None:
    _, desk = await started()
    assert (await desk.last_run(PAYMENTS.name, owner="uid-1")) is not None


@pytest.mark.parametrize(
    ("phase", "outcome"),
    [("preparing", "rolled-back"), ("holding", "rolled-back"), ("promoting", "promoted")],
)
async def test_a_run_whose_service_is_gone_is_ended_in_any_phase(phase: str, outcome: str) -> None:
    world, desk = await started("uid-1")
    if phase != "preparing":
        await world.play(desk, RUN, until=lambda view: view.phase == phase)
    await desk.give_up(RUN, "the policy was deleted")
    for _ in range(2):
        view = await desk.run_view(RUN)
        assert (view.outcome, view.code) in {(outcome, "gone"), (outcome, "promoted")}
        await desk.give_up(RUN, "again")
        await desk.round()
    assert len(world.entries("run.ended")) == 1
    assert desk.live_owners() == {}


async def test_a_command_that_is_brought_again_is_written_down_once() -> None:
    world, desk = await started()
    await world.play(desk, RUN, until=lambda view: view.phase == "holding")
    for _ in range(2):
        await desk.command(RUN, "pause", "ann", request="a1")
    again = world.desk()
    await again.command(RUN, "pause", "ann", request="a1")
    assert len(world.entries("command")) == 1
