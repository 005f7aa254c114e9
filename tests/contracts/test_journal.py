"""What every journal keeps to, whatever it is written in."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tests.support.records import draft

from croupier.adapters.journal.memory import MemoryJournal
from croupier.adapters.journal.sqlite import SqliteJournal
from croupier.core.roll import Roll
from croupier.errors import IntegrityError
from croupier.model.journal import GENESIS, Draft
from croupier.ports.journal import Journal


@pytest.fixture(params=["memory", "sqlite"])
def journal(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Journal]:
    if request.param == "memory":
        yield MemoryJournal()
        return
    with SqliteJournal(tmp_path / "desk" / "journal.sqlite") as journal:
        yield journal


def test_an_empty_journal_verifies_and_has_nothing_to_read(journal: Journal) -> None:
    assert journal.verify() == 0
    assert list(journal.read()) == []


def test_entries_come_back_as_they_were_appended(journal: Journal) -> None:
    written = [*journal.append([draft(1), draft(2)]), *journal.append([draft(3)])]
    assert list(journal.read()) == written
    assert [entry.seq for entry in written] == [1, 2, 3]
    assert [(e.kind, e.subject, e.at, e.body) for e in written] == [
        (d.kind, d.subject, d.at, d.body) for d in (draft(1), draft(2), draft(3))
    ]


def test_each_entry_is_chained_to_the_one_before(journal: Journal) -> None:
    entries = journal.append([draft(1), draft(2), draft(3)])
    assert [entry.previous for entry in entries] == [GENESIS, entries[0].hash, entries[1].hash]
    assert journal.verify() == 3


def test_read_can_start_anywhere_and_keep_to_one_subject(journal: Journal) -> None:
    journal.append([draft(n, subject="r-0001" if n % 2 else "desk") for n in range(1, 1201)])
    assert [entry.seq for entry in journal.read(after=1197)] == [1198, 1199, 1200]
    assert [entry.seq for entry in journal.read(subject="desk")] == list(range(2, 1201, 2))
    assert [entry.seq for entry in journal.read(after=1196, subject="r-0001")] == [1197, 1199]
    assert list(journal.read(subject="r-9999")) == []


def test_a_reader_is_not_disturbed_by_later_appends(journal: Journal) -> None:
    journal.append([draft(1), draft(2)])
    reading = journal.read()
    first = next(reading)
    journal.append([draft(3)])
    assert [first.seq, *(entry.seq for entry in reading)][:2] == [1, 2]


def test_no_drafts_write_nothing(journal: Journal) -> None:
    assert list(journal.append([])) == []
    assert journal.verify() == 0


@pytest.mark.parametrize(
    "body", [{"x": float("nan")}, {"x": float("inf")}, {"x": "\ud800"}, {"x": 2**60}, {"x": object()}]
)
def test_what_is_not_json_is_refused_and_none_of_the_batch_is_written(
    journal: Journal, body: dict[str, object]
) -> None:
    with pytest.raises(ValueError):
        journal.append([draft(1), Draft("fault", "desk", 1.0, body)])  # type: ignore[arg-type]
    assert journal.verify() == 0


def test_a_body_changed_after_the_append_changes_nothing(journal: Journal) -> None:
    body = {"steps": [5, 10]}
    (entry,) = journal.append([Draft("run.planned", "r-0001", 1.0, body)])  # type: ignore[arg-type]
    body["steps"].append(100)
    assert entry.body == {"steps": [5, 10]}
    assert next(journal.read()).body == {"steps": [5, 10]}
    assert journal.verify() == 1


def test_large_numbers_and_odd_text_survive(journal: Journal) -> None:
    body = {"big": 1e17, "huge": 1.5e300, "tiny": 5e-324, "text": "Ω\n\u0000\x7f\u2028😀", "none": None, "yes": True}
    journal.append([Draft("fault", "dësk", 1e9 + 0.1, body)])
    entry = next(journal.read())
    assert entry.body == body
    assert entry.at == 1e9 + 0.1
    assert journal.verify() == 1


def test_appends_from_several_threads_make_one_chain(journal: Journal) -> None:
    def write(subject: str) -> None:
        for number in range(20):
            journal.append([draft(number, subject=subject)])

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, ["r-0001", "r-0002", "r-0003", "r-0004"]))
    assert journal.verify() == 80


def test_the_newest_of_a_kind_and_subject_is_found(journal: Journal) -> None:
    assert journal.newest("desk.snapshot", "desk") is None
    journal.append([draft(1), draft(2, kind="desk.snapshot", subject="r-0001")])
    assert journal.newest("desk.snapshot", "desk") is None
    body = Roll().snapshot(2)
    written = journal.append([Draft("desk.snapshot", "desk", 1.0, body), draft(4)])
    assert journal.newest("desk.snapshot", "desk") == written[0]
    (again,) = journal.append([Draft("desk.snapshot", "desk", 2.0, Roll().snapshot(4))])
    assert journal.newest("desk.snapshot", "desk") == again


def test_a_snapshot_is_compared_with_the_entries_before_it(journal: Journal) -> None:
    roll = Roll()
    planned = Draft("run.planned", "r-0001", 1.0, {"plan": {"service": "wallet"}})
    started = Draft("run.started", "r-0001", 1.0, {"who": "ann", "owner": "uid-1"})
    roll.take(planned)
    roll.take(started)
    journal.append([planned, started, Draft("desk.snapshot", "desk", 1.0, roll.snapshot(2))])
    assert journal.verify() == 3
    roll.take(Draft("run.ended", "r-0001", 2.0, {}))
    journal.append([draft(4), Draft("desk.snapshot", "desk", 2.0, roll.snapshot(4))])
    with pytest.raises(IntegrityError, match="entry 5: the snapshot says other than the entries") as caught:
        journal.verify()
    assert caught.value.entry == 5
