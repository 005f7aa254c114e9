"""A desk with many runs: past ones cost nothing, live ones wait for their turn and for nothing else."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from tests.support.world import HEALTHY, IDENTITY, PAYMENTS, World, release

from croupier.engine import loop, register
from croupier.errors import UnknownName
from croupier.model.journal import Draft, Entry


def copy(world: World, run: str, name: str) -> None:
    """The entries of a run once more, under another name."""
    drafts = []
    for entry in list(world.journal.read(subject=run)):
        body = dict(entry.body)
        if entry.kind == "run.planned":
            plan = body["plan"]
            assert isinstance(plan, dict)
            body["plan"] = {**plan, "run": name}
        drafts.append(Draft(entry.kind, name, entry.at, body))
    world.journal.append(drafts)


async def test_an_old_run_is_folded_again_when_somebody_asks(monkeypatch: pytest.MonkeyPatch) -> None:
    """A desk does not grow by what it has done: of old runs it knows how many there were."""
    monkeypatch.setattr(register, "RECENT", 3)
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    first = await desk.start(release(), who="ann")
    ended = await world.play(desk, first)
    for number in range(2, 12):
        copy(world, first, f"r-{number:04d}")
    again = world.desk()
    await again.open()
    assert again._register.live() == {}
    assert len(again._register._recent) == 3
    assert [view.run for view in await again.runs(limit=11)] == [f"r-{number:04d}" for number in range(11, 0, -1)]
    assert (await again.run_view(first)) == ended
    assert (await again.last_run(PAYMENTS.name)) == await again.run_view("r-0011")
    assert (await again.last_run(IDENTITY.name)) is None
    with pytest.raises(UnknownName):
        await again.run_view("r-0012")


@pytest.mark.parametrize(
    "name", ["", "r-", "r-0000", "r-1", "r-00001", "r-\u0661", "g-0001", "desk", "r-" + "9" * 5000]
)
async def test_what_names_no_run_is_unknown_and_not_looked_for(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    await desk.start(release(), who="ann")
    monkeypatch.setattr(world.journal, "read", None)
    with pytest.raises(UnknownName, match="unknown run"):
        await desk.run_view(name)
    with pytest.raises(UnknownName, match="unknown run"):
        await desk.runs(before=name)


async def test_an_old_run_is_read_outside_the_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register, "RECENT", 1)
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    first = await desk.start(release(), who="ann")
    await world.play(desk, first)
    copy(world, first, "r-0002")
    again = world.desk()
    await again.open()
    read, threads = world.journal.read, []

    def noted(**options: object) -> Iterator[Entry]:
        threads.append(threading.current_thread())
        return read(**options)  # type: ignore[arg-type]

    monkeypatch.setattr(world.journal, "read", noted)
    await again.run_view(first)
    assert threads
    assert threading.main_thread() not in threads
    threads.clear()
    await again.run_view(first)
    assert not threads, "it is held now, instead of another one"
    assert len(again._register._recent) == 1


async def test_a_long_journal_is_read_in_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register, "_PAGE", 2)
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    run = await desk.start(release(), who="ann")
    await world.play(desk, run, until=lambda view: view.weight == 5)
    again = world.desk()
    await again.open()
    assert (await again.run_view(run)).weight == 5


async def test_a_run_that_hurries_does_not_make_all_others_be_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands still is looked at when its scrape is due or its turn has come; the other goes on in every round."""
    monkeypatch.setattr(loop, "LOOKS_A_SECOND", 0.3)  # with two runs: a turn every 3.3 s, and scrapes are 5 s apart
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    quiet = await desk.start(release(), who="ann")
    await world.play(desk, quiet, until=lambda view: view.phase == "holding")
    await world.rounds(desk, 1, seconds=0.1)
    hurried = await desk.start(release(HEALTHY, IDENTITY.name), who="ann")
    looked = []
    for _ in range(8):
        await world.rounds(desk, 1, seconds=0.5)
        looked.append((desk._loop.snapshots[quiet].now, desk._loop.snapshots[hurried].now))
    assert len({hurried_at for _, hurried_at in looked}) > len({quiet_at for quiet_at, _ in looked})
    await desk.command(quiet, "abort", "bob", "now")
    await desk.round()
    assert (await desk.run_view(quiet)).phase == "rolling-back"


async def test_what_was_seen_of_a_run_stands_until_its_next_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOOKS_A_SECOND", 0.3)
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    quiet = await desk.start(release(), who="ann")
    await world.play(desk, quiet, until=lambda view: view.phase == "holding")
    await desk.start(release(HEALTHY, IDENTITY.name), who="ann")
    for _ in range(10):
        await world.rounds(desk, 1, seconds=0.2)
        ready = {each.name: each.ready for each in await desk.services()}
        assert ready == {PAYMENTS.name: 4, IDENTITY.name: 2}
