"""Nobody ships around the gates: what bears a version's labels is made and changed by its own controllers (S5.1).

The operator runs as a pod with the rights of its manifests; the person at the door is the cluster's administrator.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from tests.support.operated import Casino

pytestmark = pytest.mark.timeout(600)

POLICY, VERSION = "croupier.dev/policy", "croupier.dev/version"


class Door(NamedTuple):
    """What serves: a version of payments-api, under croupier."""

    casino: Casino
    labels: dict[str, str]
    """By which the Services of players select its pods."""
    deployment: str
    replica_set: str
    pod: str

    def kubectl(self, *words: str) -> str:
        return self.casino.cluster.kubectl(*words, "--namespace", self.casino.namespace)

    def apply(self, obj: dict[str, Any]) -> None:
        self.casino.cluster.apply(obj, namespace=self.casino.namespace)


@pytest.fixture
def door(casino: Casino) -> Door:
    casino.open()
    labels = {POLICY: "payments-api", VERSION: casino.status()["stable"]}
    selector = ",".join(f"{name}={value}" for name, value in labels.items())
    names = [
        casino.cluster.get(kind, "--selector", selector, "--namespace", casino.namespace)["items"][0]["metadata"][
            "name"
        ]
        for kind in ("deployment", "replicaset", "pod")
    ]
    return Door(casino, labels, *names)


def template(door: Door, **labels: str) -> dict[str, Any]:
    """Pods of the intent, as somebody would copy them."""
    found: dict[str, Any] = door.casino.intent(DEFECT="errors")["spec"]["template"]
    found["metadata"] = {"labels": {**door.labels, **labels}}
    return found


def controlled(door: Door, kind: str, name: str, *, own: bool = True, **more: Any) -> dict[str, Any]:
    """An object that makes pods; ``own``: it bears the labels itself, too."""
    metadata = {"name": name, "labels": door.labels if own else {}}
    selector = {"matchLabels": {"maker": name}}
    spec = {"replicas": 1, "selector": selector, "template": template(door, maker=name), **more}
    return {"apiVersion": "apps/v1", "kind": kind, "metadata": metadata, "spec": spec}


def makes_a_pod(door: Door) -> None:
    made = template(door)
    door.apply({"apiVersion": "v1", "kind": "Pod", **made, "metadata": {"name": "evil", **made["metadata"]}})


def makes_a_replica_set(door: Door) -> None:
    door.apply(controlled(door, "ReplicaSet", "evil"))


def makes_a_deployment(door: Door) -> None:
    door.apply(controlled(door, "Deployment", "evil"))


def makes_a_deployment_of_such_pods(door: Door) -> None:
    door.apply(controlled(door, "Deployment", "evil", own=False))


def changes_the_deployment(door: Door) -> None:
    door.kubectl("set", "env", f"deployment/{door.deployment}", "DEFECT=errors")


def restarts_the_deployment(door: Door) -> None:
    door.kubectl("rollout", "restart", f"deployment/{door.deployment}")


def changes_the_replica_set(door: Door) -> None:
    door.kubectl("set", "env", f"replicaset/{door.replica_set}", "DEFECT=errors")


def changes_the_image_of_a_pod(door: Door) -> None:
    door.kubectl("set", "image", f"pod/{door.pod}", "payments-api=croupier.local/evil:1")


def says_it_is_another_version(door: Door) -> None:
    door.kubectl("label", "--overwrite", f"deployment/{door.deployment}", f"{VERSION}=000000000000")


def says_other_gates_have_seen_it(door: Door) -> None:
    digest = f"croupier.dev/digest=sha256:{'0' * 64}"
    door.kubectl("annotate", "--overwrite", f"deployment/{door.deployment}", digest)


def scales_it_away(door: Door) -> None:
    door.kubectl("scale", f"deployment/{door.deployment}", "--replicas=0")


def edits_it_away(door: Door) -> None:
    door.kubectl("patch", f"deployment/{door.deployment}", "-p", '{"spec": {"replicas": 0}}')


def scales_its_replica_set_away(door: Door) -> None:
    door.kubectl("scale", f"replicaset/{door.replica_set}", "--replicas=0")


def labels_a_pod_of_its_own(door: Door) -> None:
    books = door.casino.cluster.get("pods", "--selector", "app.kubernetes.io/name=books", *_in(door))["items"][0]
    words = [f"{name}={value}" for name, value in door.labels.items()]
    door.kubectl("label", f"pod/{books['metadata']['name']}", *words)


WAYS: tuple[Callable[[Door], None], ...] = (
    makes_a_pod,
    makes_a_replica_set,
    makes_a_deployment,
    makes_a_deployment_of_such_pods,
    changes_the_deployment,
    restarts_the_deployment,
    changes_the_replica_set,
    changes_the_image_of_a_pod,
    says_it_is_another_version,
    says_other_gates_have_seen_it,
    scales_it_away,
    edits_it_away,
    scales_its_replica_set_away,
    labels_a_pod_of_its_own,
)


def test_nothing_that_no_gate_has_seen_comes_through_the_door(door: Door) -> None:
    """S5.1. Prevents: players who reach pods that somebody made by hand under a version's labels."""
    for way in WAYS:
        with pytest.raises(AssertionError, match="ValidatingAdmissionPolicy 'croupier-"):
            way(door)
    # Kinds whose objects nobody is kept from making: their controllers are not let through with the pods.
    door.apply(controlled(door, "StatefulSet", "evil-set", serviceName="evil-set"))
    job = {"template": template(door), "backoffLimit": 0}
    job["template"]["spec"]["restartPolicy"] = "Never"
    door.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "evil-job"}, "spec": job})
    for kind in ("StatefulSet", "Job"):
        door.casino.until(f"the {kind} is refused its pods", lambda kind=kind: _is_refused(door, kind))
    pods = door.casino.cluster.get("pods", "--selector", f"{VERSION}={door.labels[VERSION]}", *_in(door))["items"]
    assert {pod["metadata"]["ownerReferences"][0]["name"] for pod in pods} == {door.replica_set}


def test_who_looks_after_a_version_finds_the_door_open(door: Door) -> None:
    """Prevents: rules that keep out the cluster's own controllers, or a person who takes a pod aside."""
    door.kubectl("label", f"pod/{door.pod}", f"{VERSION}-")
    door.casino.until(
        "another pod has come in its place", lambda: door.pod not in _ready(door) and len(_ready(door)) == 2
    )
    with pytest.raises(AssertionError, match="labels cannot be given to a pod"):
        door.kubectl("label", f"pod/{door.pod}", f"{VERSION}={door.labels[VERSION]}")
    door.kubectl("scale", f"deployment/{door.deployment}", "--replicas=3")
    door.casino.until("more pods came", lambda: len(_ready(door)) == 3)
    door.kubectl("annotate", f"deployment/{door.deployment}", "note=looked-at")
    problems = [
        each["status"].get("typeChecking", {}).get("expressionWarnings", [])
        for each in door.casino.cluster.get(
            "validatingadmissionpolicy", "--selector", "app.kubernetes.io/name=croupier"
        )["items"]
    ]
    assert problems == [[], [], []], json.dumps(problems)


def _in(door: Door) -> tuple[str, str]:
    return "--namespace", door.casino.namespace


def _ready(door: Door) -> list[str]:
    selector = ",".join(f"{name}={value}" for name, value in door.labels.items())
    found = door.casino.cluster.get("pods", "--selector", selector, *_in(door))["items"]
    return [
        pod["metadata"]["name"]
        for pod in found
        if any((each["type"], each["status"]) == ("Ready", "True") for each in pod["status"].get("conditions", ()))
    ]


def _is_refused(door: Door, kind: str) -> bool:
    """Whether the controller of this kind was told that it makes no pods of a version."""
    return any(
        each["regarding"]["kind"] == kind and "only the ReplicaSet of a version" in each.get("note", "")
        for each in door.casino.items("events.events.k8s.io")
    )
