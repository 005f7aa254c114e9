"""What routes of gateways do for players before a request reaches a pod, as far as the objects can say it (S8.1, S8.3,
S8.4): the Gateway API by itself, Envoy Gateway by its policies, Istio by its own kinds.
"""

from __future__ import annotations

from collections.abc import Iterator

from croupier.core.policy.gateways import (
    Way,
    destination_rules,
    gateways_of,
    is_envoy,
    policies_of,
    targets_service,
    ways,
)
from croupier.core.policy.mesh import MESH_ROOT
from croupier.core.policy.objects import Object, at, items, listed, mapping, text
from croupier.core.policy.rule import Found, Level, bundle_rule
from croupier.core.policy.world import World
from croupier.model.objects import JsonObject

HSTS = "strict-transport-security"
ROUTE = (
    "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: bets, namespace: casino}, spec: "
    "{parentRefs: [{name: players, namespace: gateway}], hostnames: [a.example], rules: [{%sbackendRefs: [{name: bets, "
    "port: 80}]}]}}"
)
_POLICY = (
    "\n---\n{apiVersion: gateway.envoyproxy.io/v1alpha1, kind: BackendTrafficPolicy, metadata: {name: bets, namespace: "
    "casino}, spec: {targetRefs: [{group: gateway.networking.k8s.io, kind: HTTPRoute, name: bets}], %s}}"
)
_HEADER = (
    "filters: [{type: ResponseHeaderModifier, responseHeaderModifier: {set: [{name: Strict-Transport-Security, value: "
    "max-age=31536000}]}}], "
)
_BACKEND_TLS = (
    "\n---\n{apiVersion: gateway.networking.k8s.io/v1, kind: BackendTLSPolicy, metadata: {name: bets, namespace: "
    "casino}, spec: {targetRefs: [{group: '', kind: Service, name: bets}], validation: {hostname: bets.casino, "
    "wellKnownCACertificates: System}}}"
)
_GATEWAY = (
    "\n---\n{apiVersion: gateway.networking.k8s.io/v1, kind: Gateway, metadata: {name: players, namespace: gateway}, "
    "spec: {gatewayClassName: players, listeners: [{name: https, port: 443, protocol: HTTPS, tls: {certificateRefs: "
    "[{name: players}]}}]}}"
)
_OFF = frozenset(("DISABLE", ""))


@bundle_rule(
    "gateway-hsts", "Routes of a gateway tell browsers to come back by TLS only", level=Level.WARNING, source="S8.3",
    why="The first request of a player who types the name goes in the clear, and whoever is between may keep it so.",
    fix="Set the header Strict-Transport-Security: a filter ResponseHeaderModifier of the HTTPRoute, "
    "lateResponseHeaders of a ClientTrafficPolicy, or headers.response.set of the VirtualService.",
    bad=ROUTE % "" + _GATEWAY, good=ROUTE % _HEADER + _GATEWAY,
)  # fmt: skip
def gateway_hsts(world: World) -> Iterator[Found]:
    for way in _told(world):
        if way.route.kind != "GRPCRoute" and not _sends_hsts(world, way):
            yield Found(way.route, way.path, "nothing sends Strict-Transport-Security")


def _told(world: World) -> Iterator[Way]:
    """Ways whose gateway is among the files: who attaches a route to another's Gateway cannot know what that does.
    A VirtualService is where Istio says it.
    """
    return (each for each in ways(world) if each.route.kind == "VirtualService" or gateways_of(world, each.route))


def _sends_hsts(world: World, way: Way) -> bool:
    if way.route.kind == "VirtualService":
        places = [way.rule, *map(mapping, listed(way.rule.get("route")))]
        return any(
            HSTS in {str(name).lower() for name in mapping(at(place, "headers", "response", verb))}
            for place in places
            for verb in ("set", "add")
        )
    filters = [*listed(way.rule.get("filters"))]
    filters += [each for backend in listed(way.rule.get("backendRefs")) for each in listed(at(backend, "filters"))]
    told = [mapping(at(each, "responseHeaderModifier")) for each in filters]
    told += [
        mapping(at(each.spec, "headers", "lateResponseHeaders"))
        for each in policies_of(world, "ClientTrafficPolicy", way)
    ]
    return any(_names_hsts(each) for each in told)


def _names_hsts(modifier: JsonObject) -> bool:
    return any(
        text(held.get("name")).lower() == HSTS for verb in ("set", "add") for _, held in items(modifier.get(verb))
    )


@bundle_rule(
    "gateway-rate-limit", "Routes of a gateway limit how often one caller may ask", level=Level.WARNING, source="S8.4",
    why="One bot that guesses passwords, or one bonus hunt, takes the room of everybody.",
    fix="Envoy Gateway: rateLimit of a BackendTrafficPolicy for the route or its Gateway. Istio: an EnvoyFilter with a "
    "limit in the namespace of the gateway.",
    bad=ROUTE % "" + _POLICY % "retry: {numRetries: 1}",
    good=ROUTE % "" + _POLICY % "rateLimit: {type: Local, local: {rules: [{limit: {requests: 20, unit: Second}}]}}",
)  # fmt: skip
def gateway_rate_limit(world: World) -> Iterator[Found]:
    for way in _judged(world):
        limits = (mapping(each.spec.get("rateLimit")) for each in policies_of(world, "BackendTrafficPolicy", way))
        if not any(_limits(each) for each in limits) and not _filtered(world, way, "ratelimit"):
            yield Found(way.route, way.path, "no limit of how often one caller may ask")


def _limits(limit: JsonObject) -> bool:
    return any(listed(at(limit, kind, "rules")) for kind in ("local", "global"))


@bundle_rule(
    "gateway-body-size", "Routes of a gateway say how large a request may be", level=Level.WARNING, source="S8.1",
    why="A body of a gigabyte fills a pod's memory, and neither Envoy Gateway nor Istio refuses it unasked.",
    fix="Envoy Gateway: requestBuffer.limit of a BackendTrafficPolicy for the route or its Gateway. Istio: an "
    "EnvoyFilter with envoy.filters.http.buffer in the namespace of the gateway.",
    bad=ROUTE % "" + _POLICY % "retry: {numRetries: 1}", good=ROUTE % "" + _POLICY % "requestBuffer: {limit: 1Mi}",
)  # fmt: skip
def gateway_body_size(world: World) -> Iterator[Found]:
    for way in _judged(world):
        held = (at(each.spec, "requestBuffer", "limit") for each in policies_of(world, "BackendTrafficPolicy", way))
        if not any(held) and not _filtered(world, way, "filters.http.buffer"):
            yield Found(way.route, way.path, "no limit of how large a request may be")


def _judged(world: World) -> Iterator[Way]:
    """Ways whose gateway is told: Envoy Gateway's or Istio's. The Gateway API by itself can say neither limit."""
    return (each for each in ways(world) if each.route.kind == "VirtualService" or is_envoy(world, each.route))


def _filtered(world: World, way: Way, wanted: str) -> bool:
    """Whether an EnvoyFilter that holds for the route's gateways says ``wanted``."""
    places = {MESH_ROOT, way.route.namespace}
    places |= {text(name).rpartition("/")[0] for name in listed(way.route.spec.get("gateways"))} - {""}
    if way.route.kind != "VirtualService":
        return False
    return any(
        each.namespace in places and any(wanted in name for name in _filters(each)) for each in world.of("EnvoyFilter")
    )


def _filters(each: Object) -> Iterator[str]:
    for _, held in items(each.spec.get("configPatches")):
        value = mapping(at(held, "patch", "value"))
        yield text(value.get("name")).replace("_", "")
        yield text(at(value, "typed_config", "@type"))


@bundle_rule(
    "gateway-backend-tls", "Gateways speak TLS to what is behind a route", level=Level.WARNING, source="S8.1",
    why="Between the gateway and the pod, sessions and card data would cross the network in the clear.",
    fix="Add a BackendTLSPolicy for the Service, or in a mesh a DestinationRule or PeerAuthentication that asks for "
    "mTLS. Where the gateway is in a mesh that does it unasked, switch this rule off.",
    bad=ROUTE % "" + _GATEWAY, good=ROUTE % "" + _GATEWAY + _BACKEND_TLS,
)  # fmt: skip
def gateway_backend_tls(world: World) -> Iterator[Found]:
    for way in _told(world):
        if _ask_for_tls(destination_rules(world, way)):
            continue
        for namespace, name in dict.fromkeys(way.services):
            if not _is_encrypted(world, namespace, name):
                yield Found(way.route, way.path, f"{name} is asked in the clear")


def _ask_for_tls(rules: list[Object]) -> bool:
    return any(text(at(each.spec, "trafficPolicy", "tls", "mode")) not in _OFF for each in rules)


def _is_encrypted(world: World, namespace: str, name: str) -> bool:
    if any(targets_service(each, namespace, name) for each in world.of("BackendTLSPolicy")):
        return True
    return any(
        each.namespace in (MESH_ROOT, namespace)
        and not each.spec.get("selector")
        and at(each.spec, "mtls", "mode") == "STRICT"
        for each in world.of("PeerAuthentication")
    )


RULES = (gateway_hsts, gateway_rate_limit, gateway_body_size, gateway_backend_tls)
