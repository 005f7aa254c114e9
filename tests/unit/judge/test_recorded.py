"""The judge over a socket, asked in the very bytes that clients of Argo Rollouts and Flagger sent.

Where the bytes are from, and what both controllers made of the answers: tests/data/judge/README.md.
"""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from http.client import HTTPResponse
from pathlib import Path

import pytest
from tests.support.judged import SCRAPE_SECONDS, SETTINGS, TOKEN, Judged

from croupier.judge.app import HOOKS, create_app
from croupier.web.server import Server

FOLDER = Path(__file__).parents[2] / "data" / "judge"
SERVICES = SETTINGS + SETTINGS.partition("services:\n")[2].replace("podinfo.test", "payments-api", 1)
"""With that which the example for Argo Rollouts asks about."""
PATIENCE_SECONDS = 20.0
BEFORE_TRAFFIC = ("confirm-rollout", "pre-rollout", "event")


class Line:
    """A judge that listens; ``send`` is one connection with one recorded request, and its status and body."""

    def __init__(self, judged: Judged, port: int) -> None:
        self.judged = judged
        self._port = port

    async def send(self, name: str) -> tuple[int, str]:
        return await asyncio.to_thread(self._send, (FOLDER / f"{name}.http").read_bytes())

    def _send(self, request: bytes) -> tuple[int, str]:
        with socket.create_connection(("127.0.0.1", self._port), PATIENCE_SECONDS) as connection:
            connection.sendall(request)
            answer = HTTPResponse(connection)
            answer.begin()
            return answer.status, answer.read().decode()


@pytest.fixture
async def line(tmp_path: Path) -> AsyncIterator[Line]:
    judged = Judged(tmp_path, SERVICES)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = Server(create_app(judged.cases, TOKEN))
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=[listener]), name="judge")
            yield Line(judged, listener.getsockname()[1])
            server.should_exit = True


def test_every_webhook_of_flagger_was_recorded() -> None:
    assert [hook for hook in HOOKS if not list(FOLDER.glob(f"flagger-{hook}*.http"))] == []


async def test_argo_is_told_one_word_at_the_path_it_looks_at(line: Line) -> None:
    line.judged.counters.bad_ratio = 0.2
    told = []
    for _ in range(8):
        status, body = await line.send("argo-web-metric")
        assert status == 200
        told.append(json.loads(body)["verdict"])
        line.judged.clock.time += SCRAPE_SECONDS
    assert told == sorted(told, key=["inconclusive", "fail"].index)
    assert (told[0], told[-1]) == ("inconclusive", "fail")


async def test_argo_is_told_that_a_good_canary_passes(line: Line) -> None:
    await line.send("argo-web-metric")
    line.judged.clock.time += 300.0
    status, body = await line.send("argo-web-metric")
    assert (status, json.loads(body)["verdict"]) == (200, "pass")


async def test_flagger_takes_a_bad_canary_back_and_closes_its_case(line: Line) -> None:
    line.judged.counters.bad_ratio = 0.2
    for name in BEFORE_TRAFFIC:
        assert (await line.send(f"flagger-{name}"))[0] == 200
    assert (await line.send("flagger-rollback"))[0] == 403
    assert (await line.send("flagger-rollout"))[0] == 200
    line.judged.clock.time += 120.0
    for name in ("rollout", "confirm-traffic-increase", "confirm-promotion"):
        status, why = await line.send(f"flagger-{name}")
        assert status == 403
        assert "fail (worse)" in why
    for name in ("rollback", "rollback-waiting", "post-rollout-failed"):
        assert (await line.send(f"flagger-{name}"))[0] == 200
    line.judged.clock.time += 1.0
    assert (await line.send("flagger-rollback"))[0] == 403


async def test_flagger_promotes_a_good_canary(line: Line) -> None:
    line.judged.counters.began_at += 60.0
    await line.send("flagger-rollback")
    line.judged.clock.time += 60.0
    assert (await line.send("flagger-confirm-traffic-increase"))[0] == 200
    line.judged.clock.time += SCRAPE_SECONDS * 2
    assert (await line.send("flagger-confirm-traffic-increase"))[0] == 403
    assert (await line.send("flagger-confirm-promotion"))[0] == 403
    line.judged.clock.time += 300.0
    for name in ("rollout", "confirm-traffic-increase", "confirm-promotion", "post-rollout-succeeded"):
        assert (await line.send(f"flagger-{name}"))[0] == 200
