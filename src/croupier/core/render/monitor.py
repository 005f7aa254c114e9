"""What a Prometheus shall scrape: pods of every version by the labels of a version, and tallies (S9.3).

Of the histogram of requests only the edges are kept that objectives and gates read, and a page that is larger than the
service says is refused: what is declared is what the budget of series was computed from.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from urllib.parse import urlsplit

from croupier.core.render.collector_watch import collector_job
from croupier.core.render.egress_watch import gateway_job
from croupier.core.render.engines import COPIED, PORTS
from croupier.core.render.names import APP, MANAGED_BY, of_service, selector
from croupier.core.render.slo import edges
from croupier.core.render.version import POLICY_LABEL, VERSION_LABEL
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell, Region
from croupier.model.service_spec import ServiceSpec

_BUCKET = "http_request_duration_seconds_bucket"
_DROP = "__tmp_drop"
_COPIED = (APP, POLICY_LABEL, VERSION_LABEL)
"""Labels of pods: rules go by the service, gates by policy and version."""


def pod_monitor(placed: PlacedCell, service: ServiceSpec) -> list[JsonObject]:
    """Nothing where pods show no counters, or their Prometheus is not an operator's."""
    pods, prometheus = service.release.metrics.pods, placed.region.prometheus
    if pods is None or prometheus is None or prometheus.form != "operator":
        return []
    named = next(({"port": each.name} for each in service.ports if each.port == pods.port), {"portNumber": pods.port})
    endpoint = {
        **named,
        "path": pods.path,
        "interval": _seconds(service.release.strategy.scrape_seconds),
        "metricRelabelings": [
            {_camel(key): value for key, value in each.items()} for each in _kept(service.metrics.latency_buckets)
        ],
    }
    spec = {
        "selector": selector(service.name),
        "podTargetLabels": list(_COPIED),
        "sampleLimit": service.metrics.series_per_pod,
        "podMetricsEndpoints": [endpoint],
    }
    made = of_service(placed.cell, service, "monitoring.coreos.com/v1", "PodMonitor", {"spec": spec})
    made["metadata"]["labels"] |= prometheus.labels
    return [made]


def tally_scrapes(region: Region, cells: Iterable[PlacedCell]) -> list[JsonObject]:
    """A ScrapeConfig a tally, in the namespace of the region's Prometheus."""
    prometheus = region.prometheus
    if prometheus is None or prometheus.form != "operator":
        return []
    made = []
    for number, (url, seconds) in enumerate(_tallies(cells)):
        address = urlsplit(url)
        metadata = {
            "name": f"croupier-tally-{number}",
            "namespace": region.monitoring_namespace,
            "labels": {**MANAGED_BY, **prometheus.labels},
        }
        spec = {
            "scheme": address.scheme.upper(),
            "metricsPath": address.path or "/",
            "honorLabels": True,
            "scrapeInterval": _seconds(seconds),
            "staticConfigs": [{"targets": [_target(url)]}],
        }
        kind = {"apiVersion": "monitoring.coreos.com/v1alpha1", "kind": "ScrapeConfig"}
        made.append({**kind, "metadata": metadata, "spec": spec})
    return made


def scrape_jobs(cells: Iterable[PlacedCell], data_namespaces: Collection[str] = ()) -> JsonObject:
    """The same for a Prometheus that reads files: ``scrape_configs`` of a region, whose cells are ``cells``.

    ``data_namespaces``: where stores are that are rendered there.
    """
    here = list(cells)
    alike: dict[tuple[int, str, float, tuple[float, ...], int], list[tuple[str, str]]] = {}
    for placed in here:
        for service in placed.services:
            pods, said = service.release.metrics.pods, service.metrics
            if pods is not None:
                seconds = service.release.strategy.scrape_seconds
                key = (pods.port, pods.path, seconds, said.latency_buckets, said.series_per_pod)
                alike.setdefault(key, []).append((placed.cell.namespace, service.name))
    jobs = [_pod_job(number, key, of) for number, (key, of) in enumerate(sorted(alike.items()))]
    stores = [_store_job(data_namespaces)] if data_namespaces else []
    traces = here[0].region.traces
    collectors = [collector_job(traces)] if traces is not None else []
    kinds = sorted({each.kind for placed in here for each in placed.providers.values()})
    gateways = [gateway_job(kinds)] if kinds and here[0].region.egress is not None else []
    tallies = (_tally_job(*each) for each in enumerate(_tallies(here)))
    return {"scrape_configs": [*jobs, *tallies, *stores, *collectors, *gateways]}


def _pod_job(
    number: int, alike: tuple[int, str, float, tuple[float, ...], int], of: list[tuple[str, str]]
) -> JsonObject:
    port, path, seconds, bounds, limit = alike
    meta = "__meta_kubernetes"
    copied = {f"{meta}_namespace": "namespace", f"{meta}_pod_name": "pod"}
    copied |= {f"{meta}_pod_label_{sanitized(label)}": sanitized(label) for label in _COPIED}
    which = "|".join(f"{namespace};{service}" for namespace, service in sorted(of))
    return {
        "job_name": f"croupier-pods-{number}",
        "scrape_interval": _seconds(seconds),
        "metrics_path": path,
        "sample_limit": limit,
        "kubernetes_sd_configs": [{"role": "pod", "namespaces": {"names": sorted({namespace for namespace, _ in of})}}],
        "relabel_configs": [
            {
                "source_labels": [f"{meta}_namespace", f"{meta}_pod_label_{sanitized(APP)}"],
                "regex": which,
                "action": "keep",
            },
            {"source_labels": [f"{meta}_pod_container_port_number"], "regex": str(port), "action": "keep"},
            *({"source_labels": [source], "target_label": target} for source, target in copied.items()),
        ],
        "metric_relabel_configs": list(_kept(bounds)),
    }


def _store_job(namespaces: Collection[str]) -> JsonObject:
    """Stores and poolers, by the port that their operator gives what they count."""
    meta = "__meta_kubernetes"
    copied = {f"{meta}_namespace": "namespace", f"{meta}_pod_name": "pod"}
    copied |= {f"{meta}_pod_label_{sanitized(label)}": sanitized(label) for label in COPIED}
    return {
        "job_name": "croupier-stores",
        "scrape_interval": "30s",
        "kubernetes_sd_configs": [{"role": "pod", "namespaces": {"names": sorted(namespaces)}}],
        "relabel_configs": [
            {"source_labels": [f"{meta}_pod_container_port_name"], "regex": "|".join(PORTS), "action": "keep"},
            *({"source_labels": [source], "target_label": target} for source, target in copied.items()),
        ],
    }


def _tally_job(number: int, tally: tuple[str, float]) -> JsonObject:
    url, seconds = tally
    address = urlsplit(url)
    return {
        "job_name": f"croupier-tally-{number}",
        "scrape_interval": _seconds(seconds),
        "scheme": address.scheme,
        "metrics_path": address.path or "/",
        "honor_labels": True,
        "static_configs": [{"targets": [_target(url)]}],
    }


def _tallies(cells: Iterable[PlacedCell]) -> list[tuple[str, float]]:
    """Each tally once, with the shortest interval that anybody wants."""
    found: dict[str, float] = {}
    for placed in cells:
        for service in placed.services:
            url, seconds = service.release.metrics.tally, service.release.strategy.scrape_seconds
            if url is not None:
                found[url] = min(seconds, found.get(url, seconds))
    return sorted(found.items())


def _kept(bounds: tuple[float, ...]) -> Iterator[JsonObject]:
    """Drop buckets that nobody reads. RE2 knows no "not", so what is kept is unmarked again."""
    yield {"source_labels": ["__name__"], "regex": _BUCKET, "target_label": _DROP, "replacement": "yes"}
    known = f"{_BUCKET};({edges(bounds)})"
    yield {"source_labels": ["__name__", "le"], "regex": known, "target_label": _DROP, "replacement": ""}
    yield {"source_labels": [_DROP], "regex": "yes", "action": "drop"}


def _target(url: str) -> str:
    address = urlsplit(url)
    return f"{address.hostname}:{address.port or (443 if address.scheme == 'https' else 80)}"


def _seconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms" if seconds != int(seconds) else f"{int(seconds)}s"


def sanitized(label: str) -> str:
    return label.replace(".", "_").replace("/", "_")


def _camel(key: str) -> str:
    first, *rest = key.split("_")
    return first + "".join(map(str.capitalize, rest))
