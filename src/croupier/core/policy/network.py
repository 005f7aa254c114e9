"""Services, Ingresses and network policies taken by themselves (S2.4, S2.5, S8)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from croupier.core.policy.objects import Object, at, items, listed, mapping, text
from croupier.core.policy.rule import Found, Hit, Level, bundle_rule, object_rule
from croupier.core.policy.world import World

ANYWHERE = ("0.0.0.0/0", "::/0")
_PORT_NAME = re.compile(r"(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
SERVICE = "{apiVersion: v1, kind: Service, metadata: {name: bets, namespace: casino}, spec: {%s}}"
INGRESS = "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: bets, namespace: casino%s}, spec: {%s}}"
POD = (
    "{apiVersion: v1, kind: Pod, metadata: {name: bets, namespace: casino, labels: {app: bets}}, spec: "
    "{containers: [{}]}}"
)
POLICY = (
    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: bets, namespace: casino}, spec: {%s}}"
)


def policies(world: World) -> Iterator[Object]:
    """The NetworkPolicies of Kubernetes; others (Calico) call theirs the same and mean something else."""
    return (each for each in world.of("NetworkPolicy") if each.group in ("networking.k8s.io", "extensions"))


def directions(policy: Object) -> frozenset[str]:
    """Which directions a NetworkPolicy speaks for; Egress by default only where it has egress rules."""
    named = policy.spec.get("policyTypes")
    if named:
        return frozenset(text(each) for each in listed(named))
    return frozenset(("Ingress", "Egress") if "egress" in policy.spec else ("Ingress",))


@bundle_rule(
    "network-policy", "Every pod is behind a NetworkPolicy in both directions", level=Level.ERROR, source="S2.4",
    why="A pod that no policy selects may be reached from everywhere and may reach everything.",
    fix="Deny both directions for the namespace (podSelector: {}), then allow what is needed.",
    bad=POD, good=f"{POD}\n---\n{POLICY % 'podSelector: {}, policyTypes: [Ingress, Egress]'}",
)  # fmt: skip
def network_policy(world: World) -> Iterator[Found]:
    held: dict[int, set[str]] = defaultdict(set)
    for policy in policies(world):
        for pod in world.selected(policy.namespace, mapping(policy.spec.get("podSelector"))):
            held[id(pod)] |= directions(policy)
    for pod in world.pods:
        missing = {"Ingress", "Egress"} - held[id(pod)]
        if missing and not pod.spec.get("hostNetwork"):
            said = " and ".join(sorted(each.lower() for each in missing))
            yield Found(pod.owner, pod.meta or pod.path, f"no NetworkPolicy governs its {said}")


@bundle_rule(
    "isolated-pod", "Every pod is selected by a NetworkPolicy", level=Level.NOTE, source="S2.4", usual=False,
    why="A pod that no policy selects may be reached from everywhere.", fix="Add a NetworkPolicy that selects it.",
    bad=POD, good=f"{POD}\n---\n{POLICY % 'podSelector: {}'}",
)  # fmt: skip
def isolated_pod(world: World) -> Iterator[Found]:
    selected = {
        id(pod)
        for policy in policies(world)
        for pod in world.selected(policy.namespace, mapping(policy.spec.get("podSelector")))
    }
    for pod in world.pods:
        if id(pod) not in selected:
            yield Found(pod.owner, pod.meta or pod.path, "no NetworkPolicy selects it")


@object_rule(
    "egress-anywhere", "No policy lets pods out to everywhere", level=Level.ERROR, source="S2.5, S8.9",
    why="Data then leaves to any address, and no provider is on a list.",
    fix="Name the egress gateway, or the addresses of the provider.", kinds=("NetworkPolicy",),
    bad=POLICY % "podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 0.0.0.0/0}}]}]",
    good=POLICY % "podSelector: {}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: 192.0.2.0/28}}]}]",
)  # fmt: skip
def egress_anywhere(each: Object) -> Iterator[Hit]:
    for index, rule in items(each.spec.get("egress")):
        peers = listed(rule.get("to"))
        if not peers and not listed(rule.get("ports")):
            yield Hit(("spec", "egress", index), "an empty rule allows every address")
        for number, peer in enumerate(peers):
            cidr = at(peer, "ipBlock", "cidr")
            if cidr in ANYWHERE:
                yield Hit(("spec", "egress", index, "to", number, "ipBlock", "cidr"), f"{cidr} is every address")


@object_rule(
    "exposed-service", "Services are reached through the ingress", level=Level.WARNING, source="S8.1",
    why="A NodePort or LoadBalancer goes past the ingress: no mTLS, no rate limit, no HSTS.",
    fix="Use ClusterIP and an Ingress or a Gateway.", kinds=("Service",),
    bad=SERVICE % "type: LoadBalancer", good=SERVICE % "type: ClusterIP",
)  # fmt: skip
def exposed_service(each: Object) -> Iterator[Hit]:
    if each.spec.get("type") in ("NodePort", "LoadBalancer"):
        yield Hit(("spec", "type"), f"the Service is of type {each.spec['type']}")


@object_rule(
    "node-port", "No Service opens a port on every node", level=Level.WARNING, source="S8.1", usual=False,
    why="It goes past the ingress.", fix="Use ClusterIP and an Ingress or a Gateway.", kinds=("Service",),
    bad=SERVICE % "type: NodePort", good=SERVICE % "type: ClusterIP",
)  # fmt: skip
def node_port(each: Object) -> Iterator[Hit]:
    if each.spec.get("type") == "NodePort":
        yield Hit(("spec", "type"), "the Service is of type NodePort")


@object_rule(
    "external-ips", "No Service claims an address of its own", level=Level.ERROR, source="S8.1; CVE-2020-8554",
    why="Whoever may make a Service could take the traffic of any address.", fix="Remove externalIPs.",
    kinds=("Service",),
    bad=SERVICE % "externalIPs: [192.0.2.1]", good=SERVICE % "selector: {app: bets}",
)  # fmt: skip
def external_ips(each: Object) -> Iterator[Hit]:
    if each.spec.get("externalIPs"):
        yield Hit(("spec", "externalIPs"), "externalIPs are set")


@object_rule(
    "target-port", "Ports have names that are allowed", level=Level.ERROR, source="S15.2; RFC 6335 §5.1",
    why="The API server refuses others.", fix="Use at most 15 lower-case letters, digits and single hyphens.",
    bad=SERVICE % "ports: [{port: 80, targetPort: a-name-that-is-too-long}]",
    good=SERVICE % "ports: [{port: 80, targetPort: http}]",
)  # fmt: skip
def target_port(each: Object) -> Iterator[Hit]:
    if each.kind == "Service":
        for index, port in items(each.spec.get("ports")):
            target = port.get("targetPort")
            if _misnamed(target):
                yield Hit(("spec", "ports", index, "targetPort"), f"{target} is no name for a port")
    for pod in each.pods:
        for container in pod.containers:
            for index, port in items(container.value.get("ports")):
                if _misnamed(port.get("name")):
                    yield Hit((*container.path, "ports", index, "name"), f"{port['name']} is no name for a port")


def _misnamed(name: object) -> bool:
    return type(name) is str and not name.isdigit() and not _PORT_NAME.fullmatch(name)


@object_rule(
    "ingress-tls", "Every host of an Ingress has TLS", level=Level.ERROR, source="S8.1, S8.3",
    why="Players' sessions would cross the network in the clear.", fix="List every host in spec.tls.",
    kinds=("Ingress",),
    bad=INGRESS % ("", "rules: [{host: a.example}]"),
    good=INGRESS % ("", "tls: [{hosts: [a.example], secretName: a}], rules: [{host: a.example}]"),
)  # fmt: skip
def ingress_tls(each: Object) -> Iterator[Hit]:
    blocks = [mapping(block) for block in listed(each.spec.get("tls"))]
    if not blocks:
        yield Hit(("spec", "tls"), "no TLS")
        return
    covered = {text(host) for block in blocks for host in listed(block.get("hosts"))}
    for index, rule in items(each.spec.get("rules")):
        host = text(rule.get("host"))
        wild = f"*.{host.partition('.')[2]}"
        if covered and host and host not in covered and wild not in covered:
            yield Hit(("spec", "rules", index, "host"), f"{host} is in no block of spec.tls")


@object_rule(
    "ingress-host", "Every rule of an Ingress names its host", level=Level.ERROR, source="S8.1",
    why="Without one it takes the requests of every host of the cluster.", fix="Set host.", kinds=("Ingress",),
    bad=INGRESS % ("", "rules: [{http: {paths: []}}]"), good=INGRESS % ("", "rules: [{host: a.example}]"),
)  # fmt: skip
def ingress_host(each: Object) -> Iterator[Hit]:
    for index, rule in items(each.spec.get("rules")):
        host = text(rule.get("host"))
        if not host:
            yield Hit(("spec", "rules", index), "the rule names no host")


@object_rule(
    "ingress-wildcard", "Every rule of an Ingress is about one host", level=Level.WARNING, source="S8.1",
    why="A wildcard takes the requests of brands that are not meant.", fix="Name the hosts.", kinds=("Ingress",),
    bad=INGRESS % ("", "rules: [{host: '*.example'}]"), good=INGRESS % ("", "rules: [{host: a.example}]"),
)  # fmt: skip
def ingress_wildcard(each: Object) -> Iterator[Hit]:
    for index, rule in items(each.spec.get("rules")):
        host = text(rule.get("host"))
        if host.startswith("*"):
            yield Hit(("spec", "rules", index, "host"), f"{host} takes the requests of many hosts")


@object_rule(
    "ingress-snippet", "No Ingress writes configuration of the proxy", level=Level.ERROR, source="S8.1; CVE-2021-25742",
    why="A snippet can read every secret that the ingress controller may read.", fix="Remove the snippet.",
    kinds=("Ingress",), bad=INGRESS % (", annotations: {nginx.ingress.kubernetes.io/server-snippet: x}", ""),
    good=INGRESS % ("", ""),
)  # fmt: skip
def ingress_snippet(each: Object) -> Iterator[Hit]:
    for key in each.annotations:
        if key.endswith("-snippet") and "ingress" in key:
            yield Hit(("metadata", "annotations", key), f"{key} writes configuration of the proxy")


@bundle_rule(
    "ingress-duplicate", "No two Ingresses claim one host and path", level=Level.ERROR, source="S8.1",
    why="Which of the two answers players is decided by the order in which they were made.", fix="Remove one.",
    bad=INGRESS % ("", "rules: [{host: a.example, http: {paths: [{path: /}]}}]") + "\n---\n"
    + (INGRESS % ("", "rules: [{host: a.example, http: {paths: [{path: /}]}}]")).replace("name: bets", "name: other"),
    good=INGRESS % ("", "rules: [{host: a.example, http: {paths: [{path: /}]}}]"),
)  # fmt: skip
def ingress_duplicate(world: World) -> Iterator[Found]:
    seen: dict[tuple[str, str, str], Object] = {}
    for each in world.of("Ingress"):
        for index, rule in items(each.spec.get("rules")):
            host = text(rule.get("host"))
            for number, path in items(at(rule, "http", "paths")):
                key = (host, text(path.get("path")) or "/", text(each.spec.get("ingressClassName")))
                first = seen.setdefault(key, each)
                if first is not each and host:
                    place = ("spec", "rules", index, "http", "paths", number)
                    yield Found(each, place, f"{first.manifest.name} claims {host}{key[1]}, too")


RULES = (
    network_policy, isolated_pod, egress_anywhere, exposed_service, node_port, external_ips, target_port, ingress_tls,
    ingress_host, ingress_wildcard, ingress_snippet, ingress_duplicate,
)  # fmt: skip
