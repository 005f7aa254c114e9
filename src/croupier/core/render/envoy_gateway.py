"""What Envoy Gateway is told beside the Gateway API: of a route, and of the whole gateway (S8.2, S8.4, S8.6, S8.7)."""

from __future__ import annotations

from typing import Any

from croupier.core.render.names import of_service
from croupier.core.render.route import duration
from croupier.model.edge import RateLimit, RouteBreaker, RouteRetries, Sticky
from croupier.model.gateway import Gateway
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.service_spec import ServiceSpec

API = "gateway.envoyproxy.io/v1alpha1"
RETRIED = {
    "unheard": ["connect-failure", "refused-stream", "reset-before-request"],
    "failed": ["connect-failure", "refused-stream", "reset", "gateway-error"],
}
"""When a request is sent again, in Envoy's words."""
LEAST_RETRIES = 3
"""So many may be under way however small the budget: of few requests, a share is none."""
MOST_EJECTED_PERCENT = 50
"""Envoy's own tenth is no pod at all of a few."""
_ANY_ADDRESS = ("0.0.0.0/0", "::/0")


def traffic(placed: PlacedCell, service: ServiceSpec) -> list[JsonObject]:
    """The BackendTrafficPolicy for the HTTPRoute of a service, where there is anything to tell."""
    edge = service.edge
    spec: dict[str, Any] = {}
    breaker: dict[str, Any] = {}
    if edge.rate_limit is not None:
        spec["rateLimit"] = _limited(edge.rate_limit)
    if edge.retries is not None:
        spec["retry"] = _retried(edge.retries)
        budget = {"numerator": edge.retries.budget_percent}
        breaker["retryBudget"] = {"percent": budget, "minRetryConcurrency": LEAST_RETRIES}
    if (bounds := service.breaker) is not None:
        most = bounds.per_pod * service.most_pods
        breaker |= dict.fromkeys(("maxConnections", "maxParallelRequests", "maxPendingRequests"), most)
        if placed.region.released_by == "kubernetes":
            spec["healthCheck"] = {"passive": _ejected(bounds)}
    if breaker:
        spec["circuitBreaker"] = breaker
    if service.sticky is not None:
        spec["loadBalancer"] = {"type": "ConsistentHash", "consistentHash": _hashed(service.sticky)}
    if service.traffic == "websocket":
        # Five minutes without a word are no end of a game. The route's own timeout ends with the request, and that of a
        # socket never does.
        longest = duration(service.timeout_seconds)
        spec["timeout"] = {"http": {"maxStreamDuration": longest, "streamIdleTimeout": longest}}
    if not spec:
        return []
    target = {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": service.name}
    body = {"spec": {"targetRefs": [target], **dict(sorted(spec.items()))}}
    return [of_service(placed.cell, service, API, "BackendTrafficPolicy", body)]


def clients(gateway: Gateway) -> JsonObject:
    """Spec of the ClientTrafficPolicy for a gateway: what is spoken with players."""
    target = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": gateway.name}
    spoken = {"alpnProtocols": ["h2", "http/1.1"], "minVersion": "1.2"}
    return {"targetRefs": [target], "tls": spoken, **({"http3": {}} if gateway.http3 else {})}


def _limited(limit: RateLimit) -> JsonObject:
    most = {"requests": limit.requests, "unit": limit.per.capitalize()}
    if limit.by == "everybody":
        return {"type": "Local", "local": {"rules": [{"limit": most}]}}
    rules = [
        {"clientSelectors": [{"sourceCIDR": {"type": "Distinct", "value": each}}], "limit": most}
        for each in _ANY_ADDRESS
    ]
    return {"type": "Local", "local": {"rules": rules}}


def _hashed(sticky: Sticky) -> JsonObject:
    """All versions of a route are one ring to Envoy Gateway, each with its weight: who is hashed to a pod of the new
    version stays with it, and a step forward moves no more players than it says."""
    if sticky.by == "cookie":
        return {"type": "Cookie", "cookie": {"name": sticky.named, "ttl": f"{sticky.keep_seconds}s"}}
    if sticky.by == "header":
        return {"type": "Header", "header": {"name": sticky.named}}
    return {"type": "SourceIP"}


def _retried(retries: RouteRetries) -> JsonObject:
    return {
        "numRetries": retries.attempts,
        "perRetry": {"timeout": duration(retries.per_try_seconds)},
        "retryOn": {"triggers": RETRIED[retries.when]},
    }


def _ejected(breaker: RouteBreaker) -> JsonObject:
    return {
        "baseEjectionTime": duration(breaker.eject_seconds),
        "consecutive5XxErrors": breaker.failures,
        "maxEjectionPercent": MOST_EJECTED_PERCENT,
    }
