"""Objects as rules see them: safe to walk whatever was written, pods found wherever their template stands.

Pod templates are known by path in the built-in controllers and the common ones beside them (Argo Rollout, CloneSet,
Knative, KEDA ScaledJob); in any other kind, and where nothing stands at that path, every mapping that holds containers
counts as the spec of a pod, whatever it calls them (Tekton: steps; Argo Workflows: script).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from croupier.model.manifest import Manifest, Path
from croupier.model.objects import JsonObject
from croupier.model.schemas import NEWEST, NEWEST_STANDARD

if TYPE_CHECKING:
    from croupier.core.schemas.validator import Validator

TEMPLATE_AT: dict[str, Path] = {
    "Pod": (),
    "PodTemplate": ("template",),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
    "ScaledJob": ("spec", "jobTargetRef", "template"),
    **dict.fromkeys(
        (
            "Deployment", "ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet", "Job", "DeploymentConfig",
            "Rollout", "CloneSet", "Configuration",
        ),
        ("spec", "template"),
    ),
}  # fmt: skip
"""Kind -> where the pod template (metadata and spec) stands."""
KNATIVE = "serving.knative.dev"
WITHOUT_PODS = frozenset(
    (group, kind)
    for group, kinds in {
        "": ("ConfigMap", "Secret", "Service", "ServiceAccount", "Namespace", "PersistentVolumeClaim",
             "PersistentVolume", "ResourceQuota", "LimitRange"),
        "networking.k8s.io": ("Ingress", "NetworkPolicy"),
        "rbac.authorization.k8s.io": ("Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding"),
        "autoscaling": ("HorizontalPodAutoscaler",),
        "policy": ("PodDisruptionBudget",),
        "storage.k8s.io": ("StorageClass",),
        "scheduling.k8s.io": ("PriorityClass",),
        "apiextensions.k8s.io": ("CustomResourceDefinition",),
        "gateway.networking.k8s.io": ("HTTPRoute", "Gateway"),
        "networking.istio.io": ("VirtualService", "DestinationRule", "Gateway"),
        "keda.sh": ("ScaledObject",),
        "http.keda.sh": ("HTTPScaledObject",),
        "external-secrets.io": ("ExternalSecret",),
        "postgresql.cnpg.io": ("Pooler",),
    }.items()
    for kind in kinds
)  # fmt: skip
"""(group, kind) of what holds no pods, whatever its fields are called, or a part that its operator completes."""
CONTAINERS = {
    "initContainers": "init", "steps": "container", "containers": "container", "sidecars": "sidecar",
    "ephemeralContainers": "ephemeral",
}  # fmt: skip
"""Where lists of containers stand in the spec of a pod -> their role there."""
SINGLE = ("container", "script")
"""Where one container stands alone."""
SEVERAL = frozenset(
    ("Deployment", "ReplicaSet", "ReplicationController", "StatefulSet", "DeploymentConfig", "Rollout", "CloneSet")
)
"""Controllers that keep a number of like pods."""


def mapping(value: Any) -> JsonObject:
    """``value`` if it is a mapping, else an empty one."""
    return value if type(value) is dict else _NOTHING


def listed(value: Any) -> list[Any]:
    """``value`` if it is a list, else an empty one."""
    return value if type(value) is list else []


def items(value: Any) -> Iterator[tuple[int, JsonObject]]:
    """(index, mapping) of each item of a list; an empty mapping for an item that is none."""
    return ((index, mapping(each)) for index, each in enumerate(listed(value)))


def text(value: Any) -> str:
    """``value`` if it is a string, else ""."""
    return value if type(value) is str else ""


def at(value: Any, *path: str) -> Any:
    """What stands at ``path`` below mappings, or None."""
    for key in path:
        if type(value) is not dict:
            return None
        value = value.get(key)
    return value


_NOTHING: JsonObject = {}


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a pod. ``role``: container, init, sidecar or ephemeral. ``path``: from the root of the
    object.
    """

    role: str
    name: str
    path: Path
    value: JsonObject
    security: JsonObject

    @property
    def called(self) -> str:
        """What people are told it is: by its name, or without one by where it stands."""
        return f"container {self.name or self.path[-1]}"


@dataclass(frozen=True, slots=True)
class Pod:
    """A pod, or the template of one. What dozens of rules ask for is worked out once.

    ``path``: of its spec, from the root of the object. ``meta``: path of its metadata, None where it has none of its
    own. ``main``: containers that run as long as the pod does, its own and sidecars. ``security``: its own security
    context; ``contexts``: (whose, path, value) of that one and of each container's.
    """

    owner: Object
    path: Path
    spec: JsonObject
    meta: Path | None
    labels: JsonObject
    annotations: JsonObject
    containers: tuple[Container, ...]
    main: tuple[Container, ...]
    security: JsonObject
    contexts: tuple[tuple[str, Path, JsonObject], ...]

    @property
    def is_made(self) -> bool:
        """Whether it is a pod that a controller made. What people say of that one (its labels and annotations) is not
        on the pod, and was asked when the controller came.
        """
        return self.owner.kind == "Pod" and any(
            each.get("controller") is True for _, each in items(self.owner.metadata.get("ownerReferences"))
        )

    @property
    def is_windows(self) -> bool:
        return bool(at(self.spec, "os", "name") == "windows")


@dataclass(frozen=True, slots=True)
class Settings:
    """What people decide about the rules themselves.

    ``kubernetes``: its version, ``1.37``. ``standard``: the minor version of the Pod Security Standards, from 0.
    ``schemas``: what objects are held against; None: nothing.
    ``registries``: where images may come from; empty: anywhere. ``labels``: keys that
    every object with pods has to bear. ``priority_classes``: those that pods may have; empty: any.
    ``secrets``: Secrets that are made elsewhere, by name or ``namespace/name``, with ``*``.
    """

    registries: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()
    priority_classes: tuple[str, ...] = ()
    kubernetes: str = NEWEST
    standard: int = NEWEST_STANDARD
    schemas: Validator | None = None
    secrets: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Object:
    """One object and the pods in it."""

    index: int
    manifest: Manifest
    value: JsonObject
    kind: str
    group: str
    name: str
    namespace: str
    settings: Settings
    metadata: JsonObject
    spec: JsonObject
    labels: JsonObject
    annotations: JsonObject
    pods: tuple[Pod, ...] = field(default=(), repr=False)


def as_object(index: int, manifest: Manifest, settings: Settings) -> Object:
    """``manifest``, the ``index``-th of those checked, with its pods."""
    value = manifest.value
    kind = text(value.get("kind"))
    version = text(value.get("apiVersion"))
    metadata = mapping(value.get("metadata"))
    group = version.rpartition("/")[0]
    labels, annotations = mapping(metadata.get("labels")), mapping(metadata.get("annotations"))
    made = Object(
        index=index,
        manifest=manifest,
        value=value,
        kind=kind,
        group=group,
        name=text(metadata.get("name")),
        namespace=text(metadata.get("namespace")),
        settings=settings,
        metadata=metadata,
        spec=mapping(value.get("spec")),
        labels=labels,
        annotations=annotations,
    )
    if (group, kind) not in WITHOUT_PODS:
        # The pods know their owner, which has to be there first.
        object.__setattr__(made, "pods", tuple(_pod(made, *template) for template in _templates(made)))
    return made


def _templates(owner: Object) -> Iterator[tuple[Path, JsonObject, Path | None, JsonObject]]:
    """(path of the spec, spec, path of the metadata, metadata) of each pod template."""
    path = TEMPLATE_AT.get(owner.kind)
    if owner.kind == "Service" and owner.group == KNATIVE:
        path = ("spec", "template")
    template = mapping(at(owner.value, *map(str, path))) if path is not None else _NOTHING
    spec = mapping(template.get("spec"))
    searched = () if spec else tuple(_searched(owner.value, (), None, ()))
    if path is not None and template and not searched:
        yield (*path, "spec"), spec, (*path, "metadata"), mapping(template.get("metadata"))
    yield from searched


def _searched(
    value: Any, path: Path, meta: JsonObject | None, meta_path: Path
) -> Iterator[tuple[Path, JsonObject, Path | None, JsonObject]]:
    if type(value) is dict:
        holds = _holds_containers(value)
        if holds:
            yield path, value, meta_path if meta is not None else None, meta or {}
        beside = mapping(value.get("metadata")) if path else {}
        for key, inner in value.items():
            if holds and (key in CONTAINERS or key in SINGLE):
                continue
            if type(inner) in (dict, list) and key not in ("metadata", "status"):
                is_spec = key == "spec" and "metadata" in value and bool(path)
                yield from _searched(
                    inner, (*path, key), beside if is_spec else None, (*path, "metadata") if is_spec else ()
                )
    elif type(value) is list:
        for index, inner in enumerate(value):
            if type(inner) in (dict, list):
                yield from _searched(inner, (*path, index), None, ())


def _holds_containers(value: JsonObject) -> bool:
    """Whether ``value`` is the spec of a pod. A step of anything else than a container has no image."""
    for key in CONTAINERS:
        named = key.lower().endswith("containers")
        if any(
            type(each) is dict and ("image" in each or (named and "name" in each)) for each in listed(value.get(key))
        ):
            return True
    return any("image" in mapping(value.get(key)) for key in SINGLE)


def _pod(owner: Object, path: Path, spec: JsonObject, meta: Path | None, metadata: JsonObject) -> Pod:
    containers: list[Container] = []
    for key, role in CONTAINERS.items():
        for index, held in items(spec.get(key)):
            is_sidecar = role == "init" and held.get("restartPolicy") == "Always"
            containers.append(_container("sidecar" if is_sidecar else role, (*path, key, index), held))
    for key in SINGLE:
        if "image" in (held := mapping(spec.get(key))):
            containers.append(_container("container", (*path, key), held))
    security = mapping(spec.get("securityContext"))
    own = "the pod", (*path, "securityContext"), security
    contexts = own, *((each.called, (*each.path, "securityContext"), each.security) for each in containers)
    return Pod(
        owner=owner,
        path=path,
        spec=spec,
        meta=meta,
        labels=mapping(metadata.get("labels")),
        annotations=mapping(metadata.get("annotations")),
        containers=tuple(containers),
        main=tuple(each for each in containers if each.role in ("container", "sidecar")),
        security=security,
        contexts=contexts,
    )


def _container(role: str, path: Path, held: JsonObject) -> Container:
    return Container(role, text(held.get("name")), path, held, mapping(held.get("securityContext")))
