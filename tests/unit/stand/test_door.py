"""Players retry with the same key, and every request that fails is counted with its cause."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from random import Random

import pytest
from aiohttp import web

from croupier_stand.door import Door, GaveUp, client

EDGE = {"x-envoy-upstream-service-time": "3"}


class Casino:
    """Answers what it is told to, one answer after the other, and remembers the keys it saw."""

    def __init__(self) -> None:
        self.answers: list[Callable[[], web.Response]] = []
        self.keys: list[str] = []

    async def answer(self, request: web.Request) -> web.Response:
        self.keys.append(request.headers.get("idempotency-key", ""))
        return self.answers.pop(0)() if self.answers else web.json_response({"id": "d-1"}, status=201)


@pytest.fixture
async def casino() -> AsyncIterator[tuple[Casino, Door]]:
    it = Casino()
    app = web.Application()
    app.router.add_post("/payments/deposits", it.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    host, port = runner.addresses[0][:2]
    async with client() as session:
        yield it, Door(session, f"http://{host}:{port}", lambda: 42.0, Random(1))
    await runner.cleanup()


async def ask(door: Door) -> tuple[int, object]:
    reply = await door.ask("deposit", "POST", "/payments/deposits", player="p00001", key="k-1", body={"amount": 1})
    return reply.status, reply.body.get("id")


async def test_a_pod_that_fails_is_asked_again_with_the_same_key(casino: tuple[Casino, Door]) -> None:
    it, door = casino
    it.answers = [lambda: web.Response(status=503, headers=EDGE)]
    assert await ask(door) == (201, "d-1")
    assert it.keys == ["k-1", "k-1"]
    assert dict(door.failed) == {"503 from a pod": 1}
    (failure,) = door.failures
    assert (failure.at, failure.operation, failure.by_edge) == (42.0, "deposit", False)


async def test_an_answer_that_no_pod_gave_is_told_apart(casino: tuple[Casino, Door]) -> None:
    it, door = casino
    it.answers = [lambda: web.Response(status=503, text="no healthy upstream")]
    assert await ask(door) == (201, "d-1")
    assert dict(door.failed) == {"503 from the edge: no healthy upstream": 1}
    assert door.failures[0].by_edge


async def test_a_clean_no_is_an_answer_and_no_failure(casino: tuple[Casino, Door]) -> None:
    it, door = casino
    it.answers = [lambda: web.json_response({"error": "limit"}, status=403)]
    assert await ask(door) == (403, None)
    assert not door.failed


async def test_a_request_that_still_runs_is_asked_again_and_is_no_failure(casino: tuple[Casino, Door]) -> None:
    it, door = casino
    it.answers = [lambda: web.json_response({}, status=409)]
    assert await ask(door) == (201, "d-1")
    assert not door.failed


async def test_players_give_up_after_four_tries(casino: tuple[Casino, Door]) -> None:
    it, door = casino
    it.answers = [lambda: web.Response(status=500, headers=EDGE)] * 9
    with pytest.raises(GaveUp):
        await ask(door)
    assert len(it.keys) == 4
    assert door.failed["500 from a pod"] == 4


async def test_it_says_until_when_failures_were_forgotten(casino: tuple[Casino, Door]) -> None:
    it, door = casino
    door.failures = deque(maxlen=1)
    it.answers = [lambda: web.Response(status=500, headers=EDGE)]
    await ask(door)
    assert door.forgotten_until == 0.0
    it.answers = [lambda: web.Response(status=500, headers=EDGE)]
    await ask(door)
    assert door.forgotten_until == 42.0
