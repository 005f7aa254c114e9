"""What people look at: a Grafana dashboard a service, of the series that its rules record and its pods and tally show.

Grafana's classic JSON, schema version 39, which Grafana 11 to 13 load. It comes as a ConfigMap, which the sidecar of
Grafana finds by label. Money first, then objectives, requests, who got which version, and what pods use.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from croupier.core.render.monitor import sanitized
from croupier.core.render.names import of_service
from croupier.core.render.slo import OBJECTIVE, SERVICE_LABEL, Slo, edge, matchers, slos
from croupier.core.render.store_watch import POOL_USED, POOL_WAITING
from croupier.core.render.usage_watch import CPU_WAITING, OOM_KILLS, RESTARTS, containers
from croupier.core.render.version import VERSION_LABEL
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.quantity import size
from croupier.model.service import OF_PODS
from croupier.model.service_spec import ServiceSpec
from croupier.model.slo import BURNS
from croupier.model.store import is_postgres, is_redis, used_by

SCHEMA_VERSION = 39
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH, _HEIGHT = 8, 8
_COLUMNS = 24 // _WIDTH
_RATE = "$__rate_interval"
_BURN_WINDOWS = ("5m", "1h", "6h", "3d")
_FAILED, _EVERY = 'code=~"5.."', 'le="+Inf"'
_POD_SHARES = (("avg", "all pods"), ("max", "fullest pod"))
_VERSION = sanitized(VERSION_LABEL)
"""Label of a pod's counters that tells its version. The tally's own is ``version``."""


class _Panel(NamedTuple):
    """``queries``: expression and legend of each. ``unit``: as Grafana calls it. ``lines``: values worth a line."""

    title: str
    about: str
    queries: Sequence[tuple[str, str]]
    unit: str
    lines: Sequence[float] = ()
    most: float | None = None


def dashboards(placed: PlacedCell, service: ServiceSpec) -> list[JsonObject]:
    """Nothing where the region wants none, or nobody counts anything of the service."""
    prometheus = placed.region.prometheus
    if prometheus is None or prometheus.dashboards is None:
        return []
    rows = [(title, panels) for title, panels in _rows(placed, service) if panels]
    if not rows:
        return []
    rows.append(("Resources", list(_resources(placed, service))))
    if pools := list(_pools(placed, service)):
        rows.append(("Pools", pools))
    name = f"{service.name[:53]}-dashboard"
    text = json.dumps(_dashboard(placed, service, rows), separators=(",", ":"), ensure_ascii=False)
    body = {"data": {f"{placed.cell.name}-{service.name}.json": text}}
    made = of_service(placed.cell, service, "v1", "ConfigMap", body, name=name)
    made["metadata"]["labels"] |= prometheus.dashboards
    return [made]


def _rows(placed: PlacedCell, service: ServiceSpec) -> Iterator[tuple[str, list[_Panel]]]:
    metrics = service.release.metrics
    every = list(slos(placed, service))
    tallied = [each for each in every if each.signal not in OF_PODS]
    if metrics.tally is not None:
        yield "Money and players", [panel for each in tallied for panel in _money(each)]
    yield "Objectives", [_burn(each) for each in every]
    if metrics.pods is not None:
        yield "Requests", list(_requests(placed, service))
    yield "Releases", list(_releases(placed, service, tallied if metrics.tally is not None else []))


def _money(slo: Slo) -> Iterator[_Panel]:
    arms = matchers({"service": f"{slo.service.name}.{slo.placed.cell.namespace}", "signal": slo.signal})
    attempts = f"rate(croupier_signal_attempts_total{arms}[{_RATE}])"
    failures = f"rate(croupier_signal_failures_total{arms}[{_RATE}])"
    noun = slo.signal.capitalize()
    yield _Panel(
        f"{noun} a minute, by version",
        "Counted when decided. None in a busy hour is an outage, whatever the shares say.",
        [(f"sum by (version) ({attempts}) * 60", "{{version}}")],
        "short",
    )
    yield _Panel(
        f"{noun} that fail, by version",
        f"Share; the line is what the objective of {slo.target:g} allows.",
        [(f"sum by (version) ({failures}) / (sum by (version) ({attempts}) > 0)", "{{version}}")],
        "percentunit",
        (slo.budget,),
    )
    yield _Panel(
        f"How {slo.signal} end",
        "A minute, of all versions.",
        [(f"sum by (outcome) (rate(croupier_outcomes_total{arms}[{_RATE}])) * 60", "{{outcome}}")],
        "short",
    )


def _burn(slo: Slo) -> _Panel:
    """Lines where somebody is called, if the other window burns as well."""
    about = f"{slo.target:g} of {slo.signal}" + (f" within {slo.slow_seconds:g} s" if slo.slow_seconds else "")
    budget = f"(1 - {slo.recorded(OBJECTIVE)})"
    queries = [(f"{slo.share(window)} / {budget}", window) for window in _BURN_WINDOWS]
    rates = tuple(sorted({each.rate for each in BURNS}))
    return _Panel(f"Budget of {slo.signal} burns", f"Times the even pace; promised: {about}.", queries, "short", rates)


def _requests(placed: PlacedCell, service: ServiceSpec) -> Iterator[_Panel]:
    pods = {"namespace": placed.cell.namespace, SERVICE_LABEL: service.name}
    requests = f"http_requests_total{matchers(pods)}"
    yield _Panel(
        "Requests a second, by code", "", [(f"sum by (code) (rate({requests}[{_RATE}]))", "{{code}}")], "reqps"
    )
    failed = f"http_requests_total{matchers(pods, _FAILED)}"
    share = f"sum(rate({failed}[{_RATE}])) / (sum(rate({requests}[{_RATE}])) > 0)"
    yield _Panel("Requests that fail", "Share of answers with 5xx.", [(share, "5xx")], "percentunit")
    every = f"http_request_duration_seconds_bucket{matchers(pods, _EVERY)}"
    bounds = sorted(service.metrics.latency_buckets)
    within = [
        (
            f"sum(rate(http_request_duration_seconds_bucket{matchers(pods, edge(bound))}[{_RATE}]))"
            f" / (sum(rate({every}[{_RATE}])) > 0)",
            f"within {bound:g} s",
        )
        for bound in bounds
    ]
    about = "Share of requests within each edge of the histogram: counted, not estimated."
    yield _Panel("Latency", about, within, "percentunit", most=1.0)


def _releases(placed: PlacedCell, service: ServiceSpec, tallied: Sequence[Slo]) -> Iterator[_Panel]:
    if service.release.metrics.pods is not None:
        pods = {"namespace": placed.cell.namespace, SERVICE_LABEL: service.name}
        requests = f"sum by ({_VERSION}) (rate(http_requests_total{matchers(pods)}[{_RATE}]))"
        legend = f"{{{{{_VERSION}}}}}"
        about = "A second. Where croupier does not release, all are in one line."
        yield _Panel("Requests by version", about, [(requests, legend)], "reqps")
        failed = f"sum by ({_VERSION}) (rate(http_requests_total{matchers(pods, _FAILED)}[{_RATE}]))"
        about = "Share of answers with 5xx: what the gate on errors compares."
        yield _Panel("Requests that fail, by version", about, [(f"{failed} / ({requests} > 0)", legend)], "percentunit")
    if tallied:
        arms = matchers({"service": f"{service.name}.{placed.cell.namespace}"})
        affected = f"sum by (version, signal) (increase(croupier_signal_players_affected_total{arms}[{_RATE}]))"
        about = "First failure of a player in a release: what gates on money compare."
        yield _Panel("Players newly affected", about, [(affected, "{{version}} {{signal}}")], "short")
        broken = f"sum by (version, invariant) (increase(croupier_invariant_violations_total{arms}[{_RATE}]))"
        about = "What the ledger must never show. One is enough to take a release back."
        yield _Panel("Ledger", about, [(broken, "{{version}} {{invariant}}")], "short")


def _resources(placed: PlacedCell, service: ServiceSpec) -> Iterator[_Panel]:
    """How much is used, and who waits for more (S9.3, USE): what kubelets count of containers."""
    prometheus = placed.region.prometheus
    found = containers(placed, service)
    asked, limit = service.resources.cpu, service.resources.memory_limit or service.resources.memory
    used = f"rate(container_cpu_usage_seconds_total{found}[{_RATE}])"
    yield _Panel(
        "CPU used, of what pods ask for",
        f"A pod asks for {asked}. Above 1 it lives on what is idle, and has it as long as nobody else wants it.",
        [(f"{how}({used}) / {float(size(asked)):g}", name) for how, name in _POD_SHARES],
        "percentunit",
        (1.0,),
    )
    throttled, periods = (f"rate(container_cpu_cfs_{name}periods_total{found}[{_RATE}])" for name in ("throttled_", ""))
    yield _Panel(
        "CPU refused",
        "Share of periods in which pods wanted more than their limit. Empty where they have none.",
        [(f"sum({throttled}) / (sum({periods}) > 0)", "throttled")],
        "percentunit",
    )
    memory = f"container_memory_working_set_bytes{found}"
    yield _Panel(
        "Memory used, of the limit",
        f"A pod has {limit}. At 1 it is killed.",
        [(f"{how}({memory}) / {float(size(limit)):.0f}", name) for how, name in _POD_SHARES],
        "percentunit",
        (0.9,),
    )
    if prometheus is not None and prometheus.resources:
        which = matchers({"cell": placed.cell.name, "service": service.name})
        yield _Panel(
            "CPU waited for",
            "Share of time in which something in the worst pod waits. Empty where kernels do not count pressure.",
            [(f"{CPU_WAITING}{which}", "waiting")],
            "percentunit",
        )
        yield _Panel(
            "Pods that start again",
            "In a quarter of an hour; killed: because their memory was full.",
            [(f"{RESTARTS}{which}", "restarts"), (f"{OOM_KILLS}{which}", "killed")],
            "short",
        )


def _pools(placed: PlacedCell, service: ServiceSpec) -> Iterator[_Panel]:
    """Connections to the stores that it owns, by what is recorded of them; and how far it is behind in its topics."""
    for store in used_by(placed, service):
        which = matchers({"cell": placed.cell.name, "store": store.name})
        if is_postgres(store) or (is_redis(store) and _is_counted(placed)):
            yield _Panel(
                f"Connections to {store.name}",
                "Share of those that may be: of all users of the store, in its fullest pod.",
                [(f"{POOL_USED}{which}", "used")],
                "percentunit",
                (0.9,),
            )
        if is_postgres(store) and store.engine.pooler is not None:
            about = "Clients that find every connection of the pooler busy."
            yield _Panel(f"Waiting for {store.name}", about, [(f"{POOL_WAITING}{which}", "clients")], "short")


def _is_counted(placed: PlacedCell) -> bool:
    """Whether somebody counts what instances of Redis do."""
    stands = placed.region.stores
    return stands is not None and stands.redis is not None and stands.redis.exporter is not None


# --- Grafana's form ---------------------------------------------------------------------------------------------------


def _dashboard(placed: PlacedCell, service: ServiceSpec, rows: Sequence[tuple[str, list[_Panel]]]) -> JsonObject:
    cell = placed.cell
    return {
        "uid": f"croupier-{hashlib.sha256(f'{cell.name}/{service.name}'.encode()).hexdigest()[:16]}",
        "title": f"{service.name} in {cell.name}",
        "description": "Made by croupier; changes are overwritten.",
        "tags": ["croupier", cell.brand, cell.market, cell.region, service.tier],
        "schemaVersion": SCHEMA_VERSION,
        "editable": False,
        "timezone": "utc",
        "time": {"from": "now-3h", "to": "now"},
        "refresh": "30s",
        "templating": {
            "list": [{"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}]
        },
        "panels": list(_panels(rows)),
    }


def _panels(rows: Sequence[tuple[str, list[_Panel]]]) -> Iterator[JsonObject]:
    number, y = 0, 0
    for title, panels in rows:
        number += 1
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "panels": []} | {
            "gridPos": {"h": 1, "w": 24, "x": 0, "y": y}
        }
        y += 1
        for index, panel in enumerate(panels):
            number += 1
            across, down = index % _COLUMNS, index // _COLUMNS
            place = {"h": _HEIGHT, "w": _WIDTH, "x": across * _WIDTH, "y": y + down * _HEIGHT}
            yield {"id": number, "gridPos": place, **_panel(panel)}
        y += -(-len(panels) // _COLUMNS) * _HEIGHT


def _panel(panel: _Panel) -> JsonObject:
    steps: list[JsonObject] = [{"color": "green", "value": None}]
    steps += [{"color": "orange" if line < panel.lines[-1] else "red", "value": line} for line in panel.lines]
    custom: dict[str, Any] = {"lineWidth": 1, "fillOpacity": 5, "showPoints": "never"}
    if panel.lines:
        custom["thresholdsStyle"] = {"mode": "line"}
    defaults: JsonObject = {"unit": panel.unit, "min": 0, "custom": custom}
    defaults["thresholds"] = {"mode": "absolute", "steps": steps}
    if panel.most is not None:
        defaults["max"] = panel.most
    return {
        "type": "timeseries",
        "title": panel.title,
        **({"description": panel.about} if panel.about else {}),
        "datasource": _SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": {"legend": {"displayMode": "list", "placement": "bottom"}, "tooltip": {"mode": "multi"}},
        "targets": [
            {"refId": chr(ord("A") + index), "datasource": _SOURCE, "expr": expression, "legendFormat": legend}
            for index, (expression, legend) in enumerate(panel.queries)
        ],
    }
