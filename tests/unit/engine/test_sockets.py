"""A service that players hold sockets to: the version that leaves waits for them, both ways (S4.5, S6.7)."""

from __future__ import annotations

import pytest
from tests.support.world import HEALTHY, IDENTITY, LOSSY, PAYMENTS, STABLE, World, release

from croupier.model.service import Platform
from croupier.model.view import RunView
from croupier.report.run import ending_text

TABLES = PAYMENTS.model_copy(update={"traffic": "websocket", "drain_seconds": 60.0})
PLATFORM = Platform(services=(TABLES, IDENTITY))


def is_waiting(view: RunView) -> bool:
    return view.open_sockets is not None


async def test_an_old_version_ends_when_its_last_socket_does() -> None:
    world = await World.begin()
    desk = world.desk(PLATFORM)
    await world.warm(desk)
    world.traffic.sockets[PAYMENTS.name, STABLE] = 40
    run = await desk.start(release(hold_back_percent=1), who="ann")
    view = await world.play(desk, run, until=is_waiting)
    assert world.serves() == {HEALTHY: 100}, "players of the hold-back have moved: no new socket to the old version"
    assert view.waiting_for.startswith("40 sockets to the old version to close, ")
    assert STABLE in {pods.digest for pods in await world.workloads.observe(PAYMENTS.name)}
    world.traffic.sockets[PAYMENTS.name, STABLE] = 0
    view = await world.play(desk, run, seconds=30.0)
    assert (view.outcome, view.cut_sockets) == ("promoted", 0)
    assert any(moment.text.startswith("no socket to the old version was open") for moment in view.timeline)


async def test_the_way_back_ends_the_canary_at_its_time_and_tells_whom_it_cut() -> None:
    world = await World.begin()
    desk = world.desk(PLATFORM)
    await world.warm(desk)
    world.traffic.sockets[PAYMENTS.name, LOSSY] = 3
    run = await desk.start(release(LOSSY), who="ann")
    await world.play(desk, run, until=is_waiting)
    began = world.clock.now()
    view = await world.play(desk, run)
    assert world.clock.now() - began >= 50.0
    assert (view.outcome, view.cut_sockets) == ("rolled-back", 3)
    assert "Cut: 3 sockets, still open to the canary when its time was over." in ending_text(view)


async def test_a_person_goes_back_while_the_old_version_has_sockets() -> None:
    world = await World.begin()
    desk = world.desk(PLATFORM)
    await world.warm(desk)
    world.traffic.sockets[PAYMENTS.name, STABLE] = 40
    run = await desk.start(release(hold_back_percent=1), who="ann")
    await world.play(desk, run, until=is_waiting)
    await desk.command(run, "abort", "ann", "deposits look wrong")
    view = await world.play(world.desk(PLATFORM), run)
    assert (view.outcome, view.code, view.cut_sockets) == ("rolled-back", "aborted", 0)
    assert world.serves() == {STABLE: 100}
    assert {pods.digest for pods in await world.workloads.observe(PAYMENTS.name)} == {STABLE}


async def test_a_new_desk_goes_on_waiting() -> None:
    world = await World.begin()
    desk = world.desk(PLATFORM)
    await world.warm(desk)
    world.traffic.sockets[PAYMENTS.name, STABLE] = 7
    run = await desk.start(release(hold_back_percent=1), who="ann")
    await world.play(desk, run, until=is_waiting)
    view = await world.play(world.desk(PLATFORM), run)
    assert (view.outcome, view.cut_sockets) == ("promoted", 7)
    assert world.kinds(run).count("sockets.drained") == 1


async def test_an_edge_that_cannot_count_is_waited_for_to_the_end() -> None:
    world = await World.begin()
    desk = world.desk(PLATFORM)
    await world.warm(desk)
    world.traffic.sockets[PAYMENTS.name, STABLE] = 7
    world.traffic.counts_sockets = False
    run = await desk.start(release(hold_back_percent=1), who="ann")
    view = await world.play(desk, run)
    assert (view.outcome, view.cut_sockets) == ("promoted", None)
    assert any("nobody could count" in moment.text for moment in view.timeline)


async def test_sockets_are_not_counted_in_every_round_and_a_count_stands_between(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each count asks all pods of the version that leaves."""
    world = await World.begin()
    desk = world.desk(PLATFORM)
    await world.warm(desk)
    world.traffic.sockets[PAYMENTS.name, STABLE] = 40
    open_sockets, counted = world.traffic.open_sockets, []

    async def count(service: str) -> dict[str, int]:
        counted.append(world.clock.now())
        return await open_sockets(service)

    monkeypatch.setattr(world.traffic, "open_sockets", count)
    run = await desk.start(release(hold_back_percent=1), who="ann")
    await world.play(desk, run, until=is_waiting)
    looks = 0
    while (view := await desk.run_view(run)).outcome is None:
        assert view.open_sockets == 40 or view.cut_sockets == 40
        await world.rounds(desk, 1)
        looks += 1
    assert view.cut_sockets == 40
    assert len(counted) < 20 < looks
