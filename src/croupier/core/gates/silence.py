"""A canary of which nothing is counted at all, while stable is: after a while that is a finding, not a gap (§1.9).

One lost scrape, a pod that is being replaced, a source that finds a new pod late: all of them end within a minute.
After that stable's requests say how many the canary should have had, and the bet that they vanish is played on zero.
"""

from __future__ import annotations

from collections.abc import Mapping

from croupier.core.gates.counters import PodCounters, has_reading
from croupier.model.evidence import Count

PATIENCE_SECONDS = 60.0
PATIENCE_SCRAPES = 4


class Silence:
    """Measures one absence of the canary. ``lasting``: it has outlasted every innocent reason."""

    __slots__ = ("_last_at", "_mark", "_scrapes", "_since", "_stable", "lasting")

    def __init__(self) -> None:
        self.lasting = False
        self._reset()

    def _reset(self) -> None:
        self._stable = PodCounters()
        self._mark = 0
        self._scrapes = 0
        self._since: float | None = None
        self.lasting = False

    def update(self, is_told: bool, stable: Mapping[str, Count], at: float) -> float:
        """Take one scrape; returns stable's requests since the one before, once the absence has lasted; else 0.

        A scrape without stable is no news of either: it stops nothing and counts for nothing.
        """
        if is_told:
            if self._since is not None:
                self._reset()
            return 0.0
        if not has_reading(stable):
            return 0.0
        base, self._mark = self._mark, self._mark + 1
        moved = sum(total for total, _ in self._stable.advance(stable, base, self._mark))
        if self._since is None:
            self._since = at
        self._scrapes += 1
        self.lasting = self._scrapes > PATIENCE_SCRAPES and at - self._since > PATIENCE_SECONDS
        return moved if self.lasting else 0.0
