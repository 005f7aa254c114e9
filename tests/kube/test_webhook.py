"""The rules at the door of a real API server (S3.6, S10.1): what it sends is understood, what it is told counts.

The webhook is a process in the cluster's network, registered by address for the namespace of the test alone.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.authority import Authority
from tests.support.cluster import Cluster
from tests.support.reviews import DIGEST
from tools.kube_stand.places import REPOSITORY

from croupier.admission.install import NAME, webhook_configuration
from croupier.core.policy.kinds import ALL
from croupier_stand.process import wait_for

pytestmark = pytest.mark.timeout(300)

PORT, ABOUT_PORT = 16_544, 16_545
START_SECONDS = 60.0


class Webhook:
    """The process. It may be stopped and started again; ``folder`` holds certificate, key and log."""

    def __init__(self, cluster: Cluster, folder: Path, mode: str) -> None:
        self.cluster = cluster
        self.folder = folder
        self.mode = mode
        self.authority = Authority()
        self.process: subprocess.Popen[bytes] | None = None
        self.rotate()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def rotate(self) -> None:
        self.authority.write(self.folder, ("127.0.0.1",))

    def start(self) -> None:
        words = [sys.executable, "-m", "croupier.cli", "admission", "run", "--mode", self.mode, "--verbose"]
        words += ["--cert", str(self.folder / "tls.crt"), "--key", str(self.folder / "tls.key")]
        words += ["--host", "127.0.0.1", "--port", str(PORT), "--about-port", str(ABOUT_PORT)]
        # unshare passes no signal on, so the child is to end with it.
        argv = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--", *words]
        with (self.folder / "log").open("wb") as log:
            self.process = subprocess.Popen(self.cluster.inside(*argv), stdout=log, stderr=log, cwd=REPOSITORY)
        assert wait_for(lambda: '"serving"' in self.log or self.has_ended(), START_SECONDS), self.log
        assert not self.has_ended(), self.log

    def has_ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    def kill(self) -> None:
        if self.process is not None and not self.has_ended():
            self.process.kill()
            self.process.wait(30)

    def report(self) -> dict[str, Any]:
        """What ``/report`` says."""
        read = f"import urllib.request as r; print(r.urlopen('http://127.0.0.1:{ABOUT_PORT}/report').read().decode())"
        found: dict[str, Any] = json.loads(self.cluster.exec(sys.executable, "-c", read))
        return found


def deployment(name: str, image: str = f"registry.example/bets@{DIGEST}", **spec: Any) -> dict[str, Any]:
    """A Deployment without pods that no rule at the door has an error against, but for its image."""
    container = {
        "name": "app",
        "image": image,
        "resources": {"requests": {"cpu": "100m", "memory": "64Mi"}, "limits": {"memory": "64Mi"}},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}},
    }
    pod = {
        "serviceAccountName": "bets",
        "securityContext": {"runAsNonRoot": True, "runAsUser": 65532, "seccompProfile": {"type": "RuntimeDefault"}},
        "containers": [container],
    }
    template = {"metadata": {"labels": {"app": name}}, "spec": pod}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name},
        "spec": {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template, **spec},
    }


@pytest.fixture
def registered(cluster: Cluster, namespace: str, tmp_path: Path) -> Iterator[Callable[[str], Any]]:
    """Starts and registers a webhook of a mode, for the namespace of the test. Unregistered before it is gone."""

    @contextmanager
    def begun(mode: str) -> Iterator[Webhook]:
        webhook = Webhook(cluster, tmp_path, mode)
        try:
            webhook.start()
            client = {
                "url": f"https://127.0.0.1:{PORT}/validate",
                "caBundle": base64.b64encode(webhook.authority.pem).decode(),
            }
            made = webhook_configuration(client, judged=ALL, failure_policy="Fail", exclude=(), annotations={})
            made["webhooks"][0]["namespaceSelector"] = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
            cluster.apply(made)
            cluster.until("the API server asks the webhook", lambda: asks(webhook))
            yield webhook
        finally:
            cluster.kubectl("delete", "validatingwebhookconfiguration", NAME, "--ignore-not-found")
            webhook.kill()

    def asks(webhook: Webhook) -> bool:
        told = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "probe"}, "data": {"a": "b"}}
        words = ("--namespace", namespace, "--dry-run=server", "--filename", "-")
        cluster.kubectl("apply", *words, stdin=json.dumps(told))
        return '"probe"' in webhook.log

    yield begun


def test_what_breaks_the_rules_never_reaches_the_cluster(
    cluster: Cluster, namespace: str, registered: Callable[[str], Any]
) -> None:
    with registered("enforce") as webhook:
        with pytest.raises(
            AssertionError, match=r"admission webhook .policy\.croupier\.dev. denied the request: image"
        ):
            cluster.apply(deployment("bets", "registry.example/bets:latest"), namespace=namespace)
        assert not cluster.get("deployments", "--namespace", namespace)["items"]
        cluster.apply(deployment("bets"), namespace=namespace)
        with pytest.raises(AssertionError, match="image-tag"):
            cluster.apply(deployment("bets", "registry.example/bets:latest"), namespace=namespace)
        (row,) = webhook.report()["breaking"]
        assert (row["namespace"], row["kind"], row["name"], row["times"]) == (namespace, "Deployment", "bets", 2)


def test_what_was_there_before_the_rules_can_still_be_scaled_and_deleted(
    cluster: Cluster, namespace: str, registered: Callable[[str], Any]
) -> None:
    cluster.apply(deployment("old", "registry.example/old:latest"), namespace=namespace)
    with registered("enforce"):
        cluster.apply(deployment("old", "registry.example/old:latest", minReadySeconds=3), namespace=namespace)
        cluster.kubectl("scale", "deployment/old", "--replicas=0", "--namespace", namespace)
        cluster.kubectl("delete", "deployment/old", "--namespace", namespace)


def test_in_warn_mode_everything_comes_in_and_the_report_says_who_would_break(
    cluster: Cluster, namespace: str, registered: Callable[[str], Any]
) -> None:
    with registered("warn") as webhook:
        cluster.apply(deployment("bets", "registry.example/bets:latest"), namespace=namespace)
        found = webhook.report()
        assert found["mode"] == "warn"
        assert "image-tag" in next(row for row in found["breaking"] if row["name"] == "bets")["rules"]


def test_a_webhook_that_is_down_fails_closed_and_in_its_namespaces_only(
    cluster: Cluster, namespace: str, registered: Callable[[str], Any]
) -> None:
    with registered("enforce") as webhook:
        webhook.kill()
        with pytest.raises(AssertionError, match="failed calling webhook"):
            cluster.apply(deployment("bets"), namespace=namespace)
        elsewhere = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"probe-{namespace}"}}
        cluster.apply(elsewhere, namespace="default")
        cluster.kubectl("delete", "configmap", f"probe-{namespace}", "--namespace", "default")
        webhook.start()
        cluster.until("it answers again", lambda: _comes_in(cluster, namespace))


def _comes_in(cluster: Cluster, namespace: str) -> bool:
    try:
        cluster.apply(deployment("bets"), namespace=namespace)
    except AssertionError:
        return False
    return True


def test_a_new_certificate_costs_the_api_server_nothing(
    cluster: Cluster, namespace: str, registered: Callable[[str], Any]
) -> None:
    with registered("enforce") as webhook:
        for turn in range(3):
            webhook.rotate()
            cluster.until(
                "the certificate is read again",
                lambda turn=turn: len(re.findall(r"certificate\.reloaded", webhook.log)) > turn,
            )
            cluster.apply(deployment(f"bets-{turn}"), namespace=namespace)
