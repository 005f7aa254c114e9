"""A desk with a calendar of freezes, in virtual time: nothing new starts, nothing goes forward, all may go back."""

from __future__ import annotations

import pytest
from tests.support.world import HEALTHY, LOSSY, PAYMENTS, PLATFORM, STABLE, World, release

from croupier.engine.desk import Desk
from croupier.errors import Refused
from croupier.model.freeze import Freeze
from croupier.model.view import GroupRequest

HOUR = 3600.0


async def begun(*, starts_in: float, lasts: float = HOUR) -> tuple[World, Desk, Freeze]:
    """A warm desk and a freeze that begins ``starts_in`` seconds from now."""
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    from_at = world.clock.now() + starts_in
    until = "2030-07-14 21:00 Europe/Stockholm"
    final = Freeze(name="cup-final", title="Cup final", from_at=from_at, until_at=from_at + lasts, until=until)
    await desk.declare(PLATFORM, [final])
    return world, desk, final


async def test_nothing_new_starts_in_a_freeze_and_the_plan_says_so() -> None:
    world, desk, final = await begun(starts_in=-1.0, lasts=120.0)
    assert (await desk.plan(release())).frozen == (final,)
    words = (
        r"nothing new starts on payments-api: freeze cup-final \(Cup final\) until 2030-07-14 21:00 Europe/Stockholm"
    )
    with pytest.raises(Refused, match=words):
        await desk.start(release(), who="ann")
    with pytest.raises(Refused, match="cup-final"):
        await desk.start_group(GroupRequest(releases=(release(),)), who="ann")
    assert not await desk.runs()
    await world.rounds(desk, 50)
    assert (await desk.plan(release())).frozen == ()
    assert await desk.start(release(), who="ann") == "r-0001"


async def test_another_platform_leaves_the_calendar_as_it_is_unless_another_comes_with_it() -> None:
    _, desk, final = await begun(starts_in=-1.0)
    await desk.declare(PLATFORM)
    assert (await desk.plan(release())).frozen == (final,)
    await desk.declare(PLATFORM, [])
    assert (await desk.plan(release())).frozen == ()


async def test_a_live_release_is_held_for_the_freeze_and_promoted_after_it() -> None:
    world, desk, final = await begun(starts_in=30.0)
    run = await desk.start(release(), who="ann")
    view = await world.play(desk, run, until=lambda view: view.phase == "held")
    assert view.code == "freeze"
    assert "cup-final (Cup final) until 2030-07-14 21:00 Europe/Stockholm" in view.waiting_for
    assert view.commands == ("abort", "override")
    weight, served = view.weight, world.serves()
    with pytest.raises(Refused, match="override it first"):
        await desk.command(run, "promote", "ann", "now")
    while world.clock.now() < final.until_at - 10.0:
        await world.rounds(desk, 1, seconds=5.0)
    view = await desk.run_view(run)
    assert (view.phase, view.weight, world.serves()) == ("held", weight, served)
    assert (await world.play(desk, run)).outcome == "promoted"


async def test_a_split_that_was_asked_for_before_a_freeze_and_never_landed_does_not_land_in_it() -> None:
    world, desk, final = await begun(starts_in=HOUR)
    run = await desk.start(release(), who="ann")
    await world.play(desk, run, until=lambda view: view.phase == "holding" and view.weight == 5)
    world.traffic.refusal = "busy"
    await world.play(desk, run, until=lambda view: view.step_name == "10 %")
    await world.rounds(desk, 1)
    now = world.clock.now()
    final = final.model_copy(update={"from_at": now, "until_at": now + HOUR})
    await desk.declare(PLATFORM, [final])
    await world.rounds(desk, 3)
    world.traffic.refusal = ""
    desk = world.desk()
    await desk.declare(PLATFORM, [final])
    await world.rounds(desk, 3)
    assert (await desk.run_view(run)).code == "freeze"
    assert world.serves() == {STABLE: 95, HEALTHY: 5}
    world.clock.time = final.until_at
    assert (await world.play(desk, run)).outcome == "promoted"


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_pods_that_are_not_ready_when_a_freeze_ends_have_their_time_again(is_restarted: bool) -> None:
    world, desk, final = await begun(starts_in=1.0)
    run = await desk.start(release(ready_seconds=30.0), who="ann")
    await world.pass_time(2.0)
    await world.rounds(desk, 20)
    assert (await desk.run_view(run)).code == "freeze"
    world.workloads.unready[HEALTHY] = "moved to another node"
    world.clock.time = final.until_at - 1.0
    if is_restarted:
        desk = world.desk()
        await desk.declare(PLATFORM, [final])
    await world.rounds(desk, 5)
    del world.workloads.unready[HEALTHY]
    assert (await world.play(desk, run)).outcome == "promoted"


async def test_a_canary_that_harms_in_a_freeze_is_taken_back_in_it() -> None:
    world, desk, _ = await begun(starts_in=30.0)
    run = await desk.start(release(), who="ann")
    await world.play(desk, run, until=lambda view: view.phase == "held")
    world.failures[HEALTHY, "deposits"] = 0.33
    view = await world.play(desk, run)
    assert (view.outcome, view.code) == ("rolled-back", "worse")
    assert world.serves() == {STABLE: 100}


async def test_a_person_overrides_one_freeze_for_one_run_and_the_journal_says_who_and_why() -> None:
    world, desk, _ = await begun(starts_in=30.0)
    run = await desk.start(release(), who="ann")
    await world.play(desk, run, until=lambda view: view.phase == "held")
    with pytest.raises(Refused, match="without a reason"):
        await desk.command(run, "override", "bob", "  ")
    await desk.command(run, "override", "bob", "deposits are broken without it")
    assert (await world.play(desk, run)).outcome == "promoted"
    told = world.entries("command")[0].body
    assert (told["command"], told["who"], told["overridden"]) == ("override", "bob", ["cup-final"])
    with pytest.raises(Refused, match="cup-final"):
        await desk.start(release(LOSSY), who="ann")


async def test_an_override_survives_the_desk() -> None:
    world, desk, final = await begun(starts_in=30.0)
    run = await desk.start(release(), who="ann")
    await world.play(desk, run, until=lambda view: view.phase == "held")
    await desk.command(run, "override", "bob", "hotfix")
    again = world.desk()
    await again.declare(PLATFORM, [final])
    assert (await world.play(again, run)).outcome == "promoted"


async def test_a_release_is_started_in_spite_of_a_freeze_with_a_reason() -> None:
    world, desk, _ = await begun(starts_in=-1.0)
    with pytest.raises(ValueError, match="overrideFreeze needs a reason"):
        GroupRequest(releases=(release(),), override_freeze=True)
    asked = GroupRequest(releases=(release(),), override_freeze=True, reason="hotfix for deposits")
    group = await desk.start_group(asked, who="ann")
    await world.rounds(desk, 1)
    run = (await desk.group_view(group)).members[0].run
    assert run is not None
    assert (await world.play(desk, run)).outcome == "promoted"
    started = world.entries("run.started")[0].body
    assert (started["overridden"], started["reason"]) == (["cup-final"], "hotfix for deposits")


async def test_a_live_release_is_not_superseded_in_a_freeze_by_one_that_could_not_start_in_it() -> None:
    world, desk, final = await begun(starts_in=HOUR)
    first = await desk.start(release(HEALTHY, "identity"), who="ann")
    asked = GroupRequest(releases=(release(), release(LOSSY, "identity")), supersede=True)
    group = await desk.start_group(asked, who="bob")
    await world.play(desk, first, until=lambda view: view.phase == "holding")
    await desk.declare(PLATFORM, [final.model_copy(update={"from_at": world.clock.now(), "services": ("identity",)})])
    await world.play(desk, first, until=lambda view: view.phase == "held")
    own = (await desk.group_view(group)).members[0].run
    assert own is not None
    await world.play(desk, own)
    await world.rounds(desk, 10)
    assert (await desk.run_view(first)).phase == "held"
    assert "cup-final" in (await desk.group_view(group)).waiting_for
    await desk.abort_group(group, "bob")
    assert (await desk.group_view(group)).outcome == "aborted"


async def test_the_version_before_may_come_back_in_a_freeze_without_anybody_overriding_it() -> None:
    world, desk, _ = await begun(starts_in=600.0)
    assert (await world.play(desk, await desk.start(release(), who="ann"))).outcome == "promoted"
    assert world.serves() == {HEALTHY: 100}
    await world.rounds(desk, 120, seconds=5.0)
    with pytest.raises(Refused, match="cup-final"):
        await desk.start(release(LOSSY), who="ann")
    assert (await desk.plan(release(STABLE))).frozen == ()
    back = await desk.start(release(STABLE), who="ann")
    assert (await world.play(desk, back)).outcome == "promoted"
    assert world.entries("run.started")[-1].body["returns"] is True
    assert world.serves(PAYMENTS.name) == {STABLE: 100}


async def test_the_version_before_may_come_back_in_a_freeze_also_after_a_release_that_failed() -> None:
    world, desk, _ = await begun(starts_in=900.0)
    assert (await world.play(desk, await desk.start(release(), who="ann"))).outcome == "promoted"
    failed = await desk.start(release(LOSSY), who="ann")
    await world.play(desk, failed, until=lambda view: view.phase == "holding")
    await desk.command(failed, "abort", "ann")
    assert (await world.play(desk, failed)).outcome == "rolled-back"
    await world.rounds(desk, 180, seconds=5.0)
    with pytest.raises(Refused, match="cup-final"):
        await desk.retry(failed, who="ann")
    back = await desk.start(release(STABLE), who="ann")
    await desk.command(back, "abort", "ann")
    assert (await world.play(desk, back)).outcome == "rolled-back"
    again = await desk.retry(back, who="ann")
    assert (await world.play(world.desk(), again)).outcome == "promoted"
    assert world.serves() == {STABLE: 100}


async def test_a_plan_bakes_as_long_as_the_desk_says_where_the_release_does_not() -> None:
    _, desk, _ = await begun(starts_in=HOUR)
    preview = await desk.plan(release(bake_seconds=None))
    assert preview.plan.release.bake_seconds == preview.plan.steps[-2].hold.dwell_seconds == 300.0
    assert preview.forecast.steps[-1].seconds == 300.0


async def test_a_freeze_of_another_service_holds_nothing() -> None:
    world, desk, final = await begun(starts_in=-1.0)
    await desk.declare(PLATFORM, [final.model_copy(update={"services": ("identity",)})])
    assert (await world.play(desk, await desk.start(release(), who="ann"))).outcome == "promoted"
