"""The cluster for tests keeps what the other tests rely on: pods run, routes split, pods can be reached."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.support.cluster import Cluster, Images

from croupier import __version__

HOST = "smoke.example"
LABELS = {"stable": "aaaaaaaaaaaa", "canary": "bbbbbbbbbbbb"}


@pytest.fixture
def two_versions(cluster: Cluster, cluster_images: Images, namespace: str) -> str:
    """The namespace in which two versions of the example run behind a route that splits 95 to 5."""
    for name, version in LABELS.items():
        cluster.apply(_deployment(name, version, cluster_images.example), _service(name), namespace=namespace)
    cluster.apply(_route(cluster.gateway.parent_ref), namespace=namespace)
    for name in LABELS:
        cluster.rollout(name, namespace)
    return namespace


def test_a_route_splits_as_its_weights_say(cluster: Cluster, two_versions: str) -> None:
    """Prevents: gates that compare two arms of which one gets no traffic, or all of it."""
    with httpx.Client(base_url=cluster.gateway.url, headers={"host": HOST}) as client:
        cluster.until("the route answers", lambda: _answer(client) is not None, 30.0)
        cluster.until("the canary answers", lambda: _answer(client) == LABELS["canary"], 30.0)
        answers = Counter(_answer(client) for _ in range(1000))
    assert set(answers) == set(LABELS.values())
    assert 20 <= answers[LABELS["canary"]] <= 85  # 50 are expected; outside with a chance below 1e-5


def test_pods_are_reached_by_address_and_services_by_name(cluster: Cluster, two_versions: str) -> None:
    """Prevents: an operator that cannot read the counters of a pod, or the page of a tally."""
    pods = cluster.get("pods", "--namespace", two_versions)["items"]
    addresses = [f"{pod['status']['podIP']}:8080" for pod in pods]
    for address in (*addresses, f"stable.{two_versions}.svc"):
        page = cluster.exec(sys.executable, "-c", _FETCH, f"http://{address}/metrics")
        assert "http_requests_total" in page


def test_the_kubelet_keeps_a_version_that_is_not_ready_out_of_its_service(
    cluster: Cluster, cluster_images: Images, namespace: str
) -> None:
    """Prevents: a release of a version that never comes up, and that players meet all the same."""
    deployment = _deployment("stable", LABELS["stable"], cluster_images.example, DEFECT="never-ready")
    cluster.apply(deployment, _service("stable"), namespace=namespace)
    cluster.until("the pod runs", lambda: _phases(cluster, namespace) == ["Running"])
    slices = cluster.get("endpointslices", "--namespace", namespace)["items"]
    assert not any(each["conditions"]["ready"] for piece in slices for each in piece["endpoints"] or ())


def test_the_operator_image_runs_without_any_right(cluster: Cluster, cluster_images: Images, namespace: str) -> None:
    """Prevents: an operator that needs root, a shell or a writable disk."""
    container = _container("operator", cluster_images.operator, ["--version"])
    spec = {"containers": [container], "restartPolicy": "Never", "automountServiceAccountToken": False}
    cluster.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "operator"}, "spec": spec}, namespace=namespace
    )
    cluster.until("it ran to its end", lambda: _phases(cluster, namespace) == ["Succeeded"])
    assert __version__ in cluster.kubectl("logs", "operator", "--namespace", namespace)


def test_a_claim_gets_a_volume_that_its_pod_may_write(cluster: Cluster, cluster_images: Images, namespace: str) -> None:
    """Prevents: an operator whose journal has no disk."""
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    container = _container("writer", cluster_images.example, []) | {
        "command": ["python3", "-c", "open('/data/journal', 'x').write('kept')"],
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    spec = {
        "containers": [container],
        "restartPolicy": "Never",
        "securityContext": {"fsGroup": 65532},
        "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}],
    }
    cluster.apply(
        {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"name": "data"}, "spec": claim},
        {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "writer"}, "spec": spec},
        namespace=namespace,
    )
    cluster.until("it wrote and ended", lambda: _phases(cluster, namespace) == ["Succeeded"])


def test_an_api_server_that_crashed_comes_back(cluster: Cluster, namespace: str) -> None:
    """Prevents: a test of what an operator does then that never had such a moment."""
    before = cluster.get("namespace", namespace)["metadata"]["uid"]
    cluster.crash("kube-apiserver")
    cluster.until("the API answers", lambda: cluster.answers("/readyz"))
    assert cluster.get("namespace", namespace)["metadata"]["uid"] == before


def test_namespaces_of_tests_do_not_see_each_other(cluster: Cluster, namespace: str) -> None:
    """Prevents: a test that passes because of what another one left."""
    assert cluster.get("pods", "--namespace", namespace)["items"] == []


def test_images_are_the_same_to_the_byte(tmp_path: Path) -> None:
    """Prevents: a node that imports, and a cache that keeps, the same image again and again."""
    from tools.kube_stand.images import example_image, write_image
    from tools.kube_stand.places import Cache

    archives = [tmp_path / "1.tar", tmp_path / "2.tar"]
    for archive in archives:
        write_image(archive, example_image(), Cache.of_user())
    assert _blobs(archives[0]) == _blobs(archives[1])


_FETCH = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=10).read().decode())"


def _answer(client: httpx.Client) -> str | None:
    """The version that answers; None while none does."""
    answer = client.get("/")
    return str(answer.json()["version"]) if answer.status_code == 200 else None


def _phases(cluster: Cluster, namespace: str) -> list[str]:
    return [pod["status"]["phase"] for pod in cluster.get("pods", "--namespace", namespace)["items"]]


def _blobs(archive: Path) -> list[str]:
    import tarfile

    with tarfile.open(archive) as tar:
        return tar.getnames()


def _deployment(name: str, version: str, image: str, **environment: str) -> dict[str, Any]:
    variables = {"CROUPIER_VERSION": version, "CROUPIER_SERVICE": f"payments-api.{name}", **environment}
    container = _container("payments-api", image, ["payments-api"]) | {
        "env": [{"name": key, "value": value} for key, value in variables.items()],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1},
    }
    template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [container]}}
    spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}, "template": template}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


def _container(name: str, image: str, arguments: list[str]) -> dict[str, Any]:
    rights = {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "runAsNonRoot": True,
        "capabilities": {"drop": ["ALL"]},
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    how = {"imagePullPolicy": "IfNotPresent", "securityContext": rights}
    return {"name": name, "image": image, "args": arguments} | how


def _service(name: str) -> dict[str, Any]:
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


def _route(parent: dict[str, str]) -> dict[str, Any]:
    backends = [{"name": "stable", "port": 80, "weight": 95}, {"name": "canary", "port": 80, "weight": 5}]
    spec = {"parentRefs": [parent], "hostnames": [HOST], "rules": [{"backendRefs": backends}]}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "smoke"},
        "spec": spec,
    }
