"""Bytes of a file a person named, and the files of a folder. Never waits (FIFO, device), never reads without bound."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from croupier.errors import Problem, SpecError

LARGEST_BYTES = 1024 * 1024
LARGEST_DEPTH = 16
_SUFFIXES = (".yaml", ".yml")
_BUILDS = "versions"
"""A folder of this name holds build descriptors, which are not part of the platform."""


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


def yaml_files(directory: Path, problems: list[Problem], depth: int = 1) -> Iterator[Path]:
    """Files of a platform folder, in order; what is wrong with the folder is added to ``problems``."""
    try:
        entries = sorted(os.scandir(directory), key=lambda entry: entry.name)
    except OSError as error:
        problems.append(Problem(str(directory), 0, 0, "FILE", f"cannot be read: {error.strerror}"))
        return
    for entry in entries:
        path = Path(directory, entry.name)
        if entry.name.startswith("."):
            continue
        if entry.is_symlink():
            if entry.name.endswith(_SUFFIXES) or not path.is_file():
                hint = "put the files themselves here"
                problems.append(Problem(str(path), 0, 0, "SYMLINK", "a symbolic link is not followed", hint))
        elif entry.is_dir():
            if depth == LARGEST_DEPTH:
                problems.append(Problem(str(path), 0, 0, "DEPTH", f"nested deeper than {LARGEST_DEPTH} folders"))
            elif entry.name != _BUILDS:
                yield from yaml_files(path, problems, depth + 1)
        elif entry.name.endswith(_SUFFIXES):
            yield path


def digest(directory: Path) -> str:
    """Of the names and contents of all files of a platform folder; "" where something is wrong with one of them."""
    problems: list[Problem] = []
    found = hashlib.sha256()
    try:
        for path in yaml_files(directory, problems):
            text = read_text(path).encode()
            name = path.relative_to(directory).as_posix().encode()
            found.update(b"%d %b %d %b" % (len(name), name, len(text), text))
    except SpecError:
        return ""
    return found.hexdigest() if not problems else ""
