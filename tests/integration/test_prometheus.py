"""A real Prometheus: what the queries of the adapter mean, and what it says of targets that are gone or old."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
import yaml
from aiohttp import web
from tests.contracts.test_metrics import page_of
from tests.support.edge import free_port
from tests.support.prometheus import StillTraffic

from croupier.adapters.clock import SystemClock
from croupier.adapters.metrics.prometheus import PrometheusMetrics
from croupier.errors import Unreachable
from croupier.model.evidence import ArmSample, Count, SeriesCounts
from croupier.ports.metrics import Target
from croupier_stand.process import ChildProcess

PROMETHEUS = shutil.which("prometheus")
pytestmark = [
    pytest.mark.stand,
    pytest.mark.skipif(PROMETHEUS is None, reason="no prometheus on the PATH (Debian: apt-get install prometheus)"),
]

SERVICE = "payments-api.casino"
CANARY = Target(SERVICE, "r-0001", "sha256:" + "b" * 64)
STABLE = Target(SERVICE, "r-0001", "sha256:" + "a" * 64)
DEPOSITS = ArmSample({"deposits": SeriesCounts({"pod-0": Count(120.0, 3.0)}, {"pod-0": Count(60.0, 2.0)})})
SCRAPE_SECONDS = 1
STALE_SECONDS = 6.0
PATIENCE_SECONDS = 60.0


class Page:
    """A page that is scraped. ``text`` may change; None: it is gone."""

    def __init__(self) -> None:
        self.port = free_port()
        self.text: Callable[[], str] | None = None

    async def start(self) -> web.AppRunner:
        async def answer(_: web.Request) -> web.Response:
            if self.text is None:
                raise web.HTTPServiceUnavailable
            return web.Response(text=self.text(), content_type="text/plain")

        app = web.Application()
        app.router.add_get("/metrics", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", self.port).start()
        return runner


class Scraped:
    """Two pods, a tally, the Prometheus that scrapes them, and the adapter that reads it."""

    def __init__(self, folder: Path) -> None:
        self.canary, self.stable, self.tally = Page(), Page(), Page()
        self.updated_at: float | None = None
        """When the tally has counted last; None: it counts all the time."""
        self.clock = SystemClock()
        self._port = free_port()
        config = folder / "prometheus.yml"
        config.write_text(yaml.safe_dump(self._config()))
        assert PROMETHEUS is not None
        words = ("--web.listen-address", f"127.0.0.1:{self._port}", "--storage.tsdb.path", str(folder / "data"))
        argv = (PROMETHEUS, "--config.file", str(config), *words)
        self.process = ChildProcess("prometheus", argv, folder / "prometheus.log")
        self.metrics = PrometheusMetrics(
            f"http://127.0.0.1:{self._port}",
            self.clock,
            StillTraffic(),
            scrape_seconds=SCRAPE_SECONDS,
            stale_seconds=STALE_SECONDS,
        )

    def serve(self) -> None:
        self.canary.text = lambda: _requests(100, 4)
        self.stable.text = lambda: _requests(900, 1)
        arms = {target._replace(run="-"): DEPOSITS for target in (CANARY, STABLE)}
        self.tally.text = lambda: page_of(arms, updated_at=self.updated_at or self.clock.now())

    async def stop(self) -> None:
        await asyncio.to_thread(self.process.stop, patience_seconds=10)

    async def until(self, holds: Callable[[dict[Target, ArmSample]], bool]) -> dict[Target, ArmSample]:
        """Read until it holds. A Prometheus that is just starting does not answer."""
        arms: dict[Target, ArmSample] = {}
        async with asyncio.timeout(PATIENCE_SECONDS):
            while True:
                try:
                    arms = dict(await self.metrics.read([CANARY, STABLE]))
                    if holds(arms):
                        return arms
                except Unreachable:
                    assert self.process.is_running, self.process.log.read_text()
                await asyncio.sleep(0.2)

    def _config(self) -> dict[str, object]:
        pods = [
            {
                "targets": [f"127.0.0.1:{page.port}"],
                "labels": {
                    "namespace": "casino",
                    "pod": pod,
                    "croupier_dev_policy": "payments-api",
                    "croupier_dev_version": version,
                },
            }
            for page, pod, version in ((self.canary, "c-0", "b" * 12), (self.stable, "s-0", "a" * 12))
        ]
        tally = [{"targets": [f"127.0.0.1:{self.tally.port}"], "labels": {"namespace": "casino", "pod": "books-0"}}]
        return {
            "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "scrape_timeout": f"{SCRAPE_SECONDS}s"},
            "scrape_configs": [
                {"job_name": "pods", "static_configs": pods},
                {"job_name": "tally", "static_configs": tally, "honor_labels": True},
            ],
        }


def _requests(total: int, bad: int) -> str:
    return f"""
http_requests_total{{code="200"}} {total - bad}
http_requests_total{{code="503"}} {bad}
http_request_duration_seconds_bucket{{le="0.25"}} {total - 7}
http_request_duration_seconds_bucket{{le="+Inf"}} {total}
"""


@pytest.fixture
async def scraped(tmp_path: Path) -> AsyncIterator[Scraped]:
    scraped = Scraped(tmp_path)
    runners = [await page.start() for page in (scraped.canary, scraped.stable, scraped.tally)]
    scraped.process.start()
    try:
        yield scraped
    finally:
        await scraped.stop()
        await scraped.metrics.aclose()
        for runner in runners:
            await runner.cleanup()


def series(arms: dict[Target, ArmSample], target: Target) -> set[str]:
    return set(arms[target].series) if target in arms else set()


EVERYTHING = {"errors", "latency:0.25", "deposits"}


async def test_counters_are_read_and_what_is_gone_or_old_is_absent(scraped: Scraped) -> None:
    """Prevents: a gate that goes on counting a pod that no longer answers, or a tally that no longer counts."""
    scraped.serve()
    arms = await scraped.until(lambda arms: all(series(arms, each) == EVERYTHING for each in (CANARY, STABLE)))
    assert arms[CANARY].series["errors"].events == {"c-0": Count(100.0, 4.0)}
    assert arms[STABLE].series["latency:0.25"].events == {"s-0": Count(900.0, 7.0)}
    assert arms[CANARY].series["deposits"] == DEPOSITS.series["deposits"]

    scraped.canary.text = lambda: _requests(150, 9)
    await scraped.until(lambda arms: arms[CANARY].series["errors"].events == {"c-0": Count(150.0, 9.0)})

    scraped.canary.text = None
    arms = await scraped.until(lambda arms: series(arms, CANARY) == {"deposits"})
    assert series(arms, STABLE) == EVERYTHING

    scraped.updated_at = scraped.clock.now()
    arms = await scraped.until(lambda arms: CANARY not in arms)
    assert series(arms, STABLE) == EVERYTHING - {"deposits"}

    scraped.serve()
    scraped.updated_at = None
    await scraped.until(lambda arms: all(series(arms, each) == EVERYTHING for each in (CANARY, STABLE)))

    await scraped.stop()
    with pytest.raises(Unreachable, match="does not answer"):
        await scraped.metrics.read([CANARY])
