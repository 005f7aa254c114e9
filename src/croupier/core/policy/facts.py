"""What a workload is for, told by its labels and annotations, and what can be read off the manifest itself.

Labels ``tier``, ``layer``, ``traffic``, ``brand`` and ``market`` are those of croupier's own manifests; a
``croupier.dev/`` prefix is read as well. Seconds that nobody else can know are annotations of the pod or of what makes
it: ``croupier.dev/start-seconds`` (how long the slowest start takes), ``croupier.dev/drain-seconds`` (how long
connections are given to end).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from croupier.core.policy.objects import Container, Object, Pod, at, items, listed, mapping, text
from croupier.model.objects import JsonObject

PREFIX = "croupier.dev/"
START, DRAIN, REACHES = f"{PREFIX}start-seconds", f"{PREFIX}drain-seconds", f"{PREFIX}reaches"
EGRESS = f"{PREFIX}egress"
"""Annotation of pods, what makes them, or their namespace: the address ranges that they may call, with commas."""
DEFAULT_GRACE_SECONDS = 30
RUNS_TO_COMPLETION = frozenset(("Job", "CronJob", "ScaledJob", "Workflow", "CronWorkflow", "WorkflowTemplate"))
REALTIME = ("realtime", "websocket", "ws")
"""Tiers, layers and kinds of traffic by which players hold connections."""
ROOM = "croupier-warm"
"""The PriorityClass of pods that croupier renders to keep room on warm nodes: they do nothing and make way for any."""
ELSEWHERE = f"{PREFIX}secrets-elsewhere"
"""Annotation of pods, or of what makes them: the Secrets that are made by other means than manifests, with commas."""
_SLEEP = re.compile(r"\bsleep\s+([0-9]+)\b")
SPOT = (
    ("karpenter.sh/capacity-type", "spot"),
    ("eks.amazonaws.com/capacityType", "SPOT"),
    ("cloud.google.com/gke-spot", "true"),
    ("cloud.google.com/gke-preemptible", "true"),
    ("kubernetes.azure.com/scalesetpriority", "spot"),
)


def label(pod: Pod, key: str, *beyond: JsonObject) -> str:
    """A label of the pod, of what makes it, or in the labels ``beyond`` them, with or without the prefix; "" where
    there is none.
    """
    for labels in (pod.labels, pod.owner.labels, *beyond):
        for name in (key, PREFIX + key):
            if text(labels.get(name)):
                return text(labels[name])
    return ""


def annotation(pod: Pod, key: str) -> Any:
    """An annotation of the pod or of what makes it, or None."""
    return pod.annotations.get(key, pod.owner.annotations.get(key))


def is_money(pod: Pod) -> bool:
    return label(pod, "tier") == "money"


def runs_to_completion(owner: Object) -> bool:
    """Whether the pods of ``owner`` are there to end: it is a Job or its like, or a pod that one made."""
    return owner.kind in RUNS_TO_COMPLETION or (
        owner.kind == "Pod"
        and any(each.get("kind") in RUNS_TO_COMPLETION for _, each in items(owner.metadata.get("ownerReferences")))
    )


def is_batch(pod: Pod) -> bool:
    return label(pod, "tier") == "batch" or runs_to_completion(pod.owner)


def keeps_room(pod: Pod) -> bool:
    """Whether it does nothing but keep room for others: it serves nobody, asks nobody, and nobody misses it."""
    return text(pod.spec.get("priorityClassName")) == ROOM


def is_realtime(pod: Pod) -> bool:
    """Whether players hold connections to it: by its label, or by the name of a port."""
    if any(label(pod, key) in REALTIME for key in ("tier", "layer", "traffic")):
        return True
    names = (text(mapping(port).get("name")) for each in pod.containers for port in listed(each.value.get("ports")))
    return any(name in ("ws", "wss", "websocket") or name.startswith(("ws-", "wss-")) for name in names)


def seconds(value: Any) -> float | None:
    """Seconds written as a number or as text; None for what is neither."""
    try:
        return float(value) if type(value) in (int, float, str) else None
    except (ValueError, OverflowError):
        return None


def grace_seconds(pod: Pod) -> float:
    held = seconds(pod.spec.get("terminationGracePeriodSeconds"))
    return DEFAULT_GRACE_SECONDS if held is None else held


def pre_stop_seconds(container: Container) -> float | None:
    """How long the hook before the end waits: its sleep, 0 for one without, None where there is no hook."""
    hook = mapping(at(container.value, "lifecycle", "preStop"))
    if not hook:
        return None
    if "sleep" in hook:
        return seconds(at(hook, "sleep", "seconds")) or 0.0
    words = " ".join(text(each) for each in listed(at(hook, "exec", "command")))
    found = _SLEEP.search(words)
    return float(found[1]) if found else 0.0


def listening(pod: Pod) -> Iterator[Container]:
    """Containers that list a port, of pods that stay."""
    if not is_batch(pod):
        yield from (each for each in pod.containers if each.role == "container" and listed(each.value.get("ports")))


def window_seconds(probe: Any) -> float:
    """From the start of a container until its probe gives up."""
    held = mapping(probe)
    first = seconds(held.get("initialDelaySeconds")) or 0.0
    period = seconds(held.get("periodSeconds")) or 10.0
    failures = seconds(held.get("failureThreshold")) or 3.0
    return first + period * failures


def on_spot(pod: Pod) -> tuple[str, ...] | None:
    """The path below the pod's spec that sends it to capacity that may be taken away, or None."""
    selector = mapping(pod.spec.get("nodeSelector"))
    for key, value in SPOT:
        if text(selector.get(key)).lower() == value.lower():
            return ("nodeSelector", key)
    for each in listed(pod.spec.get("tolerations")):
        key = text(mapping(each).get("key"))
        if "spot" in key or "preemptible" in key or any(key == name for name, _ in SPOT):
            return ("tolerations",)
    return None
