"""Whatever is done to a journal behind the desk's back, ``verify`` finds it and names the first bad entry."""

from __future__ import annotations

import json
import random
import re
import shutil
import sqlite3
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

import pytest
from tests.support.records import draft, insert_rows, raw, rows_of, sample, write_journal

from croupier.adapters.journal.chain import Head, Row, canonical, digest
from croupier.adapters.journal.checkpoint import Signer, load_signer, new_signer
from croupier.adapters.journal.evidence import FileEvidence
from croupier.adapters.journal.export import export_lines, verify_export
from croupier.adapters.journal.memory import MemoryEvidence, MemoryJournal
from croupier.adapters.journal.reading import open_for_reading
from croupier.adapters.journal.sqlite import SqliteJournal
from croupier.core.roll import Roll
from croupier.errors import CroupierError, IntegrityError, UsageError
from croupier.model.journal import Draft

COUNT = 150
"""Entries of the journal: checkpoints stand at 64, 128 and, from closing, at the end."""


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pristine") / "journal.sqlite"
    write_journal(path, COUNT)
    return path


@pytest.fixture
def path(pristine: Path, tmp_path: Path) -> Path:
    shutil.copytree(pristine.parent, tmp_path / "desk")
    return tmp_path / "desk" / "journal.sqlite"


def _verify(path: Path) -> int:
    with open_for_reading(path) as reader:
        return reader.verify()


def _replace_rows(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    connection.execute("DELETE FROM entries")
    insert_rows(connection, rows)


def _chained_again(rows: Iterable[Row]) -> list[Row]:
    """Numbers, links and hashes made right again: what somebody can do who knows the format but has no key."""
    result: list[Row] = []
    head = Head(0, "0" * 64)
    for row in rows:
        linked = row._replace(seq=head.size + 1, previous=head.hash)
        result.append(linked._replace(hash=digest(linked)))
        head = Head(linked.seq, result[-1].hash)
    return result


def _sql(*statements: str) -> Callable[[sqlite3.Connection, Path], None]:
    def change(connection: sqlite3.Connection, _: Path) -> None:
        for statement in statements:
            connection.execute(statement)

    return change


def _edited(change: Callable[[list[Row]], list[Row]], *, chain: bool) -> Callable[[sqlite3.Connection, Path], None]:
    def edit(connection: sqlite3.Connection, path: Path) -> None:
        rows = change(rows_of(path))
        _replace_rows(connection, _chained_again(rows) if chain else rows)

    return edit


def _seventh(change: Callable[[Row], Row]) -> Callable[[sqlite3.Connection, Path], None]:
    return _edited(lambda rows: [change(row) if row.seq == 7 else row for row in rows], chain=False)


def _other(row: Row) -> Row:
    return row._replace(body=canonical({"step": 0, "name": "never happened"}))


def _forge(connection: sqlite3.Connection, path: Path) -> None:
    """All entries written anew, chained, and signed with a key of the forger's own under the right name."""
    rows = _chained_again([_other(row) if row.seq == 100 else row for row in rows_of(path)])
    _replace_rows(connection, rows)
    forger = Signer(load_signer(path.parent, create=False).name, bytes(32))
    connection.execute("DELETE FROM checkpoints")
    for size in (64, 128, COUNT):
        note = forger.sign(Head(size, rows[size - 1].hash))
        connection.execute("INSERT INTO checkpoints VALUES (?, ?)", (size, note))
        connection.execute("UPDATE head SET note = ?", (note,))
    (path.parent / "checkpoints").unlink()


def _old_head(connection: sqlite3.Connection, path: Path) -> None:
    """Cut back to a checkpoint, whose note is genuine; the file beside is cut as well, but for the last note."""
    connection.execute("DELETE FROM entries WHERE seq > 128")
    connection.execute("DELETE FROM checkpoints WHERE size > 128")
    connection.execute("UPDATE head SET note = (SELECT note FROM checkpoints WHERE size = 128)")


TAMPERED: dict[str, tuple[Callable[[sqlite3.Connection, Path], None], int | None, str]] = {
    # name: (what is done, first bad entry, what verify says)
    "body edited": (_seventh(lambda row: row._replace(body=row.body.replace(b"7", b"8"))), 7, "not give its"),
    "body with a space": (_seventh(lambda row: row._replace(body=row.body.replace(b",", b", "))), 7, "not give its"),
    "body not JSON": (_seventh(lambda row: row._replace(body=b"{")), 7, "not give its"),
    "kind edited": (_sql("UPDATE entries SET kind = 'run.ended' WHERE seq = 7"), 7, "not give its"),
    "subject edited": (_sql("UPDATE entries SET subject = 'r-0002' WHERE seq = 7"), 7, "not give its"),
    "time edited": (_sql("UPDATE entries SET at = at + 1e-6 WHERE seq = 7"), 7, "not give its"),
    "hash edited": (_seventh(lambda row: row._replace(hash=row.previous)), 7, "not give its"),
    "dropped": (_sql("DELETE FROM entries WHERE seq = 7"), 7, "missing; the next one kept is entry 8"),
    "first dropped": (_sql("DELETE FROM entries WHERE seq = 1"), 1, "missing"),
    "dropped, renumbered": (
        _sql("DELETE FROM entries WHERE seq = 7", "UPDATE entries SET seq = seq - 1 WHERE seq > 7"),
        7,
        "not give its hash",
    ),
    "swapped": (
        _edited(lambda rows: [*rows[:6], rows[7]._replace(seq=7), rows[6]._replace(seq=8), *rows[8:]], chain=False),
        7,
        "not give its hash",
    ),
    "swapped, hashed": (
        _edited(
            lambda rows: [
                *rows[:6],
                (new := rows[7]._replace(seq=7))._replace(hash=digest(new)),
                (new := rows[6]._replace(seq=8))._replace(hash=digest(new)),
                *rows[8:],
            ],
            chain=False,
        ),
        7,
        "does not follow entry 6|not give its hash",
    ),
    "inserted, hashed": (
        _edited(
            lambda rows: [
                *rows[:6],
                (new := _other(rows[6])._replace(previous=rows[5].hash))._replace(hash=digest(new)),
                *[row._replace(seq=row.seq + 1) for row in rows[6:]],
            ],
            chain=False,
        ),
        8,
        "not give its hash",
    ),
    "inserted, all chained again": (
        _edited(lambda rows: [*rows[:6], _other(rows[6]), *rows[6:]], chain=True),
        1,
        "it, or one up to 64, was rewritten",
    ),
    "edited, all chained again": (
        _edited(lambda rows: [_other(row) if row.seq == 100 else row for row in rows], chain=True),
        65,
        "it, or one up to 128, was rewritten",
    ),
    "last edited and hashed": (
        _edited(lambda rows: [*rows[:-1], _other(rows[-1])], chain=True),
        129,
        "it, or one up to 150, was rewritten",
    ),
    "last cut off": (_sql(f"DELETE FROM entries WHERE seq = {COUNT}"), COUNT, "cut off: entries up to 150 were signed"),
    "end cut off": (_sql("DELETE FROM entries WHERE seq > 140"), 141, "cut off: entries up to 150 were signed"),
    "end and its notes cut off": (
        _sql("DELETE FROM entries WHERE seq > 140", "DELETE FROM checkpoints WHERE size > 140", "DELETE FROM head"),
        None,
        "the checkpoint for 150 entries stands in the file beside the journal but not in it",
    ),
    "cut back to a checkpoint": (_old_head, None, "the checkpoint for 150 entries stands in the file"),
    "all deleted": (
        _sql("DELETE FROM entries", "DELETE FROM checkpoints", "DELETE FROM head"),
        None,
        "stands in the file",
    ),
    "one appended": (
        _edited(lambda rows: [*rows, _other(rows[-1])], chain=True),
        COUNT + 1,
        "not vouched for by the journal's key",
    ),
    "checkpoint edited": (
        _sql("UPDATE checkpoints SET note = replace(note, char(10) || '64' || char(10), char(10) || '63' || char(10))"),
        None,
        "stands in the file",
    ),
    "head edited": (
        _sql("UPDATE head SET note = replace(note, char(10) || '150' || char(10), char(10) || '149' || char(10))"),
        None,
        "checkpoint for 149 entries",
    ),
    "all forged with another key": (_forge, None, "checkpoint for 64 entries: signed by another key"),
}


@pytest.mark.parametrize("name", TAMPERED)
def test_tampering_is_found_and_the_first_bad_entry_named(path: Path, name: str) -> None:
    change, entry, message = TAMPERED[name]
    assert _verify(path) == COUNT
    connection = raw(path)
    change(connection, path)
    connection.commit()
    connection.close()
    with pytest.raises(IntegrityError) as caught:
        _verify(path)
    assert re.search(message, str(caught.value))
    assert caught.value.entry == entry
    if entry is not None:
        assert str(caught.value).startswith(f"entry {entry}: ")


def test_an_edited_checkpoint_file_is_found(path: Path) -> None:
    notes = path.parent / "checkpoints"
    notes.write_text(notes.read_text().replace("\n64\n", "\n63\n"))
    with pytest.raises(IntegrityError, match="the checkpoint for 63 entries stands in the file"):
        _verify(path)


def test_an_older_copy_of_the_whole_database_is_found(pristine: Path, tmp_path: Path) -> None:
    folder = tmp_path / "desk"
    shutil.copytree(pristine.parent, folder)
    path = folder / "journal.sqlite"
    old = path.read_bytes()
    with SqliteJournal(path) as journal:
        journal.append([Draft("run.ended", "r-0001", 2e9, {})])
    path.write_bytes(old)
    with pytest.raises(IntegrityError, match="the checkpoint for 151 entries stands in the file"):
        _verify(path)


def test_a_key_that_was_replaced_is_found_by_whoever_kept_the_right_one(path: Path) -> None:
    with open_for_reading(path) as reader:
        kept = reader.public_key()
    connection = raw(path)
    _forge(connection, path)
    connection.commit()
    connection.close()
    forger = Signer(kept.name, bytes(32)).public_key
    (path.parent / "key.pub").write_text(forger.text)
    assert _verify(path) == COUNT  # whoever may write here can forge: docs/adr/0001
    with open_for_reading(path) as reader, pytest.raises(IntegrityError, match="signed by another key"):
        reader.verify(key=kept)


def test_a_desk_does_not_begin_anew_where_a_journal_was(path: Path) -> None:
    path.unlink()
    with pytest.raises(IntegrityError, match="the checkpoint for 64 entries stands in the file"):
        SqliteJournal(path)


def test_a_desk_does_not_go_on_with_a_journal_whose_end_is_not_its_own(path: Path) -> None:
    connection = raw(path)
    connection.execute(f"DELETE FROM entries WHERE seq = {COUNT}")
    connection.commit()
    connection.close()
    with pytest.raises(IntegrityError, match="entry 150: cut off"):
        SqliteJournal(path)


@pytest.mark.parametrize("after", [0, 69, 70])
def test_nobody_acts_on_an_entry_that_was_changed_though_the_end_is_sound(path: Path, after: int) -> None:
    connection = raw(path)
    connection.execute("UPDATE entries SET at = at + 1 WHERE seq = 71")
    connection.commit()
    connection.close()
    with SqliteJournal(path) as journal:
        assert [entry.seq for entry in islice(journal.read(after=after), 70 - after)] == list(range(after + 1, 71))
        for subject in (None, "r-0001"):
            with pytest.raises(IntegrityError, match="entry 71: its content does not give its hash"):
                list(journal.read(after=after, subject=subject))
        assert next(journal.read(after=71)).seq == 72
    with open_for_reading(path) as reader:
        assert len(list(reader.read())) == COUNT, "who looks for the damage sees all entries"


def test_an_entry_that_is_gone_from_the_middle_is_missed_by_who_reads_on(path: Path) -> None:
    connection = raw(path)
    connection.execute("DELETE FROM entries WHERE seq = 71")
    connection.commit()
    connection.close()
    with SqliteJournal(path) as journal:
        for after in (70, 71):
            with pytest.raises(IntegrityError, match="entry 71: missing"):
                list(journal.read(after=after))


def test_the_database_refuses_to_change_or_delete_an_entry(path: Path) -> None:
    connection = sqlite3.connect(path)
    for statement in ("UPDATE entries SET kind = 'x'", "DELETE FROM entries", "DELETE FROM checkpoints"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            connection.execute(statement)
    connection.close()


def test_any_flipped_byte_of_the_file_is_found_or_changes_no_record(path: Path) -> None:
    """Bytes outside the records (free space, page headers) may go unnoticed only if every record reads the same."""
    data = path.read_bytes()
    with open_for_reading(path) as reader:
        before = list(reader.read())
    seeded = random.Random(7)
    found = 0
    for at in [*range(0, 100, 3), *(seeded.randrange(len(data)) for _ in range(150))]:
        changed = bytearray(data)
        changed[at] ^= 1 << seeded.randrange(8)
        path.write_bytes(changed)
        try:
            with open_for_reading(path) as reader:
                assert reader.verify() == COUNT
                assert list(reader.read()) == before, f"byte {at}"
        except CroupierError:
            found += 1
        for suffix in ("-wal", "-shm"):
            Path(f"{path}{suffix}").unlink(missing_ok=True)
    assert found > 80


@pytest.mark.parametrize(
    "packed",
    [
        "x''",
        "substr(packed, 1, 32)",
        "CAST(packed || x'00' AS BLOB)",
        "substr(packed, 1, length(packed) - 1)",
        "zeroblob(99)",
    ],
)
def test_a_packed_row_that_was_changed_is_found(tmp_path: Path, packed: str) -> None:
    path = tmp_path / "journal.sqlite"
    write_journal(path, 9)
    connection = raw(path)
    connection.execute(f"UPDATE entries SET packed = {packed} WHERE seq = 7")
    connection.commit()
    connection.close()
    with pytest.raises(IntegrityError, match="entry 7: "):
        _verify(path)


# --- snapshots --------------------------------------------------------------------------------------------------------


def _with_snapshot(path: Path) -> None:
    with SqliteJournal(path) as journal:
        journal.append([draft(number) for number in range(1, 5)])
        journal.append([Draft("desk.snapshot", "desk", 1.0, Roll().snapshot(4)), draft(6)])
        journal.append([draft(7)])


def test_a_snapshot_that_was_changed_is_not_given_to_a_desk(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    _with_snapshot(path)
    connection = raw(path)
    rows = [
        row._replace(body=row.body.replace(b'"runs":0', b'"runs":9')) if row.seq == 5 else row for row in rows_of(path)
    ]
    _replace_rows(connection, rows)
    connection.commit()
    connection.close()
    with SqliteJournal(path) as journal:
        with pytest.raises(IntegrityError, match="entry 5: its content does not give its hash"):
            journal.newest("desk.snapshot", "desk")
        with pytest.raises(IntegrityError, match="entry 5: its content does not give its hash"):
            journal.verify()


def test_what_came_before_a_snapshot_is_not_looked_at_for_it_and_is_found_by_verify(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    _with_snapshot(path)
    connection = raw(path)
    connection.execute("DELETE FROM entries WHERE seq = 2")
    connection.commit()
    connection.close()
    with SqliteJournal(path) as journal:
        assert journal.newest("desk.snapshot", "desk") is not None
        with pytest.raises(IntegrityError, match="entry 2: missing"):
            journal.verify()


def test_the_newest_entry_is_found_in_the_emergency_segment_too(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    _with_snapshot(path)
    with SqliteJournal(path) as journal:
        journal._connection.execute("PRAGMA query_only = ON")
        (waiting,) = journal.append([Draft("drift", "desk", 9.0, {})], way_back=True)
        assert journal.newest("drift", "desk") == waiting
        found = journal.newest("desk.snapshot", "desk")
        assert found is not None
        assert found.seq == 5


# --- evidence ---------------------------------------------------------------------------------------------------------


def _with_evidence(path: Path) -> FileEvidence:
    store = FileEvidence(path.parent / "evidence")
    with SqliteJournal(path) as journal:
        for number in range(1, 6):
            sha256 = store.append("r-0001", sample(float(number)))
            body = {"weight": 5, "evidence": {"samples": number, "sha256": sha256}}
            journal.append([Draft("verdict", "r-0001", float(number), body)])  # type: ignore[arg-type]
        journal.append([Draft("step.passed", "r-0001", 6.0, {"evidence": None})])
    return store


@pytest.mark.parametrize(
    ("change", "entry", "message"),
    [
        (
            lambda lines: [*lines[:3], lines[3].replace(b"100.0", b"101.0"), *lines[4:]],
            3,
            "first 3 samples were changed",
        ),
        (lambda lines: [*lines[:3], *lines[4:]], 3, "other evidence"),
        (lambda lines: [*lines[:3], lines[4], lines[3], *lines[5:]], 3, "other evidence"),
        (lambda lines: lines[:4], 4, "saw 4 samples of r-0001; the evidence has 3"),
        (lambda lines: [*lines[:5], lines[5][:-9]], 5, "saw 5 samples of r-0001; the evidence has 4"),
        (lambda lines: [], 1, "saw 1 samples of r-0001; the evidence has 0"),
    ],
    ids=["edited", "dropped", "swapped", "cut off", "torn", "emptied"],
)
def test_changed_evidence_is_found_and_the_verdict_that_saw_it_named(
    tmp_path: Path, change: Callable[[list[bytes]], list[bytes]], entry: int, message: str
) -> None:
    path = tmp_path / "journal.sqlite"
    store = _with_evidence(path)
    with open_for_reading(path) as reader:
        assert reader.verify(evidence=store) == 6
        segment = tmp_path / "evidence" / "r-0001.jsonl"
        segment.write_bytes(b"".join(change(segment.read_bytes().splitlines(keepends=True))))
        with pytest.raises(IntegrityError, match=message) as caught:
            reader.verify(evidence=store)
        assert caught.value.entry == entry
        assert reader.verify() == 6


def test_another_runs_segment_in_its_place_is_found(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    store = _with_evidence(path)
    store.append("r-0002", sample(1.0))
    shutil.copy(tmp_path / "evidence" / "r-0002.jsonl", tmp_path / "evidence" / "r-0001.jsonl")
    with open_for_reading(path) as reader, pytest.raises(IntegrityError, match="r-0001, line 1: not the header"):
        reader.verify(evidence=store)


def test_evidence_is_checked_in_memory_as_well() -> None:
    journal, store = MemoryJournal(), MemoryEvidence()
    store.append("r-0001", sample(1.0))
    journal.append([Draft("verdict", "r-0001", 1.0, {"evidence": {"samples": 1, "sha256": "0" * 64}})])
    assert journal.verify() == 1
    with pytest.raises(IntegrityError, match="entry 1: saw other evidence"):
        journal.verify(evidence=store)


# --- exports ----------------------------------------------------------------------------------------------------------


def _export(path: Path, target: Path) -> list[bytes]:
    with open_for_reading(path) as reader, reader.snapshot() as (rows, notes):
        lines = list(export_lines(rows, notes, reader.public_key()))
    target.write_bytes(b"".join(lines))
    return lines


def test_an_export_verifies_offline(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "export.jsonl"
    _export(path, target)
    shutil.rmtree(path.parent)
    assert verify_export(target).entries == COUNT


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [*lines[:7], lines[7].replace(b"step 7", b"step 8"), *lines[8:]], "entry 7: its content"),
        (
            lambda lines: [*lines[:7], lines[7].replace(b",", b", ", 1), *lines[8:]],
            "entry 7 .line 8.: not in canonical",
        ),
        (lambda lines: [*lines[:7], b"{}\n", *lines[8:]], "entry 7 .line 8.: not an entry"),
        (lambda lines: [*lines[:7], *lines[8:]], "entry 7: missing"),
        (lambda lines: [*lines[:7], lines[8], lines[7], *lines[9:]], "entry 7: missing"),
        (lambda lines: [*lines[: COUNT - 2], *lines[COUNT + 1 :]], "entry 148: cut off"),
        (lambda lines: lines[:-1], "entry 129: not vouched for"),
        (lambda lines: [*lines[:-1], lines[-1][:-1]], "cut off in line"),
        (
            lambda lines: [lines[0].replace(b'"entries":150', b'"entries":151'), *lines[1:]],
            "says it has 151 entries; it has 150",
        ),
        (
            lambda lines: [*lines[:-1], lines[-1].replace(rb"\n150\n", rb"\n151\n")],
            "forged or the checkpoint was changed",
        ),
    ],
)
def test_a_changed_export_is_found(
    path: Path, tmp_path: Path, change: Callable[[list[bytes]], list[bytes]], message: str
) -> None:
    target = tmp_path / "export.jsonl"
    target.write_bytes(b"".join(change(_export(path, target))))
    with pytest.raises(IntegrityError, match=message):
        verify_export(target)


def test_an_export_signed_by_somebody_else_fails_against_the_kept_key(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "export.jsonl"
    lines = _export(path, target)
    with open_for_reading(path) as reader:
        kept = reader.public_key()
    forger = new_signer()
    last = json.loads(lines[COUNT])
    note = forger.sign(Head(COUNT, last["hash"]))
    header = {**json.loads(lines[0]), "key": forger.public_key.text}
    forged = [canonical(header) + b"\n", *lines[1 : COUNT + 1], canonical({"note": note}) + b"\n"]
    target.write_bytes(b"".join(forged))
    assert verify_export(target).key == forger.public_key
    with pytest.raises(IntegrityError, match="signed by another key"):
        verify_export(target, key=kept)


@pytest.mark.parametrize("content", [b"", b"[]\n", b"{}\n", b'{"key": 1}\n', b"\xff\xfe\n"])
def test_what_is_no_export_is_a_users_error(tmp_path: Path, content: bytes) -> None:
    target = tmp_path / "export.jsonl"
    target.write_bytes(content)
    with pytest.raises(UsageError, match="is not an export"):
        verify_export(target)


def test_a_device_is_no_export_and_is_not_read(path: Path) -> None:
    with pytest.raises(UsageError, match="not a regular file"):
        verify_export(Path("/dev/zero"))


def test_memory_verifies_like_a_file() -> None:
    journal = MemoryJournal()
    journal.append([draft(1), draft(2), draft(3)])
    journal._rows[1] = _other(journal._rows[1])
    with pytest.raises(IntegrityError, match="entry 2: its content does not give its hash"):
        journal.verify()
