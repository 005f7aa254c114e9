"""How fast a split takes effect in a real Envoy, and whether requests fail while it changes.

    python -m bench.envoy_split [--changes 100] [--json FILE]

Sixteen connections send requests without a pause to one service with two versions, while the split is changed again
and again through ``EnvoyTraffic``, as the desk does it. The stamp on each answer tells which split served it. Printed,
in milliseconds, over all changes:

- *first after the call*: from calling ``set_split`` to the first answer that the new split served;
- *first after the rename*: from the rename of the public routes to that answer;
- *last of the old*: from the rename to the last answer of the old split that was sent after it;
- *confirmed*: how long ``set_split`` took, which is when the desk may rely on it.

Bars: first after the call at most 20 ms (median and 95 %), 0 failed requests. Everything (load, two pods a version,
Envoy) shares the machine, so the time of the machine is part of the figures.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from aiohttp import ClientError
from tests.support.edge import Edge, running_edge

from croupier.adapters.traffic import envoy
from croupier.adapters.traffic.envoy_files import EnvoyFiles

BAR_MS = 20.0
CONNECTIONS = 16
WEIGHTS = (5, 10, 25, 50, 100, 0)
PAUSE_SECONDS = 0.05


@dataclass
class Load:
    """What the load saw. Times are ``perf_counter`` seconds."""

    answers: int = 0
    failures: list[str] = field(default_factory=list)
    first: dict[int, float] = field(default_factory=dict)
    """Revision -> time of its first answer."""
    last_sent: dict[int, float] = field(default_factory=dict)
    """Revision -> time at which the last request that it served was sent."""
    is_done: bool = False

    async def connection(self, edge: Edge, number: int) -> None:
        player = 0
        while not self.is_done:
            player = (player + 1) % 500
            sent = time.perf_counter()
            try:
                answer = await edge.send(x_player=f"p{number}-{player}")
            except (ClientError, OSError) as error:
                self.failures.append(repr(error))
                continue
            if answer.status != 200:
                self.failures.append(f"status {answer.status}")
                continue
            self.answers += 1
            revision = int(answer.arm.rpartition("/")[2])
            self.first.setdefault(revision, time.perf_counter())
            self.last_sent[revision] = max(sent, self.last_sent.get(revision, 0.0))


@dataclass(frozen=True)
class Change:
    revision: int
    called_at: float
    renamed_at: float
    confirmed_at: float


class StampedFiles(EnvoyFiles):
    """Remembers when the public routes were renamed into place."""

    renamed_at = 0.0

    def put(self, name: str, content: object) -> bool:
        is_new = super().put(name, content)  # type: ignore[arg-type]
        if name == "rds-public.json" and is_new:
            StampedFiles.renamed_at = time.perf_counter()
        return is_new


async def measure(changes: int) -> tuple[list[Change], Load, float]:
    envoy.EnvoyFiles = StampedFiles  # type: ignore[misc]
    load, made = Load(), []
    with tempfile.TemporaryDirectory(prefix="envoy-split-") as directory:
        async with running_edge(Path(directory)) as edge, asyncio.TaskGroup() as group:
            await edge.traffic.set_split(edge.split(None))
            for number in range(CONNECTIONS):
                group.create_task(load.connection(edge, number), name=f"connection {number}")
            await asyncio.sleep(0.5)
            began = time.perf_counter()
            for revision in range(1, changes + 1):
                called_at = time.perf_counter()
                await edge.traffic.set_split(edge.split(WEIGHTS[revision % len(WEIGHTS)], revision, offset=9_000))
                made.append(Change(revision, called_at, StampedFiles.renamed_at, time.perf_counter()))
                await asyncio.sleep(PAUSE_SECONDS)
            seconds = time.perf_counter() - began
            load.is_done = True
    return made, load, seconds


def figures(made: Sequence[Change], load: Load, seconds: float) -> dict[str, object]:
    served = [change for change in made if change.revision in load.first]
    previous = {change.revision: change.revision - 1 for change in made}
    lags = {
        "first after the call": [load.first[each.revision] - each.called_at for each in served],
        "first after the rename": [load.first[each.revision] - each.renamed_at for each in served],
        "last of the old": [
            max(0.0, load.last_sent.get(previous[each.revision], 0.0) - each.renamed_at) for each in served
        ],
        "confirmed": [each.confirmed_at - each.called_at for each in made],
    }
    return {
        "changes": len(made),
        "changes_seen": len(served),
        "answers": load.answers,
        "answers_per_second": round(load.answers / seconds),
        "failed": len(load.failures),
        "failures": load.failures[:10],
        "milliseconds": {name: summary([1000 * lag for lag in values]) for name, values in lags.items()},
    }


def summary(values: Sequence[float]) -> dict[str, float]:
    ordered = sorted(values)
    at = {"median": statistics.median(ordered), "p95": ordered[int(0.95 * (len(ordered) - 1))], "max": ordered[-1]}
    return {name: round(value, 2) for name, value in at.items()}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--changes", type=int, default=100)
    parser.add_argument("--json", type=Path, help="write the figures here too")
    options = parser.parse_args()
    found = figures(*asyncio.run(measure(options.changes)))
    table = found["milliseconds"]
    assert isinstance(table, dict)
    print(f"{found['changes']} changes, {found['answers']} answers ({found['answers_per_second']}/s), ", end="")
    print(f"{found['failed']} failed")
    print(f"{'milliseconds':<24}{'median':>10}{'p95':>10}{'max':>10}")
    for name, row in table.items():
        print(f"{name:<24}{row['median']:>10.2f}{row['p95']:>10.2f}{row['max']:>10.2f}")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")
    first = table["first after the call"]
    is_good = not found["failed"] and first["p95"] <= BAR_MS and found["changes_seen"] == found["changes"]
    print(f"bar: p95 of the first after the call at most {BAR_MS:g} ms, 0 failed: {'held' if is_good else 'MISSED'}")
    return 0 if is_good else 1


if __name__ == "__main__":
    sys.exit(main())
