"""Secrets from the manager that keeps them (S5.4): an ExternalSecret for each that the services of a cell share, which
makes a Secret; or, where a region has the CSI driver, a SecretProviderClass for each that a pod mounts, and no Secret;
or, where a secret says so, what Vault's injector reads of a pod: it puts an agent beside the program (S10.8).

Their values are in no file of ours and in no repository. Either way a rotation reaches files of pods that run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from croupier.core.render.names import of_cell, of_service
from croupier.core.render.pods import resources_of
from croupier.core.render.scaling import asked_with
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.service_spec import SECRETS, SecretRef, ServiceSpec
from croupier.model.store import agent_of, secrets_of

KMS_KEY = "croupier.dev/kms-key"
ROTATE_DAYS = "croupier.dev/rotate-days"
ELSEWHERE = "croupier.dev/secrets-elsewhere"
_API = "external-secrets.io/v1"
_CSI = "secrets-store.csi.x-k8s.io/v1"
_DRIVER = "secrets-store.csi.k8s.io"
_READ_ONLY_FOR_GROUP = 0o440
AGENT_TOKEN = "vault-token"
"""Volume of the token that an agent logs in with."""
_INJECTOR = "vault.hashicorp.com"
_TOKEN_SECONDS = 3600
_PASSED_BY = "traffic.sidecar.istio.io/excludeOutboundPorts"
"""The agent fills files before the sidecar of a mesh runs: what that is to carry goes nowhere yet, and no pod starts
(hashicorp/vault-k8s issue 41; Istio, "Compatibility with application init containers")."""


def external_secrets(placed: PlacedCell) -> list[JsonObject]:
    """One a Secret, with every key that any service of the cell mounts. Of what the CSI driver or an agent brings,
    only those are made that KEDA asks queues with, for it reads nothing else."""
    store = placed.region.secret_store
    if store is None:
        return []
    asked = _of_queues(placed)
    shared: dict[str, list[SecretRef]] = {}
    for reference in _references(placed):
        is_mounted = placed.region.secrets_driver is None and not reference.sidecar
        if is_mounted or reference.mounted in asked:
            shared.setdefault(reference.mounted, []).append(reference)
    return [_external(placed, store, name, shared[name]) for name in sorted(shared)]


def provider_classes(placed: PlacedCell, service: ServiceSpec) -> list[JsonObject]:
    """What the CSI driver of the region mounts into pods of ``service``; nothing where there is none."""
    driver = placed.region.secrets_driver
    if driver is None:
        return []
    made = []
    for name, reference in sorted(secrets_of(placed, service).items()):
        if reference.remote is None or reference.sidecar:
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


def mounted_secrets(placed: PlacedCell, service: ServiceSpec) -> dict[str, SecretRef]:
    """Those that are volumes of a pod: all but what an agent brings. By name, in order."""
    return {name: each for name, each in sorted(secrets_of(placed, service).items()) if not each.sidecar}


def elsewhere(placed: PlacedCell, service: ServiceSpec) -> dict[str, str]:
    """The annotation of a workload that names the Secrets which are there by other means than manifests of ours."""
    names = {
        each.mounted
        for name, each in mounted_secrets(placed, service).items()
        if "secret" in secret_volume(placed, service, name, each)
        and (placed.region.secret_store is None or each.remote is None)
    }
    return {ELSEWHERE: ",".join(sorted(names))} if names else {}


def injected(placed: PlacedCell, service: ServiceSpec) -> dict[str, str]:
    """Annotations of a pod that Vault's injector reads; nothing where no secret asks for it. Files are where they would
    be without it, and the program's own user writes them, so nobody else in the pod can read them."""
    agent = placed.region.secrets_agent
    brought = {name: each for name, each in sorted(secrets_of(placed, service).items()) if each.sidecar}
    if agent is None or not brought:
        return {}
    asked = resources_of(agent.resources)
    said = {
        "agent-inject": "true",
        "agent-inject-containers": "app",
        "agent-service-account-token-volume-name": AGENT_TOKEN,
        "agent-run-as-user": str(service.user),
        "agent-run-as-group": str(service.user),
        "agent-requests-cpu": asked["requests"]["cpu"],
        "agent-requests-mem": asked["requests"]["memory"],
        "agent-limits-mem": asked["limits"]["memory"],
        **({"agent-limits-cpu": asked["limits"]["cpu"]} if "cpu" in asked["limits"] else {}),
        "role": agent.role,
    }
    for number, (name, reference) in enumerate(brought.items()):
        for at, key in enumerate(sorted(reference.keys)):
            # Annotations have short names: which secret and key it is, its values say.
            one = f"{number}-{at}"
            said |= {
                f"agent-inject-secret-{one}": reference.remote or "",
                f"agent-inject-template-{one}": _template(reference.remote or "", key),
                f"agent-inject-file-{one}": key,
                f"agent-inject-perms-{one}": "0400",
                f"secret-volume-path-{one}": f"{SECRETS}/{name}",
            }
    mesh = placed.region.mesh
    passed = {_PASSED_BY: str(agent.port)} if mesh is not None and mesh.has_sidecars else {}
    return {**{f"{_INJECTOR}/{key}": value for key, value in said.items()}, **passed}


def agent_volumes(placed: PlacedCell, service: ServiceSpec) -> list[JsonObject]:
    """The token that an agent logs in with. The program does not get it."""
    agent = placed.region.secrets_agent
    if agent is None or agent_of(placed, service) is None:
        return []
    token = {"path": "token", "audience": agent.audience, "expirationSeconds": _TOKEN_SECONDS}
    return [{"name": AGENT_TOKEN, "projected": {"sources": [{"serviceAccountToken": token}]}}]


def _template(remote: str, key: str) -> str:
    """The value of a key, of either version of Vault's store of keys and values: the second holds data in data."""
    at, name = json.dumps(remote), json.dumps(key)
    return (
        f"{{{{ with secret {at} }}}}{{{{ with .Data.data }}}}{{{{ index . {name} }}}}"
        f"{{{{ else }}}}{{{{ index .Data {name} }}}}{{{{ end }}}}{{{{ end }}}}"
    )


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
