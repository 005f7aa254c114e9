"""A proxy in front of an API server that fails as it is told: refusals, slowness, watches that fall silent.

Runs as a process of its own, where the API server is reached: ``python -m tests.support.fault_proxy FOLDER PORT URL``.
FOLDER holds its certificate and key (``proxy.crt``, ``proxy.key``) and the API server's authority (``ca.crt``). What it
does now stands in ``fault.json`` there (``Fault``), read at every request; what it saw goes to ``requests.jsonl``.
"""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import ClientSession, ClientTimeout, TCPConnector, web

from croupier.adapters.clock import SystemClock

CLOCK = SystemClock()
WRITES = ("POST", "PUT", "PATCH", "DELETE")
_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "host", "content-length", "accept-encoding"})


@dataclass(frozen=True)
class Fault:
    """What goes wrong. The default is nothing.

    ``status``: answered instead of the API server's, to ``share`` of the requests with one of ``methods`` whose path
    matches ``path``; 0: none. ``delay_seconds``: before every such request. ``silent_before``: watches that began
    before this time (seconds since the epoch) stay open and never say anything again.
    """

    status: int = 0
    retry_after: int | None = None
    share: float = 1.0
    methods: tuple[str, ...] = WRITES
    path: str = ""
    delay_seconds: float = 0.0
    silent_before: float = 0.0


@dataclass(frozen=True)
class Seen:
    """One request. ``at``: when it was answered; ``passed``: whether the API server has seen it."""

    at: float
    method: str
    path: str
    status: int
    passed: bool

    @property
    def is_write(self) -> bool:
        """Of anything but a lease."""
        return self.method in WRITES and "/leases" not in self.path


@dataclass
class Control:
    """The side of the tests: tells the proxy what to do, and reads what it saw."""

    folder: Path

    def set(self, fault: Fault) -> None:
        made = self.folder / "fault.json.new"
        made.write_text(json.dumps(asdict(fault)))
        made.rename(self.folder / "fault.json")

    def calm(self) -> None:
        self.set(Fault())

    def seen(self, since: float = 0.0) -> list[Seen]:
        file = self.folder / "requests.jsonl"
        lines = file.read_text().splitlines() if file.exists() else []
        return [seen for line in lines if (seen := Seen(**json.loads(line))).at >= since]


@dataclass
class Proxy:
    folder: Path
    url: str
    session: ClientSession
    asked: int = 0
    refused: float = 0.0
    """Refusals due: rises by the share with each request, so that it is spread evenly and the same in every run."""
    log: Any = field(init=False)

    def __post_init__(self) -> None:
        self.log = (self.folder / "requests.jsonl").open("a", buffering=1)

    def fault(self) -> Fault:
        return Fault(**json.loads((self.folder / "fault.json").read_text()))

    async def answer(self, request: web.Request) -> web.StreamResponse:
        fault = self.fault()
        if request.method in fault.methods and re.search(fault.path, request.path):
            await CLOCK.sleep(fault.delay_seconds)
            if fault.status:
                self.refused += fault.share
            if self.refused >= 1.0:
                self.refused -= 1.0
                return self._refuse(request, fault)
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _HOP}
        address = f"{self.url}{request.raw_path}"
        async with self.session.request(
            request.method, address, headers=headers, data=await request.read() or None
        ) as answer:
            passed = {name: value for name, value in answer.headers.items() if name.lower() not in _HOP}
            if request.query.get("watch") == "true":
                return await self._follow(request, answer, passed)
            body = await answer.read()
        self._note(request, answer.status, passed=True)
        return web.Response(body=body, status=answer.status, headers=passed)

    async def _follow(self, request: web.Request, answer: Any, headers: Mapping[str, str]) -> web.StreamResponse:
        began = CLOCK.now()
        self._note(request, answer.status, passed=True)
        stream = web.StreamResponse(status=answer.status, headers=headers)
        await stream.prepare(request)
        async for chunk in answer.content.iter_any():
            if began < self.fault().silent_before:
                await asyncio.Event().wait()  # until the other side gives it up
            await stream.write(chunk)
        return stream

    def _refuse(self, request: web.Request, fault: Fault) -> web.Response:
        self._note(request, fault.status, passed=False)
        status = {"kind": "Status", "status": "Failure", "code": fault.status, "message": "as the test says"}
        headers = {} if fault.retry_after is None else {"Retry-After": str(fault.retry_after)}
        return web.json_response(status, status=fault.status, headers=headers)

    def _note(self, request: web.Request, status: int, *, passed: bool) -> None:
        self.log.write(json.dumps(asdict(Seen(CLOCK.now(), request.method, request.raw_path, status, passed))) + "\n")


async def serve(folder: Path, port: int, url: str) -> None:
    upstream = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    own = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    own.load_cert_chain(folder / "proxy.crt", folder / "proxy.key")
    connector = TCPConnector(ssl=upstream, limit=0)
    async with ClientSession(connector=connector, auto_decompress=False, timeout=ClientTimeout(total=None)) as session:
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_route("*", "/{path:.*}", Proxy(folder, url, session).answer)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, ssl_context=own).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(serve(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]))
