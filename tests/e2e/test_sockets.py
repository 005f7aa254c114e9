"""Players who hold WebSockets through a release: nobody is cut before its time, and who is, is told (S4.5, S6.7)."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse
from tests.e2e.conftest import Bench

from croupier_stand import control
from croupier_stand.home import Home
from croupier_stand.load import Load
from croupier_stand.process import wait_for

pytestmark = [pytest.mark.stand, pytest.mark.timeout(280)]

LOAD = Load(seed=5, players=3000, requests_per_second=60.0)
PLATFORM = """\
services:
  - name: tables
    replicas: 2
    routes: ["/tables/"]
    traffic: websocket
    timeoutSeconds: 600
    drainSeconds: 25
    objectives:
      - {signal: errors, successRatio: 0.999}
"""
VERSION = """\
service: tables
label: {label}
command: [{python}, tables.py]
files: [tables.py]
environment: {{GREETING: {label}}}
"""
PROGRAM = """\
import os
from contextlib import asynccontextmanager
from aiohttp import web
from croupier_kit import service

@asynccontextmanager
async def tables(settings):
    pod = service.Pod(settings)

    async def play(request):
        if "upgrade" not in request.headers:
            return web.Response(text=os.environ["GREETING"])
        async with pod.sockets.accept(request) as socket:
            async for _ in socket:
                await socket.send_str(os.environ["GREETING"])
        return socket

    pod.routes.append(web.get("/tables/{rest:.*}", play))
    yield pod

service.run(tables)
"""
RELEASE = """\
service: tables
digest: {digest}
steps: [25, 100]
dwellSeconds: 5
deadlineSeconds: 200
bakeSeconds: 5
policy:
  gates:
    - {{signal: errors, role: required, margin: {{points: 5}}}}
  latencyEdges: [0.4, 1.0]
"""


@pytest.fixture
def tables(tmp_path: Path) -> Iterator[Bench]:
    """A stand of one service that players hold sockets to."""
    versions = tmp_path / "project" / "versions"
    versions.mkdir(parents=True)
    (versions.parent / "platform.yaml").write_text(PLATFORM)
    (versions / "tables.py").write_text(PROGRAM)
    for label in ("stable", "new"):
        (versions / f"{label}.yaml").write_text(VERSION.format(label=label, python=sys.executable))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROUPIER_HOME", str(tmp_path / "croupier"))
        home = Home.of("tables")
        control.up(home, LOAD, print, platform=versions.parent)
        try:
            yield Bench(home)
        finally:
            control.down(home)


def start(bench: Bench, directory: Path) -> str:
    listed = bench.json("stand", "versions", "--name", "tables")
    file = directory / "release.yaml"
    file.write_text(RELEASE.format(digest=next(each["digest"] for each in listed if each["label"] == "new")))
    runs: list[str] = []

    def started() -> bool:
        """A desk that has just begun to watch refuses, and says so."""
        said = bench.croupier("release", "start", "-f", str(file), "--yes", "--output", "json")
        assert said.exit_code == 0 or "has watched" in said.stderr, said.stderr
        runs.extend([str(json.loads(said.stdout)["run"])] if said.exit_code == 0 else [])
        return bool(runs)

    assert wait_for(started, 90, pause_seconds=2.0)
    return runs[0]


class Player:
    """Holds a socket, and listens: a client that does not is taken for dead, because it answers no ping."""

    def __init__(self, socket: ClientWebSocketResponse) -> None:
        self.socket = socket
        self._heard: asyncio.Queue[str] = asyncio.Queue()
        self._listens = asyncio.ensure_future(self._listen())

    async def _listen(self) -> None:
        async for message in self.socket:
            await self._heard.put(str(message.data))

    async def ask(self) -> str:
        """The version at the other end."""
        await self.socket.send_str("who is it?")
        return await self._heard.get()

    async def last_word(self) -> int | None:
        """With which code the socket was closed."""
        await self._listens
        return self.socket.close_code


async def test_open_sockets_live_through_a_release_and_the_rest_is_cut_at_its_time(
    tables: Bench, tmp_path: Path
) -> None:
    url = f"http://127.0.0.1:{tables.home.require().ports['edge']}/tables/live"
    async with ClientSession() as client:

        async def come(name: str) -> Player:
            return Player(await client.ws_connect(url, headers={"x-player": name}))

        early = [await come(f"p{number}") for number in range(30)]
        run = await asyncio.to_thread(start, tables, tmp_path)
        view = await asyncio.to_thread(tables.wait, run, lambda view: view.open_sockets == 30)
        assert "sockets to the old version to close" in view.waiting_for
        assert {await player.ask() for player in early} == {"stable"}, "every step and the bake are behind them"
        late = await come("p0")
        assert await late.ask() == "new"

        for player in early[:20]:
            await player.socket.close()
        view = await asyncio.to_thread(tables.wait_for_end, run)
        assert (view.outcome, view.cut_sockets) == ("promoted", 10), view.reason
        assert any(each.text.startswith("10 sockets were still open to the old version") for each in view.timeline)
        assert {await player.last_word() for player in early[20:]} == {1012}, "asked to come back, not dropped"
        assert await late.ask() == "new"
