"""What a desk knows of a service outlives it: a release can start at once after a restart, and bursts stay known."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.world import HEALTHY, PAYMENTS, World, release, until

from croupier.engine import histories
from croupier.engine.desk import Desk
from croupier.errors import Refused, Unreachable
from croupier.model.history import HistoryRecord


def known(desk: Desk) -> dict[str, float]:
    return desk._loop.history(PAYMENTS.name).dispersions()


async def lived(world: World, seconds: float = 300.0) -> Desk:
    desk = world.desk()
    await world.rounds(desk, int(seconds / 5.0), 5.0)
    return desk


async def test_a_desk_that_was_stopped_and_started_plans_at_once_with_what_it_knew() -> None:
    world = await World.begin()
    desk = await lived(world)
    before = await desk.plan(release())
    await desk.close()
    world.clock.time += 20.0
    again = world.desk()
    await again.round()
    assert known(again) == known(desk)
    after = await again.plan(release())
    assert after.forecast == before.forecast
    run = await again.start(release(), who="ann")
    assert (await world.play(again, run)).outcome == "promoted"


async def test_without_what_it_knew_it_would_have_refused() -> None:
    world = await World.begin()
    await (await lived(world)).close()
    world.history.records.clear()
    again = world.desk()
    await again.round()
    with pytest.raises(Refused, match="has watched payments-api for 0 s only"):
        await again.plan(release())


async def test_a_desk_that_was_killed_loses_a_minute_at_most() -> None:
    world = await World.begin()
    await lived(world)
    assert world.clock.now() - world.history.records[PAYMENTS.name].saved_at <= histories.SAVE_SECONDS + 5.0
    await world.desk().plan(release())


async def test_a_desk_whose_process_is_told_to_end_keeps_all() -> None:
    world = await World.begin()
    desk = await lived(world, 30.0)
    world.history.records.clear()
    running = asyncio.ensure_future(desk.run())
    await until(lambda: desk.health().last_round_at == world.clock.now())
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert world.history.records[PAYMENTS.name].saved_at == world.clock.now()


async def test_traffic_of_a_quarter_of_an_hour_ago_is_no_forecast_and_bursts_of_a_day_ago_are_forgotten() -> None:
    world = await World.begin()
    desk = await lived(world, 3600.0)
    assert known(desk)["deposits"] < 1.05, "an hour without bursts"
    await desk.close()
    world.clock.time += 1000.0
    later = world.desk()
    await later.open()
    assert later._loop.history(PAYMENTS.name).rates() == {}
    assert known(later)["deposits"] == pytest.approx(known(desk)["deposits"], rel=0.05)
    world.clock.time += 86_400.0
    tomorrow = world.desk()
    await tomorrow.open()
    assert known(tomorrow) == {}
    assert PAYMENTS.name not in world.history.records


async def test_nothing_waits_for_a_history_that_cannot_be_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    world = await World.begin()

    def full(_: HistoryRecord) -> None:
        raise Unreachable("the history of payments-api cannot be written: No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(world.history, "save", full)
        desk = await lived(world, 60.0)
        run = await desk.start(release(), who="ann")
        view = await world.play(desk, run, until=lambda view: view.phase == "holding")
        assert view.weight == 5
        assert "history: the history of payments-api cannot be written" in desk.health().problems[0]
    await world.rounds(desk, 40)
    assert desk.health().problems == ()


@pytest.mark.parametrize("what", ["services", "load"])
async def test_a_store_that_cannot_be_read_costs_the_history_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, what: str
) -> None:
    world = await World.begin()

    def gone(*_: str) -> list[str]:
        raise Unreachable("histories cannot be read: Input/output error")

    await (await lived(world, 30.0)).close()
    monkeypatch.setattr(world.history, what, gone)
    desk = world.desk()
    await world.warm(desk)
    assert "learned anew" in caplog.text
    run = await desk.start(release(HEALTHY), who="ann")
    assert (await world.play(desk, run)).outcome == "promoted"


async def test_a_thousand_histories_are_neither_written_nor_read_at_once() -> None:
    world = await World.begin()
    kept = histories.Histories(world.history, world.clock)
    arm = world.metrics.arms.popitem()[1]
    for number in range(1000):
        kept.add(f"service-{number}", arm, world.clock.now(), source="-")
    written = []
    for _ in range(60):
        before = len(world.history.records)
        await kept.save_due()
        written.append(len(world.history.records) - before)
        world.clock.time += 5.0
    assert max(written) == 17
    assert len(world.history.records) == 1000

    again = histories.Histories(world.history, world.clock)
    await again.open()
    again.read_some()
    assert len(again._histories) == histories.LOADS_A_ROUND
    again.add("service-999", arm, world.clock.now(), source="-")
    assert "service-999" not in again._histories, "what is not read yet is not begun anew"
    assert again.of("service-999") is again._histories["service-999"], "who asks for it gets it at once"
    for _ in range(60):
        again.read_some()
    assert len(again._histories) == 1000
