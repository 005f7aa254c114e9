"""What workloads ask for at their greatest: pods, those that come on top while a version changes, those that still
drain, CPU and memory.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from croupier.core.policy.facts import grace_seconds, seconds
from croupier.core.policy.objects import SEVERAL, Container, Object, Pod, at, items, mapping, text
from croupier.core.policy.quantities import of_total, quantity, whole
from croupier.core.policy.world import World
from croupier.model.objects import REPLICAS

MOST_PODS = 2**31 - 1
"""What the API server takes as a number of pods."""
Defaults = Mapping[tuple[str, str], float]
"""(requests or limits, resource) -> what a container gets that does not say."""
NO_DEFAULTS: Defaults = {}


class Peak(NamedTuple):
    """Pods of one workload at its greatest, those beside them while a version changes, and those that end meanwhile."""

    pods: int
    surge: int
    draining: int = 0

    @property
    def all(self) -> int:
        """Those that are there to stay."""
        return self.pods + self.surge

    @property
    def at_once(self) -> int:
        """All that hold connections and ask others."""
        return self.all + self.draining

    @property
    def placed(self) -> Peak:
        """Without those that end: who finds no room because of them asks again, and has it within a grace period."""
        return self._replace(draining=0)

    @property
    def told(self) -> str:
        """In words: ``24 + 24 + 3``."""
        return " + ".join(str(each) for each in self if each) or "0"


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
        pods = max(pods, _count(policy.spec.get("replicas"), REPLICAS))
        return Peak(pods, pods, _draining(world, owner, pods, 0))
    surge = min(_surge(owner, pods), MOST_PODS)
    return Peak(pods, surge, _draining(world, owner, pods, _batch(owner, pods, surge)))


def _draining(world: World, owner: Object, pods: int, batch: int) -> int:
    """Pods that end while as many as there may be are there already, ``batch`` of them at once when a version changes.

    A StatefulSet makes no pod before the one of that name has ended.
    """
    grace = max((grace_seconds(pod) for pod in owner.pods), default=0.0)
    if owner.kind == "StatefulSet" or grace <= 0:
        return 0
    ready = seconds(owner.spec.get("minReadySeconds")) or 0.0
    ending = batch * _periods(grace, ready) if batch else 0
    ending += max((_taken_away(scaler, pods, grace) for scaler in world.scalers_of(owner)), default=0)
    return max(min(ending, pods), 0)


def _periods(grace: float, period: float) -> int:
    """How many ``period`` begin while a pod ends."""
    if period <= 0:
        return MOST_PODS
    begun = grace / period
    return math.ceil(begun) if begun < MOST_PODS else MOST_PODS


def _taken_away(scaler: Object, pods: int, grace: float) -> int:
    """Most pods that a scaler takes away within a grace period. What it does where nothing is written: all at once; of
    an HTTPScaledObject nothing can be."""
    config = () if scaler.kind == "HorizontalPodAutoscaler" else ("advanced", "horizontalPodAutoscalerConfig")
    down = mapping(at(scaler.spec, *config, "behavior", "scaleDown"))
    if down.get("selectPolicy") == "Disabled":
        return 0
    amounts = []
    for _, policy in items(down.get("policies")):
        value = whole(policy.get("value")) or 0
        each = math.ceil(pods * value / 100) if policy.get("type") == "Percent" else value
        amounts.append(each * _periods(grace, seconds(policy.get("periodSeconds")) or 15.0))
    if not amounts:
        return pods
    return min(amounts) if down.get("selectPolicy") == "Min" else max(amounts)


def _batch(owner: Object, pods: int, surge: int) -> int:
    """How many old pods may go at once when the workload rolls; 0 for one that ends all before it starts any, that
    keeps both versions whole, or that does not roll.
    """
    strategy = mapping(owner.spec.get("strategy"))
    if owner.kind == "Deployment" and strategy.get("type") != "Recreate":
        down = at(strategy, "rollingUpdate", "maxUnavailable")
    elif owner.kind == "Rollout" and "blueGreen" not in strategy and not at(strategy, "canary", "trafficRouting"):
        down = at(strategy, "canary", "maxUnavailable")
    else:
        return 0
    return max(surge + max(of_total("25%" if down is None else down, pods, up=False) or 0, 0), 1)


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


def called(owner: Object) -> str:
    return text(owner.name) or owner.manifest.name
