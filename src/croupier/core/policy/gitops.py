"""Manifests that Argo CD applies: who owns replicas, and what goes first (S5.1, S5.2, S4.4)."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from croupier.core.policy.objects import Object, at, items, listed, text
from croupier.core.policy.quantities import number
from croupier.core.policy.rule import Found, Level, bundle_rule
from croupier.core.policy.world import SCALERS, World, scales, target
from croupier.model.manifest import Path

ARGO_CD = "argocd.argoproj.io/"
WAVE, HOOK, HELM_HOOK = f"{ARGO_CD}sync-wave", f"{ARGO_CD}hook", "helm.sh/hook"
_BEFORE = frozenset(("PreSync", "pre-install", "pre-upgrade"))
_AFTER = frozenset(
    ("PostSync", "SyncFail", "PostDelete", "Skip", "post-install", "post-upgrade", "post-delete", "pre-delete")
)
_MIGRATES = re.compile(
    r"migrat|flyway|liquibase|alembic|(^|[-_/])(goose|dbmate|sqitch)($|[-_/:])|schema-?(upgrade|update)"
)
_PARAMETER = re.compile(r"\{\{-?\s*\.?(\w+)\s*-?\}\}")
"""A whole value that comes from an element of a generator: ``{{.namespace}}``."""
APPLICATION = (
    "{apiVersion: argoproj.io/v1alpha1, kind: Application, metadata: {name: bets}, spec: {destination: {namespace: "
    "casino}, syncPolicy: {automated: {selfHeal: true}%s}%s}}\n---\n"
)
SCALED = (
    "{apiVersion: apps/v1, kind: Deployment, metadata: {name: bets, namespace: casino}, spec: {replicas: 3, template: "
    "{spec: {containers: [{name: app}]}}}}\n---\n{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: "
    "{name: bets, namespace: casino}, spec: {scaleTargetRef: {kind: Deployment, name: bets}, maxReplicas: 9}}"
)
IGNORED = ", ignoreDifferences: [{group: apps, kind: Deployment, jsonPointers: [/spec/replicas]}]"
MIGRATION = (
    "{apiVersion: batch/v1, kind: Job, metadata: {name: bets-migrate, namespace: casino, annotations: {%s}}, spec: "
    "{template: {spec: {containers: [{name: migrate}]}}}}\n---\n{apiVersion: apps/v1, kind: Deployment, metadata: "
    "{name: bets, namespace: casino}, spec: {template: {spec: {containers: [{name: app}]}}}}"
)


@bundle_rule(
    "gitops-replicas", "Argo CD leaves replicas to the autoscaler", level=Level.ERROR, source="S5.1, S6.1",
    why="At each sync the pods of the evening are cut to the number in Git, and the autoscaler begins again.",
    fix="Leave replicas out of Git; or name /spec/replicas in ignoreDifferences and set the sync option "
    "RespectIgnoreDifferences=true.",
    bad=APPLICATION % ("", "") + SCALED,
    good=APPLICATION % (", syncOptions: [RespectIgnoreDifferences=true]", IGNORED) + SCALED,
)  # fmt: skip
def gitops_replicas(world: World) -> Iterator[Found]:
    applications = list(_applications(world))
    for scaler in filter(scales, world.of(*SCALERS)) if applications else ():
        scaled = world.named(*target(scaler))
        if scaled is None or "replicas" not in scaled.spec:
            continue
        for each in applications:
            if scaled.namespace not in each.namespaces or not scaled.namespace:
                continue
            if not _ignores_replicas(each.spec, scaled):
                said = f"{scaler.manifest.name} scales {scaled.manifest.name}, with replicas in Git: a sync undoes that"
                yield Found(each.object, (*each.path, "ignoreDifferences"), said)
            elif "RespectIgnoreDifferences=true" not in listed(at(each.spec, "syncPolicy", "syncOptions")):
                said = f"replicas of {scaled.manifest.name} are ignored when it looks, and written when it syncs"
                yield Found(each.object, (*each.path, "syncPolicy", "syncOptions"), said)


class _Application(NamedTuple):
    """An Application, or the template of an ApplicationSet. ``path``: of its ``spec`` in ``object``."""

    object: Object
    path: Path
    spec: Any
    namespaces: frozenset[str]


def _applications(world: World) -> Iterator[_Application]:
    """Of sets, those whose generators list their elements: what other generators find is not in the manifests."""
    for each in world.of("Application"):
        if each.group == "argoproj.io":
            yield _Application(each, ("spec",), each.spec, _named(each.spec, ()))
    for each in world.of("ApplicationSet"):
        if each.group == "argoproj.io":
            spec = at(each.spec, "template", "spec")
            elements = [
                element
                for _, generator in items(each.spec.get("generators"))
                for _, element in items(at(generator, "list", "elements"))
            ]
            yield _Application(each, ("spec", "template", "spec"), spec, _named(spec, elements))


def _named(spec: Any, elements: Iterable[Any]) -> frozenset[str]:
    """Namespaces that an application goes to."""
    said = text(at(spec, "destination", "namespace"))
    key = _PARAMETER.fullmatch(said)
    found = (text(each.get(key[1])) for each in elements) if key else (said,)
    return frozenset(each for each in found if each)


def _ignores_replicas(spec: Any, scaled: Object) -> bool:
    for _, held in items(at(spec, "ignoreDifferences")):
        is_about = held.get("kind") in (scaled.kind, "*") and text(held.get("name")) in ("", scaled.name)
        told = [*listed(held.get("jsonPointers")), *listed(held.get("jqPathExpressions"))]
        by = [*listed(held.get("managedFieldsManagers"))]
        if is_about and (
            any(each in ("/spec/replicas", ".spec.replicas") for each in told) or "kube-controller-manager" in by
        ):
            return True
    return False


@bundle_rule(
    "migration-order", "A migration of the database runs before what needs it", level=Level.ERROR, source="S4.4, S5.1",
    why="New pods start against the old schema, fail, and take players with them until the migration is done.",
    fix=f"Make the Job a hook ({HOOK}: PreSync), or give it a lower {WAVE} than the workloads have.",
    bad=MIGRATION % f"{WAVE}: '1'", good=MIGRATION % f"{HOOK}: PreSync",
)  # fmt: skip
def migration_order(world: World) -> Iterator[Found]:
    jobs: dict[str, list[Object]] = defaultdict(list)
    for job in world.of("Job"):
        if _migrates(job):
            jobs[job.namespace].append(job)
    if not jobs:
        return
    synced = {namespace for each in _applications(world) for namespace in each.namespaces}
    synced |= {each.namespace for each in world.objects if any(key.startswith(ARGO_CD) for key in each.annotations)}
    for namespace in jobs.keys() & synced:
        workloads = [each for each in world.controllers if each.namespace == namespace]
        if not workloads:
            continue
        first = min(workloads, key=_wave)
        for job in jobs[namespace]:
            hooks = {each.strip() for key in (HOOK, HELM_HOOK) for each in text(job.annotations.get(key)).split(",")}
            if hooks & _BEFORE:
                continue
            if hooks & _AFTER:
                said = f"it runs after the sync, when {first.manifest.name} has started"
                yield Found(job, ("metadata", "annotations"), said)
            elif _wave(job) >= _wave(first):
                said = f"it is of wave {_wave(job)}, {first.manifest.name} of {_wave(first)}: nothing makes it go first"
                yield Found(job, ("metadata", "annotations"), said)


def _migrates(job: Object) -> bool:
    """Whether a Job migrates a database, told by its name, its images or what it runs."""
    words = [job.name, text(job.metadata.get("generateName"))]
    for pod in job.pods:
        for container in pod.containers:
            run = [*listed(container.value.get("command")), *listed(container.value.get("args"))]
            words += [container.name, text(container.value.get("image")), *map(text, run)]
    return any(_MIGRATES.search(each.lower()) for each in words)


def _wave(each: Object) -> int:
    written = text(each.annotations.get(WAVE))
    value = number(written.removeprefix("-")) or 0
    return -value if written.startswith("-") else value


RULES = (gitops_replicas, migration_order)
