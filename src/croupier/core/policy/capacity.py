"""Whether there is room for all pods at their greatest: in the quota of the namespace, and on the nodes they are sent
to (S2.2, S6.4, S13.1, S13.4).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from croupier.core.policy.demand import Peak, amount, called, of_container, of_pod, peak
from croupier.core.policy.facts import is_realtime, keeps_room
from croupier.core.policy.objects import Container, Object, Pod, at, items, listed, mapping, text
from croupier.core.policy.quantities import number, quantity
from croupier.core.policy.rule import Found, Level, bundle_rule
from croupier.core.policy.world import World, is_beside
from croupier.model.manifest import Path

HARD = {
    "requests.cpu": ("requests", "cpu"), "cpu": ("requests", "cpu"),
    "requests.memory": ("requests", "memory"), "memory": ("requests", "memory"),
    "limits.cpu": ("limits", "cpu"), "limits.memory": ("limits", "memory"),
}  # fmt: skip
"""What a quota may bound -> which side of which resource that is."""
AUTOSCALED = "cluster.x-k8s.io/cluster-api-autoscaler-node-group-max-size"
CAPACITY = "capacity.cluster-autoscaler.kubernetes.io/"
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


class Ask(NamedTuple):
    """What one workload asks for: so many pods of so much each."""

    name: str
    peak: Peak
    each: float

    @property
    def total(self) -> float:
        return self.peak.all * self.each


def total(asks: Iterable[Ask]) -> float:
    """All together; never less when any of the numbers grows."""
    return sum(ask.total for ask in asks)


def _sum(resource: str, asks: list[Ask], room: float) -> str:
    largest = sorted(asks, key=lambda ask: -ask.total)
    words = [f"{ask.name} ({ask.peak.pods} + {ask.peak.surge}) × {amount(resource, ask.each)}" for ask in largest[:8]]
    more = f" + {len(asks) - 8} more" if len(asks) > 8 else ""
    return f"{' + '.join(words)}{more} = {amount(resource, total(asks))}, {amount(resource, room)} fit"


def _workloads(world: World) -> Iterator[tuple[Pod, Peak]]:
    for pod in world.pods:
        most = peak(world, pod.owner)
        if most is not None:
            yield pod, most


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
    quotas = [
        each for each in world.of("ResourceQuota") if not each.spec.get("scopes") and "scopeSelector" not in each.spec
    ]
    ranges = list(world.of("LimitRange"))
    spaces: dict[str, list[tuple[Pod, Peak]]] = defaultdict(list)
    for pod, most in _workloads(world) if quotas or ranges else ():
        spaces[pod.owner.namespace].append((pod, most))
    for quota in quotas:
        there = [(pod, most) for pod, most in spaces[quota.namespace] if is_beside(quota, pod.owner)]
        near = [each for each in ranges if each.namespace == quota.namespace and is_beside(quota, each)]
        if not _is_twice(world, quota):
            yield from _within(quota, there, near)
    for each in ranges:
        for pod, _ in () if _is_twice(world, each) else spaces[each.namespace]:
            if is_beside(each, pod.owner):
                yield from _in_range(each, pod)


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


def _within(quota: Object, there: list[tuple[Pod, Peak]], ranges: list[Object]) -> Iterator[Found]:
    defaults = _defaults(ranges)
    for key, value in mapping(quota.spec.get("hard")).items():
        path: Path = ("spec", "hard", key)
        room = quantity(value)
        if room is None or not there:
            continue
        if key == "pods":
            asks = [Ask(called(pod.owner), most, 1.0) for pod, most in there]
            if total(asks) > room:
                yield Found(quota, path, _sum("pods", asks, room))
        elif key in HARD:
            side, resource = HARD[key]
            asks = []
            for pod, most in there:
                held = of_pod(pod, side, resource, defaults)
                if isinstance(held, Container):
                    said = f"ResourceQuota {quota.name} counts {key}: a pod whose {held.called} has none is refused"
                    yield Found(pod.owner, (*held.path, "resources"), said)
                else:
                    asks.append(Ask(called(pod.owner), most, held))
            if total(asks) > room:
                yield Found(quota, path, _sum(resource, asks, room))


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
    fix="Raise the bound of the pool (limits, most nodes), or send less there. Pods that keep room do not count.",
    bad=BETS % 30 + POOL, good=BETS % 10 + POOL,
)  # fmt: skip
def node_capacity(world: World) -> Iterator[Found]:
    groups = list(node_groups(world))
    sent: dict[frozenset[int], list[tuple[Pod, Peak]]] = defaultdict(list)
    for pod, most in _workloads(world) if groups else ():
        if not keeps_room(pod) and (there := lands_on(pod, groups)):
            sent[there].append((pod, most))
    for there in sorted(sent, key=sorted):
        within = [held for other, pods in sent.items() if other <= there for held in pods]
        for resource in ("cpu", "memory"):
            if any(resource not in groups[index].most for index in there):
                continue
            asks = [
                Ask(called(pod.owner), most, held)
                for pod, most in within
                if not isinstance(held := of_pod(pod, "requests", resource), Container)
            ]
            room = sum(groups[index].most[resource] for index in there)
            if total(asks) > room:
                first = groups[min(there)]
                yield Found(first.made_by, first.path, f"{resource}: {_sum(resource, asks, room)}")


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
