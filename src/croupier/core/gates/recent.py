"""What stable does usually, from the last quarter of an hour: the figures a forecast works with.

A minute in which stable failed far more than in its good ones is an incident, by the rule the gates have for it
(``running.fails_far_more``). One that is over is left out, because the gates of a release skip such blocks too; one
that goes on is all that counts. Times of more than half the window are no incident any more: that is the service.
Nothing here is a gate, and no gate reads it: their dispersion comes from ``dispersion``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from croupier.core.gates.running import fails_far_more
from croupier.model.history import Stretch

WINDOW_SECONDS = 900.0
MOST_LEFT_OUT = 0.5
"""Part of the window that may be left out as incidents."""

BLOCK_SECONDS = 30.0
MINUTE_SECONDS = 60.0
"""Incidents are looked for in stretches of at least so long, counted back from the newest scrape."""

CALM_SECONDS = MINUTE_SECONDS + BLOCK_SECONDS
"""An incident is over when no block of the newest minute is part of it, which takes at most so long."""

FEW_FAILURES = 0.7
"""What the usual number of failures may be where a good minute happens to have none: ln 2, the mean of which half of
all minutes have none."""

GOOD_PART = 0.25
"""A quarter of the minutes are good ones, unless the two newest are better."""


class Incident(NamedTuple):
    """Stable failed far more than usual. Times are seconds since the epoch."""

    began_at: float
    ended_at: float | None
    """None: it goes on."""
    failure_ratio: float
    usual_ratio: float
    """Of the other minutes, 0-1."""
    gone_at: float
    """From then on a forecast leaves it out, provided that nothing more fails."""


class Rate(NamedTuple):
    """How much of one series the stable arm sees: ``failure_ratio`` 0-1; per second over all its pods.

    ``players``: True when attempts are exposures of players. ``incident``: what of ``failure_ratio`` is not usual;
    None: nothing, incidents that are over for good are left out.
    """

    attempts_per_second: float
    failure_ratio: float
    players: bool = False
    incident: Incident | None = None

    @property
    def usual(self) -> Rate:
        """The same without the incident."""
        if self.incident is None:
            return self
        return self._replace(failure_ratio=self.incident.usual_ratio, incident=None)


@dataclass(frozen=True, slots=True)
class _Stretch:
    """Sums over a stretch of time; ``seconds`` are those that were watched."""

    began_at: float
    ended_at: float
    seconds: float
    attempts: float
    failures: float

    @property
    def ratio(self) -> float:
        return min(self.failures / self.attempts, 1.0) if self.attempts > 0.0 else 0.0


class RecentTraffic:
    """One series of the stable arm over the last quarter of an hour that was watched."""

    __slots__ = ("_blocks", "_seconds")

    def __init__(self) -> None:
        self._blocks: deque[_Stretch] = deque()
        self._seconds = 0.0

    def add(self, attempts: float, failures: float, seconds: float, at: float) -> None:
        """Fold one interval that ended ``at``."""
        interval = _Stretch(at - seconds, at, seconds, attempts, failures)
        if self._blocks and self._blocks[-1].seconds + seconds <= BLOCK_SECONDS * 1.001:
            self._blocks.append(_sum((self._blocks.pop(), interval)))
        else:
            self._blocks.append(interval)
        self._seconds += seconds
        while self._seconds - self._blocks[0].seconds >= WINDOW_SECONDS:
            self._seconds -= self._blocks.popleft().seconds

    def record(self) -> tuple[Stretch, ...]:
        return tuple(
            Stretch(each.began_at, each.ended_at, each.seconds, each.attempts, each.failures) for each in self._blocks
        )

    def recall(self, stretches: Iterable[Stretch], now: float) -> None:
        """Go on from stretches that were recorded, as far as they are of the last quarter of an hour."""
        for stretch in stretches:
            if now - WINDOW_SECONDS <= stretch.ended_at <= now:
                self._blocks.append(_Stretch(*stretch))
                self._seconds += stretch.seconds

    def rate(self, phi: float, *, players: bool) -> Rate | None:
        """None until something was attempted. ``phi``: how bursty failures are; what bursts do is no incident."""
        minutes = [minute for minute in _minutes(self._blocks) if minute.attempts > 0.0]
        if not minutes:
            return None
        bad = _far_worse(minutes, phi)
        usual = _sum([minute for minute, is_bad in zip(minutes, bad, strict=True) if not is_bad])
        left_out = sum(minute.seconds for minute, is_bad in zip(minutes, bad, strict=True) if is_bad)
        if bad[-1]:
            first = len(bad) - bad[::-1].index(False)
            now = _sum(minutes[first:])
            incident = Incident(now.began_at, None, now.ratio, usual.ratio, _gone_at(minutes, bad))
            return Rate(_pace(usual), now.ratio, players, incident)
        if left_out <= MOST_LEFT_OUT * WINDOW_SECONDS:
            return Rate(_pace(usual), usual.ratio, players)
        over = _sum([minute for minute, is_bad in zip(minutes, bad, strict=True) if is_bad])
        incident = Incident(over.began_at, over.ended_at, over.ratio, usual.ratio, _gone_at(minutes, bad))
        counted = _sum(minutes)
        return Rate(_pace(counted), counted.ratio, players, incident)


def _minutes(blocks: Iterable[_Stretch]) -> list[_Stretch]:
    """The blocks as stretches of at least a minute, the oldest first; what is left at the old end is none."""
    minutes: list[_Stretch] = []
    parts: list[_Stretch] = []
    for block in reversed(list(blocks)):
        parts.insert(0, block)
        if sum(part.seconds for part in parts) >= MINUTE_SECONDS * 0.999:
            minutes.insert(0, _sum(parts))
            parts = []
    return minutes or ([_sum(parts)] if parts else [])


def _far_worse(minutes: Sequence[_Stretch], phi: float) -> list[bool]:
    """Which minutes are part of an incident, and at least one is not."""
    lasting = sorted(minute.ratio for minute in minutes)[int(GOOD_PART * len(minutes))]
    good = min(lasting, _sum(minutes[-2:]).ratio)
    return [fails_far_more(minute.failures, good * minute.attempts + FEW_FAILURES, phi) for minute in minutes]


def _gone_at(minutes: Sequence[_Stretch], bad: Sequence[bool]) -> float:
    """When so much of the incident has left the window that the rest may be left out, if only calm follows."""
    age = spent = 0.0
    for minute, is_bad in zip(reversed(minutes), reversed(bad), strict=True):
        spent += minute.seconds if is_bad else 0.0
        if spent > MOST_LEFT_OUT * WINDOW_SECONDS - MINUTE_SECONDS:
            break
        age += minute.seconds
    else:
        return minutes[-1].ended_at + CALM_SECONDS
    return minutes[-1].ended_at + max(CALM_SECONDS, WINDOW_SECONDS - age + MINUTE_SECONDS)


def _pace(stretch: _Stretch) -> float:
    return stretch.attempts / stretch.seconds


def _sum(stretches: Sequence[_Stretch]) -> _Stretch:
    return _Stretch(
        stretches[0].began_at,
        stretches[-1].ended_at,
        sum(each.seconds for each in stretches),
        sum(each.attempts for each in stretches),
        sum(each.failures for each in stretches),
    )
