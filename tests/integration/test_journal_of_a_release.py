"""A whole release on the durable journal: what it proves afterwards, and a rollback on a disk that is full."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.world import HEALTHY, LOSSY, STABLE, World, release

from croupier.adapters.journal.emergency import read_batches
from croupier.adapters.journal.evidence import FileEvidence
from croupier.adapters.journal.sqlite import SqliteJournal
from croupier.errors import Unreachable
from croupier.model.journal import Draft


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    with SqliteJournal(tmp_path / "journal.sqlite") as journal:
        yield journal


async def _begin(journal: SqliteJournal, evidence: FileEvidence) -> World:
    world = await World.begin()
    world.journal, world.evidence = journal, evidence  # type: ignore[assignment]  # the durable ones instead
    return world


async def test_a_promoted_release_leaves_a_journal_that_verifies_with_its_evidence(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    evidence = FileEvidence(tmp_path / "evidence")
    world = await _begin(journal, evidence)
    desk = world.desk()
    await world.warm(desk)
    run = await desk.start(release(HEALTHY), who="ann")
    assert (await world.play(desk, run)).outcome == "promoted"
    assert journal.verify(evidence=evidence) == len(list(journal.read()))
    verdicts = [entry for entry in journal.read(subject=run) if entry.kind == "verdict"]
    assert verdicts
    assert all(entry.body["evidence"] for entry in verdicts)


async def test_a_rollback_does_not_wait_for_a_full_disk_and_nothing_of_it_is_lost(
    journal: SqliteJournal, tmp_path: Path
) -> None:
    evidence = FileEvidence(tmp_path / "evidence")
    world = await _begin(journal, evidence)
    desk = world.desk()
    await world.warm(desk)
    run = await desk.start(release(LOSSY), who="ann")
    await world.play(desk, run, until=lambda view: view.phase == "holding")
    connection = journal._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(Unreachable):
        while True:  # what is left of the last page
            journal.append([Draft("drift", "desk", world.clock.now(), {})])
    view = await world.play(desk, run)
    assert (view.outcome, view.code) == ("rolled-back", "worse")
    assert world.serves() == {STABLE: 100}
    assert read_batches(Path(f"{journal.path}.emergency"))
    connection.execute("PRAGMA max_page_count = 1000000")
    await world.rounds(desk, 2)
    assert journal.verify(evidence=evidence) == len(list(journal.read()))
    assert "run.ended" in world.kinds(run)
