"""How bursty failures are where nothing is being released: the between-pod dispersion of the stable arm.

A burst (a retry storm, a bad batch) hits one pod at a time, so its size shows as variance between pods in the same
interval. Comparing pods, not times, keeps shared shocks out: they hit all pods alike (release-gates §1.3).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import exp, sqrt

from croupier.core.gates.counters import PodCounters, PodDelta
from croupier.core.gates.recent import Rate, RecentTraffic
from croupier.model.evidence import ArmSample, Count
from croupier.model.history import Chapter, HistoryRecord, SeriesRecord

WINDOWS_SECONDS = (15.0, 60.0, 300.0, 900.0)
"""Bursts may last, and a pod may be slower than another all day; a window must be longer than that to see it."""

MEMORY_SECONDS = 21_600.0
CHAPTER_SECONDS = 900.0
MOST_CHAPTERS = 72
FORGOTTEN_SECONDS = MOST_CHAPTERS * CHAPTER_SECONDS
"""Nothing is left of what was seen so long ago."""

LEAST_CHAPTERS = 4
ACCIDENT = 3.0
"""One overload may be as uneven between pods as a day of bursts. A stretch of up to two chapters that is so many times
more bursty than all others, and is over for a chapter, is taken for an accident and left out; the second one within the
memory is not. Bursts that are how the service lives show in most chapters."""

PRIOR_EVENTS = 2.0
"""While too little has failed to tell: events that share a cause are likely, so two are counted as one."""

PRIOR_PLAYERS = 1.05
"""The same where players are counted. One player adds at most one failure, which removes the usual reason for
bursts; what is left are faults that hit several players of one pod in the same seconds (measured in §1.12: without
any tempering at most 0.5 % of healthy canaries are taken back)."""

LEAST_APART = 0.05
"""Chance that two attempts went to different pods. Where it is less, nearly all went to one: nothing is compared."""

QUASI_ALLOWANCE = 1.1
"""Tempering is exact only if all bursts have one size; a tenth more covers what geometric sizes add (measured: false
rollbacks 0.9 % without, 0.7 % with it)."""

FEW_PODS = 3
"""Fewer show by their differences too little of how bursty failures are (§1.8)."""

POD_SCRAPES = 4
"""As many pods serve as the most that one of the newest scrapes has reached: one that reached few says little."""

FEW_FAILURES = 30.0
ONE_BURST = 8.0
"""A burst this large is believed even while the rest of the history is too short."""

FEW_BURSTS = 100.0
FEW_BURSTS_FACTOR = 1.5


@dataclass(frozen=True, slots=True)
class _Chapter:
    """A quarter of an hour of one window: sums over its intervals."""

    seconds: float = 0.0
    excess: float = 0.0
    failures: float = 0.0
    degrees: float = 0.0

    def __add__(self, other: _Chapter) -> _Chapter:
        return _Chapter(
            self.seconds + other.seconds,
            self.excess + other.excess,
            self.failures + other.failures,
            self.degrees + other.degrees,
        )

    def faded(self, part: float) -> _Chapter:
        return _Chapter(self.seconds, self.excess * part, self.failures * part, self.degrees * part)

    @property
    def estimate(self) -> float:
        return self.excess / self.failures if self.failures > 0.0 else 1.0


class _Window:
    """Pooled dispersion between pods over consecutive intervals of one length. One pod has none beside it: its own
    interval before stands for that, so what is shared counts as bursts, too."""

    __slots__ = ("_before", "_chapters", "_elapsed", "_pods", "seconds")

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._elapsed = 0.0
        self._pods: dict[str, list[float]] = {}
        self._before: tuple[float, float] | None = None
        self._chapters = [_Chapter()]
        """The last ``MOST_CHAPTERS``. A list: a service has dozens, and a deque of one takes seven times as much."""

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
        before, self._before = self._before, None
        if len(exposed) == 1 and before is None:
            self._before = exposed[0]
        elif len(exposed) == 1 and before is not None:
            exposed.append(before)
        total = sum(moved for moved, _ in exposed)
        bad = sum(failed for _, failed in exposed)
        closed = _Chapter(self._elapsed)
        # Sums before the ratio: else a pod that was asked once, and failed, would weigh as much as all others.
        apart = sum(moved / total * (1.0 - moved / total) for moved, _ in exposed)
        if apart >= LEAST_APART and bad > 0.0:
            squares = sum((failed - bad * moved / total) ** 2 for moved, failed in exposed)
            closed = _Chapter(self._elapsed, squares / apart, bad, len(exposed) - 1)
        if self._chapters[-1].seconds >= CHAPTER_SECONDS:
            self._turn_page()
        self._chapters[-1] += closed
        self._pods.clear()
        self._elapsed = 0.0

    def _turn_page(self) -> None:
        self._chapters.append(_Chapter())
        del self._chapters[:-MOST_CHAPTERS]

    def record(self) -> tuple[Chapter, ...]:
        """The chapters; what has been counted towards the next interval is left out."""
        return tuple(Chapter(each.seconds, each.excess, each.failures, each.degrees) for each in self._chapters)

    def recall(self, chapters: Sequence[Chapter], away_seconds: float) -> None:
        """Go on from chapters that were recorded so long ago: nobody watched since, and that time fades them, too."""
        if chapters:
            self._chapters = [_Chapter(*chapter) for chapter in chapters[-MOST_CHAPTERS:]]
        for _ in range(min(MOST_CHAPTERS, int(away_seconds / CHAPTER_SECONDS))):
            self._turn_page()

    def kept(self) -> _Chapter:
        """All that is remembered, older chapters for less, without one accident that is over."""
        chapters = self._chapters
        count, failing = len(chapters), sum(each.failures > 0.0 for each in chapters)
        faded = [
            each.faded(exp((place - count + 1) * CHAPTER_SECONDS / MEMORY_SECONDS))
            for place, each in enumerate(chapters)
        ]
        oldest = list(accumulate(faded, initial=_Chapter()))  # by how many
        newest = list(accumulate(reversed(faded), initial=_Chapter()))
        rests = []
        for length in (1, 2):
            for first in range(count - 1 - length):
                left_out = chapters[first : first + length]
                rest = oldest[first] + newest[count - first - length]
                if (
                    rest.failures >= FEW_FAILURES
                    and failing - sum(each.failures > 0.0 for each in left_out) >= LEAST_CHAPTERS
                    and all(each.estimate > ACCIDENT * rest.estimate for each in left_out)
                ):
                    rests.append(rest)
        return min(rests, key=lambda rest: rest.estimate, default=oldest[-1])


class SeriesDispersion:
    """One series of the stable arm: its dispersion and its rate."""

    __slots__ = ("_reached", "_recent", "_windows", "players")

    def __init__(self, *, players: bool) -> None:
        self.players = players
        self._reached: tuple[int, ...] = ()
        """Pods in each of the newest ``POD_SCRAPES`` intervals."""
        self._windows = tuple(_Window(seconds) for seconds in WINDOWS_SECONDS)
        self._recent = RecentTraffic()

    def add(self, pods: Mapping[str, PodDelta], seconds: float, at: float) -> None:
        """Fold one interval that ended ``at``: pod -> (attempts, failures) in it."""
        self._reached = (*self._reached[1 - POD_SCRAPES :], len(pods))
        for window in self._windows:
            if seconds <= window.seconds * 1.001:
                window.add(pods, seconds)
        self._recent.add(sum(total for total, _ in pods.values()), sum(bad for _, bad in pods.values()), seconds, at)

    def record(self) -> SeriesRecord:
        windows = {f"{window.seconds:g}": window.record() for window in self._windows}
        return SeriesRecord(players=self.players, windows=windows, recent=self._recent.record(), pods=self.pods)

    @classmethod
    def recalled(cls, record: SeriesRecord, now: float, away_seconds: float) -> SeriesDispersion:
        """One that goes on from ``record``, which was made ``away_seconds`` ago."""
        series = cls(players=record.players)
        series._reached = (record.pods,) if record.pods else ()
        for window in series._windows:
            window.recall(record.windows.get(f"{window.seconds:g}", ()), away_seconds)
        series._recent.recall(record.recent, now)
        return series

    @property
    def phi(self) -> float:
        """At least 1. The prior while fewer than 30 failures were seen, unless they came as a burst; up to half as
        much again while the history holds fewer than 100 bursts, because the largest one is then probably still to
        come."""
        kept = [(window.seconds, window.kept()) for window in self._windows]
        seen = max(each.failures for _, each in kept)
        estimate = 1.0 + QUASI_ALLOWANCE * (_estimate(kept) - 1.0)
        if seen < FEW_FAILURES:
            prior = PRIOR_PLAYERS if self.players else PRIOR_EVENTS
            return max(prior, estimate) if seen >= ONE_BURST and estimate > PRIOR_EVENTS else prior
        short_of = max(0.0, min(1.0, 2.0 - 2.0 * (seen / estimate) / FEW_BURSTS))
        return estimate * (1.0 + (FEW_BURSTS_FACTOR - 1.0) * short_of)

    @property
    def pods(self) -> int:
        """How many serve; 0: none was seen yet."""
        return max(self._reached, default=0)

    @property
    def has_few_pods(self) -> bool:
        """Whether stable's pods are too few to show by their differences how bursty failures are. Of players no more
        than one failure is counted each, which leaves little to be bursty."""
        return not self.players and 0 < self.pods < FEW_PODS

    @property
    def rate(self) -> Rate | None:
        """None until something was attempted."""
        return self._recent.rate(self.phi, players=self.players)


def _estimate(windows: Sequence[tuple[float, _Chapter]]) -> float:
    """The shortest window's figure, unless a longer one shows more than its own noise explains.

    A window of length L cuts bursts at its ends, so it shows only a part ``1 - c / L`` of them; two windows together
    give c, and with it what an endless one would show. ``windows``: (length in seconds, its sums), the shortest first.
    """
    shorter: tuple[float, float] | None = None
    estimate = 1.0
    for seconds, sums in windows:
        if sums.degrees <= 0.0:
            continue
        noise = 2.0 * sqrt(2.0 / sums.degrees) if shorter is not None else 0.0
        if sums.estimate > estimate * (1.0 + noise):
            estimate = sums.estimate
            if shorter is not None:
                estimate += (sums.estimate - shorter[1]) / (seconds / shorter[0] - 1.0)
        shorter = (seconds, sums.estimate)
    return estimate


class _Tracked:
    """Cumulative counters of one series turned into intervals."""

    __slots__ = ("_counters", "_last_at", "_mark", "dispersion")

    def __init__(self, dispersion: SeriesDispersion) -> None:
        self.dispersion = dispersion
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
            self.dispersion.add(pods, seconds, at)


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
                tracked = self._series[name] = _Tracked(SeriesDispersion(players=players))
            tracked.add(counts.players if counts.players is not None else counts.events, at)

    def record(self, service: str, at: float) -> HistoryRecord:
        """All of it as of ``at``, but for the counters themselves: who goes on from it counts from new starting points,
        and what happened in between is counted by nobody."""
        series = {name: tracked.dispersion.record() for name, tracked in self._series.items()}
        return HistoryRecord(service=service, saved_at=at, series=series)

    @classmethod
    def recalled(cls, record: HistoryRecord, now: float) -> DispersionHistory:
        """A history that goes on from ``record``. Of a record from after ``now`` (the clock was set back) nothing has
        faded, and its newest traffic is left out."""
        history = cls()
        away = max(0.0, now - record.saved_at)
        for name, each in record.series.items():
            history._series[name] = _Tracked(SeriesDispersion.recalled(each, now, away))
        return history

    def phi(self, series: str) -> float:
        """Dispersion of a series, at least 1; the events prior for a series never seen."""
        tracked = self._series.get(series)
        return tracked.dispersion.phi if tracked is not None else PRIOR_EVENTS

    def dispersions(self) -> dict[str, float]:
        """Series -> phi, of all series seen: what ``new_evidence`` takes."""
        return {name: tracked.dispersion.phi for name, tracked in self._series.items()}

    def few_pods(self) -> tuple[str, ...]:
        """Series, sorted, of which stable has one pod or two: what ``new_evidence`` takes."""
        return tuple(sorted(name for name, tracked in self._series.items() if tracked.dispersion.has_few_pods))

    def rates(self) -> dict[str, Rate]:
        """Series -> rate of the stable arm, of all series in which something was attempted."""
        rates = {name: tracked.dispersion.rate for name, tracked in self._series.items()}
        return {name: rate for name, rate in rates.items() if rate is not None}
