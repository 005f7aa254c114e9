"""The shipped gates before a simulator that its authors did not write: queues of Ciw, a library for queueing networks.

    pip install ciw                                   # 3.2; not among the dependencies of this project
    python bench/gates_ciw.py [--runs 100] [--seed 2026]

Each pod is a queue with two servers. Who has waited for more than ``PATIENCE`` seconds leaves: a failed request. So
failures come as they do in overload, in rows and pod by pod, and slow answers before them; nothing of it follows the
model of ``gates_world``, which the gates were tuned on. What is ours: which queues there are, and the counting. Exit 1
when more good releases are taken back than alpha allows, beyond three standard errors, or fewer than nine bad ones of
ten are found.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import sqrt
from multiprocessing import Pool
from pathlib import Path
from statistics import median
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

from outside import ReleaseGate
from outside import dispersion as estimate

try:
    import ciw
except ModuleNotFoundError:
    sys.exit("this bench needs Ciw: pip install ciw")

SCRAPE, HORIZON, HISTORY_SECONDS, ALPHA = 15.0, 600.0, 900.0, 0.01
STABLE_PODS, SERVERS, REQUESTS_PER_SECOND = 4, 2, 6.0
SERVICE_SECONDS, PATIENCE = 0.24, 1.8
EDGES_MS = (400.0, 800.0, 1600.0)
SHARED = 10
"""So many canaries share one simulated history."""


@dataclass(frozen=True)
class World:
    """What is different about the canary's one pod."""

    name: str
    service_seconds: float = SERVICE_SECONDS
    servers: int = SERVERS
    is_good: bool = False


WORLDS = (
    World("as good as stable", is_good=True),
    World("a quarter more work a request", service_seconds=SERVICE_SECONDS * 1.25),
    World("half as much work more", service_seconds=SERVICE_SECONDS * 1.5),
    World("one server instead of two", servers=1),
)


def counted(pods: Sequence[World], seconds: float, seed: int) -> list[list[list[float]]]:
    """Scrape -> pod -> [requests, failed, answered within each edge], cumulative."""
    network = ciw.create_network(
        arrival_distributions=[ciw.dists.Exponential(REQUESTS_PER_SECOND) for _ in pods],
        service_distributions=[ciw.dists.Exponential(1.0 / pod.service_seconds) for pod in pods],
        reneging_time_distributions=[ciw.dists.Deterministic(PATIENCE) for _ in pods],
        number_of_servers=[pod.servers for pod in pods],
        routing=[[0.0] * len(pods) for _ in pods],
    )
    ciw.seed(seed)
    simulation = ciw.Simulation(network)
    simulation.simulate_until_max_time(seconds)
    sums = [[[0.0] * (2 + len(EDGES_MS)) for _ in pods] for _ in range(int(seconds / SCRAPE))]
    for record in simulation.get_all_records(only=["service", "renege"]):
        scrape = int(record.exit_date / SCRAPE)
        if scrape >= len(sums):
            continue
        pod = sums[scrape][record.node - 1]
        pod[0] += 1.0
        if record.record_type == "renege":
            pod[1] += 1.0
            continue
        took = 1000.0 * (record.exit_date - record.arrival_date)
        for index, edge in enumerate(EDGES_MS):
            pod[2 + index] += took <= edge
    total = [[0.0] * (2 + len(EDGES_MS)) for _ in pods]
    shown = []
    for scrape in sums:
        for known, new in zip(total, scrape, strict=True):
            known[:] = [a + b for a, b in zip(known, new, strict=True)]
        shown.append([list(pod) for pod in total])
    return shown


@lru_cache(maxsize=8)
def dispersion(seed: int) -> tuple[dict[str, float], tuple[str, ...]]:
    """Of the stable pods, a quarter of an hour before."""
    shown = counted([WORLDS[0]] * STABLE_PODS, HISTORY_SECONDS, seed)
    steps = [
        [
            [now - then for now, then in zip(pod, before, strict=True)]
            for pod, before in zip(after, earlier, strict=True)
        ]
        for earlier, after in zip([[[0.0] * len(pod) for pod in shown[0]], *shown[:-1]], shown, strict=True)
    ]
    history = {
        "step": SCRAPE,
        "requests": [[pod[0] for pod in step] for step in steps],
        "errors": [[pod[1] for pod in step] for step in steps],
        "latency_le": [[[*pod[2:], pod[0]] for pod in step] for step in steps],
    }
    return estimate(history, tuple(edge / 1000.0 for edge in EDGES_MS))


def arm(pods: Iterable[Sequence[float]]) -> dict[str, Any]:
    pods = list(pods)
    return {
        "requests": [pod[0] for pod in pods],
        "errors": [pod[1] for pod in pods],
        "latency_le": [[*pod[2:], pod[0]] for pod in pods],
    }


def play(task: tuple[World, int]) -> tuple[float | None, float]:
    """When the canary is taken back (None: never), and its failure ratio over the whole horizon."""
    world, number = task
    phi, few_pods = dispersion(1_000_000 + number // SHARED)
    gate = ReleaseGate(
        {
            "scrape": SCRAPE,
            "alpha": ALPHA,
            "metrics": ("errors", "latency"),
            "edges_ms": EDGES_MS,
            "dispersion": phi,
            "few_pods": few_pods,
            "steps": None,
            "horizon": HORIZON,
        }
    )
    shown = counted([world, *[WORLDS[0]] * STABLE_PODS], HORIZON, number)
    weight = 100 // (1 + STABLE_PODS)
    taken = None
    for at, (canary, *stable) in enumerate(shown, 1):
        block = {"t": at * SCRAPE, "weight": weight, "canary": arm([canary]), "stable": arm(stable)}
        if gate.observe(block) == "rollback":
            taken = at * SCRAPE
            break
    return taken, shown[-1][0][1] / shown[-1][0][0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=100, help="canaries a row")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--jobs", type=int, default=2)
    args = parser.parse_args()
    began, ok = time.perf_counter(), True
    print("| the canary's pod | fails | taken back | median |\n|---|---|---|---|")
    with Pool(args.jobs) as pool:
        for row, world in enumerate(WORLDS):
            first = args.seed * 100_000 + row * 10_000
            tasks = [(world, first + number) for number in range(args.runs)]
            played = pool.map(play, tasks, chunksize=SHARED)
            taken = [seconds for seconds, _ in played if seconds is not None]
            fails = sum(ratio for _, ratio in played) / len(played)
            after = f"{median(taken):.0f} s" if taken else "–"
            print(f"| {world.name} | {fails:.2%} | {len(taken)} of {args.runs} | {after} |", flush=True)
            allowed = ALPHA * args.runs + 3.0 * sqrt(ALPHA * args.runs)
            ok = ok and (len(taken) <= allowed if world.is_good else len(taken) >= 0.9 * args.runs)
    print(f"{time.perf_counter() - began:.0f} s", file=sys.stderr)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
