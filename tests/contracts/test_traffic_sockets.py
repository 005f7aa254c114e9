"""WebSockets at a real edge: handed through, never moved, never cut by a change (S4.5, S6.7, S8.7)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping

import pytest
from aiohttp import ClientWebSocketResponse, WSServerHandshakeError
from tests.support.edge import CANARY, STABLE, Edge

pytestmark = pytest.mark.stand

PLAYERS = [f"p{number:05}" for number in range(60)]
WEIGHTS = (5, 25, 50, 25, 99, 0, 75, 100)
CHANGES = 115


async def opened(edge: Edge, players: Iterable[str]) -> dict[str, ClientWebSocketResponse]:
    return {player: await edge.open_socket(player) for player in players}


async def spoken(sockets: Mapping[str, ClientWebSocketResponse]) -> dict[str, str]:
    """Player -> version that answers on the player's socket. Raises when one is closed."""

    async def ask(socket: ClientWebSocketResponse) -> str:
        await socket.send_str("who is it?")
        return await socket.receive_str()

    answers = await asyncio.gather(*(ask(socket) for socket in sockets.values()))
    return dict(zip(sockets, answers, strict=True))


async def test_open_sockets_stay_through_changes_of_the_split_and_new_ones_go_by_it(edge: Edge) -> None:
    await edge.traffic.set_split(edge.split(None, service="tables"))
    early = await opened(edge, PLAYERS)
    for revision in range(1, CHANGES + 1):
        weight = WEIGHTS[revision % len(WEIGHTS)]
        await edge.traffic.set_split(edge.split(weight, revision, service="tables"))
        if revision % 10 == 0:
            assert set((await spoken(early)).values()) == {STABLE}
    await edge.traffic.set_split(edge.split(100, CHANGES + 1, service="tables"))
    assert set((await spoken(early)).values()) == {STABLE}
    late = await opened(edge, PLAYERS)
    assert set((await spoken(late)).values()) == {CANARY}


async def test_sockets_outlive_the_split_that_drops_their_version(edge: Edge) -> None:
    """The version is not at the edge any more; whoever still talks to its pods goes on."""
    await edge.traffic.set_split(edge.split(50, service="tables"))
    sockets = await opened(edge, PLAYERS)
    before = await spoken(sockets)
    assert set(before.values()) == {STABLE, CANARY}
    await edge.traffic.set_split(edge.split(None, service="tables"))
    assert await spoken(sockets) == before


async def test_a_players_sockets_and_requests_are_with_one_version(edge: Edge) -> None:
    await edge.traffic.set_split(edge.split(50, offset=2_500, service="tables"))
    by_socket = await spoken(await opened(edge, PLAYERS))
    assert by_socket == await edge.versions_of(PLAYERS, "/tables/x")
    assert set(by_socket.values()) == {STABLE, CANARY}


async def test_more_sockets_are_let_through_than_envoy_does_by_itself(edge: Edge) -> None:
    """S8.7: the 1,025th would wait for nothing."""
    await edge.traffic.set_split(edge.split(None, service="tables"))
    sockets: dict[str, ClientWebSocketResponse] = {}
    for begin in range(0, 1_040, 40):
        players = [f"p{number:05}" for number in range(begin, begin + 40)]
        found = await asyncio.gather(*(edge.open_socket(player) for player in players))
        sockets |= dict(zip(players, found, strict=True))
    assert set((await spoken(sockets)).values()) == {STABLE}


async def test_a_service_without_sockets_gets_no_upgrade(edge: Edge) -> None:
    await edge.traffic.set_split(edge.split(None))
    with pytest.raises(WSServerHandshakeError):
        await edge.open_socket("p1", "/payments/live")
    assert sum(pod.requests for pod in edge.pods[STABLE]) == 0
