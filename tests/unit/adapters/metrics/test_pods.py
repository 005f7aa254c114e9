"""Counters of pods by their addresses, business outcomes from a tally; what does not answer is absent (S9.7)."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from tests.support.edge import free_port
from tests.support.prometheus import StillTraffic
from tests.support.small_cluster import NAMESPACE, SERVICE, SmallCluster

from croupier.adapters.kubernetes_cluster import Cluster
from croupier.adapters.metrics import pods
from croupier.adapters.metrics.pods import LARGEST_BYTES, PodMetrics
from croupier.adapters.metrics.scrape import ScrapeMetrics
from croupier.adapters.workloads.memory import MemoryWorkloads
from croupier.errors import Unreachable
from croupier.model.evidence import Count
from croupier.model.traffic import Endpoint, ObservedSplit
from croupier.model.workload import Pod, VersionPods
from croupier.ports.metrics import Target

OLD, NEW = "sha256:" + "a" * 64, "sha256:" + "b" * 64
STABLE, CANARY = Target(SERVICE, "r-0001", OLD), Target(SERVICE, "r-0001", NEW)


class Fleet(MemoryWorkloads):
    """Two pods of each version, each at an address of its own; ``unreachable``: nobody knows."""

    def __init__(self, hosts: Mapping[str, str]) -> None:
        super().__init__([])
        self._hosts = hosts

    async def observe(self, service: str) -> list[VersionPods]:
        if self.unreachable:
            raise Unreachable("nobody knows")
        return [
            VersionPods(
                SERVICE,
                digest,
                2,
                tuple(
                    Pod(name, Endpoint(host=host, port=1) if host else None, ready=True, restarts=0)
                    for name, host in self._hosts.items()
                    if name.startswith(prefix)
                ),
            )
            for digest, prefix in ((OLD, "old"), (NEW, "new"))
        ]


class Town:
    """Pages of pods and of a tally, on one port of several loopback addresses."""

    def __init__(self) -> None:
        self.pages: dict[str, str] = {}
        """Host, or "tally" -> what is answered; absent: 503."""
        self.hosts = {"old-0": "127.0.0.1", "old-1": "127.0.0.2", "new-0": "127.0.0.3", "new-1": ""}
        self.fleet = Fleet(self.hosts)
        self.traffic = StillTraffic()
        self.port = 0
        self.asked: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.asked.append(request.path)
        key = "tally" if request.path == "/tally" else request.host.partition(":")[0]
        page = self.pages.get(key)
        return web.Response(text=page or "", status=200 if page is not None else 503, content_type="text/plain")


def page(requests: float, failures: float, slow: float = 0.0) -> str:
    return (
        f'http_requests_total{{code="200"}} {requests - failures}\nhttp_requests_total{{code="500"}} {failures}\n'
        f'http_request_duration_seconds_bucket{{le="0.1"}} {requests - slow}\n'
        f'http_request_duration_seconds_bucket{{le="+Inf"}} {requests}\n'
    )


def tally(digest: str, attempts: float, failures: float, *, at: float, run: str = "-") -> str:
    where = f'service="{SERVICE}",run="{run}",version="{digest[7:19]}",pod="books",signal="deposits"'
    return (
        f"croupier_signal_attempts_total{{{where}}} {attempts}\n"
        f"croupier_signal_failures_total{{{where}}} {failures}\n"
        f"croupier_tally_updated_seconds {at}\n"
    )


@asynccontextmanager
async def running(**metrics: Any) -> AsyncIterator[tuple[Town, PodMetrics, SmallCluster]]:
    town, world = Town(), SmallCluster()
    app = web.Application()
    app.router.add_get("/{path:.*}", town.answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    town.port = free_port()
    for host in filter(None, town.hosts.values()):
        await web.TCPSite(runner, host, town.port).start()
    where = {"pods": {"port": town.port}, "tally": f"http://127.0.0.1:{town.port}/tally", **metrics}
    await world.declare(metrics={key: value for key, value in where.items() if value is not None})
    await world.declare(name="lobby", metrics={"tally": f"http://127.0.0.1:{town.port}/tally"})
    cluster = Cluster(world.server, world.clock)
    async with asyncio.TaskGroup() as group:
        following = group.create_task(cluster.run())
        await cluster.listed()
        found = PodMetrics(cluster, town.fleet, town.traffic)
        try:
            yield town, found, world
        finally:
            await found.aclose()
            await runner.cleanup()
            following.cancel()


async def test_each_pod_counts_for_the_version_it_belongs_to() -> None:
    async with running() as (town, metrics, _):
        town.pages = {"127.0.0.1": page(100, 1, 5), "127.0.0.2": page(50, 0), "127.0.0.3": page(10, 2)}
        found = await metrics.read([STABLE, CANARY])
    assert found[STABLE].series["errors"].events == {"old-0": Count(100.0, 1.0), "old-1": Count(50.0, 0.0)}
    assert found[STABLE].series["latency:0.1"].events["old-0"] == Count(100.0, 5.0)
    assert found[CANARY].series["errors"].events["new-0"] == Count(10.0, 2.0)
    assert found[CANARY].series["errors"].players is None, "requests are no players"


async def test_a_pod_that_does_not_answer_or_has_no_address_is_absent_never_zero() -> None:
    async with running() as (town, metrics, _):
        town.pages = {"127.0.0.1": page(100, 1), "127.0.0.3": page(10, 2)}
        found = await metrics.read([STABLE, CANARY])
    for arm, name in ((STABLE, "old-1"), (CANARY, "new-1")):
        assert math.isnan(found[arm].series["errors"].events[name].total)


async def test_an_arm_of_which_no_pod_answers_is_missing() -> None:
    async with running() as (town, metrics, _):
        town.pages = {"127.0.0.1": page(100, 1)}
        assert set(await metrics.read([STABLE, CANARY])) == {STABLE}


@pytest.mark.parametrize(
    "nonsense", ["<html>sign in</html>", "http_requests_total nonsense", "#" * (LARGEST_BYTES + 9)]
)
async def test_a_page_that_is_none_counts_as_no_answer(nonsense: str) -> None:
    async with running() as (town, metrics, _):
        town.pages = {"127.0.0.1": nonsense}
        assert await metrics.read([STABLE]) == {}


async def test_outcomes_come_from_the_tally_also_while_pods_are_silent() -> None:
    async with running() as (town, metrics, world):
        town.pages = {"tally": tally(NEW, 200, 3, at=world.clock.now())}
        found = await metrics.read([STABLE, CANARY])
    assert set(found) == {CANARY}
    assert found[CANARY].series["deposits"].events == {"books": Count(200.0, 3.0)}


async def test_a_tally_that_is_old_is_absent_and_pods_still_count() -> None:
    async with running() as (town, metrics, world):
        town.pages = {"tally": tally(NEW, 200, 3, at=world.clock.now() - 60), "127.0.0.3": page(10, 2)}
        found = await metrics.read([CANARY])
    assert set(found[CANARY].series) == {"errors", "latency:0.1"}


async def test_a_policy_may_leave_pods_or_tally_out() -> None:
    async with running(tally=None) as (town, metrics, world):
        town.pages = {"127.0.0.3": page(10, 2), "tally": tally(NEW, 200, 3, at=world.clock.now())}
        assert "deposits" not in (await metrics.read([CANARY]))[CANARY].series


async def test_who_was_seen_is_counted_from_the_revision_in_force_on() -> None:
    async with running() as (town, metrics, _):
        town.traffic.split = ObservedSplit(SERVICE, "r-0001", 1, {OLD: 95, NEW: 5})
        town.pages = {"127.0.0.1": page(1000, 0), "127.0.0.3": page(10, 0)}
        await metrics.read([STABLE, CANARY])
        town.pages = {"127.0.0.1": page(1950, 0), "127.0.0.3": page(60, 0)}
        found = await metrics.read([STABLE, CANARY])
        assert [(found[arm].players_seen, found[arm].players_revision) for arm in (STABLE, CANARY)] == [
            (950, 1),
            (50, 1),
        ]
        town.traffic.split = ObservedSplit(SERVICE, "r-0001", 2, {OLD: 50, NEW: 50})
        found = await metrics.read([STABLE, CANARY])
        assert (found[CANARY].players_seen, found[CANARY].players_revision) == (0, 2)


async def test_a_service_that_cannot_be_read_leaves_its_own_targets_out_only() -> None:
    async with running() as (town, metrics, _):
        town.pages = {"127.0.0.1": page(100, 1)}
        assert set(await metrics.read([STABLE, Target(f"bets.{NAMESPACE}", "-", OLD)])) == {STABLE}
        town.fleet.unreachable = True
        assert await metrics.read([STABLE]) == {}


async def test_a_tally_that_counts_for_many_services_is_read_once_by_one_client(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Prevents: two hundred services that read one page two hundred times, each with a client made for it."""
    made: list[object] = []
    monkeypatch.setattr(pods, "ScrapeMetrics", lambda *given: made.append(given) or ScrapeMetrics(*given))
    async with running() as (town, metrics, world):
        town.pages = {"tally": tally(NEW, 200, 3, at=world.clock.now())}
        for _ in range(2):
            town.asked.clear()
            assert set(await metrics.read([CANARY, Target(f"lobby.{NAMESPACE}", "-", OLD)])) == {CANARY}
            assert town.asked.count("/tally") == 1
    assert len(made) == 1
