"""The journal's SQLite file as any process can read and verify it, while the desk writes and when it is down.

``sqlite.py`` writes it and says what is in it. Nothing here takes the writer's lock or changes a byte.
"""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, Self

from croupier.adapters.journal.chain import EMPTY, Head, Row, broken, checked, entry_of, genuine, walk
from croupier.adapters.journal.checkpoint import PublicKey, load_public_key, split_notes
from croupier.adapters.journal.emergency import Batch, read_batches
from croupier.adapters.journal.packing import unpack
from croupier.adapters.journal.verification import verify_rows
from croupier.errors import IntegrityError, Unreachable, UsageError
from croupier.model.journal import GENESIS, Entry
from croupier.ports.journal import EvidenceStore

CHECKPOINTS = "checkpoints"
"""File of signed notes beside the journal."""
PAGE = 500
"""Rows fetched at a time."""
_LARGEST_SEQ = 2**63 - 1
"""SQLite knows none beyond."""
BUSY_SECONDS = 2.0
SQLITE_ERRORS = (sqlite3.Error, UnicodeDecodeError)
"""The latter: a message of SQLite that quotes a damaged name."""
_ENVIRONMENT = frozenset(
    {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY}
)
FORMAT = 3
"""``user_version`` of the database."""
ROWS = """
SELECT e.seq, e.kind, e.subject, e.at, e.packed, substr(before.packed, 1, 32)
FROM entries AS e LEFT JOIN entries AS before ON before.seq = e.seq - 1
"""
"""Every row with the hash of the one before it, which a packed row does not repeat; without WHERE, for ``row_of``."""


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


_GO_ON = (
    "let live releases end and export it with the croupier that wrote it (`croupier journal export`), stop that one, "
    "move journal.sqlite*, checkpoints and evidence out of the desk's folder, and start this one: a new journal begins"
)


def check_format(connection: sqlite3.Connection) -> None:
    """Raises ``UsageError`` for a format that only another croupier knows."""
    ((version,),) = query(connection, "PRAGMA user_version")
    if version != FORMAT:
        is_newer = isinstance(version, int) and version > FORMAT
        raise UsageError(
            f"the journal has format {version}, this croupier reads format {FORMAT}",
            hint="a newer croupier wrote it: start that one" if is_newer else _GO_ON,
        )


def row_of(columns: Sequence[object]) -> Row:
    """A row from columns as ``ROWS`` has them. Raises ``IntegrityError`` naming it when one is not what was written."""
    seq, kind, subject, at, packed, hash_before = columns
    try:
        if not isinstance(packed, bytes):
            raise ValueError("nothing packed in it")
        hash_, body = unpack(packed)
        return checked(
            {
                "seq": seq,
                "kind": kind.decode() if isinstance(kind, bytes) else kind,
                "subject": subject.decode() if isinstance(subject, bytes) else subject,
                "at": at,
                "body": body,
                "previous": hash_before.hex() if isinstance(hash_before, bytes) else GENESIS,
                "hash": hash_,
            }
        )
    except ValueError as error:
        raise broken(seq if isinstance(seq, int) else 0, f"{error}: it was changed after it was written") from error


def _pages(connection: sqlite3.Connection, after: int, subject: str | None) -> Iterator[Row]:
    """Rows in order, a page at a time: no statement stays open while the caller thinks."""
    after = min(after, _LARGEST_SEQ)
    check_format(connection)
    where, values = ("AND e.subject = ?", (subject,)) if subject is not None else ("", ())
    while True:
        page = query(
            connection,
            f"{ROWS} WHERE e.seq > ? {where} ORDER BY e.seq LIMIT ?",
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
        """Entries as they stand there, also those that were changed: who looks for the damage wants to see it."""
        return map(entry_of, self._after(after, subject))

    def read_genuine(self, *, after: int = 0, subject: str | None = None) -> Iterator[Entry]:
        """See ``Journal.read``. Raises ``IntegrityError`` at the first entry that is not as it was written."""
        if subject is not None:
            return map(entry_of, map(genuine, self._after(after, subject)))
        rows, head = self._after(max(after - 1, 0), None), EMPTY
        if after > 0 and (last := next(rows, None)) is not None:
            if last.seq != after:
                raise broken(after, f"missing; the next one kept is entry {last.seq}")
            head = Head(last.seq, last.hash)
        return map(entry_of, walk(rows, head))

    def _after(self, after: int, subject: str | None) -> Iterator[Row]:
        """Rows of the database, then those of the emergency segment that are not in it yet."""
        waiting = read_batches(beside(self.path, ".emergency"))
        last = after
        for row in _pages(self._connection, after, subject):
            last = row.seq
            yield row
        for row in (row for batch in waiting for row in batch.rows):
            if row.seq > last and (subject is None or row.subject == subject):
                yield row

    def newest(self, kind: str, subject: str) -> Entry | None:
        """See ``Journal.newest``."""
        waiting = [row for batch in read_batches(beside(self.path, ".emergency")) for row in batch.rows]
        found = [row.seq for row in waiting if (row.kind, row.subject) == (kind, subject)]
        statement = "SELECT seq FROM entries WHERE subject = ? AND kind = ? ORDER BY seq DESC LIMIT 1"
        found += [seq for (seq,) in query(self._connection, statement, (subject, kind)) if isinstance(seq, int)]
        return next(self.read_genuine(after=max(found) - 1, subject=subject), None) if found else None

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
