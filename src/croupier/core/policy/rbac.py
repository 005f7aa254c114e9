"""Who may do what in the cluster (S10.13)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from croupier.core.policy.objects import Object, at, items, listed, mapping, text
from croupier.core.policy.rule import Found, Hit, Level, bundle_rule, object_rule
from croupier.core.policy.world import World
from croupier.model.objects import JsonObject

ROLES = ("Role", "ClusterRole")
BINDINGS = ("RoleBinding", "ClusterRoleBinding")
MAKES_PODS = (
    "pods",
    "deployments",
    "statefulsets",
    "replicasets",
    "cronjobs",
    "jobs",
    "daemonsets",
    "replicationcontrollers",
)
BUILTIN = ("cluster-admin", "admin", "edit", "view")
EVERY_VERB = frozenset(("get", "list", "watch", "create", "update", "patch", "delete"))
ROLE = "{apiVersion: rbac.authorization.k8s.io/v1, kind: Role, metadata: {name: bets, namespace: casino}, rules: [%s]}"
BINDING = """
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: bets, namespace: casino}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: bets}
subjects: [{kind: ServiceAccount, name: bets, namespace: casino}]
"""
READS = ROLE % "{apiGroups: [''], resources: [configmaps], verbs: [get]}"


def _is_builtin(each: Object) -> bool:
    """Whether the API server itself makes the object, by its name (kubernetes.io, Using RBAC authorization)."""
    return each.name.startswith("system:") or (each.kind.startswith("Cluster") and each.name in BUILTIN)


def _rules(role: Object) -> Iterator[tuple[int, JsonObject]]:
    return items(role.value.get("rules"))


def may(rule: JsonObject, resources: tuple[str, ...], verbs: tuple[str, ...]) -> bool:
    """Whether a rule of a role allows one of ``verbs`` on one of ``resources``."""
    named = listed(rule.get("resources"))
    asked = listed(rule.get("verbs"))
    return any(each in named for each in (*resources, "*")) and any(each in asked for each in (*verbs, "*"))


def _role_of(world: World, binding: Object) -> Object | None:
    kind, name = text(at(binding.value, "roleRef", "kind")), text(at(binding.value, "roleRef", "name"))
    if kind == "Role":
        return world.named(kind, binding.namespace, name)
    return next((each for each in world.of("ClusterRole") if each.name == name), None)


def _bound(world: World, allows: Callable[[JsonObject], bool], what: str) -> Iterator[Found]:
    """Bindings whose role is among the objects and allows ``what`` to somebody."""
    for binding in world.of(*BINDINGS):
        role = _role_of(world, binding)
        if role is None or not listed(binding.value.get("subjects")) or _is_builtin(binding):
            continue
        if any(allows(rule) for _, rule in _rules(role)):
            yield Found(binding, ("roleRef",), f"{role.manifest.name} lets its subjects {what}")


@object_rule(
    "rbac-wildcard", "No role allows everything", level=Level.ERROR, source="S10.13; CIS Kubernetes 5.1.3",
    why="What is added to the API tomorrow is allowed today.", fix="Name resources and verbs.", kinds=ROLES,
    bad=ROLE % "{apiGroups: ['*'], resources: ['*'], verbs: [get]}", good=READS,
)  # fmt: skip
def rbac_wildcard(each: Object) -> Iterator[Hit]:
    if _is_builtin(each):
        return
    for index, rule in _rules(each):
        for key in ("resources", "verbs"):
            if "*" in listed(rule.get(key)):
                yield Hit(("rules", index, key), f"{key} are all")


@bundle_rule(
    "rbac-secrets", "Nobody is granted secrets by a role", level=Level.WARNING, source="S10.6; CIS Kubernetes 5.1.2",
    why="Who may list secrets has them all; a service needs its own only, and gets them mounted.",
    fix="Remove secrets from the role.",
    bad=ROLE % "{apiGroups: [''], resources: [secrets], verbs: [get]}" + BINDING, good=READS + BINDING,
)  # fmt: skip
def rbac_secrets(world: World) -> Iterator[Found]:
    verbs = ("get", "list", "watch", "create", "delete")
    yield from _bound(world, lambda rule: may(rule, ("secrets",), verbs), "read or write secrets")


@bundle_rule(
    "rbac-create-pods", "Nobody makes pods past Git", level=Level.WARNING, source="S5.1; CIS Kubernetes 5.1.4",
    why="Who may make a pod may mount any secret and any service account of its namespace.",
    fix="Leave making pods to what reads Git.",
    bad=ROLE % "{apiGroups: [''], resources: [pods], verbs: [create]}" + BINDING, good=READS + BINDING,
)  # fmt: skip
def rbac_create_pods(world: World) -> Iterator[Found]:
    yield from _bound(world, lambda rule: may(rule, MAKES_PODS, ("create",)), "make pods")


def _execs(rule: JsonObject) -> bool:
    return may(rule, ("pods/exec", "pods/attach", "pods/*"), ("create", "get"))


@object_rule(
    "rbac-exec", "No role lets people into running containers", level=Level.ERROR, source="S10.13",
    why="Who may exec into a payment pod has its secrets and its money.",
    fix="Remove pods/exec and pods/attach; grant them for a while, with a ticket.", kinds=ROLES,
    bad=ROLE % "{apiGroups: [''], resources: [pods/exec], verbs: [create]}", good=READS,
)  # fmt: skip
def rbac_exec(each: Object) -> Iterator[Hit]:
    if _is_builtin(each):
        return
    for index, rule in _rules(each):
        if _execs(rule):
            yield Hit(("rules", index), "allows exec or attach")


BECOMES = ("escalate", "bind", "impersonate")
"""Verbs by which somebody gets what nobody granted them (kubernetes.io, RBAC good practices)."""
TOKENS = "serviceaccounts/token"


@object_rule(
    "rbac-escalate", "No role lets anybody take more rights than it grants", level=Level.ERROR,
    source="S10.13; CIS Kubernetes 5.1.8, 5.1.13",
    why="Who may escalate or bind writes themselves the next role; who may impersonate, or make tokens of service "
    "accounts, already is whoever they like.",
    fix="Remove escalate, bind, impersonate, and create on serviceaccounts/token; let what reads Git make roles and "
    "bindings.",
    kinds=ROLES,
    bad=ROLE % "{apiGroups: [rbac.authorization.k8s.io], resources: [roles], verbs: [get, escalate]}", good=READS,
)  # fmt: skip
def rbac_escalate(each: Object) -> Iterator[Hit]:
    if _is_builtin(each):
        return
    for index, rule in _rules(each):
        verbs = listed(rule.get("verbs"))
        found = [verb for verb in BECOMES if verb in verbs]
        if found:
            yield Hit(("rules", index, "verbs"), f"allows to {' and '.join(found)}")
        elif TOKENS in listed(rule.get("resources")) and ("create" in verbs or "*" in verbs):
            yield Hit(("rules", index), "allows to make tokens of service accounts")


@bundle_rule(
    "rbac-exec-bound", "Nobody is let into running containers", level=Level.ERROR, source="S10.13",
    why="Who may exec into a payment pod has its secrets and its money.",
    fix="Bind another role, or one that is among the manifests and does not allow it.",
    bad=ROLE % "{apiGroups: [''], resources: [pods/exec], verbs: [create]}" + BINDING, good=READS + BINDING,
)  # fmt: skip
def rbac_exec_bound(world: World) -> Iterator[Found]:
    yield from _bound(world, _execs, "exec into containers")


def _is_admin(rule: JsonObject) -> bool:
    verbs = listed(rule.get("verbs"))
    everything = all("*" in listed(rule.get(key)) for key in ("apiGroups", "resources"))
    return everything and ("*" in verbs or all(each in verbs for each in EVERY_VERB))


@bundle_rule(
    "rbac-admin", "Nobody is an administrator of the whole cluster", level=Level.ERROR,
    source="S10.13; CIS Kubernetes 5.1.1",
    why="One stolen token is then the cluster.", fix="Bind a role with what is needed, in the namespace where it is.",
    bad="""
        apiVersion: rbac.authorization.k8s.io/v1
        kind: ClusterRoleBinding
        metadata: {name: bets}
        roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: cluster-admin}
        subjects: [{kind: ServiceAccount, name: bets, namespace: casino}]
        """,
    good=READS + BINDING,
)  # fmt: skip
def rbac_admin(world: World) -> Iterator[Found]:
    for binding in world.of(*BINDINGS):
        if _is_builtin(binding) or not _subjects_matter(binding):
            continue
        name = text(at(binding.value, "roleRef", "name"))
        role = _role_of(world, binding)
        if name == "cluster-admin" and at(binding.value, "roleRef", "kind") == "ClusterRole":
            yield Found(binding, ("roleRef",), "its subjects are cluster-admin")
        elif role is not None and any(_is_admin(rule) for _, rule in _rules(role)):
            yield Found(binding, ("roleRef",), f"its subjects may do everything ({role.manifest.name})")


def _subjects_matter(binding: Object) -> bool:
    """Whether anybody but the cluster's own administrators is bound."""
    subjects: list[Any] = listed(binding.value.get("subjects"))
    return any(text(mapping(each).get("name")) != "system:masters" for each in subjects) or not subjects


@bundle_rule(
    "dangling-role", "A binding binds a role that exists", level=Level.NOTE, source="S10.13",
    why="Nobody can tell what it grants, and whoever makes the role decides.",
    fix="Check the role together with its binding, or mend the name.",
    bad=BINDING, good=READS + BINDING,
)  # fmt: skip
def dangling_role(world: World) -> Iterator[Found]:
    for binding in world.of(*BINDINGS):
        name = text(at(binding.value, "roleRef", "name"))
        if _role_of(world, binding) is None and not name.startswith("system:") and name not in BUILTIN:
            yield Found(binding, ("roleRef",), f"the role {name} is not among the manifests")


RULES = (
    rbac_wildcard,
    rbac_secrets,
    rbac_create_pods,
    rbac_exec,
    rbac_escalate,
    rbac_exec_bound,
    rbac_admin,
    dangling_role,
)
