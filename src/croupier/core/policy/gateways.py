"""Routes of the Gateway API and of Istio as rules read them: who is behind them, and which policies hold for them.

Envoy Gateway's policies hold for the HTTPRoute that they target; where none does, those of its Gateway do, and beside
one of the route that says ``mergeType``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from croupier.core.policy.objects import Object, at, items, listed, mapping, text
from croupier.core.policy.selectors import matches
from croupier.core.policy.world import World
from croupier.model.manifest import Path
from croupier.model.objects import JsonObject

ENVOY = "gateway.envoyproxy.io"
GATEWAY_API = "gateway.networking.k8s.io"
_ENDS_HERE = frozenset(("RequestRedirect", "DirectResponse"))


class Way(NamedTuple):
    """One rule of a route that leads players to Services: the route, where the rule stands, the rule, and who is behind
    it, by namespace and name.
    """

    route: Object
    path: Path
    rule: JsonObject
    services: tuple[tuple[str, str], ...]


def ways(world: World) -> Iterator[Way]:
    """Rules of HTTPRoutes of gateways and of VirtualServices of gateways that lead somewhere; not those of a mesh."""
    for route in world.of("HTTPRoute", "GRPCRoute"):
        if route.group != GATEWAY_API or not _parents(route):
            continue
        for index, rule in items(route.spec.get("rules")):
            behind = tuple(
                (text(each.get("namespace")) or route.namespace, text(each.get("name")))
                for each in map(mapping, listed(rule.get("backendRefs")))
                if each.get("kind") in (None, "Service")
            )
            if behind and not any(text(at(each, "type")) in _ENDS_HERE for each in listed(rule.get("filters"))):
                yield Way(route, ("spec", "rules", index), rule, behind)
    for route in world.of("VirtualService"):
        if not any(text(each) != "mesh" for each in listed(route.spec.get("gateways"))):
            continue
        for index, rule in items(route.spec.get("http")):
            hosts = [text(at(each, "destination", "host")) for each in listed(rule.get("route"))]
            behind = tuple(_of_host(host, route.namespace) for host in hosts if host)
            if behind:
                yield Way(route, ("spec", "http", index), rule, behind)


def _of_host(host: str, namespace: str) -> tuple[str, str]:
    name, _, rest = host.partition(".")
    return rest.partition(".")[0] or namespace, name


def _parents(route: Object) -> list[JsonObject]:
    held = (mapping(each) for each in listed(route.spec.get("parentRefs")))
    return [each for each in held if each.get("kind") in (None, "Gateway")]


def gateways_of(world: World, route: Object) -> list[Object]:
    """The Gateways among the files that a route of the Gateway API is attached to."""
    named = (
        world.named("Gateway", text(each.get("namespace")) or route.namespace, text(each.get("name")))
        for each in _parents(route)
    )
    return [each for each in named if each is not None]


def policies_of(world: World, kind: str, way: Way) -> list[Object]:
    """Policies of ``kind`` of Envoy Gateway that hold for ``way``."""
    held = [each for each in world.of(kind) if each.group == ENVOY]
    section = text(way.rule.get("name"))
    own = [
        each
        for each in held
        if each.namespace == way.route.namespace and _targets(each, way.route.kind, way.route, section)
    ]
    if own and not any(each.spec.get("mergeType") for each in own):
        return own
    of_gateway = [
        each
        for parent in _parents(way.route)
        for each in held
        if each.namespace == (text(parent.get("namespace")) or way.route.namespace)
        and _aims_at_gateway(world, each, parent)
    ]
    return own + of_gateway


def _targets(policy: Object, kind: str, wanted: Object, section: str) -> bool:
    for each in _references(policy):
        if each.get("kind") == kind and each.get("name") == wanted.name:
            return each.get("sectionName") in (None, section)
    return any(
        each.get("kind") == kind and matches({**each}, wanted.labels)
        for each in map(mapping, listed(policy.spec.get("targetSelectors")))
    )


def _aims_at_gateway(world: World, policy: Object, parent: JsonObject) -> bool:
    name = text(parent.get("name"))
    for each in _references(policy):
        if each.get("kind") == "Gateway" and each.get("name") == name:
            return each.get("sectionName") is None or each["sectionName"] == parent.get("sectionName")
    gateway = world.named("Gateway", policy.namespace, name)
    return gateway is not None and _targets(policy, "Gateway", gateway, "")


def _references(policy: Object) -> list[JsonObject]:
    return [mapping(each) for each in (*listed(policy.spec.get("targetRefs")), policy.spec.get("targetRef"))]


def targets_service(policy: Object, namespace: str, name: str) -> bool:
    """Whether a policy of the Gateway API (BackendTLSPolicy and the like) is about a Service."""
    return policy.namespace == namespace and any(
        each.get("kind") == "Service" and each.get("name") == name for each in _references(policy)
    )


def is_envoy(world: World, route: Object) -> bool:
    """Whether the files tell that a route is Envoy Gateway's: by the class of its Gateway, else by what of it is among
    them.
    """
    controllers = {each.name: text(each.spec.get("controllerName")) for each in world.of("GatewayClass")}
    for gateway in gateways_of(world, route):
        told = controllers.get(text(gateway.spec.get("gatewayClassName")))
        if told is not None:
            return told.startswith(f"{ENVOY}/")
    return any(each.group == ENVOY for each in world.of("BackendTrafficPolicy", "ClientTrafficPolicy"))


def destination_rules(world: World, way: Way) -> list[Object]:
    """The DestinationRules for what is behind ``way``."""
    return [
        each
        for each in world.of("DestinationRule")
        if _of_host(text(each.spec.get("host")), each.namespace) in way.services
    ]
