"""How often good releases are taken back, and how much harm bad ones do, against the limit and documented rivals.

    python bench/gates.py                      # CI size: 200 canaries a cell, some minutes on two cores
    python bench/gates.py --runs 20000 --only nulls
    python bench/gates.py --rivals --only faults --match "errors 2 %"
    python bench/gates.py --output json

Every canary goes through ``bench/outside.py``, that is through the gates that ship. Exit 1 if a bar is missed. A row
says which bars it is under (release-gates §1.11): 1 false rollbacks, 2 regret, 3 and 6 harm against Flagger's example,
4 what has to be found, 5 how soon a healthy release is promoted; 7 how soon 2 % is found where traffic is lower
(progressive-delivery §1.2).
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import sqrt
from multiprocessing import Pool
from pathlib import Path
from random import Random
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))

from gates_rivals import FlaggerExample, Rule, Seen, SprtOracle, rivals, tuned
from gates_world import EDGES_MS, Simulation, World, binomial, history, poisson
from outside import ReleaseGate
from outside import dispersion as estimate

SCRAPE, HORIZON, ALPHA, BETA = 15.0, 1800.0, 0.01, 0.0125
REACTION_SECONDS = 5.0
"""From the verdict to no traffic: what the canary still serves counts as harm, for every rule alike."""

STEPS = (5, 10, 25, 50)
WORST_FALSE, MOST_REGRET, MOST_PROMOTION_SECONDS, LEAST_PROMOTED, LEAST_FOUND = 0.01, 1.5, 600.0, 0.99, 0.99
LEAST_GAIN, LEAST_GAIN_IN_BURSTS = 10.0, 4.0
SOON = {100.0: (60.0, 8.0), 200.0: (40.0, float("inf"))}
"""Requests per second -> by when 2 % must be found (median), and on how many failures."""
FLAGGER = "Flagger example"
IN_A_ROW = (1, 2, 5)
"""Scrapes in a row above the threshold that the tuned rules wait for."""

NULLS = (
    World("clean 0.1 %"),
    World("shared outage 3 %, 5 min", outage=(600.0, 300.0, 0.03)),
    World("shared outage 50 %, 1 min", outage=(600.0, 60.0, 0.5)),
    World("baseline 0.9 %", baseline=0.009),
    World("baseline 1.2 %", baseline=0.012),
    World("drift 0.1 to 0.5 %", drift_to=0.005),
    World("weight ramp, drift 0.1 to 0.5 %", ramp=STEPS, drift_to=0.005),
    World("20 rps", rps=20.0),
    World("20 rps, baseline 0.9 %", rps=20.0, baseline=0.009),
    World("0.2 rps", rps=0.2),
    World("1 rps", rps=1.0),
    World("5 rps", rps=5.0),
    World("no baseline errors, then few", baseline=0.00001, drift_to=0.0005),
    World("bursts, mean 3", burst_mean=3.0),
    World("bursts, mean 10", burst_mean=10.0),
    World("bursts, mean 30", burst_mean=30.0),
    World("bursts of 10 over 30 s", burst_mean=10.0, burst_seconds=30.0),
    World("bursts of 10 over 120 s", burst_mean=10.0, burst_seconds=120.0),
    World("1 stable pod, clean", stable_pods=1),
    World("1 stable pod, outage before and since", stable_pods=1, outage=(600.0, 300.0, 0.03), outage_before=True),
    World("1 stable pod, bursts, mean 3", stable_pods=1, burst_mean=3.0),
    World("1 stable pod, bursts, mean 10", stable_pods=1, burst_mean=10.0),
    World("1 stable pod, bursts, mean 30", stable_pods=1, burst_mean=30.0),
    World("1 stable pod, bursts of 10 over 30 s", stable_pods=1, burst_mean=10.0, burst_seconds=30.0),
    World("1 stable pod, 20 rps, new, bursts, mean 10", stable_pods=1, rps=20.0, burst_mean=10.0, known=600.0),
    World("1 stable pod, 20 rps, new, bursts, mean 30", stable_pods=1, rps=20.0, burst_mean=30.0, known=600.0),
    World("2 stable pods, bursts, mean 3", stable_pods=2, burst_mean=3.0),
    World("2 stable pods, bursts, mean 10", stable_pods=2, burst_mean=10.0),
    World("2 stable pods, bursts, mean 30", stable_pods=2, burst_mean=30.0),
    World("2 stable pods, 20 rps, new, bursts, mean 10", stable_pods=2, rps=20.0, burst_mean=10.0, known=600.0),
    World("cold start 1 % for 60 s, warm-up 60 s", cold=(0.01, 60.0), warmup=60.0),
    World("scrapes missed, 10 % an arm", missed=0.1, outage=(600.0, 300.0, 0.03)),
    World("pods NaN, 5 %", absent=0.05),
    World("pods restart, 2 % a scrape", restarts=0.02),
    World("3,000 failures on the one canary pod", lone_incident=3000),
    World("players 200, bad cards", players=200, rps=20.0),
    World("players 1,000, bad cards", players=1000, rps=20.0),
    World("players 1,000, weight ramp", players=1000, rps=20.0, ramp=STEPS),
    World("visits, 600 players bet", players=600, rps=12.0, visits=True),
    World("visits, 300 players, weight ramp", players=300, rps=6.0, visits=True, ramp=STEPS),
    World("visits, 5 players always there", players=300, rps=6.0, visits=True, whales=5, ramp=STEPS),
    World("visits, stable loses half, 5 min", players=600, rps=12.0, visits=True, stable_loses=(600.0, 300.0, 0.5)),
    World("latency, uneven pods", latency=True),
    World("providers, even", players=1000, rps=20.0, providers=(0.5, 0.5)),
    World("providers, uneven and one bad", players=1000, rps=20.0, providers=(0.9, 0.1), own_baseline=(0.0, 0.05)),
    World(
        "providers, uneven, weight ramp",
        players=1000,
        rps=20.0,
        providers=(0.9, 0.1),
        own_baseline=(0.0, 0.05),
        ramp=STEPS,
    ),
    World(
        "providers, one down for both, 5 min",
        players=1000,
        rps=20.0,
        providers=(0.7, 0.3),
        provider_down=(600.0, 300.0, 0.5),
    ),
    World("providers, one new on the canary", players=1000, rps=20.0, providers=(0.7, 0.3), new_provider=0.2),
    World(
        "providers, ten tiny", players=1000, rps=20.0, providers=(0.55, *[0.05] * 9), own_baseline=(0.0, *[0.02] * 9)
    ),
    World("markets, even", players=1000, rps=20.0, providers=(0.5, 0.5), markets=True),
    World(
        "markets, uneven and one bad",
        players=1000,
        rps=20.0,
        providers=(0.9, 0.1),
        own_baseline=(0.0, 0.05),
        markets=True,
    ),
    World(
        "markets, uneven, weight ramp",
        players=1000,
        rps=20.0,
        providers=(0.9, 0.1),
        own_baseline=(0.0, 0.05),
        ramp=STEPS,
        markets=True,
    ),
    World(
        "markets, one down for both, 5 min",
        players=1000,
        rps=20.0,
        providers=(0.7, 0.3),
        provider_down=(600.0, 300.0, 0.5),
        markets=True,
    ),
)
FAULTS = (
    World("errors 0.2 %", canary=0.002),
    World("errors 0.5 %", canary=0.005),
    World("errors 2 %", canary=0.02),
    World("errors 10 %", canary=0.10),
    World("errors 2 %, 15 s later", canary=0.02, lag=15.0),
    World("errors 10 %, 15 s later", canary=0.10, lag=15.0),
    World("errors 2 %, 200 rps", canary=0.02, rps=200.0),
    World("errors 2 %, 100 rps", canary=0.02, rps=100.0),
    World("errors 2 %, 20 rps", canary=0.02, rps=20.0),
    World("errors 10 %, 20 rps", canary=0.10, rps=20.0),
    World("errors 0.5 % from minute 15", canary=0.005, onset=900.0),
    World("errors 2 %, bursts of 10", canary=0.02, burst_mean=10.0),
    World("errors 10 %, bursts of 10", canary=0.10, burst_mean=10.0),
    World("errors 2 %, 1 stable pod", canary=0.02, stable_pods=1),
    World("errors 10 %, 1 stable pod", canary=0.10, stable_pods=1),
    World("errors 2 %, 2 stable pods", canary=0.02, stable_pods=2),
    World("errors 10 %, 2 stable pods", canary=0.10, stable_pods=2),
    World("errors 2 %, 1 stable pod, bursts of 10", canary=0.02, stable_pods=1, burst_mean=10.0),
    World("errors 10 %, 1 stable pod, bursts of 10", canary=0.10, stable_pods=1, burst_mean=10.0),
    World("errors 2 %, 1 stable pod, 20 rps, new", canary=0.02, stable_pods=1, rps=20.0, known=600.0),
    World("errors 10 %, 1 stable pod, 20 rps, new", canary=0.10, stable_pods=1, rps=20.0, known=600.0),
    World("errors 10 %, in warm-up", canary=0.10, warmup=60.0),
    World("3 % of deposits lost, 1,000 players", players=1000, rps=20.0, loss=0.03),
    World("success of deposits 92 to 80 %, 4/s, at 25 %", baseline=0.08, canary=0.2, rps=4.0, ramp=(25,)),
    World("success of deposits 92 to 50 %, 4/s, at 5 %", baseline=0.08, canary=0.5, rps=4.0),
    World("bets stop, at 25 %", players=1000, rps=20.0, visits=True, fewer=1.0, ramp=(25,)),
    World("half of the bets, at 25 %", players=1000, rps=20.0, visits=True, fewer=0.5, ramp=(25,)),
    World("40 % fewer bets, at 25 %", players=1000, rps=20.0, visits=True, fewer=0.4, ramp=(25,)),
    World("40 % fewer bets, weight ramp", players=1000, rps=20.0, visits=True, fewer=0.4, ramp=STEPS),
    World("silent from minute 5", gone=300.0, canary=1.0, onset=300.0),
    World(
        "half lost by 1 provider of 10, together",
        players=1000,
        rps=20.0,
        providers=(0.9, 0.1),
        provider_loss=0.5,
        by_provider=False,
    ),
    World("half lost by 1 provider of 10, each", players=1000, rps=20.0, providers=(0.9, 0.1), provider_loss=0.5),
    World(
        "a tenth lost by 1 of 10, together",
        players=1000,
        rps=20.0,
        providers=(0.9, 0.1),
        provider_loss=0.1,
        by_provider=False,
    ),
    World("a tenth lost by 1 of 10, each", players=1000, rps=20.0, providers=(0.9, 0.1), provider_loss=0.1),
    World("3 % of deposits lost, by providers too", players=1000, rps=20.0, loss=0.03, providers=(0.9, 0.1)),
    World("10 % slower", latency=True, slower=0.10),
    World("25 % slower", latency=True, slower=0.25),
    World("100 % slower", latency=True, slower=1.0),
    World("3 % of requests 5 times slower", latency=True, tail=0.03),
    World("25 % slower, 20 rps", latency=True, slower=0.25, rps=20.0),
    World("100 % slower, 20 rps", latency=True, slower=1.0, rps=20.0),
    World("3 % of requests 5 times slower, 20 rps", latency=True, tail=0.03, rps=20.0),
)
SMALL = (
    World("errors 0.2 %, 20 rps", canary=0.002, rps=20.0),
    World("errors 0.5 %, 20 rps", canary=0.005, rps=20.0),
    World("errors 0.2 %, bursts of 10", canary=0.002, burst_mean=10.0),
    World("errors 0.5 %, bursts of 10", canary=0.005, burst_mean=10.0),
    World("success of deposits 92 to 88 %, 4/s, at 25 %", baseline=0.08, canary=0.12, rps=4.0, ramp=(25,)),
    World("10 % slower, 20 rps", latency=True, slower=0.10, rps=20.0),
)
"""Faults that nobody can be sure to find within the half hour: rows without a bar."""

RAMPS = (
    World("healthy 0.1 %"),
    World("errors 0.15 %", canary=0.0015),
    World("errors 0.2 %", canary=0.002),
    World("errors 0.5 %", canary=0.005),
    World("errors 2 %", canary=0.02),
    World("errors 10 %", canary=0.10),
)


Ending = tuple[float | None, float]
"""When a rule took the canary back (None: never), and what had failed by then."""


@dataclass(frozen=True)
class Run:
    """One canary: what became of it under each rule."""

    seconds: float | None
    bad: float
    others: Mapping[str, Ending] = field(default_factory=dict)
    """Rival -> its ending; those who do not look (latency, bets never placed) are absent."""
    oracle_bad: float | None = None
    promoted_at: float | None = None


class _Rule:
    """Failures served until a rule takes the canary back, the reaction time included."""

    def __init__(self) -> None:
        self.seconds: float | None = None
        self.bad = 0.0

    def count(self, failed: int) -> None:
        if self.seconds is None:
            self.bad += failed

    def decide(self, taken_back: bool, t: float, failing_per_second: float, lag: float = 0.0) -> None:
        if taken_back and self.seconds is None:
            self.seconds = t + lag
            self.bad += failing_per_second * (REACTION_SECONDS + lag)


SHARED = 10
"""So many canaries share one simulated history and the dispersion estimated from it; it is the slowest part."""


@lru_cache(maxsize=64)
def dispersion_of(world: World, seed: str) -> tuple[dict[str, float], tuple[str, ...]]:
    """Series -> phi, and series with few stable pods."""
    if world.players:
        return {}, ()
    edges = tuple(edge / 1000.0 for edge in EDGES_MS) if world.latency else ()
    return estimate(history(world, Random(seed)), edges)


def gate_for(world: World, seed: str, steps: tuple[int, ...] | None) -> ReleaseGate:
    kind, number = seed.rsplit("/", 1)
    phi, few_pods = dispersion_of(world, f"{kind}/history {int(number) // SHARED}")
    return ReleaseGate(
        {
            "scrape": SCRAPE,
            "alpha": ALPHA,
            "beta": BETA,
            "metrics": world.metrics,
            "warmup": world.warmup,
            "edges_ms": EDGES_MS if world.latency else None,
            "dispersion": phi,
            "few_pods": few_pods,
            "steps": steps,
            "horizon": HORIZON,
            "strata": world.strata,
            "strata_by": "market" if world.markets else "provider",
        }
    )


@lru_cache(maxsize=1)
def thresholds(canaries: int = 2000) -> dict[int, float]:
    """Scrapes in a row -> the threshold that takes 1 % of clean canaries back: tuned on the first row of the nulls."""

    def clean() -> Iterator[list[Seen]]:
        world = NULLS[0]
        for number in range(canaries):
            random = Random(f"tuned/{number}")
            served = [poisson(random, world.rps * 0.05 * SCRAPE) for _ in range(int(HORIZON / SCRAPE))]
            yield [Seen((at + 1) * SCRAPE, n, binomial(random, n, world.baseline), 0, 0) for at, n in enumerate(served)]

    calm = list(clean())
    return {in_a_row: tuned(calm, in_a_row) for in_a_row in IN_A_ROW}


def fixed(world: World, seed: str, *, all_rivals: bool = False) -> Run:
    """A canary at fixed weight (or at the world's own ramp) for the whole horizon.

    ``all_rivals``: every rival has its turn, not only Flagger's example; each is followed to the end.
    """
    random = Random(seed)
    gate = gate_for(world, seed, None)
    simulation = Simulation(world, random, SCRAPE, HORIZON)
    is_short = world in NULLS and not all_rivals
    ours, limit = _Rule(), _Rule()
    others: dict[str, tuple[Rule, _Rule]] = {}
    if world.tells_failures:
        # CUSUM and thresholds were set up while the service was as it was on its quiet days.
        known = rivals(NULLS[0].baseline, seed, thresholds()) if all_rivals else {FLAGGER: FlaggerExample}
        others = {name: (make(), _Rule()) for name, make in known.items()}
    has_limit = world.canary is not None and not world.burst_mean and not world.onset
    oracle = SprtOracle(world.baseline, world.canary, ALPHA) if has_limit and world.canary else None
    gate.observe(simulation.first(_weight(world, 0.0)))
    for number in range(1, int(HORIZON / SCRAPE) + 1):
        block = simulation.step(_weight(world, (number - 1) * SCRAPE))
        rate = simulation.served / SCRAPE * (world.canary or world.loss or world.provider_loss or world.baseline)
        followed = [ours, limit, *(rule for _, rule in others.values())]
        for rule in followed:
            rule.count(simulation.failed)
        seen = Seen(
            simulation.t, simulation.served, simulation.failed, simulation.stable_served, simulation.stable_failed
        )
        if ours.seconds is None:
            ours.decide(gate.observe(block) == "rollback", simulation.t, rate, world.lag)
        for rival, rule in others.values():
            if rule.seconds is None:
                rule.decide(rival.observe(seen), simulation.t, rate, world.lag)
        if oracle is not None:
            limit.decide(oracle.observe(seen), simulation.t, rate, world.lag)
        if ours.seconds is not None and (is_short or all(rule.seconds is not None for rule in followed)):
            break
    return Run(
        ours.seconds,
        ours.bad,
        {name: (rule.seconds, rule.bad) for name, (_, rule) in others.items()},
        limit.bad if oracle is not None else None,
    )


def ramp(world: World, seed: str) -> Run:
    """A canary that rises when the gate says so."""
    random = Random(seed)
    gate = gate_for(world, seed, (*STEPS, 100))
    simulation = Simulation(world, random, SCRAPE, 2 * HORIZON)
    rule, step = _Rule(), 0
    gate.observe(simulation.first(STEPS[step]))
    while simulation.t < 2 * HORIZON:
        block = simulation.step(STEPS[step])
        rule.count(simulation.failed)
        answer = gate.observe(block)
        if answer == "rollback":
            rule.decide(True, simulation.t, simulation.failed / SCRAPE)
            break
        if answer == "promote":
            step += 1
            if step == len(STEPS):
                return Run(None, rule.bad, promoted_at=simulation.t)
    return Run(rule.seconds, rule.bad)


def _weight(world: World, t: float) -> int:
    if not world.ramp:
        return 5
    return world.ramp[min(len(world.ramp) - 1, int(t / HORIZON * len(world.ramp)))]


def _play(task: tuple[str, World, str, bool]) -> Run:
    kind, world, seed, all_rivals = task
    return ramp(world, seed) if kind == "ramp" else fixed(world, seed, all_rivals=all_rivals)


def cell(pool: Pool, kind: str, world: World, args: argparse.Namespace) -> list[Run]:  # type: ignore[valid-type]
    numbers = range(args.first, args.first + args.runs)
    tasks = [(kind, world, f"{args.seed}/{kind}/{world.name}/{number}", args.rivals) for number in numbers]
    return pool.map(_play, tasks, chunksize=SHARED)  # type: ignore[attr-defined,no-any-return]


def null_row(world: World, runs: list[Run]) -> dict[str, object]:
    false = sum(run.seconds is not None for run in runs)
    rate = false / len(runs)
    is_new = world.known < World.known  # too little is known of its bursts for any promise; there to be seen
    return {
        "null": world.name,
        "runs": len(runs),
        "falseRollbacks": false,
        "percent": round(100.0 * rate, 2),
        "standardError": round(100.0 * sqrt(max(rate, 1.0 / len(runs)) * (1.0 - rate) / len(runs)), 2),
        **{f"{name}, percent": _taken_back(runs, name) for name in runs[0].others},
        "bars": None if is_new else "1",
        # Fails only beyond three standard errors: a small run must not fail by luck.
        "ok": is_new or false <= WORST_FALSE * len(runs) + 3.0 * sqrt(WORST_FALSE * len(runs)),
    }


def _taken_back(runs: list[Run], rival: str) -> float:
    return round(100.0 * sum(run.others[rival][0] is not None for run in runs) / len(runs), 1)


def fault_row(world: World, runs: list[Run]) -> dict[str, object]:
    found = [run.seconds for run in runs if run.seconds is not None]
    share = len(found) / len(runs)
    bad = sum(run.bad for run in runs) / len(runs)
    theirs = {name: sum(run.others[name][1] for run in runs) / len(runs) for name in runs[0].others}
    oracle = [run.oracle_bad for run in runs if run.oracle_bad is not None]
    regret = bad / (sum(oracle) / len(oracle)) if oracle else None
    gain = theirs[FLAGGER] / bad if bad and FLAGGER in theirs else None
    bars = {
        "2": regret is None or regret <= MOST_REGRET,
        "3": gain is None or gain >= LEAST_GAIN,
        "4": share >= LEAST_FOUND - 3.0 * sqrt(0.01 / len(runs)),
        "6": gain is None or gain >= LEAST_GAIN_IN_BURSTS,
        "7": _is_soon(world, median(found) if found else HORIZON, bad),
    }
    held = bars_of(world)
    return {
        "fault": world.name,
        "runs": len(runs),
        "foundPercent": round(100.0 * share, 1),
        "medianSeconds": median(found) if found else None,
        "bad": round(bad, 1),
        **{f"{name}, bad": round(each, 1) for name, each in theirs.items()},
        "gain": None if gain is None else round(gain, 1),
        "regret": None if regret is None else round(regret, 2),
        "bars": ", ".join(held) or None,
        "ok": all(bars[bar] for bar in held),
    }


def _is_soon(world: World, seconds: float, bad: float) -> bool:
    most_seconds, most_bad = SOON.get(world.rps, (HORIZON, float("inf")))
    return seconds <= most_seconds and bad <= most_bad


def bars_of(world: World) -> tuple[str, ...]:
    """Which bars a fault's row is under; none where it is there to be seen only."""
    canary = world.canary
    is_large = canary in (0.02, 0.10)
    rest = replace(world, name="", canary=None)
    if canary is None:
        return ()
    if rest == World(""):
        return ("2", "3") if is_large else ("2", "4")
    if rest == World("", lag=15.0) and is_large:
        return ("3",)
    if rest == World("", burst_mean=10.0) and is_large:
        return ("6",)
    if canary == 0.02 and world.rps in SOON and rest == World("", rps=world.rps):
        return ("7",)
    return ()


def ramp_row(world: World, runs: list[Run]) -> dict[str, object]:
    promoted = [run.promoted_at for run in runs if run.promoted_at is not None]
    share = len(promoted) / len(runs)
    healthy = world.canary is None
    slow = median(promoted) > MOST_PROMOTION_SECONDS if promoted else True
    return {
        "release": world.name,
        "runs": len(runs),
        "promotedPercent": round(100.0 * share, 1),
        "medianSecondsToPromotion": median(promoted) if promoted else None,
        "takenBackPercent": round(100.0 * sum(run.seconds is not None for run in runs) / len(runs), 1),
        "bad": round(sum(run.bad for run in runs) / len(runs), 1),
        "bars": "5" if healthy else None,
        "ok": not (healthy and (share < LEAST_PROMOTED - 3.0 * sqrt(0.01 / len(runs)) or slow)),
    }


def table(rows: Iterable[dict[str, object]]) -> str:
    rows = list(rows)
    if not rows:
        return ""
    lines = ["| " + " | ".join(rows[0]) + " |", "|" + "---|" * len(rows[0])]
    lines += ["| " + " | ".join("–" if value is None else str(value) for value in row.values()) + " |" for row in rows]
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="canaries a cell")
    parser.add_argument("--first", type=int, default=0, help="number of the first canary, for a row in parts")
    parser.add_argument("--seed", type=int, default=2026)
    parser.add_argument("--only", choices=("nulls", "faults", "ramps"))
    parser.add_argument("--rivals", action="store_true", help="all rivals, each followed to the end; takes longer")
    parser.add_argument("--match", default="", help="only rows whose name contains this")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--output", choices=("text", "json"), default="text")
    args = parser.parse_args()
    kinds = {"nulls": (NULLS, null_row), "faults": (FAULTS + SMALL, fault_row), "ramps": (RAMPS, ramp_row)}
    rows: dict[str, list[dict[str, object]]] = {}
    began = time.perf_counter()
    with Pool(args.jobs) as pool:
        for kind, (worlds, row) in kinds.items():
            if args.only in (None, kind):
                rows[kind] = []
                for world in worlds:
                    if args.match in world.name:
                        played = cell(pool, kind.removesuffix("s"), world, args)
                        rows[kind].append(row(world, played))
                        print(f"{kind}: {rows[kind][-1]}", file=sys.stderr, flush=True)
    if args.output == "json":
        print(json.dumps({"runs": args.runs, "seed": args.seed, **rows}, indent=1))
    else:
        for kind_rows in rows.values():
            print(table(kind_rows), end="\n\n")
    print(f"{time.perf_counter() - began:.0f} s", file=sys.stderr)
    return 0 if all(row["ok"] for kind_rows in rows.values() for row in kind_rows) else 1


if __name__ == "__main__":
    sys.exit(main())
