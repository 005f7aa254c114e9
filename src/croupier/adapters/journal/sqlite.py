"""The journal in one SQLite file: one writer, one durable commit an append, readers in other processes at any time.

Beside ``journal.sqlite`` stand ``journal.sqlite.lock`` (held by the writer for life), ``journal.sqlite.emergency``
(see ``emergency.py``), ``checkpoints`` (signed notes, append-only) and the key pair. In the database:

- ``entries``: the chain, append-only (triggers refuse UPDATE and DELETE; the chain shows what goes around them).
  ``packed`` is an entry's hash and body;
- ``head``: the signed note for the last entry, replaced at each commit, so that a cut-off end is found;
- ``checkpoints``: signed notes every ``CHECKPOINT_EVERY`` entries, at the end of a run and at closing.

Why so: docs/adr/0001-journal-chain-and-emergency-segment.md, docs/adr/0006-entries-are-kept-packed.md.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Self

from croupier.adapters.files import sync_directory
from croupier.adapters.journal.chain import EMPTY, Head, Row, broken, digest, entry_of, seal, walk
from croupier.adapters.journal.checkpoint import load_signer
from croupier.adapters.journal.emergency import Batch, EmergencySegment
from croupier.adapters.journal.packing import pack
from croupier.adapters.journal.reading import (
    CHECKPOINTS,
    ROWS,
    SQLITE_ERRORS,
    beside,
    check_filed,
    check_format,
    connect,
    fault,
    filed_notes,
    notes_of,
    open_for_reading,
    query,
    row_of,
)
from croupier.errors import Conflict, Unreachable
from croupier.model.journal import Draft, Entry
from croupier.ports.journal import EvidenceStore

CHECKPOINT_EVERY = 64
CHECKPOINT_AFTER = frozenset({"run.ended"})
"""Kinds of entries after which a checkpoint is kept at once."""
_SCHEMA = """
CREATE TABLE entries (
  seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, at REAL NOT NULL, packed BLOB NOT NULL
) STRICT;
CREATE INDEX entries_by_subject ON entries (subject, seq);
CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT;
CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), note TEXT NOT NULL) STRICT;
CREATE TRIGGER entries_stay BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER entries_last BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER notes_stay BEFORE UPDATE ON checkpoints BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END;
CREATE TRIGGER notes_last BEFORE DELETE ON checkpoints BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END;
PRAGMA user_version = 3;
"""


class SqliteJournal:
    """The writer. Thread-safe; holds the lock file until ``close``."""

    def __init__(self, path: Path) -> None:
        """Open or create the journal at ``path``, and take over what waits in the emergency segment.

        Raises ``Conflict`` when another writer lives, ``IntegrityError`` when the end of the journal is not what this
        desk signed, ``UsageError`` when it is of another format, ``Unreachable`` when it cannot be opened.
        """
        self.path = path
        self._mutex = threading.Lock()
        with contextlib.ExitStack() as undo:
            try:
                path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                self._lock = _take_lock(beside(path, ".lock"))
                undo.callback(os.close, self._lock)
                _create(path)
                self._connection = connect(path, read_only=False)
                undo.callback(self._connection.close)
                if not self._has_schema():
                    self._connection.executescript(f"PRAGMA journal_mode = WAL; BEGIN; {_SCHEMA} COMMIT;")
                check_format(self._connection)
                self._connection.execute("PRAGMA synchronous = FULL")
                self._emergency = EmergencySegment.open(beside(path, ".emergency"))
            except OSError as error:
                raise Unreachable(f"the journal {path} cannot be opened: {error}") from error
            except SQLITE_ERRORS as error:
                raise fault(f"the journal {path} cannot be opened", error) from error
            undo.callback(self._emergency.close)
            self._kept = self._head = self._last_row()
            self._pending: tuple[Row, ...] = ()
            self._checkpointed = 0
            self._signer = load_signer(path.parent, create=self._kept == EMPTY and self._emergency.is_empty)
            self._check_end()
            self._unfiled = self._find_unfiled()
            self._adopt()
            self._close = undo.pop_all()

    # --- the port -------------------------------------------------------------------------------------------------

    def append(self, drafts: Sequence[Draft], *, way_back: bool = False) -> Sequence[Entry]:
        """See ``Journal.append``."""
        if not drafts:
            return ()
        with self._mutex:
            rows = seal(drafts, self._head)
            try:
                self._commit((*self._pending, *rows))
            except SQLITE_ERRORS as error:
                if not way_back:
                    raise Unreachable(f"the journal cannot be written: {error}", hint="free disk space") from error
                head = Head(rows[-1].seq, rows[-1].hash)
                self._emergency.append(Batch(rows, self._signer.sign(head)))
                self._pending = (*self._pending, *rows)
                self._head = head
            return tuple(map(entry_of, rows))

    def read(self, *, after: int = 0, subject: str | None = None) -> Iterator[Entry]:
        """See ``Journal.read``."""
        with open_for_reading(self.path) as reader:
            yield from reader.read_genuine(after=after, subject=subject)

    def newest(self, kind: str, subject: str) -> Entry | None:
        """See ``Journal.newest``."""
        with open_for_reading(self.path) as reader:
            return reader.newest(kind, subject)

    def verify(self, *, evidence: EvidenceStore | None = None) -> int:
        """See ``Journal.verify`` and ``JournalReader.verify``."""
        with open_for_reading(self.path) as reader:
            return reader.verify(evidence=evidence, key=self._signer.public_key)

    def close(self) -> None:
        """Keep a last checkpoint and let go of the lock. May be called twice."""
        with self._mutex:
            # On a full disk the signed head stands in for the checkpoint.
            with contextlib.suppress(*SQLITE_ERRORS):
                if self._pending or self._checkpointed < self._kept.size:
                    self._commit(self._pending, checkpoint=True)
            self._close.close()
            self._pending, self._checkpointed = (), self._kept.size

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- inside ---------------------------------------------------------------------------------------------------

    def _has_schema(self) -> bool:
        return bool(self._connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'head'").fetchone())

    def _last_row(self) -> Head:
        found = query(self._connection, f"{ROWS} ORDER BY e.seq DESC LIMIT 1")
        if not found:
            return EMPTY
        row = row_of(found[0])
        if digest(row) != row.hash:
            raise broken(row.seq, "its content does not give its hash: it was changed after it was written")
        return Head(row.seq, row.hash)

    def _check_end(self) -> None:
        """The last entry is the last one this desk signed. The full walk is ``verify``."""
        notes = notes_of(self._connection)
        check_filed(filed_notes(self.path), notes)
        signed = max(map(self._signer.public_key.open, notes.head), default=EMPTY)
        if signed.size > self._kept.size:
            raise broken(self._kept.size + 1, f"cut off: entries up to {signed.size} were signed")
        if signed != self._kept:
            raise broken(signed.size + 1, "not vouched for by the journal's key")
        for note in notes.kept[-1:]:
            self._checkpointed = self._signer.public_key.open(note).size

    def _adopt(self) -> None:
        """Entries of the emergency segment continue the chain; move them into the database if there is room."""
        for rows, note in self._emergency.waiting:
            if self._signer.public_key.open(note) != Head(rows[-1].seq, rows[-1].hash):
                raise broken(rows[-1].seq, "the emergency segment is not what was signed")
            for row in rows:
                if row.seq > self._kept.size:
                    self._pending = (*self._pending, row)
                elif [row] != list(map(row_of, query(self._connection, f"{ROWS} WHERE e.seq = ?", (row.seq,)))):
                    raise broken(row.seq, "the emergency segment has another entry with this number")
        for row in walk(self._pending, self._kept):
            self._head = Head(row.seq, row.hash)
        # Still full: they stay where they are, and go over with the next commit that succeeds.
        with contextlib.suppress(*SQLITE_ERRORS):
            self._commit(self._pending)

    def _commit(self, rows: Sequence[Row], *, checkpoint: bool = False) -> None:
        """One transaction: rows, signed head and, when due, a checkpoint; all or, with ``sqlite3.Error``, nothing."""
        head = Head(rows[-1].seq, rows[-1].hash) if rows else self._kept
        due = checkpoint or head.size - self._checkpointed >= CHECKPOINT_EVERY
        due = due or any(row.kind in CHECKPOINT_AFTER for row in rows)
        note = self._signer.sign(head) if rows or due else ""
        if note:
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                self._connection.executemany(
                    "INSERT INTO entries VALUES (?, ?, ?, ?, ?)",
                    [(*row[:4], pack(row.hash, row.body)) for row in rows],
                )
                self._connection.execute("INSERT OR REPLACE INTO head (one, note) VALUES (1, ?)", (note,))
                if due:
                    self._connection.execute("INSERT INTO checkpoints (size, note) VALUES (?, ?)", (head.size, note))
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                raise
        self._kept = self._head = head
        self._pending = ()
        if due:
            self._checkpointed = head.size
            self._unfiled.append(note)
        # Neither holds up the commit that has just been made: both are tried again after the next one, and until then
        # the segment's entries are known to be in the database, and the checkpoint stands in it.
        with contextlib.suppress(OSError):
            if not self._emergency.is_empty:
                self._emergency.clear()
            self._file_notes()

    def _find_unfiled(self) -> list[str]:
        """Checkpoints that a crash or a full disk kept out of the file beside; a torn last one is cut off there."""
        filed = filed_notes(self.path)
        with contextlib.suppress(FileNotFoundError):
            os.truncate(self.path.parent / CHECKPOINTS, len("".join(filed).encode()))
        return [note for note in notes_of(self._connection).kept if note not in set(filed)]

    def _file_notes(self) -> None:
        if not self._unfiled:
            return
        descriptor = os.open(
            self.path.parent / CHECKPOINTS, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600
        )
        try:
            size = os.fstat(descriptor).st_size
            data = "".join(self._unfiled).encode()
            if os.write(descriptor, data) != len(data):
                os.ftruncate(descriptor, size)
                return
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        self._unfiled = []


def _take_lock(path: Path) -> int:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise Conflict(
            f"another desk writes this journal ({path.with_suffix('')})", hint="stop it first; reading needs no lock"
        ) from None
    return descriptor


def _create(path: Path) -> None:
    """Unless it is there, make an empty file with mode 0600, which SQLite keeps for its side files."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return
    sync_directory(path.parent)
