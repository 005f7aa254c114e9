"""What only a real Envoy can show: headers, listeners, restarts, refusals, crashes, load."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from tests.support.edge import CANARY, STABLE, Edge, eventually, free_port

from croupier.adapters.traffic import envoy_config
from croupier.adapters.traffic.envoy import EnvoyTraffic
from croupier.adapters.traffic.envoy_admin import EnvoyAdmin
from croupier.adapters.traffic.envoy_files import EnvoyFiles
from croupier.errors import Unreachable
from croupier.model.digest import short
from croupier.model.traffic import Endpoint

pytestmark = pytest.mark.stand

PLAYERS = [f"p{number:05}" for number in range(400)]


class Crash(BaseException):
    """The process dies here."""


# --- who is who --------------------------------------------------------------------------------------------------


async def test_a_webhook_meets_the_version_that_began_the_payment(edge: Edge) -> None:
    await edge.traffic.set_split(edge.split(25, offset=8_000))
    by_header = await edge.versions_of(PLAYERS)
    by_query = {p: (await edge.send(f"/payments/webhooks/psp-a?player={p}")).version for p in PLAYERS}
    assert by_query == by_header
    assert set(by_header.values()) == {STABLE, CANARY}


async def test_the_header_goes_before_the_query(edge: Edge) -> None:
    await edge.traffic.set_split(edge.split(50))
    by_header = await edge.versions_of(PLAYERS[:50])
    both = {p: (await edge.send(f"/payments/x?player={p}-other", x_player=p)).version for p in PLAYERS[:50]}
    assert both == by_header


async def test_forged_headers_are_thrown_away_in_public(edge: Edge) -> None:
    await edge.traffic.set_split(edge.split(None))
    answer = await edge.send(x_player="p1", x_croupier_arm="evil", X_Croupier_Hop="evil", x_croupier_other="evil")
    arm = f"payments-api/-/{short(STABLE)}/0"
    assert (answer.arm, answer.hop) == (arm, arm)
    assert "x-croupier-other" not in answer.headers


async def test_a_forged_hop_is_not_counted_on_a_path_that_nobody_serves(edge: Edge) -> None:
    """The tally counts by the hop in the access log."""
    await edge.traffic.set_split(edge.split(None))
    assert (await edge.send("/nowhere", x_croupier_hop="payments-api/r-0001/bbbbbbbbbbbb/1")).status == 404
    assert (await records(edge, 1))[0]["hop"] is None


async def test_the_mesh_keeps_the_arm_that_began_and_stamps_its_own_hop(edge: Edge) -> None:
    await edge.traffic.set_split(edge.split(100, service="wallet"))
    origin = "payments-api/r-0001/cccccccccccc/4"
    hop = f"wallet/r-0001/{short(CANARY)}/1"
    carried = await edge.send("/wallet/x", listener="mesh", x_player="p1", x_croupier_arm=origin, x_croupier_hop="evil")
    assert (carried.arm, carried.hop) == (origin, hop)
    begun_here = await edge.send("/wallet/x", listener="mesh", x_player="p1")
    assert (begun_here.arm, begun_here.hop) == (hop, hop)


async def test_players_meet_the_same_version_on_the_mesh(edge: Edge) -> None:
    await edge.traffic.set_split(edge.split(25, offset=4_000))
    public = await edge.versions_of(PLAYERS[:100])
    mesh = {p: (await edge.send(listener="mesh", x_player=p)).version for p in PLAYERS[:100]}
    assert mesh == public


async def test_internal_services_are_not_reached_from_outside(edge: Edge) -> None:
    await edge.traffic.set_split(edge.split(None, service="wallet"))
    await edge.traffic.set_split(edge.split(None))
    assert (await edge.send("/wallet/x")).status == 404
    assert (await edge.send("/payments/../wallet/x")).status == 404
    assert (await edge.send("/payments/%2e%2e/wallet/x")).status == 404
    assert (await edge.send("/wallet/x", listener="mesh")).status == 200


async def test_a_client_cannot_ask_for_retries(edge: Edge) -> None:
    """S8.7: a repeated deposit is money; Envoy would obey ``x-envoy-retry-on``."""
    await edge.traffic.set_split(edge.split(None))
    for pod in edge.pods[STABLE]:
        pod.status = 503
    answer = await edge.send(method="POST", x_player="p1", x_envoy_retry_on="5xx", x_envoy_max_retries="5")
    assert answer.status == 503
    assert sum(pod.requests for pod in edge.pods[STABLE]) == 1


async def test_a_request_that_reached_no_pod_is_tried_on_another(edge: Edge) -> None:
    await edge.traffic.set_split(edge.split(None))
    await edge.pods[STABLE][0].stop()
    answers = [await edge.send(method="POST", x_player=p) for p in PLAYERS[:50]]
    assert {answer.status for answer in answers} == {200}


async def test_a_pod_that_is_not_ready_gets_no_requests(edge: Edge) -> None:
    await edge.traffic.set_split(edge.split(None))
    resting = edge.pods[STABLE][0]
    resting.is_ready = False

    async def is_left_alone() -> bool:
        before = resting.requests
        await edge.versions_of(PLAYERS[:20])
        return resting.requests == before

    await eventually(is_left_alone)


async def test_the_access_log_has_what_the_tally_needs(edge: Edge) -> None:
    await edge.traffic.set_split(edge.split(None))
    await edge.send("/payments/deposits", x_player="p1")
    await edge.send("/payments/webhooks/psp-a?player=p1")
    await edge.send("/payments/x", listener="mesh", x_player="p1")
    player, webhook, inner = await records(edge, 3)
    assert set(player) == {"t", "arm", "hop", "player", "ms", "code", "flags", "up", "route", "type", "listener"}
    assert (player["route"], player["player"], player["code"], player["listener"]) == (
        "payments-api",
        "p1",
        200,
        "public",
    )
    assert player["hop"] == f"payments-api/-/{short(STABLE)}/0"
    assert float(str(player["t"])) > 1e9
    assert webhook["route"] == "payments-api:webhook"
    assert inner["listener"] == "mesh"


async def test_the_latency_objectives_have_their_buckets(edge: Edge) -> None:
    """S1.7, S1.8."""
    await edge.traffic.set_split(edge.split(None))
    await edge.send()
    async with edge.client.get(f"http://127.0.0.1:{edge.admin}/stats/prometheus?filter=upstream_rq_time") as answer:
        page = await answer.text()
    assert all(f'le="{edge_ms}"' in page for edge_ms in (120, 250, 400))


# --- changes that do not go well ---------------------------------------------------------------------------------


async def test_envoy_says_why_it_refused(edge: Edge) -> None:
    await edge.traffic.set_split(edge.split(5, 1))
    with pytest.raises(Unreachable, match="regex pattern"):
        await edge.traffic.set_split(edge.split(10, 2, run="r\n1"))
    await edge.traffic.set_split(edge.split(10, 3))
    assert (await edge.traffic.observe("payments-api")).revision == 3


async def test_a_refused_change_leaves_nothing_behind(edge: Edge) -> None:
    await edge.traffic.set_split(edge.split(None))
    before = files(edge)
    bad = edge.split(5, 1)
    assert bad.canary is not None
    nowhere = bad.canary.model_copy(update={"endpoints": (Endpoint(host="nonsense", port=1),)})
    with pytest.raises(Unreachable, match="malformed IP address"):
        await edge.traffic.set_split(bad.model_copy(update={"canary": nowhere}))
    after = files(edge)
    assert {name: after[name] for name in before} == before
    await edge.restart()
    assert set((await edge.versions_of(PLAYERS[:50])).values()) == {STABLE}


async def test_no_route_names_a_cluster_that_envoy_has_not_confirmed(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    await edge.traffic.set_split(edge.split(None))
    monkeypatch.setattr("croupier.adapters.traffic.envoy.CONFIRM_SECONDS", 0.3)
    real = envoy_config.clusters
    monkeypatch.setattr(envoy_config, "clusters", lambda directory, versions: real(directory, list(versions)[:1]))
    with pytest.raises(Unreachable, match="cluster payments-api~bbbbbbbbbbbb is not loaded"):
        await edge.traffic.set_split(edge.split(50, 1))
    assert short(CANARY) not in (edge.directory / "d" / "rds-public.json").read_text()
    assert {answer.status for answer in [await edge.send(x_player=p) for p in PLAYERS[:50]]} == {200}


async def test_a_version_without_a_healthy_pod_gets_no_players(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    await edge.traffic.set_split(edge.split(None))
    monkeypatch.setattr("croupier.adapters.traffic.envoy.CONFIRM_SECONDS", 0.5)
    for pod in edge.pods[CANARY]:
        pod.is_ready = False
    with pytest.raises(Unreachable, match="health check"):
        await edge.traffic.set_split(edge.split(5, 1))
    assert set((await edge.versions_of(PLAYERS[:50])).values()) == {STABLE}


async def test_the_way_back_does_not_wait_for_the_canary(edge: Edge) -> None:
    await edge.traffic.set_split(edge.split(50, 1))
    for pod in edge.pods[CANARY]:
        await pod.stop()
    await edge.traffic.set_split(edge.split(0, 2))
    assert {answer.status for answer in [await edge.send(x_player=p) for p in PLAYERS[:50]]} == {200}


async def test_pods_that_moved_are_followed(edge: Edge) -> None:
    await edge.traffic.set_split(edge.split(25, 1))
    moved = edge.pods[CANARY][0]
    await moved.stop()
    moved.endpoint = Endpoint(host="127.0.0.1", port=free_port())
    await moved.start()
    await edge.traffic.set_split(edge.split(100, 2))

    async def is_used() -> bool:
        await edge.versions_of(PLAYERS[:20])
        return moved.requests > 0

    await eventually(is_used)


async def test_what_nobody_uses_is_dropped(edge: Edge) -> None:
    await edge.traffic.set_split(edge.split(50, 1))
    await edge.traffic.set_split(edge.split(None))

    async def is_dropped() -> bool:
        async with edge.client.get(f"http://127.0.0.1:{edge.admin}/clusters") as answer:
            return short(CANARY) not in await answer.text()

    await eventually(is_dropped)


# --- restarts and crashes ----------------------------------------------------------------------------------------


async def test_a_restarted_envoy_serves_the_same_split(edge: Edge) -> None:
    await edge.traffic.set_split(edge.split(25, 3, offset=1_234))
    before = await edge.versions_of(PLAYERS)
    await edge.restart()
    assert await edge.versions_of(PLAYERS) == before
    observed = await edge.traffic.observe("payments-api")
    assert (observed.revision, observed.weights) == (3, {STABLE: 75, CANARY: 25})


async def test_a_restarted_envoy_serves_even_if_the_pods_come_later(edge: Edge) -> None:
    await edge.traffic.set_split(edge.split(25, 3))
    await edge.stop()
    for pods in edge.pods.values():
        for pod in pods:
            await pod.stop()
    await edge.start()
    await edge.traffic.confirm()
    for pods in edge.pods.values():
        for pod in pods:
            await pod.start()

    async def is_served() -> bool:
        return {(await edge.send(x_player=p)).status for p in PLAYERS[:10]} == {200}

    await eventually(is_served)


async def test_a_change_outlives_a_restart_of_envoy_in_its_middle(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    await edge.traffic.set_split(edge.split(5, 1))
    look, restarts = EnvoyAdmin.hosts, []

    async def restart_first(admin: EnvoyAdmin) -> dict[str, dict[Endpoint, bool]]:
        if not restarts:
            restarts.append(1)
            await edge.stop()
            await edge.start()
        return await look(admin)

    monkeypatch.setattr(EnvoyAdmin, "hosts", restart_first)
    await edge.traffic.set_split(edge.split(50, 2))
    assert (await edge.traffic.observe("payments-api")).revision == 2
    assert set((await edge.versions_of(PLAYERS[:50])).values()) == {STABLE, CANARY}


async def test_observe_reads_the_data_plane_not_our_files(edge: Edge) -> None:
    await edge.traffic.set_split(edge.split(25, 3))
    (edge.directory / "splits" / "payments-api.json").unlink()
    observed = await edge.traffic.observe("payments-api")
    assert (observed.revision, observed.weights) == (3, {STABLE: 75, CANARY: 25})


@pytest.mark.parametrize("repeat", [True, False], ids=["the same change comes again", "another service changes"])
async def test_a_crash_at_any_write_leaves_a_state_to_go_on_from(
    edge: Edge, monkeypatch: pytest.MonkeyPatch, repeat: bool
) -> None:
    """The process dies before its n-th write, for every n; requests go on; a new process carries on."""
    await edge.traffic.set_split(edge.split(None, service="bets"))
    for death in range(1, 100):
        await edge.traffic.set_split(edge.split(5, 1))
        if not await crash_at(death, monkeypatch, lambda traffic: traffic.set_split(edge.split(50, 2)), edge):
            assert death > 8, "a change has at least eight writes, or this test tests nothing"
            return
        async with new_process(edge) as fresh:
            assert {answer.status for answer in [await edge.send(x_player=p) for p in PLAYERS[:40]]} == {200}
            seen = await fresh.observe("payments-api")
            assert (seen.revision, seen.weights[CANARY]) in {(1, 5), (2, 50)}
            if repeat:
                await fresh.set_split(edge.split(50, 2))
                assert (await fresh.observe("payments-api")).revision == 2
            else:
                await fresh.set_split(edge.split(25, death, service="bets"))
                assert await fresh.observe("payments-api") == seen
                assert (await fresh.observe("bets")).revision == death
            served = await edge.versions_of(PLAYERS[:100])
            await edge.restart()
            assert await edge.versions_of(PLAYERS[:100]) == served
    raise AssertionError("the change never ends")


@asynccontextmanager
async def new_process(edge: Edge) -> AsyncIterator[EnvoyTraffic]:
    """An adapter that remembers nothing, like that of a desk that was started again."""
    traffic = edge.new_traffic()
    try:
        yield traffic
    finally:
        await traffic.aclose()


async def crash_at(
    death: int, monkeypatch: pytest.MonkeyPatch, change: Callable[[EnvoyTraffic], Awaitable[None]], edge: Edge
) -> bool:
    """Carry out ``change`` by a process that dies before its ``death``-th write; True if it did die."""
    steps = 0
    with monkeypatch.context() as patch:
        for name in ("put", "save", "drop_endpoints"):
            real = getattr(EnvoyFiles, name)

            def dying(self: EnvoyFiles, *arguments: object, real: Callable[..., object] = real) -> object:
                nonlocal steps
                steps += 1
                if steps == death:
                    raise Crash
                return real(self, *arguments)

            patch.setattr(EnvoyFiles, name, dying)
        async with new_process(edge) as traffic:
            try:
                await change(traffic)
            except Crash:
                return True
    return False


# --- under load --------------------------------------------------------------------------------------------------


async def test_no_request_fails_because_of_a_change(edge: Edge) -> None:
    """S8.7. Pods think for a while, so that requests are under way whenever routes and clusters change."""
    await edge.traffic.set_split(edge.split(None))
    for number, pod in enumerate(pod for pods in edge.pods.values() for pod in pods):
        pod.think_seconds = 0.01 * (number + 1)
    statuses: dict[int, int] = {}
    is_done = asyncio.Event()

    async def player(number: int) -> None:
        while not is_done.is_set():
            status = (await edge.send(method="POST", x_player=f"p{number}")).status
            statuses[status] = statuses.get(status, 0) + 1

    async with asyncio.TaskGroup() as group:
        for number in range(16):
            group.create_task(player(number))
        for round_ in range(5):
            for revision, weight in enumerate((5, 10, 25, 50, 100, 0, 50), start=1):
                await edge.traffic.set_split(edge.split(weight, revision, run=f"r-{round_}", offset=round_ * 1_111))
            await edge.traffic.set_split(edge.split(None))
            await asyncio.sleep(0.05)
        is_done.set()
    assert set(statuses) == {200}


# --- helpers -----------------------------------------------------------------------------------------------------


async def records(edge: Edge, count: int) -> list[dict[str, object]]:
    """The access log, once it has ``count`` lines."""

    async def is_written() -> bool:
        return len(edge.access_log.read_text().splitlines()) >= count

    await eventually(is_written)
    return [json.loads(line) for line in edge.access_log.read_text().splitlines()]


def files(edge: Edge) -> dict[str, str]:
    return {path.name: path.read_text() for path in (edge.directory / "d").iterdir()}
