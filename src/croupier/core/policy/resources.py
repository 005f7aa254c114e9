"""Requests and limits (S10.4, S13.4)."""

from __future__ import annotations

from collections.abc import Iterator

from croupier.core.policy.objects import Pod, at, items, text
from croupier.core.policy.quantities import quantity
from croupier.core.policy.rule import Hit, Level, pod_rule

APP = "{name: app, image: registry.example/bets, resources: {%s}}"


def _unset(pod: Pod, part: str, resource: str) -> Iterator[Hit]:
    """Long-running and init containers without ``resource`` in ``part`` (requests or limits)."""
    for each in pod.containers:
        if each.role == "ephemeral":
            continue  # they cannot have any
        held = at(each.value, "resources", part, resource)
        limited = part == "requests" and at(each.value, "resources", "limits", resource) is not None
        if held is None and not limited:
            yield Hit((*each.path, "resources", part), f"{each.called} has no {resource} {part.removesuffix('s')}")


@pod_rule(
    "cpu-requests", "Containers request CPU", level=Level.ERROR, source="S13.4",
    why="Without a request the scheduler packs the pod where there is no CPU left for it.",
    fix="Set resources.requests.cpu.",
    bad=f"containers: [{APP % 'requests: {memory: 64Mi}'}]", good=f"containers: [{APP % 'requests: {cpu: 100m}'}]",
)  # fmt: skip
def cpu_requests(pod: Pod) -> Iterator[Hit]:
    yield from _unset(pod, "requests", "cpu")


@pod_rule(
    "cpu-limits", "Containers limit CPU", level=Level.WARNING, source="S10.4, S13.4",
    why="A loop in one service takes the CPU that the others on its node burst into. Not asked by default: limits also "
    "throttle, and under contention CPU is divided by requests (docs/adr/0008).",
    fix="Set resources.limits.cpu.",
    bad=f"containers: [{APP % 'requests: {cpu: 100m}'}]", good=f"containers: [{APP % 'limits: {cpu: 1}'}]",
    usual=False,
)  # fmt: skip
def cpu_limits(pod: Pod) -> Iterator[Hit]:
    yield from _unset(pod, "limits", "cpu")


@pod_rule(
    "memory-requests", "Containers request memory", level=Level.ERROR, source="S13.4",
    why="Without a request the pod is the first to be evicted when its node is short of memory.",
    fix="Set resources.requests.memory.",
    bad=f"containers: [{APP % 'requests: {cpu: 100m}'}]", good=f"containers: [{APP % 'requests: {memory: 64Mi}'}]",
)  # fmt: skip
def memory_requests(pod: Pod) -> Iterator[Hit]:
    yield from _unset(pod, "requests", "memory")


@pod_rule(
    "memory-limits", "Containers limit memory", level=Level.ERROR, source="S10.4, S13.4",
    why="A leak in one service ends others on the node instead of the one that leaks.",
    fix="Set resources.limits.memory.",
    bad=f"containers: [{APP % 'requests: {memory: 64Mi}'}]", good=f"containers: [{APP % 'limits: {memory: 64Mi}'}]",
)  # fmt: skip
def memory_limits(pod: Pod) -> Iterator[Hit]:
    yield from _unset(pod, "limits", "memory")


@pod_rule(
    "memory-ratio", "The memory limit is at most twice the request", level=Level.NOTE, source="S13.4",
    why="What is used above the request is lent, and taken back by ending the pod.",
    fix="Request what the service needs, best as much as its limit.",
    bad=f"containers: [{APP % 'requests: {memory: 64Mi}, limits: {memory: 1Gi}'}]",
    good=f"containers: [{APP % 'requests: {memory: 1Gi}, limits: {memory: 1Gi}'}]",
)  # fmt: skip
def memory_ratio(pod: Pod) -> Iterator[Hit]:
    for each in pod.containers:
        asked = quantity(at(each.value, "resources", "requests", "memory"))
        limit = quantity(at(each.value, "resources", "limits", "memory"))
        if asked and limit and limit > 2 * asked:
            path = (*each.path, "resources", "limits", "memory")
            yield Hit(path, f"{each.called} may use {limit / asked:.1f} times the memory it requests")


@pod_rule(
    "empty-dir-limit", "Every emptyDir has a limit", level=Level.NOTE, source="S13.4",
    why="A log that grows fills the disk of the node, and every pod there is evicted.",
    fix="Set emptyDir.sizeLimit.",
    bad="volumes: [{name: tmp, emptyDir: {}}]", good="volumes: [{name: tmp, emptyDir: {sizeLimit: 64Mi}}]",
)  # fmt: skip
def empty_dir_limit(pod: Pod) -> Iterator[Hit]:
    for index, held in items(pod.spec.get("volumes")):
        if "emptyDir" in held and not at(held["emptyDir"], "sizeLimit"):
            yield Hit(
                (*pod.path, "volumes", index, "emptyDir"), f"volume {text(held.get('name'))} may fill the node's disk"
            )


@pod_rule(
    "ephemeral-storage", "Containers limit what they write to the node", level=Level.NOTE, source="S13.4",
    why="Logs and files of one container fill the disk of the node, and every pod there is evicted.",
    fix="Set resources.limits.ephemeral-storage.",
    bad="containers: [{name: app, image: registry.example/bets}]",
    good=f"containers: [{APP % 'limits: {ephemeral-storage: 1Gi}'}]", usual=False,
)  # fmt: skip
def ephemeral_storage(pod: Pod) -> Iterator[Hit]:
    yield from _unset(pod, "limits", "ephemeral-storage")


RULES = (
    cpu_requests, cpu_limits, memory_requests, memory_limits, memory_ratio, empty_dir_limit, ephemeral_storage,
)  # fmt: skip
