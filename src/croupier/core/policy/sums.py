"""A budget: what all that share something ask of it together, against what there is of it.

The rules find those that do not fit; ``croupier policy budgets`` shows all.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from croupier.core.policy.demand import Peak
from croupier.core.policy.objects import Object
from croupier.core.policy.rule import Found
from croupier.model.manifest import Path
from croupier.model.quantity import amount

MOST_TOLD = 8
"""Parts of a sum that are written out."""


class Part(NamedTuple):
    """What one workload asks for: so many pods, of so many processes, of so much each."""

    name: str
    peak: Peak
    each: float
    processes: int = 1

    @property
    def size(self) -> float:
        """Never less when any of the numbers grows."""
        return self.peak.at_once * self.processes * self.each

    def told(self, resource: str) -> str:
        """In words: ``wallet (24 + 24 + 3) × 4 × 10``."""
        processes = f"{self.processes} × " if self.processes != 1 else ""
        return f"{self.name} ({self.peak.told}) × {processes}{amount(resource, self.each)}"


@dataclass(frozen=True, slots=True)
class Budget:
    """One sum and what it has to fit into.

    ``resource``: what is counted. ``made_by`` and ``path``: where ``room`` is written. ``unsaid``: who asks for some
    of it, too, and does not say how much.
    """

    rule: str
    resource: str
    made_by: Object
    path: Path
    parts: tuple[Part, ...]
    room: float
    unsaid: tuple[str, ...] = ()

    @property
    def asked(self) -> float:
        return sum(each.size for each in self.parts)

    @property
    def fits(self) -> bool:
        return self.asked <= self.room

    @property
    def largest(self) -> tuple[Part, ...]:
        """The parts, the largest first."""
        return tuple(sorted(self.parts, key=lambda part: -part.size))

    @property
    def told(self) -> str:
        """The sum in words, its largest parts first."""
        largest = self.largest
        words = [each.told(self.resource) for each in largest[:MOST_TOLD]]
        words += [f"{len(largest) - MOST_TOLD} more"] if len(largest) > MOST_TOLD else []
        asked, room = amount(self.resource, self.asked), amount(self.resource, self.room)
        return f"{self.resource}: {' + '.join(words) or 'nothing'} = {asked}, {room} fit"

    @property
    def found(self) -> Found:
        return Found(self.made_by, self.path, self.told)
