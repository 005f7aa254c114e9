"""An API server that refuses, dawdles or falls silent costs a release time, and nothing else (S9.7).

The operator runs as a process with the rights of its service account; between it and the real API server stands a proxy
that fails as it is told. Players send on; none of their requests may fail.
"""

from __future__ import annotations

import asyncio
import itertools
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.support.cluster import Cluster, Images
from tests.support.fault_proxy import CLOCK, Fault, Seen
from tests.support.operated import OPERATOR_NAMESPACE, Casino, install, uninstall
from tests.support.process_operator import ProcessOperator, Storm, behind_a_proxy

from croupier.adapters.kubernetes_cache import STALL_SECONDS
from croupier.adapters.kubernetes_client import WRITE_SECONDS, KubernetesClient
from croupier.adapters.kubernetes_lease import DURATION_SECONDS, MARGIN_SECONDS, Lease
from croupier.operator.run import LEASE_NAME

pytestmark = pytest.mark.timeout(900)

STORM_SECONDS = 15.0
MOST_REQUESTS_A_SECOND = 20.0
"""Of one operator with one service, while it is refused: more would be a storm of its own."""


@dataclass(frozen=True)
class Sea:
    """A casino whose operator stands behind the proxy."""

    casino: Casino
    storm: Storm
    builds: Iterator[int]

    @property
    def operator(self) -> ProcessOperator:
        return self.storm.operator

    def release(self, **environment: str) -> None:
        """Commit a version that was never there, and wait until players are on it."""
        before = self.casino.status().get("run")
        self.casino.commit(BUILD=f"storm-{next(self.builds)}", **environment)
        self.casino.until("a release has begun", lambda: self.casino.status().get("run") != before)

    def until_holding(self) -> None:
        self.casino.until("players are on the canary", lambda: self.casino.status().get("phase") == "holding")


@pytest.fixture(scope="module")
def sea(cluster: Cluster, cluster_images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sea]:
    """One for all tests here; each leaves it with one version that serves."""
    folder = tmp_path_factory.mktemp("storm")
    uninstall(cluster)
    install(cluster, cluster_images, folder / "journal", replicas=0)
    namespace = f"test-{secrets.token_hex(4)}"
    cluster.kubectl("create", "namespace", namespace)
    try:
        with behind_a_proxy(cluster, folder / "proxy", namespace) as storm:
            casino = Casino(cluster, namespace, log=storm.operator.log)
            strategy = {**casino.policy()["spec"]["strategy"], "readySeconds": 240}
            casino.open(strategy=strategy)  # storms may last longer than pods need
            yield Sea(casino, storm, itertools.count(2))
    finally:
        cluster.kubectl("delete", "namespace", namespace, "--wait=false")
        uninstall(cluster)


@pytest.mark.parametrize(
    "fault",
    [
        pytest.param(Fault(status=409, share=0.8, path="croupier|deployments|services|httproutes"), id="conflicts"),
        pytest.param(Fault(status=429, share=0.8, retry_after=1), id="too-many-requests"),
        pytest.param(Fault(status=500, share=0.8), id="errors"),
        pytest.param(Fault(delay_seconds=2.0, methods=("GET", "POST", "PUT", "PATCH", "DELETE")), id="slow"),
    ],
)
def test_a_storm_in_mid_release_costs_time_only(sea: Sea, tmp_path: Path, fault: Fault) -> None:
    """Prevents: a release that is lost, done twice, or hammers an API server which is down already."""
    with sea.casino.players(tmp_path / "players.log") as players:
        sea.release()
        began = CLOCK.now()
        sea.storm.weather.set(fault)
        sea.casino.cluster.until("the storm has blown", lambda: CLOCK.now() - began > STORM_SECONDS)
        during = sea.storm.weather.seen(began)
        sea.storm.weather.calm()
        run = sea.casino.outcome("the release comes to its end")
        totals = players.stop()
    assert run["status"]["outcome"] == "promoted", run["status"]
    assert totals["failed"] == 0, totals["causes"]
    assert len(during) < MOST_REQUESTS_A_SECOND * STORM_SECONDS, _common(during)
    assert any(not seen.passed for seen in during) or not fault.status, "the storm has hit nothing"


def test_a_bad_version_is_taken_back_in_a_storm_that_does_not_end(sea: Sea, tmp_path: Path) -> None:
    """S4.6. Prevents: a way back that needs a quiet API server."""
    stable = sea.casino.status()["stable"]
    with sea.casino.players(tmp_path / "players.log") as players:
        sea.release(DEFECT="deposit-loss", DEFECT_SHARE="0.3")
        sea.until_holding()
        sea.storm.weather.set(Fault(status=500, share=0.7))
        try:
            run = sea.casino.outcome("a bad version is taken back")
        finally:
            sea.storm.weather.calm()
        totals = players.stop()
    assert run["status"]["outcome"] == "rolled-back", run["status"]
    assert sea.casino.status()["stable"] == stable
    assert totals["failed"] == 0, totals["causes"]


def test_watches_that_fall_silent_are_replaced_and_the_release_goes_on(sea: Sea, tmp_path: Path) -> None:
    """Prevents: an operator that takes a dead connection for a cluster in which nothing happens."""
    with sea.casino.players(tmp_path / "players.log") as players:
        sea.release()
        sea.until_holding()
        began = CLOCK.now()
        sea.storm.weather.set(Fault(silent_before=began))
        try:
            run = sea.casino.outcome("the release comes to its end", STALL_SECONDS + 180.0)
        finally:
            sea.storm.weather.calm()
        totals = players.stop()
    assert run["status"]["outcome"] == "promoted", run["status"]
    assert totals["failed"] == 0, totals["causes"]
    again = [seen for seen in sea.storm.weather.seen(began) if seen.method == "GET" and "/leases/" not in seen.path]
    assert again, "nothing was listed or watched anew"


async def test_who_has_lost_the_lease_in_mid_release_writes_nothing_any_more(sea: Sea, tmp_path: Path) -> None:
    """Prevents: two operators that write against each other.

    The first is cut off from its lease only, so everything it wants to write would arrive.
    """
    cluster = sea.casino.cluster
    client = KubernetesClient.connect(cluster.context, cluster.kubeconfig)
    other = Lease(client, CLOCK, namespace=OPERATOR_NAMESPACE, name=LEASE_NAME, holder="another")
    with sea.casino.players(tmp_path / "players.log") as players:
        await asyncio.to_thread(sea.release)
        await asyncio.to_thread(sea.until_holding)
        began = CLOCK.now()
        sea.storm.weather.set(Fault(status=500, path="/leases/"))

        async def work() -> None:
            taken = CLOCK.now()
            sea.storm.weather.calm()
            code = await asyncio.to_thread(sea.operator.until_ended, 60.0)
            assert code == 4, "it ends with an error, to begin anew"
            written = [seen for seen in sea.storm.weather.seen(began) if seen.is_write and seen.passed]
            assert [seen for seen in written if seen.at > taken] == []
            renewals = [seen.at for seen in sea.storm.weather.seen() if "/leases/" in seen.path and seen.passed]
            last = max(at for at in renewals if at < taken)
            open_until = last + DURATION_SECONDS - MARGIN_SECONDS + WRITE_SECONDS
            assert [seen for seen in written if seen.at > open_until] == []

        async with asyncio.timeout(DURATION_SECONDS * 6):
            await other.run(work)
        await client.aclose()
        sea.operator.start()
        run = await asyncio.to_thread(sea.casino.outcome, "the next one brings the release to its end")
        totals = players.stop()
    assert run["status"]["outcome"] == "promoted", run["status"]
    assert totals["failed"] == 0, totals["causes"]


def test_an_operator_killed_after_each_kind_of_write_comes_to_the_same_end(sea: Sea, tmp_path: Path) -> None:
    """S4.6; the twin is killed after each single write (tests/unit/operator/test_crashes.py).

    Prevents: a release that is promoted twice, or stands for ever, because a node was lost.
    """
    killed: list[str] = []
    with sea.casino.players(tmp_path / "players.log") as players:
        began = CLOCK.now()
        sea.release()

        def has_ended() -> bool:
            new = [_kind(seen) for seen in sea.storm.weather.seen(began) if seen.is_write and _kind(seen) not in killed]
            if new:
                sea.operator.kill()
                killed.append(new[-1])
                sea.operator.start()
            return sea.casino.status().get("phase") in ("promoted", "rolled-back")

        sea.casino.until("the release comes to its end", has_ended, 400.0)
        run = sea.casino.outcome("the last operator shows it")
        totals = players.stop()
    assert run["status"]["outcome"] == "promoted", (killed, run["status"])
    assert len(killed) > 3, killed
    assert totals["failed"] == 0, totals["causes"]


def _kind(seen: Seen) -> str:
    """What was written: ``PATCH deployments``, ``PATCH releases/status``."""
    parts = seen.path.partition("?")[0].split("/namespaces/")[-1].split("/")
    return f"{seen.method} {parts[1]}{'/status' if parts[-1] == 'status' else ''}"


def _common(seen: list[Seen]) -> list[tuple[str, int]]:
    """The requests that came most often."""
    keyed = sorted(f"{each.method} {each.path.partition('?')[0]}" for each in seen)
    counts = [(key, len(list(group))) for key, group in itertools.groupby(keyed)]
    return sorted(counts, key=lambda pair: -pair[1])[:10]
