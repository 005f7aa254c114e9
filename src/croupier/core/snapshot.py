"""The world as one round saw it: what ``decide`` knows besides the run's own state. Pure values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from croupier.model.freeze import Freeze
from croupier.model.traffic import ObservedSplit
from croupier.model.verdict import Verdict
from croupier.model.workload import VersionPods

AWAY_SECONDS = 60.0
"""After so long without a look (and four scrapes) nobody has watched the run: the desk was stopped, or its clock
jumped."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """Which evidence a verdict rests on: running SHA-256 of the segment and its number of samples."""

    sha256: str
    samples: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The world as one round saw it. What did not answer is None, and the reason is in ``faults``."""

    now: float
    split: ObservedSplit | None
    pods: Mapping[str, VersionPods] | None
    """Digest -> its pods; a version without pods is absent."""
    verdict: Verdict | None
    evidence: Evidence | None = None
    """What ``verdict`` rests on; None while part of it is not stored: nothing passes then."""
    canary_age: float = float("inf")
    """Seconds since counters of the canary arm were read; infinite when never."""
    stable_age: float = float("inf")
    players: tuple[int, int] | None = None
    """Distinct players (canary, stable) seen under the current split."""
    open_sockets: int | None = None
    """Of the version that leaves (``drain.leaving``), as the data plane counts them; None: not asked, or not known."""
    down_seconds: float = 0.0
    """For how long the canary has had pods of which none was ready, at every look; 0 when one is."""
    asked_seconds: float = 0.0
    """For how long pods of the canary have been asked for, at every look; 0 when none are."""
    stable_down_seconds: float = 0.0
    """For how long stable has had no pod ready, at every look; 0 when one is."""
    written: ObservedSplit | None = None
    """A split that is written and that nobody confirms; None: ``split`` is, or nobody knows."""
    unconfirmed_seconds: float = 0.0
    """For how long no look has found what is written confirmed."""
    unwatched_seconds: float = 0.0
    """Since the look before, where that was so long ago that nobody watched; below 0: the clock was set back."""
    freezes: tuple[Freeze, ...] = ()
    """Windows that freeze the service now, the one that ends last first (``core.freeze.in_force``)."""
    thawed_at: float = float("-inf")
    """When the last such window ended (``core.freeze.thawed_at``)."""
    faults: Mapping[str, str] = field(default_factory=dict)
    """Port -> why it did not answer, or why an action on it failed."""
