"""The agent: runs pods as processes, as a kubelet does. Desired state in files in, observed state in a file out.

``workloads/desired/<service>~<digest12>.json`` says what is to run; ``workloads/observed.json`` what does. The agent
is level-based: each ``step`` looks at the files and at its children and does what is missing. A pod keeps its name and
its port over restarts, so the endpoints of a version are fixed once they are known. A version that is wanted again
while its pods still drain gets new pods, on new ports, when they are gone.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from croupier.adapters.files import replace_file
from croupier.model.digest import short
from croupier.model.traffic import Endpoint
from croupier_stand.home import Home, ProcessRecord, free_ports
from croupier_stand.keeper import Keeper, http_probe
from croupier_stand.process import ChildProcess

_LOG = logging.getLogger(__name__)
HOST = "127.0.0.1"
_REPORT_SECONDS = 1.0
_STAGGER_SECONDS = 0.7
"""Between the starts of a version's pods. A start costs most of a second of CPU; four at once on two cores would stop
the pods that serve, and players would pay for the release before it has begun."""
_DRAIN_MARGIN_SECONDS = 2.0
"""A pod is killed this long after it should have drained."""


class Build(NamedTuple):
    """What the agent has to know to start a version. ``$PORT`` in a word of ``argv`` becomes the pod's port.

    ``environment``: on top of what every pod is told. ``cwd``: where it runs; None: where the agent does.
    """

    service: str
    argv: tuple[str, ...]
    drain_seconds: float
    readiness_path: str
    environment: Mapping[str, str] = MappingProxyType({})
    cwd: Path | None = None


class PodKey(NamedTuple):
    service: str
    digest: str
    ordinal: int

    @property
    def name(self) -> str:
        return f"{self.service}-{short(self.digest)}-{self.ordinal}"


@dataclass(frozen=True, slots=True)
class Pod:
    key: PodKey
    port: int
    keeper: Keeper

    def report(self) -> dict[str, object]:
        """Its part of ``observed.json``."""
        keeper = self.keeper
        return {
            "name": self.key.name,
            "service": self.key.service,
            "digest": self.key.digest,
            "host": HOST,
            "port": self.port,
            "ready": keeper.ready,
            "restarts": keeper.restarts,
            "phase": keeper.phase,
            "reason": keeper.reason,
        }


class Agent:
    """All pods of one stand."""

    def __init__(
        self,
        home: Home,
        find: Callable[[str], Build | None],
        environment: Callable[[PodKey, int], Mapping[str, str]],
        wall_clock: Callable[[], float],
        *,
        reserved: frozenset[int] = frozenset(),
    ) -> None:
        """``find``: by digest; None for a version that is not known (yet). ``environment``: of a pod, given its key and
        port. ``reserved``: no ports for pods."""
        self._home = home
        self._find = find
        self._environment = environment
        self._wall_clock = wall_clock
        self._reserved = reserved
        self._pods: dict[PodKey, Pod] = {}
        self._reported: list[dict[str, object]] | None = None
        self._report_after = 0.0

    @property
    def keepers(self) -> tuple[Keeper, ...]:
        return tuple(pod.keeper for pod in self._pods.values())

    def records(self) -> tuple[ProcessRecord, ...]:
        """The pods' running processes, for ``stand.json``."""
        return tuple(
            record for pod in self._pods.values() if (record := ProcessRecord.of(pod.key.name, pod.keeper)) is not None
        )

    def endpoints(self, service: str, digest: str) -> tuple[Endpoint, ...]:
        """Where the pods of a version are reached."""
        return tuple(
            Endpoint(host=HOST, port=pod.port)
            for key, pod in self._pods.items()
            if (key.service, key.digest) == (service, digest)
        )

    def unready(self) -> list[str]:
        """One line for each pod that is not ready: its name and why."""
        return [f"{pod.key.name}: {pod.keeper.reason}" for pod in self._pods.values() if not pod.keeper.ready]

    def step(self, now: float) -> None:
        """One look at the wishes and the children. ``now`` is monotonic."""
        wanted = self._wanted()
        missing = sorted(wanted - self._pods.keys())
        # A pod that is about to be started again, or drains, keeps its port, though nobody listens there just now.
        taken = self._reserved | {pod.port for pod in self._pods.values()}
        for key, port in free_ports(missing, taken).items():
            pod = self._pods[key] = self._make(key, port)
            pod.keeper.put_off(now + key.ordinal * _STAGGER_SECONDS)
        for pod in list(self._pods.values()):
            pod.keeper.step(pod.key in wanted, now)
            if pod.key not in wanted and pod.keeper.phase == "resting":
                del self._pods[pod.key]

    async def report(self, now: float) -> None:
        """Write ``observed.json`` if something changed, and once a second: its age tells whether the agent lives."""
        pods = [pod.report() for pod in self._pods.values()]
        if pods == self._reported and now < self._report_after:
            return
        document = json.dumps({"at": self._wall_clock(), "pods": pods}).encode()
        try:
            await asyncio.to_thread(replace_file, self._home.observed, document)
            self._reported, self._report_after = pods, now + _REPORT_SECONDS
        except OSError as error:  # a full disk must not end the pods; readers see how old the file is
            _LOG.warning("cannot write %s: %s", self._home.observed, error)

    def stop(self) -> None:
        """End all pods: terminate every one, wait, kill the rest."""
        for pod in self._pods.values():
            pod.keeper.child.terminate()
        for pod in self._pods.values():
            pod.keeper.child.stop(patience_seconds=pod.keeper.drain_seconds)
        self._pods = {}

    def _wanted(self) -> set[PodKey]:
        wanted = set()
        for path in self._home.desired.glob("*.json"):
            try:
                wish = json.loads(path.read_bytes())
            except FileNotFoundError:  # withdrawn since it was listed
                continue
            if self._find(wish["digest"]) is not None:
                wanted |= {PodKey(wish["service"], wish["digest"], i) for i in range(wish["replicas"])}
        return wanted

    def _make(self, key: PodKey, port: int) -> Pod:
        build = self._find(key.digest)
        assert build is not None  # or it would not be wanted
        child = ChildProcess(
            name=key.name,
            argv=tuple(word.replace("$PORT", str(port)) for word in build.argv),
            log=self._home.log(key.name),
            environment={**self._environment(key, port), **build.environment},
            cwd=build.cwd,
            signals_group=build.cwd is not None,
        )
        probe = http_probe(f"http://{HOST}:{port}{build.readiness_path}")
        return Pod(key, port, Keeper(child, probe, build.drain_seconds + _DRAIN_MARGIN_SECONDS))
