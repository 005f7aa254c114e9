"""Programs of the stand: started in sessions of their own, remembered by pid files, stopped in two steps.

A program is known by pid *and* start time, so a reused pid is never mistaken for it, and by a mark in its environment.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from tools.kube_stand.errors import StandError
from tools.kube_stand.places import DATA, LOGS, MARK, NETNS_FILE, PIDS, REPOSITORY

_STOP_SECONDS = 10.0
_POLL_SECONDS = 0.05
_STARTED_SECONDS = 1.0
"""A program that cannot run says so within this."""

Word = str | Path | int


def run(*words: Word, stdin: str | None = None) -> str:
    """Run to the end and return what it printed.

    Raises:
        StandError: with the last lines of its stderr, if it fails.
    """
    argv = [str(word) for word in words]
    done = subprocess.run(argv, input=stdin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StandError(f"{' '.join(argv)} ended with status {done.returncode}:\n{_tail(done.stderr + done.stdout)}")
    return done.stdout


def in_netns(words: Sequence[Word]) -> list[str]:
    """``words``, made to run in the stand's network."""
    return ["nsenter", f"--net={NETNS_FILE}", "--", *map(str, words)]


def start(name: str, *words: Word, netns: bool = True, environment: Mapping[str, str] | None = None) -> None:
    """Start a program that outlives the caller; its output goes to its log."""
    argv = in_netns(words) if netns else [str(word) for word in words]
    marked = {**os.environ, "PYTHONPATH": str(REPOSITORY), MARK: name, **(environment or {})}
    with (LOGS / f"{name}.log").open("ab") as log:
        child = subprocess.Popen(
            argv, cwd=DATA, env=marked, start_new_session=True, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    (PIDS / name).write_text(f"{child.pid} {_began(child.pid)}")


def pid_of(name: str) -> int | None:
    """The pid of a program of the stand, if it runs."""
    try:
        pid, began = (PIDS / name).read_text().split()
    except (OSError, ValueError):
        return None
    return int(pid) if _began(int(pid)) == began else None


def began(pid: int) -> str:
    """Name of a process that no later one shares: its pid and start time. A process that has ended: "<pid> "."""
    return f"{pid} {_began(pid)}"


def stop(name: str, sign: signal.Signals = signal.SIGTERM) -> None:
    """End a program and its process group: ask, wait, kill."""
    pid = pid_of(name)
    if pid is None:
        return
    _signal_group(pid, sign)
    if not _until(lambda: pid_of(name) is None, _STOP_SECONDS):
        _signal_group(pid, signal.SIGKILL)
        _until(lambda: pid_of(name) is None, _STOP_SECONDS)


def restart(name: str, *, more: Sequence[str] = (), but: Sequence[str] = ()) -> None:
    """Kill a program and start it again with the same words, as after a crash; ``more`` and without those in ``but``.

    Raises:
        StandError: if it does not run.
    """
    pid = pid_of(name)
    if pid is None:
        raise StandError(f"{name} does not run", f"these do: {', '.join(sorted(filter(pid_of, _started())))}")
    words = Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1]
    environment = dict(line.split("=", 1) for line in Path(f"/proc/{pid}/environ").read_text().split("\0")[:-1])
    stop(name, signal.SIGKILL)
    start(name, *(each for each in words if each not in but), *more, environment=environment)
    if _until(lambda: pid_of(name) is None, _STARTED_SECONDS):
        raise StandError(f"{name} has ended again at once\n{_last_words([name])}")


def kill_strays() -> None:
    """Kill what still bears the stand's mark or lives in its network: children, and programs without a pid file."""
    deadline = time.monotonic() + _STOP_SECONDS
    while strays := list(_strays()):
        for pid in strays:
            _signal(pid, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise StandError(f"processes {strays} do not end", "look at them with: ps -fp PID")
        time.sleep(_POLL_SECONDS)


def wait_until(what: str, check: Callable[[], object], *needed: str, seconds: float = 180.0) -> None:
    """Wait until ``check`` gives something true, and say how long it took.

    Raises:
        StandError: if a program in ``needed`` ends, or time is up; with the end of their logs.
    """
    began_at = time.monotonic()
    while not check():
        dead = [name for name in needed if pid_of(name) is None]
        if dead or time.monotonic() - began_at > seconds:
            why = f"{', '.join(dead)} ended" if dead else f"not within {seconds:g} s"
            raise StandError(f"{what}: {why}\n{_last_words(dead or list(needed))}")
        time.sleep(_POLL_SECONDS)
    tell(f"{what:26} {time.monotonic() - began_at:6.1f} s")


def tell(progress: str) -> None:
    """Say how it goes, to people: on stderr, because what a command gives is on stdout."""
    print(progress, file=sys.stderr, flush=True)


def _started() -> list[str]:
    return [file.name for file in PIDS.iterdir() if file.is_file()] if PIDS.exists() else []


def _last_words(names: Sequence[str]) -> str:
    logs = ((name, LOGS / f"{name}.log") for name in names)
    return "\n".join(f"--- end of the log of {name}:\n{_tail(log.read_text())}" for name, log in logs if log.exists())


def _tail(text: str, lines: int = 12) -> str:
    return "\n".join(text.strip().splitlines()[-lines:])


def _until(check: Callable[[], bool], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


def _began(pid: int) -> str:
    """Start time of a living process in clock ticks; "" for one that has ended, zombies too (proc_pid_stat(5)).

    A program's first thread may be a zombie while others still end: until they have, its sockets are in use.
    """
    try:
        fields = _stat(Path(f"/proc/{pid}"))
        threads = [_stat(thread)[0] for thread in Path(f"/proc/{pid}/task").iterdir()] if fields[0] in "ZX" else [""]
    except OSError:
        return ""
    return "" if all(state in ("Z", "X") for state in threads) else fields[19]


def _stat(folder: Path) -> list[str]:
    return (folder / "stat").read_text().rsplit(")", 1)[1].split()


def _strays() -> Iterator[int]:
    """Living processes that bear the mark or live in the stand's network, but for this one."""
    try:
        network = NETNS_FILE.stat().st_ino
    except OSError:
        network = -1
    mark = f"{MARK}=".encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        try:
            words = (folder / "environ").read_bytes().split(b"\0")
            is_ours = any(word.startswith(mark) for word in words) or (folder / "ns/net").stat().st_ino == network
        except OSError:  # it has ended
            continue
        if is_ours and _began(int(folder.name)):
            yield int(folder.name)


def _signal_group(pid: int, sign: signal.Signals) -> None:
    try:
        os.killpg(pid, sign)
    except ProcessLookupError:
        return


def _signal(pid: int, sign: signal.Signals) -> None:
    try:
        os.kill(pid, sign)
    except ProcessLookupError:
        return
