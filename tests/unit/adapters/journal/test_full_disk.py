"""A rollback never waits for a disk: entries for the way back go to the emergency segment, and nothing is lost."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.support.records import draft, sample

from croupier.adapters.journal import evidence
from croupier.adapters.journal.chain import EMPTY, Head, seal
from croupier.adapters.journal.emergency import SEGMENT_BYTES, Batch, EmergencySegment, read_batches
from croupier.adapters.journal.evidence import FileEvidence
from croupier.adapters.journal.reading import open_for_reading
from croupier.adapters.journal.sqlite import SqliteJournal
from croupier.errors import IntegrityError, Unreachable
from croupier.model.journal import Draft

BIG = Draft("verdict", "r-0001", 1.0, {"text": "x" * 20_000})


def _fill(journal: SqliteJournal) -> int:
    """Let the database grow no further, and leave no room for even a small one; returns how many entries went in."""
    connection = journal._connection
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages}")
    entries = 0
    for body in ({"text": "y" * 3000}, {}):
        for _ in range(200):
            try:
                journal.append([Draft("verdict", "r-0001", 1.0, body)])
            except Unreachable:
                break
            entries += 1
        else:
            raise AssertionError("the database has no limit")
    return entries


def _make_room(journal: SqliteJournal) -> None:
    journal._connection.execute("PRAGMA max_page_count = 1000000")


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[SqliteJournal]:
    with SqliteJournal(tmp_path / "journal.sqlite") as journal:
        journal.append([draft(1)])
        yield journal


def test_on_a_full_disk_forward_entries_are_refused_and_leave_nothing(journal: SqliteJournal) -> None:
    kept = 1 + _fill(journal)
    with pytest.raises(Unreachable, match="full"):
        journal.append([draft(2), BIG])
    assert journal.verify() == kept == len(list(journal.read()))


def test_on_a_full_disk_the_way_back_is_written_read_and_verified(journal: SqliteJournal) -> None:
    kept = 1 + _fill(journal)
    written = [*journal.append([draft(2), BIG], way_back=True), *journal.append([BIG], way_back=True)]
    assert [entry.seq for entry in written] == [kept + 1, kept + 2, kept + 3]
    assert list(journal.read(after=kept)) == written
    assert [entry.seq for entry in journal.read(after=kept + 2)] == [kept + 3]
    assert journal.verify() == kept + 3
    with open_for_reading(journal.path) as reader:
        assert reader.verify() == kept + 3


def test_the_next_append_that_succeeds_takes_the_segment_over(journal: SqliteJournal) -> None:
    kept = 1 + _fill(journal)
    waiting = journal.append([BIG], way_back=True)
    _make_room(journal)
    (after,) = journal.append([draft(9)])
    assert after.seq == kept + 2
    assert after.previous == waiting[-1].hash
    assert read_batches(Path(f"{journal.path}.emergency")) == []
    assert list(journal.read(after=kept)) == [*waiting, after]
    assert journal.verify() == kept + 2


def test_a_desk_that_died_with_a_full_segment_takes_it_over_when_it_opens(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = SqliteJournal(path)
    kept = _fill(journal)
    written = journal.append([BIG, draft(2)], way_back=True)
    _kill(journal)
    with SqliteJournal(path) as again:
        assert list(again.read(after=kept)) == list(written)
        assert read_batches(Path(f"{path}.emergency")) == []
        assert again.verify() == kept + 2


def test_a_desk_that_died_between_taking_over_and_clearing_has_nothing_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "journal.sqlite"
    journal = SqliteJournal(path)
    kept = _fill(journal)
    journal.append([BIG], way_back=True)
    _make_room(journal)
    with monkeypatch.context() as patch:
        patch.setattr(EmergencySegment, "clear", _failing(errno.EIO))
        journal.append([draft(3)])
    assert len(read_batches(Path(f"{path}.emergency"))) == 1
    assert journal.verify() == kept + 2
    _kill(journal)
    with SqliteJournal(path) as again:
        assert [entry.seq for entry in again.read()] == list(range(1, kept + 3))
        assert again.append([draft(4)])[0].seq == kept + 3
        assert again.verify() == kept + 3


def test_a_segment_that_contradicts_the_journal_is_not_dropped_in_silence(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    journal = SqliteJournal(path)
    journal.append([draft(1)])
    rows = seal([BIG], EMPTY)
    journal._emergency.append(Batch(rows, journal._signer.sign(Head(1, rows[0].hash))))
    _kill(journal)
    with pytest.raises(IntegrityError, match="entry 1: the emergency segment has another entry"):
        SqliteJournal(path)
    with open_for_reading(path) as reader, pytest.raises(IntegrityError, match="two checkpoints for 1 entries differ"):
        reader.verify()


def test_the_segment_has_its_blocks_from_the_start(journal: SqliteJournal) -> None:
    file = Path(f"{journal.path}.emergency").stat()
    assert file.st_size == SEGMENT_BYTES
    assert file.st_blocks * 512 >= SEGMENT_BYTES
    assert file.st_mode & 0o777 == 0o600


def test_a_full_segment_says_so_and_keeps_what_it_has(journal: SqliteJournal) -> None:
    kept = 1 + _fill(journal)
    written = 0
    with pytest.raises(Unreachable, match="emergency is full as well"):
        for _ in range(SEGMENT_BYTES // 20_000 + 1):
            journal.append([BIG], way_back=True)
            written += 1
    assert written >= 10
    assert journal.verify() == kept + written


def test_a_used_and_cleared_segment_shows_nothing_old(journal: SqliteJournal) -> None:
    _fill(journal)
    for _ in range(3):
        journal.append([BIG], way_back=True)
    _make_room(journal)
    journal.append([draft(2)])
    _fill(journal)
    entries = journal.append([draft(3)], way_back=True)
    (batch,) = read_batches(Path(f"{journal.path}.emergency"))
    assert [row.seq for row in batch.rows] == [entries[0].seq]
    journal.verify()


def test_a_torn_batch_is_as_if_it_had_never_been_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "segment"
    segment = EmergencySegment.open(path)
    segment.append(Batch(seal([draft(1)], EMPTY), "note"))
    write = os.pwrite
    offsets = []

    def only_payload(descriptor: int, data: bytes, offset: int) -> int:
        offsets.append(offset)
        if len(offsets) == 2:
            raise OSError(errno.EIO, "the header does not land")
        return write(descriptor, data, offset)

    monkeypatch.setattr(os, "pwrite", only_payload)
    with pytest.raises(Unreachable, match="cannot be written"):
        segment.append(Batch(seal([draft(2)], Head(1, "00" * 32)), "note"))
    segment.close()
    assert len(read_batches(path)) == 1


def test_damage_in_the_segment_is_found(tmp_path: Path) -> None:
    path = tmp_path / "segment"
    segment = EmergencySegment.open(path)
    segment.append(Batch(seal([draft(1)], EMPTY), "note"))
    segment.close()
    data = bytearray(path.read_bytes())
    for at in (0, 4, 8, 60):
        changed = data.copy()
        changed[at] ^= 0x40
        path.write_bytes(changed)
        with pytest.raises(IntegrityError, match="batch 1 at byte 0 is damaged"):
            read_batches(path)


def test_evidence_on_a_full_disk_keeps_what_it_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = FileEvidence(tmp_path)
    before = store.append("r-0001", sample(1.0))
    with monkeypatch.context() as patch:
        patch.setattr(evidence.os, "fsync", _failing(errno.ENOSPC))
        with pytest.raises(Unreachable, match=r"evidence of r-0001 cannot be written: No space left"):
            store.append("r-0001", sample(2.0))
    after = store.append("r-0001", sample(3.0))
    assert before != after
    assert FileEvidence(tmp_path).digest("r-0001") == after


def _may_mount() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return False
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


_ON_TMPFS = """
import os, sys
from pathlib import Path
from croupier.adapters.journal.sqlite import SqliteJournal
from croupier.errors import Unreachable
from croupier.model.journal import Draft

path = Path(sys.argv[1]) / "journal.sqlite"
draft = Draft("verdict", "r-0001", 1.0, {"text": "x" * 3000})
journal = SqliteJournal(path)
forward = 0
try:
    while forward < 1000:
        journal.append([draft])
        forward += 1
except Unreachable as error:
    print(error)
for number in range(20):
    journal.append([draft], way_back=True)
assert journal.verify() == forward + 20, journal.verify()
(Path(sys.argv[1]) / "ballast").unlink()
journal.append([draft])
assert journal.verify() == forward + 21
journal.close()
with SqliteJournal(path) as again:
    assert again.verify() == forward + 21
print("forward", forward)
"""


@pytest.mark.skipif(not _may_mount(), reason="needs the right to mount a small tmpfs")
def test_a_file_system_that_is_really_full(tmp_path: Path) -> None:
    script = (
        f'mount -t tmpfs -o size=2m none "{tmp_path}" && '
        f'head -c 512K /dev/zero > "{tmp_path}/ballast" && exec "$0" -c "$1" "{tmp_path}"'
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, sys.executable, _ON_TMPFS],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "full" in done.stdout


def _failing(number: int) -> Callable[..., None]:
    def fail(*_: object) -> None:
        raise OSError(number, os.strerror(number))

    return fail


def _kill(journal: SqliteJournal) -> None:
    """What a kill leaves behind: no last checkpoint, no clean close; only the kernel lets go of files and lock."""
    journal._connection.close()
    journal._emergency.close()
    os.close(journal._lock)
