"""Each policy says where its counters are; a source that is down is its own services' problem."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from tests.support.prometheus import StillTraffic, running_prometheus

from croupier.adapters.clock import SystemClock
from croupier.adapters.kubernetes_api import RELEASE_POLICIES
from croupier.adapters.kubernetes_cluster import Cluster
from croupier.adapters.kubernetes_memory import MemoryKubernetes
from croupier.adapters.metrics.cluster import ClusterMetrics
from croupier.adapters.workloads.memory import MemoryWorkloads
from croupier.core.render.version import intent_digest
from croupier.model.digest import short
from croupier.model.evidence import Count
from croupier.model.traffic import ObservedSplit
from croupier.ports.metrics import Target

DIGEST = "sha256:" + "b" * 64
OTHER = "sha256:" + "a" * 64


def target(policy: str) -> Target:
    return Target(f"{policy}.casino", "r-0001", DIGEST)


def policy(name: str, metrics: dict[str, Any]) -> dict[str, Any]:
    return {
        "apiVersion": RELEASE_POLICIES.api_version,
        "kind": RELEASE_POLICIES.kind,
        "metadata": {"name": name, "namespace": "casino"},
        "spec": {"deployment": name, "service": {"name": name}, "metrics": metrics},
    }


async def test_services_are_read_where_their_policies_say(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    async with running_prometheus() as prometheus:
        server = MemoryKubernetes()
        await server.apply(policy("payments-api", {"prometheus": prometheus.url}))
        await server.apply(policy("bets", {"prometheus": "http://127.0.0.1:9"}))
        await server.apply(policy("identity", {}))
        cluster = Cluster(server, SystemClock(), has_gateway=False)
        labels = {"namespace": "casino", "croupier_dev_policy": "payments-api", "croupier_dev_version": short(DIGEST)}
        prometheus.scraped('http_requests_total{code="200"} 7\n', job="pods", instance="x", pod="c-0", **labels)
        metrics = ClusterMetrics(cluster, MemoryWorkloads([]), StillTraffic())
        async with asyncio.TaskGroup() as group:
            following = group.create_task(cluster.run())
            await cluster.listed()
            asked = [target(name) for name in ("payments-api", "bets", "identity", "unknown")]
            for _ in range(3):
                found = await metrics.read(asked)
            following.cancel()
        await metrics.aclose()
    assert set(found) == {target("payments-api")}
    assert found[target("payments-api")].series["errors"].events == {"c-0": Count(7.0, 0.0)}
    said = [record.getMessage() for record in caplog.records if "bets" in record.getMessage()]
    assert len(said) == 1, "an outage is said once, not in every round"
    assert "does not answer" in said[0]


@pytest.mark.parametrize("is_intent", [False, True])
async def test_shares_are_not_told_while_the_intents_own_pods_run(is_intent: bool) -> None:
    """Versions carry the labels of the intent: what is sent to it reaches both, whatever the split."""
    stable = Target("payments-api.casino", "r-0001", intent_digest("casino", "payments-api") if is_intent else OTHER)
    canary = target("payments-api")
    traffic = StillTraffic()
    traffic.split = ObservedSplit(stable.service, "r-0001", 1, {stable.digest: 0, canary.digest: 100})
    async with running_prometheus() as prometheus:
        server = MemoryKubernetes()
        await server.apply(policy("payments-api", {"prometheus": prometheus.url}))
        cluster = Cluster(server, SystemClock(), has_gateway=False)
        for each in (stable, canary):
            labels = {"namespace": "casino", "croupier_dev_policy": "payments-api"}
            labels["croupier_dev_version"] = short(each.digest)
            prometheus.scraped('http_requests_total{code="200"} 7\n', job="pods", instance="x", pod="c-0", **labels)
        metrics = ClusterMetrics(cluster, MemoryWorkloads([]), traffic)
        async with asyncio.TaskGroup() as group:
            following = group.create_task(cluster.run())
            await cluster.listed()
            found = await metrics.read([stable, canary])
            following.cancel()
        await metrics.aclose()
    assert (found[canary].players_revision is None) == is_intent
    assert (found[canary].players_seen is None) == is_intent
