"""Exact invariants: what the ledger must never show under the canary. One violation is enough to take it back.

No evidence is weighed here. The source that counts (the tally) has seen a posting that no good version makes, and has
charged it to the arm that made it; stable's violations are shown and judge nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite

from croupier.model.evidence import ArmSample


class Ledger:
    """Violations since the run began, from cumulative counters. ``is_watched``: some source counts them at all."""

    __slots__ = ("_last", "_unborn", "broken", "is_watched", "of_stable")

    def __init__(self) -> None:
        self.is_watched = False
        self.broken: dict[str, float] = {}
        """Invariant -> times the canary broke it."""
        self.of_stable = 0.0
        self._unborn = False
        self._last: dict[str, dict[str, float]] = {"canary": {}, "stable": {}}

    def fold(self, canary: ArmSample | None, stable: ArmSample | None) -> None:
        if canary is None and stable is not None:
            self._unborn |= not self._last["canary"]
        if canary is not None:
            from_zero = self._unborn or canary.began_with_run
            for name, moved in self._moved("canary", canary.violations, from_zero=from_zero):
                self.broken[name] = self.broken.get(name, 0.0) + moved
        if stable is not None:
            self.of_stable += sum(moved for _, moved in self._moved("stable", stable.violations, from_zero=False))

    def _moved(self, arm: str, counts: Mapping[str, float], *, from_zero: bool) -> list[tuple[str, float]]:
        """What was added. ``from_zero``: the arm did not exist before the run, so its first reading is all its own."""
        last, moved = self._last[arm], []
        for name, count in counts.items():
            if not isfinite(count):  # as good as absent
                continue
            self.is_watched = True
            before = last.get(name, 0.0 if from_zero else count)
            added = count - before if count >= before else count
            last[name] = count
            if added > 0.0:
                moved.append((name, added))
        return moved
