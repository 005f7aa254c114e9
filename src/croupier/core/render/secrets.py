"""Secrets from the manager that keeps them (S5.4): an ExternalSecret for each that the services of a cell share, which
makes a Secret; or, where a region has the CSI driver, a SecretProviderClass for each that a pod mounts, and no Secret.

Their values are in no file of ours and in no repository. Either way a rotation reaches files of pods that run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from croupier.core.render.names import of_cell, of_service
from croupier.core.render.scaling import asked_with
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.service_spec import SecretRef, ServiceSpec
from croupier.model.store import secrets_of

KMS_KEY = "croupier.dev/kms-key"
ROTATE_DAYS = "croupier.dev/rotate-days"
_API = "external-secrets.io/v1"
_CSI = "secrets-store.csi.x-k8s.io/v1"
_DRIVER = "secrets-store.csi.k8s.io"
_READ_ONLY_FOR_GROUP = 0o440


def external_secrets(placed: PlacedCell) -> list[JsonObject]:
    """One a Secret, with every key that any service of the cell mounts. Beside the CSI driver pods mount none: only
    those are made that KEDA asks queues with, for it reads nothing else."""
    store = placed.region.secret_store
    if store is None:
        return []
    asked = None if placed.region.secrets_driver is None else _of_queues(placed)
    shared: dict[str, list[SecretRef]] = {}
    for reference in _references(placed):
        if asked is None or reference.mounted in asked:
            shared.setdefault(reference.mounted, []).append(reference)
    return [_external(placed, store, name, shared[name]) for name in sorted(shared)]


def provider_classes(placed: PlacedCell, service: ServiceSpec) -> list[JsonObject]:
    """What the CSI driver of the region mounts into pods of ``service``; nothing where there is none."""
    driver = placed.region.secrets_driver
    if driver is None:
        return []
    made = []
    for name, reference in sorted(secrets_of(placed, service).items()):
        if reference.remote is None:
            continue
        wanted = [
            {"objectName": key, "secretPath": reference.remote, "secretKey": key} for key in sorted(reference.keys)
        ]
        # The provider reads this text as YAML, of which JSON is a part.
        parameters = {**dict(sorted(driver.parameters.items())), "objects": json.dumps(wanted)}
        spec = {"provider": driver.provider, "parameters": parameters}
        called = _class_name(service, name)
        made.append(of_service(placed.cell, service, _CSI, "SecretProviderClass", {"spec": spec}, name=called))
    return made


def secret_volume(placed: PlacedCell, service: ServiceSpec, name: str, reference: SecretRef) -> JsonObject:
    """The source of the volume at ``/secrets/<name>``: a file for each key."""
    if placed.region.secrets_driver is None or reference.remote is None:
        items = [{"key": key, "path": key} for key in reference.keys]
        return {"secret": {"secretName": reference.mounted, "defaultMode": _READ_ONLY_FOR_GROUP, "items": items}}
    attributes = {"secretProviderClass": _class_name(service, name)}
    return {"csi": {"driver": _DRIVER, "readOnly": True, "volumeAttributes": attributes}}


def _class_name(service: ServiceSpec, name: str) -> str:
    return f"{service.name}-{name}"


def _external(placed: PlacedCell, store: str, name: str, references: list[SecretRef]) -> JsonObject:
    first, seconds = references[0], min(each.refresh_seconds for each in references)
    keys = sorted({key for each in references for key in each.keys})
    asked = {"key": first.remote, **({"version": first.version} if first.version else {})}
    spec = {
        "secretStoreRef": {"kind": "ClusterSecretStore", "name": store},
        "refreshPolicy": "Periodic",
        "refreshInterval": f"{seconds}s",
        # Pods of the version before mount the value before: on the way back they find it only if nobody owns it.
        "target": {"name": name, "creationPolicy": "Orphan" if first.version else "Owner", "deletionPolicy": "Retain"},
        "data": [{"secretKey": key, "remoteRef": {**asked, "property": key}} for key in keys],
    }
    made = of_cell(placed.cell, _API, "ExternalSecret", name, {"spec": spec})
    if noted := _noted(references):
        made["metadata"]["annotations"] = noted
    return made


def _noted(references: list[SecretRef]) -> dict[str, str]:
    """Annotations for who rotates and who audits: the key, and how old a value may get."""
    days = [each.rotate_days for each in references if each.rotate_days is not None]
    key = references[0].kms_key
    return {**({KMS_KEY: key} if key else {}), **({ROTATE_DAYS: str(min(days))} if days else {})}


def _of_queues(placed: PlacedCell) -> set[str]:
    """Secrets that KEDA reads."""
    return {
        secret
        for service in placed.services
        if service.scaling is not None and service.scaling.trigger is not None
        for secret, _ in asked_with(placed, service, service.scaling.trigger).values()
    }


def _references(placed: PlacedCell) -> Iterator[SecretRef]:
    """Those that come from the store; of one Secret all say the same place, or ``check`` refuses them."""
    for service in placed.services:
        for _, reference in sorted(secrets_of(placed, service).items()):
            if reference.remote is not None:
                yield reference
