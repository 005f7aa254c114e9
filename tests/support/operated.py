"""The operator as a pod in a cluster for tests, installed as its manifests say, and services under its policies."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import casino as example
from tests.support.cluster import Cluster, Images

from croupier.operator.install import manifests
from croupier_stand.process import wait_for

OPERATOR_NAMESPACE = "croupier"
RATE = 40.0
_UID = 65532


def install(cluster: Cluster, images: Images, journal: Path, *, replicas: int = 1) -> None:
    """Install croupier with exactly the rights of its manifests; its journal lies in a folder of the node.

    ``replicas`` 0: without a pod, for an operator that runs elsewhere.
    """
    journal.mkdir(parents=True, exist_ok=True)
    os.chown(journal, _UID, _UID)
    wanted: list[dict[str, Any]] = [_volume(journal)]
    for each in manifests(image=images.operator, namespace=OPERATOR_NAMESPACE):
        if each["kind"] == "PersistentVolumeClaim":
            each["spec"] |= {"storageClassName": "", "volumeName": "croupier-journal"}
        if each["kind"] == "Deployment":
            each["spec"]["replicas"] = replicas
        wanted.append(each)
    definitions = [each for each in wanted if each["kind"] == "CustomResourceDefinition"]
    cluster.define(definitions)
    cluster.apply(*(each for each in wanted if each["kind"] != "CustomResourceDefinition"))
    cluster.rollout("croupier", OPERATOR_NAMESPACE)


def uninstall(cluster: Cluster) -> None:
    """Remove the operator, its volume and its rules at the door; a cluster that lives on may be used again."""
    for kind in ("validatingadmissionpolicybinding", "validatingadmissionpolicy"):
        cluster.kubectl("delete", kind, "--selector", "app.kubernetes.io/name=croupier")
    cluster.kubectl("delete", "namespace", OPERATOR_NAMESPACE, "--ignore-not-found", "--timeout=60s")
    cluster.kubectl("delete", "persistentvolume", "croupier-journal", "--ignore-not-found", "--timeout=60s")


@dataclass(frozen=True)
class Casino:
    """payments-api under a policy, and the books beside it, in a namespace of one test."""

    cluster: Cluster
    namespace: str
    ended: set[str] = field(default_factory=set)
    """Runs whose end was told already."""
    log: Path | None = None
    """What the operator says, if it is a process of this machine; None: it is a pod."""

    @property
    def host(self) -> str:
        return example.host(self.namespace)

    def open(self, **policy: Any) -> None:
        """Books, policy and intent; the first version serves in the end. ``policy``: fields of its spec."""
        self.cluster.apply(*self.books(), namespace=self.namespace)
        self.cluster.rollout("books", self.namespace)
        self.cluster.apply(self.config(), self.intent(), self.policy(**policy), namespace=self.namespace)
        self.until_ready("the first version serves")

    def commit(self, *, DEFECT: str = "", **environment: str) -> None:
        """What a person commits to Git: the intent with another environment."""
        self.cluster.apply(self.intent(DEFECT=DEFECT, **environment), namespace=self.namespace)

    # --- objects: those of the example, as a newcomer applies them -------------------------------------------------

    def books(self) -> list[dict[str, Any]]:
        return example.books(self.namespace)

    def config(self, **data: str) -> dict[str, Any]:
        found = example.intent(self.namespace)[1]
        found["data"] |= data
        return found

    def intent(self, *, replicas: int = 0, DEFECT: str = "", **environment: str) -> dict[str, Any]:
        return example.intent(self.namespace, defect=DEFECT, replicas=replicas, **environment)[0]

    def policy(self, **spec: Any) -> dict[str, Any]:
        """The example's, with short steps and wide margins; a field that is None is left out.

        The margin is what keeps a step waiting: ten points are shown in half of the time that five take, and every
        ``DEFECT`` of a test is worse than either.
        """
        margin = {"points": 10.0}
        strategy = {"steps": [20, 100], "dwellSeconds": 4, "deadlineSeconds": 300, "readySeconds": 90}
        quick: dict[str, Any] = {
            "strategy": {**strategy, "bakeSeconds": 4, "scrapeSeconds": 2},
            "gates": [
                {"signal": "deposits", "role": "required", "margin": margin},
                {"signal": "errors", "role": "required", "margin": margin},
                {"signal": "latency", "role": "veto", "margin": {"ratio": 2.0}},
            ],
            **spec,
        }
        found = example.policy(self.namespace, self.cluster, **quick)
        found["spec"] = {key: value for key, value in found["spec"].items() if value is not None}
        return found

    # --- looking ------------------------------------------------------------------------------------------------------

    def get(self, kind: str, name: str = "payments-api") -> dict[str, Any]:
        found: dict[str, Any] = self.cluster.get(kind, name, "--namespace", self.namespace)
        return found

    def items(self, kind: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.cluster.get(kind, "--namespace", self.namespace)["items"]
        return found

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = self.get("releasepolicy").get("status") or {}
        return found

    def condition(self, kind: str) -> Mapping[str, Any]:
        conditions = self.status().get("conditions") or ()
        return next((each for each in conditions if each["type"] == kind), {})

    def until(self, promise: str, check: Any, seconds: float = 120.0) -> None:
        """As ``Cluster.until``; when it does not hold, what the operator says about it is told, too."""
        if not wait_for(check, seconds, pause_seconds=0.5):
            raise AssertionError(f"not within {seconds:g} s: {promise}; {json.dumps(self.status())}\n{self.said()}")

    def said(self) -> str:
        """The last lines of the operator's log."""
        if self.log is not None:
            return "\n".join(self.log.read_text().splitlines()[-15:])
        return self.cluster.kubectl("logs", "deploy/croupier", "--namespace", OPERATOR_NAMESPACE, "--tail=15")

    def until_ready(self, promise: str) -> None:
        self.until(promise, lambda: self.condition("Ready").get("status") == "True" and self._is_current())
        self.ended.add(self.status()["run"])

    def _is_current(self) -> bool:
        found = self.status()
        return bool(found.get("stable")) and found.get("stable") == found.get("wanted")

    def outcome(self, promise: str, seconds: float = 300.0) -> dict[str, Any]:
        """The newest run once it has ended, of the version that is wanted now; each run is told once."""

        def newest() -> dict[str, Any]:
            run = self.status().get("run", "")
            found = [each for each in self.items("releases") if each["spec"]["run"] == run]
            return found[0] if found else {}

        def has_ended() -> bool:
            run, status = newest(), self.status()
            if not run or run["spec"]["run"] in self.ended:
                return False
            told = run.get("status", {})
            return bool(told.get("outcome")) and told.get("canary") == status.get("wanted")

        self.until(promise, has_ended, seconds)
        run = newest()
        self.ended.add(run["spec"]["run"])
        return run

    @contextmanager
    def players(self, log: Path) -> Iterator[example.Players]:
        """Players at work until the block is left."""
        with example.players(self.cluster, self.namespace, log, rate=RATE) as players:
            self.until("players are at work", lambda: bool(players.lines()))
            yield players


def _volume(journal: Path) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": "croupier-journal"},
        "spec": {
            "capacity": {"storage": "5Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "",
            "hostPath": {"path": str(journal)},
            "claimRef": {"namespace": OPERATOR_NAMESPACE, "name": "croupier-journal"},
        },
    }
