"""The three manifests a service is commonly begun with: Deployment, HorizontalPodAutoscaler, NetworkPolicy (S14). Where
players come through ingress-nginx, an Ingress and that of its canary, too (S14.6).

The plain form, for reading, comparing and beginning by hand: it serves without croupier's operator, and says nothing of
configuration, secrets and hardening. ``cell.render`` makes what production gets; where the two differ, and why, is in
docs/explanation/reference-manifests.md.
"""

from __future__ import annotations

from typing import Any

from croupier.core.render.ingress_nginx import canary, canary_annotations, ingress
from croupier.core.render.pods import resources_of
from croupier.core.render.scaling import metrics
from croupier.model.digest import short
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.service_spec import ServiceSpec

MAX_SURGE = 2
MAX_UNAVAILABLE = 1
"""How a rolling update goes (S14.1)."""
INTERNAL = "10.0.0.0/8"
"""Addresses of internal services (S14.10)."""
_PORT = 80
"""Of the Services that an Ingress names."""


def template(placed: PlacedCell, service: ServiceSpec, version: str | None = None) -> list[JsonObject]:
    """The objects, without a namespace. ``version``: label of the pods; None: first digits of the image's digest."""
    made = [_deployment(service, version or _digest(service)), *_scaler(service), _doors(placed, service)]
    return [*made, *_ingresses(placed, service)]


def _digest(service: ServiceSpec) -> str:
    return short(service.image.rpartition("@")[2])


def _deployment(service: ServiceSpec, version: str) -> JsonObject:
    scaling = service.scaling
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": service.name, **_canary(service)},
        "spec": {
            "replicas": scaling.min if scaling else service.replicas,
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": MAX_SURGE, "maxUnavailable": MAX_UNAVAILABLE},
            },
            "selector": _selector(service.name),
            "template": {
                "metadata": {"labels": {"app": service.name, "version": version}},
                "spec": {
                    "securityContext": {"runAsNonRoot": True},
                    "containers": [
                        {
                            "name": "app",
                            "image": service.image,
                            "ports": [{"containerPort": each.port} for each in service.ports],
                            "resources": resources_of(service.resources),
                            "readinessProbe": {
                                "httpGet": {"path": service.readiness_path, "port": service.port},
                                "periodSeconds": service.probes.period_seconds,
                            },
                        }
                    ],
                },
            },
        },
    }


def _canary(service: ServiceSpec) -> dict[str, Any]:
    """Annotations for an ingress-nginx that takes them over from here: the share of the first step (S14.6)."""
    annotations = canary_annotations(service)
    return {"annotations": annotations} if annotations else {}


def _ingresses(placed: PlacedCell, service: ServiceSpec) -> list[JsonObject]:
    """For a region with ingress-nginx: the Ingress of the service, and that of its new version, where it reads them."""
    if placed.region.gateway.target != "nginxIngress" or not service.is_reached:
        return []
    new = canary(placed, service, _PORT)
    return [ingress(placed, service, _PORT), *([new] if new is not None else [])]


def _scaler(service: ServiceSpec) -> list[JsonObject]:
    wanted = service.scaling
    if wanted is None:
        return []
    spec = {
        "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": service.name},
        "minReplicas": wanted.min,
        "maxReplicas": wanted.max,
        "metrics": metrics(wanted),
    }
    metadata = {"name": service.name}
    return [{"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler", "metadata": metadata, "spec": spec}]


def _doors(placed: PlacedCell, service: ServiceSpec) -> JsonObject:
    callers = [each.name for each in placed.services if service.name in each.depends_on]
    asked = [{"podSelector": _selector(name)} for name in callers]
    if service.is_reached:
        asked.insert(0, {"namespaceSelector": {"matchLabels": {"gw": "ingress"}}})
    kinds = sorted({placed.providers[name].kind for name in service.egress})
    outside = [{"namespaceSelector": {"matchLabels": {"svc": f"{kind}-egress"}}} for kind in kinds]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": f"{service.name.removesuffix('-api')}-restrict"},
        "spec": {
            "podSelector": _selector(service.name),
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [peer]} for peer in asked],
            "egress": [{"to": [peer]} for peer in ({"ipBlock": {"cidr": INTERNAL}}, *outside)],
        },
    }


def _selector(service: str) -> JsonObject:
    return {"matchLabels": {"app": service}}
