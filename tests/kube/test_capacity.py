"""Whoever scales, in whatever phase: ready pods behind the weights are never fewer than the players need (DESIGN §7).

Checked on the recorded history of each run: every split the players had, with the pods that were ready behind it.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from tests.support.operated import RATE, Casino

pytestmark = pytest.mark.timeout(900)

POD_CARRIES = 50.0
"""Requests a second that one pod of the example answers with ease."""
PODS = 4
LOOK_SECONDS = 0.25


@dataclass(frozen=True)
class Moment:
    """One look. ``weights`` and ``ready`` by version; ``desired``: what its Deployment asks for."""

    phase: str
    weights: dict[str, int]
    ready: dict[str, int]
    desired: dict[str, int]

    def lacks(self) -> list[str]:
        """Versions whose players need more pods than are ready."""
        return [
            f"{version} at {weight} %: {self.ready.get(version, 0)} ready"
            for version, weight in self.weights.items()
            if self.ready.get(version, 0) < math.ceil(RATE * weight / 100 / POD_CARRIES)
        ]


@dataclass
class History:
    """What was seen while it was recorded."""

    moments: list[Moment] = field(default_factory=list)

    def of(self, phase: str) -> list[Moment]:
        return [moment for moment in self.moments if moment.phase == phase]


def look(casino: Casino) -> Moment:
    """One list of everything, so that weights and pods are of (nearly) one moment."""
    kinds = "releasepolicies,httproutes,deployments,pods"
    found: list[dict[str, Any]] = casino.cluster.get(kinds, "--namespace", casino.namespace)["items"]
    weights: dict[str, int] = {}
    ready: dict[str, int] = {}
    desired: dict[str, int] = {}
    phase = ""
    for each in found:
        version = each["metadata"].get("labels", {}).get("croupier.dev/version", "")
        match each["kind"]:
            case "ReleasePolicy":
                phase = each.get("status", {}).get("phase", "")
            case "HTTPRoute":
                for backend in each["spec"]["rules"][0]["backendRefs"]:
                    weights[backend["name"].rpartition("-")[2]] = backend["weight"]
            case "Deployment" if version:
                desired[version] = each["spec"]["replicas"]
            case "Pod" if version and "deletionTimestamp" not in each["metadata"]:
                conditions = each.get("status", {}).get("conditions", ())
                is_ready = any((one["type"], one["status"]) == ("Ready", "True") for one in conditions)
                ready[version] = ready.get(version, 0) + is_ready
    return Moment(phase, {version: weight for version, weight in weights.items() if weight}, ready, desired)


@contextmanager
def recording(casino: Casino) -> Iterator[History]:
    history, stop = History(), threading.Event()

    def record() -> None:
        while not stop.wait(LOOK_SECONDS):
            history.moments.append(look(casino))

    thread = threading.Thread(target=record)
    thread.start()
    try:
        yield history
    finally:
        stop.set()
        thread.join()


def scales_by_hand(casino: Casino, version: str) -> None:
    """Half of the version's pods, by ``kubectl scale``."""
    name = f"deployment/payments-api-{version}"
    casino.cluster.kubectl("scale", name, f"--replicas={PODS // 2}", "--namespace", casino.namespace)


def loses_a_pod(casino: Casino, version: str) -> None:
    """One of the version's pods is gone at once, as with its node."""
    selector = f"croupier.dev/version={version}"
    pod = casino.cluster.get("pods", "--selector", selector, "--namespace", casino.namespace)["items"][0]
    words = ("delete", "pod", pod["metadata"]["name"], "--grace-period=0", "--force", "--namespace", casino.namespace)
    casino.cluster.kubectl(*words)


@pytest.mark.parametrize("harm", [scales_by_hand, loses_a_pod])
def test_what_is_taken_from_either_version_in_any_phase_leaves_enough_and_comes_back(
    casino: Casino, tmp_path: Path, harm: Callable[[Casino, str], None]
) -> None:
    """Prevents: players who crowd on too few pods, and a way back that waits for some to start."""
    casino.open(replicas=PODS)
    stable = casino.status()["stable"]
    with casino.players(tmp_path / "players.log") as players, recording(casino) as history:
        before = casino.status()["run"]
        casino.commit(BUILD="2")
        for phase, weight in (("preparing", 0), ("holding", 20), ("holding", 99)):
            casino.until(
                f"it is {phase} at {weight} %", lambda phase=phase, weight=weight: _is(casino, before, phase, weight)
            )
            for version in (stable, casino.status()["wanted"]):
                if look(casino).desired.get(version):
                    harm(casino, version)
        run = casino.outcome("the release comes to its end")
        canary = run["status"]["canary"]
        casino.until("the new version has all its pods", lambda: look(casino).ready.get(canary, 0) >= PODS)
        totals = players.stop()
    assert run["status"]["outcome"] == "promoted", run["status"]
    assert [(moment.phase, lack) for moment in history.moments for lack in moment.lacks()] == []
    kept = [moment.desired.get(stable, 0) for moment in history.of("holding")[-4:]]
    assert kept == [PODS] * len(kept), "the old version keeps its pods until the release is over"
    if harm is scales_by_hand:  # a pod that is killed at once takes the requests along that it was answering
        assert totals["failed"] == 0, totals["causes"]


def test_an_autoscaler_in_git_becomes_one_for_each_version_that_keeps_the_floor(casino: Casino, tmp_path: Path) -> None:
    """Prevents: an autoscaler that takes the old version's pods away while players may have to go back to them.

    There is no metrics server here, so the autoscalers know of no load: what holds then is their minimum.
    """
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "payments-api"}
    metric = {
        "type": "Resource",
        "resource": {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}},
    }
    scaler = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "payments-api"},
        "spec": {"minReplicas": 1, "maxReplicas": 6, "scaleTargetRef": target, "metrics": [metric]},
    }
    casino.cluster.apply(scaler, namespace=casino.namespace)
    casino.open()
    stable = casino.status()["stable"]
    casino.cluster.kubectl("scale", f"deploy/payments-api-{stable}", "--replicas=3", "--namespace", casino.namespace)
    casino.until("a busy hour: three pods serve", lambda: look(casino).ready.get(stable, 0) == 3)
    with casino.players(tmp_path / "players.log") as players, recording(casino) as history:
        before = casino.status()["run"]
        casino.commit(BUILD="2")
        casino.until("players are on the canary", lambda: _is(casino, before, "holding", 20))
        assert _minimum(casino, stable) == 3, "the count of before the release is its floor"
        casino.cluster.kubectl(
            "scale", f"deploy/payments-api-{stable}", "--replicas=1", "--namespace", casino.namespace
        )
        run = casino.outcome("the release comes to its end")
        totals = players.stop()
    canary = run["status"]["canary"]
    assert run["status"]["outcome"] == "promoted", run["status"]
    assert [(moment.phase, lack) for moment in history.moments for lack in moment.lacks()] == []
    assert totals["failed"] == 0, totals["causes"]
    found = casino.get("hpa", f"payments-api-{canary}")["spec"]
    assert (found["scaleTargetRef"]["name"], found["maxReplicas"]) == (f"payments-api-{canary}", 6)
    assert casino.get("deployment")["spec"]["replicas"] == 0, "the autoscaler in Git rests on the intent"


def _is(casino: Casino, before: str, phase: str, weight: int) -> bool:
    """Whether a run after ``before`` is there, or beyond: a quick release is not to be missed."""
    status = casino.status()
    here = (status.get("phase"), status.get("weight")) == (phase, weight)
    beyond = status.get("phase") in ("promoting", "promoted") or status.get("weight", 0) > weight
    return status.get("run") != before and (here or beyond)


def _minimum(casino: Casino, version: str) -> int:
    return int(casino.get("hpa", f"payments-api-{version}")["spec"]["minReplicas"])
