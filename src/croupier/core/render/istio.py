"""What Istio is told in its own words: where requests go, what of a destination it bears, how often may be asked (S8).

A VirtualService has no owner of weights beside itself, so all this is for regions whose Deployments roll by themselves.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from croupier.core.render.envoy_gateway import LEAST_RETRIES, MOST_EJECTED_PERCENT, RETRIED
from croupier.core.render.names import MANAGED_BY, of_service
from croupier.core.render.route import HSTS, duration, port_of
from croupier.core.render.version import TLS_PORT
from croupier.model.edge import BackendTls, RateLimit, RouteBreaker, RouteRetries, Sticky
from croupier.model.gateway import Gateway
from croupier.model.objects import JsonObject
from croupier.model.platform import Cell, PlacedCell
from croupier.model.release_policy import Route
from croupier.model.service_spec import ServiceSpec

API = "networking.istio.io/v1"
_FILTER = "envoy.filters.http.local_ratelimit"
_LIMIT = "type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit"
_SECONDS = {"second": 1, "minute": 60}
_RATE_LIMIT = "rate-limits"
"""The EnvoyFilter that every limit of a gateway needs; names of the others hold a dot."""


def host_of(cell: Cell, service: str) -> str:
    """The whole name of a Service, as everybody understands it."""
    return f"{service}.{cell.namespace}.svc.cluster.local"


def virtual_service(placed: PlacedCell, service: ServiceSpec, route: Route, port: int) -> JsonObject:
    """Istio repeats by itself, after 503 too: where nothing is declared it is told to repeat nothing."""
    gateway = placed.region.gateway
    retries = service.edge.retries
    rule: dict[str, Any] = {
        "name": _route_name(placed.cell, service),
        "match": [each for prefix in route.path_prefixes for each in _segments(prefix)],
        "route": [
            {"destination": {"host": host_of(placed.cell, service.name), "port": {"number": port_of(route, port)}}}
        ],
        "timeout": duration(service.timeout_seconds),
        "retries": {"attempts": 0} if retries is None else retried(retries),
    }
    if route.hsts is not None:
        rule["headers"] = {"response": {"set": {HSTS: route.hsts.value}}}
    names = [f"{gateway.namespace}/{gateway.name}" if gateway.namespace else gateway.name]
    spec = {"hosts": list(route.hostnames), "gateways": names, "http": [rule]}
    return of_service(placed.cell, service, API, "VirtualService", {"spec": spec})


def destination(
    placed: PlacedCell, service: ServiceSpec, route: Route | None, inside: JsonObject | None = None
) -> list[JsonObject]:
    """The DestinationRule of a service. ``route`` None: the route, and TLS to the pods, are told otherwise. ``inside``:
    what a mesh tells callers in the cell; a Service has one rule, and what players' gateway is told counts more."""
    edge = service.edge
    breaker = service.breaker
    bounds = bounded(breaker, breaker.per_pod * service.most_pods) if breaker is not None else {}
    if service.sticky is not None:
        bounds = {**bounds, "loadBalancer": {"consistentHash": _hashed(service.sticky)}}
    policy: dict[str, Any] = {**(inside or {}), **bounds}
    if route is not None and edge.retries is not None:
        policy["retryBudget"] = budgeted(edge.retries)
    if route is not None and route.tls is not None and edge.backend_tls is not None:
        # A port with settings of its own has none of the others'.
        tls = _tls(edge.backend_tls, route.tls.hostname)
        policy["portLevelSettings"] = [{"port": {"number": TLS_PORT}, "tls": tls, **bounds}]
    return [rule_of(placed.cell, service, policy)] if policy else []


def rule_of(cell: Cell, service: ServiceSpec, policy: JsonObject) -> JsonObject:
    """The DestinationRule by which callers of a service, whoever they are, go by ``policy``."""
    spec = {"host": host_of(cell, service.name), "trafficPolicy": dict(sorted(policy.items()))}
    return of_service(cell, service, API, "DestinationRule", {"spec": spec})


def gateway_of(gateway: Gateway, cells: Iterable[PlacedCell]) -> list[JsonObject]:
    """The Gateway, with the certificate of each cell, and what limits of rates need in its pods."""
    here = [each for each in cells if each.cell.hostnames]
    plain = {
        "port": {"number": 80, "name": "http", "protocol": "HTTP"},
        "hosts": [f"{each.cell.namespace}/{host}" for each in here for host in each.cell.hostnames],
        "tls": {"httpsRedirect": True},
    }
    servers = [
        {
            "name": each.cell.name,
            "port": {"number": 443, "name": f"https-{each.cell.name}", "protocol": "HTTPS"},
            "hosts": [f"{each.cell.namespace}/{host}" for host in each.cell.hostnames],
            "tls": {"mode": "SIMPLE", "credentialName": each.cell.certificate, "minProtocolVersion": "TLSV1_2"},
        }
        for each in here
    ]
    spec = {"selector": dict(gateway.selector), "servers": [plain, *servers]}
    assert gateway.namespace is not None  # held by the model
    return [_made(gateway.namespace, gateway.name, API, "Gateway", spec), *_limits(gateway, here)]


def _limits(gateway: Gateway, cells: Iterable[PlacedCell]) -> Iterator[JsonObject]:
    """EnvoyFilters: one puts the filter into the gateway, one a route says how often."""
    limited = [
        (placed.cell, service, service.edge.rate_limit)
        for placed in cells
        for service in placed.services
        if service.is_reached and service.edge.rate_limit is not None
    ]
    if not limited:
        return
    first = {
        "applyTo": "HTTP_FILTER",
        "match": {
            "context": "GATEWAY",
            "listener": {
                "filterChain": {
                    "filter": {
                        "name": "envoy.filters.network.http_connection_manager",
                        "subFilter": {"name": "envoy.filters.http.router"},
                    }
                }
            },
        },
        "patch": {
            "operation": "INSERT_BEFORE",
            "value": {"name": _FILTER, "typed_config": {"@type": _LIMIT, "stat_prefix": "route"}},
        },
    }
    yield _patched(gateway, _RATE_LIMIT, first)
    for cell, service, limit in limited:
        per_route = {
            "applyTo": "HTTP_ROUTE",
            "match": {
                "context": "GATEWAY",
                "routeConfiguration": {"vhost": {"route": {"name": _route_name(cell, service)}}},
            },
            "patch": {"operation": "MERGE", "value": {"typed_per_filter_config": {_FILTER: _bucket(service, limit)}}},
        }
        yield _patched(gateway, f"{service.name}.{cell.namespace}", per_route)


def _bucket(service: ServiceSpec, limit: RateLimit) -> JsonObject:
    every = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    return {
        "@type": _LIMIT,
        "stat_prefix": service.name,
        "token_bucket": {
            "max_tokens": limit.requests,
            "tokens_per_fill": limit.requests,
            "fill_interval": f"{_SECONDS[limit.per]}s",
        },
        "filter_enabled": every,
        "filter_enforced": every,
    }


def _patched(gateway: Gateway, name: str, patch: JsonObject) -> JsonObject:
    spec = {"workloadSelector": {"labels": dict(gateway.selector)}, "configPatches": [patch]}
    return _made(gateway.runs_in(""), name, "networking.istio.io/v1alpha3", "EnvoyFilter", spec)


def _made(namespace: str, name: str, api: str, kind: str, spec: JsonObject) -> JsonObject:
    metadata = {"name": name, "namespace": namespace, "labels": dict(MANAGED_BY)}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec}


def _route_name(cell: Cell, service: ServiceSpec) -> str:
    """Of a route in Envoy, where limits find it."""
    return f"{service.name}.{cell.namespace}"


def _segments(prefix: str) -> list[JsonObject]:
    """A prefix of whole segments: Istio's own of ``/pay`` takes ``/payday``, too."""
    if prefix == "/":
        return [{"uri": {"prefix": "/"}}]
    return [{"uri": {"exact": prefix}}, {"uri": {"prefix": f"{prefix}/"}}]


def budgeted(retries: RouteRetries) -> JsonObject:
    return {"percent": retries.budget_percent, "minRetryConcurrency": LEAST_RETRIES}


def retried(retries: RouteRetries) -> JsonObject:
    return {
        "attempts": retries.attempts,
        "perTryTimeout": duration(retries.per_try_seconds),
        "retryOn": ",".join(RETRIED[retries.when]),
    }


def bounded(breaker: RouteBreaker, most: int) -> JsonObject:
    return {
        "connectionPool": {
            "tcp": {"maxConnections": most},
            "http": {"http1MaxPendingRequests": most, "http2MaxRequests": most},
        },
        "outlierDetection": {
            "consecutive5xxErrors": breaker.failures,
            "baseEjectionTime": duration(breaker.eject_seconds),
            "maxEjectionPercent": MOST_EJECTED_PERCENT,
        },
    }


def _hashed(sticky: Sticky) -> JsonObject:
    if sticky.by == "cookie":
        return {"httpCookie": {"name": sticky.named, "path": "/", "ttl": f"{sticky.keep_seconds}s"}}
    return {"httpHeaderName": sticky.named} if sticky.by == "header" else {"useSourceIp": True}


def _tls(tls: BackendTls, hostname: str) -> JsonObject:
    assert tls.ca is not None  # held by spec.edge
    return {"mode": "SIMPLE", "sni": hostname, "subjectAltNames": [hostname], "credentialName": tls.ca}
