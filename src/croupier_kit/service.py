"""Run one pod: readiness, graceful drain, JSON logs, RED metrics.

A pod is one aiohttp application and the loops it needs. ``run`` owns the process: it serves until SIGTERM, then answers
"not ready", closes kept-alive connections as their requests end, asks those who hold a WebSocket to come back, finishes
what is in flight and leaves within the drain time. Loops that end by themselves end the pod: a pod without its loops
would look healthy and do half its work.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web
from aiohttp.typedefs import Middleware
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from croupier_kit import arm, logs
from croupier_kit.sockets import Sockets

log = logging.getLogger(__name__)

Loop = Callable[[], Awaitable[None]]
_KEEP_ALIVE_SECONDS = 7200.0  # longer than any proxy keeps one: the proxy, not we, must be first to close
_EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.4, 1.0, 2.5)


@dataclass(frozen=True, slots=True)
class PodSettings:
    """What a pod is told by whoever runs it (environment)."""

    name: str
    service: str
    digest: str
    port: int
    host: str = "127.0.0.1"
    drain_seconds: float = 5.0
    """The longest time from SIGTERM to the end."""
    linger_seconds: float = 0.0
    """How long it goes on serving, not ready, so that whoever asks for readiness sends nothing more."""

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> PodSettings:
        """Raises KeyError or ValueError naming the variable that is missing or malformed."""
        return cls(
            name=environment["POD_NAME"],
            service=environment["CROUPIER_SERVICE"],
            digest=environment.get("CROUPIER_DIGEST", ""),
            port=int(environment["PORT"]),
            drain_seconds=float(environment.get("DRAIN_SECONDS", "5")),
            linger_seconds=1.5,
        )


@dataclass(slots=True)
class Pod:
    """One pod while it lives: its routes, its loops, whether it is ready."""

    settings: PodSettings
    routes: list[web.RouteDef] = field(default_factory=list)
    loops: list[tuple[str, Loop]] = field(default_factory=list)
    warm: Callable[[], Awaitable[bool]] | None = None
    """Asked at each readiness probe; None: ready as soon as it serves."""
    metrics: arm.Handler | None = None
    """Answers /metrics instead of the pod's own request metrics."""
    sockets: Sockets = field(default_factory=Sockets)
    """WebSockets that its routes accept; asked to come back when the pod ends."""
    is_draining: bool = False


Factory = Callable[[PodSettings], AbstractAsyncContextManager[Pod]]


def run(factory: Factory, environment: Mapping[str, str] | None = None) -> None:
    """Serve the pod that ``factory`` makes until SIGTERM or SIGINT. An error while starting ends the process with 1."""
    import uvloop  # noqa: PLC0415 - not installed where only the pure parts of the kit are used

    settings = PodSettings.of(os.environ if environment is None else environment)
    logs.configure(settings.name)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve_until_told(factory, settings))


@asynccontextmanager
async def serving(pod: Pod) -> AsyncIterator[str]:
    """Serve ``pod`` and run its loops while the block lasts; gives the base URL. Drains on the way out."""
    settings = pod.settings
    requests = _InFlight(settings.service)
    app = web.Application(middlewares=[arm.accept, requests.measure, _errors_as_json], client_max_size=256 * 1024)
    app.add_routes(
        [*pod.routes, web.get("/readyz", _readiness(pod)), web.get("/metrics", pod.metrics or requests.expose)]
    )
    app.on_response_prepare.append(_close_when_draining(pod))
    runner = web.AppRunner(app, access_log=None, keepalive_timeout=_KEEP_ALIVE_SECONDS, shutdown_timeout=1.0)
    await runner.setup()
    try:
        site = web.TCPSite(runner, settings.host, settings.port)
        await site.start()
        host, port = runner.addresses[0][:2]
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_endless(name, loop), name=name) for name, loop in pod.loops]
            try:
                yield f"http://{host}:{port}"
                pod.is_draining = True
                linger = min(settings.linger_seconds, settings.drain_seconds / 2)
                await asyncio.sleep(linger)
                until = asyncio.get_running_loop().time() + settings.drain_seconds - linger
                if asked := await pod.sockets.send_away((settings.drain_seconds - linger) / 2):
                    log.info("sockets asked to come back", extra=logs.fields(sockets=asked))
                await requests.none_left(until - asyncio.get_running_loop().time())
            finally:
                pod.is_draining = True
                for task in tasks:
                    task.cancel()
    finally:
        await runner.cleanup()


async def _serve_until_told(factory: Factory, settings: PodSettings) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signum in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signum, told.set)
    async with factory(settings) as pod, serving(pod) as url:
        log.info("serving", extra=logs.fields(url=url, service=settings.service, digest=settings.digest))
        await told.wait()
        log.info("draining")
    log.info("ended")


async def _endless(name: str, loop: Loop) -> None:
    await loop()
    raise RuntimeError(f"loop {name!r} ended")


def _readiness(pod: Pod) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def readyz(_: web.Request) -> web.Response:
        ready = not pod.is_draining and (pod.warm is None or await pod.warm())
        return web.json_response({"ready": ready, "draining": pod.is_draining}, status=200 if ready else 503)

    return readyz


def _close_when_draining(pod: Pod) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    async def on_prepare(_: web.Request, response: web.StreamResponse) -> None:
        if pod.is_draining and not isinstance(response, web.WebSocketResponse):
            response.force_close()
            # By now aiohttp has written the headers' values. Without this one the proxy is not told, and sends its next
            # request on a connection that is just being closed: nobody answers that.
            response.headers["connection"] = "close"

    return on_prepare


@web.middleware
async def _errors_as_json(request: web.Request, handler: arm.Handler) -> web.StreamResponse:
    """A bug answers 500 and is logged with its trace; a refusal raised as ``web.HTTPException`` keeps its status."""
    try:
        return await handler(request)
    except web.HTTPException as refusal:
        if refusal.status < 400:
            raise
        return web.json_response({"error": refusal.reason}, status=refusal.status)
    except Exception:  # the last line of defence of a pod: one request's bug must not end it
        log.exception("request failed", extra=logs.fields(path=request.path, method=request.method))
        return web.json_response({"error": "internal"}, status=500)


class _InFlight:
    """Counts requests: rate, errors, duration for /metrics; how many are in flight for the drain."""

    def __init__(self, service: str) -> None:
        self._registry = CollectorRegistry()
        labels = ("service", "route", "code")
        self._requests = Counter("http_requests", "Requests answered", labels, registry=self._registry)
        self._seconds = Histogram(
            "http_request_duration_seconds",
            "Time to answer",
            ("service", "route"),
            buckets=_EDGES,
            registry=self._registry,
        )
        self._service = service
        self._count = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def measure(self) -> Middleware:
        @web.middleware
        async def middleware(request: web.Request, handler: arm.Handler) -> web.StreamResponse:
            resource = request.match_info.route.resource
            route = resource.canonical if resource is not None else "unknown"
            started, code = time.perf_counter(), 500
            self._count += 1
            self._idle.clear()
            try:
                response = await handler(request)
                code = response.status
                return response
            finally:
                self._count -= 1
                if not self._count:
                    self._idle.set()
                self._requests.labels(self._service, route, code).inc()
                self._seconds.labels(self._service, route).observe(time.perf_counter() - started)

        return middleware

    async def none_left(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._idle.wait()

    async def expose(self, _: web.Request) -> web.Response:
        return web.Response(body=generate_latest(self._registry), content_type="text/plain")


def mesh_client(total_seconds: float, connections: int = 32) -> ClientSession:
    """A client for calls inside the platform: keeps connections, passes arm, player and trace on."""
    return _client(total_seconds, connections, (arm.pass_on,))


def outside_client(total_seconds: float, connections: int = 32) -> ClientSession:
    """A client for calls to partners, who are told nothing about arms."""
    return _client(total_seconds, connections, ())


def _client(total_seconds: float, connections: int, middlewares: Sequence[object]) -> ClientSession:
    return ClientSession(
        connector=TCPConnector(limit=connections, keepalive_timeout=60.0),
        timeout=ClientTimeout(total=total_seconds),
        middlewares=tuple(middlewares),  # type: ignore[arg-type]
    )
