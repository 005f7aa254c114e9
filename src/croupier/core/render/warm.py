"""Warm nodes (S6.4, S15.5): pods that do nothing, one a node, keep its room until somebody needs it.

A pod that is to serve finds no room, pushes one of them out and starts at once on a node that is there already. What
was pushed out waits for the next node, so whoever adds nodes adds it ahead of need.
"""

from __future__ import annotations

from croupier.core.render.names import APP, MANAGED_BY, priority_class, selector
from croupier.core.render.placement import placement
from croupier.core.render.pods import hardened, resources_of
from croupier.core.render.resident import space, wall
from croupier.model.container import Resources
from croupier.model.nodes import NodePool, WarmNodes
from croupier.model.objects import JsonObject
from croupier.model.platform import DEFAULT_DENY, Region

RANK = "warm"
PRIORITY = -10
"""Below everything that does something, and the lowest for which the cluster autoscaler still adds nodes
(``--expendable-pods-priority-cutoff``)."""
_USER = 65_535


def warm_nodes(region: Region) -> list[JsonObject]:
    """What keeps room on the pools of ``region``; nothing where none has warm nodes."""
    warm = region.warm
    sizes = {name: pool.warm_nodes for name, pool in sorted(region.pools.items()) if pool.warm_nodes}
    if warm is None or not sizes:
        return []
    shut = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    return [
        _priority(),
        space(warm.namespace),
        wall(warm.namespace, DEFAULT_DENY, shut),
        _made(warm, RANK, "v1", "ServiceAccount", {"automountServiceAccountToken": False}),
        *(_placeholders(warm, name, region.pools[name], count, region.zones) for name, count in sizes.items()),
    ]


def _priority() -> JsonObject:
    return {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": priority_class(RANK), "labels": dict(MANAGED_BY)},
        "value": PRIORITY,
        "preemptionPolicy": "Never",
        "globalDefault": False,
        "description": "Pods that keep room on warm nodes and make way for any other.",
    }


def _made(warm: WarmNodes, name: str, api: str, kind: str, body: JsonObject) -> JsonObject:
    metadata = {"name": name, "namespace": warm.namespace, "labels": {**MANAGED_BY, APP: name}}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **body}


def _placeholders(warm: WarmNodes, name: str, pool: NodePool, count: int, zones: tuple[str, ...]) -> JsonObject:
    """One pod a node."""
    assert pool.node is not None
    pod = {
        "serviceAccountName": RANK,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "priorityClassName": priority_class(RANK),
        **placement(pool),
        "terminationGracePeriodSeconds": 0,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        **({"topologySpreadConstraints": [_every_zone(name)]} if len(zones) > 1 else {}),
        "containers": [
            {
                "name": "room",
                "image": warm.image,
                "imagePullPolicy": "IfNotPresent",
                "resources": resources_of(Resources(cpu=pool.node.cpu, memory=pool.node.memory)),
                "securityContext": hardened(),
            }
        ],
    }
    spec = {
        "replicas": count,
        "revisionHistoryLimit": 1,
        "selector": selector(name),
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
        "template": {"metadata": {"labels": {APP: name, **MANAGED_BY}}, "spec": pod},
    }
    return _made(warm, name, "apps/v1", "Deployment", {"spec": spec})


def _every_zone(name: str) -> JsonObject:
    """Money waits for a zone rather than share one: room has to be in each."""
    return {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": selector(name),
    }
