"""What a pod's page counts is counted; what it does not count is missing, never zero (S9.7)."""

from __future__ import annotations

import math

import pytest
from prometheus_client.samples import Sample as Reading

from croupier.adapters.metrics.requests import by_series, count_requests
from croupier.model.evidence import Count


def reading(name: str, value: float, **labels: str) -> Reading:
    return Reading(name, labels, value)


def test_errors_are_answers_from_500_on() -> None:
    codes = {"200": 90.0, "404": 5.0, "500": 3.0, "503": 2.0}
    page = [reading("http_requests_total", value, code=code) for code, value in codes.items()]
    assert count_requests(page) == {"errors": Count(100.0, 5.0)}


def test_classes_of_statuses_are_statuses_and_so_is_that_of_who_did_not_wait() -> None:
    codes = {"2xx": 90.0, "5XX": 3.0, "0": 2.0, "499": 1.0}
    page = [reading("http_requests_total", value, code=code) for code, value in codes.items()]
    assert count_requests(page) == {"errors": Count(96.0, 3.0)}


def test_a_page_without_requests_says_nothing_about_errors() -> None:
    assert count_requests([reading("process_cpu_seconds_total", 1.0)]) == {}


@pytest.mark.parametrize("labels", [{}, {"status": "500"}, {"code": ""}, {"code": "Unavailable"}, {"code": "13"}])
def test_requests_without_a_status_are_no_requests_without_failures(labels: dict[str, str]) -> None:
    """Else a version that counts by another label could fail all it likes and would pass."""
    found = count_requests(
        [reading("http_requests_total", 7.0, code="200"), Reading("http_requests_total", labels, 9.0)]
    )
    assert found["errors"].total == 16.0
    assert math.isnan(found["errors"].bad)


def test_latency_counts_what_is_slower_than_each_edge() -> None:
    page = [
        reading("http_request_duration_seconds_bucket", value, le=le)
        for le, value in (("0.1", 70.0), ("0.25", 95.0), ("+Inf", 100.0))
    ]
    assert count_requests(page) == {"latency:0.1": Count(100.0, 30.0), "latency:0.25": Count(100.0, 5.0)}


def test_edges_without_a_count_of_all_are_unknown() -> None:
    found = count_requests([reading("http_request_duration_seconds_bucket", 3.0, le="0.1")])
    assert math.isnan(found["latency:0.1"].total)


def test_a_pod_without_an_answer_is_absent_and_one_that_nobody_has_asked_anything_is_no_part_of_the_series() -> None:
    found = by_series({"busy": {"errors": Count(9.0, 1.0)}, "idle": {}, "silent": None})
    events = found["errors"].events
    assert events.keys() == {"busy", "silent"}
    assert math.isnan(events["silent"].total)
    assert by_series({"idle": {}, "silent": None}) == {}
