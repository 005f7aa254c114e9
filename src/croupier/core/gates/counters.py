"""From cumulative counters per pod to what happened in one block, for both arms over the same interval.

The rules, each bought with an accident (release-gates §1.8–1.9):

* A pod counts in a block only if it was read at both ends of the block. A pod seen for the first time, or back after
  a gap, is a starting point, not a count: its catch-up would be compared with another interval of the other arm, and
  a shared incident inside the gap would look like a bad canary.
* When one arm shows no pod at all, nothing moves: the next complete scrape makes one longer block for both arms.
* A counter that fell by more than half, or that had hardly begun, has restarted: what it shows now is what happened
  since. Both counters of a pod restart together.
* Any other fall is no restart: a part of the pod is missing from this scrape, or the scrape is older than the last one.
  To count the pod's life once more would hold an incident that is long over against it; so it is a starting point.
* A canary pod that is there and not counted may be the sick one: ``is_partial`` tells of it.
* NaN, infinities, negative numbers and those beyond ``MOST`` are "absent", never zero: they are no counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from croupier.model.evidence import Count

NOBODY: Mapping[str, Count] = {}

MOST = 1e15
"""No pod counts so far: a million a second for thirty years. Beyond it squares and products leave what floats hold."""


MOST_UNCOUNTED = 0.1
"""Part of the canary's pods that may be missing from a block. Of many pods there is always one that is late."""

SHORT_LIFE = 50.0
"""So few attempts do no harm if they are counted twice; a pod that falls over again and again may never have more."""

REMEMBERED_SCRAPES = 3
"""A canary pod that has not been read for so many complete scrapes is gone."""

PodDelta = tuple[float, float]
"""(attempts, failures) of one pod in one block."""


@dataclass(frozen=True, slots=True)
class Block:
    """One interval, both arms: sums, and the canary pod by pod. ``seconds`` is its length."""

    seconds: float
    canary_total: float
    canary_bad: float
    stable_total: float
    stable_bad: float
    canary_pods: tuple[PodDelta, ...] = ()


class PodCounters:
    """The last reading of every pod of one arm."""

    __slots__ = ("_readings",)

    def __init__(self) -> None:
        self._readings: dict[str, tuple[int, float, float]] = {}

    def advance(self, counts: Mapping[str, Count], base: int, mark: int) -> list[PodDelta]:
        """Take new readings; returns the deltas of pods that were also read at ``base``."""
        readings = self._readings
        deltas = []
        for pod, (total, bad) in counts.items():
            if not (0.0 <= total <= MOST and 0.0 <= bad <= MOST):  # NaN is neither
                continue
            before = readings.get(pod)
            if before is not None and before[0] == base:
                moved, failed = total - before[1], bad - before[2]
                if (moved < 0.0 or failed < 0.0) and (2.0 * total < before[1] or before[1] <= SHORT_LIFE):
                    moved, failed = total, bad
                if moved >= 0.0 and failed >= 0.0:
                    # More failures than attempts can only be a torn read; the exposure is at least what failed.
                    deltas.append((moved if moved > failed else failed, failed))
            readings[pod] = (mark, total, bad)
        if len(readings) > 4 * len(counts) + 64:
            self._readings = {pod: reading for pod, reading in readings.items() if reading[0] == mark}
        return deltas

    def lacks_many(self, counts: Mapping[str, Count], counted: int, mark: int) -> bool:
        """Whether ``counted`` are too few of the pods that ``counts`` names or that were at work a moment ago."""
        known = len(counts)
        if len(self._readings) > known or counted < known:
            known += sum(
                pod not in counts and total > 0.0 and mark - seen <= REMEMBERED_SCRAPES
                for pod, (seen, total, _) in self._readings.items()
            )
        return known - counted > MOST_UNCOUNTED * known


def has_reading(counts: Mapping[str, Count]) -> bool:
    """Whether any pod shows usable counters."""
    return any(0.0 <= total <= MOST and 0.0 <= bad <= MOST for total, bad in counts.values())


class PairedCounters:
    """Both arms of one series, advanced together so that a block covers the same interval in each."""

    __slots__ = ("_base_at", "_base_weight", "_canary", "_mark", "_stable", "is_partial", "longest_seconds")

    def __init__(self, longest_seconds: float = 300.0) -> None:
        self._canary = PodCounters()
        self._stable = PodCounters()
        self._mark = 0
        self._base_at = 0.0
        self._base_weight = -1
        self.is_partial = False
        """Whether too many of the canary's pods were not counted in what ended with the last complete scrape."""
        self.longest_seconds = longest_seconds

    def advance(
        self,
        canary: Mapping[str, Count],
        stable: Mapping[str, Count],
        *,
        at: float,
        weight: int,
        skipped: bool,
        alone: bool = False,
    ) -> Block | None:
        """The block that ends at ``at``; None when this scrape completes none.

        ``skipped``: a scrape between the last complete one and this one was lost; then a change of weight inside
        the block makes it useless (shares before and after must not be pooled). ``alone``: the canary has all
        traffic, so a block without stable is complete.
        """
        if not has_reading(canary) or not (alone or has_reading(stable)):
            return None
        base, self._mark = self._mark, self._mark + 1
        mark = self._mark
        of_canary = self._canary.advance(canary, base, mark)
        of_stable = self._stable.advance(stable, base, mark)
        self.is_partial = self._canary.lacks_many(canary, len(of_canary), mark)
        seconds = at - self._base_at
        mixed = skipped and weight != self._base_weight
        self._base_at, self._base_weight = at, weight
        if base == 0 or mixed or seconds > self.longest_seconds:
            return None
        if not of_canary or not (alone or of_stable):
            return None
        return Block(seconds, *_sums(of_canary), *_sums(of_stable), tuple(of_canary))


def _sums(deltas: list[PodDelta]) -> PodDelta:
    total = bad = 0.0
    for moved, failed in deltas:
        total += moved
        bad += failed
    return total, bad
