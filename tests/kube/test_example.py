"""The example keeps its word on a real cluster: pods leave without a failed request, defects show where they should."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import httpx
from tests.support import casino
from tests.support.cluster import Cluster, Images

from croupier.adapters.metrics.exposition import ArmKey, Page, read_page

VERSION = "aaaaaaaaaaaa"
SELECTOR = "app.kubernetes.io/name=payments-api"


def test_pods_that_are_replaced_fail_no_request(
    cluster: Cluster, cluster_images: Images, namespace: str, tmp_path: Path
) -> None:
    """Prevents: a failed request that is charged to a release, and was the example's own fault."""
    _serve(cluster, namespace)
    with casino.players(cluster, namespace, tmp_path / "players.jsonl", rate=20.0) as players:
        cluster.until("players are served", lambda: _answered(players) > 100)
        cluster.kubectl("rollout", "restart", "deployment/payments-api", "--namespace", namespace)
        cluster.rollout("payments-api", namespace)
        cluster.until("pods that were replaced have ended", lambda: len(_pods(cluster, namespace)) == 2)
        totals = players.stop()
    assert totals["failed"] == 0, totals["failures"]
    page = _books(cluster, namespace)
    failures = sum(count.bad for sample in page.arms.values() for count in sample.series["deposits"].events.values())
    assert failures == 0


def test_lost_deposits_show_at_the_books_only(
    cluster: Cluster, cluster_images: Images, namespace: str, tmp_path: Path
) -> None:
    """Prevents: a bad version that only HTTP would have told from a good one."""
    _serve(cluster, namespace, defect="deposit-loss", DEFECT_SHARE="0.5")
    arm = ArmKey(f"payments-api.{namespace}", "-", VERSION)
    with casino.players(cluster, namespace, tmp_path / "players.jsonl", rate=20.0) as players:
        cluster.until("books miss deposits", lambda: _lost(_books(cluster, namespace), arm) > 10)
        totals = players.stop()
    assert totals["failed"] == 0, totals["failures"]
    assert totals["versions"] == {VERSION: totals["requests"]}


def _serve(cluster: Cluster, namespace: str, *, defect: str = "", **environment: str) -> None:
    """One version of the example behind the gateway, as the operator would make it."""
    deployment, settings = casino.intent(namespace, defect=defect, replicas=2, **environment)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    container["env"] = [each for each in container["env"] if each["name"] != "CROUPIER_VERSION"]
    container["env"].append({"name": "CROUPIER_VERSION", "value": VERSION})  # on a cluster under croupier: its label
    cluster.apply(
        *casino.books(namespace), deployment, settings, _service(), _route(cluster, namespace), namespace=namespace
    )
    cluster.rollout("books", namespace)
    cluster.rollout("payments-api", namespace)
    headers = {"host": casino.host(namespace)}
    cluster.until("the route answers", lambda: httpx.get(cluster.gateway.url, headers=headers).is_success)


def _service() -> dict[str, Any]:
    selector = {"app.kubernetes.io/name": "payments-api"}
    spec = {"selector": selector, "ports": [{"port": 80, "targetPort": 8080}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "payments-api"}, "spec": spec}


def _route(cluster: Cluster, namespace: str) -> dict[str, Any]:
    rule = {"backendRefs": [{"name": "payments-api", "port": 80}]}
    spec = {"parentRefs": [cluster.gateway.parent_ref], "hostnames": [casino.host(namespace)], "rules": [rule]}
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {"name": "payments-api"},
        "spec": spec,
    }


def _answered(players: casino.Players) -> int:
    lines = players.lines()
    return int(lines[-1]["requests"]) if lines else 0


def _pods(cluster: Cluster, namespace: str) -> list[Any]:
    return list(cluster.get("pods", "--namespace", namespace, "--selector", SELECTOR)["items"])


def _books(cluster: Cluster, namespace: str) -> Page:
    fetch = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=10).read().decode(), end='')"
    return read_page(cluster.exec(sys.executable, "-c", fetch, f"http://books.{namespace}.svc/metrics"))


def _lost(page: Page, arm: ArmKey) -> float:
    sample = page.arms.get(arm)
    return sum(count.bad for count in sample.series["deposits"].events.values()) if sample else 0
