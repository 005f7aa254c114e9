"""Whole files, replaced at once: what is read is the old content or the new, also after a crash."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

PRIVATE = 0o600
PUBLIC = 0o666
"""Modes, less the umask: of what croupier keeps for itself, and of what people asked for."""


def replace_file(path: Path, data: bytes, *, durable: bool = True, mode: int = PRIVATE) -> None:
    """Write ``data`` to ``path``: temporary file beside it, fsync, rename, fsync of the directory.

    Args:
        path: whole file to replace; its directory exists.
        data: the new content.
        durable: what was written outlasts a power cut. False leaves out the fsyncs, which cost milliseconds each: for
            files that are made anew before anybody reads them after one.
        mode: of the file, less what the umask takes away.

    Raises ``OSError``; the old content is then untouched and no temporary file is left behind.
    """
    temporary = path.parent / f".{path.name}.{secrets.token_hex(8)}"
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        os.rename(temporary, path)
    except BaseException:
        # An interrupt may come between the rename and here: then it is no longer there.
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
    if durable:
        sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames and removals in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
