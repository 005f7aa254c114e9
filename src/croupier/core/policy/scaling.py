"""Whether what scales does so in time, and alone (S6, S16.5)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from croupier.core.policy.facts import is_batch
from croupier.core.policy.objects import Object, at, listed, mapping, text
from croupier.core.policy.quantities import whole
from croupier.core.policy.rule import Found, Hit, Level, bundle_rule, object_rule
from croupier.core.policy.world import SCALERS, World, minimum, scales, target

HPA = (
    "{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {name: %s}, spec: {scaleTargetRef: "
    "{kind: Deployment, name: bets}, minReplicas: 3, maxReplicas: 30, metrics: [%s]}}"
)
CPU = "{type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 70}}}"
RPS = "{type: Pods, pods: {metric: {name: rps_per_pod}, target: {type: AverageValue, averageValue: '120'}}}"
SCALED = (
    "{apiVersion: keda.sh/v1alpha1, kind: ScaledObject, metadata: {name: bets}, spec: {scaleTargetRef: {name: bets}%s}}"
)
ASKS_NOBODY = ("cron", "cpu", "memory")
"""Triggers of KEDA that need no source of metrics of their own: there is nothing to fall back from."""


def _is_load(metric: Any) -> bool:
    """Whether a metric is about what players do, not about CPU or memory."""
    return mapping(metric).get("type") in ("Pods", "Object", "External")


@bundle_rule(
    "hpa-cpu-only", "Services scale on load, not on CPU alone", level=Level.ERROR, source="S6.1, S16.5",
    why="CPU rises after the queue does: WebSockets and APIs scale when players already wait.",
    fix="Add a metric of load: requests a pod, connections, lag of the queue.",
    bad=HPA % ("bets", CPU), good=HPA % ("bets", f"{CPU}, {RPS}"),
)  # fmt: skip
def hpa_cpu_only(world: World) -> Iterator[Found]:
    for each in world.of("HorizontalPodAutoscaler", "ScaledObject"):
        scaled = world.named(*target(each))
        if scaled is not None and scaled.pods and is_batch(scaled.pods[0]):
            continue
        if each.kind == "ScaledObject":
            kinds = [text(mapping(trigger).get("type")) for trigger in listed(each.spec.get("triggers"))]
            if kinds and all(kind in ("cpu", "memory") for kind in kinds):
                yield Found(each, ("spec", "triggers"), f"scales on {' and '.join(kinds)} alone")
        elif not any(_is_load(metric) for metric in listed(each.spec.get("metrics"))):
            yield Found(each, ("spec", "metrics"), "scales on CPU or memory alone")


@bundle_rule(
    "one-scaler", "One thing is scaled by one scaler", level=Level.ERROR, source="S6.1, S6.3",
    why="Two scalers of one Deployment undo each other every fifteen seconds.",
    fix="Keep one; let the VPA only recommend where an HPA scales on CPU or memory.",
    bad=HPA % ("a", RPS) + "\n---\n" + HPA % ("b", RPS), good=HPA % ("a", RPS),
)  # fmt: skip
def one_scaler(world: World) -> Iterator[Found]:
    for scalers in world.scalers.values():
        for each in scalers[1:]:
            if each.manifest.name == scalers[0].manifest.name:
                continue  # the same scaler in another cluster
            yield Found(each, ("spec", "scaleTargetRef"), f"{scalers[0].manifest.name} scales it, too")
    tuned: dict[tuple[str, str, str], Object] = {}
    for each in world.of("VerticalPodAutoscaler"):
        reference = each.spec.get("targetRef")
        key = (text(at(reference, "kind")), each.namespace, text(at(reference, "name")))
        first = tuned.setdefault(key, each)
        if first.manifest.name != each.manifest.name:
            yield Found(each, ("spec", "targetRef"), f"{first.manifest.name} tunes it, too")
        if at(each.spec, "updatePolicy", "updateMode") in ("Off", "Initial"):
            continue
        for scaler in world.scalers.get(key, []):
            on = [
                text(at(metric, key, "name"))
                for metric in listed(scaler.spec.get("metrics"))
                for key in ("resource", "containerResource")
            ]
            on += [text(mapping(trigger).get("type")) for trigger in listed(scaler.spec.get("triggers"))]
            if {"cpu", "memory"} & set(on):
                yield Found(each, ("spec", "updatePolicy"), f"{scaler.manifest.name} scales on what it changes")


@object_rule(
    "scale-down", "Scaling down waits for the next burst", level=Level.WARNING, source="S1.2, S6.1",
    why="Pods that go in the break are missing when the match goes on.",
    fix="Let behavior.scaleDown.stabilizationWindowSeconds be 300 or more.",
    kinds=SCALERS,
    bad=(HPA % ("bets", RPS)).replace("metrics", "behavior: {scaleDown: {stabilizationWindowSeconds: 0}}, metrics"),
    good=(HPA % ("bets", RPS)).replace("metrics", "behavior: {scaleDown: {stabilizationWindowSeconds: 600}}, metrics"),
)  # fmt: skip
def scale_down(each: Object) -> Iterator[Hit]:
    if each.kind == "HTTPScaledObject":
        period = whole(each.spec.get("scaledownPeriod"))
        if scales(each) and period is not None and period < 60 and minimum(each) == 0:
            yield Hit(("spec", "scaledownPeriod"), f"the last pod goes {period} s after the last player")
        return
    path: tuple[str, ...] = ()
    if each.kind == "ScaledObject":
        path = ("advanced", "horizontalPodAutoscalerConfig")
    behavior = mapping(at(each.spec, *path, "behavior"))
    window = at(behavior, "scaleDown", "stabilizationWindowSeconds")
    if type(window) is int and window < 60 and not _asks_nobody(each, ("cron",)):
        where = ("spec", *path, "behavior", "scaleDown", "stabilizationWindowSeconds")
        yield Hit(where, f"pods go {window} s after the last player")
    if at(behavior, "scaleUp", "selectPolicy") == "Disabled":
        yield Hit(("spec", *path, "behavior", "scaleUp", "selectPolicy"), "it never scales up")


def _asks_nobody(scaled: Object, kinds: tuple[str, ...] = ASKS_NOBODY) -> bool:
    """Whether a ScaledObject goes by what needs no source that could break: the clock, CPU and memory."""
    triggers = listed(scaled.spec.get("triggers"))
    return bool(triggers) and all(mapping(each).get("type") in kinds for each in triggers)


@object_rule(
    "keda-bounds", "What KEDA scales by says what happens at its ends and without its metric", level=Level.WARNING,
    source="S6.2",
    why="Without bounds it goes to zero and to a hundred; without a fallback, a broken metric decides.",
    fix="Set minReplicaCount, maxReplicaCount, fallback and cooldownPeriod; of an HTTPScaledObject replicas.min, "
    "replicas.max and scaledownPeriod.", kinds=("ScaledObject", "HTTPScaledObject"),
    bad=SCALED % "",
    good=SCALED % ", minReplicaCount: 2, maxReplicaCount: 30, cooldownPeriod: 300, fallback: {replicas: 6}",
)  # fmt: skip
def keda_bounds(each: Object) -> Iterator[Hit]:
    if each.kind == "HTTPScaledObject":
        wanted = (("replicas", "min"), ("replicas", "max"), ("scaledownPeriod",))
        missing = [".".join(path) for path in wanted if scales(each) and at(each.spec, *path) is None]
    else:
        missing = [
            key
            for key in ("minReplicaCount", "maxReplicaCount", "fallback", "cooldownPeriod")
            if each.spec.get(key) is None and not (key == "fallback" and _asks_nobody(each))
        ]
    if missing:
        yield Hit(("spec",), f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} not set")


RULES = (hpa_cpu_only, one_scaler, scale_down, keda_bounds)
