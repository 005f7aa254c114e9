"""A folder of rendered manifests: what is in it against what should be, and how it becomes that.

Only files that begin with the marker of rendered files are replaced or removed, and removed only where a platform
renders to: another platform may be rendered below. A file of somebody else in the way is refused. Each file is replaced
at once, so a reader never sees half of one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from croupier.adapters.files import PUBLIC, replace_file
from croupier.errors import Refused

_RENDERED = (
    *(f"{folder}/*/*" for folder in ("cells", "prometheus", "regions", "stores")),
    "gitops/*",
    *("base/cells/*/*", "base/regions/*/*", "base/stores/*/*"),
    *("chart/*", "chart/templates/*", "chart/charts/library/*", "chart/charts/library/templates/*"),
)
"""Where what is rendered stands: never deeper."""


@dataclass(frozen=True, slots=True)
class Differences:
    """Names of files, relative and sorted."""

    missing: tuple[str, ...]
    changed: tuple[str, ...]
    left_over: tuple[str, ...]
    """Rendered once, and no longer wanted."""
    same: int

    def __bool__(self) -> bool:
        return bool(self.missing or self.changed or self.left_over)


def compare(out: Path, files: Mapping[str, str], marker: str) -> Differences:
    """What ``write`` would do.

    Args:
        out: the folder; it need not exist.
        files: file, relative and with slashes -> its text.
        marker: how every rendered file begins.

    Raises ``Refused`` when a file of somebody else, or a symbolic link, is in the way.
    """
    missing, changed, same = [], [], 0
    absent: set[Path] = set()
    seen: set[Path] = set()
    for name, text in files.items():
        path = out / name
        for folder in _folders(out, path):
            if folder not in seen:
                _refuse_link(folder)
                seen.add(folder)
                if not folder.exists():
                    absent.add(folder)
        if path.parent in absent:
            missing.append(name)
            continue
        _refuse_link(path)
        if not path.exists():
            missing.append(name)
            continue
        found = path.read_bytes() if path.is_file() else b""
        if not found.startswith(marker.encode()):
            raise Refused(f"{path} is not a rendered file", hint="move it away, or render elsewhere")
        if found == text.encode():
            same += 1
        else:
            changed.append(name)
    return Differences(tuple(missing), tuple(changed), tuple(_left_over(out, files, marker)), same)


def _folders(out: Path, path: Path) -> Iterator[Path]:
    """Those between ``out`` and a file in it, from the inside out."""
    for each in path.parents:
        if each == out:
            return
        yield each


def _refuse_link(path: Path) -> None:
    if path.is_symlink():
        raise Refused(f"{path} is, or lies behind, a symbolic link", hint="remove it, or render elsewhere")


def write(out: Path, files: Mapping[str, str], marker: str) -> Differences:
    """Make ``out`` hold ``files``, and answer what was done. Arguments and refusals as of ``compare``."""
    found = compare(out, files, marker)
    for folder in dict.fromkeys((out / name).parent for name in found.missing):
        folder.mkdir(parents=True, exist_ok=True)
    for name in (*found.missing, *found.changed):
        path = out / name
        replace_file(path, files[name].encode(), durable=False, mode=PUBLIC)
    for name in found.left_over:
        path = out / name
        path.unlink()
        for folder in path.parents:
            if folder == out or any(folder.iterdir()):
                break
            folder.rmdir()
    return found


def _left_over(out: Path, files: Mapping[str, str], marker: str) -> Iterator[str]:
    for pattern in _RENDERED:
        for path in sorted(out.glob(pattern)):
            relative = path.relative_to(out).as_posix()
            within = (path, *(each for each in path.parents if each != out and each.is_relative_to(out)))
            if relative in files or not path.is_file() or any(each.is_symlink() for each in within):
                continue
            with path.open("rb") as file:
                if file.read(len(marker.encode())) == marker.encode():
                    yield relative
