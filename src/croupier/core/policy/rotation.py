"""Whether a new value of a secret or a configuration reaches what runs (S5.5, S12.2, S16.3)."""

from __future__ import annotations

from collections.abc import Iterator

from croupier.core.policy.facts import RUNS_TO_COMPLETION
from croupier.core.policy.objects import Object, Pod, at, items, listed, mapping, text
from croupier.core.policy.quantities import whole
from croupier.core.policy.rule import Found, Hit, Level, bundle_rule, object_rule, pod_rule
from croupier.core.policy.world import World

SECRET = "containers: [{name: app, env: [{name: DSN, valueFrom: {secretKeyRef: {name: db, key: dsn}}}]}]"
EXTERNAL = (
    "{apiVersion: external-secrets.io/v1, kind: ExternalSecret, metadata: {name: db}, spec: {refreshInterval: %s}}"
)
BETS = (
    "{apiVersion: apps/v1, kind: Deployment, metadata: {name: bets}, spec: {template: {metadata: {annotations: {%s}}, "
    "spec: {containers: [{name: app, envFrom: [{configMapRef: {name: bets}}]}]}}}}"
)
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
    if restarts(pod) or pod.owner.kind in RUNS_TO_COMPLETION:
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
        if restarts(pod) or pod.owner.kind in {"Pod", *RUNS_TO_COMPLETION}:
            continue
        if world.release_policy_of(pod.owner) is not None:
            continue  # Each version has a copy of its own, and a change is a new version.
        for name in dict.fromkeys(_configs(pod)):
            held = world.named("ConfigMap", pod.owner.namespace, name)
            if held is not None and held.value.get("immutable") is not True:
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
