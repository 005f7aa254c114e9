"""What is recorded of each provider in a region, and when somebody is called because it fails (S9.4, S15.7).

Deposits and other outcomes are what tallies count for a provider by its name; connections are what egress gateways
count. All services of a region that call it are counted together: it is the provider that is judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from croupier.core.render.alerts import burning
from croupier.core.render.egress_watch import counted
from croupier.core.render.resident_watch import Alert, group, rule, rules_object
from croupier.core.render.slo import FAILURES, Series, rate, recordings
from croupier.model.monitoring import OnCall
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.providers import Provider, ProviderSignal

MINIMUM_FAILURES = 5
"""Fewer in the long window call nobody."""
_NAME = "providers"


@dataclass(frozen=True)
class ProviderSlo(Series):
    """One objective of one provider, as a region meets it."""

    found_by = ("provider", "region", "slo")
    name: str
    provider: Provider
    region: str
    signal: ProviderSignal
    target: float

    @cached_property
    def labels(self) -> dict[str, str]:
        return {"class": self.provider.kind, "provider": self.name, "region": self.region, "slo": self.signal}


def provider_rules(region: str, cells: Iterable[PlacedCell]) -> list[JsonObject]:
    """A PrometheusRule, in the namespace of the region's Prometheus; nothing where none is an operator's."""
    here = list(cells)
    held = here[0].region
    groups = provider_groups(region, here)
    if not groups or held.prometheus is None or held.prometheus.form != "operator":
        return []
    return [rules_object(_NAME, str(held.monitoring_namespace), groups, held.prometheus.labels)]


def provider_groups(region: str, cells: Iterable[PlacedCell]) -> list[JsonObject]:
    """One group an objective: rules of a group see what those before them have recorded at the same moment."""
    return [
        made for slo in _slos(region, cells) for made in group(f"{region}/{_NAME}/{slo.name}/{slo.signal}", _rules(slo))
    ]


def _slos(region: str, cells: Iterable[PlacedCell]) -> Iterator[ProviderSlo]:
    called = {name: each for placed in cells for name, each in placed.providers.items()}
    for name, provider in sorted(called.items()):
        for each in provider.objectives:
            yield ProviderSlo(name, provider, region, each.signal, each.success_ratio)


def _rules(slo: ProviderSlo) -> Iterator[JsonObject]:
    yield from recordings(slo, *_counted(slo))
    called = slo.provider.alerts
    if called is not None:
        yield from _alerts(slo, called)


def _counted(slo: ProviderSlo) -> tuple[str, str]:
    if slo.signal == "connections":
        return counted(slo.provider.kind, slo.name)
    chosen = {"signal": f"{slo.signal}:provider={slo.name}"}
    return rate("croupier_signal_attempts_total", chosen), rate("croupier_signal_failures_total", chosen)


def _alerts(slo: ProviderSlo, called: OnCall) -> Iterator[JsonObject]:
    what = f"{slo.signal.capitalize()} {'to' if slo.signal == 'connections' else 'through'} {slo.name} in {slo.region}"
    for severity, name, pace, expression in burning(slo, MINIMUM_FAILURES):
        description = (
            f"{{{{ $value | humanizePercentage }}}} of {slo.signal} failed over the longer window; "
            f"{slo.budget * 100:.4g} % may."
        )
        yield rule(
            called,
            Alert(f"Provider{name}", expression, f"{what}: so many fail that {pace}", description, severity, ""),
            slo.labels,
        )
    of_gateways = slo.signal == "connections"
    source = "envoy_cluster_upstream_cx_* is" if of_gateways else "croupier_signal_*_total of a tally are"
    yield rule(
        called,
        Alert(
            "ProviderCountersMissing",
            f"absent_over_time({slo.recorded(FAILURES, '1h')})",
            f"Nobody counts {slo.signal} of {slo.name} in {slo.region}",
            f"{source} not there: no alert on the provider can tell anything.",
        ),
        slo.labels,
    )
