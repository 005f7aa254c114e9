"""What a desk must refuse or outlive, tried on a running stand, once each, at the end of a soak.

A drill starts a desk of its own, with the real command line, on the stand's folder or on a copy of it. Where it takes
the place of the stand's desk, that one rests meanwhile and goes on with the same journal afterwards.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from croupier.adapters.clock import SystemClock
from croupier.adapters.files import replace_file
from croupier.cli.choice import complete_release
from croupier.cli.client import DeskClient
from croupier.core.roll import SNAPSHOT
from croupier.errors import CroupierError, EnvironmentFault, Refused
from croupier.model.base import Value
from croupier.model.view import RunView
from croupier_stand import control, scenarios
from croupier_stand.faults import StandFault
from croupier_stand.home import Home
from croupier_stand.process import wait_for
from croupier_stand.scenarios import DEPOSIT_LOSS, Illness, Say, Scenario
from croupier_stand.shifted_desk import Shift, Shifts

_DESK = (sys.executable, "-m", "croupier.cli", "desk", "--home")
_DESK_SECONDS = 60.0
_RUN_SECONDS = 600.0
_HOUR = 3600.0
_SHIFT_SECONDS = 20.0
_SPARE_BYTES = 8 * 1024 * 1024
"""Left for a desk on its small file system, until that is filled up."""


class DrillResult(Value):
    """``said``: what was seen, one line. ``problems``: what did not come out as it must; empty when all is right.

    ``is_skipped``: it could not be tried here, and ``said`` tells why.
    """

    label: str
    said: str
    is_skipped: bool = False
    problems: tuple[str, ...] = ()

    @property
    def is_right(self) -> bool:
        return not self.problems


class _Skipped(Exception):
    """A drill that cannot be tried here; the message says why."""


def drill(home: Home, label: str, say: Say) -> DrillResult:
    """Try one of ``DRILLS`` on a stand that is up. What goes wrong is told, not raised."""
    problems: list[str] = []
    try:
        said = DRILLS[label](home, problems, say)
    except _Skipped as why:
        return DrillResult(label=label, said=f"not tried: {why}", is_skipped=True)
    except (CroupierError, OSError, subprocess.SubprocessError) as error:
        return DrillResult(label=label, said="did not come to its end", problems=(*problems, str(error)))
    return DrillResult(label=label, said=said, problems=tuple(problems))


# --- two desks ------------------------------------------------------------------------------------------------------


def second_desk(home: Home, problems: list[str], _: Say) -> str:
    """A second desk on the same journal ends at once, and says why."""
    done = _ended([*_DESK, str(home.root)])
    if done.returncode != EnvironmentFault.exit_code or "another desk writes this journal" not in done.stderr:
        problems.append(f"a second desk ended with {done.returncode}: {done.stderr.strip()[-300:]}")
    return f"refused with exit code {done.returncode}"


# --- a poisoned journal ---------------------------------------------------------------------------------------------


def poisoned_journal(home: Home, problems: list[str], _: Say) -> str:
    """One byte of one entry of a copy is changed: ``journal verify`` names the entry, and a desk does not act on it."""
    copy = home.root / "poisoned"
    shutil.rmtree(copy, ignore_errors=True)
    try:
        _copy_home(home, copy)
        entry = poison(copy / "desk" / "journal.sqlite")
        verify = [sys.executable, "-m", "croupier.cli", "journal", "verify", "--home", str(copy), "--output", "json"]
        verified = _ended(verify)
        if verified.returncode != 1 or json.loads(verified.stdout)["entry"] != entry:
            problems.append(f"verify did not name entry {entry}: {verified.stdout.strip()} {verified.stderr.strip()}")
        started = _ended([*_DESK, str(copy)])
        if started.returncode != 1 or f"entry {entry}:" not in started.stderr:
            problems.append(f"a desk on it ended with {started.returncode}: {started.stderr.strip()[-300:]}")
    finally:
        shutil.rmtree(copy, ignore_errors=True)
    return f"entry {entry}: verify names it, and a desk ends with exit code {started.returncode}"


def _copy_home(home: Home, copy: Path) -> None:
    """What a desk reads, while another desk writes there. Checkpoints come first: each must stand in the database."""
    copy.mkdir(mode=0o700)
    for name in ("edge", "workloads", "versions"):
        shutil.copytree(home.root / name, copy / name, ignore=shutil.ignore_patterns("access.jsonl*"))
    for file in (home.settings, home.platform):
        shutil.copy(file, copy)
    unfinished = shutil.ignore_patterns("journal.sqlite*", "desk.json", "token")
    shutil.copytree(home.desk, copy / "desk", ignore=unfinished)
    with (
        closing(sqlite3.connect(f"file:{home.desk / 'journal.sqlite'}?mode=ro", uri=True)) as source,
        closing(sqlite3.connect(copy / "desk" / "journal.sqlite")) as target,
    ):
        source.backup(target)


def poison(journal: Path) -> int:
    """Change one byte of the time of an entry; gives its number. It can still be read.

    It is in the middle of what a desk reads when it opens: from the newest snapshot on.
    """
    with closing(sqlite3.connect(journal)) as connection:
        for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            connection.execute(f"DROP TRIGGER {name}")
        ((last,),) = connection.execute("SELECT max(seq) FROM entries")
        ((first,),) = connection.execute("SELECT coalesce(max(seq), 1) FROM entries WHERE kind = ?", (SNAPSHOT,))
        entry = int(first + last + 1) // 2
        ((at,),) = connection.execute("SELECT at FROM entries WHERE seq = ?", (entry,))
        raw = bytearray(struct.pack(">d", at))
        raw[-1] ^= 1
        connection.execute("UPDATE entries SET at = ? WHERE seq = ?", (*struct.unpack(">d", raw), entry))
        connection.commit()
    return entry


# --- a clock that jumps ---------------------------------------------------------------------------------------------


def clock(home: Home, problems: list[str], say: Say) -> str:
    """A healthy version is promoted though the desk's clock jumps an hour ahead, an hour behind, and back.

    The deadline of a step is longer than the jumps: a jump counts towards no deadline, but once a step only.
    """
    shifts = home.root / "shifts.json"
    illness = Illness("clock", "wrong", int(2 * _SHIFT_SECONDS), blind_after=1.0)
    settings = {**scenarios.SHORT, "deadline_seconds": 3 * _HOUR}
    scenario = Scenario("clock", "promoted", version="healthy", settings=settings, illness=illness)

    def begin(*_: object) -> StandFault:
        now = SystemClock().now()
        turn, end = now + _SHIFT_SECONDS, now + 2 * _SHIFT_SECONDS
        ahead, behind = Shift(until=turn, seconds=_HOUR), Shift(until=end, seconds=-_HOUR)
        replace_file(shifts, Shifts(shifts=(ahead, behind)).model_dump_json().encode())
        return StandFault(part="clock", kind="wrong", began_at=now, until=end)

    command = [sys.executable, "-m", "croupier_stand.shifted_desk", "--home", str(home.root), "--shifts", str(shifts)]
    try:
        with _desk_of_its_own(home, command):
            chosen = scenarios.not_serving(home, scenario)
            told = scenarios.play(home, chosen, say, patience_seconds=_RUN_SECONDS, begin=begin)
            with DeskClient.of(home.name) as desk:
                entries = desk.journal(told.run)
    finally:
        shifts.unlink(missing_ok=True)
    problems += told.problems
    now = SystemClock().now()
    if any(each.kind == "step.passed" and abs(each.at - now) > _HOUR / 2 for each in entries):
        problems.append("a step passed while the clock was wrong")
    held = [str(each.body.get("message")) for each in entries if each.kind == "fault" and each.body.get("message")]
    return f"{told.run} {told.outcome}; meanwhile: {'; '.join(dict.fromkeys(held)) or 'nothing was said'}"


# --- a full disk ----------------------------------------------------------------------------------------------------


def full_disk(home: Home, problems: list[str], say: Say) -> str:
    """On a full disk nothing moves forward and the desk says so; a bad version is taken back all the same, and that is
    recorded. The desk's folder lies on a small file system of its own meanwhile; afterwards the stand's desk has it."""
    if not may_mount():
        raise _Skipped("it needs root and the right to mount a small tmpfs")
    used = sum(path.stat().st_size for path in home.desk.rglob("*") if path.is_file())
    script = (
        'mkdir -p "$1/small" && mount -t tmpfs -o mode=700,size="$2" none "$1/small" && cp -a "$1/desk/." "$1/small/" '
        '&& mount --bind "$1/small" "$1/desk" && shift 2 && exec "$@"'
    )
    small = ["unshare", "--mount", "sh", "-c", script, "sh", str(home.root), str(used + _SPARE_BYTES)]
    with _desk_of_its_own(home, [*small, *_DESK, str(home.root)], in_its_mounts=True) as own:
        said = _fill_and_go_back(own, problems, say)
        kept = os.open(own.folder, os.O_RDONLY | os.O_DIRECTORY)  # holds the file system when the desk has left it
        try:
            own.end()
            unfinished = shutil.ignore_patterns("desk.json", "token")
            shutil.copytree(f"/proc/self/fd/{kept}", home.desk, dirs_exist_ok=True, ignore=unfinished)
        finally:
            os.close(kept)
    (home.root / "small").rmdir()
    return said


def may_mount() -> bool:
    if os.geteuid() != 0 or shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return False
    command = ["unshare", "--mount", "mount", "-t", "tmpfs", "-o", "size=1m", "none", "/mnt"]
    return subprocess.run(command, capture_output=True, check=False, timeout=30).returncode == 0


def _fill_and_go_back(own: _OwnDesk, problems: list[str], say: Say) -> str:
    run = own.start(DEPOSIT_LOSS, say)
    own.wait(run, lambda view: view.phase == "holding")
    ballast = own.folder / "ballast"
    _fill(ballast)
    say("the disk is full")
    try:
        with own.client() as client:
            client.command(run, "pause", "the disk is full")
        refusal = ""
    except EnvironmentFault as error:
        refusal = error.message
    if "cannot be written" not in refusal:
        problems.append(f"a pause was not refused for want of space: {refusal or 'it was taken'}")

    def says_so() -> bool:
        with own.client() as client:
            return any(problem.startswith("journal:") for problem in client.health().problems)

    if not wait_for(says_so, _DESK_SECONDS, pause_seconds=0.2):
        problems.append("the desk does not say that the journal cannot be written")
    ended = own.wait(run, lambda view: view.ended_at is not None)
    if ended.outcome != "rolled-back":
        problems.append(f"{run} is {ended.outcome}, not rolled-back: {ended.reason}")
    # From inside: SQLite resolves /proc/PID/root, and would open what lies there outside of these mounts.
    inside = ["nsenter", "--mount", f"--target={own.process.pid}"]
    verify = [*inside, sys.executable, "-m", "croupier.cli", "journal", "verify", "--home", str(own.home.root)]
    for when in ("while the disk is full", "with room again"):
        verified = _ended(verify)
        if verified.returncode != 0:
            problems.append(f"the journal is not sound {when}: {verified.stdout.strip()} {verified.stderr.strip()}")
        ballast.unlink(missing_ok=True)
    with own.client() as client:
        kinds = [entry.kind for entry in client.journal(run)]
    if kinds[-1:] != ["run.ended"]:
        problems.append(f"the end of {run} is not recorded: {', '.join(kinds[-5:])}")
    return f"forward was refused ({refusal}); {run} {ended.outcome}: {ended.reason}"


def _fill(ballast: Path) -> None:
    """Write until there is no room for one more byte."""
    with ballast.open("wb", buffering=0) as file:
        for size in (1024 * 1024, 4096, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise


# --- a desk in the place of the stand's -----------------------------------------------------------------------------


@dataclass(slots=True)
class _OwnDesk:
    """``folder``: the desk's, as we reach it."""

    home: Home
    process: subprocess.Popen[bytes]
    folder: Path

    def is_open(self) -> bool:
        try:
            told = json.loads((self.folder / "desk.json").read_bytes())
            with self.client() as client:
                return told["pid"] == self.process.pid and client.health().last_round_at is not None
        except (OSError, ValueError, CroupierError):
            return False

    def client(self) -> DeskClient:
        url = json.loads((self.folder / "desk.json").read_bytes())["url"]
        headers = {"Authorization": f"Bearer {(self.folder / 'token').read_text().strip()}"}
        return DeskClient(
            httpx.Client(base_url=url, headers=headers, timeout=20.0, trust_env=False), stand=self.home.name
        )

    def start(self, scenario: Scenario, say: Say) -> str:
        """Start a release as soon as this desk has seen enough of stable. Raises EnvironmentFault if it never has."""
        started: list[str] = []

        def is_started() -> bool:
            try:
                with self.client() as client:
                    service = next(each for each in client.services() if each.name == scenario.service)
                    digest = scenarios.digest_of(client, scenario)
                    started[:] = [client.start(complete_release(service, digest, scenario.settings)).run]
            except Refused as error:
                say(f"refused for now: {error.message}")
            return bool(started)

        if not wait_for(is_started, _RUN_SECONDS, pause_seconds=10.0):
            raise EnvironmentFault(f"{scenario.label} could not be started within {_RUN_SECONDS:g} s")
        return started[0]

    def wait(self, run: str, condition: Callable[[RunView], bool]) -> RunView:
        """The run once it is so. Raises EnvironmentFault when it takes too long."""
        seen: list[RunView] = []

        def holds() -> bool:
            with self.client() as client:
                seen[:] = [client.run(run)]
            return condition(seen[0])

        if not wait_for(holds, _RUN_SECONDS, pause_seconds=0.3):
            raise EnvironmentFault(f"{run} is {seen[0].phase} after {_RUN_SECONDS:g} s")
        return seen[0]

    def end(self) -> None:
        """Once more does nothing."""
        self.process.terminate()
        try:
            self.process.wait(_DESK_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


@contextmanager
def _desk_of_its_own(home: Home, command: Sequence[str], *, in_its_mounts: bool = False) -> Iterator[_OwnDesk]:
    """A desk in the place of the stand's. ``in_its_mounts``: its folder is reached through its own mount namespace."""
    control.rest(home, ["desk"])
    try:
        with home.log("desk-of-drill").open("ab") as log:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        folder = Path(f"/proc/{process.pid}/root{home.desk}") if in_its_mounts else home.desk
        own = _OwnDesk(home, process, folder)
        try:
            if not wait_for(lambda: own.is_open() or process.poll() is not None, _DESK_SECONDS, pause_seconds=0.2):
                raise EnvironmentFault("the desk of a drill does not answer", hint=str(home.log("desk-of-drill")))
            if process.poll() is not None:
                raise EnvironmentFault(
                    f"the desk of a drill ended with {process.returncode}", hint=str(home.log("desk-of-drill"))
                )
            yield own
        finally:
            own.end()
    finally:
        control.rest(home, [])


def _ended(command: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """A command that must end by itself. Raises ``subprocess.TimeoutExpired`` when it does not."""
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=_DESK_SECONDS)


DRILLS: Mapping[str, Callable[[Home, list[str], Say], str]] = {
    "second desk": second_desk,
    "poisoned journal": poisoned_journal,
    "clock": clock,
    "full disk": full_disk,
}
"""Label -> the drill: it puts what is not right into the list, and gives what was seen."""
