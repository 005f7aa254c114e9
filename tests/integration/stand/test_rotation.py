"""A real Envoy's access log is rotated under load, and a reader misses no request."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from tests.support.edge import Edge, eventually, running_edge

from croupier_kit.tail import Tail
from croupier_stand import rotation
from croupier_stand.rotation import Rotation, before

pytestmark = pytest.mark.stand

REQUESTS = 600


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Edge]:
    async with running_edge(tmp_path) as edge:
        await edge.traffic.set_split(edge.split(None))
        yield edge


async def test_no_request_is_lost_to_the_reader(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "ACCESS_LOG_BYTES", 20_000)
    rotating = Rotation(edge.access_log, f"http://127.0.0.1:{edge.admin}", list)
    read: list[str] = []
    with closing(Tail(edge.access_log)) as tail:
        for number in range(REQUESTS):
            await edge.send(x_player=f"p{number:05}")
            if number % 50 == 0:
                await rotating.step(edge.client, float(number))
                read += [json.loads(line)["player"] for line in tail.read()[0]]

        async def is_through() -> bool:
            read.extend(json.loads(line)["player"] for line in tail.read()[0])
            return len(read) >= REQUESTS

        await eventually(is_through)
    assert read == [f"p{number:05}" for number in range(REQUESTS)]
    assert before(edge.access_log).exists()
    assert edge.access_log.stat().st_size < 60_000
