"""Running figures of one series: totals for people, pace for forecasts, and what stable is going through."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from croupier.core.gates.counters import Block

INCIDENT_SECONDS = 300.0
RECENT_SECONDS = 300.0


@dataclass(slots=True)
class Totals:
    """Exposure and failures of both arms since the run began, for people to read."""

    canary_total: float = 0.0
    canary_bad: float = 0.0
    stable_total: float = 0.0
    stable_bad: float = 0.0

    def add(self, block: Block) -> None:
        self.canary_total += block.canary_total
        self.canary_bad += block.canary_bad
        self.stable_total += block.stable_total
        self.stable_bad += block.stable_bad

    @property
    def stable_ratio(self) -> float:
        return self.stable_bad / self.stable_total if self.stable_total > 0.0 else 0.0

    @property
    def canary_ratio(self) -> float:
        return self.canary_bad / self.canary_total if self.canary_total > 0.0 else 0.0


def fails_far_more(bad: float, usual: float, phi: float) -> bool:
    """Whether ``bad`` failures are beyond three times the usual number and beyond five deviations of it."""
    return bad >= 10.0 and bad > 3.0 * usual + 5.0 * sqrt(phi * (usual + 1.0))


class SharedIncident:
    """Notices that stable itself fails far more than it did: such a block shows nothing in the canary's favour.

    A level that lasts five minutes is the new normal.
    """

    __slots__ = ("_bad", "_blocks", "_lasting", "_total", "active")

    def __init__(self) -> None:
        self._total = 0.0
        self._bad = 0.0
        self._blocks = 0
        self._lasting = 0.0
        self.active = False

    def update(self, block: Block, phi: float) -> None:
        total, bad = block.stable_total, block.stable_bad
        if total <= 0.0:
            return
        usual = total * (self._bad + 0.5) / (self._total + 1.0)
        self.active = self._blocks >= 3 and fails_far_more(bad, usual, phi)
        if self.active:
            self._lasting += block.seconds
            if self._lasting < INCIDENT_SECONDS:
                return
            self._total = self._bad = 0.0
        self._lasting = 0.0
        self._blocks += 1
        self._total += total
        self._bad += bad


class Pace:
    """Exposure per second of both arms and stable's failure ratio, over about a minute at the present weight."""

    __slots__ = ("_canary", "_seconds", "_stable", "_stable_bad")

    def __init__(self) -> None:
        self._canary = self._stable = self._stable_bad = self._seconds = 0.0

    def update(self, block: Block) -> None:
        keep = 60.0 / (60.0 + block.seconds)
        self._canary = self._canary * keep + block.canary_total
        self._stable = self._stable * keep + block.stable_total
        self._stable_bad = self._stable_bad * keep + block.stable_bad
        self._seconds = self._seconds * keep + block.seconds

    @property
    def per_second(self) -> tuple[float, float]:
        if self._seconds <= 0.0:
            return 0.0, 0.0
        return self._canary / self._seconds, self._stable / self._seconds

    @property
    def stable_ratio(self) -> float:
        return self._stable_bad / self._stable if self._stable > 0.0 else 0.0


class Stillness:
    """Notices that nothing is counted any more of either arm, though scrapes come: nobody counts then, and what was
    shown before says nothing of now. A quiet hour looks the same, and costs time.

    ``expected``: attempts that both arms should have had since the last one.
    """

    __slots__ = ("_per_second", "expected")

    def __init__(self) -> None:
        self._per_second = 0.0
        self.expected = 0.0

    def update(self, block: Block, pace: Pace) -> None:
        """Take a block, and the pace with it."""
        if block.canary_total + block.stable_total > 0.0:
            self.expected = 0.0
            self._per_second = sum(pace.per_second)
        else:
            self.expected += self._per_second * block.seconds


class RecentRatio:
    """Stable's failure ratio over about the last five minutes."""

    __slots__ = ("_bad", "_total")

    def __init__(self) -> None:
        self._total = 0.0
        self._bad = 0.0

    def update(self, block: Block) -> None:
        keep = RECENT_SECONDS / (RECENT_SECONDS + block.seconds)
        self._total = self._total * keep + block.stable_total
        self._bad = self._bad * keep + block.stable_bad

    @property
    def value(self) -> float:
        return self._bad / self._total if self._total > 0.0 else 0.0
