"""Who reaches whom: the meaning of all NetworkPolicies together, not their presence (S2.4, S2.5, S8.9).

A pod that no policy selects for a direction is open in it; else the union of what the policies that select it allow
counts. A connection needs both ends: egress of the one and ingress of the other. Ports are numbers or names of the
pod that is called.
"""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any, NamedTuple

from croupier.core.policy.facts import label
from croupier.core.policy.network import directions
from croupier.core.policy.objects import Object, Pod, listed, mapping, text
from croupier.core.policy.selectors import matches
from croupier.core.policy.world import World
from croupier.model.objects import JsonObject


class Way(NamedTuple):
    """Whether one end lets traffic through. ``policies``: those that allow it, else those that forbid it, by name."""

    open: bool
    policies: tuple[str, ...]


class Answer(NamedTuple):
    """Whether one pod reaches another on any of its ports, and what each end says."""

    reaches: bool
    egress: Way
    ingress: Way


class Reach:
    """Asked of pairs of pods of one ``World``."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._governed: dict[tuple[int, str], list[Object]] = {}
        for policy in world.of("NetworkPolicy"):
            for pod in world.selected(policy.namespace, mapping(policy.spec.get("podSelector"))):
                for direction in directions(policy):
                    self._governed.setdefault((id(pod), direction), []).append(policy)
        self._crossing: dict[tuple[int, str, str], bool] = {}

    def may_cross(self, source: Pod, target: Pod) -> bool:
        """Whether the policies of both ends name the other's namespace at all: False settles the question, and is cheap
        to ask of many pairs.
        """
        space = source.owner.namespace
        return self.may_leave(source, target) and self._crosses(target, "Ingress", "ingress", "from", space)

    def may_leave(self, source: Pod, target: Pod) -> bool:
        """The half of ``may_cross`` that is the same for every pod of the target's namespace."""
        return self._crosses(source, "Egress", "egress", "to", target.owner.namespace)

    def _crosses(self, pod: Pod, direction: str, key: str, peers: str, namespace: str) -> bool:
        asked = (id(pod), direction, namespace)
        if asked not in self._crossing:
            policies = self._governing(pod, direction)
            self._crossing[asked] = not policies or any(
                self._names(listed(mapping(rule).get(peers)), policy.namespace, namespace)
                for policy in policies
                for rule in listed(policy.spec.get(key))
            )
        return self._crossing[asked]

    def _names(self, peers: list[Any], own: str, namespace: str) -> bool:
        return not peers or any(self._is_space(mapping(peer), own, namespace) for peer in peers)

    def between(self, source: Pod, target: Pod) -> Answer:
        """Whether ``source`` can open a connection to ``target`` on any port."""
        out = self._way(source, "Egress", "egress", "to", target)
        into = self._way(target, "Ingress", "ingress", "from", source)
        return Answer(out.open and into.open, out, into)

    def to_address(self, source: Pod, cidr: str) -> Way:
        """Whether ``source`` can open a connection to all of an address range outside."""
        wanted = ip_network(cidr, strict=False)
        policies = self._governing(source, "Egress")
        allowing = [
            policy
            for policy in policies
            for rule in listed(policy.spec.get("egress"))
            if not listed(mapping(rule).get("to"))
            or any(
                _holds_range(mapping(mapping(peer).get("ipBlock")), wanted) for peer in listed(mapping(rule).get("to"))
            )
        ]
        return _answered(policies, allowing)

    def _governing(self, pod: Pod, direction: str) -> list[Object]:
        return self._governed.get((id(pod), direction), [])

    def _way(self, pod: Pod, direction: str, key: str, peers: str, other: Pod) -> Way:
        policies = self._governing(pod, direction)
        allowing = [
            policy
            for policy in policies
            for rule in listed(policy.spec.get(key))
            if self._lets(mapping(rule), peers, policy.namespace, other, pod if direction == "Ingress" else other)
        ]
        return _answered(policies, allowing)

    def _lets(self, rule: JsonObject, peers: str, namespace: str, other: Pod, called: Pod) -> bool:
        named = listed(rule.get(peers))
        if named and not any(self._is_peer(mapping(peer), namespace, other) for peer in named):
            return False
        ports = listed(rule.get("ports"))
        return not ports or any(_is_open(mapping(port), called) for port in ports)

    def _is_peer(self, peer: JsonObject, namespace: str, pod: Pod) -> bool:
        in_space = self._is_space(peer, namespace, pod.owner.namespace)
        return in_space and ("podSelector" not in peer or matches(mapping(peer["podSelector"]), pod.labels))

    def _is_space(self, peer: JsonObject, own: str, namespace: str) -> bool:
        """Whether a peer of a policy in the namespace ``own`` may be a pod of ``namespace``; addresses are not
        pods'.
        """
        if "namespaceSelector" in peer:
            labels = self._world.namespaces.get(namespace, {"kubernetes.io/metadata.name": namespace})
            return matches(mapping(peer["namespaceSelector"]), labels)
        return "podSelector" in peer and namespace == own


def _answered(policies: list[Object], allowing: list[Object]) -> Way:
    names = tuple(dict.fromkeys(policy.name for policy in (allowing or policies)))
    return Way(not policies or bool(allowing), names)


def _is_open(port: JsonObject, called: Pod) -> bool:
    """Whether a rule's port is one that the called pod lists; a pod that lists none may listen anywhere."""
    wanted = port.get("port")
    listed_ports = [mapping(each) for container in called.containers for each in listed(container.value.get("ports"))]
    if wanted is None or not listed_ports:
        return True
    last = port.get("endPort")
    for each in listed_ports:
        number = each.get("containerPort")
        if wanted in (number, each.get("name")):
            return True
        if type(last) is int and type(number) is int and type(wanted) is int and wanted <= number <= last:
            return True
    return False


def _holds_range(block: JsonObject, wanted: Any) -> bool:
    try:
        held = ip_network(text(block.get("cidr")), strict=False)
        holes = [ip_network(text(each), strict=False) for each in listed(block.get("except"))]
    except ValueError:
        return False
    same = held.version == wanted.version
    return (
        same
        and wanted.subnet_of(held)
        and not any(hole.version == wanted.version and hole.overlaps(wanted) for hole in holes)
    )


def boundary(world: World, pod: Pod) -> tuple[str, str]:
    """(brand, market) of a pod: by its own labels, those of what makes it, or of its namespace; "" where not told."""
    space = world.namespaces.get(pod.owner.namespace, {})
    return label(pod, "brand", space), label(pod, "market", space)


def pods_called(world: World, wanted: str) -> Iterator[Pod]:
    """Pods that a person means by ``name``, ``namespace/name`` or ``kind/namespace/name``."""
    parts = wanted.split("/")
    for pod in world.pods:
        full = [pod.owner.kind.lower(), pod.owner.namespace, pod.owner.name]
        if [each.lower() if index == 0 and len(parts) == 3 else each for index, each in enumerate(parts)] == full[
            3 - len(parts) :
        ]:
            yield pod
