"""Whatever answers in Envoy's place, or strangely, is ``Unreachable`` and never a split."""

from __future__ import annotations

import json
from collections.abc import Callable

import httpx
import pytest

from croupier.adapters.traffic.envoy_admin import EnvoyAdmin
from croupier.errors import Unreachable


def admin_that(answer: Callable[[httpx.Request], httpx.Response]) -> EnvoyAdmin:
    return EnvoyAdmin("http://envoy", transport=httpx.MockTransport(answer))


def route_with(arm: object, weight: object = 10_000) -> dict[str, object]:
    part = {"name": "bets~aaaaaaaaaaaa", "weight": weight, "request_headers_to_add": [{"header": {"value": arm}}]}
    route = {"name": "bets", "route": {"weighted_clusters": {"clusters": [part]}}}
    return {"configs": [{"route_config": {"name": "public", "virtual_hosts": [{"routes": [route]}]}}]}


@pytest.mark.parametrize(
    "body",
    [
        "<html>sign in</html>",
        "[]",
        '{"configs": 1}',
        '{"configs": ["x"]}',
        '{"configs": [{"route_config": {"name": 7}}]}',
        json.dumps(route_with("no arm")),
        json.dumps(route_with("bets/-/aaaaaaaaaaaa/first")),
        json.dumps(route_with(None)),
        json.dumps(route_with("bets/-/aaaaaaaaaaaa/0", "all")),
    ],
)
async def test_a_strange_answer_is_no_split(body: str) -> None:
    admin = admin_that(lambda _: httpx.Response(200, text=body))
    with pytest.raises(Unreachable):
        await admin.routes()
    await admin.aclose()


async def test_an_error_page_is_no_answer() -> None:
    admin = admin_that(lambda _: httpx.Response(500, json={}))
    for question in (admin.hosts, admin.digests, admin.routes, admin.route_versions, admin.refusals):
        with pytest.raises(Unreachable):
            await question()
    await admin.aclose()


async def test_no_answer_is_told_with_the_address() -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("connection refused", request=request)

    admin = admin_that(refuse)
    with pytest.raises(Unreachable, match="http://envoy does not answer: connection refused"):
        await admin.routes()
    await admin.aclose()


async def test_one_route_under_two_stamps_is_no_split() -> None:
    body = route_with("bets/r-0001/aaaaaaaaaaaa/1", 5_000)
    other = route_with("bets/r-0001/bbbbbbbbbbbb/2", 5_000)
    parts = [one["configs"][0]["route_config"]["virtual_hosts"][0]["routes"][0]["route"] for one in (body, other)]  # type: ignore[index]
    parts[0]["weighted_clusters"]["clusters"] += parts[1]["weighted_clusters"]["clusters"]
    admin = admin_that(lambda _: httpx.Response(200, json=body))
    with pytest.raises(Unreachable, match="one run and revision"):
        await admin.routes()
    await admin.aclose()
