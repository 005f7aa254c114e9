"""The register and its journal never part, whatever interrupts a write."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest
from tests.support.world import HEALTHY, World, release

from croupier.engine.desk import Desk
from croupier.errors import Refused, Unreachable
from croupier.model.journal import Draft, Entry

WAIT_SECONDS = 10.0


class SlowDisk:
    """The journal's next commit waits until it may go on."""

    def __init__(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        self._append = world.journal.append
        self.is_writing, self.may_go_on = threading.Event(), threading.Event()
        monkeypatch.setattr(world.journal, "append", self.append)

    def append(self, drafts: Sequence[Draft], *, way_back: bool = False) -> Sequence[Entry]:
        self.is_writing.set()
        assert self.may_go_on.wait(WAIT_SECONDS)
        return self._append(drafts, way_back=way_back)


async def begun() -> tuple[World, Desk]:
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    return world, desk


async def test_a_start_whose_caller_has_left_is_written_and_known_before_anything_else_happens(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, desk = await begun()
    disk = SlowDisk(world, monkeypatch)
    starting = asyncio.ensure_future(desk.start(release(), who="ann"))
    assert await asyncio.to_thread(disk.is_writing.wait, WAIT_SECONDS)
    starting.cancel()
    after = asyncio.ensure_future(desk.round())
    await asyncio.sleep(0)
    assert not starting.done(), "it leaves when the commit is through"
    disk.may_go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await starting
    await after
    assert [view.run for view in await desk.runs()] == ["r-0001"]
    with pytest.raises(Refused, match="r-0001"):
        await desk.start(release(), who="bob")
    assert (await world.play(desk, "r-0001")).outcome == "promoted"


async def test_a_start_reported_as_failed_and_written_all_the_same_is_not_started_twice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, desk = await begun()
    append = world.journal.append

    def write_and_complain(*arguments: object, **options: object) -> None:
        append(*arguments, **options)  # type: ignore[arg-type]
        raise Unreachable("the answer was lost")

    with monkeypatch.context() as patch:
        patch.setattr(world.journal, "append", write_and_complain)
        with pytest.raises(Unreachable):
            await desk.start(release(), who="ann")
    with pytest.raises(Refused, match="r-0001"):
        await desk.start(release(), who="ann")
    assert (await world.play(desk, "r-0001")).outcome == "promoted"
    assert len(world.entries("run.started")) == 1


async def test_an_abort_is_taken_although_the_journal_cannot_be_read_and_nothing_is_folded_out_of_order(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, desk = await begun()
    run = await desk.start(release(), who="ann")
    await world.play(desk, run, until=lambda view: view.weight == 5)

    def complain(*_: object, **__: object) -> None:
        raise Unreachable("cannot be read now")

    append = world.journal.append

    def write_and_complain(*arguments: object, **options: object) -> None:
        append(*arguments, **options)  # type: ignore[arg-type]
        raise Unreachable("the answer was lost")

    with monkeypatch.context() as patch:
        patch.setattr(world.journal, "append", write_and_complain)
        with pytest.raises(Unreachable):
            await desk.command(run, "pause", "ann")
        patch.setattr(world.journal, "append", append)
        patch.setattr(world.journal, "read", complain)
        with pytest.raises(Unreachable, match="cannot be read"):
            await desk.command(run, "pause", "ann")
        await desk.command(run, "abort", "ann", "enough")
    view = await world.play(desk, run)
    assert (view.outcome, view.code) == ("rolled-back", "aborted")
    assert [entry.body["command"] for entry in world.entries("command")] == ["pause", "abort"]
    assert HEALTHY not in world.serves()
