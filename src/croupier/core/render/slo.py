"""What is recorded of each objective: how many events there were, how many failed, and the share over each window.

Raw counters are read once, over five minutes; longer windows are averages of what was recorded of that, failures over
events, so that a quiet hour weighs as little as it had events. Failures and events of one moment are recorded in one
group, one after the other, so they fit each other.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.service import TIMED, Objective, Promised
from croupier.model.service_spec import ServiceSpec
from croupier.model.slo import BASE, LATENCY_QUANTILE, WINDOWS

INTERVAL_SECONDS = 60
"""How often rules are evaluated."""
SERVICE_LABEL = "app_kubernetes_io_name"
"""Label of what pods count: what Prometheus makes of the pods' own label, whoever releases them."""
EVENTS = "croupier:slo_events:rate5m"
FAILURES = "croupier:slo_failures:rate5m"
RECENT = "croupier:slo_events:increase15m"
EXPECTED = "croupier:slo_events:expected15m"
OBJECTIVE = "croupier:slo_objective:ratio"


HISTOGRAMS: Mapping[Promised, str] = {
    "latency": "http_request_duration_seconds",
    "roundTrips": "websocket_round_trip_seconds",
}
"""Of pods: what takes time, by what an objective calls it."""


class Series:
    """What is recorded of one objective. ``target``: share of good events, 0-1. ``found_by``: labels that tell it from
    others."""

    target: float
    found_by: ClassVar[tuple[str, ...]]

    @property
    def budget(self) -> float:
        """Share of events that may fail."""
        return 1 - self.target

    @cached_property
    def labels(self) -> dict[str, str]:
        """Of what is recorded, and of every alert."""
        raise NotImplementedError

    def recorded(self, name: str, window: str = "") -> str:
        """A recorded series of this objective, as a selector."""
        return f"{name}{self._selector}[{window}]" if window else f"{name}{self._selector}"

    @cached_property
    def _selector(self) -> str:
        return matchers({each: self.labels[each] for each in self.found_by})

    def share(self, window: str) -> str:
        """Selector of the share of events that failed in a window."""
        return self.recorded(share_name(window))

    def summed(self, name: str, window: str) -> str:
        """How many there were in a window, of what is recorded as a rate."""
        return f"sum_over_time({self.recorded(name, window)}) * {INTERVAL_SECONDS}"


@dataclass(frozen=True)
class Slo(Series):
    """One objective of one service in one cell."""

    found_by = ("cell", "service", "slo")
    placed: PlacedCell
    service: ServiceSpec
    signal: Promised
    target: float
    slow_seconds: float | None
    """Bound of an objective on what takes time; None for the others."""

    @cached_property
    def labels(self) -> dict[str, str]:
        cell = self.placed.cell
        return {
            "brand": cell.brand,
            "cell": cell.name,
            "market": cell.market,
            "region": cell.region,
            "service": self.service.name,
            "slo": self.signal,
            "tier": self.service.tier,
        }


def share_name(window: str) -> str:
    return f"croupier:slo_failures:ratio_rate{window}"


def slos(placed: PlacedCell, service: ServiceSpec) -> Iterator[Slo]:
    """The objectives of a service, in their order."""
    for each in service.objectives:
        yield Slo(placed, service, each.signal, _target(each), each.p95_seconds)


def recordings(slo: Series, events: str, failures: str) -> Iterator[JsonObject]:
    """Recording rules of one objective, in an order in which each finds what it reads.

    ``events``, ``failures``: a second over five minutes, from raw counters.
    """
    yield {**_rule(EVENTS, events), "labels": slo.labels}
    yield {**_rule(FAILURES, failures), "labels": slo.labels}
    yield {**_rule(OBJECTIVE, f"vector({slo.target:.10g})"), "labels": slo.labels}
    yield _rule(RECENT, slo.summed(EVENTS, "15m"))
    yesterday, last_week = (f"{slo.recorded(RECENT)} offset {ago}" for ago in ("1d", "1w"))
    yield _rule(EXPECTED, f"({yesterday} <= {last_week}) or ({last_week} <= {yesterday})")
    for window in WINDOWS:
        failed, all_ = (
            slo.recorded(name) if window == BASE else f"avg_over_time({slo.recorded(name, window)})"
            for name in (FAILURES, EVENTS)
        )
        yield _rule(share_name(window), f"{failed} / ({all_} > 0)")


def counted(slo: Slo) -> tuple[str, str]:
    """Events and failures a second over five minutes, from raw counters."""
    namespace, service = slo.placed.cell.namespace, slo.service.name
    pods = {"namespace": namespace, SERVICE_LABEL: service}
    if slo.signal in TIMED:
        assert slo.slow_seconds is not None
        bucket = f"{HISTOGRAMS[slo.signal]}_bucket"
        every = rate(bucket, pods, 'le="+Inf"')
        return every, f"clamp_min({every} - {rate(bucket, pods, edge(slo.slow_seconds))}, 0)"
    if slo.signal == "errors":
        every = rate("http_requests_total", pods)
        # Where nothing has ever failed there is no series of failures: that is none, not unknown.
        failed = rate("http_requests_total", pods, 'code=~"5.."')
        return every, f"{failed} or 0 * {every}"
    arms = {"service": f"{service}.{namespace}", "signal": slo.signal}
    return rate("croupier_signal_attempts_total", arms), rate("croupier_signal_failures_total", arms)


def edge(seconds: float) -> str:
    """Matcher of a bucket: some clients write a whole number as 1, others as 1.0."""
    text = f"{seconds:g}"
    return f'le=~"{text}|{text}\\\\.0"' if seconds == int(seconds) else f'le="{text}"'


def edges(bounds: tuple[float, ...]) -> str:
    """Regular expression of the buckets that are kept, the one of all events among them."""
    return "|".join([*(re.escape(f"{each:g}") + ("(\\.0)?" if each == int(each) else "") for each in bounds), "\\+Inf"])


def _target(objective: Objective) -> float:
    return LATENCY_QUANTILE if objective.success_ratio is None else objective.success_ratio


def rate(name: str, labels: dict[str, str], more: str = "") -> str:
    """What a counter grows by a second, summed."""
    return f"sum(rate({name}{matchers(labels, more)}[{BASE}]))"


def matchers(labels: dict[str, str], more: str = "") -> str:
    return "{" + ",".join([*(f'{key}="{value}"' for key, value in labels.items()), *([more] if more else [])]) + "}"


def _rule(name: str, expression: str) -> JsonObject:
    """What reads recorded series has their labels by itself."""
    return {"record": name, "expr": expression}
