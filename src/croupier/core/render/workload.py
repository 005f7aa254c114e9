"""The workload of a service: its Deployment, its account, and how many of its pods may be missing at a time.

Where croupier releases, the Deployment is an intent (DESIGN §7): it rests at zero replicas, and the operator makes each
version that serves from its template. So it does not say how many pods there are, and nothing rolls when Git changes.
Elsewhere the Deployment serves, and rolls by itself.
"""

from __future__ import annotations

import math

from croupier.core.render.collector import tracing
from croupier.core.render.config import CHECKSUM, checksum, config_mounts, config_name, config_volumes
from croupier.core.render.egress import proxied
from croupier.core.render.engines import told
from croupier.core.render.flags import heavy, live, mounts, volumes
from croupier.core.render.flags import told as told_flags
from croupier.core.render.mesh import annotations_of
from croupier.core.render.names import of_service, priority_class, rank, selector, service_labels
from croupier.core.render.placement import placement
from croupier.core.render.pods import hardened, resources_of
from croupier.core.render.secrets import agent_volumes, elsewhere, injected, mounted_secrets, secret_volume
from croupier.core.render.version import VERSION_LABEL
from croupier.model.objects import JsonObject
from croupier.model.platform import ENDPOINTS_SECONDS, Cell, PlacedCell
from croupier.model.service_spec import SECRETS, Rollout, ServiceSpec

_SCRATCH = "64Mi"
_HASH_LABEL = "pod-template-hash"
_REVISION_LABEL = "controller-revision-hash"
"""What tells pods of one version of a Deployment, or a StatefulSet, from those of another."""
_HISTORY = 5
"""Versions that ``kubectl rollout undo`` can go back to."""


def account(cell: Cell, service: ServiceSpec) -> JsonObject:
    """A ServiceAccount of the service's own; its pods get no token, because they have no business with the cluster."""
    return of_service(cell, service, "v1", "ServiceAccount", {"automountServiceAccountToken": False})


def disruption_budget(cell: Cell, service: ServiceSpec) -> JsonObject:
    """One pod at a time may be taken away. A maximum, not a minimum: with one replica nodes can still be drained."""
    body = {"spec": {"maxUnavailable": 1, "selector": selector(service.name)}}
    return of_service(cell, service, "policy/v1", "PodDisruptionBudget", body)


def intent(placed: PlacedCell, service: ServiceSpec) -> JsonObject:
    """The Deployment at rest."""
    return _deployment(placed, service, {"replicas": 0, "revisionHistoryLimit": 1}, VERSION_LABEL)


def deployment(placed: PlacedCell, service: ServiceSpec) -> JsonObject:
    """The Deployment that serves where croupier does not release: a new pod is ready before an old one ends (S4.1).

    Who scales it says how many pods there are.
    """
    count = {} if service.scaling else {"replicas": service.replicas}
    moved = service.rollout or Rollout()
    rolling = {"maxSurge": moved.max_surge, "maxUnavailable": moved.max_unavailable}
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    return _deployment(placed, service, {**count, "revisionHistoryLimit": _HISTORY, "strategy": strategy}, _HASH_LABEL)


def stateful_set(placed: PlacedCell, service: ServiceSpec) -> list[JsonObject]:
    """The same for a service whose pods have disks of their own: one pod after the other is replaced, and a disk stays
    when its pod, or all of the service, is gone. Each pod has a name in DNS, by a Service of their own."""
    cell, headless = placed.cell, f"{service.name}-pods"
    count = {} if service.scaling else {"replicas": service.replicas}
    claims = [
        {
            "metadata": {"name": f"volume-{name}", "labels": service_labels(cell, service)},
            "spec": {
                "accessModes": ["ReadWriteOnce"],
                "storageClassName": each.storage,
                "resources": {"requests": {"storage": each.size}},
            },
        }
        for name, each in sorted(service.volumes.items())
    ]
    spec = {
        **count,
        "revisionHistoryLimit": _HISTORY,
        "serviceName": headless,
        "updateStrategy": {"type": "RollingUpdate"},
        "persistentVolumeClaimRetentionPolicy": {"whenDeleted": "Retain", "whenScaled": "Retain"},
        "selector": selector(service.name),
        "template": _template(placed, service, _REVISION_LABEL),
        "volumeClaimTemplates": claims,
    }
    ports = [
        {"name": each.name, "port": each.port, "targetPort": each.name, "protocol": "TCP"} for each in service.ports
    ]
    names = {
        "clusterIP": "None",
        "publishNotReadyAddresses": True,
        "selector": selector(service.name)["matchLabels"],
        "ports": ports,
    }
    return [
        of_service(cell, service, "v1", "Service", {"spec": names}, name=headless),
        _noted(of_service(cell, service, "apps/v1", "StatefulSet", {"spec": spec}), placed, service),
    ]


def _deployment(placed: PlacedCell, service: ServiceSpec, head: JsonObject, version_label: str) -> JsonObject:
    """``version_label``: what tells pods of one version from those of another."""
    body = {
        "spec": {
            **head,
            "progressDeadlineSeconds": service.start_seconds + 600,
            "selector": selector(service.name),
            "template": _template(placed, service, version_label),
        }
    }
    return _noted(of_service(placed.cell, service, "apps/v1", "Deployment", body), placed, service)


def _noted(made: JsonObject, placed: PlacedCell, service: ServiceSpec) -> JsonObject:
    """A workload that says which of its features can be switched off, and which of its Secrets no manifest makes."""
    if noted := {**heavy(service), **elsewhere(placed, service)}:
        made["metadata"]["annotations"] = noted
    return made


def _template(placed: PlacedCell, service: ServiceSpec, version_label: str) -> JsonObject:
    labels, annotations = (
        service_labels(placed.cell, service),
        {
            CHECKSUM: checksum(service),
            **live(service),
            **injected(placed, service),
            **annotations_of(placed.region.mesh),
        },
    )
    return {"metadata": {"labels": labels, "annotations": annotations}, "spec": _pod(placed, service, version_label)}


def _pod(placed: PlacedCell, service: ServiceSpec, version_label: str) -> JsonObject:
    secrets = mounted_secrets(placed, service)
    mounted = [
        *volumes(service),
        *config_volumes(service),
        *(
            {"name": f"secret-{number}", **secret_volume(placed, service, name, reference)}
            for number, (name, reference) in enumerate(secrets.items())
        ),
        *agent_volumes(placed, service),
        *(
            {"name": f"scratch-{number}", "emptyDir": {"sizeLimit": _SCRATCH}}
            for number, _ in enumerate(service.writable)
        ),
    ]
    return {
        "serviceAccountName": service.name,
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "priorityClassName": priority_class(rank(service)),
        **placement(placed.region.pool_of(service)),
        "terminationGracePeriodSeconds": placed.grace_seconds(service),
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": service.user,
            "runAsGroup": service.user,
            "fsGroup": service.user,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "topologySpreadConstraints": _spread(placed, service, version_label),
        "containers": [_container(placed, service, version_label)],
        **({"volumes": mounted} if mounted else {}),
    }


def _spread(placed: PlacedCell, service: ServiceSpec, version_label: str) -> list[JsonObject]:
    """Pods of one version apart from each other. Money waits for a zone rather than share one."""
    strict = service.tier == "money" and len(placed.region.zones) > 1
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "DoNotSchedule" if must else "ScheduleAnyway",
            "labelSelector": selector(service.name),
            "matchLabelKeys": [version_label],
        }
        for key, must in (("topology.kubernetes.io/zone", strict), ("kubernetes.io/hostname", False))
    ]


def _container(placed: PlacedCell, service: ServiceSpec, version_label: str) -> JsonObject:
    config, in_files = config_name(service), service.config_as == "files"
    secrets = mounted_secrets(placed, service)
    mounted = [
        *mounts(service),
        *config_mounts(service),
        *(
            {"name": f"secret-{number}", "mountPath": f"{SECRETS}/{name}", "readOnly": True}
            for number, name in enumerate(secrets)
        ),
        *({"name": f"scratch-{number}", "mountPath": path} for number, path in enumerate(service.writable)),
        *({"name": f"volume-{name}", "mountPath": each.path} for name, each in sorted(service.volumes.items())),
    ]
    return {
        "name": "app",
        "image": service.image,
        "imagePullPolicy": "IfNotPresent",
        **({"args": list(service.args)} if service.args else {}),
        "ports": [{"name": each.name, "containerPort": each.port, "protocol": "TCP"} for each in service.ports],
        "env": _environment(placed, service, version_label),
        **({"envFrom": [{"configMapRef": {"name": config}}]} if config and not in_files else {}),
        "resources": resources_of(service.resources),
        "startupProbe": _probe(service, service.probes.liveness_path, start=True),
        "livenessProbe": _probe(service, service.probes.liveness_path),
        "readinessProbe": _probe(service, service.readiness_path),
        "lifecycle": {"preStop": {"sleep": {"seconds": ENDPOINTS_SECONDS}}},
        "securityContext": hardened(),
        **({"volumeMounts": mounted} if mounted else {}),
    }


def _environment(placed: PlacedCell, service: ServiceSpec, version_label: str) -> list[JsonObject]:
    """What a service must know to count what it does for its version (``croupier_kit``), and to tell what it did."""
    fields = {
        "POD_NAME": "metadata.name",
        "NAMESPACE": "metadata.namespace",
        "CROUPIER_VERSION": f"metadata.labels['{version_label}']",
    }
    return [
        *({"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()),
        {"name": "CROUPIER_SERVICE", "value": f"{service.name}.$(NAMESPACE)"},
        *({"name": name, "value": value} for name, value in told(placed, service).items()),
        *({"name": name, "value": value} for name, value in told_flags(service).items()),
        *({"name": name, "value": value} for name, value in tracing(placed, service).items()),
        *({"name": name, "value": value} for name, value in proxied(placed, service).items()),
    ]


def _probe(service: ServiceSpec, path: str, *, start: bool = False) -> JsonObject:
    """A probe; the one of the start allows for ``startSeconds`` before the others begin, and asks what is warm."""
    probes = service.probes
    asked: JsonObject = {"httpGet": {"path": (probes.warm_up_path if start else None) or path, "port": "http"}}
    if start and probes.warm_up_command:
        asked = {"exec": {"command": list(probes.warm_up_command)}}
    return {
        **asked,
        "periodSeconds": probes.period_seconds,
        "timeoutSeconds": probes.timeout_seconds,
        "failureThreshold": (
            math.ceil(service.start_seconds / probes.period_seconds) + 1 if start else probes.failure_threshold
        ),
    }
