"""How many connections may be open at once: one arithmetic for what is declared and what is rendered (S13.6, S16.2).

Of anybody's manifests ``core/policy/sums.py`` counts the same pods, as far as they show them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import NamedTuple

RESERVED = 3
"""``superuser_reserved_connections``, as PostgreSQL has it by default."""
HANDS = 10
"""For the operator, what measures the database, migrations and people."""
_STEP = 10
_SURGE = 0.25
"""Of a Deployment that rolls by itself."""
_DOWN = 0.1
"""Share of the pods that a scaler takes away in a minute."""


class Demand(NamedTuple):
    """What one workload may open at once: (pods + those that surge + those that end) × processes × pool."""

    pods: int
    surge: int
    processes: int
    pool: int
    draining: int = 0

    @property
    def most_pods(self) -> int:
        """All that may be there at once."""
        return self.pods + self.surge + self.draining

    @property
    def connections(self) -> int:
        return self.most_pods * self.processes * self.pool

    def told(self, name: str) -> str:
        """In words: ``wallet (24 + 24 + 3) × 10``."""
        return f"{self.told_pods(name)} × {self.pool}"

    def told_pods(self, name: str) -> str:
        """In words: ``wallet (24 + 24 + 3)``."""
        pods = " + ".join(str(each) for each in (self.pods, self.surge, self.draining) if each)
        return f"{name} ({pods})"


def total(demands: Iterable[Demand]) -> int:
    """Connections of all together; never less when any of the numbers grows."""
    return sum(each.connections for each in demands)


def demand(most: int, pool: int, grace_seconds: int, *, is_scaled: bool, is_released: bool) -> Demand:
    """Of a service with ``most`` pods of one version under the highest load.

    ``is_released``: croupier releases it, and keeps both versions whole; the scaler ends a tenth of the pods a minute,
    and each keeps its connections until it has drained. Otherwise it rolls, and the old pods end while the new ones
    are there already.
    """
    if not is_released:
        return Demand(most, math.ceil(most * _SURGE), 1, pool, most)
    ending = math.ceil(most * _DOWN) * math.ceil(grace_seconds / 60) if is_scaled else 0
    return Demand(most, most, 1, pool, min(ending, most))


def max_connections(used: int) -> int:
    """What a database has to take so that ``used`` fit, a multiple of ten."""
    return math.ceil((used + RESERVED + HANDS) / _STEP) * _STEP
