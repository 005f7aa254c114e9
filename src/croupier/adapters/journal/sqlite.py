"""The journal in one SQLite file: one writer, one durable commit an append, readers in other processes at any time.

Beside ``journal.sqlite`` stand ``journal.sqlite.lock`` (held by the writer for life), ``journal.sqlite.emergency``
(see ``emergency.py``), ``checkpoints`` (signed notes, append-only) and the key pair. In the database:

- ``entries``: the chain, append-only (triggers refuse UPDATE and DELETE; the chain shows what goes around them);
- ``head``: the signed note for the last entry, replaced at each commit, so that a cut-off end is found;
- ``checkpoints``: signed notes every ``CHECKPOINT_EVERY`` entries, at the end of a run and at closing.

Why so: docs/adr/0001-journal-chain-and-emergency-segment.md.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from croupier.adapters.files import sync_directory
from croupier.adapters.journal.chain import EMPTY, Head, Row, broken, checked, digest, entry_of, seal, walk
from croupier.adapters.journal.checkpoint import PublicKey, load_public_key, load_signer, split_notes
from croupier.adapters.journal.emergency import Batch, EmergencySegment, read_batches
from croupier.adapters.journal.verification import verify_rows
from croupier.errors import Conflict, IntegrityError, Unreachable, UsageError
from croupier.model.journal import Draft, Entry
from croupier.ports.journal import EvidenceStore

CHECKPOINT_EVERY = 64
CHECKPOINT_AFTER = frozenset({"run.ended"})
"""Kinds of entries after which a checkpoint is kept at once."""
PAGE = 500
"""Rows fetched at a time."""
BUSY_SECONDS = 2.0
_SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""The latter: a message of SQLite that quotes a damaged name."""
_ENVIRONMENT = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}
)

_SCHEMA = """
CREATE TABLE entries (
  seq INTEGER PRIMARY KEY, kind TEXT NOT NULL, subject TEXT NOT NULL, at REAL NOT NULL, body TEXT NOT NULL,
  previous TEXT NOT NULL, hash TEXT NOT NULL
) STRICT;
CREATE INDEX entries_by_subject ON entries (subject, seq);
CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, note TEXT NOT NULL) STRICT;
CREATE TABLE head (one INTEGER PRIMARY KEY CHECK (one = 1), note TEXT NOT NULL) STRICT;
CREATE TRIGGER entries_stay BEFORE UPDATE ON entries BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER entries_last BEFORE DELETE ON entries BEGIN SELECT RAISE(ABORT, 'the journal is append-only'); END;
CREATE TRIGGER notes_stay BEFORE UPDATE ON checkpoints BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END;
CREATE TRIGGER notes_last BEFORE DELETE ON checkpoints BEGIN SELECT RAISE(ABORT, 'checkpoints are append-only'); END;
PRAGMA user_version = 1;
"""
_COLUMNS = "seq, kind, subject, at, body, previous, hash"


def _connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{_quoted(path)}?mode={'ro' if read_only else 'rw'}",
        uri=True,
        isolation_level=None,
        timeout=BUSY_SECONDS,
        check_same_thread=False,
    )
    connection.text_factory = bytes  # a byte changed on disk must be found by us, not break the driver
    return connection


def _query(connection: sqlite3.Connection, statement: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
    """All rows. Raises ``Unreachable`` when the file cannot be read now, ``IntegrityError`` when it is damaged."""
    try:
        return connection.execute(statement, values).fetchall()
    except _SQLITE_ERRORS as error:
        raise _fault("the journal cannot be read", error) from error


def _fault(what: str, error: Exception) -> Unreachable | IntegrityError:
    """The disk (temporary) or the content (not) is to blame."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in _ENVIRONMENT:
        return Unreachable(f"{what}: {error}")
    return IntegrityError(f"{what}: {error}", hint="the database file is damaged; compare with an export or a backup")


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _row(columns: Sequence[object]) -> Row:
    """A row from raw columns. Raises ``IntegrityError`` naming it when a column is not what was written."""
    fields = dict(zip(Row._fields, columns, strict=True))
    seq = fields["seq"]
    try:
        for name in ("kind", "subject", "previous", "hash"):
            value = fields[name]
            fields[name] = value.decode() if isinstance(value, bytes) else value
        return checked(fields)
    except ValueError as error:
        raise broken(seq if isinstance(seq, int) else 0, f"{error}: it was changed after it was written") from error


def _pages(connection: sqlite3.Connection, after: int, subject: str | None) -> Iterator[Row]:
    """Rows in order, a page at a time: no statement stays open while the caller thinks."""
    where, values = ("AND subject = ?", (subject,)) if subject is not None else ("", ())
    while True:
        page = _query(
            connection,
            f"SELECT {_COLUMNS} FROM entries WHERE seq > ? {where} ORDER BY seq LIMIT ?",
            (after, *values, PAGE),
        )
        for columns in page:
            row = _row(columns)
            after = row.seq
            yield row
        if len(page) < PAGE:
            return


class _Notes(NamedTuple):
    """Signed notes in the database: checkpoints by size, and the one for the last entry (none when empty)."""

    kept: tuple[str, ...]
    head: tuple[str, ...]


def _notes(connection: sqlite3.Connection) -> _Notes:
    """Bytes that are no text come out marked, and fail their signature."""
    kept = _query(connection, "SELECT note FROM checkpoints ORDER BY size")
    head = _query(connection, "SELECT note FROM head")
    return _Notes(tuple(_text(note) for (note,) in kept), tuple(_text(note) for (note,) in head))


def _text(value: object) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


class JournalReader:
    """The journal as any process can read it, while the desk runs and when it is down."""

    def __init__(self, path: Path) -> None:
        """Raises ``UsageError`` when there is no journal at ``path``, ``Unreachable`` when it cannot be opened."""
        if not path.is_file():
            raise UsageError(f"no journal at {path}", hint="the desk writes it when it first starts")
        self.path = path
        try:
            self._connection = _connect(path, read_only=True)
        except _SQLITE_ERRORS as error:
            raise _fault(f"{path} cannot be opened", error) from error

    def read(self, *, after: int = 0, subject: str | None = None) -> Iterator[Entry]:
        """See ``Journal.read``."""
        waiting = read_batches(_beside(self.path, ".emergency"))
        last = after
        for row in _pages(self._connection, after, subject):
            last = row.seq
            yield entry_of(row)
        for row in (row for batch in waiting for row in batch.rows):
            if row.seq > last and (subject is None or row.subject == subject):
                yield entry_of(row)

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[tuple[Iterator[Row], Sequence[str]]]:
        """All rows, and all signed notes, of one moment. Raises ``IntegrityError`` when notes were taken away.

        The order matters while a desk writes: what it writes last (emergency segment, checkpoint file) is read first.
        """
        waiting = read_batches(_beside(self.path, ".emergency"))
        filed = self._filed()
        _query(self._connection, "BEGIN")
        try:
            notes = _notes(self._connection)
            if gone := set(filed) - set(notes.kept):
                size = min((note.split("\n")[1] for note in gone), key=lambda text: (len(text), text))
                raise IntegrityError(
                    f"the checkpoint for {size} entries stands in the file beside the journal but not in it",
                    hint="an older journal was put in its place, or one of the two was edited",
                )
            yield self._rows(waiting), (*notes.kept, *notes.head, *(batch.note for batch in waiting))
        finally:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")

    def _rows(self, waiting: Sequence[Batch]) -> Iterator[Row]:
        """Rows of the database, then those of the emergency segment that are not in it yet."""
        held = {row.seq: row for batch in waiting for row in batch.rows}
        for row in _pages(self._connection, 0, None):
            if held.pop(row.seq, row) != row:
                raise broken(row.seq, "the emergency segment has another entry with this number")
            yield row
        yield from held.values()

    def _filed(self) -> list[str]:
        try:
            return split_notes((self.path.parent / "checkpoints").read_bytes().decode("utf-8", errors="replace"))
        except FileNotFoundError:
            return []

    def public_key(self) -> PublicKey:
        """The key beside the journal. Raises ``IntegrityError`` when it is missing."""
        return load_public_key(self.path.parent)

    def verify(self, *, evidence: EvidenceStore | None = None, key: PublicKey | None = None) -> int:
        """Check chain, checkpoints, head, database file and evidence; returns the number of entries.

        ``key``: the public key to trust; None: the one beside the journal. Raises ``IntegrityError`` naming the first
        bad entry.
        """
        key = key or self.public_key()
        with self.snapshot() as (rows, notes):
            head = verify_rows(rows, notes, key, evidence)
        # What the chain does not cover: an index that leads past an entry, for one.
        ((answer,),) = _query(self._connection, "PRAGMA integrity_check(1)")
        if answer != b"ok":
            raise IntegrityError(f"the database file is damaged: {_text(answer)}")
        return head.size

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_for_reading(path: Path) -> JournalReader:
    """Read and verify a journal without disturbing its writer. See ``JournalReader``."""
    return JournalReader(path)


class SqliteJournal:
    """The writer. Thread-safe; holds the lock file until ``close``."""

    def __init__(self, path: Path) -> None:
        """Open or create the journal at ``path``, and take over what waits in the emergency segment.

        Raises ``Conflict`` when another writer lives, ``IntegrityError`` when the end of the journal is not what this
        desk signed, ``Unreachable`` when it cannot be opened.
        """
        self.path = path
        self._mutex = threading.Lock()
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with contextlib.ExitStack() as undo:
            self._lock = _take_lock(_beside(path, ".lock"))
            undo.callback(os.close, self._lock)
            try:
                fresh = _create(path)
                self._connection = _connect(path, read_only=False)
                undo.callback(self._connection.close)
                if fresh or not self._has_schema():
                    self._connection.executescript(f"PRAGMA journal_mode = WAL; BEGIN; {_SCHEMA} COMMIT;")
                self._connection.execute("PRAGMA synchronous = FULL")
                self._emergency = EmergencySegment.open(_beside(path, ".emergency"))
            except OSError as error:
                raise Unreachable(f"the journal {path} cannot be opened: {error}") from error
            except _SQLITE_ERRORS as error:
                raise _fault(f"the journal {path} cannot be opened", error) from error
            undo.callback(self._emergency.close)
            self._reader = JournalReader(path)
            undo.callback(self._reader.close)
            self._kept = self._head = self._last_row()
            self._pending: tuple[Row, ...] = ()
            ((newest,),) = self._connection.execute("SELECT coalesce(max(size), 0) FROM checkpoints").fetchall()
            self._checkpointed = int(newest)
            self._signer = load_signer(path.parent, create=self._kept == EMPTY and self._emergency.is_empty)
            self._notes_path = path.parent / "checkpoints"
            self._unfiled = self._find_unfiled()
            self._check_end()
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
            except _SQLITE_ERRORS as error:
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
            yield from reader.read(after=after, subject=subject)

    def verify(self, *, evidence: EvidenceStore | None = None) -> int:
        """See ``Journal.verify`` and ``JournalReader.verify``."""
        with open_for_reading(self.path) as reader:
            return reader.verify(evidence=evidence, key=self._signer.public_key)

    def close(self) -> None:
        """Keep a last checkpoint and let go of the lock. May be called twice."""
        with self._mutex:
            # On a full disk the signed head stands in for the checkpoint.
            with contextlib.suppress(*_SQLITE_ERRORS):
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
        found = _query(self._connection, f"SELECT {_COLUMNS} FROM entries ORDER BY seq DESC LIMIT 1")
        if not found:
            return EMPTY
        row = _row(found[0])
        if digest(row) != row.hash:
            raise broken(row.seq, "its content does not give its hash: it was changed after it was written")
        return Head(row.seq, row.hash)

    def _check_end(self) -> None:
        """The last entry is the last one this desk signed. The full walk is ``verify``."""
        key = self._signer.public_key
        signed = max((key.open(note) for note in _notes(self._connection).head), default=EMPTY)
        if signed.size > self._kept.size:
            raise broken(self._kept.size + 1, f"cut off: entries up to {signed.size} were signed")
        if signed != self._kept:
            raise broken(signed.size + 1, "not vouched for by the journal's key")

    def _adopt(self) -> None:
        """Entries of the emergency segment continue the chain; move them into the database if there is room."""
        waiting = [row for batch in self._emergency.waiting for row in batch.rows]
        for batch in self._emergency.waiting:
            if self._signer.public_key.open(batch.note) != Head(batch.rows[-1].seq, batch.rows[-1].hash):
                raise broken(batch.rows[-1].seq, "the emergency segment is not what was signed")
        self._pending = tuple(row for row in waiting if row.seq > self._kept.size)
        for row in walk(self._pending, self._kept):
            self._head = Head(row.seq, row.hash)
        # Still full: they stay where they are, and go over with the next commit that succeeds.
        with contextlib.suppress(*_SQLITE_ERRORS):
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
                    f"INSERT INTO entries ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
                    [(*row[:4], row.body.decode(), *row[5:]) for row in rows],
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
        kept = list(_notes(self._connection).kept)
        try:
            data = self._notes_path.read_bytes()
        except FileNotFoundError:
            return kept
        filed = split_notes(data.decode("utf-8", errors="replace"))
        whole = len("".join(filed).encode())
        if whole < len(data):
            os.truncate(self._notes_path, whole)
        return [note for note in kept if note not in set(filed)]

    def _file_notes(self) -> None:
        if not self._unfiled:
            return
        descriptor = os.open(self._notes_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
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


def _create(path: Path) -> bool:
    """Make an empty file with mode 0600, which SQLite keeps for its side files. True if it was not there."""
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        return False
    sync_directory(path.parent)
    return True
