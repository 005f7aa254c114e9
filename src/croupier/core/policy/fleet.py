"""All budgets of a fleet: what its workloads, at their greatest, ask together of what they share (policy N6 to N9)."""

from __future__ import annotations

from croupier.core.policy.budgets import connections
from croupier.core.policy.capacity import asked_of_nodes, asked_of_quotas
from croupier.core.policy.providers import asked_of_providers
from croupier.core.policy.sums import Budget
from croupier.core.policy.world import World

SOURCES = (connections, asked_of_providers, asked_of_quotas, asked_of_nodes)
"""What finds the budgets of each rule."""


def budgets(world: World) -> tuple[Budget, ...]:
    """Every sum that is bounded, those that fit too: databases, providers, namespaces, nodes."""
    return tuple(budget for source in SOURCES for budget in source(world))
