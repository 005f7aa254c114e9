"""What others would have done with the same canary, emulated from their documented semantics, and the known limit.

* Flagger (fluxcd/flagger 15bd6ad5, 2026-07), documented example: request success rate at least 99 %, interval 1m,
  threshold 5. Failed checks add up and are never reset; the limit is tested when the next interval begins. No data is a
  failure.
* Argo Rollouts (9f8d111d8, 2026-08), documented example: ``result[0] >= 0.95`` every 5m over ``irate(...[5m])``, which
  sees two samples only, ``failureLimit`` 3: the fourth failed measurement aborts. No data is a failure. Strict: at
  least 99 % of the last minute, every minute.
* Kayenta's judge (a69573be), again at 10, 20 and 30 minutes over all points so far: Mann-Whitney at 98 %; it fails when
  the confidence interval begins above a quarter of the Hodges-Lehmann estimate.
* Thresholds on the last minute, looked at every scrape, tuned on this very service: ``tuned`` takes one canary in a
  hundred back while nothing is wrong.
* CUSUM that is told the baseline, for a doubling and for five times as many.
* SPRT oracle: a one-sided likelihood ratio that is told both failure ratios. Nobody can be told; it is the limit.

Queries of others are on the canary alone, which flatters Argo's documented one. None of them looks at latency here.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from math import log, sqrt
from random import Random
from statistics import median
from typing import NamedTuple, Protocol


class Seen(NamedTuple):
    """What one scrape interval brought: requests and failures of both arms. ``t``: its end, seconds."""

    t: float
    served: int
    failed: int
    stable_served: int
    stable_failed: int


class Rule(Protocol):
    def observe(self, seen: Seen) -> bool:
        """Whether the canary is taken back now."""
        ...


class FlaggerExample:
    INTERVAL, LEAST_SUCCESS, THRESHOLD = 60.0, 0.99, 5

    def __init__(self) -> None:
        self._served = 0
        self._failed = 0
        self._next = self.INTERVAL
        self._failures = 0

    def observe(self, seen: Seen) -> bool:
        self._served += seen.served
        self._failed += seen.failed
        if seen.t < self._next:
            return False
        self._next += self.INTERVAL
        if self._failures >= self.THRESHOLD:
            return True
        good = self._served > 0 and 1.0 - self._failed / self._served >= self.LEAST_SUCCESS
        self._failures += not good
        self._served = self._failed = 0
        return False


class Argo:
    """Measurements of an AnalysisRun, the first at ``first`` seconds."""

    LIMIT = 3

    def __init__(self, *, least_success: float, interval: float, window: float, first: float) -> None:
        self._least, self._interval, self._next = least_success, interval, first
        self._window = Window(window)
        self._failures = 0

    def observe(self, seen: Seen) -> bool:
        ratio = self._window.add(seen)
        if seen.t < self._next:
            return False
        self._next += self._interval
        self._failures += ratio is None or 1.0 - ratio < self._least
        return self._failures > self.LIMIT


def argo_example() -> Argo:
    return Argo(least_success=0.95, interval=300.0, window=15.0, first=30.0)


def argo_strict() -> Argo:
    return Argo(least_success=0.99, interval=60.0, window=60.0, first=60.0)


class Kayenta:
    LOOKS = (600.0, 1200.0, 1800.0)
    TOLERANCE, Z = 0.25, 2.326

    def __init__(self, seed: str) -> None:
        self._canary: list[float] = []
        self._stable: list[float] = []
        self._random = Random(seed)

    def observe(self, seen: Seen) -> bool:
        for points, served, failed in (
            (self._canary, seen.served, seen.failed),
            (self._stable, seen.stable_served, seen.stable_failed),
        ):
            if served:
                # In percent: fractions lose digits in Kayenta's root finder. Noise breaks ties, as it does there.
                points.append(100.0 * failed / served + self._random.gauss(0.0, 1e-5))
        return seen.t in self.LOOKS and self.is_high(self._canary, self._stable)

    @classmethod
    def is_high(cls, canary: Sequence[float], stable: Sequence[float]) -> bool:
        """Whether the canary's points lie above stable's: Hodges-Lehmann and its interval by order statistics."""
        n, m = len(canary), len(stable)
        if not n or not m:
            return False
        shifts = sorted(high - low for high in canary for low in stable)
        below = n * m / 2.0 - cls.Z * sqrt(n * m * (n + m + 1) / 12.0)
        lower = shifts[max(0, int(below))]
        return lower > cls.TOLERANCE * abs(median(shifts))


class Threshold:
    """The failure ratio of the last minute above ``most``, for so many scrapes in a row."""

    def __init__(self, most: float, in_a_row: int) -> None:
        self._most, self._wanted = most, in_a_row
        self._window = Window(60.0)
        self._run = 0

    def observe(self, seen: Seen) -> bool:
        ratio = self._window.add(seen)
        self._run = self._run + 1 if ratio is not None and ratio > self._most else 0
        return self._run >= self._wanted


class Cusum:
    def __init__(self, baseline: float, times: float, bar: float) -> None:
        self._per_bad, self._per_served, self._bar = log(times), baseline * (times - 1.0), bar
        self._sum = 0.0

    def observe(self, seen: Seen) -> bool:
        self._sum = max(0.0, self._sum + seen.failed * self._per_bad - seen.served * self._per_served)
        return self._sum >= self._bar


class SprtOracle:
    def __init__(self, baseline: float, canary: float, alpha: float) -> None:
        self._per_bad = log(canary / baseline)
        self._per_good = log((1.0 - canary) / (1.0 - baseline))
        self._bar = log(1.0 / alpha)
        self._evidence = 0.0

    def observe(self, seen: Seen) -> bool:
        self._evidence += seen.failed * self._per_bad + (seen.served - seen.failed) * self._per_good
        return self._evidence >= self._bar


class Window:
    """The canary's failure ratio over the last so many seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._kept: deque[Seen] = deque()
        self._served = self._failed = 0

    def add(self, seen: Seen) -> float | None:
        """None where nothing was served: 0/0 is no ratio."""
        self._kept.append(seen)
        self._served += seen.served
        self._failed += seen.failed
        while self._kept[0].t <= seen.t - self._seconds:
            gone = self._kept.popleft()
            self._served -= gone.served
            self._failed -= gone.failed
        return self._failed / self._served if self._served else None


def tuned(calm: Sequence[Sequence[Seen]], in_a_row: int, false: float = 0.01) -> float:
    """The lowest threshold that takes back at most ``false`` of these canaries, with which nothing is wrong."""
    needed = []
    for canary in calm:
        window = Window(60.0)
        ratios = [window.add(seen) or 0.0 for seen in canary]
        runs = (min(ratios[at : at + in_a_row]) for at in range(len(ratios) - in_a_row + 1))
        needed.append(max(runs, default=0.0))
    needed.sort()
    return needed[min(len(needed) - 1, int((1.0 - false) * len(needed)))]


def rivals(baseline: float, seed: str, thresholds: Mapping[int, float]) -> dict[str, Callable[[], Rule]]:
    """Name -> a new rule. ``thresholds``: scrapes in a row -> tuned threshold. ``baseline``: what CUSUM is told."""
    found: dict[str, Callable[[], Rule]] = {
        "Flagger example": FlaggerExample,
        "Argo example": argo_example,
        "Argo strict": argo_strict,
        "Kayenta-like": lambda: Kayenta(seed),
        "CUSUM 2x": lambda: Cusum(baseline, 2.0, 7.0),
        "CUSUM 5x": lambda: Cusum(baseline, 5.0, 7.5),
    }
    for in_a_row, most in thresholds.items():
        found[f"tuned, {in_a_row} in a row"] = lambda most=most, in_a_row=in_a_row: Threshold(most, in_a_row)
    return found
