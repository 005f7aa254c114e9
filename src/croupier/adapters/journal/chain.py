"""The hash chain: what an entry's hash covers, and the one walk that finds where a chain is broken. Pure.

The hash of an entry is the SHA-256 over the RFC 8785 form of the object {at, body, kind, previous, seq, subject}.
RFC 8785 sorts keys, so that form is put together here from the stored canonical text of the body: the hash covers the
very bytes that are kept, and any changed byte is found without trusting a JSON parser.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

import rfc8785
from pydantic import JsonValue

from croupier.errors import IntegrityError
from croupier.model.journal import GENESIS, Draft, Entry

LARGEST_WHOLE = 2**53 - 1
"""Beyond it a whole number is a float in JSON (RFC 8785, RFC 7493)."""


class Row(NamedTuple):
    """An entry as kept: ``body`` is the canonical text, everything else as in ``Entry``."""

    seq: int
    kind: str
    subject: str
    at: float
    body: bytes
    previous: str
    hash: str


class Head(NamedTuple):
    """Where a chain ends: number of entries, and the hash of the last one."""

    size: int
    hash: str


EMPTY = Head(0, GENESIS)


def _whole(digits: str) -> int | float:
    value = int(digits)
    return value if abs(value) <= LARGEST_WHOLE else float(digits)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def parse(text: bytes) -> JsonValue:
    """JSON to values such that ``canonical`` gives the same bytes again. Raises ``ValueError`` for anything else."""
    try:
        value: JsonValue = json.loads(text, parse_int=_whole, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def canonical(value: JsonValue) -> bytes:
    """RFC 8785 form. Raises ``ValueError`` for what has none: NaN, infinity, lone surrogates, whole numbers > 2^53."""
    return rfc8785.dumps(value)


_word = json.JSONEncoder(ensure_ascii=False).encode
"""A word in its RFC 8785 form, which is how JSON is usually written; several times faster than ``canonical``."""


def signed_text(row: Row) -> bytes:
    """The canonical form of all fields but ``hash``. ``row.hash`` is not looked at."""
    tail = f'"kind":{_word(row.kind)},"previous":{_word(row.previous)},"seq":{row.seq},"subject":{_word(row.subject)}}}'
    return b'{"at":' + canonical(row.at) + b',"body":' + row.body + b"," + tail.encode()


def digest(row: Row) -> str:
    """The hash that ``row`` must carry."""
    return hashlib.sha256(signed_text(row)).hexdigest()


def seal(drafts: Sequence[Draft], head: Head) -> tuple[Row, ...]:
    """Drafts as the next rows of a chain. Raises ``ValueError`` when a body is not JSON (a bug of the caller)."""
    rows: list[Row] = []
    for draft in drafts:
        row = Row(
            head.size + 1, draft.kind, draft.subject, float(draft.at), canonical(dict(draft.body)), head.hash, hash=""
        )
        row = row._replace(hash=digest(row))
        rows.append(row)
        head = Head(row.seq, row.hash)
    return tuple(rows)


def entry_of(row: Row) -> Entry:
    """The entry a row holds. Raises ``IntegrityError`` when the body is not a JSON object."""
    try:
        body = parse(row.body)
    except ValueError as error:
        raise broken(row.seq, f"its body is not JSON ({error})") from error
    if not isinstance(body, dict):
        raise broken(row.seq, "its body is not a JSON object")
    return Entry(row.seq, row.kind, row.subject, row.at, body, row.previous, row.hash)


def encode(row: Row) -> bytes:
    """One line of an export or of the emergency segment: the RFC 8785 form of all fields, ``hash`` included."""
    head = canonical({"at": row.at}).removesuffix(b"}")
    tail = canonical(
        {"hash": row.hash, "kind": row.kind, "previous": row.previous, "seq": row.seq, "subject": row.subject},
    ).removeprefix(b"{")
    return head + b',"body":' + row.body + b"," + tail


def decode(line: bytes) -> Row:
    """The row that ``encode`` made a line of. Raises ``ValueError`` for every other line."""
    value = parse(line)
    if not isinstance(value, dict) or set(value) != {"at", "body", "hash", "kind", "previous", "seq", "subject"}:
        raise ValueError("not an entry")
    row = checked({**value, "body": canonical(value["body"])})
    if encode(row) != line:
        raise ValueError("not in canonical form")
    return row


def checked(fields: Mapping[str, object]) -> Row:
    """A row from fields of unknown types, named as in ``Row``. Raises ``ValueError`` when one has the wrong type."""
    seq, at, body = fields["seq"], fields["at"], fields["body"]
    if not isinstance(seq, int) or isinstance(seq, bool):
        raise ValueError("seq is not a whole number")
    if not isinstance(at, int | float) or isinstance(at, bool):
        raise ValueError("at is not a number")
    if not isinstance(body, bytes):
        raise ValueError("body is not text")
    texts: list[str] = []
    for name in ("kind", "subject", "previous", "hash"):
        value = fields[name]
        if not isinstance(value, str):
            raise ValueError(f"{name} is not text")
        texts.append(value)
    kind, subject, previous, hash = texts
    return Row(seq, kind, subject, float(at), body, previous, hash)


def broken(seq: int, what: str) -> IntegrityError:
    return IntegrityError(
        f"entry {seq}: {what}", entry=seq, hint="compare with an export or a backup made before; entries before it hold"
    )


def genuine(row: Row) -> Row:
    """The row itself. Raises ``IntegrityError`` when its content is not what its hash says."""
    try:
        right = digest(row)
    except ValueError as error:
        raise broken(row.seq, f"cannot be hashed ({error})") from error
    if row.hash != right:
        raise broken(row.seq, "its content does not give its hash: it was changed after it was written")
    return row


def walk(rows: Iterable[Row], head: Head = EMPTY) -> Iterator[Row]:
    """Pass on rows that continue the chain after ``head``. Raises ``IntegrityError`` naming the first that does not."""
    for row in rows:
        expected = head.size + 1
        if row.seq > expected:
            raise broken(expected, f"missing; the next one kept is entry {row.seq}")
        if row.seq < expected:
            raise broken(row.seq, "stands twice, or after a later one")
        genuine(row)
        if row.previous != head.hash:
            raise broken(row.seq, f"does not follow entry {head.size}: one was inserted, dropped or swapped here")
        yield row
        head = Head(row.seq, row.hash)
