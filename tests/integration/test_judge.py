"""The judge on a real Prometheus: what its selectors mean, absent failures, latency edges, and a verdict in the end."""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from click.testing import CliRunner
from tests.support.edge import free_port

from croupier.adapters.clock import SystemClock
from croupier.adapters.metrics.prometheus_api import PrometheusApi
from croupier.adapters.metrics.ranges import RangedCounters
from croupier.cli.root import cli
from croupier.judge.cases import Cases
from croupier.model.judge import Judgement
from croupier.spec.documents import load_judge
from croupier_stand.process import ChildProcess

PROMETHEUS = shutil.which("prometheus")
pytestmark = [
    pytest.mark.stand,
    pytest.mark.skipif(PROMETHEUS is None, reason="no prometheus on the PATH (Debian: apt-get install prometheus)"),
]
PATIENCE_SECONDS = 90.0
ARMS = ("canary", "stable")


class Pods:
    """Two pods a arm that serve requests all the time; the canary's fail at ``bad_ratio``."""

    def __init__(self) -> None:
        self.ports = {f"shop-{arm}-{number}": free_port() for arm in ARMS for number in (1, 2)}
        self.bad_ratio = 0.0
        self._began = asyncio.get_running_loop().time()

    async def start(self) -> list[web.AppRunner]:
        return [await self._serve(pod, port) for pod, port in self.ports.items()]

    async def _serve(self, pod: str, port: int) -> web.AppRunner:
        async def page(_: web.Request) -> web.Response:
            return web.Response(text=self.page(pod), content_type="text/plain")

        app = web.Application()
        app.router.add_get("/metrics", page)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port).start()
        return runner

    def page(self, pod: str) -> str:
        total = int(200 * (asyncio.get_running_loop().time() - self._began))
        bad = int(total * self.bad_ratio) if "canary" in pod else 0
        failed = f'http_requests_total{{code="500"}} {bad}\n' if bad else ""
        return (
            f'http_requests_total{{code="200"}} {total - bad}\n{failed}'
            f'latency_bucket{{le="0.25"}} {total - total // 50}\nlatency_bucket{{le="+Inf"}} {total}\n'
        )


class Shop:
    def __init__(self, folder: Path, pods: Pods) -> None:
        port = free_port()
        assert PROMETHEUS is not None
        (folder / "prometheus.yml").write_text(yaml.safe_dump(_scraping(pods)))
        words = ("--web.listen-address", f"127.0.0.1:{port}", "--storage.tsdb.path", str(folder / "data"))
        argv = (PROMETHEUS, "--config.file", str(folder / "prometheus.yml"), *words)
        self.process = ChildProcess("prometheus", argv, folder / "prometheus.log")
        self.settings = folder / "judge.yaml"
        self.settings.write_text(yaml.safe_dump(_settings(port)))
        settings = load_judge(self.settings)
        self.api = PrometheusApi(settings.prometheus)
        self.counters = RangedCounters(self.api, pod_label="pod", scrape_seconds=1.0)
        self.cases = Cases(settings, self.counters, SystemClock())

    async def until(self, verdict: str) -> Judgement:
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                judgement = (await self.cases.ask("shop", "canary", "stable")).judgement
                if judgement.verdict == verdict:
                    return judgement
                assert self.process.is_running, self.process.log.read_text()
                await asyncio.sleep(0.5)


def _scraping(pods: Pods) -> dict[str, object]:
    targets = [{"targets": [f"127.0.0.1:{port}"], "labels": {"pod": pod}} for pod, port in pods.ports.items()]
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
        "scrape_configs": [{"job_name": "pods", "static_configs": targets}],
    }


def _settings(port: int) -> dict[str, object]:
    def errors(arm: str) -> dict[str, str]:
        mine = f'pod=~"shop-${arm}-.+"'
        return {"total": f"http_requests_total{{{mine}}}", "bad": f'http_requests_total{{{mine},code=~"5.."}}'}

    def latency(arm: str) -> dict[str, str]:
        mine = f'pod=~"shop-${arm}-.+"'
        return {"total": f'latency_bucket{{{mine},le="+Inf"}}', "good": f'latency_bucket{{{mine},le="$edge"}}'}

    gates = [
        {"signal": "errors", "role": "required", "margin": {"points": 1.0}},
        {"signal": "latency", "margin": {"ratio": 2.0}},
    ]
    signals = [
        {"signal": name, **{arm: part(arm) for arm in ARMS}}
        for name, part in (("errors", errors), ("latency", latency))
    ]
    return {
        "prometheus": f"http://127.0.0.1:{port}",
        "scrapeSeconds": 1.0,
        "state": "state",
        "tokenFile": "token",
        "services": [{"name": "shop", "policy": {"gates": gates, "latencyEdges": [0.25]}, "signals": signals}],
    }


@pytest.fixture
async def pods() -> AsyncIterator[Pods]:
    pods = Pods()
    runners = await pods.start()
    yield pods
    for runner in runners:
        await runner.cleanup()


@pytest.fixture
async def shop(tmp_path: Path, pods: Pods) -> AsyncIterator[Shop]:
    shop = Shop(tmp_path, pods)
    shop.process.start()
    try:
        yield shop
    finally:
        await asyncio.to_thread(shop.process.stop, patience_seconds=10)
        await shop.api.aclose()


async def test_failures_that_no_series_shows_yet_are_none_and_a_good_canary_passes(shop: Shop) -> None:
    judgement = await shop.until("pass")
    errors, latency = judgement.gates
    assert errors.canary.bad == errors.stable.bad == 0
    assert errors.canary.total > 400
    assert 0 < latency.canary.bad < latency.canary.total


async def test_a_canary_that_fails_is_found_in_what_prometheus_has_scraped(shop: Shop, pods: Pods) -> None:
    pods.bad_ratio = 0.3
    judgement = await shop.until("fail")
    assert judgement.code == "worse"
    assert judgement.gates[0].canary.bad > judgement.gates[0].stable.bad


async def test_a_range_of_it_judged_afterwards_would_have_gone_back(shop: Shop, pods: Pods) -> None:
    pods.bad_ratio = 0.3
    began = SystemClock().now()
    judgement = await shop.until("fail")
    times = [datetime.fromtimestamp(at, UTC).isoformat() for at in (began, SystemClock().now())]
    words = ["--judge", str(shop.settings), "--service", "shop", "--canary", "canary", "--stable-revision", "stable"]
    words += ["--since", times[0], "--until", times[1], "-o", "json"]
    result = await asyncio.to_thread(CliRunner().invoke, cli, ["gate", "backtest", *words])
    assert result.exit_code == 0, result.output
    (run,) = json.loads(result.stdout)["runs"]
    assert (run["told"], run["code"]) == ("rolled-back", judgement.code)
    assert run["harm"][0]["bad"] > 0
