"""The emergency segment: a file that already owns its blocks, so that the way back can be journalled on a full disk.

Layout: batches one after another, each at a multiple of eight: length (u32), CRC-32 (u32), payload. The payload is made
durable first, its eight-byte header second; a header never straddles a sector, so a batch is there whole or not at all.
A zero header ends the list. A header without its payload is damage, never a torn write.
"""

from __future__ import annotations

import json
import os
import struct
import zlib
from pathlib import Path
from typing import NamedTuple, Self

from croupier.adapters.files import sync_directory
from croupier.adapters.journal.chain import Row, decode, encode
from croupier.errors import IntegrityError, Unreachable

SEGMENT_BYTES = 256 * 1024

_HEADER = struct.Struct("<II")
_END = bytes(_HEADER.size)


class Batch(NamedTuple):
    """Rows that one append wrote, and the signed note for the chain with them."""

    rows: tuple[Row, ...]
    note: str


def _scan(data: bytes, name: str) -> tuple[list[Batch], int]:
    """(batches, offset of the first free header)."""
    batches: list[Batch] = []
    offset = 0
    while offset + _HEADER.size <= len(data) and data[offset : offset + _HEADER.size] != _END:
        length, crc = _HEADER.unpack_from(data, offset)
        start = offset + _HEADER.size
        payload = data[start : start + length]
        if len(payload) != length or zlib.crc32(payload) != crc:
            raise IntegrityError(f"{name}: batch {len(batches) + 1} at byte {offset} is damaged")
        try:
            content = json.loads(payload)
            rows = tuple(decode(line.encode()) for line in content["rows"])
            batches.append(Batch(rows, str(content["note"])))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise IntegrityError(f"{name}: batch {len(batches) + 1} at byte {offset}: {error}") from error
        offset = _aligned(start + length)
    return batches, offset


def _aligned(offset: int) -> int:
    return (offset + 7) // 8 * 8


def read_batches(path: Path) -> list[Batch]:
    """What waits in the segment; empty when there is no file. Raises ``IntegrityError`` for damage."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    return _scan(data, path.name)[0]


class EmergencySegment:
    """The writer's side. One owner: the journal that holds the writer lock."""

    def __init__(self, descriptor: int, name: str, batches: list[Batch], offset: int) -> None:
        self._descriptor = descriptor
        self._name = name
        self.waiting = batches
        """Batches found at opening, oldest first."""
        self._offset = offset

    @classmethod
    def open(cls, path: Path) -> Self:
        """Open, or create with all its blocks. Raises ``OSError`` when a new one cannot be allocated."""
        existing = path.exists() and path.stat().st_size >= SEGMENT_BYTES
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not existing:
                os.posix_fallocate(descriptor, 0, SEGMENT_BYTES)
                # Written once, so that later writes need no new blocks and no new extents either.
                os.pwrite(descriptor, bytes(SEGMENT_BYTES), 0)
                os.fsync(descriptor)
                sync_directory(path.parent)
            batches, offset = _scan(os.pread(descriptor, SEGMENT_BYTES, 0), path.name)
        except BaseException:
            os.close(descriptor)
            raise
        return cls(descriptor, path.name, batches, offset)

    @property
    def is_empty(self) -> bool:
        return self._offset == 0

    def append(self, batch: Batch) -> None:
        """Write one batch durably. Raises ``Unreachable`` when the segment is full or the device fails."""
        lines = [encode(row).decode() for row in batch.rows]
        payload = json.dumps({"rows": lines, "note": batch.note}, ensure_ascii=False).encode()
        start = self._offset + _HEADER.size
        following = _aligned(start + len(payload))
        if following + _HEADER.size > SEGMENT_BYTES:
            raise Unreachable(f"{self._name} is full as well", hint="free disk space; the journal then takes it over")
        padded = payload.ljust(following - start, b"\0") + _END
        try:
            self._write(padded, start)
            self._write(_HEADER.pack(len(payload), zlib.crc32(payload)), self._offset)
        except OSError as error:
            raise Unreachable(f"{self._name} cannot be written: {error.strerror}") from error
        self._offset = following

    def clear(self) -> None:
        """Forget all batches, after the journal has them. Raises ``OSError``; the batches then simply stay."""
        self._write(_END, 0)
        self._offset = 0

    def _write(self, data: bytes, offset: int) -> None:
        written = os.pwrite(self._descriptor, data, offset)
        if written != len(data):
            raise OSError(f"short write: {written} of {len(data)} bytes")
        os.fsync(self._descriptor)

    def close(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1  # a late append must not reach a file that got the same number
