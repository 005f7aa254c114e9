"""What the engine relies on from any data plane (S4.5, S8.7). Run on memory and on a real Envoy; what does not ask for
players who stay with a version also on Gateway API, over the twin of an API server, and a gateway and a mesh as small
as can be."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest
from aiohttp import ClientWebSocketResponse
from tests.support.edge import CANARY, PLATFORM, STABLE, Edge, running_edge
from tests.support.small_cluster import NAMESPACE, Operator, SmallCluster

from croupier.adapters.clock import SystemClock
from croupier.adapters.traffic.memory import MemoryTraffic
from croupier.core.share import share_band
from croupier.errors import UnknownName, Unreachable
from croupier.model.digest import short
from croupier.model.objects import JsonObject
from croupier.model.traffic import ArmBackend, Endpoint, Split
from croupier.ports.traffic import Traffic

PLAYERS = [f"p{number:05}" for number in range(2000)]
STEPS = (5, 10, 25, 50, 100)


class Plane(Protocol):
    """A data plane under test: the port, and what a test needs around it."""

    traffic: Traffic
    stable: str
    canary: str

    def split(
        self, weight: int | None, revision: int = 1, *, service: str = ..., run: str = ..., offset: int = ...
    ) -> Split:
        """``weight`` percent on the canary; None: no release is live."""
        ...

    def name(self, service: str) -> str:
        """What the data plane calls a service."""
        ...

    async def break_down(self) -> None:
        """From now on the data plane does not answer."""
        ...

    def bad_split(self) -> Split:
        """A change that the data plane refuses."""
        ...

    async def open_sockets(self, players: int) -> None:
        """So many players open a socket to ``tables`` each, by the split in force."""
        ...


class StickyPlane(Plane, Protocol):
    """One that keeps a player with a version, and stamps requests with their arm."""

    async def versions_of(self, players: Iterable[str]) -> dict[str, str]:
        """Player -> digest that served one request of the player."""
        ...

    async def arm_of(self, player: str) -> str: ...


class MemoryPlane:
    stable, canary = STABLE, CANARY

    def __init__(self) -> None:
        self.traffic = MemoryTraffic(PLATFORM, SystemClock())

    def split(
        self,
        weight: int | None,
        revision: int = 1,
        *,
        service: str = "payments-api",
        run: str = "r-0001",
        offset: int = 0,
    ) -> Split:
        stable, canary = (
            ArmBackend(digest=digest, weight=share, endpoints=(Endpoint(host="127.0.0.1", port=port),))
            for digest, share, port in ((STABLE, 100 - (weight or 0), 1), (CANARY, weight or 0, 2))
        )
        if weight is None:
            return Split(service=service, run="-", revision=0, stable=stable)
        return Split(service=service, run=run, revision=revision, stable=stable, canary=canary, offset=offset)

    def name(self, service: str) -> str:
        return service

    async def versions_of(self, players: Iterable[str]) -> dict[str, str]:
        return {player: self.traffic.serve("payments-api", player).digest for player in players}

    async def arm_of(self, player: str) -> str:
        return self.traffic.serve("payments-api", player).arm

    async def break_down(self) -> None:
        self.traffic.unreachable = True

    def bad_split(self) -> Split:
        self.traffic.refusal = "not a split"
        return self.split(50, 9)

    async def open_sockets(self, players: int) -> None:
        for player in PLAYERS[:players]:
            at = "tables", self.traffic.serve("tables", player).digest
            self.traffic.sockets[at] = self.traffic.sockets.get(at, 0) + 1


class EnvoyPlane:
    stable, canary = STABLE, CANARY

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self._sockets: list[ClientWebSocketResponse] = []
        self.traffic = edge.traffic
        self.split = edge.split

    def name(self, service: str) -> str:
        return service

    async def versions_of(self, players: Iterable[str]) -> dict[str, str]:
        return await self.edge.versions_of(players)

    async def arm_of(self, player: str) -> str:
        return (await self.edge.send(x_player=player)).arm

    async def break_down(self) -> None:
        await self.edge.stop()

    def bad_split(self) -> Split:
        return self.edge.split(50, 9, run="r\n1")

    async def open_sockets(self, players: int) -> None:
        self._sockets = [await self.edge.open_socket(player) for player in PLAYERS[:players]]


class GatewayPlane:
    """Of each of four services two versions stand; gateway and mesh accept every route. ``routes``: of the policies."""

    def __init__(
        self,
        world: SmallCluster,
        operator: Operator,
        versions: dict[str, list[str]],
        routes: dict[str, JsonObject | None],
    ) -> None:
        self._routes = routes
        self.traffic = operator.traffic
        self._world = world
        self._versions = versions
        self.stable, self.canary = versions["payments-api"]

    @classmethod
    @asynccontextmanager
    async def begin(cls, **routes: JsonObject | None) -> AsyncIterator[GatewayPlane]:
        async with SmallCluster.begin() as world:
            operator = await world.operator()
            versions: dict[str, list[str]] = {}
            for service in ("payments-api", "bets", "wallet", "tables"):
                await world.declare(name=service, **routes)
                versions[service] = [await _made(world, operator, service, build) for build in ("1", "2")]
            yield cls(world, operator, versions, routes)

    def name(self, service: str) -> str:
        return f"{service}.{NAMESPACE}"

    def split(
        self,
        weight: int | None,
        revision: int = 1,
        *,
        service: str = "payments-api",
        run: str = "r-0001",
        offset: int = 0,
    ) -> Split:
        name = service.partition(".")[0]
        stable, canary = (
            ArmBackend(digest=digest, weight=share, endpoints=(Endpoint(host="10.1.1.1", port=8080),))
            for digest, share in zip(
                self._versions.get(name, [self.stable, self.canary]), (100 - (weight or 0), weight or 0), strict=True
            )
        )
        if weight is None:
            return Split(service=self.name(name), run="-", revision=0, stable=stable)
        return Split(service=self.name(name), run=run, revision=revision, stable=stable, canary=canary, offset=offset)

    async def break_down(self) -> None:
        self._world.server.silence()
        self._world.clock.time += 100.0
        self._world.server.fail(Unreachable("the API server does not answer"), calls=100)

    def bad_split(self) -> Split:
        if "mesh" in self._routes:
            self._world.mesh_says = "False"
        else:
            self._world.gateway_says = "False"
        return self.split(50, 9)

    async def open_sockets(self, players: int) -> None:
        """A Gateway tells nobody; pods count theirs, here half of them each."""
        self._world.sockets = {short(digest): players // 2 for digest in self._versions["tables"]}


async def _made(world: SmallCluster, operator: Operator, service: str, build: str) -> str:
    await world.commit(name=service, BUILD=build, config=False)
    await world.settle()
    digest = operator.workloads.wanted(f"{service}.{NAMESPACE}")
    assert digest is not None
    await operator.workloads.ensure(f"{service}.{NAMESPACE}", digest, 1)
    return digest


@pytest.fixture(params=["memory", pytest.param("envoy", marks=pytest.mark.stand), "gateway", "both", "mesh"])
async def plane(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Plane]:
    match request.param:
        case "memory":
            yield MemoryPlane()
        case "gateway":
            async with GatewayPlane.begin() as plane:
                yield plane
        case "both":
            async with GatewayPlane.begin(mesh={}) as plane:
                yield plane
        case "mesh":
            async with GatewayPlane.begin(route=None, mesh={}) as plane:
                yield plane
        case _:
            async with running_edge(tmp_path) as edge:
                yield EnvoyPlane(edge)


@pytest.fixture(params=["memory", pytest.param("envoy", marks=pytest.mark.stand)])
async def sticky(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[StickyPlane]:
    if request.param == "memory":
        yield MemoryPlane()
    else:
        async with running_edge(tmp_path) as edge:
            yield EnvoyPlane(edge)


def canaries(versions: dict[str, str]) -> set[str]:
    assert set(versions.values()) <= {STABLE, CANARY}
    return {player for player, version in versions.items() if version == CANARY}


async def test_a_ramp_only_adds_players_and_keeps_the_share_in_its_band(sticky: StickyPlane) -> None:
    """S4.5: five steps, 2,000 players, nobody moved back."""
    before: set[str] = set()
    for revision, weight in enumerate(STEPS, start=1):
        await sticky.traffic.set_split(sticky.split(weight, revision, offset=9_700))
        now = canaries(await sticky.versions_of(PLAYERS))
        assert before - now == set()
        low, high = share_band(len(PLAYERS), weight)
        assert low <= len(now) / len(PLAYERS) <= high
        before = now


async def test_a_player_stays_with_a_version(sticky: StickyPlane) -> None:
    await sticky.traffic.set_split(sticky.split(50))
    first = await sticky.versions_of(PLAYERS[:200])
    again = await sticky.versions_of(PLAYERS[:200])
    assert first == again
    assert len(set(first.values())) == 2


async def test_the_window_rotates_with_the_offset(sticky: StickyPlane) -> None:
    groups = []
    for revision, offset in enumerate((0, 2_500, 5_000, 7_500), start=1):
        await sticky.traffic.set_split(sticky.split(25, revision, offset=offset))
        groups.append(canaries(await sticky.versions_of(PLAYERS)))
    assert sum(map(len, groups)) == len(PLAYERS)
    assert set().union(*groups) == set(PLAYERS)


async def test_observe_tells_what_is_in_force(plane: Plane) -> None:
    await plane.traffic.set_split(plane.split(None))
    idle = await plane.traffic.observe(plane.name("payments-api"))
    assert (idle.run, idle.revision, idle.weights) == ("-", 0, {plane.stable: 100})
    await plane.traffic.set_split(plane.split(25, 3))
    stepping = await plane.traffic.observe(plane.name("payments-api"))
    assert (stepping.run, stepping.revision, stepping.weights) == ("r-0001", 3, {plane.stable: 75, plane.canary: 25})


async def test_a_request_carries_its_arm(sticky: StickyPlane) -> None:
    await sticky.traffic.set_split(sticky.split(100, 7))
    assert await sticky.arm_of("p00001") == f"payments-api/r-0001/{short(CANARY)}/7"
    await sticky.traffic.set_split(sticky.split(None))
    assert await sticky.arm_of("p00001") == f"payments-api/-/{short(STABLE)}/0"


async def test_weight_zero_takes_everybody_back(sticky: StickyPlane) -> None:
    await sticky.traffic.set_split(sticky.split(50, 1))
    await sticky.traffic.set_split(sticky.split(0, 2))
    assert canaries(await sticky.versions_of(PLAYERS[:200])) == set()
    observed = await sticky.traffic.observe("payments-api")
    assert (observed.revision, observed.weights) == (2, {STABLE: 100})


async def test_a_change_may_be_repeated(plane: Plane) -> None:
    for _ in range(2):
        await plane.traffic.set_split(plane.split(10, 2))
        assert (await plane.traffic.observe(plane.name("payments-api"))).weights == {plane.stable: 90, plane.canary: 10}


async def test_changes_of_two_services_at_the_same_time_both_hold(plane: Plane) -> None:
    async with asyncio.TaskGroup() as group:
        for service, weight in (("payments-api", 10), ("bets", 25), ("wallet", 50)):
            group.create_task(plane.traffic.set_split(plane.split(weight, 1, service=service)))
    names = ("payments-api", "bets", "wallet")
    weights = [sorted((await plane.traffic.observe(plane.name(name))).weights.values()) for name in names]
    assert weights == [[10, 90], [25, 75], [50, 50]]


async def test_an_unknown_service_is_an_error_that_lists_those_known(plane: Plane) -> None:
    with pytest.raises(UnknownName) as caught:
        await plane.traffic.observe(plane.name("payment-api"))
    assert "payments-api" in caught.value.hint
    with pytest.raises(UnknownName):
        await plane.traffic.set_split(plane.split(5, service="payment-api"))


async def test_a_service_without_a_split_is_not_served(sticky: StickyPlane) -> None:
    """On a cluster it is: by the pods of its Deployment, as before anything of ours was there."""
    await sticky.traffic.set_split(sticky.split(None))
    with pytest.raises(UnknownName):
        await sticky.traffic.observe("bets")


async def test_open_sockets_are_counted_by_version_also_once_it_gets_no_players(plane: Plane) -> None:
    """S6.7: a version that leaves is waited for by this count."""
    tables = plane.name("tables")
    half = plane.split(50, 1, service="tables")
    assert half.canary is not None
    await plane.traffic.set_split(half)
    await plane.open_sockets(40)
    await plane.traffic.set_split(plane.split(100, 2, service="tables"))
    counted = await plane.traffic.open_sockets(tables)
    held = {digest: sockets for digest, sockets in counted.items() if sockets}
    assert set(held) == {half.stable.digest, half.canary.digest}, "the version without players keeps its own"
    assert sum(held.values()) == 40
    with pytest.raises(UnknownName):
        await plane.traffic.open_sockets("nobody")


async def test_a_dead_data_plane_counts_nothing(sticky: StickyPlane) -> None:
    await sticky.traffic.set_split(sticky.split(None, service="tables"))
    await sticky.break_down()
    with pytest.raises(Unreachable):
        await sticky.traffic.open_sockets("tables")


async def test_a_refused_change_raises_and_the_split_before_stays(sticky: StickyPlane) -> None:
    await sticky.traffic.set_split(sticky.split(25, 3))
    served = await sticky.versions_of(PLAYERS[:100])
    with pytest.raises(Unreachable):
        await sticky.traffic.set_split(sticky.bad_split())
    assert await sticky.versions_of(PLAYERS[:100]) == served
    observed = await sticky.traffic.observe("payments-api")
    assert (observed.revision, observed.weights) == (3, {STABLE: 75, CANARY: 25})


async def test_a_dead_data_plane_confirms_nothing(plane: Plane) -> None:
    await plane.traffic.set_split(plane.split(25, 3))
    await plane.break_down()
    with pytest.raises(Unreachable):
        await plane.traffic.observe(plane.name("payments-api"))
    with pytest.raises(Unreachable):
        await plane.traffic.set_split(plane.split(50, 4))


async def test_a_version_without_endpoints_gets_no_traffic(sticky: StickyPlane) -> None:
    await sticky.traffic.set_split(sticky.split(None))
    split = sticky.split(5, 1)
    assert split.canary is not None
    empty = split.model_copy(update={"canary": split.canary.model_copy(update={"endpoints": ()})})
    with pytest.raises(Unreachable):
        await sticky.traffic.set_split(empty)
    assert (await sticky.traffic.observe("payments-api")).weights == {STABLE: 100}


@pytest.mark.parametrize(("stable", "canary"), [(95, 10), (100, 100), (-1, 101)])
async def test_weights_that_do_not_add_up_are_refused(plane: Plane, stable: int, canary: int) -> None:
    split = plane.split(5, 1)
    assert split.canary is not None
    wrong = split.model_copy(
        update={
            "stable": split.stable.model_copy(update={"weight": stable}),
            "canary": split.canary.model_copy(update={"weight": canary}),
        }
    )
    with pytest.raises(ValueError, match="add up to 100"):
        await plane.traffic.set_split(wrong)
