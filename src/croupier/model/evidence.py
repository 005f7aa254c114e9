"""Evidence: what was counted, per arm, signal and pod. Cumulative counters as scraped, never rates.

A *series* is one thing counted: a signal (``deposits``), or for latency a signal and an edge (``latency:0.25`` counts
requests slower than 0.25 s as failures). Counters start anywhere and restart from zero with their pod.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple


class Count(NamedTuple):
    """Cumulative counts of one pod. NaN in ``total`` or ``bad`` means: absent from this scrape."""

    total: float
    bad: float


class Spread(NamedTuple):
    """How visits and attempts of one series spread over players in this run: cumulative, as counted under one arm.

    With *a* the attempts and *v* the visits a player has made in this run under either arm, the sums over both arms
    are those over all players.
    """

    visits: float
    squares: float
    """Sum of a squared."""
    products: float
    """Sum of a times v."""
    visit_squares: float
    """Sum of v squared."""


@dataclass(frozen=True, slots=True)
class SeriesCounts:
    """One series of one arm.

    ``events``: pod -> (decided attempts, failures among them), counted together when decided.
    ``players``: pod -> (exposures, newly affected). One exposure is one player, not yet affected in this run, with at
    least one decided attempt in one tick of the tally; the first failure of a player in a run makes the player
    affected, in the arm that began the failed attempt. None where players are not known.
    """

    events: Mapping[str, Count]
    players: Mapping[str, Count] | None = None
    spread: Spread | None = None
    """None where players are not known, and for what is counted per request."""


@dataclass(frozen=True, slots=True)
class ArmSample:
    """One arm at one scrape: series name -> counts. ``players_seen``: distinct players under the current split."""

    series: Mapping[str, SeriesCounts]
    players_seen: int | None = None
    players_revision: int | None = None
    """The revision of the split under which ``players_seen`` were counted; it may lag behind the one in force."""
    violations: Mapping[str, float] = field(default_factory=dict)
    """Invariant -> times it was broken under this arm, cumulative; one that nobody watches is absent."""
    began_with_run: bool = field(default=False, compare=False)
    """Whether these counters bear the run's name, so that all they show was counted in this run."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Both arms at one scrape. An arm is None when its source gave nothing usable."""

    at: float
    """Seconds since the epoch, of the scrape."""
    weight: int
    """Percent the split was set to during the block that ends here."""
    canary: ArmSample | None
    stable: ArmSample | None
