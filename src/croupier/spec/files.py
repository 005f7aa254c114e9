"""Bytes of a file a person named. Never waits (FIFO, device), never reads without bound."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from croupier.errors import Problem, SpecError

LARGEST_BYTES = 1024 * 1024


def read_text(path: Path) -> str:
    """The text of a regular UTF-8 file of at most 1 MiB, without a byte order mark. Raises ``SpecError``."""

    def refuse(code: str, message: str, hint: str = "", line: int = 0, column: int = 0) -> SpecError:
        return SpecError([Problem(str(path), line, column, code, message, hint)])

    try:
        # Opening a FIFO for reading would wait for a writer.
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        raise refuse("FILE", "there is no such file") from None
    except (OSError, ValueError) as error:
        raise refuse("FILE", f"cannot be opened: {getattr(error, 'strerror', None) or error}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise refuse("FILE", "is not a regular file")
    with os.fdopen(descriptor, "rb") as file:
        try:
            data = file.read(LARGEST_BYTES + 1)
        except OSError as error:
            raise refuse("FILE", f"cannot be read: {error.strerror}") from error
    if len(data) > LARGEST_BYTES:
        raise refuse("SIZE", f"is larger than {LARGEST_BYTES} bytes")
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise refuse("ENCODING", "is UTF-16 or UTF-32", "save it as UTF-8", 1, 1)
    try:
        return data.decode("utf-8").removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        good = data[: error.start].decode("utf-8")
        line, column = good.count("\n") + 1, len(good) - good.rfind("\n")
        raise refuse(
            "ENCODING", f"byte 0x{data[error.start]:02x} is not UTF-8", "save it as UTF-8", line, column
        ) from None
