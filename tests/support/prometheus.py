"""A Prometheus that answers with what a test has given it. It evaluates nothing: that is the real one's to show."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

from aiohttp import web
from prometheus_client.parser import text_string_to_metric_families
from tests.support.edge import free_port

from croupier.adapters.metrics.prometheus import PrometheusMetrics
from croupier.errors import Unreachable
from croupier.model.traffic import Capabilities, ObservedSplit, Split

NOW = 5_000.0


class StillClock:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("metrics do not wait")


class StillTraffic:
    """``split``: what is in force; None: not known."""

    capabilities = Capabilities(sticky=False, mirroring=False, verifies=True)

    def __init__(self) -> None:
        self.split: ObservedSplit | None = None

    async def observe(self, service: str) -> ObservedSplit:
        if self.split is None:
            raise Unreachable("not known")
        return self.split

    async def open_sockets(self, service: str) -> dict[str, int]:
        raise AssertionError("metrics ask for no sockets")

    async def set_split(self, split: Split) -> None:
        raise AssertionError("metrics change nothing")


class Answer(NamedTuple):
    body: str
    status: int = 200


class FakePrometheus:
    def __init__(self) -> None:
        self.clock = StillClock()
        self.traffic = StillTraffic()
        self.series: list[dict[str, Any]] = []
        self.answer: Answer | None = None
        """What it says to everything, instead of ``series``."""
        self.asked: list[dict[str, str]] = []
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}/"
        self.metrics = PrometheusMetrics(self.url, self.clock, self.traffic)
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        async def query(request: web.Request) -> web.Response:
            form = {name: str(value) for name, value in (await request.post()).items()}
            self.asked.append(form)
            answer = self.answer or Answer(json.dumps(vector(self._matching(form["query"]))))
            return web.Response(text=answer.body, status=answer.status, content_type="application/json")

        app = web.Application()
        app.router.add_post("/api/v1/query", query)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def scraped(self, page: str, **labels: str) -> None:
        """It has scraped a page, and added these labels."""
        for family in text_string_to_metric_families(page):
            for sample in family.samples:
                metric = {"__name__": sample.name, **sample.labels, **labels}
                self.series.append({"metric": metric, "value": [NOW, str(sample.value)]})

    def _matching(self, query: str) -> list[dict[str, Any]]:
        """Series whose name the first selector of the query names, or matches."""
        named = re.match(r'\{__name__=~"([^"]*)"', query)
        pattern = named[1] if named else query.partition("{")[0]
        return [each for each in self.series if re.fullmatch(pattern, each["metric"]["__name__"])]


def vector(series: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": "vector", "result": series}, **more}


@asynccontextmanager
async def running_prometheus() -> AsyncIterator[FakePrometheus]:
    prometheus = FakePrometheus()
    await prometheus.start()
    try:
        yield prometheus
    finally:
        await prometheus.stop()
        await prometheus.metrics.aclose()
