"""Going back to the version before (ADR 22): by little that gates may stop, and by nothing that they cannot tell."""

from __future__ import annotations

import pytest
from tests.support.world import HEALTHY, PAYMENTS, PLATFORM, STABLE, World, release

from croupier.engine.desk import Desk
from croupier.errors import Refused
from croupier.model.freeze import Freeze


async def promoted() -> tuple[World, Desk]:
    """A world in which HEALTHY has taken STABLE's place."""
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    assert (await world.play(desk, await desk.start(release(), who="ann"))).outcome == "promoted"
    return world, desk


async def test_undo_goes_back_in_two_steps_and_asks_no_gate_to_pass() -> None:
    world, desk = await promoted()
    back = await desk.way_back(PAYMENTS.name)
    assert (back.digest, back.steps, back.policy.needs_pass) == (STABLE, (5, 100), False)
    preview = await desk.plan(back)
    assert preview.forecast.decidable
    assert [step.waits_for for step in preview.forecast.steps] == ["dwell", "bake"]
    began = world.clock.now()
    run = await desk.start(back, who="ann")
    await world.play(desk, run, until=lambda view: view.weight == 100)
    assert world.clock.now() - began <= 30.0
    assert (await world.play(desk, run)).outcome == "promoted"
    assert world.serves() == {STABLE: 100}
    (passed,) = (
        each for each in world.entries("step.passed") if each.subject == run and each.body["code"] == "returns"
    )
    assert passed.body["reason"] == "a way back waits for no proof, and no gate speaks against it"


async def test_undo_works_where_nothing_is_counted_and_where_stable_fails() -> None:
    """Prevents: players who stay on a bad version, because it fails so much that no gate can tell anything."""
    world, desk = await promoted()
    world.failures[HEALTHY, "errors"] = 0.9
    await world.rounds(desk, 4)
    run = await desk.start(await desk.way_back(PAYMENTS.name), who="ann")
    world.per_second = {}
    await world.play(desk, run, until=lambda view: view.weight == 100, seconds=60.0)
    assert world.serves() == {STABLE: 100}


async def test_a_desk_that_has_just_started_goes_back() -> None:
    world, _ = await promoted()
    desk = world.desk()
    run = await desk.start(await desk.way_back(PAYMENTS.name), who="ann")
    await world.play(desk, run, until=lambda view: view.weight == 100, seconds=60.0)


async def test_gates_take_an_undo_back_when_the_old_version_is_the_worse_one() -> None:
    world, desk = await promoted()
    world.failures[STABLE, "deposits"] = 0.5
    run = await desk.start(await desk.way_back(PAYMENTS.name), who="ann")
    view = await world.play(desk, run)
    assert (view.outcome, view.code, view.step_name) == ("rolled-back", "worse", "5 %")
    assert world.serves() == {HEALTHY: 100}


async def test_an_undo_counts_towards_no_limit() -> None:
    world, _ = await promoted()
    desk = world.desk(most_live=1)
    await world.warm(desk)
    await desk.start(release(service="identity"), who="ann")
    assert await desk.start(await desk.way_back(PAYMENTS.name), who="ann")


async def test_what_an_undo_has_left_is_something_new() -> None:
    """Prevents: a bad version that comes back past freeze, checklist and gates, because it served before."""
    world, desk = await promoted()
    await world.play(desk, await desk.start(await desk.way_back(PAYMENTS.name), who="ann"))
    now = world.clock.now()
    await desk.declare(
        PLATFORM, [Freeze(name="final", title="Final", from_at=now, until_at=now + 600.0, until="later")]
    )
    with pytest.raises(Refused, match="final"):
        await desk.start(release(HEALTHY), who="ann")
    with pytest.raises(Refused, match="nothing is known that served before what serves payments-api now"):
        await desk.way_back(PAYMENTS.name)


async def test_a_release_of_the_version_before_that_asks_for_its_gates_has_them() -> None:
    world, desk = await promoted()
    run = await desk.start(release(STABLE), who="ann")
    view = await world.play(desk, run, until=lambda view: view.weight == 10)
    (passed,) = (each for each in world.entries("step.passed") if each.subject == run and each.body["step"] == 1)
    assert (view.weight, passed.body["code"]) == (10, "gates")
