"""The desk as front ends see it: its loop, its commands, its views."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.world import HEALTHY, PAYMENTS, STABLE, World, release, until

from croupier.engine import loop
from croupier.errors import UnknownName


async def test_what_a_person_asks_for_is_done_at_once_and_not_at_the_next_scrape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    monkeypatch.setattr(loop, "SCRAPE_SECONDS", 3600.0)
    running = asyncio.ensure_future(desk.run())
    await asyncio.sleep(0)
    run = await desk.start(release(scrape_seconds=60.0), who="ann")
    await until(lambda: world.serves().get(HEALTHY) == 5)
    await until(lambda: desk._register.live()[run].phase == "holding")
    await desk.command(run, "abort", "ann", "enough")
    await until(lambda: world.serves() == {STABLE: 100})
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_desk_that_stops_gives_up_what_it_holds() -> None:
    world = await World.begin()
    desk = world.desk()
    closed: list[str] = []
    desk._closing.callback(closed.append, "journal")
    running = asyncio.ensure_future(desk.run())
    await until(lambda: desk.health().last_round_at is not None)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert closed == ["journal"]


async def test_rounds_never_overlap() -> None:
    world = await World.begin()
    desk = world.desk()
    inside = 0
    observe = world.traffic.observe

    async def slow(service: str) -> object:
        nonlocal inside
        if service == PAYMENTS.name:
            inside += 1
            assert inside == 1
            await asyncio.sleep(0.01)
            inside -= 1
        return await observe(service)

    world.traffic.observe = slow  # type: ignore[method-assign,assignment]
    await asyncio.gather(*(desk.round() for _ in range(5)))


async def test_the_view_of_a_run_tells_what_it_waits_for_and_what_is_safe() -> None:
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    run = await desk.start(release(), who="ann")
    await world.play(desk, run, until=lambda view: view.phase == "holding")
    await world.rounds(desk, 6)
    view = await desk.run_view(run)
    assert (view.step_name, view.weight, view.observed_share) == ("5 %", 5, 0.05)
    assert view.band is not None
    assert view.band.low < 0.05 < view.band.high
    assert view.code == "needs-time"
    assert "s more" in view.waiting_for
    assert "goes to 10 % by itself" in view.next
    assert view.commands == ("pause", "promote", "abort")
    assert view.forecast is not None
    assert [moment.text for moment in view.timeline][:4] == ["planned", "started by ann", "settled", "step 5 %"]


async def test_ended_runs_keep_their_last_numbers_over_a_restart() -> None:
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    run = await desk.start(release(), who="ann")
    before = await world.play(desk, run)
    after_restart = world.desk()
    await after_restart.open()
    after = await after_restart.run_view(run)
    assert after == before
    assert after.verdict is not None
    assert after.verdict.outcome == "pass"


async def test_a_desk_that_has_just_started_looks_before_it_says_what_serves() -> None:
    world = await World.begin()
    (payments,) = [each for each in await world.desk().services() if each.name == PAYMENTS.name]
    assert payments.stable is not None
    assert payments.stable.digest == STABLE


async def test_a_clock_set_back_is_told_and_not_waited_for_in_silence() -> None:
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    run = await desk.start(release(), who="ann")
    await world.rounds(desk, 12)
    world.clock.time -= 3600.0
    await world.rounds(desk, 2)
    told = [entry.body["message"] for entry in world.entries("fault") if entry.subject == run]
    assert any("clock went back" in str(message) for message in told)


async def test_a_clock_that_was_an_hour_ahead_does_not_leave_metrics_unasked_for_an_hour() -> None:
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    world.clock.time += 3600.0
    world.metrics.unreachable = True
    await world.rounds(desk, 3)
    assert "metrics" in desk.health().problems[0]
    world.clock.time -= 3600.0
    world.metrics.unreachable = False
    await world.rounds(desk, 3)
    assert desk.health().ok


async def test_runs_are_given_in_pages_newest_first() -> None:
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    for _ in range(3):
        await desk.command(await desk.start(release(), who="ann"), "abort", "ann")
        await world.rounds(desk, 4)
    assert [view.run for view in await desk.runs(limit=2)] == ["r-0003", "r-0002"]
    assert [view.run for view in await desk.runs(before="r-0002")] == ["r-0001"]
    assert (await desk.runs(before="r-0001")) == []
    with pytest.raises(UnknownName):
        await desk.runs(before="r-0009")
