"""Simulated releases for ``bench/gates.py``: traffic, failures, bursts, players and everything scrapes do wrong.

Generating model (release-gates §1.11): requests per pod and block are Poisson; failures binomial; bursts arrive as
Poisson(n p / m) with geometric sizes of mean m on a random pod, spread evenly over their duration. Plain Python and
seeded, so that the same command gives the same table everywhere.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate
from math import erfc, exp, log, sqrt
from random import Random
from typing import Any

PODS = 20
STABLE_SHOWN = 4
"""Stable pods during a release: the gates read their sum, so fewer say the same and cost less. The history, from
which the dispersion between pods is estimated, has 19."""

NAN = float("nan")


@dataclass(frozen=True)
class World:
    """One kind of release. Ratios are 0-1; ``canary`` None means: exactly as good as stable."""

    name: str
    rps: float = 1000.0
    baseline: float = 0.001
    canary: float | None = None
    onset: float = 0.0
    drift_to: float | None = None
    """Shared baseline at the end of the horizon, reached linearly."""
    outage: tuple[float, float, float] | None = None
    """Shared outage: (start, seconds, failure ratio)."""
    outage_before: bool = False
    """Whether the history has that outage, too."""
    stable_pods: int = PODS - 1
    known: float = 7200.0
    """Seconds of history before the release."""
    burst_mean: float = 0.0
    burst_seconds: float = 0.0
    lone_incident: int = 0
    """So many failures hit one canary pod within one block, once."""
    cold: tuple[float, float] | None = None
    """Cold start of a healthy canary: (failure ratio, seconds)."""
    warmup: float = 0.0
    lag: float = 0.0
    """So many seconds later than it was counted is what every rule sees."""
    missed: float = 0.0
    """Chance that the scrape of one arm is lost."""
    absent: float = 0.0
    """Chance that one pod is NaN in one scrape."""
    restarts: float = 0.0
    """Chance that one pod restarts in one block."""
    ramp: tuple[int, ...] = ()
    """Weights the world steps through by itself, evenly over the horizon; empty: fixed at 5 %."""
    players: int = 0
    """Sticky players; failures of the baseline come from the few with a bad card."""
    loss: float = 0.0
    """Extra share of the canary's deposits that are lost (players' worlds)."""
    slower: float = 0.0
    """Latency worlds: how much slower the canary is (0.1 = 10 %)."""
    tail: float = 0.0
    """Latency worlds: share of the canary's requests that take five times as long."""
    latency: bool = False
    visits: bool = False
    """Players' worlds: players come, bet a few times a visit and go; some come far more often than others."""
    fewer: float = 0.0
    """Share of the canary's bets that are never placed, with nothing failing (visits' worlds)."""
    whales: int = 0
    """Players who are there most of the time (visits' worlds)."""
    stable_loses: tuple[float, float, float] | None = None
    """(start, seconds, share) of stable's bets that are never placed (visits' worlds)."""
    gone: float | None = None
    """Second from which nothing is told of the canary any more."""
    providers: tuple[float, ...] = ()
    """Players' worlds: shares of the deposits that go through each provider; each player has a favourite one."""
    own_baseline: tuple[float, ...] = ()
    """What each provider loses of either arm's deposits, beside bad cards."""
    provider_down: tuple[float, float, float] | None = None
    """(start, seconds, share) of the last provider's deposits that are lost on both arms."""
    provider_loss: float = 0.0
    """Extra share of the canary's deposits through the last provider that are lost."""
    new_provider: float = 0.0
    """Share of the canary's deposits that go through a provider of its own, which stable does not know."""
    markets: bool = False
    """Whether the providers are markets: a player belongs to one, and never changes."""
    by_provider: bool = True
    """Whether the gate judges providers by themselves, too."""

    @property
    def tells_failures(self) -> bool:
        """Whether harm shows as failed requests at all."""
        return not (self.latency or self.visits)

    @property
    def strata(self) -> tuple[str, ...]:
        """Names of providers that the gate declares."""
        if not self.by_provider:
            return ()
        return tuple(f"psp-{index}" for index in range(len(self.providers) + (self.new_provider > 0.0)))

    @property
    def metrics(self) -> tuple[str, ...]:
        if self.latency:
            return ("latency",)
        if self.visits:
            return ("bets",)
        return ("deposits",) if self.players else ("errors",)


EDGES_MS = (50.0, 100.0, 150.0, 200.0, 250.0, 300.0, 400.0, 500.0, 800.0)
MEDIAN_MS, SIGMA = 88.0, 0.5
BETS_A_VISIT, TURN_SECONDS = 6.0, 5.0
BAD_CARDS = 0.02
"""Share of players whose card fails half of the time: the whole baseline of a players' world."""


def poisson(random: Random, mean: float) -> int:
    if mean <= 0.0:
        return 0
    if mean > 40.0:
        return max(0, round(random.gauss(mean, sqrt(mean))))
    limit, product, count = exp(-mean), random.random(), 0
    while product > limit:
        product *= random.random()
        count += 1
    return count


def binomial(random: Random, n: int, p: float) -> int:
    if p <= 0.0 or n <= 0:
        return 0
    if p >= 1.0:
        return n
    if n <= 40:
        return sum(random.random() < p for _ in range(n))
    mean = n * p
    if mean < 25.0 and p < 0.1:
        # Waiting times between failures are geometric: exact, and as fast as the failures are few.
        count, position, scale = 0, 0, log(1.0 - p)
        while True:
            position += int(log(1.0 - random.random()) / scale) + 1
            if position > n:
                return count
            count += 1
    return min(n, max(0, round(random.gauss(mean, sqrt(mean * (1.0 - p))))))


def geometric(random: Random, mean: float) -> int:
    return 1 if mean <= 1.0 else int(log(1.0 - random.random()) / log(1.0 - 1.0 / mean)) + 1


class Simulation:
    """One release. ``step(weight)`` plays one scrape interval and returns what the scrape shows."""

    def __init__(
        self, world: World, random: Random, scrape: float, horizon: float, stable_pods: int = STABLE_SHOWN
    ) -> None:
        self.stable_pods = min(stable_pods, world.stable_pods)
        self.world = world
        self.random = random
        self.scrape = scrape
        self.horizon = horizon
        self.t = 0.0
        self.served = 0
        """Requests of the canary in the last interval, and how many of them failed; the truth, not the scrape."""
        self.stable_served = 0
        self.stable_failed = 0
        self.failed = 0
        self.arms = {arm: _Counters(PODS) for arm in ("canary", "stable")}
        self._later: list[tuple[int, str, int, int]] = []
        self._block = 0
        self._incident_at = random.randrange(4, int(horizon / scrape) - 4)
        if world.players:
            self._slots = [random.random() * 100.0 for _ in range(world.players)]
            self._bad_card = [random.random() < BAD_CARDS for _ in range(world.players)]
            self._affected = [False] * world.players
        if world.providers:
            self._favourite = random.choices(range(len(world.providers)), world.providers, k=world.players)
            self._providers = [_Provider(world.players) for _ in range(len(world.providers) + 1)]
        if world.visits:
            eager = [exp(random.gauss(0.0, 0.7)) for _ in range(world.players)]
            for whale in range(world.whales):
                eager[whale] = 50.0
            self._eager = list(accumulate(eager))
            self._left: dict[int, int] = {}
            self._bets = [0] * world.players
            self._visits = [0] * world.players

    def first(self, weight: int) -> dict[str, Any]:
        """The block at t = 0: baselines only."""
        return self._show(weight)

    def step(self, weight: int) -> dict[str, Any]:
        self._block += 1
        self.t += self.scrape
        for counters in self.arms.values():
            counters.at_risk = counters.newly = 0
        for provider in self._providers if self.world.providers else ():
            provider.begin_block()
        self.served = self.failed = 0
        stable = self.arms["stable"]
        before = sum(stable.total), sum(stable.bad)
        if self.world.visits:
            self._play_visits(weight)
        elif self.world.players:
            self._play_players(weight)
        elif self.world.latency:
            self._play_latency(weight)
        else:
            self._play(weight)
        self.stable_served, self.stable_failed = sum(stable.total) - before[0], sum(stable.bad) - before[1]
        return self._show(weight)

    def _ratio(self, arm: str) -> float:
        world, t = self.world, self.t
        ratio = world.baseline
        if world.drift_to is not None:
            ratio += (world.drift_to - world.baseline) * t / self.horizon
        if world.outage is not None and world.outage[0] < t <= world.outage[0] + world.outage[1]:
            ratio = world.outage[2]
        if arm == "canary":
            if world.canary is not None and t > world.onset:
                ratio = max(ratio, world.canary)
            if world.cold is not None and t <= world.cold[1]:
                ratio = max(ratio, world.cold[0])
        return ratio

    def _play(self, weight: int) -> None:
        world, random = self.world, self.random
        for arm, share in (("canary", weight), ("stable", 100 - weight)):
            pods = self._pods(arm, weight)
            ratio = self._ratio(arm)
            counters = self.arms[arm]
            mean = world.rps * self.scrape * share / 100.0
            if world.burst_mean:
                self._start_bursts(arm, mean * ratio, len(pods))
            for pod in pods:
                n = poisson(random, mean / len(pods))
                k = 0 if world.burst_mean else binomial(random, n, ratio)
                counters.add(pod, n, k)
                if arm == "canary":
                    self.served += n
                    self.failed += k
        if world.lone_incident and self._block == self._incident_at:
            self.arms["canary"].add(0, world.lone_incident, world.lone_incident)
        self._finish_bursts()

    def _pods(self, arm: str, weight: int) -> range:
        return range(max(1, PODS * weight // 100)) if arm == "canary" else range(self.stable_pods)

    def _start_bursts(self, arm: str, failures: float, pods: int) -> None:
        spread = max(1, round(self.world.burst_seconds / self.scrape))
        for _ in range(poisson(self.random, failures / self.world.burst_mean)):
            size = geometric(self.random, self.world.burst_mean)
            pod = self.random.randrange(pods)
            for part in range(spread):
                piece = size * (part + 1) // spread - size * part // spread
                if piece:
                    self._later.append((self._block + part, arm, pod, piece))

    def _finish_bursts(self) -> None:
        waiting = []
        for due, arm, pod, piece in self._later:
            if due > self._block:
                waiting.append((due, arm, pod, piece))
                continue
            self.arms[arm].bad[pod] += piece
            if arm == "canary":
                self.failed += piece
        self._later = waiting

    def _play_players(self, weight: int) -> None:
        world, random = self.world, self.random
        active: set[int] = set()
        for _ in range(poisson(random, world.rps * self.scrape)):
            player = random.randrange(world.players)
            arm = "canary" if self._slots[player] < weight else "stable"
            counters = self.arms[arm]
            failed = (self._bad_card[player] and random.random() < 0.5) or (
                arm == "canary" and random.random() < world.loss
            )
            pod = random.randrange(len(self._pods(arm, weight)))
            if world.providers:
                number = self._choose_provider(player, arm)
                failed = failed or random.random() < self._lost_by(number, arm)
                self._providers[number].add(arm, pod, player, failed=failed)
            counters.add(pod, 1, int(failed))
            if arm == "canary":
                self.served += 1
                self.failed += failed
            if not self._affected[player]:
                active.add(player)
                if failed:
                    self._affected[player] = True
        for player in active:
            counters = self.arms["canary" if self._slots[player] < weight else "stable"]
            counters.at_risk += not self._affected[player]
            counters.newly += self._affected[player]
        for provider in self._providers if world.providers else ():
            provider.end_block()

    def _choose_provider(self, player: int, arm: str) -> int:
        world, random = self.world, self.random
        if arm == "canary" and random.random() < world.new_provider:
            return len(world.providers)
        if world.markets or random.random() < 0.8:
            return self._favourite[player]
        return random.choices(range(len(world.providers)), world.providers)[0]

    def _lost_by(self, number: int, arm: str) -> float:
        world, is_last = self.world, number == len(self.world.providers) - 1
        lost = world.own_baseline[number] if number < len(world.own_baseline) else 0.0
        down = world.provider_down
        if is_last and down is not None and down[0] < self.t <= down[0] + down[1]:
            lost = down[2]
        return max(lost, world.provider_loss) if is_last and arm == "canary" else lost

    def _play_visits(self, weight: int) -> None:
        """``rps`` is bets per second, about; a visit has six on average, one every five seconds or so."""
        world, random = self.world, self.random
        lost = world.stable_loses
        kept = {"canary": 1.0 - world.fewer, "stable": 1.0}
        if lost is not None and lost[0] < self.t <= lost[0] + lost[1]:
            kept["stable"] = 1.0 - lost[2]
        for _ in range(max(1, round(self.scrape / TURN_SECONDS))):
            begun = poisson(random, world.rps * TURN_SECONDS / BETS_A_VISIT)
            for player in random.choices(range(world.players), cum_weights=self._eager, k=begun):
                if player in self._left:
                    continue
                self._left[player] = geometric(random, BETS_A_VISIT + 1.0) - 1
                spread, bets, visits = (
                    self._counters_of(player, weight).spread,
                    self._bets[player],
                    self._visits[player],
                )
                spread[0] += 1
                spread[2] += bets
                spread[3] += 2 * visits + 1
                self._visits[player] += 1
            for player, left in list(self._left.items()):
                if left == 0:
                    del self._left[player]
                    continue
                self._left[player] = left - 1
                arm = "canary" if self._slots[player] < weight else "stable"
                counters = self._counters_of(player, weight)
                if random.random() >= kept[arm]:
                    self.served += arm == "canary"
                    self.failed += arm == "canary"
                    continue
                counters.add(0, 1, 0)
                counters.at_risk += 1
                counters.spread[1] += 2 * self._bets[player] + 1
                counters.spread[2] += self._visits[player]
                self._bets[player] += 1
                self.served += arm == "canary"

    def _counters_of(self, player: int, weight: int) -> _Counters:
        return self.arms["canary" if self._slots[player] < weight else "stable"]

    def _play_latency(self, weight: int) -> None:
        world, random = self.world, self.random
        for arm, share in (("canary", weight), ("stable", 100 - weight)):
            pods = self._pods(arm, weight)
            faulty = arm == "canary" and self.t > world.onset
            for pod in pods:
                n = poisson(random, world.rps * self.scrape * share / 100.0 / len(pods))
                median = MEDIAN_MS * exp(random.gauss(0.0, 0.03)) * (1.0 + world.slower * faulty)
                tail = world.tail * faulty
                below, used, left = [], 0, 1.0
                for edge in EDGES_MS:
                    over = (1.0 - tail) * _slower_than(edge, median) + tail * _slower_than(edge, 5.0 * median)
                    used += binomial(
                        random, n - used, min(1.0, max(0.0, (left - over) / left)) if left > 1e-12 else 1.0
                    )
                    left = over
                    below.append(used)
                self.arms[arm].add_latency(pod, n, below)
                if arm == "canary":
                    self.served += n
                    self.failed += n - below[EDGES_MS.index(200.0)]

    def _show(self, weight: int) -> dict[str, Any]:
        world, random = self.world, self.random
        block: dict[str, Any] = {"t": self.t, "weight": weight}
        for arm, counters in self.arms.items():
            pods = self._pods(arm, weight)
            if world.restarts:
                for pod in pods:
                    if random.random() < world.restarts:
                        counters.restart(pod)
            lost = world.missed and self.t and random.random() < world.missed
            gone = arm == "canary" and world.gone is not None and self.t > world.gone
            if lost or gone:
                block[arm] = None
                continue
            shown: dict[str, Any] = {
                "requests": [float(counters.total[pod]) for pod in pods],
                "errors": [float(counters.bad[pod]) for pod in pods],
                "latency_le": None,
                "attempts": None,
                "succeeded": None,
            }
            if world.absent:
                for index in range(len(pods)):
                    if random.random() < world.absent:
                        shown["requests"][index] = shown["errors"][index] = NAN
            if world.latency:
                shown["latency_le"] = [[*counters.below[pod], counters.total[pod]] for pod in pods]
            if world.players:
                shown["attempts"] = shown["requests"]
                shown["succeeded"] = [counters.total[pod] - counters.bad[pod] for pod in pods]
                shown["players_unaffected"] = counters.at_risk
                shown["players_newly_affected"] = counters.newly
            if world.providers:
                shown["strata"] = {
                    name: self._providers[number].show(arm, pods) for number, name in enumerate(world.strata)
                }
            if world.visits:
                shown["spread"] = list(counters.spread)
            block[arm] = shown
        return block


class _Counters:
    """Cumulative counters of one arm's pods. They start anywhere."""

    def __init__(self, pods: int) -> None:
        self.total = [1000 + 37 * pod for pod in range(pods)]
        self.bad = [pod % 3 for pod in range(pods)]
        self.below = [[0] * len(EDGES_MS) for _ in range(pods)]
        self.at_risk = 0
        self.newly = 0
        self.spread = [0, 0, 0, 0]

    def add(self, pod: int, n: int, k: int) -> None:
        self.total[pod] += n
        self.bad[pod] += k

    def add_latency(self, pod: int, n: int, below: list[int]) -> None:
        self.total[pod] += n
        row = self.below[pod]
        for index, count in enumerate(below):
            row[index] += count

    def restart(self, pod: int) -> None:
        self.total[pod] = self.bad[pod] = 0


class _Provider:
    """Deposits through one provider: counters of both arms, and which players it has failed."""

    def __init__(self, players: int) -> None:
        self._arms = {arm: _Counters(PODS) for arm in ("canary", "stable")}
        self._affected = [False] * players
        self._active: dict[int, str] = {}
        """Player at risk who has deposited in this block -> arm."""

    def begin_block(self) -> None:
        self._active.clear()
        for counters in self._arms.values():
            counters.at_risk = counters.newly = 0

    def add(self, arm: str, pod: int, player: int, *, failed: bool) -> None:
        self._arms[arm].add(pod, 1, int(failed))
        if not self._affected[player]:
            self._active[player] = arm
            self._affected[player] = failed

    def end_block(self) -> None:
        for player, arm in self._active.items():
            counters = self._arms[arm]
            counters.at_risk += not self._affected[player]
            counters.newly += self._affected[player]

    def show(self, arm: str, pods: range) -> dict[str, Any]:
        counters = self._arms[arm]
        return {
            "attempts": [float(counters.total[pod]) for pod in pods],
            "succeeded": [counters.total[pod] - counters.bad[pod] for pod in pods],
            "players_unaffected": counters.at_risk,
            "players_newly_affected": counters.newly,
        }


def _slower_than(edge: float, median: float) -> float:
    return 0.5 * erfc(log(edge / median) / (SIGMA * sqrt(2.0)))


@dataclass
class History:
    """The stable arm in the two hours before: increments per step, shaped (blocks, pods[, edges + 1])."""

    step: float
    requests: list[list[int]]
    errors: list[list[int]]
    latency_le: list[list[list[int]]] | None = None
    attempts: list[list[int]] | None = None
    failed: list[list[int]] | None = None


def history(world: World, random: Random, *, step: float = 15.0) -> History:
    quiet = World(
        name="history",
        rps=world.rps,
        baseline=world.baseline,
        burst_mean=world.burst_mean,
        burst_seconds=world.burst_seconds,
        latency=world.latency,
        outage=world.outage if world.outage_before else None,
        stable_pods=world.stable_pods,
    )
    simulation = Simulation(quiet, random, step, world.known, PODS - 1)
    kept = History(step, [], [], [] if world.latency else None)
    counters = simulation.arms["stable"]
    pods = range(simulation.stable_pods)
    for _ in range(int(world.known / step)):
        before_total, before_bad = list(counters.total), list(counters.bad)
        before_below = [list(row) for row in counters.below] if world.latency else []
        simulation.step(5)
        moved = [counters.total[pod] - before_total[pod] for pod in pods]
        kept.requests.append(moved)
        kept.errors.append([counters.bad[pod] - before_bad[pod] for pod in pods])
        if kept.latency_le is not None:
            kept.latency_le.append(
                [
                    [
                        *(now - then for now, then in zip(counters.below[pod], before_below[pod], strict=True)),
                        moved[pod],
                    ]
                    for pod in pods
                ]
            )
    return kept
