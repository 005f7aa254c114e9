"""Where a stand keeps its files, and the record of what runs.

A stand is a name and a folder (``croupier.cli.options.home_of``). ``stand.json`` is written by the supervisor alone
and is what everybody else knows of it: ports, processes, progress, faults. Two things go the other direction:
``parts.json`` says which parts of the stand are to rest (players while an audit is made), and each file in ``faults``
orders one fault (``croupier_stand.outages``). All of them are written as whole files.
"""

from __future__ import annotations

import fcntl
import json
import os
import random
import re
import shutil
import socket
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from croupier.adapters.files import replace_file
from croupier.cli.options import home_of
from croupier.errors import Conflict, EnvironmentFault, UsageError
from croupier_stand.keeper import Keeper
from croupier_stand.process import ProcessId, is_running

_NAME = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?")
_PORTS = range(20_000, 32_000)
"""Below the range the kernel takes ports for outgoing connections from (32768 and up on Linux), so that a pod that
restarts never finds its port taken by somebody's client."""

User = TypeVar("User", bound=Hashable)
Phase = Literal["starting", "running", "stopping", "failed"]


class ProcessRecord(BaseModel):
    """One process of the stand. ``restarts`` counts starts after the first."""

    model_config = ConfigDict(frozen=True)

    name: str
    pid: int
    start_ticks: int
    restarts: int = 0
    ready: bool = True

    @classmethod
    def of(cls, name: str, keeper: Keeper) -> ProcessRecord | None:
        """Of the process that ``keeper`` keeps; None when it does not run."""
        identity = keeper.child.identity
        return identity and cls(name=name, **identity._asdict(), restarts=keeper.restarts, ready=keeper.ready)

    @property
    def identity(self) -> ProcessId:
        return ProcessId(self.pid, self.start_ticks)


class OutageRecord(BaseModel):
    """A fault that the supervisor made: ``part`` is ``killed`` or ``stopped``. Times are seconds since the epoch.

    ``id``: of the order. ``until``: when it is over, or was ended; of what is started again at once, when it began.
    """

    model_config = ConfigDict(frozen=True)

    id: str
    part: str
    kind: str
    began_at: float
    until: float


class StandRecord(BaseModel):
    """``stand.json``. ``processes``: children of the supervisor that run; ``resting``: parts told to rest that do.

    ``outages``: all since the stand came up, oldest first.
    """

    model_config = ConfigDict(frozen=True)

    name: str
    supervisor_pid: int
    supervisor_start_ticks: int
    started_at: float
    phase: Phase
    milestones: tuple[str, ...] = ()
    """What has come up so far, one line each, oldest first. The last one says why when ``phase`` is failed."""
    database: str = ""
    """How to reach PostgreSQL (libpq keywords); "" before it answers."""
    ports: Mapping[str, int] = {}
    processes: tuple[ProcessRecord, ...] = ()
    resting: tuple[str, ...] = ()
    outages: tuple[OutageRecord, ...] = ()

    @property
    def supervisor(self) -> ProcessId:
        return ProcessId(self.supervisor_pid, self.supervisor_start_ticks)

    def process(self, name: str) -> ProcessRecord | None:
        return next((process for process in self.processes if process.name == name), None)


@dataclass(frozen=True, slots=True)
class Home:
    """The folder of one stand. Making a ``Home`` touches nothing."""

    name: str
    root: Path

    @classmethod
    def of(cls, name: str) -> Home:
        """Raises UsageError for a name that is not one."""
        if not _NAME.fullmatch(name):
            raise UsageError(f"{name!r} is not a name", hint="lower-case letters, digits and hyphens, at most 32")
        return cls(name, home_of(name))

    @property
    def record_file(self) -> Path:
        return self.root / "stand.json"

    @property
    def parts_file(self) -> Path:
        return self.root / "parts.json"

    @property
    def faults(self) -> Path:
        """Orders of faults that the supervisor has not taken yet, one file each."""
        return self.root / "faults"

    @property
    def settings(self) -> Path:
        return self.root / "desk.yaml"

    @property
    def platform(self) -> Path:
        return self.root / "platform.yaml"

    @property
    def versions(self) -> Path:
        return self.root / "versions"

    @property
    def programs(self) -> Path:
        """Frozen programs that people brought, one folder a version."""
        return self.root / "programs"

    @property
    def edge(self) -> Path:
        return self.root / "edge"

    @property
    def access_log(self) -> Path:
        return self.edge / "access.jsonl"

    @property
    def workloads(self) -> Path:
        return self.root / "workloads"

    @property
    def desired(self) -> Path:
        return self.workloads / "desired"

    @property
    def observed(self) -> Path:
        return self.workloads / "observed.json"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def supervisor_log(self) -> Path:
        return self.root / "supervisor.log"

    @property
    def books(self) -> Path:
        """What the simulated providers remember."""
        return self.root / "books"

    @property
    def tally_memory(self) -> Path:
        return self.root / "tally.jsonl"

    @property
    def desk(self) -> Path:
        return self.root / "desk"

    @property
    def players_memory(self) -> Path:
        return self.root / "players.jsonl"

    @property
    def players_stats(self) -> Path:
        return self.root / "players-stats.json"

    def log(self, process: str) -> Path:
        return self.logs / f"{process}.log"

    def all_logs(self) -> list[Path]:
        """The log of every process that has one, the supervisor's last; without the parts moved away by rotation."""
        return [*sorted(self.logs.glob("*.log")), *self.root.glob(self.supervisor_log.name)]

    def clear(self) -> None:
        """Make the folder as for a new stand. What the desk wrote (journal, evidence, key) stays."""
        kept = {self.desk, self.root / "lock", self.supervisor_log}
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        for path in self.root.iterdir():
            if path in kept:
                continue
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        for directory in (
            self.edge / "d",
            self.edge / "splits",
            self.desired,
            self.versions,
            self.programs,
            self.secrets,
            self.logs,
            self.books,
            self.faults,
            self.desk,
        ):
            directory.mkdir(parents=True, exist_ok=True, mode=0o700)

    def read(self) -> StandRecord | None:
        """The record; None when there is no stand. Raises EnvironmentFault when the file is not one."""
        try:
            return StandRecord.model_validate_json(self.record_file.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise EnvironmentFault(
                f"{self.record_file} cannot be read", hint="`croupier stand down` removes it"
            ) from error

    def running(self) -> StandRecord | None:
        """The record, if the supervisor that wrote it still runs."""
        record = self.read()
        return record if record is not None and is_running(record.supervisor) else None

    def require(self) -> StandRecord:
        """The record of a stand that is up. Raises EnvironmentFault when it is not."""
        record = self.running()
        if record is None or record.phase != "running":
            raise EnvironmentFault(
                f"stand {self.name!r} is not up", hint=f"`croupier stand up --name {self.name}` starts it"
            )
        return record

    def write(self, record: StandRecord) -> None:
        replace_file(self.record_file, record.model_dump_json(indent=1).encode())

    def resting(self) -> frozenset[str]:
        """Names of the parts that are to rest."""
        try:
            return frozenset(json.loads(self.parts_file.read_bytes())["rest"])
        except FileNotFoundError:
            return frozenset()

    def rest(self, parts: frozenset[str]) -> None:
        """Say which parts are to rest from now on, all others are to run. The supervisor follows within a second."""
        replace_file(self.parts_file, json.dumps({"rest": sorted(parts)}).encode())

    def is_locked(self) -> bool:
        """Whether a supervisor of this stand runs, also one that has not written its record yet."""
        if not (self.root / "lock").exists():
            return False
        try:
            with self.lock():
                return False
        except Conflict:
            return True

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Held by the one supervisor of this stand. The kernel lets go of it when the holder dies.

        Raises Conflict when somebody else holds it.
        """
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.root / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Conflict(f"stand {self.name!r} is already being run") from error
            yield
        finally:
            os.close(descriptor)


def free_ports(users: Sequence[User], taken: Collection[int] = ()) -> dict[User, int]:
    """A free TCP port on loopback for each user, which is nobody else's for a minute.

    ``taken``: ports that belong to somebody who does not listen at the moment.
    """
    ports: dict[User, int] = {}
    for candidate in random.SystemRandom().sample(_PORTS, 4000):
        if len(ports) == len(users):
            return ports
        if candidate not in taken and _reserved(candidate):
            ports[users[len(ports)]] = candidate
    raise EnvironmentFault("no free ports on 127.0.0.1")


def _reserved(port: int) -> bool:
    """Keep a port from everybody who looks for a free one; False when it is not free.

    A connection that the port's side closed first lingers in TIME-WAIT for a minute (RFC 9293 §3.3.2). Meanwhile a
    server, which binds with ``SO_REUSEADDR``, can have the port, and a probe like this one, which does not, cannot.
    """
    try:
        with socket.socket() as probe, socket.socket() as caller:
            probe.bind(("127.0.0.1", port))
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # for what lingers, not for the probe
            probe.listen(1)
            caller.connect(("127.0.0.1", port))
            probe.accept()[0].close()
    except OSError:
        return False
    return True
