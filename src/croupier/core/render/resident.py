"""Programs that a region has once, beside its cells: collectors of traces, egress gateways. How their pods run is the
same for all (S3.8-S3.12): hardened, spread, one at a time missing, with a configuration that another pod comes with.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from croupier.core.render.names import APP, MANAGED_BY, priority_class, selector
from croupier.core.render.pods import hardened, resources_of, restricted
from croupier.model.container import Resources
from croupier.model.objects import JsonObject


class Resident(NamedTuple):
    """One program. ``rank``: who goes first where room is short. ``ports``: of its pods, by name; ``service``: the
    Service's spec without its selector. ``ready``: path and name of the port that all probes ask.

    ``config``: folder it is mounted at, file in it, text. ``pause_seconds``: how long a pod that is to end goes on;
    ``grace_seconds``: until force.
    """

    namespace: str
    name: str
    container: str
    image: str
    words: JsonObject
    resources: Resources
    replicas: int
    user: int
    rank: str
    ports: Mapping[str, int]
    service: JsonObject
    ready: tuple[str, str]
    config: tuple[str, str, str]
    pause_seconds: int
    grace_seconds: int
    dns: JsonObject
    annotations: Mapping[str, str] = {}

    def made(self, name: str, api: str, kind: str, body: JsonObject) -> JsonObject:
        metadata = {"name": name, "namespace": self.namespace, "labels": {**MANAGED_BY, APP: self.name}}
        return {"apiVersion": api, "kind": kind, "metadata": metadata, **body}


def wall(namespace: str, name: str, spec: JsonObject) -> JsonObject:
    """A NetworkPolicy around one or all of them."""
    metadata = {"name": name, "namespace": namespace, "labels": dict(MANAGED_BY)}
    return {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "metadata": metadata, "spec": spec}


def space(name: str, **labels: str) -> JsonObject:
    """Their namespace, under Pod Security ``restricted``."""
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": {**MANAGED_BY, **labels, **restricted()}},
    }


def resident(held: Resident) -> list[JsonObject]:
    """All that it is, but its namespace and walls."""
    folder, file, text = held.config
    config = f"{held.name}-config-{hashlib.sha256(text.encode()).hexdigest()[:10]}"
    budget = {"maxUnavailable": 1, "selector": selector(held.name)}
    service = {"selector": selector(held.name)["matchLabels"], **held.service}
    return [
        held.made(held.name, "v1", "ServiceAccount", {"automountServiceAccountToken": False}),
        held.made(config, "v1", "ConfigMap", {"immutable": True, "data": {file: text}}),
        held.made(held.name, "policy/v1", "PodDisruptionBudget", {"spec": budget}),
        held.made(held.name, "apps/v1", "Deployment", {"spec": _deployment(held, config, folder)}),
        held.made(held.name, "v1", "Service", {"spec": service}),
    ]


def _deployment(held: Resident, config: str, folder: str) -> JsonObject:
    path, port = held.ready
    probe: dict[str, Any] = {"httpGet": {"path": path, "port": port}, "periodSeconds": 5, "timeoutSeconds": 2}
    container = {
        "name": held.container,
        "image": held.image,
        "imagePullPolicy": "IfNotPresent",
        **held.words,
        "ports": [{"name": each, "containerPort": number, "protocol": "TCP"} for each, number in held.ports.items()],
        "resources": resources_of(held.resources),
        "startupProbe": {**probe, "failureThreshold": 12},
        "livenessProbe": {**probe, "failureThreshold": 6},
        "readinessProbe": {**probe, "failureThreshold": 3},
        "lifecycle": {"preStop": {"sleep": {"seconds": held.pause_seconds}}},
        "securityContext": hardened(),
        "volumeMounts": [{"name": "config", "mountPath": folder, "readOnly": True}],
    }
    pod = {
        "serviceAccountName": held.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "priorityClassName": priority_class(held.rank),
        "terminationGracePeriodSeconds": held.grace_seconds,
        **({"dnsConfig": held.dns} if held.dns else {}),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": held.user,
            "runAsGroup": held.user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": _spread(held.name),
        "containers": [container],
        "volumes": [{"name": "config", "configMap": {"name": config}}],
    }
    metadata: JsonObject = {"labels": {APP: held.name, **MANAGED_BY}}
    if held.annotations:
        metadata["annotations"] = dict(held.annotations)
    return {
        "replicas": held.replicas,
        "selector": selector(held.name),
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "template": {"metadata": metadata, "spec": pod},
    }


def _spread(name: str) -> list[JsonObject]:
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": selector(name),
            "matchLabelKeys": ["pod-template-hash"],
        }
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]
