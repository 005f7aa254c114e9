"""Whether what a rollout names is there: Services, routes, analyses, metrics (S4.6, S4.7).

As for other names: missed only where things of that kind are among the manifests of the namespace.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from croupier.core.policy.objects import Object, at, items, listed, mapping, text
from croupier.core.policy.rule import Found, Level, bundle_rule
from croupier.core.policy.world import World
from croupier.model.manifest import Path
from croupier.model.objects import JsonObject

_BUILT_IN = ("request-success-rate", "request-duration")
"""Metrics that Flagger knows by itself."""
CANARY: Path = ("spec", "strategy", "canary")
BLUE_GREEN: Path = ("spec", "strategy", "blueGreen")
EXAMPLE = (
    "{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: bets}, spec: {strategy: {canary: "
    "{stableService: bets, canaryService: %s}}}}\n---\n{apiVersion: v1, kind: Service, metadata: {name: bets}}\n---\n"
    "{apiVersion: v1, kind: Service, metadata: {name: bets-canary}}"
)


@bundle_rule(
    "rollout-references", "What a rollout names is there", level=Level.ERROR, source="S4.6, S4.7",
    why="A rollout that names a Service, a route or an analysis that is not there stops at its first step, or moves "
    "players without being judged.",
    fix="Mend the name, or add what it names.",
    bad=EXAMPLE % "bets-canry", good=EXAMPLE % "bets-canary",
)  # fmt: skip
def rollout_references(world: World) -> Iterator[Found]:
    for each in world.of("Rollout"):
        if each.group == "argoproj.io":
            yield from _of_rollout(world, each)
    for each in world.of("Canary"):
        if each.group == "flagger.app":
            yield from _of_canary(world, each)
    for each in world.of("ReleasePolicy"):
        yield from _Names(world, each).missing("Deployment", each.spec.get("deployment"), ("spec", "deployment"))


class _Names(NamedTuple):
    """What one object of the ``world`` names."""

    world: World
    each: Object

    def missing(self, kind: str, name: Any, path: Path, namespace: str | None = None) -> Iterator[Found]:
        """Something where ``name`` is one, and is not there though others of its kind are.

        ``namespace``: where it is looked for; None: beside the object.
        """
        space = self.each.namespace if namespace is None else namespace
        wanted = text(name)
        if wanted and self.world.named(kind, space, wanted) is None and self.world.has_in(kind, space):
            yield Found(self.each, path, f"there is no {kind} {wanted}")


def _of_rollout(world: World, each: Object) -> Iterator[Found]:
    reference = mapping(each.spec.get("workloadRef"))
    if reference:
        kind = text(reference.get("kind")) or "Deployment"
        yield from _Names(world, each).missing(kind, reference.get("name"), ("spec", "workloadRef", "name"))
    canary, blue_green = (mapping(at(each.value, *map(str, path))) for path in (CANARY, BLUE_GREEN))
    for path, held, keys in (
        (CANARY, canary, ("stableService", "canaryService")),
        (BLUE_GREEN, blue_green, ("activeService", "previewService")),
    ):
        for key in keys:
            yield from _service(world, each, held.get(key), (*path, key))
        if held.get(keys[0]) and held.get(keys[0]) == held.get(keys[1]):
            yield Found(each, (*path, keys[1]), f"{keys[0]} and {keys[1]} are the same")
    yield from _analyses(world, each, mapping(canary.get("analysis")), (*CANARY, "analysis"))
    for index, step in items(canary.get("steps")):
        yield from _analyses(world, each, mapping(step.get("analysis")), (*CANARY, "steps", index, "analysis"))
    for key in ("prePromotionAnalysis", "postPromotionAnalysis"):
        yield from _analyses(world, each, mapping(blue_green.get(key)), (*BLUE_GREEN, key))
    yield from _traffic(world, each, canary)


def _service(world: World, each: Object, name: Any, path: Path) -> Iterator[Found]:
    yield from _Names(world, each).missing("Service", name, path)
    service = world.named("Service", each.namespace, text(name))
    wanted = mapping(service.spec.get("selector")) if service is not None else {}
    # The controller adds the hash of a version to the selector; what stands there before has to take the pods.
    plain = {key: value for key, value in wanted.items() if key != "rollouts-pod-template-hash"}
    pods = [pod for pod in each.pods if pod.labels]
    if plain and pods and not any(pod.owner is each for pod in world.selected(each.namespace, {"matchLabels": plain})):
        yield Found(each, path, f"Service {text(name)} does not select its pods")


def _analyses(world: World, each: Object, analysis: JsonObject, path: Path) -> Iterator[Found]:
    given = {text(argument.get("name")) for _, argument in items(analysis.get("args"))}
    for index, template in items(analysis.get("templates")):
        at_name = (*path, "templates", index, "templateName")
        name, is_wide = text(template.get("templateName")), template.get("clusterScope") is True
        kind, space = ("ClusterAnalysisTemplate", "") if is_wide else ("AnalysisTemplate", each.namespace)
        yield from _Names(world, each).missing(kind, name, at_name, space)
        held = world.named(kind, space, name)
        for _, argument in items(held.spec.get("args") if held is not None else None):
            wanted = text(argument.get("name"))
            if wanted and "value" not in argument and "valueFrom" not in argument and wanted not in given:
                yield Found(each, (*path, "args"), f"{kind} {name} asks for {wanted}, which is not given")


def _traffic(world: World, each: Object, canary: JsonObject) -> Iterator[Found]:
    routing = mapping(canary.get("trafficRouting"))
    path = (*CANARY, "trafficRouting")
    pair = [text(canary.get(key)) for key in ("stableService", "canaryService")]
    istio = mapping(routing.get("istio"))
    rule = mapping(istio.get("destinationRule"))
    subsets = [text(rule.get(key)) for key in ("stableSubsetName", "canarySubsetName")] if rule else []
    told = [((*path, "istio", "virtualService"), mapping(istio.get("virtualService")))]
    told += [((*path, "istio", "virtualServices", index), held) for index, held in items(istio.get("virtualServices"))]
    for place, held in told:
        yield from _virtual_service(_Names(world, each), held, place, pair, subsets)
    if rule:
        yield from _Names(world, each).missing(
            "DestinationRule", rule.get("name"), (*path, "istio", "destinationRule", "name")
        )
        found = world.named("DestinationRule", each.namespace, text(rule.get("name")))
        names = (
            [text(subset.get("name")) for _, subset in items(found.spec.get("subsets"))] if found is not None else []
        )
        for subset in subsets:
            if found is not None and subset and subset not in names:
                said = f"DestinationRule {found.name} has no subset {subset}"
                yield Found(each, (*path, "istio", "destinationRule"), said)
    for name, place in (
        (at(routing, "nginx", "stableIngress"), (*path, "nginx", "stableIngress")),
        (at(routing, "alb", "ingress"), (*path, "alb", "ingress")),
    ):
        yield from _Names(world, each).missing("Ingress", name, place)
        yield from _ingress(world, each, text(name), place, pair[0] or text(at(routing, "alb", "rootService")))
    gateway = mapping(at(routing, "plugins", "argoproj-labs/gatewayAPI"))
    space = text(gateway.get("namespace")) or each.namespace
    routes = [gateway.get("httpRoute"), *(held.get("name") for _, held in items(gateway.get("httpRoutes")))]
    for route in routes:
        place = (*path, "plugins", "argoproj-labs/gatewayAPI")
        yield from _Names(world, each).missing("HTTPRoute", route, place, space)
        held_route = world.named("HTTPRoute", space, text(route))
        if held_route is not None:
            backs = {
                text(back.get("name"))
                for _, one in items(held_route.spec.get("rules"))
                for _, back in items(one.get("backendRefs"))
            }
            yield from _both(each, place, f"HTTPRoute {held_route.name}", pair, backs)


def _virtual_service(
    names: _Names, held: JsonObject, place: Path, pair: list[str], subsets: list[str]
) -> Iterator[Found]:
    name, _, space = text(held.get("name")).partition(".")
    yield from names.missing("VirtualService", name, (*place, "name"), space or names.each.namespace)
    found = names.world.named("VirtualService", space or names.each.namespace, name)
    if found is None:
        return
    routes = [route for _, route in items(found.spec.get("http"))]
    wanted = [text(route) for route in listed(held.get("routes"))]
    for route in wanted:
        if route and route not in [text(one.get("name")) for one in routes]:
            yield Found(names.each, (*place, "routes"), f"VirtualService {name} has no route {route}")
    moved = [one for one in routes if not wanted or text(one.get("name")) in wanted]
    ends = [mapping(to.get("destination")) for one in moved for _, to in items(one.get("route"))]
    if subsets:
        yield from _both(
            names.each, place, f"VirtualService {name}", subsets, {text(end.get("subset")) for end in ends}
        )
    else:
        hosts = {text(end.get("host")).partition(".")[0] for end in ends}
        yield from _both(names.each, place, f"VirtualService {name}", pair, hosts)


def _ingress(world: World, each: Object, name: str, place: Path, service: str) -> Iterator[Found]:
    found = world.named("Ingress", each.namespace, name)
    if found is None or not service:
        return
    backs = {text(at(found.spec, "defaultBackend", "service", "name"))} | {
        text(at(way, "backend", "service", "name"))
        for _, rule in items(found.spec.get("rules"))
        for way in listed(at(rule, "http", "paths"))
    }
    if service not in backs:
        yield Found(each, place, f"Ingress {name} does not lead to {service}")


def _both(each: Object, place: Path, where: str, wanted: list[str], there: set[str]) -> Iterator[Found]:
    for name in wanted:
        if name and there - {""} and name not in there:
            yield Found(each, place, f"{where} does not lead to {name}")


def _of_canary(world: World, each: Object) -> Iterator[Found]:
    for key in ("targetRef", "autoscalerRef", "ingressRef"):
        held = mapping(each.spec.get(key))
        yield from _Names(world, each).missing(text(held.get("kind")), held.get("name"), ("spec", key, "name"))
    for index, metric in items(at(each.spec, "analysis", "metrics")):
        path = ("spec", "analysis", "metrics", index)
        reference = mapping(metric.get("templateRef"))
        if reference:
            space = text(reference.get("namespace")) or each.namespace
            yield from _Names(world, each).missing(
                "MetricTemplate", reference.get("name"), (*path, "templateRef"), space
            )
        elif text(metric.get("name")) not in _BUILT_IN and not metric.get("query"):
            said = f"Flagger knows no metric {text(metric.get('name')) or index}: it needs a templateRef"
            yield Found(each, path, said)


RULES = (rollout_references,)
