"""What the engine relies on from a source of counters (S9.3, S9.7). Run on memory, and on a page over HTTP."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import NamedTuple, Protocol

import pytest
from aiohttp import web
from tests.support.edge import free_port
from tests.support.prometheus import FakePrometheus, running_prometheus

from croupier.adapters.metrics.memory import MemoryMetrics
from croupier.adapters.metrics.scrape import ScrapeMetrics
from croupier.errors import Unreachable
from croupier.model.digest import short
from croupier.model.evidence import ArmSample, Count, SeriesCounts, Spread
from croupier.ports.metrics import Metrics, Target
from croupier_kit.tally_fold import Arm, Beginning, Fold, Outcome, Request
from croupier_kit.tally_invariants import ArmName
from croupier_kit.tally_page import render
from croupier_kit.tally_sources import RULES

CANARY = Target("payments-api", "r-0001", "sha256:" + "b" * 64)
STABLE = Target("payments-api", "r-0001", "sha256:" + "a" * 64)
IDLE = Target("payments-api", "-", "sha256:" + "a" * 64)
NOW = 5_000.0


class Source(Protocol):
    metrics: Metrics

    def publish(self, arms: Mapping[Target, ArmSample]) -> None: ...

    async def break_down(self) -> None: ...


class MemorySource:
    def __init__(self) -> None:
        self.metrics = MemoryMetrics()

    def publish(self, arms: Mapping[Target, ArmSample]) -> None:
        self.metrics.arms = dict(arms)

    async def break_down(self) -> None:
        self.metrics.unreachable = True


class StillClock:
    def now(self) -> float:
        return NOW

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("metrics do not wait")


class Page(NamedTuple):
    body: bytes = b""
    status: int = 200
    kind: str = "text/plain"
    more: Mapping[str, str] = {}


class PageSource:
    """A page over HTTP; ``page`` is what it answers."""

    def __init__(self) -> None:
        self.page = Page()
        self._port = free_port()
        self.url = f"http://127.0.0.1:{self._port}/metrics"
        self.metrics = ScrapeMetrics([self.url], StillClock())
        self._runner: web.AppRunner | None = None

    async def start(self) -> None:
        async def answer(_: web.Request) -> web.Response:
            page = self.page
            return web.Response(body=page.body, status=page.status, headers={"content-type": page.kind, **page.more})

        app = web.Application()
        app.router.add_get("/metrics", answer)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", self._port).start()

    async def break_down(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    def publish(self, arms: Mapping[Target, ArmSample]) -> None:
        self.say(page_of(arms))

    def say(self, text: str, *, status: int = 200, kind: str = "text/plain") -> None:
        self.page = Page(text.encode(), status, kind)


class PrometheusSource:
    """A Prometheus that has scraped the tally's page."""

    def __init__(self, prometheus: FakePrometheus) -> None:
        self._prometheus = prometheus
        self.metrics = prometheus.metrics

    def publish(self, arms: Mapping[Target, ArmSample]) -> None:
        self._prometheus.scraped(page_of(arms), job="tally", instance="books:80")

    async def break_down(self) -> None:
        await self._prometheus.stop()


def page_of(arms: Mapping[Target, ArmSample], *, updated_at: float = NOW - 1) -> str:
    """The tally's page for these arms."""
    lines = []
    for target, arm in arms.items():
        labels = f'service="{target.service}",run="{target.run}",version="{short(target.digest)}"'
        for signal, series in arm.series.items():
            for names, counts in (
                (("attempts", "failures"), series.events),
                (("players_exposed", "players_affected"), series.players or {}),
            ):
                for pod, count in counts.items():
                    for name, value in zip(names, count, strict=True):
                        place = f'{{{labels},pod="{pod}",signal="{signal}"}}'
                        lines.append(f"croupier_signal_{name}_total{place} {value}")
        lines += [
            f'croupier_invariant_violations_total{{{labels},invariant="{name}"}} {count}'
            for name, count in arm.violations.items()
        ]
        if arm.players_seen is not None:
            lines.append(f'croupier_players_seen{{{labels},split="{arm.players_revision}"}} {arm.players_seen}')
    lines.append(f"croupier_tally_updated_seconds {updated_at}")
    return "\n".join(lines) + "\n"


@pytest.fixture(params=["memory", "scrape", "prometheus"])
async def source(request: pytest.FixtureRequest) -> AsyncIterator[Source]:
    if request.param == "memory":
        yield MemorySource()
    elif request.param == "scrape":
        async with running_page() as page:
            yield page
    else:
        async with running_prometheus() as prometheus:
            yield PrometheusSource(prometheus)


@pytest.fixture
async def page() -> AsyncIterator[PageSource]:
    async with running_page() as page:
        yield page


@asynccontextmanager
async def running_page() -> AsyncIterator[PageSource]:
    page = PageSource()
    await page.start()
    try:
        yield page
    finally:
        await page.break_down()
        await page.metrics.aclose()


ARM = ArmSample(
    {
        "deposits": SeriesCounts(
            {"pod-0": Count(120.0, 3.0), "pod-1": Count(80.0, 0.0)},
            {"pod-0": Count(60.0, 2.0), "pod-1": Count(40.0, 0.0)},
        ),
        "deposits:provider=psp-b": SeriesCounts({"pod-1": Count(9.0, 0.0)}, {"pod-1": Count(7.0, 0.0)}),
        "latency:0.25": SeriesCounts({"pod-0": Count(500.0, 20.0)}),
    },
    players_seen=140,
    players_revision=3,
)


async def test_counters_come_as_they_are(source: Source) -> None:
    source.publish({CANARY: ARM})
    assert await source.metrics.read([CANARY]) == {CANARY: ARM}


async def test_one_read_answers_for_all_targets_and_for_nobody_else(source: Source) -> None:
    source.publish({CANARY: ARM, STABLE: ARM, IDLE: ARM})
    assert set(await source.metrics.read([CANARY, IDLE])) == {CANARY, IDLE}


async def test_a_target_without_data_is_missing_not_zero(source: Source) -> None:
    """S9.7: no data is never good data."""
    source.publish({STABLE: ARM})
    assert set(await source.metrics.read([CANARY, STABLE])) == {STABLE}


async def test_nan_is_passed_on(source: Source) -> None:
    arm = ArmSample({"bets": SeriesCounts({"pod-0": Count(math.nan, 1.0)})})
    source.publish({CANARY: arm})
    count = (await source.metrics.read([CANARY]))[CANARY].series["bets"].events["pod-0"]
    assert math.isnan(count.total)
    assert count.bad == 1.0


async def test_a_source_that_is_gone_is_an_error(source: Source) -> None:
    source.publish({CANARY: ARM})
    await source.break_down()
    with pytest.raises(Unreachable):
        await source.metrics.read([CANARY])


# --- pages that are no pages -------------------------------------------------------------------------------------


async def refused(page: PageSource, reason: str) -> None:
    with pytest.raises(Unreachable, match=reason):
        await page.metrics.read([CANARY])


async def test_an_old_page_is_refused(page: PageSource) -> None:
    page.say(page_of({CANARY: ARM}, updated_at=NOW - 15.5))
    await refused(page, "counted 16 s ago")
    page.say(page_of({CANARY: ARM}, updated_at=NOW - 14))
    assert await page.metrics.read([CANARY])


async def test_a_page_without_its_time_is_refused(page: PageSource) -> None:
    page.say("\n".join(page_of({CANARY: ARM}).splitlines()[:-1]) + "\n")
    await refused(page, "does not tell when")
    page.say(page_of({CANARY: ARM}, updated_at=math.nan))
    await refused(page, "does not tell when")


async def test_an_error_page_is_refused(page: PageSource) -> None:
    page.say(page_of({CANARY: ARM}), status=503)
    await refused(page, "status 503")


async def test_html_is_refused(page: PageSource) -> None:
    page.say("<html>sign in</html>\n", kind="text/html")
    await refused(page, "text/html")
    page.say("<html>sign in</html>\n")
    await refused(page, "does not give metrics")


async def test_a_redirect_is_refused(page: PageSource) -> None:
    page.page = Page(status=302, more={"location": "/login"})
    await refused(page, "status 302")


async def test_a_page_that_is_cut_off_is_refused(page: PageSource) -> None:
    whole = page_of({CANARY: ARM})
    for length in range(1, len(whole), 37):
        page.say(whole[:length])
        with pytest.raises(Unreachable):
            await page.metrics.read([CANARY])


async def test_a_huge_page_is_refused(page: PageSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("croupier.adapters.metrics.scrape.LARGEST_BYTES", 1_000)
    page.say(page_of({CANARY: ARM}) + "# filler\n" * 1_000)
    await refused(page, "more than 1000 bytes")


async def test_counters_that_bear_the_name_of_a_run_began_with_it(page: PageSource) -> None:
    page.say(page_of({CANARY: ARM, IDLE: ARM}))
    found = await page.metrics.read([CANARY, IDLE])
    assert {target.run != "-": sample.began_with_run for target, sample in found.items()} == {True: True, False: False}


async def test_a_slow_page_is_refused(page: PageSource, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("croupier.adapters.metrics.scrape.PATIENCE_SECONDS", 0.0)
    page.say(page_of({CANARY: ARM}))
    await refused(page, "no page within 0 s")


async def test_bytes_that_are_no_text_are_refused(page: PageSource) -> None:
    page.page = Page(b"\xff\xfe\n")
    await refused(page, "does not give metrics")


async def test_infinity_is_no_number(page: PageSource) -> None:
    page.say(page_of({CANARY: ArmSample({"bets": SeriesCounts({"pod-0": Count(math.inf, 1.0)})})}))
    count = (await page.metrics.read([CANARY]))[CANARY].series["bets"].events["pod-0"]
    assert math.isnan(count.total)


async def test_a_counter_without_its_partner_is_half_known(page: PageSource) -> None:
    lines = page_of({CANARY: ARM}).splitlines(keepends=True)
    page.say("".join(line for line in lines if "_failures_" not in line))
    count = (await page.metrics.read([CANARY]))[CANARY].series["deposits"].events["pod-0"]
    assert count.total == 120.0
    assert math.isnan(count.bad)


async def test_two_values_for_one_counter_are_refused(page: PageSource) -> None:
    page.say(page_of({CANARY: ARM}) * 2)
    await refused(page, "given twice")


async def test_a_series_without_its_labels_is_refused(page: PageSource) -> None:
    page.say(page_of({CANARY: ARM}).replace('pod="pod-0",', ""))
    await refused(page, "no label pod")


async def test_other_peoples_series_are_ignored(page: PageSource) -> None:
    page.say('python_gc_objects_collected_total{generation="0"} 12\n' + page_of({CANARY: ARM}))
    assert await page.metrics.read([CANARY]) == {CANARY: ARM}


async def test_players_of_both_arms_are_counted_under_the_same_split(page: PageSource) -> None:
    """A share of players from two different splits would mean nothing."""
    late = ArmSample(ARM.series, players_seen=900, players_revision=2)
    page.say(page_of({CANARY: ARM, STABLE: late}))
    arms = await page.metrics.read([CANARY, STABLE])
    assert (arms[CANARY].players_seen, arms[CANARY].players_revision) == (140, 3)
    assert (arms[STABLE].players_seen, arms[STABLE].players_revision) == (0, 3)


async def test_two_sources_for_one_arm_are_refused(page: PageSource) -> None:
    page.say(page_of({CANARY: ARM}))
    metrics = ScrapeMetrics([page.url, page.url], StillClock())
    try:
        with pytest.raises(Unreachable, match="so does another source"):
            await metrics.read([CANARY])
    finally:
        await metrics.aclose()


async def test_the_page_of_the_tally_says_what_the_tally_counted(page: PageSource) -> None:
    """The two sides of the page are written apart; this is where they meet."""
    canary, stable = (Arm("payments-api", "r-0001", short(target.digest), 3) for target in (CANARY, STABLE))
    fold = Fold({})
    for number in range(10):
        for arm, pod in ((canary, "pod-c"), (stable, "pod-s")):
            is_failure = arm is canary and number == 4
            fold.request(Request(NOW - 5, arm, f"p{number}", pod, is_failure, 0.3))
    fold.advance(NOW)
    page.say(render(fold, NOW - 1))
    arms = await page.metrics.read([CANARY, STABLE])
    assert arms[CANARY].series["errors"].events == {"pod-c": Count(10.0, 1.0)}
    assert arms[CANARY].series["errors"].players == {"pod-c": Count(10.0, 1.0)}
    assert arms[CANARY].series["latency:0.25"].events == {"pod-c": Count(10.0, 10.0)}
    assert arms[STABLE].series["errors"].events == {"pod-s": Count(10.0, 0.0)}
    assert (arms[STABLE].players_seen, arms[STABLE].players_revision) == (10, 3)


async def test_a_signal_that_only_the_other_arm_has_is_zero_and_not_unknown(page: PageSource) -> None:
    """A version that loses every deposit before it begins has no counter of deposits."""
    events = SeriesCounts({"pod-s": Count(50.0, 1.0)}, {"pod-s": Count(40.0, 1.0)})
    requests = SeriesCounts({"pod-c": Count(9.0, 0.0)}, {"pod-c": Count(9.0, 0.0)})
    page.say(page_of({CANARY: ArmSample({"errors": requests}), STABLE: ArmSample({"deposits": events})}))
    arms = await page.metrics.read([CANARY, STABLE])
    nothing = {"": Count(0.0, 0.0)}
    assert arms[CANARY].series["deposits"] == SeriesCounts(nothing, nothing)
    assert arms[STABLE].series["errors"] == SeriesCounts(nothing, nothing)


async def test_visits_and_violations_are_read_as_the_tally_counts_them(page: PageSource) -> None:
    canary, stable = (Arm("payments-api", "r-0001", short(target.digest), 3) for target in (CANARY, STABLE))
    fold = Fold(RULES)
    for number in range(4):
        fold.request(Request(NOW - 9, canary if number else stable, f"p{number}", "pod", False, 0.3))
        arm = canary if number else stable
        fold.decide(Beginning(NOW - 5, "logins", f"l{number}", arm, f"p{number}", "pod"), Outcome(NOW - 5, "ok", True))
    fold.invariants.post("deposit", "d1", 500, ArmName(*canary[:3]), NOW - 5)
    fold.invariants.post("deposit", "d1", 500, ArmName(*canary[:3]), NOW - 4)
    fold.advance(NOW)
    page.say(render(fold, NOW - 1))
    arms = await page.metrics.read([CANARY, STABLE])
    assert arms[CANARY].series["logins"].spread == Spread(3.0, 3.0, 3.0, 3.0)
    assert arms[STABLE].series["logins"].spread == Spread(1.0, 1.0, 1.0, 1.0)
    assert arms[CANARY].series["errors"].spread is None
    assert arms[CANARY].violations == {"posted-twice": 1.0, "paid-and-returned": 0.0, "amount-differs": 0.0}
    assert not any(arms[STABLE].violations.values())
