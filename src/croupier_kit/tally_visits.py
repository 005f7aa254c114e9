"""Visits of players in one run of one service, and how attempts spread over players. Pure: no I/O, no clock.

A *visit* is a row of requests of one player at the edge with less than a minute between them. Who is moved to the
other version in the middle of a visit goes on with it there. For one signal, with *a* the attempts and *v* the visits
that a player has made in this run, three sums over all players tell how much players differ in attempts per visit: of
a squared, of a times v and of v squared. Each step of a sum is counted under the arm in which it happened.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

VISIT_GAP_SECONDS = 60.0


@dataclass(slots=True)
class ArmVisits:
    """Of one version in the run."""

    visits: int = 0
    visit_squares: int = 0
    squares: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Signal -> its part of the sum of a squared."""
    products: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    """Signal -> its part of the sum of a times v."""


class Visits:
    """Of one run of one service. Handed in the order of time."""

    def __init__(self) -> None:
        self.arms: defaultdict[str, ArmVisits] = defaultdict(ArmVisits)
        """Version -> what was counted under it."""
        self.attempts: defaultdict[str, dict[str, int]] = defaultdict(dict)
        """Signal -> player -> attempts."""
        self._players: dict[str, tuple[int, float]] = {}
        """Player -> visits, and when the last request was."""

    def request(self, version: str, player: str, at: float) -> None:
        arm = self.arms[version]
        visits, last_at = self._players.get(player, (0, float("-inf")))
        if at - last_at >= VISIT_GAP_SECONDS:
            arm.visits += 1
            arm.visit_squares += 2 * visits + 1
            for signal, attempts in self.attempts.items():
                arm.products[signal] += attempts.get(player, 0)
            visits += 1
        self._players[player] = (visits, at)

    def attempt(self, version: str, player: str, signal: str) -> None:
        arm, attempts = self.arms[version], self.attempts[signal]
        made = attempts.get(player, 0)
        arm.squares[signal] += 2 * made + 1
        arm.products[signal] += self._players.get(player, (0, 0.0))[0]
        attempts[player] = made + 1
