"""The cache and the lease on a real API server: what the twin in memory promises for it is so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing

import pytest
from tests.support.cluster import Cluster

from croupier.adapters.clock import SystemClock
from croupier.adapters.kubernetes_api import CONFIG_MAPS, LEASES
from croupier.adapters.kubernetes_cache import Cache
from croupier.adapters.kubernetes_client import KubernetesClient
from croupier.adapters.kubernetes_lease import Lease
from croupier.errors import Unreachable
from croupier.model.objects import JsonObject

PATIENCE_SECONDS = 60.0


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[KubernetesClient]:
    client = KubernetesClient.connect(cluster.context, cluster.kubeconfig)
    yield client
    await client.aclose()


def config_map(namespace: str, content: str) -> JsonObject:
    metadata = {"name": "settings", "namespace": namespace, "labels": {"followed": "yes"}}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"content": content}}


def content(cache: Cache, namespace: str) -> str | None:
    obj = cache.get(namespace, "settings")
    return None if obj is None else str(obj["data"]["content"])


async def until(told: asyncio.Event, holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not holds():
            await told.wait()
            told.clear()


async def test_a_cache_follows_the_cluster(client: KubernetesClient, namespace: str) -> None:
    """Prevents: rounds that decide on what was true before."""
    clock = SystemClock()
    cache = Cache(client, CONFIG_MAPS, clock, namespace=namespace, labels="followed=yes")
    told = asyncio.Event()
    cache.on_change = lambda *_: told.set()
    async with asyncio.TaskGroup() as group:
        running = group.create_task(cache.run())
        await cache.listed.wait()
        cache.require_fresh(clock.now())
        await client.apply(config_map(namespace, "1"))
        await until(told, lambda: content(cache, namespace) == "1")
        cache.put(await client.apply(config_map(namespace, "2")))
        assert content(cache, namespace) == "2", "what we wrote is read at once"
        await client.delete(CONFIG_MAPS, "settings", namespace=namespace)
        await until(told, lambda: content(cache, namespace) is None)
        running.cancel()


async def test_one_operator_after_the_other_writes(client: KubernetesClient, namespace: str, cluster: Cluster) -> None:
    """Prevents: an old pod that lingers and writes against its successor."""
    other = KubernetesClient.connect(cluster.context, cluster.kubeconfig)
    first, second = (_lease(each, namespace, name) for each, name in ((client, "a"), (other, "b")))
    stop, is_over, took_over = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def work_of_first() -> None:
        await client.apply(config_map(namespace, "first"))
        with pytest.raises(Unreachable, match="not ours"):
            await other.apply(config_map(namespace, "second"))
        await stop.wait()

    async def work_of_second() -> None:
        await other.apply(config_map(namespace, "second"))
        took_over.set()
        await is_over.wait()

    async with asyncio.timeout(PATIENCE_SECONDS), asyncio.TaskGroup() as group:
        running = group.create_task(first.run(work_of_first))
        terms = await _renewals(client, namespace, 1)
        group.create_task(second.run(work_of_second))
        assert await _renewals(client, namespace, 2) == terms, "renewed, and not taken over"
        assert not took_over.is_set()
        stop.set()
        await running
        await took_over.wait()
        with pytest.raises(Unreachable, match="not ours"):
            await client.apply(config_map(namespace, "first again"))
        is_over.set()
    await other.aclose()


async def _renewals(client: KubernetesClient, namespace: str, count: int) -> object:
    """Wait until the lease has changed so often; how often it has changed hands."""
    terms: object = None
    listing = await client.list(LEASES, namespace=namespace)
    stream = client.watch(LEASES, namespace=namespace, resource_version=listing.resource_version)
    async with aclosing(stream):
        while count:
            change = await anext(stream)
            count -= change.kind in ("ADDED", "MODIFIED")
            terms = change.object.get("spec", {}).get("leaseTransitions", terms)
    return terms


def _lease(client: KubernetesClient, namespace: str, holder: str) -> Lease:
    lease = Lease(client, SystemClock(), namespace=namespace, name="croupier", holder=holder)
    client.fence = lease.fence
    return lease
