"""Child processes of the stand. Each has one owner, its own session, a log file and a two-step stop.

A child dies with its owner: the kernel sends it ``orphan_signal`` when the thread that started it ends (so children are
started from the main thread). What the kernel cannot promise, ``stop_recorded`` mends: a process written down with its
pid *and* its start time can be ended later by somebody else without ever hitting a stranger that got the same pid.
"""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from croupier.errors import EnvironmentFault

_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
_POLL_SECONDS = 0.02
_KILL_SECONDS = 5.0


class ProcessId(NamedTuple):
    """A process for certain: ``start_ticks`` is its start in clock ticks since boot (field 22 of /proc/PID/stat)."""

    pid: int
    start_ticks: int


def identify(pid: int) -> ProcessId | None:
    """The identity of a running process; None when there is none (a zombie does not run)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the name in parentheses may hold anything
    return None if fields[0] in {"Z", "X"} else ProcessId(pid, int(fields[19]))


def is_running(process: ProcessId) -> bool:
    return identify(process.pid) == process


def session_of(pid: int) -> list[int]:
    """Ids of the processes that run in the session which ``pid`` began, its own among them."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                text = (entry / "stat").read_text()
            except OSError:  # it has just ended
                continue
            state, _, _, session, *_ = text[text.rindex(")") + 2 :].split()
            if int(session) == pid and state not in {"Z", "X"}:
                found.append(int(entry.name))
    return found


def orphans_of(pid: int, variable: str) -> list[ProcessId]:
    """Processes that run in the session of ``pid``, which may have ended, and have ``variable`` (``NAME=value``) in
    their environment: a session whose pid a stranger got holds none."""
    found = []
    for each in session_of(pid):
        identity = identify(each)
        with suppress(OSError):
            if identity is not None and variable.encode() in Path(f"/proc/{each}/environ").read_bytes().split(b"\0"):
                found.append(identity)
    return found


def wait_for(condition: Callable[[], bool], seconds: float, *, pause_seconds: float = _POLL_SECONDS) -> bool:
    """Poll until ``condition`` holds; False when it did not within ``seconds``."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(pause_seconds)  # noqa: TID251 - polling a condition with a deadline
    return True


def stop_recorded(processes: list[ProcessId], *, patience_seconds: float) -> list[ProcessId]:
    """Terminate processes that somebody else started, wait, kill the rest. Returns those that would not end."""

    def send(kind: signal.Signals) -> None:
        for process in processes:
            if is_running(process):
                with suppress(ProcessLookupError):
                    os.kill(process.pid, kind)

    def gone() -> bool:
        return not any(map(is_running, processes))

    send(signal.SIGTERM)
    if not wait_for(gone, patience_seconds):
        send(signal.SIGKILL)
        wait_for(gone, _KILL_SECONDS)
    return [process for process in processes if is_running(process)]


@dataclass(slots=True)
class ChildProcess:
    """One child. Start it from the main thread; ``stop`` may be called at any time, from anywhere, twice."""

    name: str
    argv: tuple[str, ...]
    log: Path
    environment: Mapping[str, str] | None = None
    """None: ours."""
    cwd: Path | None = None
    signals_group: bool = False
    """Whether what it started is told to end with it, and counts as it does: for programs of others, which may be a
    shell around one. What is left when it ends by itself is killed, as in a container."""
    account: tuple[int, int] | None = None
    """(uid, gid) to run as; None: ourselves."""
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL
    _popen: subprocess.Popen[bytes] | None = field(default=None, init=False, repr=False)
    _identity: ProcessId | None = field(default=None, init=False, repr=False)
    _told: bool = field(default=False, init=False, repr=False)
    """Whether it was told to end: then what it started may finish, too."""

    def start(self) -> None:
        """Start it, once it has ended or before it ever ran. Raises EnvironmentFault when it cannot be started."""
        if self.is_running:
            return
        owner, orphan_signal = os.getpid(), int(self.orphan_signal)

        def die_with_owner() -> None:
            _LIBC.prctl(_PR_SET_PDEATHSIG, orphan_signal, 0, 0, 0)
            if os.getppid() != owner:  # the owner died before the line above
                os._exit(1)

        uid, gid = self.account or (None, None)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        try:
            with self.log.open("ab") as log:
                self._popen = subprocess.Popen(
                    self.argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=None if self.environment is None else dict(self.environment),
                    cwd=self.cwd,
                    start_new_session=True,
                    user=uid,
                    group=gid,
                    extra_groups=None if uid is None else [],
                    preexec_fn=die_with_owner,  # noqa: PLW1509 - one prctl, no locks, no allocation to speak of
                )
        except (OSError, ValueError) as error:  # a NUL in a word, "=" in the name of a variable
            raise EnvironmentFault(f"{self.name} cannot be started: {error}") from error
        self._told = False
        self._identity = identify(self._popen.pid)

    @property
    def identity(self) -> ProcessId | None:
        """Of the running process; None when it does not run."""
        return self._identity if self.exit_code is None and self._popen is not None else None

    @property
    def exit_code(self) -> int | None:
        """None while it runs, or before it ever did; negative: the signal that ended it."""
        if self._popen is None or self._popen.returncode is not None:
            return None if self._popen is None else self._popen.returncode
        if self.signals_group and self._has_left():
            return None
        return self._popen.poll()

    @property
    def is_running(self) -> bool:
        return self._popen is not None and self.exit_code is None

    def terminate(self) -> None:
        """Ask it to end. Returns at once."""
        if self.is_running:
            self._told = True
            self._tell(self.stop_signal)

    def freeze(self) -> None:
        """Let it stand still where it is (SIGSTOP), until ``thaw``; it can be killed all the same."""
        self._tell(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on after ``freeze``; nothing happens to one that runs."""
        self._tell(signal.SIGCONT)

    def kill(self) -> None:
        """End it and whatever it started."""
        if self._popen is not None and self.is_running:
            with suppress(ProcessLookupError):
                os.killpg(self._popen.pid, signal.SIGKILL)
            if self.signals_group:
                wait_for(lambda: not self._kill_session(), _KILL_SECONDS)
            self._popen.wait()

    def stop(self, *, patience_seconds: float) -> int | None:
        """Terminate, wait, kill. Returns its exit code, None if it never ran."""
        self.terminate()
        if not wait_for(lambda: not self.is_running, patience_seconds):
            self.kill()
        return self.exit_code

    def _tell(self, number: signal.Signals) -> None:
        if self._popen is not None and self.is_running:
            if self.signals_group:
                with suppress(ProcessLookupError):
                    os.killpg(self._popen.pid, number)
            else:
                self._popen.send_signal(number)

    def _has_left(self) -> bool:
        """Whether it has ended, and something that it started runs. It is not waited for until then, so that its pid,
        by which we know its session, cannot become a stranger's."""
        assert self._popen is not None
        if os.waitid(os.P_PID, self._popen.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return False
        return bool(session_of(self._popen.pid) if self._told else self._kill_session())

    def _kill_session(self) -> list[int]:
        """Kill what runs in its session; the ids of what did."""
        assert self._popen is not None
        found = session_of(self._popen.pid)
        for pid in found:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return found

    def wait_until(self, ready: Callable[[], bool], *, seconds: float) -> None:
        """Wait until ``ready()``. Raises EnvironmentFault with the log's end when it dies first or takes too long."""
        if wait_for(lambda: not self.is_running or ready(), seconds) and self.is_running:
            return
        what = f"ended with {self.exit_code}" if not self.is_running else f"not ready after {seconds:g} s"
        raise EnvironmentFault(f"{self.name} {what}: {self.log_end()}", hint=f"see {self.log}")

    def log_end(self, size: int = 400) -> str:
        """The last few lines of its log, on one line."""
        try:
            return " | ".join(self.log.read_bytes()[-size:].decode(errors="replace").splitlines()[-4:])
        except OSError:
            return ""
