"""Whether a new value of a secret or a configuration reaches what runs (S5.5, S12.2, S16.3)."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping

from croupier.core.policy.facts import PREFIX, runs_to_completion
from croupier.core.policy.objects import Object, Pod, at, items, listed, mapping, text
from croupier.core.policy.quantities import whole
from croupier.core.policy.rule import Found, Hit, Level, bundle_rule, object_rule, pod_rule
from croupier.core.policy.world import World
from croupier.model.objects import JsonObject

SECRET = "containers: [{name: app, env: [{name: DSN, valueFrom: {secretKeyRef: {name: db, key: dsn}}}]}]"
EXTERNAL = (
    "{apiVersion: external-secrets.io/v1, kind: ExternalSecret, metadata: {name: db}, spec: {refreshInterval: %s}}"
)
BETS = (
    "{apiVersion: apps/v1, kind: Deployment, metadata: {name: bets}, spec: {template: {metadata: {annotations: {%s}}, "
    "spec: {containers: [{name: app, envFrom: [{configMapRef: {name: bets}}]}]}}}}"
)
CHECKSUM = f"{PREFIX}config-checksum"
_LIVE = f"{PREFIX}live-config"
"""ConfigMaps that the program reads again, apart by commas: no checksum is of them."""
_KUSTOMIZE = str.maketrans("013ae", "ghkmt")
"""Digits of a hash -> what Kustomize writes for them, so that they make no words."""
_KUSTOMIZED = re.compile(r"-(?=[2456789bcdf]*[ghkmt])[2456789bcdfghkmt]{10}$")
"""Names by Kustomize, with a letter that is no hexadecimal digit: others write those."""
_ESCAPED = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}
CONFIG = "\n---\n{apiVersion: v1, kind: ConfigMap, metadata: {name: bets}, data: {LIMIT: '100'}}"


def restarts(pod: Pod) -> bool:
    """Whether something restarts the pod when what it reads changes: a checksum in its annotations, or a reloader."""
    for held in (pod.annotations, pod.owner.annotations):
        for key in held:
            if "checksum" in key or key.startswith(
                ("reloader.stakater.com/", "secret.reloader.", "configmap.reloader.")
            ):
                return True
    return False


@pod_rule(
    "secret-env-rotation", "A secret in the environment is renewed with a restart", level=Level.ERROR, source="S16.3",
    why="The environment keeps the old value for as long as the process lives: a rotated key goes on working "
    "nowhere, a "
    "leaked one is never replaced.",
    fix="Mount the Secret as a file; or tie the pod to it by a checksum annotation or a reloader.",
    bad=SECRET, good="volumes: [{name: db, secret: {secretName: db}}]",
)  # fmt: skip
def secret_env_rotation(pod: Pod) -> Iterator[Hit]:
    if restarts(pod) or runs_to_completion(pod.owner) or pod.is_made:
        return
    for each in pod.containers:
        for index, variable in items(each.value.get("env")):
            held = at(variable, "valueFrom", "secretKeyRef")
            if held is not None:
                name = text(variable.get("name"))
                said = f"{name} of {each.called} keeps the old value after a rotation"
                yield Hit((*each.path, "env", index), said)
        for index, source in items(each.value.get("envFrom")):
            if "secretRef" in source:
                said = f"{each.called} keeps old values after a rotation"
                yield Hit((*each.path, "envFrom", index, "secretRef"), said)


@object_rule(
    "secret-refresh", "An ExternalSecret is fetched again", level=Level.ERROR, source="S5.4, S5.5",
    why="A secret that is fetched once is the one that was rotated away.",
    fix="Set refreshInterval to an hour or so.", kinds=("ExternalSecret",),
    bad=EXTERNAL % "'0'", good=EXTERNAL % "1h",
)  # fmt: skip
def secret_refresh(each: Object) -> Iterator[Hit]:
    if each.spec.get("refreshPolicy") == "CreatedOnce":
        yield Hit(("spec", "refreshPolicy"), "it is fetched once")
    elif each.spec.get("refreshInterval") in ("0", "0s", "0m", "0h", 0):
        yield Hit(("spec", "refreshInterval"), "it is fetched once")


def _mistaken(world: World, pod: Pod) -> Iterator[Found]:
    """A checksum or a name that says another content than there is. Of checksums croupier's own is known; how Helm's
    and others' are made, manifests do not tell.
    """
    mounted = (text(at(volume, "configMap", "name")) for _, volume in items(pod.spec.get("volumes")))
    named = (world.named("ConfigMap", pod.owner.namespace, each) for each in (*_configs(pod), *mounted) if each)
    live = {each.strip() for each in text(pod.annotations.get(_LIVE)).split(",")}
    held = {each.name: each for each in named if each is not None and each.name not in live}
    written = pod.annotations.get(CHECKSUM)
    if written is not None and held and all(content_checksum(_data(each)) != written for each in held.values()):
        said = f"{CHECKSUM} is not that of {' or '.join(held)}"
        yield Found(pod.owner, (*(pod.meta or pod.path), "annotations", CHECKSUM), said)
    for each in held.values():
        if _KUSTOMIZED.search(each.name) and not _is_named_by_content(each):
            yield Found(each, ("metadata", "name"), "its name is that of another content: pods keep the old one")


def _data(each: Object) -> dict[str, str]:
    return {key: value for key, value in mapping(each.value.get("data")).items() if type(value) is str}


def content_checksum(config: Mapping[str, str]) -> str:
    """SHA-256 over the data of a ConfigMap as canonical JSON (RFC 8785), 64 hex digits."""
    import rfc8785  # noqa: PLC0415  # only who meets a checksum needs it

    return hashlib.sha256(rfc8785.dumps(dict(config))).hexdigest()


def _is_named_by_content(each: Object) -> bool:
    """Whether the name ends as Kustomize's generators let it end for this content."""
    held: JsonObject = {"data": each.value.get("data") or "", "kind": "ConfigMap", "name": ""}
    if mapping(each.value.get("binaryData")):
        held["binaryData"] = each.value["binaryData"]
    words = json.dumps(held, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    for written, as_go_does in _ESCAPED.items():
        words = words.replace(written, as_go_does)
    ending = hashlib.sha256(words.encode(errors="replace")).hexdigest()[:10].translate(_KUSTOMIZE)
    return each.name.endswith(f"-{ending}")


def _configs(pod: Pod) -> Iterator[str]:
    """Names of the ConfigMaps whose values the pod takes when it starts."""
    for each in pod.containers:
        for source in listed(each.value.get("envFrom")):
            yield text(at(source, "configMapRef", "name"))
        for variable in listed(each.value.get("env")):
            yield text(at(variable, "valueFrom", "configMapKeyRef", "name"))


@bundle_rule(
    "config-checksum", "A change of configuration is a new version of the pod", level=Level.WARNING,
    source="S12.2, S15.6",
    why="Otherwise some pods run with the old values and some with the new, until the last one happens to restart.",
    fix="Name the ConfigMap by its content and make it immutable, or put a checksum of it into the pod's annotations.",
    bad=BETS % "" + CONFIG, good=BETS % "checksum/config: 5f2b" + CONFIG,
)  # fmt: skip
def config_checksum(world: World) -> Iterator[Found]:
    for pod in world.pods:
        yield from _mistaken(world, pod)
        if restarts(pod) or pod.owner.kind == "Pod" or runs_to_completion(pod.owner):
            continue
        if world.release_policy_of(pod.owner) is not None:
            continue  # Each version has a copy of its own, and a change is a new version.
        for name in dict.fromkeys(_configs(pod)):
            held = world.named("ConfigMap", pod.owner.namespace, name)
            if held is not None and held.value.get("immutable") is not True and not _is_named_by_content(held):
                said = f"ConfigMap {name} can change under running pods"
                yield Found(pod.owner, (*(pod.meta or pod.path), "annotations"), said)


@object_rule(
    "database-backup", "A database can be brought back to any moment", level=Level.ERROR, source="S7.2, S7.3, S15.8",
    why="Without an archive of the log, what players won since the last dump is gone with the disk.",
    fix="Set backup (barmanObjectStore or the plugin) with a retentionPolicy, and three instances.", kinds=("Cluster",),
    bad="{apiVersion: postgresql.cnpg.io/v1, kind: Cluster, metadata: {name: db}, spec: {instances: 3}}",
    good="{apiVersion: postgresql.cnpg.io/v1, kind: Cluster, metadata: {name: db}, spec: {instances: 3, backup: "
    "{retentionPolicy: 30d, barmanObjectStore: {destinationPath: 's3://backups/db'}}}}",
)  # fmt: skip
def database_backup(each: Object) -> Iterator[Hit]:
    if each.group != "postgresql.cnpg.io":
        return
    plugins = [mapping(plugin) for plugin in listed(each.spec.get("plugins"))]
    archives = any(plugin.get("isWALArchiver") is True and plugin.get("enabled") is not False for plugin in plugins)
    if not mapping(at(each.spec, "backup", "barmanObjectStore")) and not archives:
        yield Hit(("spec", "backup"), "no archive of its log: there is no way back to a moment")
    elif not archives and not at(each.spec, "backup", "retentionPolicy"):
        yield Hit(("spec", "backup"), "retentionPolicy is not set")
    if (whole(each.spec.get("instances")) or 1) < 2:
        yield Hit(("spec", "instances"), "one instance is all there is")


RULES = (secret_env_rotation, secret_refresh, config_checksum, database_backup)
