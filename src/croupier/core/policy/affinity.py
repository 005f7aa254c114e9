"""Whether players who hold a connection come back to their pod, whichever way they come (S6.7)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from croupier.core.policy.facts import is_realtime
from croupier.core.policy.gateways import Way, destination_rules, policies_of, targets_service, ways
from croupier.core.policy.objects import Object, at, items, listed, mapping, text
from croupier.core.policy.rule import Found, Level, bundle_rule
from croupier.core.policy.world import World
from croupier.model.manifest import Path

TABLES = (
    "{apiVersion: apps/v1, kind: Deployment, metadata: {name: tables}, spec: {replicas: 3, template: {metadata: "
    "{labels: {app: tables, tier: realtime}}, spec: {containers: [{name: app}]}}}}\n---\n"
    "{apiVersion: v1, kind: Service, metadata: {name: tables}, spec: {selector: {app: tables}%s}}"
)
_INGRESS = ("/affinity", "/upstream-hash-by")
_TRAEFIK = "traefik.ingress.kubernetes.io/service.sticky.cookie"


@bundle_rule(
    "sticky", "Players who hold a connection stay with their pod", level=Level.ERROR, source="S6.7",
    why="A reconnect that lands on another pod finds neither the round nor the table.",
    fix="Keep them on every way. On the route: the annotation of the ingress (nginx: affinity or upstream-hash-by), "
    "sessionPersistence of the HTTPRoute, or consistentHash of a BackendTrafficPolicy: gateways go past the Service. "
    "On what is behind it: sessionAffinity: ClientIP, or consistentHash of a DestinationRule.",
    bad=TABLES % "", good=TABLES % ", sessionAffinity: ClientIP",
)  # fmt: skip
def sticky(world: World) -> Iterator[Found]:
    routed: dict[tuple[str, str], list[tuple[Object, Path, bool]]] = defaultdict(list)
    for way in ways(world):
        for behind in way.services:
            routed[behind].append((way.route, way.path, _is_kept(world, way)))
    for ingress in world.of("Ingress"):
        for index, rule in items(ingress.spec.get("rules")):
            for number, path in items(at(rule, "http", "paths")):
                called = ingress.namespace, text(at(path, "backend", "service", "name"))
                place: Path = ("spec", "rules", index, "http", "paths", number)
                routed[called].append((ingress, place, _is_kept_by_ingress(world, ingress, *called)))
    routes_of_ours = _of_release_policies(world)
    for service in world.of("Service"):
        if service.spec.get("clusterIP") == "None":
            continue
        if not any(is_realtime(pod) for pod in world.behind(service.namespace, service.name)):
            continue
        key = service.namespace, service.name
        for route, place, is_kept in routed[key]:
            if not is_kept:
                said = f"players hold connections to pods of {service.name}, and this route does not keep them there"
                yield Found(route, place, said)
        if not routed[key] and key not in routes_of_ours and not _keeps(world, service):
            yield Found(service, ("spec",), "players hold connections to its pods, and nothing keeps them there")


def _is_kept(world: World, way: Way) -> bool:
    if way.route.kind == "VirtualService":
        return _hashes(destination_rules(world, way))
    if mapping(way.rule.get("sessionPersistence")):
        return True
    if any(at(each.spec, "loadBalancer", "consistentHash") for each in policies_of(world, "BackendTrafficPolicy", way)):
        return True
    return all(_is_told(world, *service) for service in way.services) or _hashes(destination_rules(world, way))


def _is_kept_by_ingress(world: World, ingress: Object, namespace: str, name: str) -> bool:
    service = world.named("Service", namespace, name)
    annotations = ingress.annotations
    if text(annotations.get("nginx.ingress.kubernetes.io/service-upstream")) == "true":
        return service is not None and service.spec.get("sessionAffinity") == "ClientIP"
    return (
        any(str(key).endswith(_INGRESS) for key in annotations)
        or any("stickiness.enabled=true" in text(value) for value in annotations.values())
        or (service is not None and text(service.annotations.get(_TRAEFIK)) == "true")
    )


def _is_told(world: World, namespace: str, name: str) -> bool:
    """Whether a policy of the Gateway API about the Service itself keeps sessions."""
    kinds = "XBackendTrafficPolicy", "BackendLBPolicy"
    return any(
        targets_service(each, namespace, name) and bool(mapping(each.spec.get("sessionPersistence")))
        for each in world.of(*kinds)
    )


def _keeps(world: World, service: Object) -> bool:
    way = Way(service, (), {}, ((service.namespace, service.name),))
    return service.spec.get("sessionAffinity") == "ClientIP" or _hashes(destination_rules(world, way))


def _hashes(rules: list[Object]) -> bool:
    return any(at(each.spec, "trafficPolicy", "loadBalancer", "consistentHash") for each in rules)


def _of_release_policies(world: World) -> set[tuple[str, str]]:
    """Services whose HTTPRoute an operator makes, and that a BackendTrafficPolicy for it keeps players at."""
    return {
        (each.namespace, text(target.get("name")))
        for each in world.of("BackendTrafficPolicy")
        if at(each.spec, "loadBalancer", "consistentHash")
        for target in map(mapping, listed(each.spec.get("targetRefs")))
        if world.named("ReleasePolicy", each.namespace, text(target.get("name"))) is not None
    }


RULES = (sticky,)
