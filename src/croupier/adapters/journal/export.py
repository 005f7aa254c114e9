"""A journal as one file that anybody can check offline: JSON lines, with the signed notes and the public key.

First a header ``{"croupier": "journal-export", "entries", "format", "key"}``, then one line an entry (RFC 8785), then
one line ``{"note"}`` for each signed note, the last one for the last entry.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from croupier.adapters.journal.chain import Row, canonical, decode, encode, parse
from croupier.adapters.journal.checkpoint import PublicKey
from croupier.adapters.journal.verification import verify_rows
from croupier.errors import IntegrityError, UsageError
from croupier.ports.journal import EvidenceStore

KIND = "journal-export"
FORMAT = 1


def export_lines(rows: Iterable[Row], notes: Iterable[str], key: PublicKey) -> Iterator[bytes]:
    """Lines of an export, each with its newline. ``notes`` in the order of their sizes."""
    held = [encode(row) for row in rows]
    yield canonical({"croupier": KIND, "entries": len(held), "format": FORMAT, "key": key.text}) + b"\n"
    for line in held:
        yield line + b"\n"
    for note in dict.fromkeys(notes):  # the note of the head may be the last checkpoint as well
        yield canonical({"note": note}) + b"\n"


class Verified(NamedTuple):
    """What an export holds once it is found sound: number of entries, and the key it was checked with."""

    entries: int
    key: PublicKey


def verify_export(path: Path, *, key: PublicKey | None = None, evidence: EvidenceStore | None = None) -> Verified:
    """Check an export like the journal it was made of.

    ``key``: the public key to trust; None: the one in the file, which whoever wrote the file has chosen. Raises
    ``IntegrityError`` naming the first bad entry, ``UsageError`` when the file is no export.
    """
    if not path.is_file():  # a device need not end
        raise UsageError(f"{path} is not a regular file")
    lines = path.read_bytes().split(b"\n")
    try:
        header = json.loads(lines[0])
        stated, count = PublicKey.parse(header["key"]), int(header["entries"])
        if (header["croupier"], header["format"]) != (KIND, FORMAT):
            raise ValueError("another kind or format")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"{path} is not an export of a journal ({error})") from error
    if lines.pop() != b"":
        raise IntegrityError(f"{path} is cut off in line {len(lines) + 1}")
    notes: list[str] = []
    rows: list[Row] = []
    for number, line in enumerate(lines[1:], start=2):
        try:
            if line.startswith(b'{"note"'):
                notes.append(_note(line))
            elif notes:
                raise ValueError("an entry after the notes")
            else:
                rows.append(decode(line))
        except ValueError as error:
            entry = None if notes else len(rows) + 1
            where = f"line {number}" if entry is None else f"entry {entry} (line {number})"
            raise IntegrityError(f"{where}: {error}: it was changed after it was written", entry=entry) from error
    size = verify_rows(rows, notes, key or stated, evidence).size
    if size != count:
        raise IntegrityError(f"the export says it has {count} entries; it has {size}", entry=min(size, count) + 1)
    return Verified(size, key or stated)


def _note(line: bytes) -> str:
    value = parse(line)
    if not isinstance(value, dict) or set(value) != {"note"} or not isinstance(value["note"], str):
        raise ValueError("not a note")
    if canonical(value) != line:
        raise ValueError("not in canonical form")
    return value["note"]
