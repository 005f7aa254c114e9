"""Whether what is promised can be watched: somebody is called, somebody counts, a Prometheus can hold it (S9, S15)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from croupier.model.monitoring import Monitoring
from croupier.model.platform import PlacedCell
from croupier.model.service import OF_PODS
from croupier.model.service_spec import ServiceSpec
from croupier.model.slo import ALERTED, OF_RESOURCES, RECORDED
from croupier.model.store import is_kafka, is_mysql, is_postgres, is_redis, stores_of
from croupier.spec.load import Flaw

VERSIONS = 2
"""Through a release the old version keeps its pods beside the new one's."""
_OF_A_TALLY = 10
"""Series that a tally shows of a signal for each pod: four counters, two of the spread, and how attempts ended."""
_MOST_TOLD = 3
_OF_A_DATABASE, _OF_A_POOLER, _OF_A_REDIS, _OF_A_BROKER, _OF_TOPICS = 1000, 300, 400, 2000, 100
"""Series that are allowed for a pod of each kind, and for a topic: what exporters show without queries of your own."""
_OF_A_GATEWAY, _OF_AN_ENDPOINT = 200, 150
"""The same of a pod of an egress gateway, and more for each endpoint of a provider that it reaches."""
_OF_A_COLLECTOR = 300


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


def series_of(service: ServiceSpec, *, with_resources: bool = False) -> int:
    """Most series that one service in one cell comes to: pods of two versions, tally, rules.

    ``with_resources``: what its pods use is recorded, too.
    """
    pods = VERSIONS * (service.scaling.max if service.scaling else service.replicas)
    scraped = pods * service.metrics.series_per_pod if service.release.metrics.pods else 0
    tallied = 0
    for objective in service.objectives:
        if objective.signal not in OF_PODS:
            parts = 1 + sum(1 + len(each.of) for each in objective.strata)
            tallied += pods * _OF_A_TALLY * parts
    used = OF_RESOURCES if with_resources else 0
    return scraped + tallied + used + len(service.objectives) * (RECORDED + ALERTED)


def stores_series(placed: PlacedCell) -> Iterator[tuple[int, str]]:
    """About how many series each store comes to that ``placed`` renders, and whose."""
    stands = placed.region.stores
    for store in stores_of(placed):
        count = 0
        if is_postgres(store):
            pooler = store.engine.pooler
            count = store.engine.instances * _OF_A_DATABASE + (pooler.instances * _OF_A_POOLER if pooler else 0)
        elif is_mysql(store):
            count = store.engine.instances * _OF_A_DATABASE
        elif is_redis(store) and stands is not None and stands.redis is not None and stands.redis.exporter is not None:
            count = store.engine.primaries * store.engine.instances * _OF_A_REDIS
        elif is_kafka(store):
            count = store.engine.pods * _OF_A_BROKER + len(store.engine.topics) * _OF_TOPICS
        if count:
            yield count, f"store {store.name} in {placed.cell.name}"


def shared_series(region: str, cells: Sequence[PlacedCell]) -> Iterator[tuple[int, str]]:
    """The same of what a region has once: egress gateways, and collectors."""
    held = cells[0].region
    providers = {name: each for placed in cells for name, each in placed.providers.items()}
    if held.egress is not None and providers:
        for kind in sorted({each.kind for each in providers.values()}):
            ends = sum(len(each.endpoints) for each in providers.values() if each.kind == kind)
            count = held.egress.replicas * (_OF_A_GATEWAY + ends * _OF_AN_ENDPOINT)
            yield count, f"the {kind} egress gateway of {region}"
    if held.traces is not None:
        yield (held.traces.receivers + held.traces.samplers) * _OF_A_COLLECTOR, f"collectors of {region}"


def budget_flaw(region: str, prometheus: Monitoring, cells: Iterable[PlacedCell]) -> Flaw | None:
    """Why the Prometheus of a region could not hold what is declared; None: it can. The location is in the region."""
    here = list(cells)
    parts = [
        (series_of(service, with_resources=prometheus.resources), f"{service.name} in {placed.cell.name}")
        for placed in here
        for service in placed.services
    ]
    parts += [*(each for placed in here for each in stores_series(placed)), *shared_series(region, here)]
    parts.sort(key=lambda part: (-part[0], part[1]))
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
