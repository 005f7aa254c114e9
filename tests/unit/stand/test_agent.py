"""The agent with real, tiny pods: a module that serves readiness on its port."""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest

from croupier_stand import home
from croupier_stand.agent import Agent, Build, PodKey
from croupier_stand.home import Home
from croupier_stand.keeper import probe_all

DIGEST = "sha256:" + "ab" * 32
POD = """
import os
from http.server import BaseHTTPRequestHandler, HTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404)
        self.end_headers()

    def log_message(self, *_):
        pass

HTTPServer(("127.0.0.1", int(os.environ["PORT"])), Handler).serve_forever()
"""


class Bench:
    def __init__(self, directory: Path) -> None:
        (directory / "tiny_pod.py").write_text(POD)
        self.home = Home("unit", directory / "home")
        self.home.clear()
        build = Build("wallet", (sys.executable, "-m", "tiny_pod"), 1.0, "/readyz")

        def environment(key: PodKey, port: int) -> Mapping[str, str]:
            return os.environ | {"PYTHONPATH": str(directory), "PORT": str(port), "POD_NAME": key.name}

        self.agent = Agent(self.home, {DIGEST: build}.get, environment, lambda: 1000.0)

    def want(self, replicas: int) -> None:
        wish = {"service": "wallet", "digest": DIGEST, "replicas": replicas}
        (self.home.desired / "wallet~abababababab.json").write_text(json.dumps(wish))

    async def until(self, condition: object) -> list[dict[str, object]]:
        """Step until what is observed is so."""
        assert callable(condition)
        clock = asyncio.get_running_loop().time
        async with aiohttp.ClientSession() as client, asyncio.timeout(20):
            while True:
                self.agent.step(clock())
                await probe_all(client, self.agent.keepers, clock)
                await self.agent.report(clock())
                document = json.loads(self.home.observed.read_bytes())
                assert document["at"] == 1000.0
                pods: list[dict[str, object]] = document["pods"]
                if condition(pods):
                    return pods
                await asyncio.sleep(0.05)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.agent.stop()


async def test_pods_run_as_wished_and_a_killed_one_comes_back_under_its_name_and_port(bench: Bench) -> None:
    bench.want(2)
    pods = await bench.until(lambda pods: len(pods) == 2 and all(pod["ready"] for pod in pods))
    assert [pod["name"] for pod in pods] == ["wallet-abababababab-0", "wallet-abababababab-1"]
    assert len(bench.agent.endpoints("wallet", DIGEST)) == 2
    bench.agent.keepers[0].child.kill()
    back = await bench.until(lambda pods: pods[0]["restarts"] == 1 and pods[0]["ready"])
    assert [(pod["name"], pod["port"]) for pod in back] == [(pod["name"], pod["port"]) for pod in pods]
    assert [pod["restarts"] for pod in back] == [1, 0]


async def test_a_withdrawn_wish_ends_the_pods_and_they_are_no_longer_observed(bench: Bench) -> None:
    bench.want(1)
    await bench.until(lambda pods: len(pods) == 1 and pods[0]["ready"])
    (keeper,) = bench.agent.keepers
    (bench.home.desired / "wallet~abababababab.json").unlink()
    assert await bench.until(lambda pods: not pods) == []
    assert not keeper.child.is_running


async def test_fewer_replicas_end_the_last_pods(bench: Bench) -> None:
    bench.want(2)
    await bench.until(lambda pods: len(pods) == 2)
    bench.want(1)
    pods = await bench.until(lambda pods: len(pods) == 1)
    assert pods[0]["name"] == "wallet-abababababab-0"


async def test_the_port_of_a_pod_in_back_off_is_given_to_nobody_else(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench.want(1)
    ((_, port),) = [(pod["name"], pod["port"]) for pod in await bench.until(lambda pods: len(pods) == 1)]
    bench.agent.keepers[0].child.kill()
    monkeypatch.setattr(home, "_PORTS", range(port, port + 4001))
    monkeypatch.setattr(random.SystemRandom, "sample", lambda _, ports, count: list(ports)[:count])
    bench.want(2)
    pods = await bench.until(lambda pods: len(pods) == 2 and all(pod["ready"] for pod in pods))
    assert pods[0]["port"] == port
    assert pods[1]["port"] != port


async def test_a_version_that_nobody_built_is_not_run(bench: Bench) -> None:
    wish = {"service": "wallet", "digest": "sha256:" + "0" * 64, "replicas": 1}
    (bench.home.desired / "wallet~000000000000.json").write_text(json.dumps(wish))
    bench.agent.step(0.0)
    assert bench.agent.keepers == ()
