"""Releases that were played in virtual time, as the files they leave: a journal and one segment of evidence each."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

from tests.support.world import World, release

from croupier.adapters.journal.evidence import FileEvidence
from croupier.adapters.journal.sqlite import SqliteJournal
from croupier.model.evidence import Sample
from croupier.model.journal import Draft, Entry

Edit = Callable[[Entry], Draft]


def played(*digests: str, hold_back_percent: int = 0) -> World:
    """A world in which these versions were released, one after the other."""

    async def play() -> World:
        world = await World.begin()
        desk = world.desk()
        await world.warm(desk)
        for digest in digests:
            run = await desk.start(release(digest, hold_back_percent=hold_back_percent), who="ann")
            await world.play(desk, run)
        return world

    return asyncio.run(play())


def as_written(entry: Entry) -> Draft:
    return Draft(entry.kind, entry.subject, entry.at, entry.body)


def write_files(
    world: World, folder: Path, *, edit: Edit = as_written, sample: Callable[[Sample], Sample] = lambda sample: sample
) -> Path:
    """The desk's folder of a world. ``edit`` and ``sample`` change what is written, as a forger would."""
    store = FileEvidence(folder / "evidence")
    entries = list(world.journal.read())
    with SqliteJournal(folder / "journal.sqlite") as journal:
        journal.append([edit(entry) for entry in entries])
    for run in sorted({entry.subject for entry in entries if entry.kind == "run.planned"}):
        for each in world.evidence.read(run):
            store.append(run, sample(each))
    return folder
