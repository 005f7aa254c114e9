"""Which findings can be mended without asking anybody: where the manifests themselves show that a program which keeps
to them behaves the same afterwards. Everything else is left, with the reason.

Three kinds of evidence count. The manifest already says it in other words (a user number above 0 is not root; a field
under its new name). The namespace enforces the Pod Security Standard ``restricted``: as it stands the API server
refuses the pod, so there is nothing running that could change. Nothing can be lost (a container that may not gain
capabilities gains none).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from croupier.core.policy.check import Finding
from croupier.core.policy.objects import TEMPLATE_AT, Container, Object, Pod, at, items, listed, mapping, text
from croupier.core.policy.world import World
from croupier.model.edit import Append, Edit, Put, Rename, Replace

TOKENS = "/var/run/secrets/kubernetes.io/serviceaccount"
"""Where a pod finds its token; where a container mounts something else, it gets none (ServiceAccount admission)."""
_GROUPS = ("", "apps", "batch", "argoproj.io", "apps.kruise.io")
"""Whose pod templates are pods with every field of one."""
_VERSION = re.compile(r"v1\.[0-9]{1,3}")
_LABEL = "pod-security.kubernetes.io/enforce"
SAME_SCHEMA: Mapping[tuple[str, str], str] = {
    ("autoscaling/v2beta2", "HorizontalPodAutoscaler"): "autoscaling/v2",
    ("batch/v1beta1", "CronJob"): "batch/v1",
    ("coordination.k8s.io/v1beta1", "Lease"): "coordination.k8s.io/v1",
    ("networking.k8s.io/v1beta1", "IngressClass"): "networking.k8s.io/v1",
    ("policy/v1beta1", "PodDisruptionBudget"): "policy/v1",
    ("scheduling.k8s.io/v1beta1", "PriorityClass"): "scheduling.k8s.io/v1",
    ("storage.k8s.io/v1beta1", "StorageClass"): "storage.k8s.io/v1",
    **{
        ("rbac.authorization.k8s.io/v1beta1", kind): "rbac.authorization.k8s.io/v1"
        for kind in ("Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding")
    },
}
"""(apiVersion, kind) that is gone -> the version that has the same fields (kubernetes.io, deprecation guide)."""
_OR_RESTRICTED = "safe where the namespace, checked with it, enforces restricted"
WHY_NOT: Mapping[str, str] = {
    "read-only-root": "a program that writes beside its volumes would fail; try it, with an emptyDir where it writes",
    "privilege-escalation": "a program that starts a set-uid file would fail; safe where the container drops ALL, adds "
    f"none and is not root, and {_OR_RESTRICTED}",
    "capabilities-restricted": "a program that begins as root, or whose file bears capabilities, would not start; "
    + _OR_RESTRICTED,
    "seccomp": f"a program with unusual system calls would fail; {_OR_RESTRICTED}",
    "run-as-non-root": "whether the image has an ordinary user is not in the manifest; safe where runAsUser names one, "
    f"and {_OR_RESTRICTED}",
    "service-account-token": "whether the program calls the API server is not in the manifest",
    "service-account-field": "serviceAccountName is written beside it, and which of the two is meant is yours to say",
    "removed-api": "its successor has other fields",
}
"""Rule -> why what is found is not mended unless there is evidence."""
OTHERWISE = "what is right is not in the manifests"


@dataclass(frozen=True, slots=True)
class Mended:
    """What to change in the object that the finding is in, so that it is gone."""

    edit: Edit


def mend(world: World, finding: Finding) -> Mended | str:
    """How to mend ``finding``, or why not."""
    make = _MENDERS.get(finding.rule.id)
    owner = world.objects[finding.index]
    made = make(world, owner, finding) if make is not None else None
    return Mended(made) if made is not None else WHY_NOT.get(finding.rule.id, OTHERWISE)


def _place(owner: Object, finding: Finding) -> tuple[Pod, Container | None] | None:
    """The pod and container that ``finding`` is about; None where the template is not one of every field."""
    if owner.group not in _GROUPS or owner.kind not in TEMPLATE_AT:
        return None
    for pod in owner.pods:
        if pod.path == (*TEMPLATE_AT[owner.kind], "spec") and finding.path[: len(pod.path)] == pod.path:
            near = (each for each in pod.containers if finding.path[: len(each.path)] == each.path)
            return pod, next(near, None)
    return None


def _is_refused(world: World, pod: Pod) -> bool:
    """Whether the API server takes no such pod, because its namespace enforces ``restricted``."""
    labels = world.namespaces.get(pod.owner.namespace, {})
    version = text(labels.get(f"{_LABEL}-version")) or "latest"
    # Since v1.25 the standard has asked for all that is mended here.
    is_known = version == "latest" or (_VERSION.fullmatch(version) is not None and int(version[3:]) >= 25)
    return labels.get(_LABEL) == "restricted" and is_known


def _user(pod: Pod, container: Container) -> object:
    return container.security.get("runAsUser", pod.security.get("runAsUser"))


def _is_ordinary(pod: Pod, container: Container) -> bool:
    """Whether the manifest names a user that is not root."""
    user = _user(pod, container)
    return type(user) is int and user > 0


def _escalation(world: World, owner: Object, finding: Finding) -> Edit | None:
    pod, each = _place(owner, finding) or (None, None)
    if pod is None or each is None or "allowPrivilegeEscalation" in each.security:
        return None
    added = listed(at(each.security, "capabilities", "add"))
    if each.security.get("privileged") is True or any("SYS_ADMIN" in text(name) for name in added):
        return None  # the API server refuses both together
    stays_unprivileged = each.security.get("runAsNonRoot", pod.security.get("runAsNonRoot")) is True
    has_nothing = "ALL" in listed(at(each.security, "capabilities", "drop")) and not added
    is_safe = has_nothing and _user(pod, each) != 0 and (stays_unprivileged or _is_ordinary(pod, each))
    return Put(finding.path, False) if is_safe or _is_refused(world, pod) else None


def _drop(world: World, owner: Object, finding: Finding) -> Edit | None:
    pod, each = _place(owner, finding) or (None, None)
    if pod is None or each is None or finding.path[-1] != "drop":
        return None
    held = at(each.security, "capabilities", "drop")
    for index, name in enumerate(listed(held)):
        if text(name).upper() == "ALL":  # runtimes take it as ALL
            return Replace((*finding.path, index), "ALL")
    if not _is_refused(world, pod):
        return None
    return Append(finding.path, "ALL") if listed(held) else Put(finding.path, ("ALL",)) if held is None else None


def _seccomp(world: World, owner: Object, finding: Finding) -> Edit | None:
    pod, _ = _place(owner, finding) or (None, None)
    if pod is None or finding.path[-1] != "seccompProfile" or not _is_refused(world, pod):
        return None
    return Put((*pod.path, "securityContext", "seccompProfile", "type"), "RuntimeDefault")


def _non_root(world: World, owner: Object, finding: Finding) -> Edit | None:
    pod, each = _place(owner, finding) or (None, None)
    if pod is None or each is None or pod.security.get("runAsNonRoot") is not None:
        return None
    if "runAsNonRoot" in each.security:
        return None
    silent = [every for every in pod.containers if every.security.get("runAsNonRoot") is None]
    if _is_refused(world, pod) or all(_is_ordinary(pod, every) for every in silent):
        return Put((*pod.path, "securityContext", "runAsNonRoot"), True)
    return Put(finding.path, True) if _is_ordinary(pod, each) else None


def _token(world: World, owner: Object, finding: Finding) -> Edit | None:
    pod, _ = _place(owner, finding) or (None, None)
    if pod is None or "automountServiceAccountToken" in pod.spec or not pod.containers:
        return None
    for each in pod.containers:
        if not any(mount.get("mountPath") == TOKENS for _, mount in items(each.value.get("volumeMounts"))):
            return None
    return Put(finding.path, False)


def _account(world: World, owner: Object, finding: Finding) -> Edit | None:
    pod, _ = _place(owner, finding) or (None, None)
    return None if pod is None or "serviceAccountName" in pod.spec else Rename(finding.path, "serviceAccountName")


def _version(world: World, owner: Object, finding: Finding) -> Edit | None:
    successor = SAME_SCHEMA.get((text(owner.value.get("apiVersion")), owner.kind))
    if successor is None or (owner.kind == "PodDisruptionBudget" and not mapping(owner.spec.get("selector"))):
        return None  # an empty selector took no pod, and takes all of them now
    return Replace(("apiVersion",), successor)


_MENDERS: Mapping[str, Callable[[World, Object, Finding], Edit | None]] = {
    "privilege-escalation": _escalation,
    "capabilities-restricted": _drop,
    "seccomp": _seccomp,
    "run-as-non-root": _non_root,
    "service-account-token": _token,
    "service-account-field": _account,
    "removed-api": _version,
}
