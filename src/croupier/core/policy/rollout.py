"""Whether pods change over without an early 5xx, and start and end in the time they are given (S16.1, S4.2, S13.3)."""

from __future__ import annotations

from collections.abc import Iterator

from croupier.core.policy.facts import (
    DRAIN,
    START,
    annotation,
    grace_seconds,
    is_realtime,
    listening,
    pre_stop_seconds,
    seconds,
    window_seconds,
)  # fmt: skip
from croupier.core.policy.objects import Object, Pod, at, mapping
from croupier.core.policy.probes import serving
from croupier.core.policy.quantities import of_total
from croupier.core.policy.rule import Hit, Level, object_rule, pod_rule

LEAST_GRACE_SECONDS = 10.0
LEAST_REALTIME_GRACE_SECONDS = 60.0
APP = (
    "{name: app, image: registry.example/bets, ports: [{containerPort: 8080}], readinessProbe: {httpGet: {port: "
    "8080}}%s}"
)
WS = APP.replace("{containerPort", "{name: ws, containerPort")
SLEEPS = ", lifecycle: {preStop: {sleep: {seconds: 5}}}"
DEPLOYMENT = (
    "{apiVersion: apps/v1, kind: Deployment, metadata: {name: bets}, spec: {%s, "
    "template: {spec: {containers: [{name: app, startupProbe: {failureThreshold: 60}}]}}}}"
)


@pod_rule(
    "early-5xx", "Pods end only after proxies have heard of it", level=Level.ERROR, source="S16.1",
    why="A pod that ends at once still gets requests for the seconds that proxies and balancers need to notice: each "
    "update then shows players errors.",
    fix="Set lifecycle.preStop.sleep to what endpoints need (5 s or more), a grace period well above it, and a "
    "readinessProbe.",
    bad=f"terminationGracePeriodSeconds: 1\ncontainers: [{APP % ''}]",
    good=f"terminationGracePeriodSeconds: 45\ncontainers: [{APP % SLEEPS}]",
)  # fmt: skip
def early_5xx(pod: Pod) -> Iterator[Hit]:
    containers = [] if pod.is_made else list(listening(pod))
    grace = grace_seconds(pod)
    if containers and grace < LEAST_GRACE_SECONDS:
        said = f"{grace:g} s from the order to end until force are too short for requests that are under way"
        yield Hit((*pod.path, "terminationGracePeriodSeconds"), said)
    for each in containers:
        waits = pre_stop_seconds(each)
        if waits is None:
            path = (*each.path, "lifecycle")
            yield Hit(path, f"{each.called} ends at once, while requests still come (no preStop)")
        elif waits >= grace:
            path = (*each.path, "lifecycle", "preStop")
            yield Hit(path, f"{each.called} waits {waits:g} s of {grace:g} s: no time is left to end")
        if not mapping(each.value.get("readinessProbe")):
            path = (*each.path, "readinessProbe")
            yield Hit(path, f"{each.called} is sent players before it can answer (no readinessProbe)")


@pod_rule(
    "drain", "The grace period covers the drain", level=Level.ERROR, source="S16.1, S6.6",
    why="Connections that are still open when the grace period is over are cut: a WebSocket in the middle of a round.",
    fix="Let terminationGracePeriodSeconds be preStop and drain together, and some seconds more; give WebSockets "
    "a minute.",
    bad=f"terminationGracePeriodSeconds: 30\ncontainers: [{WS % SLEEPS}]",
    good=f"terminationGracePeriodSeconds: 120\ncontainers: [{WS % SLEEPS}]",
)  # fmt: skip
def drain(pod: Pod) -> Iterator[Hit]:
    grace = grace_seconds(pod)
    path = (*pod.path, "terminationGracePeriodSeconds")
    written = annotation(pod, DRAIN)
    declared = seconds(written)
    waits = max((pre_stop_seconds(each) or 0.0 for each in pod.containers), default=0.0)
    if written is not None and declared is None:
        yield Hit(pod.meta or pod.path, f"{DRAIN} is no number of seconds")
    elif declared is not None and waits + declared > grace:
        yield Hit(path, f"preStop {waits:g} s and drain {declared:g} s do not fit into {grace:g} s")
    elif declared is None and not pod.is_made and is_realtime(pod) and grace < LEAST_REALTIME_GRACE_SECONDS:
        yield Hit(path, f"players hold connections to it, and {grace:g} s cut them ({DRAIN} says how long they need)")


@pod_rule(
    "warm-up", "Nothing ends a container that is still starting", level=Level.ERROR, source="S13.3, S15.3, S16.1",
    why="A container that needs a minute for its caches and is given thirty seconds never comes up, and least of "
    "all under load.",
    fix="Give startupProbe failureThreshold times periodSeconds above what croupier.dev/start-seconds says.",
    bad="containers: [{name: app, startupProbe: {periodSeconds: 0}, livenessProbe: {initialDelaySeconds: 600}}]",
    good="containers: [{name: app, startupProbe: {periodSeconds: 2, failureThreshold: 60}}]",
)  # fmt: skip
def warm_up(pod: Pod) -> Iterator[Hit]:
    written = annotation(pod, START)
    needed = seconds(written)
    if written is not None and needed is None:
        yield Hit(pod.meta or pod.path, f"{START} is no number of seconds")
    for each in serving(pod):
        for probe in ("startupProbe", "livenessProbe"):
            held = each.value.get(probe)
            if not mapping(held):
                continue
            if mapping(held).get("periodSeconds") == 0:
                yield Hit((*each.path, probe, "periodSeconds"), f"{probe} of {each.called} has no period")
            if needed is not None and window_seconds(held) < needed:
                said = f"{probe} ends {each.called} after {window_seconds(held):g} s, it may need {needed:g} s"
                yield Hit((*each.path, probe), said)
            break  # the liveness probe waits for the startup probe


@object_rule(
    "rollout-timing", "A rollout is given the time it takes, and leaves pods that serve", level=Level.WARNING,
    source="S4.2, S16.1",
    why="A deadline shorter than one start marks every rollout as failed; one that takes most pods away at once "
    "is an outage.",
    fix="Set progressDeadlineSeconds above start and minReadySeconds, and maxUnavailable to a quarter at most.",
    kinds=("Deployment",),
    bad=DEPLOYMENT % "progressDeadlineSeconds: 60", good=DEPLOYMENT % "progressDeadlineSeconds: 900",
)  # fmt: skip
def rollout_timing(each: Object) -> Iterator[Hit]:
    deadline = seconds(each.spec.get("progressDeadlineSeconds")) or 600.0
    ready = seconds(each.spec.get("minReadySeconds")) or 0.0
    for pod in each.pods:
        starts = [window_seconds(held) for one in serving(pod) if (held := mapping(one.value.get("startupProbe")))]
        needed = max(starts, default=0.0) + ready
        if deadline <= needed:
            path = ("spec", "progressDeadlineSeconds")
            yield Hit(path, f"a pod may take {needed:g} s to start and count, the rollout fails after {deadline:g} s")
    if at(each.spec, "strategy", "type") not in (None, "RollingUpdate"):
        return
    away = of_total(at(each.spec, "strategy", "rollingUpdate", "maxUnavailable"), 100, up=False)
    written = at(each.spec, "strategy", "rollingUpdate", "maxUnavailable")
    if type(written) is str and away is not None and away >= 50:
        yield Hit(("spec", "strategy", "rollingUpdate", "maxUnavailable"), f"{written} of the pods may be away at once")


RULES = (early_5xx, drain, warm_up, rollout_timing)
