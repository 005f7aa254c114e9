"""Who sees that a provider cannot be reached, or a gateway is full: what Envoy counts, and when somebody is called
(S8.9, S9.3).

A gateway sees connections, not calls: that a provider answers with errors, objectives on it tell
(``provider_watch.py``).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from croupier.core.render.egress import METRICS_PATH, METRICS_PORT
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
from croupier.core.render.slo import rate
from croupier.model.objects import JsonObject
from croupier.model.platform import Region
from croupier.model.providers import EGRESS_GATEWAY, ProviderClass, egress_namespace
from croupier.model.slo import Severity

PROVIDER = "provider"
"""Label of what Envoy counts of one provider."""
OPENED = "envoy_cluster_upstream_cx_total"
UNREACHED = "envoy_cluster_upstream_cx_connect_fail"
_TOLD = [
    {
        "source_labels": ["envoy_cluster_name"],
        "regex": "([a-z0-9-]+)_.+",
        "target_label": PROVIDER,
        "replacement": "$1",
    }
]
_MOST_UNREACHED = 0.5
"""Share of connections that fail: less may be one of a provider's addresses."""


def gateway_watch(name: str, kind: ProviderClass, region: Region) -> list[JsonObject]:
    """A PodMonitor, and rules where somebody is to be called; nothing where no operator's Prometheus is there."""
    prometheus, namespace = region.prometheus, egress_namespace(kind)
    if prometheus is None or prometheus.form != "operator":
        return []
    made = [pod_monitor(EGRESS_GATEWAY, namespace, _scraped([kind]), prometheus.labels)]
    if groups := gateway_rules(name, [kind], region):
        made.append(rules_object(EGRESS_GATEWAY, namespace, groups, prometheus.labels))
    return made


def gateway_job(kinds: Sequence[ProviderClass]) -> JsonObject:
    """The same for a Prometheus that reads files: a scrape job of all gateways of a region."""
    return scrape_job(_scraped(kinds))


def gateway_rules(name: str, kinds: Sequence[ProviderClass], region: Region) -> list[JsonObject]:
    """Rules on the gateways of region ``name``; nothing where nobody is to be called."""
    called = region.egress.alerts if region.egress is not None else None
    if called is None:
        return []
    return [
        made
        for kind in kinds
        for made in group(
            f"{name}/{egress_namespace(kind)}",
            (rule(called, each, {"region": name, "class": kind}) for each in _alerts(name, kind)),
        )
    ]


def counted(kind: ProviderClass, provider: str) -> tuple[str, str]:
    """Connections to ``provider`` a second over five minutes: all that gateways open, and those that fail."""
    chosen = {"namespace": egress_namespace(kind), PROVIDER: provider}
    return rate(OPENED, chosen), rate(UNREACHED, chosen)


def _scraped(kinds: Sequence[ProviderClass]) -> Scraped:
    namespaces = [egress_namespace(kind) for kind in kinds]
    return Scraped("croupier-egress", namespaces, [EGRESS_GATEWAY], METRICS_PORT, METRICS_PATH, _TOLD)


def _alerts(region: str, kind: ProviderClass) -> Iterator[Alert]:
    namespace = egress_namespace(kind)
    severity: Severity = "page" if kind == "psp" else "ticket"
    unreached, opened = (f"sum by ({PROVIDER}) ({_rate(namespace, each)})" for each in (UNREACHED, OPENED))
    yield Alert(
        "ProviderUnreachable",
        f"{unreached} / ({opened} > 0) > {_MOST_UNREACHED:g}",
        f"Provider {{{{ $labels.{PROVIDER} }}}} cannot be reached from {region}",
        "{{ $value | humanizePercentage }} of new connections fail: it is away, or does not let our addresses in.",
        severity,
    )
    refused = ("envoy_cluster_upstream_rq_pending_overflow", "envoy_cluster_upstream_cx_overflow")
    full = (f"sum by ({PROVIDER}) ({_rate(namespace, each)}) > 0" for each in refused)
    yield Alert(
        "EgressFull",
        "\nor\n".join(full),
        f"Calls to {{{{ $labels.{PROVIDER} }}}} find no connection left in {region}",
        "{{ $value | humanize }} a second wait or are refused: more are open than maxConnections says.",
    )
    yield Alert(
        "EgressGatewayMissing",
        missing(namespace, EGRESS_GATEWAY),
        f"The {kind} egress gateway of {region} is not there, or cannot be scraped",
        f"No pod of it answers: nobody reaches providers of class {kind}, or nobody counts it.",
        severity,
    )


def _rate(namespace: str, counter: str) -> str:
    return f'rate({counter}{{namespace="{namespace}",{PROVIDER}!=""}}[{WINDOW}])'
