"""The journal's SQLite file as any process can read and verify it, while the desk writes and when it is down.

``sqlite.py`` writes it and says what is in it. Nothing here takes the writer's lock or changes a byte.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from croupier.adapters.journal.chain import Row, broken, checked, entry_of
from croupier.adapters.journal.checkpoint import PublicKey, load_public_key, split_notes
from croupier.adapters.journal.emergency import Batch, read_batches
from croupier.adapters.journal.verification import verify_rows
from croupier.errors import IntegrityError, Unreachable, UsageError
from croupier.model.journal import Entry
from croupier.ports.journal import EvidenceStore

CHECKPOINTS = "checkpoints"
"""File of signed notes beside the journal."""
PAGE = 500
"""Rows fetched at a time."""
BUSY_SECONDS = 2.0
SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""The latter: a message of SQLite that quotes a damaged name."""
_ENVIRONMENT = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}
)
COLUMNS = "seq, kind, subject, at, body, previous, hash"


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"file:{_quoted(path)}?mode={'ro' if read_only else 'rw'}",
        uri=True,
        isolation_level=None,
        timeout=BUSY_SECONDS,
        check_same_thread=False,
    )
    connection.text_factory = bytes  # a byte changed on disk must be found by us, not break the driver
    return connection


def query(connection: sqlite3.Connection, statement: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
    """All rows. Raises ``Unreachable`` when the file cannot be read now, ``IntegrityError`` when it is damaged."""
    try:
        return connection.execute(statement, values).fetchall()
    except SQLITE_ERRORS as error:
        raise fault("the journal cannot be read", error) from error


def fault(what: str, error: Exception) -> Unreachable | IntegrityError:
    """The disk (temporary) or the content (not) is to blame."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None and code & 0xFF in _ENVIRONMENT:
        return Unreachable(f"{what}: {error}")
    return IntegrityError(f"{what}: {error}", hint="the database file is damaged; compare with an export or a backup")


def _quoted(path: Path) -> str:
    return str(path.absolute()).replace("%", "%25").replace("?", "%3f").replace("#", "%23")


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def row_of(columns: Sequence[object]) -> Row:
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
        page = query(
            connection,
            f"SELECT {COLUMNS} FROM entries WHERE seq > ? {where} ORDER BY seq LIMIT ?",
            (after, *values, PAGE),
        )
        for columns in page:
            row = row_of(columns)
            after = row.seq
            yield row
        if len(page) < PAGE:
            return


class Notes(NamedTuple):
    """Signed notes in the database: checkpoints by size, and the one for the last entry (none when empty)."""

    kept: tuple[str, ...]
    head: tuple[str, ...]


def notes_of(connection: sqlite3.Connection) -> Notes:
    """Bytes that are no text come out marked, and fail their signature."""
    kept = query(connection, "SELECT note FROM checkpoints ORDER BY size")
    head = query(connection, "SELECT note FROM head")
    return Notes(tuple(_text(note) for (note,) in kept), tuple(_text(note) for (note,) in head))


def _text(value: object) -> str:
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else str(value)


def filed_notes(path: Path) -> list[str]:
    """Notes in the file beside the journal at ``path``, oldest first."""
    try:
        return split_notes((path.parent / CHECKPOINTS).read_bytes().decode("utf-8", errors="replace"))
    except FileNotFoundError:
        return []


def check_filed(filed: Sequence[str], notes: Notes) -> None:
    """Every checkpoint of the file stands in the database, which is written first. Raises ``IntegrityError``."""
    if gone := set(filed) - set(notes.kept):
        size = min((note.split("\n")[1] for note in gone), key=lambda text: (len(text), text))
        raise IntegrityError(
            f"the checkpoint for {size} entries stands in the file beside the journal but not in it",
            hint="an older journal was put in its place, or one of the two was edited",
        )


class JournalReader:
    """The journal as any process can read it, while the desk runs and when it is down."""

    def __init__(self, path: Path) -> None:
        """Raises ``UsageError`` when there is no journal at ``path``, ``Unreachable`` when it cannot be opened."""
        if not path.is_file():
            raise UsageError(f"no journal at {path}", hint="the desk writes it when it first starts")
        self.path = path
        try:
            self._connection = connect(path, read_only=True)
        except SQLITE_ERRORS as error:
            raise fault(f"{path} cannot be opened", error) from error

    def read(self, *, after: int = 0, subject: str | None = None) -> Iterator[Entry]:
        """See ``Journal.read``."""
        waiting = read_batches(beside(self.path, ".emergency"))
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
        waiting = read_batches(beside(self.path, ".emergency"))
        filed = filed_notes(self.path)
        query(self._connection, "BEGIN")
        try:
            notes = notes_of(self._connection)
            check_filed(filed, notes)
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
        ((answer,),) = query(self._connection, "PRAGMA integrity_check(1)")
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
