"""WebSockets of a pod that ends: players are asked to come back, and told why (S6.7)."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web

from croupier_kit import service


def pod_with_sockets() -> service.Pod:
    pod = service.Pod(service.PodSettings("pod-0", "tables", "sha256:x", port=0, drain_seconds=0.4))

    async def live(request: web.Request) -> web.StreamResponse:
        async with pod.sockets.accept(request) as socket:
            async for message in socket:
                await socket.send_str(f"heard {message.data}")
        return socket

    pod.routes.append(web.get("/live", live))
    return pod


async def last_word(socket: ClientWebSocketResponse) -> int | None:
    message = await socket.receive()
    assert message.type in (WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED)
    return socket.close_code


async def test_a_pod_that_ends_asks_its_players_to_come_back() -> None:
    pod = pod_with_sockets()
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(ClientSession())
        async with service.serving(pod) as url:
            sockets = [await client.ws_connect(f"{url}/live") for _ in range(20)]
            await sockets[0].send_str("red")
            assert await sockets[0].receive_str() == "heard red"
            assert len(pod.sockets) == 20
            words = [asyncio.ensure_future(last_word(socket)) for socket in sockets]
        assert {await word for word in words} == {1012}
    assert len(pod.sockets) == 0


async def test_a_player_who_leaves_is_not_asked() -> None:
    pod = pod_with_sockets()
    left = asyncio.Event()

    async def told(request: web.Request) -> web.StreamResponse:
        async with pod.sockets.accept(request) as socket:
            await socket.receive()
        left.set()
        return socket

    pod.routes.append(web.get("/told", told))
    async with ClientSession() as client, service.serving(pod) as url:
        await (await client.ws_connect(f"{url}/told")).close()
        async with asyncio.timeout(5.0):
            await left.wait()
        assert await pod.sockets.send_away(60.0) == 0


async def test_who_asks_for_no_socket_gets_none() -> None:
    pod = pod_with_sockets()
    async with ClientSession() as client, service.serving(pod) as url, client.get(f"{url}/live") as answer:
        assert answer.status == 400


@pytest.mark.parametrize("left", [0, 3])
async def test_those_who_are_slow_to_answer_do_not_hold_the_others(left: int) -> None:
    pod = pod_with_sockets()
    async with ClientSession() as client, service.serving(pod) as url:
        deaf = [await client.ws_connect(f"{url}/live", autoclose=False) for _ in range(left)]
        heard = await client.ws_connect(f"{url}/live")
        asked = asyncio.ensure_future(pod.sockets.send_away(0.0))
        assert await last_word(heard) == 1012
        for socket in deaf:
            await socket.close()
        assert await asked == left + 1
