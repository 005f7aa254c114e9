"""Whether Kubernetes can tell that a pod lives, serves, and has started (S4.2, S15.3)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from croupier.core.policy.facts import keeps_room, runs_to_completion
from croupier.core.policy.objects import Container, Pod, at, listed, mapping
from croupier.core.policy.quantities import number
from croupier.core.policy.rule import Hit, Level, pod_rule
from croupier.model.manifest import Path

APP = "{name: app, image: registry.example/bets, %s}"
HTTP = "httpGet: {path: /healthz, port: 8080}"
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


def serving(pod: Pod) -> Iterator[Container]:
    """Containers that are there to serve: those of the pod itself, unless it runs to completion or keeps room."""
    if not runs_to_completion(pod.owner) and not keeps_room(pod):
        yield from (each for each in pod.containers if each.role == "container")


def _without(pod: Pod, probe: str) -> Iterator[Hit]:
    for each in serving(pod):
        if not mapping(each.value.get(probe)):
            yield Hit((*each.path, probe), f"{each.called} has no {probe}")


@pod_rule(
    "liveness-probe", "Kubernetes can tell that a container hangs", level=Level.WARNING, source="S4.2, S15.3",
    why="A process that hangs is never restarted.", fix="Set livenessProbe, on something that needs no other service.",
    bad="containers: [{name: app, image: registry.example/bets}]",
    good=f"containers: [{APP % f'livenessProbe: {{{HTTP}}}'}]",
)  # fmt: skip
def liveness_probe(pod: Pod) -> Iterator[Hit]:
    yield from _without(pod, "livenessProbe")


@pod_rule(
    "readiness-probe", "Kubernetes can tell that a container serves", level=Level.ERROR, source="S4.2, S15.3",
    why="Players are sent to a pod as soon as its process exists, and go on being sent to one that cannot answer.",
    fix="Set readinessProbe.",
    bad="containers: [{name: app, image: registry.example/bets}]",
    good=f"containers: [{APP % f'readinessProbe: {{{HTTP}}}'}]",
)  # fmt: skip
def readiness_probe(pod: Pod) -> Iterator[Hit]:
    yield from _without(pod, "readinessProbe")


@pod_rule(
    "startup-probe", "A slow start is not taken for a hang", level=Level.WARNING, source="S4.2, S15.3",
    why="Without it the liveness probe ends a container that is still loading its caches, again and again.",
    fix="Set startupProbe with as many attempts as the slowest start takes.",
    bad=f"containers: [{APP % f'livenessProbe: {{{HTTP}}}'}]",
    good=f"containers: [{APP % f'livenessProbe: {{{HTTP}}}, startupProbe: {{{HTTP}, failureThreshold: 30}}'}]",
)  # fmt: skip
def startup_probe(pod: Pod) -> Iterator[Hit]:
    for each in serving(pod):
        if mapping(each.value.get("livenessProbe")) and not mapping(each.value.get("startupProbe")):
            yield Hit((*each.path, "startupProbe"), f"{each.called} has no startupProbe")


@pod_rule(
    "any-probe", "Every container has a probe", level=Level.NOTE, source="S4.2",
    why="Without any, Kubernetes knows only that a process exists.", fix="Set readinessProbe.",
    bad="containers: [{name: app, image: registry.example/bets}]",
    good=f"containers: [{APP % f'livenessProbe: {{{HTTP}}}'}]",
    usual=False,
)  # fmt: skip
def any_probe(pod: Pod) -> Iterator[Hit]:
    for each in serving(pod):
        if not any(mapping(each.value.get(probe)) for probe in PROBES):
            yield Hit(each.path, f"{each.called} has no probe")


@pod_rule(
    "probes-differ", "Liveness and readiness do not ask the same in the same way", level=Level.WARNING, source="S15.3",
    why="What makes a pod not ready also restarts it: a slow database ends all pods at once.",
    fix="Let liveness ask for less, or give it more failures than readiness.",
    bad=f"containers: [{APP % f'livenessProbe: {{{HTTP}}}, readinessProbe: {{{HTTP}}}'}]",
    good=f"containers: [{APP % f'livenessProbe: {{{HTTP}, failureThreshold: 10}}, readinessProbe: {{{HTTP}}}'}]",
)  # fmt: skip
def probes_differ(pod: Pod) -> Iterator[Hit]:
    for each in pod.containers:
        live, ready = (mapping(each.value.get(probe)) for probe in PROBES[:2])
        if live and live == ready:
            yield Hit((*each.path, "livenessProbe"), f"liveness and readiness of {each.called} are the same")


def _ports(path: Path, probe: Any) -> Iterator[tuple[Path, Any]]:
    for action in ("httpGet", "tcpSocket", "grpc"):
        port = at(probe, action, "port")
        if port is not None:
            yield (*path, action, "port"), port


def _hidden(pod: Pod, probe: str) -> Iterator[Hit]:
    for each in pod.containers:
        known: list[object] = []
        for port in listed(each.value.get("ports")):
            known += [mapping(port).get("containerPort"), mapping(port).get("name")]
        for path, port in _ports((*each.path, probe), each.value.get(probe)):
            written = number(port)
            if type(port) in (int, str) and port not in known and (written is None or written not in known):
                yield Hit(path, f"{probe} of {each.called} asks port {port}, which it does not list")


@pod_rule(
    "probe-port", "Probes ask a port that the container lists", level=Level.WARNING, source="S15.3",
    why="A probe of the wrong port fails for ever; by name it is not even resolved.",
    fix="List the port in ports, or mend the probe.",
    bad=f"containers: [{APP % f'livenessProbe: {{{HTTP}}}, ports: [{{containerPort: 9090}}]'}]",
    good=f"containers: [{APP % f'livenessProbe: {{{HTTP}}}, ports: [{{containerPort: 8080}}]'}]",
)  # fmt: skip
def probe_port(pod: Pod) -> Iterator[Hit]:
    for probe in PROBES:
        yield from _hidden(pod, probe)


RULES = (liveness_probe, readiness_probe, startup_probe, any_probe, probes_differ, probe_port)
