"""Who reaches whom: the meaning of all network policies together, not their presence (S2.4, S2.5, S8.8, S8.9).

A pod that no NetworkPolicy selects for a direction is open in it; else the union of what the policies that select it
allow counts. A connection needs both ends, egress of the one and ingress of the other, and what the mesh says of it
(``authorization.py``), at one port. Ports are numbers or names of the pod that is called. Pods in the network of their
node are governed by none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from croupier.core.policy.addresses import Ranges, of_peers, united
from croupier.core.policy.authorization import GROUP, Authorization, account, is_in_mesh, is_read
from croupier.core.policy.facts import label
from croupier.core.policy.network import directions, policies
from croupier.core.policy.objects import Object, Pod, listed, mapping, text
from croupier.core.policy.selectors import matches
from croupier.core.policy.world import World
from croupier.model.objects import JsonObject


class Way(NamedTuple):
    """Whether one end lets traffic through. ``policies``: those that allow it, else those that forbid it, by name."""

    open: bool
    policies: tuple[str, ...]


class Answer(NamedTuple):
    """Whether one pod reaches another on any of its ports, and what each end says.

    ``mesh``: what AuthorizationPolicies say; None where none governs the one that is called. ``ports``: those that are
    open, as the pod lists them; empty where it lists none.
    """

    reaches: bool
    egress: Way
    ingress: Way
    mesh: Way | None
    ports: tuple[str, ...]


OUT, IN = ("egress", "to"), ("ingress", "from")
"""Where rules of either direction stand, and their peers in them."""


DNS = (53, "dns", "dns-tcp")


class Port(NamedTuple):
    """A port that a pod lists."""

    number: Any
    name: Any
    protocol: str


class Reach:
    """Asked of pairs of pods of one ``World``."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._governed: dict[tuple[int, str], list[Object]] = {}
        for policy in policies(world):
            for pod in world.selected(policy.namespace, mapping(policy.spec.get("podSelector"))):
                for direction in directions(policy) if pod.spec.get("hostNetwork") is not True else ():
                    self._governed.setdefault((id(pod), direction), []).append(policy)
        self._crossing: dict[tuple[int, str, str], bool] = {}
        self._united: dict[tuple[object, ...], Ranges] = {}
        self._ports: dict[int, tuple[Port, ...]] = {}
        self._mesh = Authorization(world)

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
            governing = self._governing(pod, direction)
            self._crossing[asked] = not governing or any(
                self._may_name(listed(mapping(rule).get(peers)), policy.namespace, namespace)
                for policy in governing
                for rule in listed(policy.spec.get(key))
            )
        return self._crossing[asked]

    def _may_name(self, peers: list[Any], own: str, namespace: str) -> bool:
        return not peers or any(self._is_space(mapping(peer), own, namespace) for peer in peers)

    def between(self, source: Pod, target: Pod) -> Answer:
        """Whether ``source`` can open a connection to ``target`` on any port."""
        listed_ports = ports_of(target)
        ways = [self._at(source, target, port) for port in listed_ports or (None,)]
        opened = [all(way.open for way in each if way is not None) for each in ways]
        if any(opened):
            out, into, mesh = ways[opened.index(True)]
        else:  # Each end is told by itself: it may be open where the other is not.
            out, into = _widest([each[0] for each in ways]), _widest([each[1] for each in ways])
            meshes = [each[2] for each in ways if each[2] is not None]
            mesh = _widest(meshes) if meshes else None
        names = (str(port.name or port.number) for port, is_open in zip(listed_ports, opened, strict=False) if is_open)
        return Answer(any(opened), out, into, mesh, tuple(dict.fromkeys(names)))

    def is_open(self, source: Pod, target: Pod) -> bool:
        """Whether ``source`` reaches ``target`` on any port: what ``between`` answers, for many pairs."""
        return self.may_cross(source, target) and any(
            self._is_let(self._governing(target, "Ingress"), IN, source, port)
            and self._is_let(self._governing(source, "Egress"), OUT, target, port)
            and (not self._mesh.is_governed(target) or self._mesh.answer(source, target, _number(port))[0])
            for port in self._ports_of(target) or (None,)
        )

    def _ports_of(self, pod: Pod) -> tuple[Port, ...]:
        if id(pod) not in self._ports:
            self._ports[id(pod)] = ports_of(pod)
        return self._ports[id(pod)]

    def _is_let(self, governing: list[Object], keys: tuple[str, str], other: Pod, port: Port | None) -> bool:
        return not governing or any(True for _ in self._allowing(governing, keys, other, port))

    def _at(self, source: Pod, target: Pod, port: Port | None) -> tuple[Way, Way, Way | None]:
        """What both ends and the mesh say of one port of ``target``; None: of one that is not listed."""
        out = self._way(self._governing(source, "Egress"), OUT, target, port)
        into = self._way(self._governing(target, "Ingress"), IN, source, port)
        if not self._mesh.is_governed(target):
            return out, into, None
        is_open, said = self._mesh.answer(source, target, _number(port))
        return out, into, Way(is_open, _names(said))

    def to_address(self, source: Pod, cidr: str) -> Way:
        """Whether ``source`` can open connections to all of an address range outside. Raises ``ValueError`` if it is
        none.
        """
        wanted = Ranges.of(cidr)
        governing = self._governing(source, "Egress")
        some = [each for each in governing if _addresses(each, OUT) & wanted]
        is_open = not governing or not wanted - united(_addresses(each, OUT) for each in some)
        return Way(is_open, _names(some if is_open else governing))

    def outside(self, pod: Pod) -> Ranges | None:
        """The addresses that ``pod`` may open connections to by blocks of addresses, and rules that name nobody, but
        for those that let it ask the DNS only; None: no policy governs its way out.
        """
        return self._blocks(pod, "Egress", OUT)

    def from_outside(self, pod: Pod) -> Ranges | None:
        """The addresses that may open connections to ``pod``, in the same way."""
        return self._blocks(pod, "Ingress", IN)

    def _blocks(self, pod: Pod, direction: str, keys: tuple[str, str]) -> Ranges | None:
        governing = self._governing(pod, direction)
        if not governing:
            return None
        asked = direction, *map(id, governing)
        if asked not in self._united:
            self._united[asked] = united(_addresses(each, keys, but_names=keys is OUT) for each in governing)
        return self._united[asked]

    def _governing(self, pod: Pod, direction: str) -> list[Object]:
        return self._governed.get((id(pod), direction), [])

    def _way(self, governing: list[Object], keys: tuple[str, str], other: Pod, port: Port | None) -> Way:
        allowing = list(self._allowing(governing, keys, other, port))
        return Way(not governing or bool(allowing), _names(allowing or governing))

    def _allowing(
        self, governing: list[Object], keys: tuple[str, str], other: Pod, port: Port | None
    ) -> Iterator[Object]:
        key, peers = keys
        for policy in governing:
            for rule in listed(policy.spec.get(key)):
                if self._lets(mapping(rule), peers, policy.namespace, other, port):
                    yield policy

    def _lets(self, rule: JsonObject, peers: str, namespace: str, other: Pod, port: Port | None) -> bool:
        named = listed(rule.get(peers))
        if named and not any(self._is_peer(mapping(peer), namespace, other) for peer in named):
            return False
        ports = listed(rule.get("ports"))
        return not ports or port is None or any(_is_open(mapping(each), port) for each in ports)

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


def ports_of(pod: Pod) -> tuple[Port, ...]:
    """The ports that ``pod`` lists. One that lists none may listen anywhere."""
    return tuple(
        Port(each.get("containerPort"), each.get("name"), text(each.get("protocol")) or "TCP")
        for container in pod.containers
        for each in map(mapping, listed(container.value.get("ports")))
    )


def _number(port: Port | None) -> int | None:
    return port.number if port is not None and type(port.number) is int else None


def likeness(world: World, pod: Pod) -> tuple[object, ...]:
    """What decides whom ``pod`` reaches and who reaches it, but for its addresses: like pods get like answers."""
    host, labels = pod.spec.get("hostNetwork") is True, sorted(map(str, pod.labels.items()))
    return pod.owner.namespace, host, account(pod), is_in_mesh(world, pod), str(labels), str(ports_of(pod))


UNREAD = {
    "CiliumNetworkPolicy": "cilium.io",
    "CiliumClusterwideNetworkPolicy": "cilium.io",
    "NetworkPolicy": "projectcalico.org",
    "GlobalNetworkPolicy": "projectcalico.org",
    "AdminNetworkPolicy": "policy.networking.k8s.io",
    "BaselineAdminNetworkPolicy": "policy.networking.k8s.io",
    "ClusterNetworkPolicy": "policy.networking.k8s.io",
    "FQDNNetworkPolicy": "networking.gke.io",
    "EgressFirewall": "k8s.ovn.org",
    "EgressNetworkPolicy": "network.openshift.io",
    "ServerAuthorization": "policy.linkerd.io",
}
"""Kind -> the group in which it says who reaches whom, and ``Reach`` does not go by it."""


def unread(world: World) -> Iterator[Object]:
    """What says who reaches whom and is not gone by: policies of others than Kubernetes and Istio, and of Istio those
    of gateways and waypoints, and those that ask somebody else.
    """
    for each in world.of(*UNREAD):
        if each.group.removeprefix("crd.") == UNREAD[each.kind]:
            yield each
    for each in world.of("AuthorizationPolicy"):
        if each.group in (GROUP, "policy.linkerd.io") and not is_read(each):
            yield each


def _addresses(policy: Object, keys: tuple[str, str], *, but_names: bool = False) -> Ranges:
    """What the rules of ``policy`` name by address, without those for the DNS where ``but_names``."""
    key, peers = keys
    rules = map(mapping, listed(policy.spec.get(key)))
    return united(of_peers(rule.get(peers)) for rule in rules if not (but_names and _is_for_names(rule)))


def _is_for_names(rule: JsonObject) -> bool:
    ports = listed(rule.get("ports"))
    return bool(ports) and all(mapping(each).get("port") in DNS and "endPort" not in mapping(each) for each in ports)


def _names(policies: Iterable[Object]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(policy.name for policy in policies))


def _widest(ways: list[Way]) -> Way:
    return next((way for way in ways if way.open), ways[0])


def _is_open(rule: JsonObject, port: Port) -> bool:
    """Whether a rule's port is one of a pod."""
    wanted, last = rule.get("port"), rule.get("endPort")
    if (text(rule.get("protocol")) or "TCP") != port.protocol:
        return False
    if wanted is None or wanted in (port.number, port.name):
        return True
    return type(last) is int and type(port.number) is int and type(wanted) is int and wanted <= port.number <= last


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
