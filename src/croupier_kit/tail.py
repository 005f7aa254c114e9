"""Follow a file that grows: whole lines only, over rotation and truncation."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

_CHUNK_BYTES = 512 * 1024


class Tail:
    """Reads a file and goes on where it stopped. It need not exist yet.

    A file that was moved away is read to its end before the new one is begun: whoever rotates it must not write to the
    old one once there is a new one. A file that became shorter is begun anew.
    """

    def __init__(self, path: Path, *, from_end: bool = False) -> None:
        """``from_end``: pass over what the file holds at the first ``read``."""
        self._path = path
        self._is_to_skip = from_end
        self._file: BinaryIO | None = None
        self._rest = b""

    def read(self) -> tuple[Sequence[bytes], bool]:
        """Lines not read before, at most half a megabyte of them, and whether that was all there is."""
        if self._file is None:
            self._open()
        if self._file is None:
            return (), True
        if os.fstat(self._file.fileno()).st_size < self._file.tell():
            self._file.seek(0)
            self._rest = b""
        # Asked before the read: what was written to the old file until there was a new one is in this chunk or a later.
        is_replaced = self._is_replaced()
        chunk = self._file.read(_CHUNK_BYTES)
        if not chunk and is_replaced:
            self.close()
            return self.read()
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        return lines, len(chunk) < _CHUNK_BYTES

    def close(self) -> None:
        if self._file is not None:
            self._file.close()
        self._file, self._rest = None, b""

    def _open(self) -> None:
        try:
            self._file = self._path.open("rb", buffering=0)
        except FileNotFoundError:
            self._file = None
        else:
            if self._is_to_skip:
                self._file.seek(0, os.SEEK_END)
        self._is_to_skip = False

    def _is_replaced(self) -> bool:
        assert self._file is not None
        try:
            there = self._path.stat()
        except FileNotFoundError:
            return False
        here = os.fstat(self._file.fileno())
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)
