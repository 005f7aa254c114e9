"""Names in manifests that lead nowhere. Only where the kind that is named is among the manifests at all, or nothing
else could be meant: who checks one service alone does not have the others.
"""

from __future__ import annotations

from collections.abc import Iterator

from croupier.core.policy.network import policies
from croupier.core.policy.objects import Object, Pod, at, items, listed, mapping, text
from croupier.core.policy.rule import Found, Level, bundle_rule
from croupier.core.policy.secret_sources import Makers
from croupier.core.policy.selectors import matches
from croupier.core.policy.world import SCALERS, World, target
from croupier.model.manifest import Path

POD = "{apiVersion: v1, kind: Pod, metadata: {name: bets, labels: {app: bets}}, spec: {containers: [{name: app%s}]}}"
SERVICE = (
    "{apiVersion: v1, kind: Service, metadata: {name: bets, labels: {app: bets}}, spec: {selector: {app: %s}, "
    "ports: [{port: 80, name: http}]}}"
)
HPA = (
    "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: a}, spec: {scaleTargetRef: "
    "{kind: Deployment, name: bets}}}"
)
DEPLOYMENT = (
    "{apiVersion: apps/v1, kind: Deployment, metadata: {name: %s}, spec: {template: {spec: {containers: [{}]}}}}"
)
INGRESS = (
    "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: a}, spec: {rules: [{host: a.example, "
    "http: {paths: [{backend: {service: {name: %s, port: {number: 80}}}}]}}]}}"
)
NETPOL = (
    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a}, spec: {podSelector: "
    "{matchLabels: {app: %s}}}}"
)
PEER = (
    "{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: a}, spec: {podSelector: {}, "
    "ingress: [{from: [{podSelector: {matchLabels: {app: %s}}}]}]}}"
)
MONITOR = (
    "{apiVersion: monitoring.coreos.com/v1, kind: ServiceMonitor, metadata: {name: a}, spec: {selector: "
    "{matchLabels: {app: %s}}}}"
)


@bundle_rule(
    "dangling-service", "A Service selects pods", level=Level.ERROR, source="S15.2",
    why="Nobody answers behind it.", fix="Let the selector and the labels of the pods agree.",
    bad=f"{POD % ''}\n---\n{SERVICE % 'bet'}", good=f"{POD % ''}\n---\n{SERVICE % 'bets'}",
)  # fmt: skip
def dangling_service(world: World) -> Iterator[Found]:
    if not world.pods:
        return
    for each in world.of("Service"):
        wanted = mapping(each.spec.get("selector"))
        is_elsewhere = not wanted or each.spec.get("type") == "ExternalName"
        if not is_elsewhere and not world.selected(each.namespace, {"matchLabels": wanted}):
            yield Found(each, ("spec", "selector"), "selects no pod")


@bundle_rule(
    "dangling-hpa", "An autoscaler scales something", level=Level.ERROR, source="S6.1",
    why="Nothing grows when players come.", fix="Mend scaleTargetRef.",
    bad=f"{DEPLOYMENT % 'bet'}\n---\n{HPA}", good=f"{DEPLOYMENT % 'bets'}\n---\n{HPA}",
)  # fmt: skip
def dangling_hpa(world: World) -> Iterator[Found]:
    for each in world.of(*SCALERS):
        kind, namespace, name = target(each)
        if world.named(kind, namespace, name) is None and (world.controllers or world.has((kind,))):
            yield Found(each, ("spec", "scaleTargetRef"), f"there is no {kind} {name}")
    for each in world.of("HTTPScaledObject"):
        for key in ("scaleTargetRef", "coldStartTimeoutFailoverRef"):
            name = text(at(each.spec, key, "service"))
            is_known = world.named("Service", each.namespace, name) is not None
            if name and not is_known and world.has_in("Service", each.namespace):
                yield Found(each, ("spec", key, "service"), f"there is no Service {name}")
    for each in world.of("VerticalPodAutoscaler"):
        kind, name = text(at(each.spec, "targetRef", "kind")), text(at(each.spec, "targetRef", "name"))
        if world.named(kind, each.namespace, name) is None and (world.controllers or world.has((kind,))):
            yield Found(each, ("spec", "targetRef"), f"there is no {kind} {name}")


def _ports(service: Object) -> list[object]:
    """Numbers and names of its ports."""
    return [
        value
        for port in listed(service.spec.get("ports"))
        for value in (mapping(port).get("port"), mapping(port).get("name"))
    ]


def _backends(ingress: Object) -> Iterator[tuple[Path, str, object]]:
    """(path, name of the Service, port) of each backend, in the old and the new form."""
    places: list[tuple[Path, object]] = [(("spec", "defaultBackend"), ingress.spec.get("defaultBackend"))]
    places.append((("spec", "backend"), ingress.spec.get("backend")))
    for index, rule in items(ingress.spec.get("rules")):
        for number, path in items(at(rule, "http", "paths")):
            places.append((("spec", "rules", index, "http", "paths", number, "backend"), path.get("backend")))
    for where, backend in places:
        held = mapping(backend)
        if "serviceName" in held:
            yield where, text(held["serviceName"]), held.get("servicePort")
        elif "service" in held:
            port = mapping(at(held, "service", "port"))
            yield where, text(at(held, "service", "name")), port.get("number", port.get("name"))


@bundle_rule(
    "dangling-ingress", "An Ingress leads to a Service and one of its ports", level=Level.ERROR, source="S8.1",
    why="Players get 503.", fix="Mend the name or the port.",
    bad=f"{SERVICE % 'bets'}\n---\n{INGRESS % 'bet'}", good=f"{SERVICE % 'bets'}\n---\n{INGRESS % 'bets'}",
)  # fmt: skip
def dangling_ingress(world: World) -> Iterator[Found]:
    for each in world.of("Ingress"):
        for path, name, port in _backends(each):
            service = world.named("Service", each.namespace, name)
            if service is None:
                yield Found(each, path, f"there is no Service {name}")
            elif port is not None and port not in _ports(service):
                yield Found(each, path, f"Service {name} has no port {port}")


@bundle_rule(
    "dangling-network-policy", "A NetworkPolicy selects pods", level=Level.WARNING, source="S2.4",
    why="It protects nobody, and somebody believes it does.", fix="Let the selector and the labels of the pods agree.",
    bad=f"{POD % ''}\n---\n{NETPOL % 'bet'}", good=f"{POD % ''}\n---\n{NETPOL % 'bets'}",
)  # fmt: skip
def dangling_network_policy(world: World) -> Iterator[Found]:
    if not world.pods:
        return
    for each in policies(world):
        wanted = each.spec.get("podSelector")
        if mapping(wanted) and not world.is_selected(each.namespace, wanted):
            yield Found(each, ("spec", "podSelector"), "selects no pod")


@bundle_rule(
    "dangling-network-peer", "Peers of a NetworkPolicy exist", level=Level.NOTE, source="S2.4",
    why="Who was meant is not let in.", fix="Let the selector and the labels of the pods agree.",
    bad=f"{POD % ''}\n---\n{PEER % 'bet'}", good=f"{POD % ''}\n---\n{PEER % 'bets'}",
)  # fmt: skip
def dangling_network_peer(world: World) -> Iterator[Found]:
    if not world.pods:
        return
    for each in policies(world):
        for direction, peers in (("ingress", "from"), ("egress", "to")):
            for index, rule in items(each.spec.get(direction)):
                for number, held in items(rule.get(peers)):
                    wanted = held.get("podSelector")
                    if "namespaceSelector" in held or not mapping(wanted):
                        continue
                    if not world.is_selected(each.namespace, wanted):
                        yield Found(each, ("spec", direction, index, peers, number, "podSelector"), "selects no pod")


@bundle_rule(
    "dangling-service-monitor", "A ServiceMonitor selects Services", level=Level.WARNING, source="S9.3",
    why="Nothing is scraped, and no gate has anything to judge.",
    fix="Let the selector and the labels of the Service agree.",
    bad=f"{SERVICE % 'bets'}\n---\n{MONITOR % 'bet'}", good=f"{SERVICE % 'bets'}\n---\n{MONITOR % 'bets'}",
)  # fmt: skip
def dangling_service_monitor(world: World) -> Iterator[Found]:
    for each in world.of("ServiceMonitor"):
        spaces = mapping(each.spec.get("namespaceSelector"))
        named = listed(spaces.get("matchNames"))
        anywhere = spaces.get("any") is True
        if not any(
            (anywhere or service.namespace in (named or [each.namespace]))
            and matches(mapping(each.spec.get("selector")), service.labels)
            for service in world.of("Service")
        ):
            yield Found(each, ("spec", "selector"), "selects no Service")


@bundle_rule(
    "dangling-service-account", "The service account of a pod exists", level=Level.ERROR, source="S10.13",
    why="The pod is never made.", fix="Add the ServiceAccount, or mend the name.",
    bad=POD.replace("containers", "serviceAccountName: bets, containers") % "" + "\n---\n"
    "{apiVersion: v1, kind: ServiceAccount, metadata: {name: other}}",
    good=POD.replace("containers", "serviceAccountName: bets, containers") % "" + "\n---\n"
    "{apiVersion: v1, kind: ServiceAccount, metadata: {name: bets}}",
)  # fmt: skip
def dangling_service_account(world: World) -> Iterator[Found]:
    for pod in world.pods:
        name = text(pod.spec.get("serviceAccountName")) or text(pod.spec.get("serviceAccount"))
        if name in ("", "default") or not world.has(("ServiceAccount",)):
            continue
        if world.named("ServiceAccount", pod.owner.namespace, name) is None:
            yield Found(pod.owner, (*pod.path, "serviceAccountName"), f"there is no ServiceAccount {name}")


def _references(pod: Pod) -> Iterator[tuple[Path, str, str, str | None]]:
    """(path, kind, name, key) of what variables are taken from, but for those that may be missing."""
    for each in pod.containers:
        for index, variable in items(each.value.get("env")):
            for field, kind in (("configMapKeyRef", "ConfigMap"), ("secretKeyRef", "Secret")):
                held = at(variable, "valueFrom", field)
                if type(held) is dict and held.get("optional") is not True:
                    path = (*each.path, "env", index, "valueFrom", field)
                    yield path, kind, text(held.get("name")), text(held.get("key"))
        for index, source in items(each.value.get("envFrom")):
            for field, kind in (("configMapRef", "ConfigMap"), ("secretRef", "Secret")):
                held = source.get(field)
                if type(held) is dict and held.get("optional") is not True:
                    yield (*each.path, "envFrom", index, field), kind, text(held.get("name")), None


@bundle_rule(
    "dangling-env", "What variables are taken from exists", level=Level.ERROR, source="S12.2",
    why="The container is never started.", fix="Add the ConfigMap or Secret, or mend name and key.",
    bad=POD % ", env: [{name: A, valueFrom: {configMapKeyRef: {name: bets, key: B}}}]" + "\n---\n"
    "{apiVersion: v1, kind: ConfigMap, metadata: {name: bets}, data: {A: x}}",
    good=POD % ", env: [{name: A, valueFrom: {configMapKeyRef: {name: bets, key: A}}}]" + "\n---\n"
    "{apiVersion: v1, kind: ConfigMap, metadata: {name: bets}, data: {A: x}}",
)  # fmt: skip
def dangling_env(world: World) -> Iterator[Found]:
    makers = Makers(world)
    for pod in world.pods:
        for path, kind, name, key in _references(pod):
            held = world.named(kind, pod.owner.namespace, name)
            if held is None:
                if world.has((kind,)) and not makers.make(pod.owner.namespace, name):
                    yield Found(pod.owner, path, f"there is no {kind} {name}")
                continue
            keys = {
                *mapping(held.value.get("data")),
                *mapping(held.value.get("stringData")),
                *mapping(held.value.get("binaryData")),
            }
            if key is not None and key not in keys:
                yield Found(pod.owner, path, f"{kind} {name} has no key {key}")


RULES = (
    dangling_service, dangling_hpa, dangling_ingress, dangling_network_policy, dangling_network_peer,
    dangling_service_monitor, dangling_service_account, dangling_env,
)  # fmt: skip
