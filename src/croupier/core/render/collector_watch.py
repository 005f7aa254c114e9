"""Who sees that collectors lose spans: what the region's Prometheus scrapes, and when somebody is called (S9.2).

A trace that is not there looks like one that nobody kept. What collectors count of themselves tells the difference.
"""

from __future__ import annotations

from collections.abc import Iterator

from croupier.core.render.collector import METRICS_PORT, RECEIVER, SAMPLER
from croupier.core.render.resident_watch import (
    WINDOW,
    Alert,
    Scraped,
    group,
    missing,
    pod_monitor,
    rule,
    rules_object,
    scrape_job,
)
from croupier.model.objects import JsonObject
from croupier.model.platform import Region, Traces

_NAME = "collectors"


def watch(name: str, region: Region) -> list[JsonObject]:
    """A PodMonitor, and rules where somebody is to be called; nothing where no operator's Prometheus is there."""
    traces, prometheus = region.traces, region.prometheus
    if traces is None or prometheus is None or prometheus.form != "operator":
        return []
    made = [pod_monitor(_NAME, traces.namespace, _scraped(traces), prometheus.labels)]
    if groups := rule_groups(name, region):
        made.append(rules_object(_NAME, traces.namespace, groups, prometheus.labels))
    return made


def collector_job(traces: Traces) -> JsonObject:
    """The same for a Prometheus that reads files: a scrape job."""
    return scrape_job(_scraped(traces))


def rule_groups(name: str, region: Region) -> list[JsonObject]:
    """Rules on the collectors of region ``name``; nothing where nobody is to be called."""
    traces = region.traces
    if traces is None or traces.alerts is None:
        return []
    called = traces.alerts
    return group(f"{name}/{_NAME}", (rule(called, each, {"region": name}) for each in _alerts(name, traces)))


def _scraped(traces: Traces) -> Scraped:
    return Scraped("croupier-collectors", [traces.namespace], [RECEIVER, SAMPLER], METRICS_PORT)


def _alerts(region: str, traces: Traces) -> Iterator[Alert]:
    yield Alert(
        "SpansRefused",
        _grows(traces, "otelcol_receiver_refused_spans"),
        f"Collectors of {region} refuse spans",
        "{{ $value | humanize }} a second: memory is short, or the next tier takes none. SDKs send some again.",
    )
    failed = ("otelcol_exporter_send_failed_spans", "otelcol_exporter_enqueue_failed_spans")
    yield Alert(
        "SpansLost",
        "\nor\n".join(_grows(traces, each) for each in failed),
        f"Collectors of {region} lose spans",
        "{{ $value | humanize }} a second could not be handed on: what takes them is away, or too slow.",
    )
    yield Alert(
        "TracesCutShort",
        _grows(traces, "otelcol_processor_tail_sampling_sampling_trace_dropped_too_early"),
        f"Collectors of {region} drop traces before they are judged",
        "{{ $value | humanize }} a second: there are more of them than perSecond says.",
    )
    yield Alert(
        "CollectorsMissing",
        "\nor\n".join(missing(traces.namespace, tier) for tier in (RECEIVER, SAMPLER)),
        f"Collectors of {region} are not there, or cannot be scraped",
        f"No {RECEIVER} or no {SAMPLER} answers: traces are lost, and nobody counts how many.",
    )


def _grows(traces: Traces, counter: str) -> str:
    return f'sum(rate({counter}{{namespace="{traces.namespace}"}}[{WINDOW}])) > 0'
