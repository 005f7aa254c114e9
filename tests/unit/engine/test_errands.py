"""What takes long is carried out beside the rounds: it holds up no other run, and not the way back of its own."""

from __future__ import annotations

import asyncio

import pytest
from tests.support.world import HEALTHY, IDENTITY, LOSSY, PAYMENTS, STABLE, World, release, until

from croupier.engine import errands, gather, loop
from croupier.engine.desk import Desk
from croupier.errors import Unreachable
from croupier.model.traffic import Split


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errands, "PROMPT_SECONDS", 0.005)


class SlowEdge:
    """Confirms no split that sends ``weight`` percent to a canary of payments until it is told to."""

    def __init__(self, world: World, weight: int) -> None:
        self._set_split, self._weight = world.traffic.set_split, weight
        self.confirms = asyncio.Event()
        self.asked: list[int] = []
        """Weights of payments, as asked for."""
        self.cancelled: list[int] = []
        self.lands_when_cancelled = False
        world.traffic.set_split = self.set_split  # type: ignore[method-assign]

    async def set_split(self, split: Split) -> None:
        weight = split.canary.weight if split.canary else 0
        if split.service == PAYMENTS.name:
            self.asked.append(weight)
            if weight == self._weight:
                try:
                    await self.confirms.wait()
                except asyncio.CancelledError:
                    self.cancelled.append(weight)
                    if self.lands_when_cancelled:
                        await self._set_split(split)
                    raise
        await self._set_split(split)


async def slow_at(weight: int, **changes: object) -> tuple[World, Desk, str, SlowEdge]:
    """A release of payments whose split at ``weight`` percent is not confirmed."""
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    edge = SlowEdge(world, weight)
    run = await desk.start(release(**changes), who="ann")
    async with asyncio.timeout(10):
        while weight not in edge.asked:
            await world.rounds(desk, 1)
    return world, desk, run, edge


async def test_a_slow_split_of_one_service_does_not_hold_up_the_way_back_of_another() -> None:
    world, desk, run, edge = await slow_at(5)
    other = await desk.start(release(LOSSY, IDENTITY.name), who="ann")
    view = await world.play(desk, other)
    assert (view.outcome, view.code) == ("rolled-back", "worse")
    edge.confirms.set()
    assert (await world.play(desk, run)).outcome is not None
    await desk.close()


async def test_attempts_have_not_vanished_while_players_are_not_sent_yet() -> None:
    world, desk, run, edge = await slow_at(50, steps=(5, 50, 100))
    await world.rounds(desk, 28)
    assert (await desk.run_view(run)).phase == "settling"
    edge.confirms.set()
    assert (await world.play(desk, run)).outcome == "promoted"


async def test_while_a_change_is_under_way_no_second_is_begun_and_afterwards_the_run_goes_on() -> None:
    world, desk, run, edge = await slow_at(10)
    await world.rounds(desk, 3)
    assert edge.asked == [5, 10]
    edge.confirms.set()
    assert (await world.play(desk, run)).outcome == "promoted"
    assert edge.asked == [5, 10, 25, 50, 100, 0]
    assert not edge.cancelled


async def test_a_way_back_supersedes_the_split_that_hangs() -> None:
    world, desk, run, edge = await slow_at(10)
    assert world.serves() == {STABLE: 95, HEALTHY: 5}
    await desk.command(run, "abort", "ann", "enough")
    await desk.round()
    await desk.round()
    assert edge.cancelled == [10]
    assert world.serves() == {STABLE: 100}
    view = await world.play(desk, run)
    assert (view.outcome, view.code) == ("rolled-back", "aborted")


@pytest.mark.parametrize("lands", [False, True])
async def test_a_first_split_that_is_cancelled_and_lands_all_the_same_is_taken_back_before_the_pods(
    lands: bool,
) -> None:
    """The round that decides to go back has looked before it landed, and seen everybody on stable."""
    world, desk, run, edge = await slow_at(5)
    edge.lands_when_cancelled = lands
    world.tripwire.calls.clear()
    await desk.command(run, "abort", "ann", "enough")
    await desk.round()
    assert edge.cancelled == [5]
    assert world.tripwire.calls == ["journal command"]
    view = await world.play(desk, run)
    assert (view.outcome, view.code) == ("rolled-back", "aborted")
    assert world.serves() == {STABLE: 100}
    changes = [call for call in world.tripwire.calls if call.startswith(("set_split", "retire"))]
    assert changes == (["set_split r-0001 0", "set_split - -", "retire"] if lands else ["retire"])


async def test_a_way_back_that_takes_long_is_not_begun_again_and_again() -> None:
    world, desk, run, edge = await slow_at(10)
    edge._weight = 0
    await desk.command(run, "abort", "ann", "enough")
    await world.rounds(desk, 5)
    assert edge.asked == [5, 10, 0]
    edge.confirms.set()
    assert (await world.play(desk, run)).outcome == "rolled-back"


async def test_what_never_answers_is_given_up_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errands, "LONGEST_SECONDS", 0.001)
    world, desk, run, _ = await slow_at(10)
    await world.rounds(desk, 2)
    assert "no answer within 0.001 s" in (await desk.run_view(run)).waiting_for
    await desk.command(run, "abort", "ann", "enough")
    assert (await world.play(desk, run)).outcome == "rolled-back"


async def test_a_desk_that_stops_leaves_nothing_under_way() -> None:
    _, desk, _, edge = await slow_at(10)
    await desk.close()
    assert edge.cancelled == [10]
    edge.confirms.set()
    await asyncio.sleep(0)
    assert edge.asked == [5, 10]


async def test_the_end_of_what_took_long_is_looked_at_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    world, desk, run, edge = await slow_at(10)
    monkeypatch.setattr(loop, "QUICK_SECONDS", 3600.0)
    monkeypatch.setattr(loop, "SCRAPE_SECONDS", 3600.0)
    world.clock.time += 1.0
    running = asyncio.ensure_future(desk.run())
    await until(lambda: desk.health().last_round_at == world.clock.now())
    edge.confirms.set()
    await until(lambda: desk._register.live()[run].phase == "holding")
    assert world.serves() == {STABLE: 90, HEALTHY: 10}
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_pods_asked_for_by_what_was_given_up_do_not_outlive_the_run() -> None:
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    ensure, asked, never = world.workloads.ensure, asyncio.Event(), asyncio.Event()

    async def late(service: str, digest: str, replicas: int) -> None:
        if digest != HEALTHY:
            return await ensure(service, digest, replicas)
        asked.set()
        try:
            await never.wait()
        finally:
            await ensure(service, digest, replicas)

    world.workloads.ensure = late  # type: ignore[method-assign]
    run = await desk.start(release(), who="ann")
    await desk.round()
    assert asked.is_set()
    await desk.command(run, "abort", "ann", "enough")
    assert (await world.play(desk, run)).outcome == "rolled-back"
    assert {pods.digest for pods in await world.workloads.observe(PAYMENTS.name)} == {STABLE}


async def test_players_do_not_wait_long_for_capacity_that_nobody_answers_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errands, "CAPACITY_SECONDS", 0.005)
    monkeypatch.setattr(gather, "PATIENCE_SECONDS", 0.005)
    world, desk, run, _ = await slow_at(10)
    await desk.command(run, "abort", "ann", "enough")
    is_back = asyncio.Event()

    async def hang(*_: object) -> None:
        await is_back.wait()
        raise Unreachable("too late")

    with monkeypatch.context() as patch:
        patch.setattr(world.workloads, "observe", hang)
        patch.setattr(world.workloads, "ensure", hang)
        await world.play(desk, run, until=lambda view: view.zero_at is not None)
        assert world.serves() == {STABLE: 100}
    is_back.set()
    assert (await world.play(desk, run)).outcome == "rolled-back"
