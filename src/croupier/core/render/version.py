"""One version of a service as Kubernetes objects: a Deployment, a Service, frozen copies of its ConfigMaps, a scaler.

A version is made from the pod template of the intent Deployment and the content of every ConfigMap that the template
names, so a change of configuration alone is a new version too (DESIGN §7). Nothing here is ever changed once made:
a Deployment whose template would differ is another version.
"""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import rfc8785

from croupier.model.digest import short
from croupier.model.objects import JsonObject
from croupier.model.release_policy import API_VERSION, GROUP, TLS_SERVICE_PORT, ReleasePolicySpec

POLICY_LABEL = f"{GROUP}/policy"
VERSION_LABEL = f"{GROUP}/version"
DIGEST = f"{GROUP}/digest"
RETIRE_AT = f"{GROUP}/retire-at"
"""Annotation: epoch seconds at which a version that serves nobody is scaled to zero."""
COPY_OF = f"{GROUP}/copy-of"
LIVE = f"{GROUP}/live-config"
"""Annotation of a pod template: ConfigMaps whose changes reach running pods, apart by commas. They are not frozen."""
ASKED = f"{GROUP}/replicas"
"""Annotation of a version: how many pods the policy asked for when the version was made, or followed it last."""

TLS_PORT = TLS_SERVICE_PORT
TLS_PORT_NAME = "https"
"""Of the Service of a version, where its pods speak TLS to the gateway."""
WARM = f"{GROUP}/warm"
"""Annotation of a scaler: JSON, times at which the calendar asks for more pods than its minimum (``warm_pods``)."""

LONGEST_NAME = 63
_LONGEST_BASE = LONGEST_NAME - 13


@dataclass(frozen=True, slots=True)
class Owner:
    """The ``ReleasePolicy`` that versions belong to."""

    namespace: str
    name: str
    uid: str
    spec: ReleasePolicySpec

    @property
    def service(self) -> str:
        """The engine's name of the service."""
        return f"{self.name}.{self.namespace}"

    @property
    def reference(self) -> JsonObject:
        kind = {"apiVersion": API_VERSION, "kind": "ReleasePolicy"}
        return {**kind, "name": self.name, "uid": self.uid, "controller": True, "blockOwnerDeletion": True}


def labels(policy: str, digest: str) -> dict[str, str]:
    """What selects the pods of one version."""
    return {POLICY_LABEL: policy, VERSION_LABEL: short(digest)}


def object_name(base: str, digest: str) -> str:
    """``<base>-<digest12>``. Of a base that is too long the beginning stays, and a hash that tells it from others."""
    if len(base) > _LONGEST_BASE:
        base = f"{base[: _LONGEST_BASE - 9].rstrip('-.')}-{hashlib.sha256(base.encode()).hexdigest()[:8]}"
    return f"{base}-{short(digest)}"


def version_digest(template: Mapping[str, Any], config: Mapping[str, Mapping[str, Any]]) -> str:
    """The digest that names a version.

    Args:
        template: pod template of the intent.
        config: content of each ConfigMap the template names: name -> its ``data`` and ``binaryData``.
    """
    content = rfc8785.dumps({"template": dict(template), "config": {name: dict(config[name]) for name in config}})
    return "sha256:" + hashlib.sha256(content).hexdigest()


def intent_digest(namespace: str, deployment: str) -> str:
    """The digest under which pods of the intent Deployment itself run, before it is adopted and after leaving."""
    return "sha256:" + hashlib.sha256(f"intent {namespace}/{deployment}".encode()).hexdigest()


def config_map_names(template: Mapping[str, Any], *, needed: bool = False) -> set[str]:
    """Every ConfigMap that a pod template names and a version freezes: ``envFrom``, ``env``, volumes and projected
    volumes.

    ``needed``: only those without which no pod starts.
    """
    return {reference[key] for reference, key in _references(template) if not (needed and reference.get("optional"))}


def content_of(config_map: Mapping[str, Any]) -> JsonObject:
    """What of a ConfigMap makes a version: its content, not who wrote it."""
    return {key: config_map[key] for key in ("data", "binaryData") if config_map.get(key)}


def frozen_config_maps(owner: Owner, digest: str, config: Mapping[str, Mapping[str, Any]]) -> list[JsonObject]:
    """Immutable copies of what ``config`` holds."""
    return [
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata_of(owner, digest, object_name(name, digest), {COPY_OF: name}),
            "immutable": True,
            **config[name],
        }
        for name in sorted(config)
    ]


def version_service(owner: Owner, digest: str, selector: Mapping[str, str] | None = None) -> JsonObject:
    """The Service of one version: what a route names. ``selector`` None: the version's own pods."""
    spec, route = owner.spec.service, owner.spec.route
    ports = [{"name": "http", "port": spec.port, "targetPort": spec.target_port, "protocol": "TCP"}]
    if route is not None and route.tls is not None:
        ports.append({"name": TLS_PORT_NAME, "port": TLS_PORT, "targetPort": route.tls.port, "protocol": "TCP"})
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata_of(owner, digest, object_name(owner.name, digest), {DIGEST: digest}),
        "spec": {"selector": dict(selector or labels(owner.name, digest)), "ports": ports},
    }


def version_deployment(owner: Owner, digest: str, intent: Mapping[str, Any], replicas: int) -> JsonObject:
    """The Deployment of one version. ``intent``: the Deployment in Git, whose template it takes."""
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata_of(
            owner, digest, object_name(owner.name, digest), {DIGEST: digest, ASKED: str(owner.spec.replicas)}
        ),
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": labels(owner.name, digest)},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 0, "maxUnavailable": 1}},
            "minReadySeconds": intent["spec"].get("minReadySeconds", 0),
            "progressDeadlineSeconds": intent["spec"].get("progressDeadlineSeconds", 600),
            "revisionHistoryLimit": 1,
            "template": version_template(owner.name, digest, intent["spec"]["template"]),
        },
    }


def warm_pods(scaler: Mapping[str, Any], now: float) -> int:
    """Pods that the calendar asks for at ``now`` (epoch seconds); 0: none, or what is written there cannot be read."""
    text = (scaler["metadata"].get("annotations") or {}).get(WARM, "[]")
    try:
        found = [int(each["pods"]) for each in json.loads(text) if _epoch(each["from"]) <= now < _epoch(each["until"])]
    except (ValueError, TypeError, KeyError):
        return 0
    return max(found, default=0)


def _epoch(text: str) -> float:
    return datetime.fromisoformat(text).timestamp()


def version_scaler(owner: Owner, digest: str, scaler: Mapping[str, Any], floor: int) -> JsonObject:
    """A version's own copy of the HorizontalPodAutoscaler that Git holds for the intent.

    Args:
        owner: the policy.
        digest: the version.
        scaler: the one in Git, which rests because the intent has no pods.
        floor: pods below which it must not go, however little there is to do: a way back never waits for a scale-up.
    """
    spec = copy.deepcopy(dict(scaler["spec"]))
    spec["scaleTargetRef"] = {"apiVersion": "apps/v1", "kind": "Deployment", "name": object_name(owner.name, digest)}
    spec["minReplicas"] = max(int(spec.get("minReplicas") or 1), floor)
    spec["maxReplicas"] = max(int(spec["maxReplicas"]), spec["minReplicas"])
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": metadata_of(owner, digest, object_name(owner.name, digest), {COPY_OF: scaler["metadata"]["name"]}),
        "spec": spec,
    }


def version_rule(owner: Owner, digest: str, rule: Mapping[str, Any]) -> JsonObject:
    """A version's own copy of the DestinationRule that Git holds for the Service: calls that a mesh splits go to hosts
    of versions, which it does not name."""
    name, host = object_name(owner.name, digest), str(rule["spec"]["host"])
    made = {**copy.deepcopy(dict(rule["spec"])), "host": ".".join((name, *host.split(".")[1:]))}
    metadata = metadata_of(owner, digest, name, {COPY_OF: rule["metadata"]["name"]})
    return {"apiVersion": rule["apiVersion"], "kind": rule["kind"], "metadata": metadata, "spec": made}


def version_template(policy: str, digest: str, template: Mapping[str, Any]) -> JsonObject:
    """The intent's pod template with the version's labels, reading the frozen copies of its ConfigMaps."""
    made = copy.deepcopy(dict(template))
    metadata = made.setdefault("metadata", {})
    metadata["labels"] = {**(metadata.get("labels") or {}), **labels(policy, digest)}
    metadata.pop("creationTimestamp", None)
    for reference, key in _references(made):
        reference[key] = object_name(reference[key], digest)
    return made


def metadata_of(owner: Owner, digest: str, name: str, annotations: Mapping[str, str]) -> JsonObject:
    """Of what belongs to one version."""
    return {
        "name": name,
        "namespace": owner.namespace,
        "labels": labels(owner.name, digest),
        "annotations": dict(annotations),
        "ownerReferences": [owner.reference],
    }


def _references(template: Mapping[str, Any]) -> Iterator[tuple[JsonObject, str]]:
    """Each place that names a ConfigMap which is part of the version: (object, key under which the name stands)."""
    annotations = (template.get("metadata") or {}).get("annotations") or {}
    live = {each.strip() for each in annotations.get(LIVE, "").split(",")}
    yield from (each for each in _named(template.get("spec") or {}) if each[0].get(each[1]) not in live)


def _named(pod: Mapping[str, Any]) -> Iterator[tuple[JsonObject, str]]:
    for container in (*(pod.get("containers") or ()), *(pod.get("initContainers") or ())):
        for source in container.get("envFrom") or ():
            if "configMapRef" in source:
                yield source["configMapRef"], "name"
        for variable in container.get("env") or ():
            reference = (variable.get("valueFrom") or {}).get("configMapKeyRef")
            if reference:
                yield reference, "name"
    for volume in pod.get("volumes") or ():
        if "configMap" in volume:
            yield volume["configMap"], "name"
        for source in (volume.get("projected") or {}).get("sources") or ():
            if "configMap" in source:
                yield source["configMap"], "name"
