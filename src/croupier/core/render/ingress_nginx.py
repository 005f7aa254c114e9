"""Ingresses for ingress-nginx, which was retired in March 2026: for those who have not left it yet (S14.6).

Its canary is told by annotations of a second Ingress, beside the first. croupier moves no weight there.
"""

from __future__ import annotations

import math

from croupier.model.edge import Sticky
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.service_spec import ServiceSpec

API = "networking.k8s.io/v1"
_NGINX = "nginx.ingress.kubernetes.io"
_RATES = {"second": "limit-rps", "minute": "limit-rpm"}


def ingress(placed: PlacedCell, service: ServiceSpec, port: int) -> JsonObject:
    """The Ingress of a service."""
    return _ingress(placed, service, service.name, port, {})


def canary(placed: PlacedCell, service: ServiceSpec, port: int) -> JsonObject | None:
    """The Ingress of its new version, a Service called ``<service>-canary``, with the share of the first step. None:
    all players come at once."""
    weight = canary_annotations(service)
    return _ingress(placed, service, f"{service.name}-canary", port, weight) if weight else None


def canary_annotations(service: ServiceSpec) -> dict[str, str]:
    """The share of the first step, as ingress-nginx takes it; nothing where there is none."""
    share = service.release.strategy.steps[0]
    if not service.is_reached or share == 100:
        return {}
    return {f"{_NGINX}/canary": "true", f"{_NGINX}/canary-weight": str(share)}


def _kept(sticky: Sticky) -> dict[str, str]:
    """By cookie, a player stays with the canary, too, as ingress-nginx does it unasked."""
    if sticky.by == "cookie":
        kept = {"session-cookie-name": sticky.named, "session-cookie-max-age": str(sticky.keep_seconds)}
        return {"affinity": "cookie", "affinity-mode": "persistent", "session-cookie-secure": "true", **kept}
    header = f"$http_{sticky.named.lower().replace('-', '_')}"
    return {"upstream-hash-by": header if sticky.by == "header" else "$binary_remote_addr"}


def _ingress(placed: PlacedCell, service: ServiceSpec, name: str, port: int, annotations: dict[str, str]) -> JsonObject:
    """``name``: its own, and that of the Service behind it."""
    seconds = str(math.ceil(service.timeout_seconds))
    held = {f"{_NGINX}/proxy-read-timeout": seconds, f"{_NGINX}/proxy-send-timeout": seconds, **annotations}
    if (limit := service.edge.rate_limit) is not None:
        held[f"{_NGINX}/{_RATES[limit.per]}"] = str(limit.requests)
    if (sticky := service.sticky) is not None:
        held |= {f"{_NGINX}/{key}": value for key, value in _kept(sticky).items()}
    backend = {"service": {"name": name, "port": {"number": port}}}
    paths = [{"path": each, "pathType": "Prefix", "backend": backend} for each in service.routes]
    hosts = list(placed.cell.hostnames)
    spec = {
        "ingressClassName": placed.region.gateway.name,
        "tls": [{"hosts": hosts, "secretName": placed.cell.certificate}],
        "rules": [{"host": each, "http": {"paths": paths}} for each in hosts],
    }
    return {
        "apiVersion": API,
        "kind": "Ingress",
        "metadata": {"name": name, "annotations": dict(sorted(held.items()))},
        "spec": spec,
    }
