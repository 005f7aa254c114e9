"""Logs are bounded, and what reads along misses nothing of Envoy's."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from croupier_kit.tail import Tail
from croupier_stand import rotation
from croupier_stand.rotation import Rotation, before

SMALL = 100


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "ACCESS_LOG_BYTES", SMALL)
    monkeypatch.setattr(rotation, "LOG_BYTES", SMALL)


class Envoy:
    """Writes an access log, and opens it anew when told to, as Envoy does."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = path.open("ab", buffering=0)
        self.is_deaf = False

    def write(self, line: str) -> None:
        self._file.write(f"{line}\n".encode())

    async def reopen(self, _: web.Request) -> web.Response:
        if self.is_deaf:
            raise web.HTTPServiceUnavailable
        self.close()
        self._file = self._path.open("ab", buffering=0)
        return web.Response(text="OK\n")

    def close(self) -> None:
        self._file.close()


@pytest.fixture
async def envoy(tmp_path: Path) -> AsyncIterator[Envoy]:
    envoy = Envoy(tmp_path / "access.jsonl")
    yield envoy
    envoy.close()


@pytest.fixture
async def client() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as session:
        yield session


@pytest.fixture
async def rotating(envoy: Envoy, tmp_path: Path) -> AsyncIterator[Rotation]:
    app = web.Application()
    app.router.add_post("/reopen_logs", envoy.reopen)
    async with TestServer(app) as server:
        yield Rotation(
            tmp_path / "access.jsonl", f"http://127.0.0.1:{server.port}", lambda: sorted(tmp_path.glob("*.log"))
        )


async def test_a_large_access_log_is_begun_anew_and_read_without_a_gap(
    rotating: Rotation, envoy: Envoy, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    path, read = tmp_path / "access.jsonl", []
    with closing(Tail(path)) as tail:
        for number in range(200):
            envoy.write(f"request {number}")
            if number % 7 == 0:
                await rotating.step(client, float(number))
                read += tail.read()[0]
        for _ in range(3):
            read += tail.read()[0]
    assert read == [f"request {number}".encode() for number in range(200)]
    assert path.stat().st_size + before(path).stat().st_size < 4 * SMALL
    assert sorted(os.listdir(tmp_path)) == ["access.jsonl", "access.jsonl.1"]


async def test_an_envoy_that_does_not_answer_is_told_again(
    rotating: Rotation, envoy: Envoy, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    path = tmp_path / "access.jsonl"
    envoy.write("x" * SMALL)
    envoy.is_deaf = True
    await rotating.step(client, 0.0)
    assert not path.exists()
    envoy.write("still into the old one")
    envoy.is_deaf = False
    await rotating.step(client, 60.0)
    envoy.write("into the new one")
    assert path.read_text() == "into the new one\n"
    assert before(path).read_text().endswith("still into the old one\n")


async def test_a_large_log_of_a_process_keeps_its_newest_part_and_the_one_before(
    rotating: Rotation, client: aiohttp.ClientSession, tmp_path: Path
) -> None:
    log, quiet = tmp_path / "wallet.log", tmp_path / "quiet.log"
    quiet.write_text("little\n")
    with log.open("ab", buffering=0) as process:  # as a child process holds it
        for number, part in enumerate(("one", "two", "three")):
            process.write((part * SMALL).encode())
            await rotating.step(client, 60.0 * number)
        process.write(b"four")
    assert (log.read_text(), before(log).read_text()) == ("four", "three" * SMALL)
    assert quiet.read_text() == "little\n"


async def test_what_cannot_be_rotated_ends_nothing(
    rotating: Rotation, client: aiohttp.ClientSession, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    log = tmp_path / "wallet.log"
    log.write_text("x" * 2 * SMALL)
    before(log).mkdir()
    await rotating.step(client, 0.0)
    assert "not rotated" in caplog.text
    assert log.stat().st_size == 2 * SMALL
