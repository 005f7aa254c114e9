"""The example of ``examples/kubernetes`` in a namespace of a test, and its players."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support import quick_yaml
from tests.support.cluster import Cluster

EXAMPLE = Path(__file__).parents[2] / "examples" / "kubernetes"
_DRAIN_SECONDS = 30.0


def books(namespace: str) -> list[dict[str, Any]]:
    """What is never under release, without the namespace itself."""
    return [each for each in _load("casino.yaml", namespace) if each["kind"] != "Namespace"]


def intent(namespace: str, *, defect: str = "", replicas: int = 0, **environment: str) -> list[dict[str, Any]]:
    """The Deployment of the intent and its ConfigMap; ``environment``: more variables of its container."""
    objects = [each for each in _load("payments-api.yaml", namespace) if each["kind"] != "ReleasePolicy"]
    deployment = next(each for each in objects if each["kind"] == "Deployment")
    deployment["spec"]["replicas"] = replicas
    variables = deployment["spec"]["template"]["spec"]["containers"][0]["env"]
    variables[:] = [each for each in variables if each["name"] != "DEFECT"]
    variables += [{"name": name, "value": value} for name, value in {"DEFECT": defect, **environment}.items()]
    return objects


def policy(namespace: str, cluster: Cluster, **changes: Any) -> dict[str, Any]:
    """The ReleasePolicy; ``changes``: fields of its spec."""
    found = next(each for each in _load("payments-api.yaml", namespace) if each["kind"] == "ReleasePolicy")
    found["spec"]["route"] = {"parentRefs": [cluster.gateway.parent_ref], "hostnames": [host(namespace)]}
    found["spec"] |= changes
    return found


def host(namespace: str) -> str:
    """Host name of the casino in this namespace: a gateway serves many tests."""
    return f"{namespace}.example"


@dataclass
class Players:
    """Players that run, as a process of this machine."""

    process: subprocess.Popen[str]
    log: Path
    totals: dict[str, Any] | None = None
    """What they counted; None while they run."""

    def lines(self) -> list[dict[str, Any]]:
        """One line a second of what was counted up to then."""
        return [json.loads(line) for line in self.log.read_text().splitlines()] if self.log.exists() else []

    def stop(self) -> dict[str, Any]:
        """End them and return what they counted."""
        if self.totals is None:
            self.process.send_signal(signal.SIGTERM)
            output, _ = self.process.communicate(timeout=_DRAIN_SECONDS)
            self.totals = json.loads(output)
        return self.totals


@contextmanager
def players(
    cluster: Cluster, namespace: str, log: Path, *, rate: float = 40.0, seconds: float = 900.0
) -> Iterator[Players]:
    """Players of the casino in this namespace, gone after the block."""
    program = [sys.executable, str(EXAMPLE / "players.py"), cluster.gateway.url, "--host", host(namespace)]
    limits = ["--rate", f"{rate:g}", "--seconds", f"{seconds:g}", "--log", str(log)]
    with subprocess.Popen([*program, *limits], stdout=subprocess.PIPE, text=True) as process:
        running = Players(process, log)
        try:
            yield running
        finally:
            if running.totals is None:
                process.kill()


def _load(file: str, namespace: str) -> list[dict[str, Any]]:
    """The objects of a file of the example, moved to another namespace."""
    text = (EXAMPLE / file).read_text().replace("namespace: casino\n", f"namespace: {namespace}\n")
    return list(quick_yaml.load_all(text.replace("books.casino.svc", f"books.{namespace}.svc")))
