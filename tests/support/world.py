"""A small platform in virtual time: memory back ends, players as numbers, and a tripwire that kills the desk anywhere.

Counters grow with the split in force, so that a desk sees what it would see in production; nothing is random.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence

from croupier.adapters.history.memory import MemoryHistory
from croupier.adapters.journal.memory import MemoryEvidence, MemoryJournal
from croupier.adapters.metrics.memory import MemoryMetrics
from croupier.adapters.traffic.memory import MemoryTraffic
from croupier.adapters.workloads.memory import MemoryWorkloads
from croupier.engine.desk import Desk
from croupier.model.checklist import ChecklistPolicy, ChecklistSource
from croupier.model.evidence import ArmSample, Count, Sample, SeriesCounts
from croupier.model.journal import Draft, Entry
from croupier.model.release import GatePolicy, GateSpec, Margin, Release
from croupier.model.service import Platform, Service, Version
from croupier.model.traffic import ArmBackend, ObservedSplit, Split
from croupier.model.view import RunView
from croupier.model.workload import VersionPods
from croupier.ports.metrics import Target

STABLE = "sha256:" + "5" * 64
HEALTHY = "sha256:" + "a" * 64
LOSSY = "sha256:" + "b" * 64
"""Loses a third of its deposits."""
BROKEN = "sha256:" + "c" * 64
"""Its pods never become ready."""

PAYMENTS = Service(name="payments-api", tier="money", replicas=4, routes=("/payments/",), drain_seconds=5.0)
IDENTITY = Service(name="identity", replicas=2, routes=("/identity/",))
PLATFORM = Platform(services=(PAYMENTS, IDENTITY))

VERSIONS = [
    Version(service=service.name, digest=digest, label=label)
    for service in PLATFORM.services
    for digest, label in ((STABLE, "first"), (HEALTHY, "healthy"), (LOSSY, "deposit-loss"), (BROKEN, "never-ready"))
]

POLICY = GatePolicy(
    gates=(
        GateSpec(signal="deposits", role="required", importance=3.0, margin=Margin(points=2.0)),
        GateSpec(signal="errors", role="required", margin=Margin(points=1.0)),
    )
)

PER_SECOND = {"deposits": 200.0, "errors": 2000.0}
USUAL = 0.001
"""Failure ratio of everything that is healthy."""
PLAYERS = 2000


class Killed(BaseException):
    """The desk's process ends here: nothing after it runs, and nobody handles it."""


class VirtualClock:
    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds
        await asyncio.sleep(0)


class Tripwire:
    """Counts the calls that change something, and kills at one of them: before it is done, or after."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.kill_at: int | None = None
        """Index into ``calls``, 2n before call n, 2n + 1 after it; None: never."""

    def before(self, call: str) -> int:
        number = len(self.calls)
        self.calls.append(call)
        if self.kill_at == 2 * number:
            raise Killed(call)
        return number

    def after(self, number: int) -> None:
        if self.kill_at == 2 * number + 1:
            raise Killed(self.calls[number])


class Wired:
    """The world's back ends as one desk sees them: every change goes over the tripwire."""

    def __init__(self, world: World) -> None:
        self._world = world

    capabilities = property(lambda self: self._world.traffic.capabilities)

    # traffic
    async def set_split(self, split: Split) -> None:
        number = self._world.tripwire.before(f"set_split {split.run} {split.canary.weight if split.canary else '-'}")
        await self._world.traffic.set_split(split)
        self._world.splits_set.append(split)
        self._world.tripwire.after(number)

    async def observe(self, service: str) -> ObservedSplit:
        return await self._world.traffic.observe(service)

    async def open_sockets(self, service: str) -> Mapping[str, int]:
        return await self._world.traffic.open_sockets(service)

    # journal
    def append(self, drafts: Sequence[Draft], *, way_back: bool = False) -> Sequence[Entry]:
        number = self._world.tripwire.before("journal " + " ".join(draft.kind for draft in drafts))
        entries = self._world.journal.append(drafts, way_back=way_back)
        self._world.tripwire.after(number)
        return entries

    def read(self, *, after: int = 0, subject: str | None = None) -> Iterator[Entry]:
        return self._world.journal.read(after=after, subject=subject)

    def newest(self, kind: str, subject: str) -> Entry | None:
        return self._world.journal.newest(kind, subject)

    def verify(self) -> int:
        return self._world.journal.verify()


class WiredWorkloads:
    def __init__(self, world: World) -> None:
        self._world = world

    async def versions(self, service: str) -> Sequence[Version]:
        return await self._world.workloads.versions(service)

    async def observe(self, service: str) -> Sequence[VersionPods]:
        return await self._world.workloads.observe(service)

    async def ensure(self, service: str, digest: str, replicas: int) -> None:
        number = self._world.tripwire.before(f"ensure {replicas}")
        await self._world.workloads.ensure(service, digest, replicas)
        self._world.tripwire.after(number)

    async def reduce(self, service: str, digest: str, replicas: int) -> None:
        number = self._world.tripwire.before(f"reduce {replicas}")
        await self._world.workloads.reduce(service, digest, replicas)
        self._world.tripwire.after(number)

    async def retire(self, service: str, digest: str, drain_seconds: float | None = None) -> None:
        number = self._world.tripwire.before("retire")
        await self._world.workloads.retire(service, digest, drain_seconds)
        self._world.tripwire.after(number)


class WiredEvidence:
    def __init__(self, world: World) -> None:
        self._world = world

    def append(self, run: str, sample: Sample) -> str:
        number = self._world.tripwire.before("evidence")
        running = self._world.evidence.append(run, sample)
        self._world.tripwire.after(number)
        return running

    def read(self, run: str) -> Sequence[Sample]:
        return self._world.evidence.read(run)

    def digest(self, run: str, *, count: int | None = None) -> str:
        return self._world.evidence.digest(run, count=count)


class World:
    """What outlives a desk. ``await World.begin()`` makes one in which stable serves everybody."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.traffic = MemoryTraffic(PLATFORM, self.clock)
        self.workloads = MemoryWorkloads(VERSIONS)
        self.metrics = MemoryMetrics()
        self.journal = MemoryJournal()
        self.evidence = MemoryEvidence()
        self.history = MemoryHistory()
        self.tripwire = Tripwire()
        self.splits_set: list[Split] = []
        self.per_second = dict(PER_SECOND)
        """Series -> attempts of all players."""
        self.failures = {(LOSSY, "deposits"): 0.33}
        """(digest, series) -> failure ratio, where it is not the usual one."""
        self.odd_players = 1.0
        """How many times more players than expected the canary's window holds."""
        self.counts: dict[tuple[Target, str, str], list[float]] = {}

    @classmethod
    async def begin(cls) -> World:
        world = cls()
        world.workloads.unready[BROKEN] = "exit code 1, restart in 2 s"
        for service in PLATFORM.services:
            await world.workloads.ensure(service.name, STABLE, service.replicas)
            pods = (await world.workloads.observe(service.name))[0].pods
            backend = ArmBackend(digest=STABLE, weight=100, endpoints=tuple(pod.endpoint for pod in pods))
            await world.traffic.set_split(Split(service=service.name, run="-", revision=0, stable=backend))
        await world.pass_time(5.0)
        return world

    def desk(
        self,
        platform: Platform = PLATFORM,
        checklists: Mapping[str, ChecklistSource] | None = None,
        checklist: ChecklistPolicy | None = None,
        most_live: int | None = None,
    ) -> Desk:
        """A new desk, as after a start of the process."""
        wired = Wired(self)
        return Desk(
            platform=platform,
            traffic=wired,
            workloads=WiredWorkloads(self),
            metrics=self.metrics,
            journal=wired,
            evidence=WiredEvidence(self),
            clock=self.clock,
            checklists=checklists,
            checklist=checklist,
            history=self.history,
            most_live=most_live,
        )

    async def pass_time(self, seconds: float) -> None:
        """Players play for ``seconds`` under the split in force."""
        for service in PLATFORM.services:
            split = self.traffic._split(service.name)
            for backend in (split.stable, split.canary):
                if backend is not None and backend.weight > 0:
                    self._count(split, backend, seconds)
        self.clock.time += seconds

    def _count(self, split: Split, backend: ArmBackend, seconds: float) -> None:
        target = Target(split.service, split.run, backend.digest)
        share = backend.weight / 100
        series: dict[str, SeriesCounts] = {}
        for name, rate in self.per_second.items():
            ratio = self.failures.get((backend.digest, name), USUAL)
            events: dict[str, Count] = {}
            for endpoint in backend.endpoints:
                pod = str(endpoint.port)
                counts = self.counts.setdefault((target, name, pod), [0.0, 0.0])
                attempts = rate * share * seconds / len(backend.endpoints)
                counts[0] += attempts
                counts[1] += attempts * ratio
                events[pod] = Count(*counts)
            series[name] = SeriesCounts(events=events, players=events)
        on_canary = split.canary.weight / 100 * self.odd_players if split.canary else 0.0
        seen = on_canary if backend is split.canary else 1 - on_canary
        self.metrics.arms[target] = ArmSample(
            series=series, players_seen=round(PLAYERS * seen), players_revision=split.revision
        )

    async def warm(self, desk: Desk) -> None:
        """Enough history for a forecast."""
        for _ in range(6):
            await desk.round()
            await self.pass_time(5.0)

    async def play(
        self, desk: Desk, run: str, *, until: Callable[[RunView], bool] | None = None, seconds: float = 900.0
    ) -> RunView:
        """Rounds, every 2.5 s, until the run has ended or ``until`` holds; fails after ``seconds`` of virtual time."""
        deadline = self.clock.now() + seconds
        while self.clock.now() < deadline:
            await desk.round()
            view = await desk.run_view(run)
            if view.outcome is not None or (until is not None and until(view)):
                return view
            await self.pass_time(2.5)
        raise AssertionError(f"after {seconds:g} s {run} is {view.phase}, waiting for {view.waiting_for}")

    async def rounds(self, desk: Desk, count: int, seconds: float = 2.5) -> None:
        for _ in range(count):
            await desk.round()
            await self.pass_time(seconds)

    def kinds(self, run: str) -> list[str]:
        return [entry.kind for entry in self.journal.read(subject=run)]

    def entries(self, kind: str) -> list[Entry]:
        return [entry for entry in self.journal.read() if entry.kind == kind]

    def serves(self, service: str = PAYMENTS.name) -> dict[str, int]:
        """What the data plane does: digest -> percent."""
        split = self.traffic._split(service)
        backends = [split.stable, *([split.canary] if split.canary else [])]
        return {backend.digest: backend.weight for backend in backends if backend.weight}


async def until(condition: Callable[[], bool], seconds: float = 60.0) -> None:
    """Wait in real time, while a desk runs beside. Far longer than needed: only a broken promise waits for the end."""
    async with asyncio.timeout(seconds):
        while True:
            if condition():
                return
            await asyncio.sleep(0.001)


def release(digest: str = HEALTHY, service: str = PAYMENTS.name, **changes: object) -> Release:
    values: dict[str, object] = {
        "service": service,
        "digest": digest,
        "policy": POLICY,
        "dwell_seconds": 10.0,
        "bake_seconds": 10.0,
        "deadline_seconds": 120.0,
        "hold_back_percent": 0,
    }
    return Release.model_validate(values | changes)
