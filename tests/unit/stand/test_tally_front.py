"""Metrics that talk nonsense, over the wire that the desk reads, and what the desk makes of them (S9.7)."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import AsyncIterator
from dataclasses import dataclass

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer

from croupier.adapters.metrics import scrape
from croupier.adapters.metrics.exposition import ArmKey, read_page
from croupier.adapters.metrics.scrape import LARGEST_BYTES, ScrapeMetrics
from croupier.errors import Unreachable
from croupier.ports.metrics import Target
from croupier_stand import tally_front
from croupier_stand.providers.books import Books
from croupier_stand.providers.faults import Faults
from croupier_stand.tally_front import HUGE_BYTES, Front, Nonsense, without_numbers

DIGEST = "sha256:" + "a1b2c3d4e5f6" + "0" * 52
LABELS = 'service="payments-api",run="r-0001",version="a1b2c3d4e5f6"'
PAGE = f"""\
# HELP croupier_tally_updated_seconds Up to when all sources were read, epoch.
# TYPE croupier_tally_updated_seconds gauge
croupier_tally_updated_seconds 1000.000
# TYPE croupier_signal_attempts_total counter
croupier_signal_attempts_total{{{LABELS},pod="p 0",signal="deposits"}} 40
# TYPE croupier_signal_failures_total counter
croupier_signal_failures_total{{{LABELS},pod="p 0",signal="deposits"}} 2
"""
TARGET = Target("payments-api", "r-0001", DIGEST)


@dataclass
class Clock:
    """Also the desk's."""

    at: float = 1_001.0

    def now(self) -> float:
        return self.at

    async def sleep(self, seconds: float) -> None:
        self.at += seconds


@dataclass
class Wire:
    """``tally``: what the tally answers, None: it hangs up."""

    faults: Faults[Nonsense]
    metrics: ScrapeMetrics
    tally: web.Response | None = None


@pytest.fixture
async def wire() -> AsyncIterator[Wire]:
    clock = Clock()
    faults = Faults(Nonsense, Books(None, clock.now), clock.now)

    async def metrics(request: web.Request) -> web.Response:
        if made.tally is None:
            assert request.transport is not None
            request.transport.close()
            return web.Response()
        return made.tally

    back, ahead = web.Application(), web.Application()
    back.router.add_get("/metrics", metrics)
    async with TestServer(back) as tally, ClientSession() as client:
        ahead.router.add_get("/metrics", Front(str(tally.make_url("")).rstrip("/"), faults, client).show)
        async with TestServer(ahead) as front:
            made = Wire(faults, ScrapeMetrics([str(front.make_url("/metrics"))], clock))
            made.tally = web.Response(text=PAGE)
            yield made
            await made.metrics.aclose()


async def test_a_page_comes_through_as_it_is(wire: Wire) -> None:
    sample = (await wire.metrics.read([TARGET]))[TARGET]
    assert sample == read_page(PAGE).arms[ArmKey("payments-api", "r-0001", "a1b2c3d4e5f6")]


async def test_a_tally_that_is_not_ready_or_gone_is_not_made_to_look_well(wire: Wire) -> None:
    wire.tally = web.Response(status=503, text="still counting")
    with pytest.raises(Unreachable, match="status 503"):
        await wire.metrics.read([TARGET])
    wire.tally = None
    with pytest.raises(Unreachable, match="status 502"):
        await wire.metrics.read([TARGET])


async def test_nan_is_a_new_page_on_which_nothing_is_known(wire: Wire) -> None:
    wire.faults.begin(Nonsense.NAN, 60)
    sample = (await wire.metrics.read([TARGET]))[TARGET]
    (count,) = sample.series["deposits"].events.values()
    assert math.isnan(count.total)
    assert math.isnan(count.bad)


@pytest.mark.parametrize(
    ("nonsense", "said"),
    [(Nonsense.TEXT, "does not give metrics"), (Nonsense.ERROR, "status 500"), (Nonsense.HUGE, "more than 16777216")],
)
async def test_what_are_no_metrics_is_no_data(
    wire: Wire, nonsense: Nonsense, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scrape, "PATIENCE_SECONDS", 60.0)
    wire.faults.begin(nonsense, 60)
    with pytest.raises(Unreachable, match=said):
        await wire.metrics.read([TARGET])
    wire.faults.begin(Nonsense.OFF, 0)
    assert await wire.metrics.read([TARGET])


async def test_a_page_that_comes_little_by_little_is_given_up(wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each piece is in time, the page never is."""
    wire.faults.begin(Nonsense.SLOW, 60)
    monkeypatch.setattr(tally_front, "_PIECE_SECONDS", 0.0)
    monkeypatch.setattr(scrape, "PATIENCE_SECONDS", 60.0)
    assert await wire.metrics.read([TARGET]), "in the end it is the page as it is"
    monkeypatch.setattr(tally_front, "_PIECE_SECONDS", 0.02)
    monkeypatch.setattr(scrape, "PATIENCE_SECONDS", 0.2)
    with pytest.raises(Unreachable, match=r"no page within 0.2 s"):
        await wire.metrics.read([TARGET])


async def test_a_huge_page_takes_no_more_than_the_desk_reads_of_it(wire: Wire) -> None:
    wire.faults.begin(Nonsense.HUGE, 60)
    tracemalloc.start()
    try:
        with pytest.raises(Unreachable):
            await wire.metrics.read([TARGET])
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 2 * LARGEST_BYTES < HUGE_BYTES


def test_only_the_time_of_the_count_is_left_of_a_page_without_numbers() -> None:
    lines = without_numbers(PAGE).splitlines()
    assert [line.rpartition(" ")[2] for line in lines if not line.startswith("#")] == ["1000.000", "NaN", "NaN"]
    assert len(lines) == len(PAGE.splitlines())
