"""What network policies are made of: who, by which ports, and how names and hosts outside are reached (S2.4, S8.9)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from croupier.model.address import Endpoint
from croupier.model.objects import JsonObject

NAMESPACE = "kubernetes.io/metadata.name"


def within(namespace: str) -> JsonObject:
    """All pods of a namespace."""
    return {"namespaceSelector": {"matchLabels": {NAMESPACE: namespace}}}


def allowed(direction: str, peers: Sequence[JsonObject], ports: Iterable[int]) -> JsonObject:
    """A rule. ``direction``: ``from`` or ``to``."""
    return {direction: list(peers), "ports": [_port(number) for number in ports]}


def door(pods: JsonObject, ingress: Iterable[JsonObject], egress: Iterable[JsonObject]) -> JsonObject:
    """Of a policy: what ``pods`` may be asked by and may ask. An empty list is left out, which means the same: an API
    server keeps none, and who compares would find a change at each look."""
    rules = {"ingress": list(ingress), "egress": list(egress)}
    given = {direction: each for direction, each in rules.items() if each}
    return {"podSelector": pods, "policyTypes": ["Ingress", "Egress"], **given}


def names_looked_up() -> JsonObject:
    """Of a policy by which every pod of a namespace may look up names."""
    resolvers = {**within("kube-system"), "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}
    rule = {"to": [resolvers], "ports": [_port(53, "UDP"), _port(53)]}
    return {"podSelector": {}, "policyTypes": ["Egress"], "egress": [rule]}


def nothing_else() -> JsonObject:
    """Of a policy by which no pod of a namespace may talk to anybody."""
    return {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}


def reached(endpoints: Iterable[Endpoint], gateway: str) -> list[JsonObject]:
    """To ``endpoints``: those in the cluster in their namespace, others by the namespace labelled ``svc: <gateway>``.
    NetworkPolicy knows no names of hosts."""
    peers = {((NAMESPACE, each.namespace) if each.namespace else ("svc", gateway), each.port) for each in endpoints}
    return [
        allowed("to", [{"namespaceSelector": {"matchLabels": dict([label])}}], [port]) for label, port in sorted(peers)
    ]


def _port(number: int, protocol: str = "TCP") -> JsonObject:
    return {"port": number, "protocol": protocol}
