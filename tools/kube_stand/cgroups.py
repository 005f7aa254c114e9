"""Where the pods' cgroups are made: below the caller's own memory cgroup, so that they stay accounted there.

The kubelet wants its root to exist in every hierarchy of cgroup v1, so its like is made in each of them.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

from tools.kube_stand.errors import StandError
from tools.kube_stand.places import CGROUP, DATA

_TOP = Path("/sys/fs/cgroup")
_MADE = DATA / "cgroups"
"""Every folder that was made, one a line, parents first: what ``remove`` removes."""
_REMOVE_SECONDS = 10.0


def is_version_1() -> bool:
    return (_TOP / "memory" / "cgroup.procs").exists()


def make() -> str:
    """Make them; returns the path, the same in every hierarchy."""
    path = _own() / CGROUP
    missing = list(_missing(path))
    _MADE.write_text("".join(f"{folder}\n" for folder in missing))
    for folder in missing:
        folder.mkdir()
        if folder.relative_to(_TOP).parts[0] == "cpuset":  # a new cpuset has no cpus and no memory
            for file in ("cpuset.cpus", "cpuset.mems"):
                (folder / file).write_text((folder.parent / file).read_text())
    return f"/{path}"


def remove() -> None:
    """Remove what ``make`` made and what the kubelet made in it; all its processes must have been killed."""
    if not _MADE.exists():
        return
    for folder in reversed([Path(line) for line in _MADE.read_text().splitlines()]):
        if folder.name != CGROUP:  # a parent, which others may use by now
            with contextlib.suppress(OSError):
                folder.rmdir()
            continue
        for inner in sorted((each for each in folder.rglob("*") if each.is_dir()), reverse=True):
            _remove(inner)
        _remove(folder)
    _MADE.unlink()


def _remove(folder: Path) -> None:
    """Remove one cgroup; the last processes in it may still be ending."""
    deadline = time.monotonic() + _REMOVE_SECONDS
    while folder.exists():
        with contextlib.suppress(OSError):
            folder.rmdir()
            return
        if time.monotonic() > deadline:
            raise StandError(f"the cgroup {folder} cannot be removed", f"see what is in it: cat {folder}/cgroup.procs")
        time.sleep(0.02)


def _own() -> Path:
    lines = Path("/proc/self/cgroup").read_text().splitlines()
    return Path(next(line.split(":", 2)[2].strip("/") for line in lines if ":memory:" in line))


def _missing(path: Path) -> Iterator[Path]:
    for top in sorted(_TOP.iterdir()):
        if top.is_symlink() or not (top / "cgroup.procs").exists():
            continue
        yield from (top / part for part in (*reversed(path.parents[:-1]), path) if not (top / part).exists())
