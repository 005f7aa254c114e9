"""A pod: ready or not, measured, drained, and ended when one of its loops ends."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from aiohttp import ClientSession, web

from croupier_kit import arm, service

SETTINGS = service.PodSettings("pod-0", "payments-api", "sha256:x", port=0, drain_seconds=5.0)
ARM = "payments-api/r-1/0123456789ab/1"


def pod(*routes: web.RouteDef, **more: Any) -> service.Pod:
    return service.Pod(SETTINGS, list(routes), **more)


async def answer(url: str, **headers: str) -> tuple[int, Any]:
    async with ClientSession() as client, client.get(url, headers=headers) as response:
        return response.status, await response.json()


async def test_readiness_asks_what_the_pod_waits_for() -> None:
    is_warm = False

    async def warm() -> bool:
        return is_warm

    async with service.serving(pod(warm=warm)) as url:
        assert (await answer(f"{url}/readyz"))[0] == 503
        is_warm = True
        assert (await answer(f"{url}/readyz"))[0] == 200


async def test_a_bug_is_a_500_in_json_and_is_counted() -> None:
    async def broken(_: web.Request) -> web.Response:
        raise KeyError("row 50")

    async def refusing(_: web.Request) -> web.Response:
        raise web.HTTPForbidden(reason="not you")

    async with service.serving(pod(web.get("/broken", broken), web.get("/refusing", refusing))) as url:
        assert await answer(f"{url}/broken") == (500, {"error": "internal"})
        assert await answer(f"{url}/refusing") == (403, {"error": "not you"})
        assert (await answer(f"{url}/nowhere"))[0] == 404
        async with ClientSession() as client, client.get(f"{url}/metrics") as response:
            page = await response.text()
    assert 'http_requests_total{code="500",route="/broken",service="payments-api"} 1.0' in page
    assert 'http_requests_total{code="404",route="unknown",service="payments-api"} 1.0' in page
    assert 'http_request_duration_seconds_count{route="/refusing",service="payments-api"} 1.0' in page


async def test_arm_and_player_go_on_into_calls_inside_the_platform_and_not_to_partners() -> None:
    async def show(request: web.Request) -> web.Response:
        return web.json_response({name: request.headers.get(name, "") for name in ("x-croupier-arm", "x-player")})

    async def call(request: web.Request) -> web.Response:
        client = service.mesh_client(2.0) if request.query["to"] == "mesh" else service.outside_client(2.0)
        async with client, client.get(f"{request.url.origin()}/show") as response:
            return web.json_response(await response.json())

    async with service.serving(pod(web.get("/show", show), web.get("/call", call))) as url:
        told = {arm.ARM_HEADER: ARM, arm.PLAYER_HEADER: "p1"}
        assert (await answer(f"{url}/call?to=mesh", **told))[1] == {"x-croupier-arm": ARM, "x-player": "p1"}
        assert (await answer(f"{url}/call?to=partner", **told))[1] == {"x-croupier-arm": "", "x-player": ""}
        assert arm.current() == arm.Origin()


async def test_what_is_in_flight_is_finished_before_the_pod_ends() -> None:
    begun, may_end = asyncio.Event(), asyncio.Event()

    async def slow(_: web.Request) -> web.Response:
        begun.set()
        await may_end.wait()
        return web.json_response({"done": True})

    drained = pod(web.get("/slow", slow))
    async with asyncio.TaskGroup() as group, service.serving(drained) as url:
        request = group.create_task(answer(f"{url}/slow"))
        await begun.wait()
        asyncio.get_running_loop().call_later(0.05, may_end.set)
    assert drained.is_draining
    assert request.result() == (200, {"done": True})


async def test_a_pod_that_drains_tells_the_proxy_to_send_nothing_more_on_a_connection() -> None:
    """S16.1: closed without a word, it would be asked once more, in vain."""

    async def deposit(_: web.Request) -> web.Response:
        return web.json_response({})

    served = pod(web.get("/deposit", deposit))
    async with service.serving(served) as url, ClientSession() as client:
        async with client.get(f"{url}/deposit") as response:
            assert "connection" not in response.headers
        served.is_draining = True
        async with client.get(f"{url}/deposit") as response:
            assert (response.status, response.headers["connection"]) == (200, "close")


def ending() -> Callable[[], Coroutine[Any, Any, None]]:
    async def loop() -> None:
        return

    return loop


async def test_a_pod_whose_loop_ends_ends() -> None:
    with pytest.RaisesGroup(pytest.RaisesExc(RuntimeError, match="loop 'sweep' ended")):
        async with service.serving(pod(loops=[("sweep", ending())])):
            await asyncio.Event().wait()


async def test_loops_are_cancelled_when_the_pod_ends() -> None:
    ended = asyncio.Event()

    async def endless() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with service.serving(pod(loops=[("sweep", endless)])) as url:
        assert (await answer(f"{url}/readyz"))[0] == 200
    assert ended.is_set()


def test_settings_name_the_variable_that_is_missing() -> None:
    with pytest.raises(KeyError, match="POD_NAME"):
        service.PodSettings.of({})
    told = {"POD_NAME": "a", "CROUPIER_SERVICE": "b", "PORT": "80"}
    assert service.PodSettings.of(told).port == 80
