"""What a Prometheus may answer, and what becomes of it: counters as they are, absence, or an error; never zeros (S9.7).

The shared promises of metrics are in ``test_metrics.py``; what the queries mean is shown on a real Prometheus.
"""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.contracts.test_metrics import page_of
from tests.support.prometheus import NOW, Answer, FakePrometheus, running_prometheus, vector

from croupier.adapters.metrics import prometheus as adapter
from croupier.adapters.metrics import prometheus_api
from croupier.errors import Unreachable
from croupier.model.digest import short
from croupier.model.evidence import ArmSample, Count, SeriesCounts
from croupier.model.traffic import ObservedSplit
from croupier.ports.metrics import Target

SERVICE = "payments-api.casino"
CANARY = Target(SERVICE, "r-0001", "sha256:" + "b" * 64)
STABLE = Target(SERVICE, "r-0001", "sha256:" + "a" * 64)
DEPOSITS = ArmSample({"deposits": SeriesCounts({"pod-0": Count(120.0, 3.0)}, {"pod-0": Count(60.0, 2.0)})})


@pytest.fixture
async def prometheus() -> AsyncIterator[FakePrometheus]:
    async with running_prometheus() as prometheus:
        yield prometheus


def scrape_pod(prometheus: FakePrometheus, target: Target, pod: str, *, total: float, bad: float, **more: str) -> None:
    """Prometheus has scraped a pod of a version."""
    page = f"""
http_requests_total{{code="200"}} {total - bad}
http_requests_total{{code="503"}} {bad}
http_request_duration_seconds_bucket{{le="0.25"}} {total - 7}
http_request_duration_seconds_bucket{{le="+Inf"}} {total}
"""
    labels = {
        "namespace": "casino",
        "croupier_dev_policy": "payments-api",
        "croupier_dev_version": short(target.digest),
    }
    prometheus.scraped(page, **{"pod": pod, "job": "pods", "instance": f"{pod}:8080", **labels, **more})


def scrape_tally(prometheus: FakePrometheus, arms: dict[Target, ArmSample], instance: str = "books:80") -> None:
    """Prometheus has scraped a tally, whose arms bear no run on a cluster."""
    page = page_of({target._replace(run="-"): sample for target, sample in arms.items()})
    prometheus.scraped(page, job="tally", instance=instance)


# --- counters --------------------------------------------------------------------------------------------------------


async def test_pods_tell_errors_and_latency_and_tallies_the_rest(prometheus: FakePrometheus) -> None:
    scrape_pod(prometheus, CANARY, "c-0", total=100, bad=4)
    scrape_pod(prometheus, CANARY, "c-1", total=50, bad=0)
    scrape_pod(prometheus, STABLE, "s-0", total=900, bad=1)
    scrape_tally(prometheus, {CANARY: DEPOSITS})
    arms = await prometheus.metrics.read([CANARY, STABLE])
    assert arms[CANARY].series == {
        "errors": SeriesCounts({"c-0": Count(100, 4), "c-1": Count(50, 0)}),
        "latency:0.25": SeriesCounts({"c-0": Count(100, 7), "c-1": Count(50, 7)}),
        "deposits": DEPOSITS.series["deposits"],
    }
    assert set(arms[STABLE].series) == {"errors", "latency:0.25"}


async def test_three_queries_answer_for_all_targets_at_one_time(prometheus: FakePrometheus) -> None:
    await prometheus.metrics.read([CANARY, STABLE, Target("identity.casino", "-", "sha256:" + "c" * 64)])
    assert len(prometheus.asked) == 3
    for form in prometheus.asked:
        assert 'version=~"aaaaaaaaaaaa|bbbbbbbbbbbb|cccccccccccc"' in form["query"]
        assert "rate(" not in form["query"]
        assert form["time"] == "4995.000"
    assert await prometheus.metrics.read([]) == {}


async def test_time_moves_in_steps_of_the_scrapes(prometheus: FakePrometheus) -> None:
    """Between two reads each pod has been scraped as often as any other, whenever its turn is."""
    times = set()
    for second in range(60):
        prometheus.clock.time = NOW + second
        prometheus.asked.clear()
        await prometheus.metrics.read([CANARY])
        times |= {float(form["time"]) for form in prometheus.asked}
        assert all(float(form["time"]) <= prometheus.clock.time - 2 for form in prometheus.asked)
    assert sorted(times) == [4995.0, 5010.0, 5025.0, 5040.0, 5055.0]


async def test_who_was_seen_under_a_split_is_told_by_requests(prometheus: FakePrometheus) -> None:
    """Where no tally knows players, the share of the traffic is seen by requests since the split."""
    for revision, requests, expected in ((3, 100, 0), (3, 160, 60), (4, 200, 0)):
        prometheus.traffic.split = ObservedSplit(service=SERVICE, run="r-0001", revision=revision, weights={})
        prometheus.series.clear()
        scrape_pod(prometheus, CANARY, "c-0", total=requests, bad=0)
        arm = (await prometheus.metrics.read([CANARY]))[CANARY]
        assert (arm.players_seen, arm.players_revision) == (expected, revision)


# --- what is absent --------------------------------------------------------------------------------------------------


async def test_what_was_not_scraped_is_missing(prometheus: FakePrometheus) -> None:
    scrape_pod(prometheus, STABLE, "s-0", total=900, bad=1)
    assert set(await prometheus.metrics.read([CANARY, STABLE])) == {STABLE}


async def test_latency_without_requests_is_no_reading(prometheus: FakePrometheus) -> None:
    scrape_pod(prometheus, CANARY, "c-0", total=100, bad=4)
    prometheus.series = [each for each in prometheus.series if each["metric"]["__name__"] != "http_requests_total"]
    assert await prometheus.metrics.read([CANARY]) == {}


async def test_what_is_no_number_is_nan(prometheus: FakePrometheus) -> None:
    scrape_pod(prometheus, CANARY, "c-0", total=100, bad=4)
    for text in ("NaN", "+Inf"):
        prometheus.series[1]["value"][1] = text
        count = (await prometheus.metrics.read([CANARY]))[CANARY].series["errors"].events["c-0"]
        assert math.isnan(count.total)
        assert math.isnan(count.bad)


async def test_other_policies_and_namespaces_are_others(prometheus: FakePrometheus) -> None:
    scrape_pod(prometheus, CANARY, "c-0", total=100, bad=4, namespace="other")
    scrape_pod(prometheus, CANARY, "c-0", total=100, bad=4, croupier_dev_policy="other")
    prometheus.scraped('http_requests_total{code="200"} 7\n', job="pods", instance="x", croupier_dev_version="b" * 12)
    assert await prometheus.metrics.read([CANARY]) == {}


async def test_what_is_scraped_twice_is_left_out_and_said_once(
    prometheus: FakePrometheus, caplog: pytest.LogCaptureFixture
) -> None:
    """Two monitors that select the same pods would make each request two."""
    caplog.set_level(logging.WARNING)
    scrape_pod(prometheus, CANARY, "c-0", total=100, bad=4)
    scrape_pod(prometheus, CANARY, "c-0", total=100, bad=4, job="again")
    scrape_pod(prometheus, STABLE, "s-0", total=100, bad=4)
    scrape_tally(prometheus, {CANARY: DEPOSITS})
    scrape_tally(prometheus, {CANARY: DEPOSITS}, instance="books:81")
    for _ in range(3):
        assert set(await prometheus.metrics.read([CANARY, STABLE])) == {STABLE}
    assert [record.getMessage() for record in caplog.records] == [
        "not counted: pod c-0 of payments-api.casino is scraped twice",
        "not counted: two tallies count payments-api.casino/-/bbbbbbbbbbbb",
    ]


async def test_a_tally_that_makes_no_sense_is_its_own_problem(
    prometheus: FakePrometheus, caplog: pytest.LogCaptureFixture
) -> None:
    """Without honor_labels, Prometheus renames the tally's labels."""
    scrape_tally(prometheus, {STABLE: DEPOSITS})
    for each in prometheus.series:
        each["metric"].pop("pod", None)
    scrape_tally(prometheus, {CANARY: DEPOSITS}, instance="books:81")
    assert set(await prometheus.metrics.read([CANARY, STABLE])) == {CANARY}
    assert "the tally tally/books:80 makes no sense" in caplog.text


# --- what is no answer -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "status", "reason"),
    [
        ({"status": "error", "errorType": "bad_data", "error": "parse error"}, 400, "status 400: parse error"),
        ({"status": "error", "errorType": "timeout", "error": "query timed out"}, 503, "query timed out"),
        ("<html>bad gateway</html>", 502, "status 502: <html>"),
        ("<html>sign in</html>", 200, "does not give metrics"),
        ("", 200, "does not give metrics"),
        ([], 200, "no answer of a Prometheus"),
        ({}, 200, "no answer of a Prometheus"),
        ({"status": "success", "data": {"resultType": "matrix", "result": []}}, 200, "no vector"),
        (vector([{"metric": {}, "value": [0, "seven"]}]), 200, "does not give metrics"),
        (vector([{"metric": {}}]), 200, "no answer of a Prometheus"),
        (vector([], warnings=["store of region b did not answer"]), 200, "a part is missing: store of region b"),
    ],
)
async def test_anything_but_a_whole_vector_is_unreachable(
    prometheus: FakePrometheus, body: Any, status: int, reason: str
) -> None:
    prometheus.answer = Answer(body if isinstance(body, str) else json.dumps(body), status)
    with pytest.raises(Unreachable, match=reason):
        await prometheus.metrics.read([CANARY])


async def test_a_huge_answer_is_refused(prometheus: FakePrometheus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus_api, "LARGEST_BYTES", 1_000)
    prometheus.answer = Answer(" " * 2_000)
    with pytest.raises(Unreachable, match="more than 1000 bytes"):
        await prometheus.metrics.read([CANARY])


async def test_a_slow_answer_is_given_up(prometheus: FakePrometheus, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(adapter, "PATIENCE_SECONDS", 0.0)
    with pytest.raises(Unreachable, match="did not answer within 0 s"):
        await prometheus.metrics.read([CANARY])
    await asyncio.sleep(0)
