"""What workloads ask for at their greatest: pods, those that come on top while a version changes, CPU and memory."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from croupier.core.policy.objects import SEVERAL, Container, Object, Pod, at, mapping, text
from croupier.core.policy.quantities import of_total, quantity, whole
from croupier.core.policy.world import World

MOST_PODS = 2**31 - 1
"""What the API server takes as a number of pods."""
Defaults = Mapping[tuple[str, str], float]
"""(requests or limits, resource) -> what a container gets that does not say."""
NO_DEFAULTS: Defaults = {}


class Peak(NamedTuple):
    """Pods of one workload at its greatest, and those beside them while a version changes."""

    pods: int
    surge: int

    @property
    def all(self) -> int:
        return self.pods + self.surge


def peak(world: World, owner: Object) -> Peak | None:
    """None for what runs on every node, or is no workload."""
    match owner.kind:
        case "Pod":
            return Peak(1, 0)
        case "Job":
            return Peak(_count(owner.spec.get("parallelism"), 1), 0)
        case "CronJob":
            return Peak(_count(at(owner.spec, "jobTemplate", "spec", "parallelism"), 1), 0)
        case "ScaledJob":
            return Peak(_count(owner.spec.get("maxReplicaCount"), 100), 0)
    if owner.kind not in SEVERAL:
        return None
    pods = min(world.most_replicas(owner), MOST_PODS)
    policy = world.release_policy_of(owner)
    if policy is not None:
        # Its own replicas are zero; each version has as many as the policy says, and for a release there are two.
        pods = max(pods, _count(policy.spec.get("replicas"), 0))
        return Peak(pods, pods)
    return Peak(pods, min(_surge(owner, pods), MOST_PODS))


def _surge(owner: Object, pods: int) -> int:
    strategy = mapping(owner.spec.get("strategy"))
    if owner.kind == "Rollout":
        canary = mapping(strategy.get("canary"))
        if "blueGreen" in strategy or mapping(canary.get("trafficRouting")):
            return pods
        return _share(canary.get("maxSurge"), pods)
    if owner.kind != "Deployment" or strategy.get("type") == "Recreate":
        return 0
    return _share(at(strategy, "rollingUpdate", "maxSurge"), pods)


def _share(written: object, pods: int) -> int:
    return max(of_total("25%" if written is None else written, pods, up=True) or 0, 0)


def _count(value: object, otherwise: int) -> int:
    held = whole(value)
    return otherwise if held is None else min(max(held, 0), MOST_PODS)


def of_container(container: Container, side: str, resource: str, defaults: Defaults = NO_DEFAULTS) -> float | None:
    """What a container requests, or is limited to; a request that is not written is the limit. None: unlimited."""
    resources = mapping(container.value.get("resources"))
    held = quantity(mapping(resources.get(side)).get(resource))
    if held is None and side == "requests":
        held = quantity(mapping(resources.get("limits")).get(resource))
    return defaults.get((side, resource)) if held is None else held


def of_pod(pod: Pod, side: str, resource: str, defaults: Defaults = NO_DEFAULTS) -> float | Container:
    """What a pod asks for: all that run at once, or what one init container needs beside the sidecars before it.

    A container where one does not say.
    """
    together = quantity(at(pod.spec, "resources", side, resource))
    if together is not None:
        return together + _overhead(pod, resource)
    running = most = 0.0
    for container in pod.containers:
        if container.role == "ephemeral":
            continue
        held = of_container(container, side, resource, defaults)
        if held is None:
            return container
        if container.role == "init":
            most = max(most, running + held)
        else:
            running += held
    return max(running, most) + _overhead(pod, resource)


def _overhead(pod: Pod, resource: str) -> float:
    return quantity(at(pod.spec, "overhead", resource)) or 0.0


def amount(resource: str, value: float) -> str:
    """In words: cores, or MiB."""
    if resource == "memory":
        return f"{value / 2**20:.0f}Mi"
    return f"{value:.0f}" if resource == "pods" else f"{value:g}"


def called(owner: Object) -> str:
    return text(owner.name) or owner.manifest.name
