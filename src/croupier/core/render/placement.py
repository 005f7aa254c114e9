"""Which nodes pods go to (S2.3, S13.1)."""

from __future__ import annotations

from croupier.model.nodes import NodePool
from croupier.model.objects import JsonObject


def placement(pool: NodePool | None) -> JsonObject:
    """On the nodes of ``pool`` and nowhere else; its taints keep others away. None: where there is room."""
    if pool is None:
        return {}
    tolerated = [
        {"key": each.key, "operator": "Equal", "value": each.value, "effect": each.effect} for each in pool.taints
    ]
    return {"nodeSelector": dict(pool.labels), **({"tolerations": tolerated} if tolerated else {})}
