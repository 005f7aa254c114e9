"""Whether there is room for all pods at their greatest: in the quota of the namespace, and on the nodes they are sent
to (S2.2, S6.4, S13.1, S13.4).
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from croupier.core.policy.demand import MOST_PODS, Peak, called, of_container, of_pod, peak
from croupier.core.policy.facts import is_realtime, keeps_room
from croupier.core.policy.objects import Container, Object, Pod, at, items, listed, mapping, text
from croupier.core.policy.quantities import number, quantity, whole
from croupier.core.policy.rule import Found, Level, bundle_rule
from croupier.core.policy.sums import Budget, Part
from croupier.core.policy.world import World, is_beside
from croupier.model.manifest import Path
from croupier.model.objects import JsonObject

HARD = {
    "requests.cpu": ("requests", "cpu"), "cpu": ("requests", "cpu"),
    "requests.memory": ("requests", "memory"), "memory": ("requests", "memory"),
    "limits.cpu": ("limits", "cpu"), "limits.memory": ("limits", "memory"),
}  # fmt: skip
"""What a quota may bound -> which side of which resource that is."""
AUTOSCALED = "cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size"
CAPACITY = "capacity.cluster-autoscaler.kubernetes.io/"
BUFFERS = "autoscaling.x-k8s.io"
"""The group of CapacityBuffers: room that the cluster autoscaler keeps free with no pod of its own."""
_ANY_NODE = ("kubernetes.io/os", "kubernetes.io/arch", "topology.kubernetes.io/zone", "topology.kubernetes.io/region")
"""Labels that nodes of every pool may have."""
BETS = (
    "{apiVersion: apps/v1, kind: Deployment, metadata: {name: bets}, spec: {replicas: %s, template: {spec: "
    "{nodeSelector: {pool: api}, containers: [{name: app, resources: {requests: {cpu: 500m}}}]}}}}\n---\n"
)
QUOTA = "{apiVersion: v1, kind: ResourceQuota, metadata: {name: demand}, spec: {hard: {requests.cpu: '10'}}}"
TABLES = (
    "{apiVersion: v1, kind: Pod, metadata: {name: tables, labels: {tier: realtime}}, spec: {%scontainers: "
    "[{name: app}]}}\n---\n"
)
POOL = (
    "{apiVersion: karpenter.sh/v1, kind: NodePool, metadata: {name: api}, spec: {limits: {cpu: '10'}, template: "
    "{metadata: {labels: {pool: api}}}}}"
)


def _workloads(world: World) -> Iterator[tuple[Pod, Peak]]:
    for pod in world.pods:
        most = peak(world, pod.owner)
        if most is not None:
            yield pod, most.placed


@bundle_rule(
    "quota-demand", "The quota of a namespace has room for all its pods at their greatest", level=Level.ERROR,
    source="S2.2, S13.4",
    why="The autoscaler asks for the pods of the evening, and the namespace refuses them: nobody sees it before "
    "players do.",
    fix="Raise the quota to the sum, or lower what the largest may ask for; give every container what the quota "
    "counts.",
    bad=BETS % 30 + QUOTA, good=BETS % 10 + QUOTA,
)  # fmt: skip
def quota_demand(world: World) -> Iterator[Found]:
    for budget, refused in _quotas(world):
        yield from refused
        if not budget.fits:
            yield budget.found
    ranges = [each for each in world.of("LimitRange") if not _is_twice(world, each)]
    spaces = _by_namespace(world) if ranges else {}
    for each in ranges:
        for pod, _ in spaces.get(each.namespace, ()):
            if is_beside(each, pod.owner):
                yield from _in_range(each, pod)


def asked_of_quotas(world: World) -> Iterator[Budget]:
    """What all pods of a namespace ask for, a line of its quotas."""
    return (budget for budget, _ in _quotas(world))


def _by_namespace(world: World) -> Mapping[str, list[tuple[Pod, Peak]]]:
    spaces: dict[str, list[tuple[Pod, Peak]]] = defaultdict(list)
    for pod, most in _workloads(world):
        spaces[pod.owner.namespace].append((pod, most))
    return spaces


def _quotas(world: World) -> Iterator[tuple[Budget, list[Found]]]:
    quotas = [
        each for each in world.of("ResourceQuota") if not each.spec.get("scopes") and "scopeSelector" not in each.spec
    ]
    spaces = _by_namespace(world) if quotas else {}
    for quota in quotas:
        if _is_twice(world, quota):
            continue
        there = [(pod, most) for pod, most in spaces.get(quota.namespace, ()) if is_beside(quota, pod.owner)]
        near = [each for each in world.of("LimitRange") if each.namespace == quota.namespace and is_beside(quota, each)]
        yield from _within(quota, there, near)


def _is_twice(world: World, each: Object) -> bool:
    """Whether the manifests are those of several clusters that nothing tells apart."""
    return (
        not each.labels.get("cell")
        and sum(other.name == each.name and other.namespace == each.namespace for other in world.of(each.kind)) > 1
    )


def _defaults(ranges: list[Object]) -> dict[tuple[str, str], float]:
    """What the API server fills in for containers that do not say."""
    found: dict[tuple[str, str], float] = {}
    for each in ranges:
        for _, held in items(each.spec.get("limits")):
            if held.get("type") != "Container":
                continue
            for side, keys in (
                ("limits", ("default", "max")),
                ("requests", ("defaultRequest", "default", "max", "min")),
            ):
                for key in keys:
                    for resource, value in mapping(held.get(key)).items():
                        if (size := quantity(value)) is not None:
                            found.setdefault((side, resource), size)
    return found


def _within(quota: Object, there: list[tuple[Pod, Peak]], ranges: list[Object]) -> Iterator[tuple[Budget, list[Found]]]:
    defaults = _defaults(ranges)
    for key, value in mapping(quota.spec.get("hard")).items():
        room = quantity(value)
        if room is None or not there or not (key == "pods" or key in HARD):
            continue
        parts, refused, unsaid = [], [], []
        for pod, most in there:
            held = 1.0 if key == "pods" else of_pod(pod, *HARD[key], defaults)
            if isinstance(held, Container):
                said = f"ResourceQuota {quota.name} counts {key}: a pod whose {held.called} has none is refused"
                refused.append(Found(pod.owner, (*held.path, "resources"), said))
                unsaid.append(called(pod.owner))
            else:
                parts.append(Part(called(pod.owner), most, held))
        path: Path = ("spec", "hard", key)
        yield Budget("quota-demand", key, quota, path, tuple(parts), room, tuple(unsaid)), refused


def _in_range(limit_range: Object, pod: Pod) -> Iterator[Found]:
    for _, held in items(limit_range.spec.get("limits")):
        if held.get("type") != "Container":
            continue
        for container in pod.containers:
            for key, side, is_beyond in (("max", "limits", float.__gt__), ("min", "requests", float.__lt__)):
                for resource, value in mapping(held.get(key)).items():
                    bound, asked = quantity(value), of_container(container, side, resource)
                    if bound is not None and asked is not None and is_beyond(asked, bound):
                        end = "most" if key == "max" else "least"
                        said = f"LimitRange {limit_range.name} allows {value} of {resource} at {end}"
                        yield Found(pod.owner, (*container.path, "resources", side), f"{container.called}: {said}")


class NodeGroup(NamedTuple):
    """Nodes of a kind: their labels, and what all of them together have at most, by resource."""

    made_by: Object
    path: Path
    labels: dict[str, frozenset[str]]
    most: dict[str, float]


def node_groups(world: World) -> Iterator[NodeGroup]:
    """Those whose bounds are written: Karpenter's NodePools, and machines that the cluster autoscaler scales."""
    for each in world.of("NodePool"):
        if each.group == "karpenter.sh":
            labels = {
                key: frozenset((text(value),))
                for key, value in mapping(at(each.spec, "template", "metadata", "labels")).items()
            }
            for _, wanted in items(at(each.spec, "template", "spec", "requirements")):
                if wanted.get("operator") == "In":
                    labels[text(wanted.get("key"))] = frozenset(text(value) for value in listed(wanted.get("values")))
            labels["karpenter.sh/nodepool"] = frozenset((each.name,))
            limits = mapping(each.spec.get("limits"))
            most = {key: size for key in ("cpu", "memory") if (size := quantity(limits.get(key))) is not None}
            yield NodeGroup(each, ("spec", "limits"), labels, most)
    for each in world.of("MachineDeployment", "MachinePool"):
        nodes = number(each.annotations.get(AUTOSCALED))
        sizes = {key: quantity(each.annotations.get(CAPACITY + key)) for key in ("cpu", "memory")}
        pairs = (pair.partition("=") for pair in text(each.annotations.get(CAPACITY + "labels")).split(","))
        labels = {key: frozenset((value,)) for key, _, value in pairs if key}
        if nodes is not None:
            most = {key: nodes * size for key, size in sizes.items() if size is not None}
            yield NodeGroup(each, ("metadata", "annotations", AUTOSCALED), labels, most)


def _wanted(pod: Pod) -> Iterator[tuple[str, frozenset[str]]]:
    """(label, values) that the nodes of the pod must have; of several terms of an affinity nothing is certain."""
    for key, value in mapping(pod.spec.get("nodeSelector")).items():
        yield key, frozenset((text(value),))
    required = at(pod.spec, "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution")
    terms = listed(at(required, "nodeSelectorTerms"))
    for _, each in items(at(terms[0], "matchExpressions")) if len(terms) == 1 else ():
        if each.get("operator") == "In":
            yield text(each.get("key")), frozenset(text(value) for value in listed(each.get("values")))


def lands_on(pod: Pod, groups: list[NodeGroup]) -> frozenset[int] | None:
    """Indexes of the groups that the pod is sent to; None where it may run anywhere."""
    wanted = [(key, values) for key, values in _wanted(pod) if key not in _ANY_NODE]
    if not wanted:
        return None
    return frozenset(
        index
        for index, group in enumerate(groups)
        if all(group.labels.get(key, frozenset()) & values for key, values in wanted)
    )


@bundle_rule(
    "node-capacity", "Nodes of a pool have room for all that is sent there, at its greatest", level=Level.ERROR,
    source="S6.4, S13.1",
    why="Pods wait for nodes that are never added: the pool is at its bound before the autoscaler of the service is.",
    fix="Raise the bound of the pool (limits, most nodes), send less there, or keep less room: pods that make way and "
    "CapacityBuffers count, because at the bound nothing else would be warm.",
    bad=BETS % 30 + POOL, good=BETS % 10 + POOL,
)  # fmt: skip
def node_capacity(world: World) -> Iterator[Found]:
    yield from (each.found for each in asked_of_nodes(world) if not each.fits)


def asked_of_nodes(world: World) -> Iterator[Budget]:
    """What all that is sent to the same nodes asks of them, and the room that is kept free there (S6.4)."""
    groups = list(node_groups(world))
    sent: dict[frozenset[int], list[tuple[Pod, Peak, str]]] = defaultdict(list)
    for pod, most in _workloads(world) if groups else ():
        if there := lands_on(pod, groups):
            sent[there].append((pod, most, called(pod.owner)))
    for buffer in world.of("CapacityBuffer") if groups else ():
        for pod, count in kept_free(world, buffer):
            if there := lands_on(pod, groups):
                sent[there].append((pod, Peak(count, 0), f"buffer {buffer.name}"))
    for there in sorted(sent, key=sorted):
        within = [held for other, pods in sent.items() if other <= there for held in pods]
        first = groups[min(there)]
        for resource in ("cpu", "memory"):
            if any(resource not in groups[index].most for index in there):
                continue
            parts, unsaid = [], []
            for pod, most, name in within:
                held = of_pod(pod, "requests", resource)
                if isinstance(held, Container):
                    unsaid.append(name)
                else:
                    parts.append(Part(name, most, held))
            room = sum(groups[index].most[resource] for index in there)
            yield Budget("node-capacity", resource, first.made_by, first.path, tuple(parts), room, tuple(unsaid))


def kept_free(world: World, buffer: Object) -> Iterator[tuple[Pod, int]]:
    """The pod that a CapacityBuffer of the cluster autoscaler keeps room for, and for how many of it."""
    if buffer.group != BUFFERS:
        return
    template, scaled = mapping(buffer.spec.get("podTemplateRef")), mapping(buffer.spec.get("scalableRef"))
    kind, name = ("PodTemplate", template.get("name")) if template else (scaled.get("kind"), scaled.get("name"))
    shape = world.named(text(kind), buffer.namespace, text(name))
    for pod in shape.pods[:1] if shape is not None else ():
        share = whole(buffer.spec.get("percentage"))
        wanted = [whole(buffer.spec.get("replicas"))]
        if share is not None and scaled:
            most = peak(world, pod.owner) or Peak(0, 0)
            wanted.append(max(math.ceil(most.pods * share / 100), 1))
        counts = [each for each in wanted if each is not None]
        within = _within_limits(pod, mapping(buffer.spec.get("limits")))
        counts = [max(counts)] if counts else []
        count = min([*counts, *([within] if within is not None else [])], default=0)
        yield pod, min(max(count, 0), MOST_PODS)


def _within_limits(pod: Pod, limits: JsonObject) -> int | None:
    """How many of the pod the limits of a buffer hold, or None where they bound nothing that it asks for."""
    found = []
    for resource in ("cpu", "memory"):
        held, most = of_pod(pod, "requests", resource), quantity(limits.get(resource))
        if most is not None and not isinstance(held, Container) and held > 0:
            found.append(math.floor(most / held))
    return min(found, default=None)


@bundle_rule(
    "ws-nodes", "What players hold connections to has nodes of its own", level=Level.WARNING, source="S6.5, S13.1",
    why="Nodes that are tuned for many connections, and that nobody else's burst fills, keep rounds alive; elsewhere "
    "the first thing that runs out is file descriptors.",
    fix="Send it, and nothing else, to a pool of its own by a nodeSelector.",
    bad=TABLES % "" + POOL, good=TABLES % "nodeSelector: {pool: api}, " + POOL,
)  # fmt: skip
def ws_nodes(world: World) -> Iterator[Found]:
    groups = list(node_groups(world))
    sent = [(pod, lands_on(pod, groups) or frozenset()) for pod in world.pods] if groups else []
    others = {index for pod, there in sent if not (is_realtime(pod) or keeps_room(pod)) for index in there}
    for pod, there in sent:
        if not is_realtime(pod):
            continue
        if not there:
            yield Found(pod.owner, pod.path, "players hold connections to it, and it is sent to no pool of nodes")
        elif shared := there & others:
            names = ", ".join(sorted(groups[index].made_by.name for index in shared))
            yield Found(pod.owner, pod.path, f"players hold connections to it, and others are sent to {names}, too")


RULES = (quota_demand, node_capacity, ws_nodes)
