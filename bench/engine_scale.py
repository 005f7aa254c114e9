"""What one desk costs with a thousand live releases, and ten thousand past ones (docs/reference/measurements.md).

    python -m bench.engine_scale [--live 1000] [--past 10000] [--minutes 10] [--scrape 15] [--spread 780] [--json FILE]

The engine, the journal on disk (SQLite) and the evidence on disk are the ones that ship; traffic, pods and counters are
simulated in memory, on virtual time. Every service has one live release: one that ends is followed by the next within
the minute. A release takes about 13 minutes; they begin over as long, so that the figures are those of all its parts
together, start and end included. Rounds come when the desk wants them. Figures are CPU seconds of the desk's own calls
over virtual seconds, so they mean the same on a busy machine; bytes are those of the files. What it does not show: the
cost of asking a real Envoy and real pods, which adapters pay, and waiting for disks (TMPDIR=/dev/shm leaves that out).

Past releases are real ones, journalled and folded; ``--past`` of them are made first by copying one under other names.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import resource
import sqlite3
import tempfile
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from croupier.adapters.history.files import FileHistory
from croupier.adapters.journal.evidence import FileEvidence
from croupier.adapters.journal.sqlite import SqliteJournal
from croupier.adapters.traffic.memory import MemoryTraffic
from croupier.adapters.workloads.memory import MemoryWorkloads
from croupier.engine.desk import Desk
from croupier.model.evidence import ArmSample, Count, SeriesCounts
from croupier.model.journal import Draft
from croupier.model.release import GatePolicy, GateSpec, Margin, Release
from croupier.model.service import Platform, Service, Version
from croupier.model.traffic import ArmBackend, Split
from croupier.ports.metrics import Target

FIRST, SECOND = "sha256:" + "1" * 64, "sha256:" + "2" * 64
PODS = 2
BARS = {"cores": 1.0, "memory_mib": 300.0, "journal_gb_per_day": 1.0}
POLICY = GatePolicy(
    gates=(
        GateSpec(signal="deposits", role="required", importance=3.0, margin=Margin(points=2.0)),
        GateSpec(signal="errors", role="required", margin=Margin(points=1.0)),
        GateSpec(signal="latency", margin=Margin(ratio=2.0)),
    ),
    latency_edges=(0.25, 0.4),
)
PER_SECOND = {"deposits": 20.0, "errors": 100.0, "latency:0.25": 100.0, "latency:0.4": 100.0}
BAD = 0.001


@dataclass(frozen=True)
class Figures:
    """``cores``: CPU seconds of the desk a second. ``round_ms``: CPU of one round, median. ``start_ms``: CPU of one
    start of a release, median. ``open_…``: CPU, and MiB it adds, of opening a desk in a process of its own: ``all``, on
    the past releases without a snapshot, everything is folded; ``past``, the same with one; ``live``, with one, on all
    that the bench has left, live releases too."""

    live: int
    past: int
    virtual_seconds: float
    rounds: int
    started: int
    cores: float
    round_ms: float
    start_ms: float
    memory_mib: float
    memory_before_mib: float
    journal_gb_per_day: float
    evidence_gb_per_day: float
    open_all_seconds: float
    open_all_mib: float
    open_past_seconds: float
    open_past_mib: float
    open_live_seconds: float
    open_live_mib: float


class Clock:
    def __init__(self) -> None:
        self.time = 1_800_000_000.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class Counters:
    """The metrics port: counters that grow with the share each arm has, worked out when they are read."""

    def __init__(self, traffic: MemoryTraffic, clock: Clock) -> None:
        self._traffic, self._clock = traffic, clock
        self._attempts: dict[Target, float] = {}
        self._read_at: dict[Target, float] = {}

    async def read(self, targets: Sequence[Target]) -> Mapping[Target, ArmSample]:
        now = self._clock.now()
        found = {}
        for target in targets:
            split = await self._traffic.observe(target.service)
            share = split.weights.get(target.digest, 0) / 100
            if share == 0 and target not in self._attempts:
                continue
            seconds = now - self._read_at.get(target, now - 5.0)
            self._read_at[target] = now
            done = self._attempts[target] = self._attempts.get(target, 0.0) + share * seconds
            series = {}
            for name, rate in PER_SECOND.items():
                count = Count(rate * done / PODS, rate * done / PODS * BAD)
                pods = {f"{target.digest[-4:]}-{pod}": count for pod in range(PODS)}
                series[name] = SeriesCounts(events=pods, players=pods)
            seen = round(2000 * share)
            found[target] = ArmSample(series=series, players_seen=seen, players_revision=split.revision)
        return found


def services(live: int) -> Platform:
    return Platform(
        services=tuple(
            Service(name=f"service-{number:04d}", replicas=PODS, routes=(f"/{number}/",)) for number in range(live)
        )
    )


async def settled(platform: Platform, clock: Clock) -> tuple[MemoryTraffic, MemoryWorkloads]:
    """A world in which the first version of every service serves."""
    traffic = MemoryTraffic(platform, clock)
    workloads = MemoryWorkloads(
        Version(service=each.name, digest=digest, label=label)
        for each in platform.services
        for digest, label in ((FIRST, "first"), (SECOND, "second"))
    )
    for each in platform.services:
        await workloads.ensure(each.name, FIRST, PODS)
        (pods,) = await workloads.observe(each.name)
        endpoints = tuple(pod.endpoint for pod in pods.pods if pod.endpoint is not None)
        stable = ArmBackend(digest=FIRST, weight=100, endpoints=endpoints)
        await traffic.set_split(Split(service=each.name, run="-", revision=0, stable=stable))
    return traffic, workloads


class Bench:
    """One desk on simulated parts, and the CPU its calls take."""

    def __init__(self, directory: Path, platform: Platform, scrape: float) -> None:
        self.directory, self.platform, self.scrape = directory, platform, scrape
        self.clock = Clock()
        self.round_cpu: list[float] = []
        self.start_cpu: list[float] = []

    async def open(self) -> float:
        """Wire a desk over what the journal holds; CPU seconds of opening it."""
        if not hasattr(self, "traffic"):
            self.traffic, self.workloads = await settled(self.platform, self.clock)
        self.journal = SqliteJournal(self.directory / "journal.sqlite")
        self.desk = Desk(
            platform=self.platform,
            traffic=self.traffic,
            workloads=self.workloads,
            metrics=Counters(self.traffic, self.clock),
            journal=self.journal,
            evidence=FileEvidence(self.directory / "evidence"),
            clock=self.clock,
            history=FileHistory(self.directory / "history"),
        )
        began = time.process_time()
        await self.desk.open()
        return time.process_time() - began

    async def close(self) -> None:
        await self.desk.close()
        self.journal.close()

    async def round(self) -> None:
        began = time.process_time()
        await self.desk.round()
        self.round_cpu.append(time.process_time() - began)
        self.clock.time += self.desk._loop.pause_seconds()

    async def start(self, service: str) -> None:
        (serving,) = (await self.traffic.observe(service)).weights
        release = Release(
            service=service,
            digest=SECOND if serving == FIRST else FIRST,
            policy=POLICY,
            scrape_seconds=self.scrape,
            dwell_seconds=120.0,
            bake_seconds=60.0,
        )
        began = time.process_time()
        await self.desk.start(release, who="bench")
        self.start_cpu.append(time.process_time() - began)

    async def warm(self, seconds: float = 60.0) -> None:
        until = self.clock.now() + seconds
        while self.clock.now() < until:
            await self.round()

    async def play(self, seconds: float, starts_a_second: float) -> None:
        """Rounds for so long. What has no release gets one, at most so many a second."""
        until, spare, before = self.clock.now() + seconds, 1.0, self.clock.now()
        while self.clock.now() < until:
            await self.round()
            spare = min(spare + starts_a_second * (self.clock.now() - before), 100.0)
            before = self.clock.now()
            busy = {service for service, _ in self.desk.live_owners().values()}
            idle = [each.name for each in self.platform.services if each.name not in busy]
            for service in idle[: int(spare)]:
                await self.start(service)
                spare -= 1.0


def copy_past(journal: SqliteJournal, run: str, past: int, base: int) -> None:
    """Write the entries of an ended run again under other names, as many runs as asked for."""
    entries = list(journal.read(subject=run))
    for number in range(past):
        name = f"r-{base + number + 1:04d}"
        drafts = []
        for entry in entries:
            body: dict[str, Any] = dict(entry.body)
            if entry.kind == "run.planned":
                body = {**body, "plan": {**body["plan"], "run": name}}
            drafts.append(Draft(entry.kind, name, entry.at, body))
        journal.append(drafts)


def memory_mib() -> float:
    """Resident now, not at the peak."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def opening(directory: Path) -> tuple[float, float]:
    """CPU seconds and MiB of opening a desk over what is there. Runs in a process of its own."""

    async def play() -> tuple[float, float]:
        bench = Bench(directory, services(1), 15.0)
        before = memory_mib()
        seconds = await bench.open()
        grown = memory_mib() - before
        await bench.close()
        return round(seconds, 2), round(grown, 1)

    return asyncio.run(play())


def opened(directory: Path) -> tuple[float, float]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as processes:
        return processes.submit(opening, directory).result()


def size(path: Path) -> int:
    """Bytes of the files in a folder. Of SQLite its pages: the log beside it is written over and over."""
    files = [file for file in path.glob("*") if file.is_file() and not file.name.startswith("journal.sqlite")]
    total = sum(file.stat().st_size for file in files)
    if (path / "journal.sqlite").exists():
        with closing(sqlite3.connect(path / "journal.sqlite")) as database:
            ((pages,),) = database.execute("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size")
        total += pages
    return total


def median(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2] if values else 0.0


async def measure(given: argparse.Namespace, directory: Path) -> Figures:
    live, past, spread = given.live, given.past, given.spread
    bench = Bench(directory, services(live), given.scrape)
    before = memory_mib()
    await bench.open()
    await bench.warm()
    folded, begun = (0.0, 0.0), (0.0, 0.0)
    if past:
        run_service = bench.platform.services[0].name
        await bench.start(run_service)
        while bench.desk.live_owners():
            await bench.round()
        (run,) = bench.desk._register.runs_before(None, 2)
        copy_past(bench.journal, run, past, 1)
        await bench.close()
        folded, begun = opened(directory), opened(directory)
        await bench.open()
        await bench.warm()
    # Until every service has its release, and all are at different points of it; not counted.
    await bench.play(spread, 1.1 * live / spread)
    bench.round_cpu.clear()
    bench.start_cpu.clear()
    journal, evidence, began = size(directory), size(directory / "evidence"), bench.clock.now()
    await bench.play(given.minutes * 60.0, live / 60.0)
    seconds = bench.clock.now() - began
    at_once, resident = len(bench.desk.live_owners()), memory_mib()
    written, counted = size(directory) - journal, size(directory / "evidence") - evidence
    await bench.close()
    with_live = opened(directory)
    return Figures(
        live=at_once,
        past=past,
        virtual_seconds=round(seconds, 1),
        rounds=len(bench.round_cpu),
        started=len(bench.start_cpu),
        cores=round((sum(bench.round_cpu) + sum(bench.start_cpu)) / seconds, 3),
        round_ms=round(1000 * median(bench.round_cpu), 2),
        start_ms=round(1000 * median(bench.start_cpu), 2),
        memory_mib=round(resident, 1),
        memory_before_mib=round(before, 1),
        journal_gb_per_day=round(written / seconds * 86_400 / 1e9, 3),
        evidence_gb_per_day=round(counted / seconds * 86_400 / 1e9, 3),
        open_all_seconds=folded[0],
        open_all_mib=folded[1],
        open_past_seconds=begun[0],
        open_past_mib=begun[1],
        open_live_seconds=with_live[0],
        open_live_mib=with_live[1],
    )


def shown(figures: Figures) -> str:
    lines = [f"{name:<20} {value:>12,}" for name, value in asdict(figures).items()]
    for name, bar in BARS.items():
        value = asdict(figures)[name]
        lines.append(f"{name:<20} {value:>12,} of {bar:g}: {'holds' if value < bar else 'MISSED'}")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--live", type=int, default=1000)
    parser.add_argument("--past", type=int, default=10_000)
    parser.add_argument("--minutes", type=float, default=10.0, help="virtual")
    parser.add_argument("--scrape", type=float, default=15.0, help="seconds")
    parser.add_argument("--spread", type=float, default=780.0, help="virtual seconds over which the releases begin")
    parser.add_argument("--json", type=Path, help="where to write the figures too")
    given = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    with tempfile.TemporaryDirectory() as directory:
        figures = asyncio.run(measure(given, Path(directory)))
    print(shown(figures))
    if given.json is not None:
        given.json.write_text(json.dumps(asdict(figures), indent=1) + "\n")
    return int(any(asdict(figures)[name] >= bar for name, bar in BARS.items()))


if __name__ == "__main__":
    raise SystemExit(main())
