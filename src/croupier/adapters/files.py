"""Whole files, replaced at once: what is read is the old content or the new, also after a crash."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path


def replace_file(path: Path, data: bytes, *, durable: bool = True) -> None:
    """Write ``data`` to ``path``: temporary file beside it (mode 0600), fsync, rename, fsync of the directory.

    Args:
        path: whole file to replace; its directory exists.
        data: the new content.
        durable: what was written outlasts a power cut. False leaves out the fsyncs, which cost milliseconds each: for
            files that are made anew before anybody reads them after one.

    Raises ``OSError``; the old content is then untouched and no temporary file is left behind.
    """
    try:
        descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
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
