"""How bursty failures are where nothing is being released: the between-pod dispersion of the stable arm.

A burst (a retry storm, a bad batch) hits one pod at a time, so its size shows as variance between pods in the same
interval. Comparing pods, not times, keeps shared shocks out: they hit all pods alike (release-gates §1.3).
"""

from __future__ import annotations

from collections.abc import Mapping
from math import exp, sqrt
from typing import NamedTuple

from croupier.core.gates.counters import PodCounters, PodDelta
from croupier.model.evidence import ArmSample, Count

WINDOWS_SECONDS = (15.0, 60.0, 300.0, 900.0)
"""Bursts may last, and a pod may be slower than another all day; a window must be longer than that to see it."""

MEMORY_SECONDS = 21_600.0
PRIOR_EVENTS = 2.0
"""While too little has failed to tell: events that share a cause are likely, so two are counted as one."""

PRIOR_PLAYERS = 1.05
"""The same where players are counted. One player adds at most one failure, which removes the usual reason for
bursts; what is left are faults that hit several players of one pod in the same seconds (measured in §1.12: without
any tempering at most 0.5 % of healthy canaries are taken back)."""

QUASI_ALLOWANCE = 1.1
"""Tempering is exact only if all bursts have one size; a tenth more covers what geometric sizes add (measured: false
rollbacks 0.9 % without, 0.7 % with it)."""

FEW_FAILURES = 30.0
ONE_BURST = 8.0
"""A burst this large is believed even while the rest of the history is too short."""

FEW_BURSTS = 100.0
FEW_BURSTS_FACTOR = 1.5


class Rate(NamedTuple):
    """How much of one series the stable arm sees: ``failure_ratio`` 0-1; per second over all its pods.

    ``players``: True when attempts are exposures of players.
    """

    attempts_per_second: float
    failure_ratio: float
    players: bool = False


class _Window:
    """Pooled Pearson dispersion over consecutive intervals of one length."""

    __slots__ = ("_elapsed", "_pods", "degrees", "excess", "failures", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._elapsed = 0.0
        self._pods: dict[str, list[float]] = {}
        self.excess = 0.0
        self.failures = 0.0
        self.degrees = 0.0

    def add(self, pods: Mapping[str, PodDelta], seconds: float) -> None:
        for pod, (total, bad) in pods.items():
            sums = self._pods.setdefault(pod, [0.0, 0.0])
            sums[0] += total
            sums[1] += bad
        self._elapsed += seconds
        if self._elapsed >= self.seconds * 0.999:
            self._close()

    def _close(self) -> None:
        exposed = [(total, bad) for total, bad in self._pods.values() if total > 0.0]
        total = sum(moved for moved, _ in exposed)
        bad = sum(failed for _, failed in exposed)
        fade = exp(-self._elapsed / MEMORY_SECONDS)
        self.excess *= fade
        self.failures *= fade
        self.degrees *= fade
        if len(exposed) > 1 and bad > 0.0:
            squares = sum((failed - bad * moved / total) ** 2 / (bad * moved / total) for moved, failed in exposed)
            self.excess += bad * squares / (len(exposed) - 1)
            self.failures += bad
            self.degrees += len(exposed) - 1
        self._pods.clear()
        self._elapsed = 0.0

    @property
    def estimate(self) -> float:
        return self.excess / self.failures if self.failures > 0.0 else 1.0


class SeriesDispersion:
    """One series of the stable arm: its dispersion and its rate."""

    __slots__ = ("_attempts", "_failures", "_seconds", "_windows", "players")

    def __init__(self, *, players: bool) -> None:
        self.players = players
        self._windows = tuple(_Window(seconds) for seconds in WINDOWS_SECONDS)
        self._attempts = 0.0
        self._failures = 0.0
        self._seconds = 0.0

    def add(self, pods: Mapping[str, PodDelta], seconds: float) -> None:
        """Fold one interval: pod -> (attempts, failures) in it."""
        for window in self._windows:
            if seconds <= window.seconds * 1.001:
                window.add(pods, seconds)
        fade = exp(-seconds / MEMORY_SECONDS)
        self._attempts = self._attempts * fade + sum(total for total, _ in pods.values())
        self._failures = self._failures * fade + sum(bad for _, bad in pods.values())
        self._seconds = self._seconds * fade + seconds

    @property
    def phi(self) -> float:
        """At least 1. The prior while fewer than 30 failures were seen, unless they came as a burst; up to half as
        much again while the history holds fewer than 100 bursts, because the largest one is then probably still to
        come."""
        seen = max(window.failures for window in self._windows)
        estimate = 1.0 + QUASI_ALLOWANCE * (self._estimate() - 1.0)
        if seen < FEW_FAILURES:
            prior = PRIOR_PLAYERS if self.players else PRIOR_EVENTS
            return max(prior, estimate) if seen >= ONE_BURST and estimate > PRIOR_EVENTS else prior
        short_of = max(0.0, min(1.0, 2.0 - 2.0 * (seen / estimate) / FEW_BURSTS))
        return estimate * (1.0 + (FEW_BURSTS_FACTOR - 1.0) * short_of)

    def _estimate(self) -> float:
        """The shortest window's figure, unless a longer one shows more than its own noise explains.

        A window of length L cuts bursts at its ends, so it shows only a part ``1 - c / L`` of them; two windows
        together give c, and with it what an endless one would show.
        """
        shorter: _Window | None = None
        estimate = 1.0
        for window in self._windows:
            if window.degrees <= 0.0:
                continue
            noise = 2.0 * sqrt(2.0 / window.degrees) if shorter is not None else 0.0
            if window.estimate > estimate * (1.0 + noise):
                estimate = window.estimate
                if shorter is not None:
                    estimate += (window.estimate - shorter.estimate) / (window.seconds / shorter.seconds - 1.0)
            shorter = window
        return estimate

    @property
    def rate(self) -> Rate | None:
        """None until something was attempted."""
        if self._seconds <= 0.0 or self._attempts <= 0.0:
            return None
        return Rate(self._attempts / self._seconds, min(self._failures / self._attempts, 1.0), self.players)


class _Tracked:
    """Cumulative counters of one series turned into intervals."""

    __slots__ = ("_counters", "_last_at", "_mark", "dispersion")

    def __init__(self, *, players: bool) -> None:
        self.dispersion = SeriesDispersion(players=players)
        self._counters: dict[str, PodCounters] = {}
        self._mark = 0
        self._last_at = 0.0

    def forget(self) -> None:
        """The next readings are starting points."""
        self._counters.clear()

    def add(self, counts: Mapping[str, Count], at: float) -> None:
        base, self._mark = self._mark, self._mark + 1
        pods = {}
        for pod, count in counts.items():
            moved = self._counters.setdefault(pod, PodCounters()).advance({pod: count}, base, self._mark)
            if moved:
                pods[pod] = moved[0]
        seconds, self._last_at = at - self._last_at, at
        if pods and seconds > 0.0:
            self.dispersion.add(pods, seconds)


class DispersionHistory:
    """Dispersion and rates of every series of one service's stable arm. Mutable; fed once per scrape."""

    def __init__(self) -> None:
        self._series: dict[str, _Tracked] = {}
        self._last_at = float("-inf")
        self._source = ""

    def add(self, arm: ArmSample, at: float, *, source: str = "") -> None:
        """Fold one scrape of the stable arm. A scrape not newer than the last one changes nothing.

        ``source``: which counters these are (the run they are labelled with). Counters of another source are not
        compared with those of the one before, even if the pods bear the same names.
        """
        if at <= self._last_at:
            return
        self._last_at = at
        if source != self._source:
            self._source = source
            for known in self._series.values():
                known.forget()
        for name, counts in arm.series.items():
            players = counts.players is not None
            tracked = self._series.get(name)
            if tracked is None or tracked.dispersion.players != players:
                tracked = self._series[name] = _Tracked(players=players)
            tracked.add(counts.players if counts.players is not None else counts.events, at)

    def phi(self, series: str) -> float:
        """Dispersion of a series, at least 1; the events prior for a series never seen."""
        tracked = self._series.get(series)
        return tracked.dispersion.phi if tracked is not None else PRIOR_EVENTS

    def dispersions(self) -> dict[str, float]:
        """Series -> phi, of all series seen: what ``new_evidence`` takes."""
        return {name: tracked.dispersion.phi for name, tracked in self._series.items()}

    def rates(self) -> dict[str, Rate]:
        """Series -> rate of the stable arm, of all series in which something was attempted."""
        rates = {name: tracked.dispersion.rate for name, tracked in self._series.items()}
        return {name: rate for name, rate in rates.items() if rate is not None}
