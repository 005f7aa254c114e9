"""Starts and ends stands from outside: what ``stand up`` and ``stand down``, the demo and the tests have in common."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from types import FrameType

from croupier.errors import Conflict, EnvironmentFault
from croupier_stand import postgres
from croupier_stand.home import Home, StandRecord
from croupier_stand.load import Load
from croupier_stand.process import ProcessId, identify, is_running, orphans_of, stop_recorded, wait_for
from croupier_stand.programs import find_project

UP_SECONDS = 240.0
_DOWN_SECONDS = 60.0
_RECORD_SECONDS = 10.0
"""How long a supervisor that has the stand may take to write its first record."""


def up(
    home: Home,
    load: Load,
    progress: Callable[[str], None],
    *,
    with_desk: bool = True,
    platform: Path | None = None,
) -> StandRecord:
    """Start a stand in the background and wait until it runs. What a stand of this name left behind is cleaned up.

    Interrupted (Ctrl-C, and SIGTERM within ``interrupted_by_sigterm``), it takes down what it began.

    Args:
        progress: told each milestone.
        platform: services of one's own (``programs.find_project``); None: the casino.

    Raises:
        SpecError: for a platform or version file with problems; nothing was started.
        Conflict: it is up already, or somebody else brings it up.
        EnvironmentFault: it does not come up; nothing of it is left running.
    """
    if home.running() is not None or home.is_locked():
        raise _already_up(home)
    project = None if platform is None else find_project(platform.absolute())
    down(home)
    home.root.mkdir(parents=True, exist_ok=True, mode=0o700)  # a place that cannot be written is said here
    options = (*load.options(), *(() if with_desk else ("--without-desk",)))
    if project is not None:
        options += (f"--platform={project.platform_file}",)
    supervisor: ProcessId | None = None
    try:
        with _signals_held():  # or there would be a supervisor that we do not know
            done = subprocess.run(
                [sys.executable, "-m", "croupier_stand.supervisor", "--detach", "--name", home.name, *options],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=60,
                start_new_session=True,
            )
            supervisor = identify(int(done.stdout)) if done.returncode == 0 else None
        if supervisor is None:
            raise EnvironmentFault(f"the supervisor did not start: {done.stderr.strip()[-500:] or _end_of_log(home)}")
        return _wait_until_up(home, supervisor, progress)
    except BaseException:
        if supervisor is not None and is_running(supervisor):
            _end_supervisor(supervisor)
        if home.is_locked():  # somebody else was first, and it is theirs
            raise _already_up(home) from None
        down(home)
        raise


def _already_up(home: Home) -> Conflict:
    option = "" if home.name == "default" else f" --name {home.name}"
    return Conflict(f"stand {home.name!r} is already up", hint=f"`croupier stand status{option}` shows it")


def _wait_until_up(home: Home, supervisor: ProcessId, progress: Callable[[str], None]) -> StandRecord:
    told = 0
    record: StandRecord | None = None
    until = time.monotonic() + UP_SECONDS
    while time.monotonic() < until:
        ended = not is_running(supervisor)
        found = home.read()
        record = found if found is not None and found.supervisor_pid == supervisor.pid else None
        if record is not None:
            for line in record.milestones[told:] if record.phase != "failed" else ():
                progress(line)
            told = len(record.milestones)
            if record.phase == "running":
                return record
        if ended or (record is not None and record.phase == "failed"):
            break
        wait_for(partial(_is_news, home, found, supervisor), 1.0)
    has_failed = record is not None and record.phase == "failed"
    why = record.milestones[-1] if record is not None and has_failed else _end_of_log(home)
    raise EnvironmentFault(f"stand {home.name!r} did not come up: {why}", hint=f"see the logs in {home.root}")


def _is_news(home: Home, before: StandRecord | None, supervisor: ProcessId) -> bool:
    return home.read() != before or not is_running(supervisor)


def down(home: Home) -> bool:
    """End a stand, also one whose supervisor was killed; False when there was none. Logs, journal and memory stay.

    Raises EnvironmentFault when processes would not end.
    """
    record = _readable(home)
    if record is None and home.is_locked():  # its supervisor has only just begun
        wait_for(lambda: _readable(home) is not None or not home.is_locked(), _RECORD_SECONDS)
        record = _readable(home)
    if record is not None:
        if is_running(record.supervisor):
            _end_supervisor(record.supervisor)
        recorded = [process.identity for process in record.processes]
        # The kernel ends the children of a killed supervisor; what those started, nobody has ended.
        for process in record.processes:
            recorded += orphans_of(process.pid, f"POD_NAME={process.name}")
        left = stop_recorded(recorded, patience_seconds=8.0)
        if left:
            raise EnvironmentFault(f"processes would not end: {', '.join(str(process.pid) for process in left)}")
    if home.root.is_dir():
        postgres.remove(postgres.place(home.root))
    home.record_file.unlink(missing_ok=True)
    return record is not None


def _readable(home: Home) -> StandRecord | None:
    """The record; None also when it was torn by hand: the kernel ends a supervisor's children with it."""
    try:
        return home.read()
    except EnvironmentFault:
        return None


@contextmanager
def ended_with(home: Home, *, keep: bool) -> Iterator[None]:
    """Whatever happens in the block, the stand is down afterwards; also on Ctrl-C and SIGTERM, unless ``keep``."""

    try:
        with interrupted_by_sigterm():
            yield
    finally:
        if not keep:
            down(home)


@contextmanager
def interrupted_by_sigterm() -> Iterator[None]:
    """In the block SIGTERM is Ctrl-C, so that what was begun is taken down. Only in the main thread."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


@contextmanager
def _signals_held() -> Iterator[None]:
    """Ctrl-C and SIGTERM take effect at the end of the block. Only the main thread is ever told of them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda told, _frame: came.append(told)) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for told in came[:1]:
            signal.raise_signal(told)


def erase(home: Home) -> None:
    """Remove the folder of a stand that is down."""
    shutil.rmtree(home.root, ignore_errors=True)


def rest(home: Home, parts: Sequence[str], *, seconds: float = 60.0) -> None:
    """Let parts of a running stand rest, all others run; waits until it is so. Raises EnvironmentFault."""
    home.rest(frozenset(parts))

    def followed() -> bool:
        record = home.require()
        return set(record.resting) == set(parts) and all(
            process.ready for process in record.processes if process.name not in parts
        )

    if not wait_for(followed, seconds):
        raise EnvironmentFault(f"the stand did not follow within {seconds:g} s: rest {', '.join(parts) or 'nothing'}")


def _end_supervisor(supervisor: ProcessId) -> None:
    with suppress(ProcessLookupError):
        os.kill(supervisor.pid, signal.SIGTERM)
    if not wait_for(lambda: not is_running(supervisor), _DOWN_SECONDS):
        with suppress(ProcessLookupError):
            os.kill(supervisor.pid, signal.SIGKILL)
        wait_for(lambda: not is_running(supervisor), 5.0)


def _end_of_log(home: Home) -> str:
    with suppress(OSError):
        lines = home.supervisor_log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"
    return "it did not start"
