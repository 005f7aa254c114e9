"""Counters over time by a user's selectors: what is absent is not zero, except failures that no series shows yet."""

from __future__ import annotations

import math
from typing import Any, cast

import pytest
from tests.support import quick_yaml
from tests.support.judged import SETTINGS

from croupier.adapters.metrics.prometheus_api import PrometheusApi, Ranged, read_matrix
from croupier.adapters.metrics.ranges import UNKNOWN_WEIGHT, RangedCounters, filled
from croupier.errors import Unreachable
from croupier.model.judge import JudgedService


class Api:
    """Answers a query by the first of its keys that stands in it."""

    def __init__(self, answers: dict[str, list[Ranged]]) -> None:
        self.answers = answers
        self.asked: list[str] = []

    async def matrix(self, query: str, begin: float, end: float, step_seconds: float) -> list[Ranged]:
        self.asked.append(query)
        return next((answer for part, answer in self.answers.items() if part in query), [])


def service(**changes: Any) -> JudgedService:
    return JudgedService.model_validate(quick_yaml.load(SETTINGS)["services"][0] | changes)


def counters(answers: dict[str, list[Ranged]]) -> tuple[RangedCounters, Api]:
    api = Api(answers)
    return RangedCounters(cast(PrometheusApi, api), pod_label="pod", scrape_seconds=15.0), api


def pod(name: str, *values: tuple[float, float]) -> Ranged:
    return Ranged({"pod": name}, values)


async def test_failures_without_a_series_are_none_where_they_are_part_of_the_same_metric() -> None:
    read, _ = counters(
        {'code=""': [], 'code=~"5.."': [], "primary": [pod("s", (0.0, 9.0))], "http_": [pod("c", (0.0, 7.0))]}
    )
    (sample,) = await read.read(service(), {}, 0.0, 0.0)
    assert sample.canary is not None
    assert sample.canary.series["errors"].events == {"c": (7.0, 0.0)}


async def test_a_total_without_the_label_that_tells_failures_is_no_total_without_failures() -> None:
    """A slip in the label, or a version that has another one: nothing would ever fail, and anything would pass."""
    stable = [pod("s", (0.0, 9.0))]
    read, api = counters({'code=~"5.."': [], "primary": stable, "http_": []})
    with pytest.raises(Unreachable, match=r"podinfo-primary-.*have the label code: nobody counts its failures"):
        await read.read(service(), {}, 0.0, 0.0)
    assert any('{namespace="test",pod=~"podinfo-primary-.+",code=""}' in query for query in api.asked)


async def test_a_version_that_counts_by_another_label_is_found_out_after_others_that_did_not() -> None:
    """Selectors without ``$canary`` are the same for all releases: what was true of the last one is asked again."""
    usual = {'code=~"5.."': [], "primary": [pod("s", (0.0, 9.0))], "http_": [pod("c", (0.0, 7.0))]}
    read, api = counters({'code=""': [], **usual})
    await read.read(service(), {}, 0.0, 0.0)
    api.answers = {'0-9a-f]+-.+",code=""': [pod("c", (0.0, 7.0))], 'code=""': [], **usual}
    with pytest.raises(Unreachable, match="nobody counts its failures"):
        await read.read(service(), {}, 0.0, 0.0)


async def test_a_pod_that_counts_by_another_label_as_well_is_one_whose_failures_are_not_known() -> None:
    """Its own page of health goes on counting by the old one, and everything else has no failures."""
    both = [pod("c", (0.0, 7.0)), pod("d", (0.0, 7.0))]
    read, _ = counters(
        {
            '0-9a-f]+-.+",code=""': [pod("d", (0.0, 6.0))],
            'code=""': [],
            'code=~"5.."': [pod("c", (0.0, 1.0))],
            "http_": both,
        }
    )
    (sample,) = await read.read(service(), {}, 0.0, 0.0)
    assert sample.canary is not None
    assert sample.canary.series["errors"].events["c"] == (7.0, 1.0)
    assert math.isnan(sample.canary.series["errors"].events["d"].bad)


async def test_an_arm_of_which_nothing_is_there_yet_is_not_asked_for_labels() -> None:
    read, _ = counters({})
    (sample,) = await read.read(service(), {}, 0.0, 0.0)
    assert sample.canary is None


async def test_failures_of_another_metric_that_is_absent_are_not_known() -> None:
    arm = {"total": "tries_total", "bad": "failures_total"}
    signals = [{"signal": "errors", "canary": arm, "stable": arm}]
    read, _ = counters({"failures_total": [], "tries_total": [pod("c", (0.0, 7.0))]})
    (sample,) = await read.read(service(signals=signals), {}, 0.0, 0.0)
    assert sample.canary is not None
    assert math.isnan(sample.canary.series["errors"].events["c"].bad)


async def test_a_moment_without_an_arm_is_none_and_every_moment_of_the_grid_is_told() -> None:
    read, api = counters(
        {
            'code=""': [],
            "primary": [pod("s", (0.0, 1.0), (15.0, 2.0), (30.0, 3.0))],
            "http_": [pod("c", (30.0, 1.0))],
        }
    )
    found = await read.read(service(), {}, 0.0, 30.0)
    assert [(sample.at, sample.canary is None, sample.stable is None) for sample in found] == [
        (0.0, True, False),
        (15.0, True, False),
        (30.0, False, False),
    ]
    assert all("time() - 45" in query for query in api.asked if "sum by (pod)" in query)


async def test_the_weight_is_what_the_gauge_says_or_little_and_never_a_guess_among_two() -> None:
    gauge = [Ranged({}, ((0.0, 25.0),))]
    read, _ = counters({"flagger_canary_weight": gauge})
    weights = [sample.weight for sample in await read.read(service(), {}, 0.0, 15.0)]
    assert weights == [25, UNKNOWN_WEIGHT]
    read, _ = counters({"flagger_canary_weight": gauge * 2})
    with pytest.raises(Unreachable, match="told 2 times"):
        await read.read(service(), {}, 0.0, 0.0)


def test_names_fill_a_selector() -> None:
    assert (
        filled('a{p=~"x-$canary-.+",le="$edge"}', {"canary": "7bf8", "edge": "0.25"}) == 'a{p=~"x-7bf8-.+",le="0.25"}'
    )


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"status":"success","data":{"resultType":"vector","result":[]}}']
)
def test_anything_but_a_matrix_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        read_matrix(body)


def by_provider() -> JudgedService:
    gate = {"signal": "deposits", "role": "required", "margin": {"points": 2.0}}
    gate["strata"] = [{"by": "provider", "of": ["psp-a", "psp-b"]}]
    arms = {
        arm: {"total": f'deposits_total{{arm="{arm}"}}', "bad": f'deposits_total{{arm="{arm}",ok="no"}}'}
        for arm in ("canary", "stable")
    }
    signal = {"signal": "deposits", "strata": {"provider": "psp"}, **arms}
    return service(policy={"gates": [gate]}, signals=[signal])


def through(psp: str, *values: tuple[float, float]) -> Ranged:
    return Ranged({"pod": "c", "psp": psp}, values)


async def test_declared_providers_are_summed_by_their_label_and_others_left_out() -> None:
    read, _ = counters(
        {
            'sum by (pod, psp) (deposits_total{arm="canary",ok="no"}': [through("psp-b", (0.0, 2.0))],
            'sum by (pod, psp) (deposits_total{arm="canary"}': [
                through("psp-a", (0.0, 40.0)),
                through("psp-b", (0.0, 5.0)),
                through("psp-z", (0.0, 1.0)),
            ],
            'sum by (pod) (deposits_total{arm="canary",ok="no"}': [pod("c", (0.0, 2.0))],
            'sum by (pod) (deposits_total{arm="canary"}': [pod("c", (0.0, 46.0))],
        }
    )
    (sample,) = await read.read(by_provider(), {}, 0.0, 0.0)
    assert sample.canary is not None
    assert {name: counts.events["c"] for name, counts in sample.canary.series.items()} == {
        "deposits": (46.0, 2.0),
        "deposits:provider=psp-a": (40.0, 0.0),
        "deposits:provider=psp-b": (5.0, 2.0),
    }
