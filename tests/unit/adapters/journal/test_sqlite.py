"""What the durable journal adds to the contract: one writer, readers elsewhere, checkpoints, files of its owner."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from tests.support.records import draft, write_journal

from croupier.adapters.journal.checkpoint import PublicKey, split_notes
from croupier.adapters.journal.reading import open_for_reading
from croupier.adapters.journal.sqlite import CHECKPOINT_EVERY, SqliteJournal
from croupier.errors import Conflict, IntegrityError, Unreachable, UsageError
from croupier.model.journal import Draft


def _sizes(path: Path) -> list[int]:
    key = PublicKey.parse((path.parent / "key.pub").read_text())
    return [key.open(note).size for note in split_notes((path.parent / "checkpoints").read_text())]


def test_entries_outlive_the_process(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    write_journal(path, 3)
    with SqliteJournal(path) as journal:
        assert [entry.seq for entry in journal.append([draft(4)])] == [4]
        assert [entry.seq for entry in journal.read()] == [1, 2, 3, 4]
        assert journal.verify() == 4


def test_a_second_writer_is_refused_while_the_first_lives(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with SqliteJournal(path) as first:
        with pytest.raises(Conflict, match="another desk writes this journal"):
            SqliteJournal(path)
        first.append([draft(1)])
    with SqliteJournal(path) as second:
        assert second.verify() == 1


def test_a_refused_writer_leaves_the_first_one_working(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with SqliteJournal(path) as first:
        code = (
            "import sys; from pathlib import Path\n"
            "from croupier.adapters.journal.sqlite import SqliteJournal\n"
            "from croupier.errors import Conflict\n"
            "try: SqliteJournal(Path(sys.argv[1]))\n"
            "except Conflict: print('refused')\n"
        )
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
        assert done.stdout == "refused\n"
        first.append([draft(1)])
        assert first.verify() == 1


def test_another_process_reads_and_verifies_while_the_desk_writes(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    code = (
        "import sys; from pathlib import Path\n"
        "from croupier.adapters.journal.reading import open_for_reading\n"
        "with open_for_reading(Path(sys.argv[1])) as reader: print(reader.verify(), len(list(reader.read())))\n"
    )
    with SqliteJournal(path) as journal:
        journal.append([draft(n) for n in range(1, 11)])
        done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
        assert done.stdout == "10 10\n"
        journal.append([draft(11)])


def test_a_reader_that_stops_half_way_does_not_hold_up_the_writer(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with SqliteJournal(path) as journal:
        journal.append([draft(n) for n in range(1, 11)])
        with open_for_reading(path) as reader:
            reading = reader.read()
            next(reading)
            with reader.snapshot() as (rows, _):
                next(rows)
                journal.append([draft(11)])
        assert journal.verify() == 11


def test_checkpoints_stand_every_so_many_entries_after_a_run_and_at_closing(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with SqliteJournal(path) as journal:
        for number in range(1, CHECKPOINT_EVERY + 10):
            journal.append([draft(number)])
        assert _sizes(path) == [CHECKPOINT_EVERY]
        journal.append([draft(1, kind="run.ended")])
        assert _sizes(path) == [CHECKPOINT_EVERY, CHECKPOINT_EVERY + 10]
        journal.append([draft(2)])
    assert _sizes(path) == [CHECKPOINT_EVERY, CHECKPOINT_EVERY + 10, CHECKPOINT_EVERY + 11]
    with SqliteJournal(path):
        pass
    assert _sizes(path)[-1] == CHECKPOINT_EVERY + 11


def test_a_checkpoint_that_could_not_be_filed_is_filed_later(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with SqliteJournal(path) as journal:
        (tmp_path / "checkpoints").mkdir()  # cannot be opened for writing
        journal.append([draft(1, kind="run.ended")])
        assert journal.append([draft(2)])[0].seq == 2
        (tmp_path / "checkpoints").rmdir()
        journal.append([draft(3)])
        assert _sizes(path) == [1]
        assert journal.verify() == 3


def test_a_torn_checkpoint_file_is_mended_when_the_desk_opens(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    write_journal(path, 2)
    notes = tmp_path / "checkpoints"
    whole = notes.read_bytes()
    notes.write_bytes(whole[:-20])
    with open_for_reading(path) as reader:
        assert reader.verify() == 2
    with SqliteJournal(path):
        assert notes.read_bytes() == whole


def test_all_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "desk" / "journal.sqlite"
    with SqliteJournal(path) as journal:
        journal.append([draft(1, kind="run.ended")])
        names = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}
    assert {"journal.sqlite", "journal.sqlite-wal", "journal.sqlite.emergency", "key", "checkpoints"} <= set(names)
    assert set(names.values()) == {0o600}
    assert path.parent.stat().st_mode & 0o777 == 0o700


def test_the_key_is_in_none_of_the_files_but_its_own(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    write_journal(path, 2)
    secret = (tmp_path / "key").read_text().split("+", 4)[4].strip().encode()
    assert [file.name for file in tmp_path.iterdir() if secret in file.read_bytes()] == ["key"]


def test_a_journal_without_its_key_is_not_continued(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    write_journal(path, 1)
    (tmp_path / "key").unlink()
    with pytest.raises(IntegrityError, match=r"signing key .* is missing"):
        SqliteJournal(path)
    with open_for_reading(path) as reader:
        assert reader.verify() == 1


def test_a_database_that_somebody_else_locks_is_unreachable_and_then_works_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("croupier.adapters.journal.reading.BUSY_SECONDS", 0.0)
    path = tmp_path / "journal.sqlite"
    with SqliteJournal(path) as journal:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(Unreachable, match="locked"):
            journal.append([draft(1)])
        (back,) = journal.append([draft(2)], way_back=True)
        assert back.seq == 1
        other.execute("ROLLBACK")
        other.close()
        journal.append([draft(3)])
        assert journal.verify() == 2


@pytest.mark.parametrize("content", [b"not a database at all, but long enough to look at" * 4, b"\0" * 4096])
def test_what_is_no_journal_is_said_to_be_none(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(content)
    with pytest.raises(IntegrityError):
        SqliteJournal(path)
    with pytest.raises(IntegrityError), open_for_reading(path) as reader:
        reader.verify()


def test_a_missing_journal_is_a_users_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no journal at"):
        open_for_reading(tmp_path / "journal.sqlite")
    assert list(tmp_path.iterdir()) == []


def test_an_odd_path_is_no_trouble(tmp_path: Path) -> None:
    path = tmp_path / "what? 50% #1" / "journal.sqlite"
    write_journal(path, 1)
    with open_for_reading(path) as reader:
        assert reader.verify() == 1


def test_a_closed_journal_writes_nothing_more(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    journal.close()
    for way_back in (False, True):
        with pytest.raises(Unreachable):
            journal.append([draft(1)], way_back=way_back)


def test_closing_twice_is_fine(tmp_path: Path) -> None:
    journal = SqliteJournal(tmp_path / "journal.sqlite")
    journal.append([Draft("desk.started", "desk", 1.0, {})])
    journal.close()
    journal.close()
