"""How pods follow load: the HorizontalPodAutoscaler that rests beside the intent; each version gets its copy (S6)."""

from __future__ import annotations

from typing import Any

from croupier.core.render.names import of_service
from croupier.model.base import JsonObject
from croupier.model.platform import Cell
from croupier.model.service_spec import Scaling, ServiceSpec

DEFAULT_CPU_PERCENT = 70


def scaler(cell: Cell, service: ServiceSpec) -> list[JsonObject]:
    """autoscaling/v2; nothing where ``replicas`` alone decides. Up at once and by half or more, down one tenth a
    minute after load was lower for a while: a burst that comes back finds its pods."""
    wanted = service.scaling
    if wanted is None:
        return []
    body = {
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": service.name},
            "minReplicas": wanted.min,
            "maxReplicas": wanted.max,
            "metrics": metrics(wanted),
            "behavior": {
                "scaleUp": {
                    "stabilizationWindowSeconds": 0,
                    "selectPolicy": "Max",
                    "policies": [_policy("Percent", 100, 15), _policy("Pods", 4, 15)],
                },
                "scaleDown": {
                    "stabilizationWindowSeconds": wanted.down_seconds,
                    "selectPolicy": "Max",
                    "policies": [_policy("Percent", 10, 60), _policy("Pods", 1, 60)],
                },
            },
        }
    }
    return [of_service(cell, service, "autoscaling/v2", "HorizontalPodAutoscaler", body)]


def metrics(wanted: Scaling) -> list[JsonObject]:
    """What a scaler goes by: the metric of the service's own, CPU, or both."""
    found: list[JsonObject] = []
    if wanted.metric is not None:
        target = {"type": "AverageValue", "averageValue": _amount(wanted.metric.average)}
        found.append({"type": "Pods", "pods": {"metric": {"name": wanted.metric.name}, "target": target}})
    percent = wanted.cpu_percent or (DEFAULT_CPU_PERCENT if wanted.metric is None else None)
    if percent is not None:
        cpu: dict[str, Any] = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": percent}}
        found.append({"type": "Resource", "resource": cpu})
    return found


def _amount(value: float) -> str:
    """A quantity: whole, or in thousandths."""
    return str(int(value)) if value == int(value) else f"{round(value * 1000)}m"


def _policy(kind: str, value: int, seconds: int) -> JsonObject:
    return {"type": kind, "value": value, "periodSeconds": seconds}
