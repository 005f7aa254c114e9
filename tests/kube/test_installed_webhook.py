"""What ``croupier admission manifests`` prints, applied as it is (S3.6, S10.1): pods of ours at the door of a real API
server, that server's own image policy, and a cluster whose webhook is down.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.support import quick_yaml
from tests.support.authority import Authority
from tests.support.cluster import Cluster, Images
from tests.support.reviews import DIGEST, pod

from croupier.admission.install import NAME
from croupier.cli.root import cli

pytestmark = pytest.mark.timeout(600)

OWN = "croupier-door"
"""The namespace that it is installed in."""
SERVER = f"{NAME}.{OWN}.svc"
GOOD, BAD = f"registry.example/bets@{DIGEST}", "registry.example/bets:latest"


@dataclass(frozen=True)
class Door:
    """What is installed. ``ca``: file with the authority of its certificate."""

    cluster: Cluster
    ca: Path

    def scale(self, replicas: int) -> None:
        self.cluster.kubectl("scale", f"deployment/{NAME}", "--namespace", OWN, f"--replicas={replicas}")

    def pods(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.cluster.get("pods", "--namespace", OWN)["items"]
        return found

    def said(self, value: dict[str, Any], namespace: str) -> str:
        """Why the API server does not take an object that is offered; "" if it does."""
        taken, why = self.cluster.offer(value, namespace)
        assert taken is not None or why
        return "" if taken is not None else why


@pytest.fixture(scope="module")
def door(cluster: Cluster, cluster_images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """Installed by two commands of a person, and the Secret that cert-manager would have made."""
    folder, authority = tmp_path_factory.mktemp("door"), Authority()
    cert, key, _ = authority.issue((SERVER,))
    (folder / "ca.pem").write_bytes(authority.pem)
    words = ["--image", cluster_images.operator, "--namespace", OWN, "--cert-secret", "door-tls"]
    done = CliRunner().invoke(
        cli, ["admission", "manifests", *words, "--ca", str(folder / "ca.pem"), "--mode", "enforce"]
    )
    assert done.exit_code == 0, done.output
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "door-tls", "namespace": OWN},
        "type": "kubernetes.io/tls",
        "stringData": {"tls.crt": cert.decode(), "tls.key": key.decode()},
    }
    try:
        cluster.apply(next(quick_yaml.load_all(done.stdout)), secret)
        cluster.kubectl("apply", "--server-side", "--filename", "-", stdin=done.stdout)
        cluster.rollout(NAME, OWN, 300)
        found = Door(cluster, folder / "ca.pem")
        cluster.until("the API server asks it", lambda: "image-tag" in found.said(a_pod(BAD), "default"))
        yield found
    finally:
        cluster.kubectl("delete", "validatingwebhookconfiguration,priorityclass", NAME, "--ignore-not-found")
        cluster.kubectl("delete", "namespace", OWN, "--ignore-not-found", "--wait=false")


def a_pod(image: str) -> dict[str, Any]:
    """A pod that rules and Pod Security Standards let in, but for its image; of the namespace it is offered in."""
    made = pod(image=image)
    del made["metadata"]["namespace"]
    made["spec"] |= {"serviceAccountName": "default", "automountServiceAccountToken": False}
    made["spec"]["securityContext"]["runAsUser"] = 65532
    return made


def test_what_is_printed_is_applied_and_judges(door: Door, namespace: str) -> None:
    cluster = door.cluster
    cluster.until("a good pod comes in", lambda: not door.said(a_pod(GOOD), namespace))
    assert 'admission webhook "policy.croupier.dev" denied the request: image-tag' in door.said(a_pod(BAD), namespace)
    everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": f"all-{namespace}"},
        "rules": [everything],
    }
    assert "rbac-wildcard" in door.said(role, "")
    route = {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "bets"},
        "spec": {"rules": [{"backendRefs": [{"name": "bets", "port": 80}]}]},
    }
    assert "denied the request: mesh-no-timeout" in door.said(route, namespace)
    unlabelled = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": f"more-{namespace}"}}
    assert "croupier pod-security-label" in cluster.offer(unlabelled, "")[1]
    assert len(door.pods()) == 2
    assert all(each["spec"]["priorityClassName"] == NAME for each in door.pods())
    cluster.until(
        "one pod may be evicted, and one only",
        lambda: cluster.get("poddisruptionbudget", NAME, "--namespace", OWN)["status"].get("disruptionsAllowed") == 1,
    )


def test_a_cluster_whose_webhook_is_down_takes_our_pods_and_nobody_elses(door: Door, namespace: str) -> None:
    """``failurePolicy`` and ``namespaceSelector`` as they are printed: pods that replace ours are made while nobody
    answers.
    """
    door.scale(0)
    door.cluster.until("no pod of ours is left", lambda: not door.pods())
    door.cluster.until("nobody answers", lambda: "failed calling webhook" in door.said(a_pod(GOOD), namespace))
    assert not door.said(a_pod(BAD), OWN)
    assert not door.said(a_pod(BAD), "kube-system")
    assert "failed calling webhook" in door.said(a_pod(GOOD), namespace)
    door.scale(2)
    door.cluster.rollout(NAME, OWN, 300)
    door.cluster.until("it answers again", lambda: not door.said(a_pod(GOOD), namespace))
    assert "image-tag" in door.said(a_pod(BAD), namespace)


def test_the_image_policy_of_the_api_server_asks_us(door: Door, namespace: str, tmp_path: Path) -> None:
    """The two files that are written, and the flags that are printed. The API server knows no names of Services, so it
    is given the address.
    """
    cluster = door.cluster
    cluster.inside()
    address = cluster.get("service", NAME, "--namespace", OWN)["spec"]["clusterIP"]
    words = ["--url", f"https://{address}", "--server-name", SERVER, "--ca", str(door.ca), "--at", str(tmp_path)]
    done = CliRunner().invoke(cli, ["admission", "image-policy", str(tmp_path), *words, "--failure-policy", "Fail"])
    assert done.exit_code == 0, done.output
    flags = done.stdout.split()
    cluster.kubectl("delete", "validatingwebhookconfiguration", NAME)
    cluster.crash("kube-apiserver", more=flags)
    try:
        cluster.until("the API server answers", lambda: cluster.answers("/readyz"))
        cluster.until("a good image comes in", lambda: not door.said(a_pod(GOOD), namespace))
        why = door.said(a_pod(BAD), namespace)
        assert "image policy webhook backend denied one or more images" in why
        assert "image-tag" in why
        assert not door.said(a_pod(BAD), OWN)
    finally:
        cluster.crash("kube-apiserver", but=flags)
        cluster.until("the API server answers", lambda: cluster.answers("/readyz"))
    assert not door.said(a_pod(BAD), namespace)
