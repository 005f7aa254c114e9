"""Whether what is promised can be watched: somebody is called, somebody counts, a Prometheus can hold it (S9, S15)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from croupier.model.monitoring import Monitoring
from croupier.model.platform import PlacedCell
from croupier.model.service import OF_PODS
from croupier.model.service_spec import ServiceSpec
from croupier.model.slo import ALERTED, RECORDED
from croupier.spec.load import Flaw

VERSIONS = 2
"""Through a release the old version keeps its pods beside the new one's."""
_OF_A_TALLY = 10
"""Series that a tally shows of a signal for each pod: four counters, two of the spread, and how attempts ended."""
_MOST_TOLD = 3


def watch_flaws(service: ServiceSpec) -> Iterator[Flaw]:
    """What keeps a Prometheus from watching the objectives of ``service``. Locations are paths in it."""
    metrics = service.release.metrics
    if service.objectives and service.alerts is None:
        hint = "give alerts: {team: …, runbook: …}, under defaults for all"
        yield Flaw(
            ("objectives",), "ALERTS", "objectives are promised, and nobody is called when they are missed", hint
        )
    for number, objective in enumerate(service.objectives):
        at, signal = ("objectives", number), objective.signal
        if signal not in OF_PODS and metrics.tally is None:
            yield Flaw(at, "ALERTS", f"nobody counts {signal}", "give the address of the tally: release.metrics.tally")
        if signal in OF_PODS and metrics.pods is None:
            yield Flaw(at, "ALERTS", f"nobody counts {signal}", "give release.metrics.pods: where pods show counters")
        bound, edges = objective.p95_seconds, service.metrics.latency_buckets
        if signal == "latency" and bound is not None and bound not in edges:
            known = ", ".join(f"{edge:g}" for edge in edges)
            message = f"no bucket ends at {bound:g} s, so nobody can tell which requests are slower"
            yield Flaw(
                at, "BUCKET", message, f"metrics.latencyBuckets has {known}: add it, and to the service's histogram"
            )


def series_of(service: ServiceSpec) -> int:
    """Most series that one service in one cell comes to: pods of two versions, tally, rules."""
    pods = VERSIONS * (service.scaling.max if service.scaling else service.replicas)
    scraped = pods * service.metrics.series_per_pod if service.release.metrics.pods else 0
    tallied = 0
    for objective in service.objectives:
        if objective.signal not in OF_PODS:
            parts = 1 + sum(1 + len(each.of) for each in objective.strata)
            tallied += pods * _OF_A_TALLY * parts
    return scraped + tallied + len(service.objectives) * (RECORDED + ALERTED)


def budget_flaw(region: str, prometheus: Monitoring, cells: Iterable[PlacedCell]) -> Flaw | None:
    """Why the Prometheus of a region could not hold what is declared; None: it can. The location is in the region."""
    parts = sorted(
        (
            (series_of(service), f"{service.name} in {placed.cell.name}")
            for placed in cells
            for service in placed.services
        ),
        key=lambda part: (-part[0], part[1]),
    )
    total = sum(count for count, _ in parts)
    if total <= prometheus.series_budget:
        return None
    largest = ", ".join(f"{count:,} of {who}" for count, who in parts[:_MOST_TOLD])
    return Flaw(
        ("prometheus",),
        "SERIES",
        f"up to {total:,} series in {region}, and seriesBudget is {prometheus.series_budget:,}: {largest}",
        "lower metrics.seriesPerPod or scaling.max, or give that Prometheus more memory and a larger seriesBudget",
    )
