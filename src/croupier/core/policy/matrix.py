"""The effective matrix: which workload reaches which, which namespaces, and which addresses outside (S2.4, S2.5)."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable

from croupier.core.policy.addresses import EVERY, Ranges, united
from croupier.core.policy.facts import keeps_room
from croupier.core.policy.objects import Pod
from croupier.core.policy.reach import Reach, boundary, likeness, unread
from croupier.core.policy.world import World
from croupier.model.policy import NamespaceReach, ReachMatrix, WorkloadReach


def matrix(world: World) -> ReachMatrix:
    """Of all workloads but those that only keep room for others. One of several pods reaches what any of them does."""
    reach = Reach(world)
    made: dict[str, list[Pod]] = defaultdict(list)
    for pod in world.pods:
        if not keeps_room(pod):
            made[pod.owner.manifest.name].append(pod)
    names = sorted(made, key=lambda name: (made[name][0].owner.namespace, name))
    kinds: dict[object, int] = {}
    alike = {id(pod): kinds.setdefault(likeness(world, pod), len(kinds)) for pods in made.values() for pod in pods}
    known: dict[int, bool] = {}

    def is_open(source: Pod, target: Pod) -> bool:
        asked = alike[id(source)] * len(kinds) + alike[id(target)]
        if asked not in known:
            known[asked] = reach.is_open(source, target)
        return known[asked]

    def reached(source: str) -> tuple[str, ...]:
        return tuple(
            each
            for each in names
            if each != source and any(is_open(one, other) for one in made[source] for other in made[each])
        )

    told = {name: boundary(world, made[name][0]) for name in names}
    workloads = tuple(
        WorkloadReach(
            name=name,
            namespace=made[name][0].owner.namespace,
            brand=told[name][0],
            market=told[name][1],
            reaches=(targets := reached(name)),
            apart=tuple(each for each in targets if is_apart(told[name], told[each])),
            outside=_ranges(reach.outside(pod) for pod in made[name]),
            from_outside=_ranges(reach.from_outside(pod) for pod in made[name]),
        )
        for name in names
    )
    return ReachMatrix(
        workloads=workloads,
        namespaces=_namespaces(workloads),
        unread=tuple(each.manifest.name for each in unread(world)),
    )


def is_apart(one: tuple[str, str], other: tuple[str, str]) -> bool:
    """Whether two of (brand, market) differ in what both tell."""
    return any(mine and theirs and mine != theirs for mine, theirs in zip(one, other, strict=True))


def _ranges(sets: Iterable[Ranges | None]) -> tuple[str, ...]:
    return united(EVERY if each is None else each for each in sets).cidrs()


def _namespaces(workloads: tuple[WorkloadReach, ...]) -> tuple[NamespaceReach, ...]:
    sizes = Counter(each.namespace for each in workloads)
    of = {each.name: each.namespace for each in workloads}
    ways = Counter((each.namespace, of[target]) for each in workloads for target in each.reaches)
    return tuple(
        NamespaceReach(
            source=source,
            target=target,
            open=ways[source, target],
            pairs=sizes[source] * (sizes[target] - (source == target)),
        )
        for source in sizes
        for target in sizes
        if ways[source, target]
    )
