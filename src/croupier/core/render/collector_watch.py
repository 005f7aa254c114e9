"""Who sees that collectors lose spans: what the region's Prometheus scrapes, and when somebody is called (S9.2).

A trace that is not there looks like one that nobody kept. What collectors count of themselves tells the difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from croupier.core.render.alerts import anchor
from croupier.core.render.collector import METRICS_PORT, RECEIVER, SAMPLER
from croupier.core.render.names import APP, MANAGED_BY
from croupier.core.render.slo import INTERVAL_SECONDS, SERVICE_LABEL
from croupier.model.monitoring import OnCall
from croupier.model.objects import JsonObject
from croupier.model.platform import Region, Traces

_API = "monitoring.coreos.com/v1"
_NAME = "collectors"
_SCRAPED = "30s"
_LASTING = "5m"
_WINDOW = "5m"


class _Alert(NamedTuple):
    name: str
    expression: str
    summary: str
    """What collectors do, after their name."""
    description: str


def watch(name: str, region: Region) -> list[JsonObject]:
    """A PodMonitor, and rules where somebody is to be called; nothing where no operator's Prometheus is there."""
    traces, prometheus = region.traces, region.prometheus
    if traces is None or prometheus is None or prometheus.form != "operator":
        return []
    tiers = {"key": APP, "operator": "In", "values": [RECEIVER, SAMPLER]}
    monitor = {
        "selector": {"matchExpressions": [tiers]},
        "podTargetLabels": [APP],
        "podMetricsEndpoints": [{"port": "metrics", "interval": _SCRAPED}],
    }
    made = [_object(traces, "PodMonitor", monitor, prometheus.labels)]
    if groups := rule_groups(name, region):
        made.append(_object(traces, "PrometheusRule", {"groups": groups}, prometheus.labels))
    return made


def collector_job(traces: Traces) -> JsonObject:
    """The same for a Prometheus that reads files: a scrape job."""
    meta = "__meta_kubernetes"
    copied = {
        f"{meta}_namespace": "namespace",
        f"{meta}_pod_name": "pod",
        f"{meta}_pod_label_{SERVICE_LABEL}": SERVICE_LABEL,
    }
    tiers = {"source_labels": [f"{meta}_pod_label_{SERVICE_LABEL}"], "regex": f"{RECEIVER}|{SAMPLER}"}
    port = {"source_labels": [f"{meta}_pod_container_port_number"], "regex": str(METRICS_PORT)}
    return {
        "job_name": "croupier-collectors",
        "scrape_interval": _SCRAPED,
        "kubernetes_sd_configs": [{"role": "pod", "namespaces": {"names": [traces.namespace]}}],
        "relabel_configs": [
            {**tiers, "action": "keep"},
            {**port, "action": "keep"},
            *({"source_labels": [source], "target_label": target} for source, target in copied.items()),
        ],
    }


def rule_groups(name: str, region: Region) -> list[JsonObject]:
    """Rules on the collectors of region ``name``; nothing where nobody is to be called."""
    traces = region.traces
    if traces is None or traces.alerts is None:
        return []
    rules = [_rule(name, traces.alerts, each) for each in _alerts(traces)]
    return [{"name": f"{name}/{_NAME}", "interval": f"{INTERVAL_SECONDS}s", "rules": rules}]


def _alerts(traces: Traces) -> Iterator[_Alert]:
    yield _Alert(
        "SpansRefused",
        _grows(traces, "otelcol_receiver_refused_spans"),
        "refuse spans",
        "{{ $value | humanize }} a second: memory is short, or the next tier takes none. SDKs send some again.",
    )
    failed = ("otelcol_exporter_send_failed_spans", "otelcol_exporter_enqueue_failed_spans")
    yield _Alert(
        "SpansLost",
        "\nor\n".join(_grows(traces, each) for each in failed),
        "lose spans",
        "{{ $value | humanize }} a second could not be handed on: what takes them is away, or too slow.",
    )
    yield _Alert(
        "TracesCutShort",
        _grows(traces, "otelcol_processor_tail_sampling_sampling_trace_dropped_too_early"),
        "drop traces before they are judged",
        "{{ $value | humanize }} a second: there are more of them than perSecond says.",
    )
    up = (f'absent(up{{namespace="{traces.namespace}",{SERVICE_LABEL}="{tier}"}} == 1)' for tier in (RECEIVER, SAMPLER))
    yield _Alert(
        "CollectorsMissing",
        "\nor\n".join(up),
        "are not there, or cannot be scraped",
        f"No {RECEIVER} or no {SAMPLER} answers: traces are lost, and nobody counts how many.",
    )


def _grows(traces: Traces, counter: str) -> str:
    return f'sum(rate({counter}{{namespace="{traces.namespace}"}}[{_WINDOW}])) > 0'


def _rule(region: str, called: OnCall, alert: _Alert) -> JsonObject:
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": _LASTING,
        "labels": {"region": region, "severity": "ticket", "team": called.team},
        "annotations": {
            "summary": f"Collectors of {region} {alert.summary}",
            "description": alert.description,
            "runbook_url": f"{called.runbook}#{anchor(alert.name)}",
        },
    }


def _object(traces: Traces, kind: str, spec: JsonObject, labels: dict[str, str]) -> JsonObject:
    metadata = {"name": _NAME, "namespace": traces.namespace, "labels": {**MANAGED_BY, **labels}}
    return {"apiVersion": _API, "kind": kind, "metadata": metadata, "spec": spec}
