"""Where the Secrets that pods use come from (S5.4, S10.6): what makes them from a secret manager, or an operator."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import NamedTuple

from croupier.core.policy.facts import ELSEWHERE, annotation
from croupier.core.policy.objects import Object, Pod, at, items, mapping, text
from croupier.core.policy.rule import Found, Level, bundle_rule
from croupier.core.policy.world import World
from croupier.model.manifest import Path

DRIVER = "secrets-store.csi.k8s.io"
POD = (
    "{apiVersion: v1, kind: Pod, metadata: {name: bets, namespace: casino}, spec: {containers: [{name: app}], volumes: "
    "[{name: db, secret: {secretName: db}}]}}\n"
)
_NAMED_AT: dict[tuple[str, str], tuple[Path, ...]] = {
    ("external-secrets.io", "ExternalSecret"): (("spec", "target", "name"),),
    ("external-secrets.io", "ClusterExternalSecret"): (
        ("spec", "externalSecretName"), ("spec", "externalSecretSpec", "target", "name"),
    ),
    ("bitnami.com", "SealedSecret"): (("spec", "template", "metadata", "name"),),
    ("cert-manager.io", "Certificate"): (("spec", "secretName"),),
    ("secrets.hashicorp.com", "VaultStaticSecret"): (("spec", "destination", "name"),),
    ("secrets.hashicorp.com", "VaultDynamicSecret"): (("spec", "destination", "name"),),
    ("secrets.hashicorp.com", "VaultPKISecret"): (("spec", "destination", "name"),),
    ("onepassword.com", "OnePasswordItem"): (),
    ("secrets.infisical.com", "InfisicalSecret"): (("spec", "managedSecretReference", "secretName"),),
    ("secrets.doppler.com", "DopplerSecret"): (("spec", "managedSecret", "name"),),
    ("spv.no", "AzureKeyVaultSecret"): (("spec", "output", "secret", "name"),),
    ("kafka.strimzi.io", "KafkaUser"): (),
}  # fmt: skip
"""(group, kind) of what has one Secret made -> where its name stands, else it is that of the object."""
_OPERATED = frozenset(
    (
        ("postgresql.cnpg.io", "Cluster"), ("kafka.strimzi.io", "Kafka"), ("rabbitmq.com", "RabbitmqCluster"),
        ("postgres-operator.crunchydata.com", "PostgresCluster"), ("pgv2.percona.com", "PerconaPGCluster"),
        ("pxc.percona.com", "PerconaXtraDBCluster"),
        ("elasticsearch.k8s.elastic.co", "Elasticsearch"), ("acid.zalan.do", "postgresql"),
    )
)  # fmt: skip
"""(group, kind) of stores whose operators make Secrets that are called after them."""


_SEVERAL = {"SecretProviderClass": ("secretObjects", "secretName"), "SopsSecret": ("secretTemplates", "name")}
"""Kind of what has several made -> the list in its spec, and where the name stands in each."""


class Use(NamedTuple):
    """A Secret that a pod uses, and where it says so."""

    name: str
    path: Path


class Makers:
    """What has Secrets made, of one ``World``."""

    def __init__(self, world: World) -> None:
        self._names: dict[str, set[str]] = defaultdict(set)
        self._patterns: dict[str, list[str]] = defaultdict(list)
        self._everywhere: set[str] = set()
        for each in world.of(*dict.fromkeys(kind for _, kind in (*_NAMED_AT, *_OPERATED)), *_SEVERAL):
            key = each.group, each.kind
            if key in _NAMED_AT:
                told = [text(at(each.value, *map(str, path))) for path in _NAMED_AT[key]]
                everywhere = each.kind == "ClusterExternalSecret"
                (self._everywhere if everywhere else self._names[each.namespace]).add(
                    next(filter(None, told), each.name)
                )
            elif key in _OPERATED:
                self._patterns[each.namespace] += (f"{each.name}-*", f"*.{each.name}.credentials.*")
            elif each.kind in _SEVERAL:
                field, name = _SEVERAL[each.kind]
                self._names[each.namespace] |= {text(held.get(name)) for _, held in items(each.spec.get(field))}

    def make(self, namespace: str, name: str) -> bool:
        """Whether something among the manifests has the Secret made."""
        return (
            name in self._everywhere
            or name in self._names.get(namespace, ())
            or any(fnmatchcase(name, pattern) for pattern in self._patterns.get(namespace, ()))
        )


def _uses(pod: Pod) -> Iterator[Use]:
    """Those that it cannot start without."""
    for each in pod.containers:
        for index, variable in items(each.value.get("env")):
            held = mapping(at(variable, "valueFrom", "secretKeyRef"))
            if held and held.get("optional") is not True:
                yield Use(text(held.get("name")), (*each.path, "env", index, "valueFrom", "secretKeyRef", "name"))
        for index, source in items(each.value.get("envFrom")):
            held = mapping(source.get("secretRef"))
            if held and held.get("optional") is not True:
                yield Use(text(held.get("name")), (*each.path, "envFrom", index, "secretRef", "name"))
    for index, volume in items(pod.spec.get("volumes")):
        path: Path = (*pod.path, "volumes", index)
        held = mapping(volume.get("secret"))
        if held and held.get("optional") is not True:
            yield Use(text(held.get("secretName")), (*path, "secret", "secretName"))
        for number, source in items(at(volume, "projected", "sources")):
            held = mapping(source.get("secret"))
            if held and held.get("optional") is not True:
                yield Use(text(held.get("name")), (*path, "projected", "sources", number, "secret", "name"))


def _classes(pod: Pod) -> Iterator[Use]:
    """The SecretProviderClasses that it mounts."""
    for index, volume in items(pod.spec.get("volumes")):
        if at(volume, "csi", "driver") == DRIVER:
            path = (*pod.path, "volumes", index, "csi", "volumeAttributes", "secretProviderClass")
            yield Use(text(at(volume, "csi", "volumeAttributes", "secretProviderClass")), path)


def _is_elsewhere(pod: Pod, name: str) -> bool:
    """Whether people said that it is made elsewhere: by name, or by namespace and name."""
    full = f"{pod.owner.namespace}/{name}"
    told = [each.strip() for each in text(annotation(pod, ELSEWHERE)).split(",")]
    return name in told or any(fnmatchcase(full if "/" in each else name, each) for each in pod.owner.settings.secrets)


def _unmounted(world: World, namespace: str, name: str) -> Object | None:
    """The SecretProviderClass that would have the Secret made, where no pod mounts it: until one does, nothing is."""
    wanted = [
        each
        for each in world.of("SecretProviderClass")
        if each.namespace == namespace
        and any(text(held.get("secretName")) == name for _, held in items(each.spec.get("secretObjects")))
    ]
    mounted = {use.name for pod in world.selected(namespace, {}) for use in _classes(pod)}
    return wanted[0] if wanted and not any(each.name in mounted for each in wanted) else None


@bundle_rule(
    "secret-source", "Every Secret that a pod uses comes from a secret manager", level=Level.WARNING,
    source="S5.4, S10.6",
    why="One that somebody made by hand is in no backup and no audit, is never rotated, and is missing in the next "
    "region.",
    fix="Have it made by an ExternalSecret, a SecretProviderClass that a pod mounts, a SealedSecret, a Certificate or "
    f"the like, among the manifests; or say that it is made elsewhere: {ELSEWHERE}, or --secret NAME.",
    bad=POD,
    good=POD + "---\n{apiVersion: external-secrets.io/v1, kind: ExternalSecret, metadata: {name: db, namespace: "
    "casino}, spec: {refreshInterval: 1h}}",
)  # fmt: skip
def secret_source(world: World) -> Iterator[Found]:
    makers = Makers(world)
    for pod in world.pods:
        namespace = pod.owner.namespace
        for name, path in _uses(pod):
            if not name or _is_elsewhere(pod, name) or world.named("Secret", namespace, name) is not None:
                continue  # What a Secret in Git holds is asked by secret-in-git.
            if not makers.make(namespace, name):
                yield Found(pod.owner, path, f"nothing among the manifests has the Secret {name} made")
            elif (unmounted := _unmounted(world, namespace, name)) is not None:
                said = f"the Secret {name} is there only while a pod mounts SecretProviderClass {unmounted.name}"
                yield Found(pod.owner, path, said)
        for name, path in _classes(pod):
            if world.named("SecretProviderClass", namespace, name) is None and not _is_elsewhere(pod, name):
                yield Found(pod.owner, path, f"there is no SecretProviderClass {name}")


RULES = (secret_source,)
