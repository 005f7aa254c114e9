"""How pods follow load (S6): a HorizontalPodAutoscaler, or KEDA's ScaledObject where a queue decides, or what counts
requests; never both.

Where croupier releases, the autoscaler rests beside the intent, and each version gets its copy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from croupier.core.render.engines import variable
from croupier.core.render.interceptor import http_scaled_object, scaler_of
from croupier.core.render.names import of_service
from croupier.core.render.version import WARM
from croupier.model.events import Warm
from croupier.model.interceptor import Http
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.service_spec import Scaling, ServiceSpec
from croupier.model.store import authority_of, bootstrap_of, secrets_of
from croupier.model.trigger import KafkaLag, Prometheus, RabbitMq, RedisList, Trigger

DEFAULT_CPU_PERCENT = 70
_KEDA = "keda.sh/v1alpha1"
_POLL_SECONDS = 15


def scaler(placed: PlacedCell, service: ServiceSpec, warm: Iterable[Warm] = ()) -> list[JsonObject]:
    """Nothing where ``replicas`` alone decides. Up at once and by half or more, down one tenth a
    minute after load was lower for a while: a burst that comes back finds its pods.

    ``warm``: what the calendar asks for. A HorizontalPodAutoscaler knows no times: croupier's operator raises the
    minimum of its copies, which gives all pods at once. KEDA has a trigger for it.
    """
    due = [each for each in warm if each.service == service.name]
    wanted = service.scaling
    if wanted is None:
        return []
    if wanted.trigger is not None:
        counted = [http_scaled_object(placed, service, wanted.trigger)] if isinstance(wanted.trigger, Http) else []
        return [*counted, *_keda_scaler(placed, service, wanted, wanted.trigger, due)]
    body = {
        "spec": {
            "scaleTargetRef": _target(service),
            "minReplicas": wanted.min,
            "maxReplicas": wanted.max,
            "metrics": metrics(wanted),
            "behavior": _behavior(wanted),
        }
    }
    made = of_service(placed.cell, service, "autoscaling/v2", "HorizontalPodAutoscaler", body)
    if due:
        made["metadata"]["annotations"] = {WARM: json.dumps([_window(each) for each in due], separators=(",", ":"))}
    return [made]


def _window(each: Warm) -> JsonObject:
    begin, end = (f"{at:%Y-%m-%dT%H:%M:%S}+00:00" for at in (each.from_at, each.until_at))
    return {"event": each.event, "from": begin, "until": end, "pods": each.pods}


def scheduled(from_at: datetime, until_at: datetime, pods: int) -> JsonObject:
    """A trigger of KEDA by the clock. Times are aware UTC, and stay so: of an hour that local clocks show twice KEDA
    takes the end for next year's. A schedule knows no year: what is over must leave the calendar before it comes again.
    """
    times = {"timezone": "UTC", "start": _cron(from_at), "end": _cron(until_at)}
    return {"type": "cron", "metadata": {**times, "desiredReplicas": str(pods)}}


def _cron(at: datetime) -> str:
    return f"{at.minute} {at.hour} {at.day} {at.month} *"


def _keda_scaler(
    placed: PlacedCell, service: ServiceSpec, wanted: Scaling, trigger: Trigger, due: Iterable[Warm]
) -> list[JsonObject]:
    """keda.sh/v1alpha1. Who counts and does not answer leaves as many pods as there are, and ``min`` at least."""
    cell = placed.cell
    kind, metadata = _asked(placed, service, trigger)
    triggers: list[JsonObject] = [{"type": kind, "metricType": "AverageValue", "metadata": metadata}]
    made = []
    if spoken := _authentication(placed, service, trigger):
        made.append(of_service(cell, service, _KEDA, "TriggerAuthentication", {"spec": spoken}))
        triggers[0]["authenticationRef"] = {"name": service.name}
    if wanted.cpu_percent is not None:
        triggers.append({"type": "cpu", "metricType": "Utilization", "metadata": {"value": str(wanted.cpu_percent)}})
    triggers += (scheduled(each.from_at, each.until_at, each.pods) for each in due)
    spec = {
        "scaleTargetRef": _target(service),
        "pollingInterval": _POLL_SECONDS,
        "cooldownPeriod": wanted.down_seconds,
        "minReplicaCount": wanted.min,
        "maxReplicaCount": wanted.max,
        "fallback": {"failureThreshold": 3, "replicas": wanted.min, "behavior": "currentReplicasIfHigher"},
        "advanced": {"horizontalPodAutoscalerConfig": {"behavior": _behavior(wanted)}},
        "triggers": triggers,
    }
    return [*made, of_service(cell, service, _KEDA, "ScaledObject", {"spec": spec})]


def _authentication(placed: PlacedCell, service: ServiceSpec, trigger: Trigger) -> JsonObject:
    """What KEDA logs in with. To a store that is rendered it does so as the service: its password, and its name as pods
    are told it."""
    items = asked_with(placed, service, trigger)
    named: list[JsonObject] = []
    if isinstance(trigger, KafkaLag) and trigger.store is not None:
        named = [{"parameter": "username", "name": variable(trigger.store, "USERNAME"), "containerName": "app"}]
    references = [{"parameter": each, "name": name, "key": key} for each, (name, key) in sorted(items.items())]
    return {**({"secretTargetRef": references} if references else {}), **({"env": named} if named else {})}


def asked_with(placed: PlacedCell, service: ServiceSpec, trigger: Trigger) -> dict[str, tuple[str, str]]:
    """Parameter of KEDA's scaler -> Secret of the cell, and key of it; of a version, as pods mount it."""
    if isinstance(trigger, Http):
        return {}
    mounted = secrets_of(placed, service)
    names = {each.secret: each.mounted for each in mounted.values()}
    items = {name: (names.get(item.secret, item.secret), item.key) for name, item in trigger.credentials.items()}
    if isinstance(trigger, KafkaLag) and trigger.store is not None:
        own = {"password": (trigger.store, "password"), "ca": (authority_of(trigger.store), "ca.crt")}
        for parameter, (folder, key) in own.items():
            if folder in mounted:
                items.setdefault(parameter, (mounted[folder].mounted, key))
    return items


def _asked(placed: PlacedCell, service: ServiceSpec, trigger: Trigger) -> tuple[str, JsonObject]:
    """KEDA's name of the scaler and what it is told."""
    match trigger:
        case KafkaLag():
            servers, secured = ",".join(trigger.servers), {}
            if trigger.store is not None:
                servers = bootstrap_of(trigger.store, placed.cell.data_namespace)
                secured = {"sasl": "scram_sha512", "tls": "enable"}
            told = {"bootstrapServers": servers, "consumerGroup": trigger.group or service.name}
            return "kafka", {**told, "topic": trigger.topic, "lagThreshold": str(trigger.lag), **secured}
        case RabbitMq():
            return "rabbitmq", {"queueName": trigger.queue, "mode": "QueueLength", "value": str(trigger.length)}
        case RedisList():
            return "redis", {"address": trigger.address, "listName": trigger.list, "listLength": str(trigger.length)}
        case Prometheus():
            told = {"serverAddress": trigger.url, "query": trigger.query}
            return "prometheus", {**told, "threshold": f"{trigger.average:g}"}
        case Http():
            return "external-push", {"scalerAddress": scaler_of(placed), "httpScaledObject": service.name}


def _target(service: ServiceSpec) -> JsonObject:
    return {"apiVersion": "apps/v1", "kind": "StatefulSet" if service.volumes else "Deployment", "name": service.name}


def recommender(placed: PlacedCell, service: ServiceSpec) -> list[JsonObject]:
    """What asks the Vertical Pod Autoscaler how much pods should ask for; nothing where none is. It never acts: where
    two change one target, each sees what the other does as load."""
    if not placed.region.vpa:
        return []
    policy = {"containerName": "app", "controlledResources": ["cpu", "memory"], "controlledValues": "RequestsOnly"}
    spec = {
        "targetRef": _target(service),
        "updatePolicy": {"updateMode": "Off"},
        "resourcePolicy": {"containerPolicies": [policy]},
    }
    return [of_service(placed.cell, service, "autoscaling.k8s.io/v1", "VerticalPodAutoscaler", {"spec": spec})]


def _behavior(wanted: Scaling) -> JsonObject:
    return {
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
    }


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
