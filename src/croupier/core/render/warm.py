"""Warm nodes (S6.4, S15.5): pods that do nothing, one a node, keep its room until somebody needs it.

A pod that is to serve finds no room, pushes one of them out and starts at once on a node that is there already. What
was pushed out waits for the next node, so whoever adds nodes adds it ahead of need.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from typing import NamedTuple

from croupier.core.render.names import APP, MANAGED_BY, priority_class, selector
from croupier.core.render.placement import placement
from croupier.core.render.pods import hardened, resources_of
from croupier.core.render.resident import space, wall
from croupier.core.render.scaling import scheduled
from croupier.model.container import Resources
from croupier.model.nodes import NodePool, WarmNodes
from croupier.model.objects import JsonObject
from croupier.model.platform import DEFAULT_DENY, PlacedCell, Region
from croupier.model.quantity import size
from croupier.model.store import agent_of

RANK = "warm"
PRIORITY = -10
"""Below everything that does something, and the lowest for which the cluster autoscaler still adds nodes
(``--expendable-pods-priority-cutoff``)."""
_USER = 65_535


class _Ahead(NamedTuple):
    """When room for an event is kept, aware UTC, and on how many nodes beside those that are always warm."""

    from_at: datetime
    until_at: datetime
    nodes: int


def warm_nodes(region: Region, cells: Iterable[PlacedCell] = ()) -> list[JsonObject]:
    """What keeps room on the pools of ``region``; nothing where none has warm nodes. ``cells``: those that are there,
    whose events may ask for more."""
    warm = region.warm
    if warm is None:
        return []
    here = list(cells)
    ahead = _ahead(region, warm, here)
    pools = {name: pool for name, pool in sorted(region.pools.items()) if pool.warm_nodes or name in ahead}
    if not pools:
        return []
    shut = {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    made = [
        _made(warm, RANK, "v1", "ServiceAccount", {"automountServiceAccountToken": False}),
        *(_placeholders(warm, name, pool, region.zones, is_scaled=name in ahead) for name, pool in pools.items()),
        *(_scheduled(warm, name, pools[name], times) for name, times in sorted(ahead.items())),
    ]
    # Two regions may call their pools alike, and one of them scale what keeps room there.
    for placed in here[:1]:
        for each in made:
            each["metadata"]["labels"]["region"] = placed.cell.region
    return [_priority(), space(warm.namespace), wall(warm.namespace, DEFAULT_DENY, shut), *made]


def _ahead(region: Region, warm: WarmNodes, cells: Sequence[PlacedCell]) -> dict[str, list[_Ahead]]:
    """Pool -> what events ask for before their pods come. Where the times of several meet, each has room for all."""
    if warm.ahead_minutes is None:
        return {}
    before = timedelta(minutes=warm.ahead_minutes)
    times = sorted({each.from_at for placed in cells for each in placed.warm})
    found: dict[str, list[_Ahead]] = {}
    for name, pool in region.pools.items():
        for begin in times if pool.is_raised else ():
            if more := _nodes(pool, cells, begin - before, begin + before):
                found.setdefault(name, []).append(_Ahead(begin - before, begin, more))
    return found


def _nodes(pool: NodePool, cells: Sequence[PlacedCell], after: datetime, before: datetime) -> int:
    """Nodes of ``pool`` for the pods that events ask for between two times, beyond those that are there anyway."""
    assert pool.node is not None
    pods, cpu, memory = 0, Fraction(0), Fraction(0)
    for placed in cells:
        for service in placed.services:
            if placed.region.pool_of(service) != pool:
                continue
            due = (each for each in placed.warm if each.service == service.name and after < each.from_at < before)
            least = service.scaling.min if service.scaling is not None else service.replicas
            more = max((each.pods - least for each in due), default=0)
            if more > 0:
                pods += more
                for each in filter(None, (service.resources, agent_of(placed, service))):
                    cpu += more * size(each.cpu)
                    memory += more * size(each.memory)
    node = pool.node
    needed = max(cpu / size(node.cpu), memory / size(node.memory), Fraction(pods, node.pods))
    wanted = math.ceil(needed)
    return wanted if pool.max_nodes is None else min(wanted, pool.max_nodes - pool.warm_nodes)


def _scheduled(warm: WarmNodes, name: str, pool: NodePool, times: Sequence[_Ahead]) -> JsonObject:
    """keda.sh/v1alpha1."""
    triggers = [scheduled(each.from_at, each.until_at, pool.warm_nodes + each.nodes) for each in times]
    at_once = {"stabilizationWindowSeconds": 0, "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}
    behavior = {"scaleUp": at_once, "scaleDown": at_once}
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": name},
        "pollingInterval": 15,
        "cooldownPeriod": 15,
        "minReplicaCount": pool.warm_nodes,
        "maxReplicaCount": pool.warm_nodes + max(each.nodes for each in times),
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": behavior}},
        "triggers": triggers,
    }
    return _made(warm, name, "keda.sh/v1alpha1", "ScaledObject", {"spec": spec})


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


def _placeholders(warm: WarmNodes, name: str, pool: NodePool, zones: tuple[str, ...], *, is_scaled: bool) -> JsonObject:
    """One pod a node. ``is_scaled``: somebody else says how many."""
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
        **({} if is_scaled else {"replicas": pool.warm_nodes}),
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
