"""What each line of the checklist rests on: one function a proof, from one bundle to what was seen there.

A proof that nothing here can give yet (a signature in a registry, an exercised cutover) says so and is *no evidence*:
the line stays red until somebody shows it, or waives it with an end.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from typing import NamedTuple

from croupier.core.checklist.gathered import Bundle, ReleasePlan
from croupier.core.policy import hardening, pod_security, rbac
from croupier.core.policy.capacity import NodeGroup, lands_on, node_groups
from croupier.core.policy.objects import Object, at, items, listed, mapping, text
from croupier.core.policy.quantities import whole
from croupier.core.policy.strategies import LADDER
from croupier.core.policy.watching import (
    ADDRESS,
    CALL,
    HEAVY,
    INJECTED,
    ON_CALL,
    PROVIDER_SWITCH,
    ROLLBACK,
    SIGNALS,
    TRACING,
    alerts_on,
    flags,
    heavy_features,
    is_traced,
    without_alert,
)
from croupier.model.checklist import LineId, ProofState
from croupier.model.policy import FindingView

HEALTHY = "Cluster in healthy state"
"""What CloudNativePG says of a database that is up."""
DATABASES = (
    ("postgresql.cnpg.io", "Cluster"), ("acid.zalan.do", "postgresql"), ("pxc.percona.com", "PerconaXtraDBCluster"),
    ("pgv2.percona.com", "PerconaPGCluster"), ("postgres-operator.crunchydata.com", "PostgresCluster"),
    ("mysql.oracle.com", "InnoDBCluster"),
)  # fmt: skip

IMAGES = frozenset(("image-tag", "image-digest", "image-registry"))
PROBES = frozenset(("readiness-probe", "startup-probe", "liveness-probe", "probes-differ", "probe-port"))
LIFE = frozenset(("early-5xx", "drain", "warm-up"))
BUDGETS = frozenset(
    ("pdb", "pdb-max-unavailable", "pdb-min-available", "pdb-above-hpa", "pdb-unhealthy", "disruption-capacity")
)
PRIORITY = frozenset(("priority-class", "priority-exists", "system-priority"))
SCALING = frozenset(
    ("hpa-cpu-only", "hpa-range", "hpa-least", "hpa-replicas", "one-scaler", "dangling-hpa", "scale-down",
     "keda-bounds")
)  # fmt: skip
SECRETS = frozenset(
    ("secret-in-env", "secret-env-name", "secret-in-config-map", "secret-env", "secret-in-git", "secret-env-rotation",
     "secret-refresh")
)  # fmt: skip
CONFIGURATION = frozenset(("config-checksum",))
BACKUPS = frozenset(("database-backup", "base-backup", "backup-window", "backup-encryption"))
SEEN = frozenset(("traced", "slo-alerts", "sli-recorded"))
FLAGS = frozenset(("kill-switch",))
FRESH_DAYS = 92
"""For how long a tested restore tells that the next one works: a quarter of a year (policy N24)."""
NODES = frozenset(("node-capacity",))
WRITTEN = frozenset(("runbook",))
PRIVILEGE = frozenset(each.id for module in (pod_security, hardening, rbac) for each in module.RULES)
"""Rules on what pods and people may do."""
ELSEWHERE = frozenset[str]().union(
    IMAGES, PROBES, LIFE, BUDGETS, PRIORITY, SCALING, SECRETS, CONFIGURATION, BACKUPS, PRIVILEGE, SEEN, FLAGS, NODES,
    WRITTEN,
)  # fmt: skip
"""Rules that a proof of their own asks; all others are the policy checks of S15.2."""


class Seen(NamedTuple):
    """What a proof comes to in one bundle."""

    state: ProofState
    result: str
    link: str = ""


Look = Callable[[Bundle], Seen]


class Asked(NamedTuple):
    """One proof of one line: what is looked at, and how."""

    line: LineId
    what: str
    look: Look


def nobody(reason: str) -> Look:
    """No evidence, whatever is given."""
    return lambda _bundle: Seen("no-evidence", reason)


def rules(asked: Callable[[str], bool]) -> Look:
    """What the rules for which ``asked`` holds find in the objects of the service."""

    def look(bundle: Bundle) -> Seen:
        ids = {each for each in bundle.rules if asked(each)}
        return _found([each for each in bundle.findings if each.rule in ids and each.object in bundle.mine], len(ids))

    return look


def _found(findings: list[FindingView], asked: int) -> Seen:
    if not findings:
        return Seen("pass", f"{_count(asked, 'rule')} asked, nothing found")
    first = findings[0]
    more = len(findings) - 1
    said = f"{first.rule}: {first.object}: {first.message}" + (f"; {more} more" if more else "")
    return Seen("fail", said, f"{first.file}:{first.line}")


def autoscaler(bundle: Bundle) -> Seen:
    """S15.5: something scales the workload, and the rules on it are kept."""
    lacking = [owner for owner in bundle.owners if not bundle.world.scalers_of(owner)]
    if lacking:
        return Seen("no-evidence", f"nothing scales {lacking[0].manifest.name}", _place(lacking[0]))
    names = [scaler.manifest.name for owner in bundle.owners for scaler in bundle.world.scalers_of(owner)]
    seen = rules(SCALING.__contains__)(bundle)
    return seen if seen.state == "fail" else Seen("pass", f"{', '.join(names)}; {seen.result}")


def nodes_added(bundle: Bundle) -> Seen:
    """S15.5: where the pods run, something adds nodes, and there is room for all of them at their greatest."""
    groups = list(node_groups(bundle.world))
    if not groups:
        return Seen("no-evidence", "no NodePool and no machines that an autoscaler adds are among the manifests")
    used: dict[str, NodeGroup] = {}
    for pod in bundle.pods:
        there = lands_on(pod, groups)
        if there is not None and not there:
            what = f"{pod.owner.manifest.name} is sent to nodes that nothing among the manifests adds"
            return Seen("no-evidence", what, _place(pod.owner))
        for index in range(len(groups)) if there is None else there:
            used[groups[index].made_by.manifest.name] = groups[index]
    short = [each for each in bundle.findings if each.rule in NODES and each.object in used]
    if short:
        return _found(short, len(NODES))
    first = next(iter(used.values()))
    most = ", ".join(f"{size:g} {resource}" for resource, size in sorted(first.most.items())) or "no bound"
    return Seen(
        "pass", f"{_listed(sorted(used))} add nodes; {first.made_by.manifest.name}: {most}", _place(first.made_by)
    )


def warm_nodes(bundle: Bundle) -> Seen:
    """S15.5: room is kept free where the pods run: by pods that make way for any other, or a CapacityBuffer."""
    world = bundle.world
    groups = list(node_groups(world))
    ranks = {each.name: whole(each.value.get("value")) or 0 for each in world.of("PriorityClass")}
    kept = {
        pod.owner.manifest.name: pod
        for pod in world.pods
        if ranks.get(text(pod.spec.get("priorityClassName")), 0) < 0 and world.replicas(pod.owner) > 0
    }
    for each in world.of("CapacityBuffer"):
        size = whole(each.spec.get("replicas")) or whole(each.spec.get("percentage")) or 0
        if each.group == "autoscaling.x-k8s.io" and size > 0:
            return Seen("pass", f"{each.manifest.name} keeps room for more pods", _place(each))
    for pod in bundle.pods:
        if not any(_is_near(lands_on(pod, groups), lands_on(other, groups)) for other in kept.values()):
            lacking = f"no pods that make way (a PriorityClass below zero) where {pod.owner.manifest.name} runs"
            return Seen("no-evidence", f"{lacking}, and no CapacityBuffer", _place(pod.owner))
    first = next(iter(kept.values()))
    room = _count(world.replicas(first.owner), "pod")
    return Seen("pass", f"{first.owner.manifest.name} keeps the room of {room} free", _place(first.owner))


def _is_near(one: frozenset[int] | None, other: frozenset[int] | None) -> bool:
    """Whether pods land on the same nodes; None: on any."""
    if one is None or other is None:
        return one is other
    return bool(one & other)


def switches(bundle: Bundle) -> Seen:
    """S15.6: what costs most can be switched off by a flag."""
    declared: list[str] = []
    for pod in bundle.pods:
        names = heavy_features(pod)
        if names is None:
            what = f"{pod.owner.manifest.name} does not say what could be switched off ({HEAVY}, or none)"
            return Seen("no-evidence", what, _place(pod.owner))
        declared += names
    if not declared:
        return Seen("pass", "it declares nothing that could be switched off")
    known = flags(bundle.world)
    wrong = [name for name in declared if name not in known or known[name].problem]
    if wrong:
        why = known[wrong[0]].problem if wrong[0] in known else "is no flag among the manifests"
        return Seen("fail", f"{wrong[0]} {why}", _place(bundle.owners[0]))
    return Seen("pass", f"{_listed(declared)} can be switched off", _place(known[declared[0]].object))


def restored(bundle: Bundle) -> Seen:
    """S15.8: a database among the objects came up from a backup of late: by its own status, as a cluster shows it."""
    waiting = ""
    for each in bundle.world.of("Cluster"):
        recovery = mapping(at(each.spec, "bootstrap", "recovery"))
        if each.group != DATABASES[0][0] or not recovery:
            continue
        if at(each.value, "status", "phase") == HEALTHY:
            made = _day(text(each.metadata.get("creationTimestamp")))
            if made is not None and (bundle.today - made).days <= FRESH_DAYS:
                return Seen("pass", f"{each.manifest.name} came up from a backup, made on {made}", _place(each))
            when = f"made on {made}" if made is not None else "made on a day that is not written"
            waiting = f"{each.manifest.name} came up from a backup, {when}: it counts for {FRESH_DAYS} days"
        waiting = waiting or f"{each.manifest.name} is one to come up from a backup; its status is not here"
    return Seen("no-evidence", waiting or f"no Cluster with bootstrap.recovery and the status {HEALTHY!r} is here")


def _day(written: str) -> date | None:
    try:
        return date.fromisoformat(written[:10])
    except ValueError:
        return None


def secrets_managed(bundle: Bundle) -> Seen:
    """S15.6: every Secret that pods use is made by an ExternalSecret, or mounted by the Secrets Store driver."""
    made = {text(at(each.spec, "target", "name")) or each.name: each for each in bundle.world.of("ExternalSecret")} | {
        text(each.get("secretName")): provider
        for provider in bundle.world.of("SecretProviderClass")
        for _, each in items(provider.spec.get("secretObjects"))
    }
    used = bundle.secrets_used()
    unmade = sorted(used.keys() - made.keys())
    if unmade:
        return Seen(
            "no-evidence",
            f"no ExternalSecret or SecretProviderClass makes {_listed(unmade)}",
            _place(used[unmade[0]].owner),
        )
    found = rules(SECRETS.__contains__)(bundle)
    if found.state == "fail":
        return found
    return Seen("pass", f"{_listed(sorted(used))} from the secret manager" if used else "the pods use no Secret")


def tracing(bundle: Bundle) -> Seen:
    """S15.7: pods send traces somewhere."""
    for pod in bundle.pods:
        if not is_traced(bundle.world, pod):
            return Seen(
                "no-evidence",
                f"{pod.owner.manifest.name} sets none of {', '.join(TRACING)}, and no {INJECTED}* annotation",
                _place(pod.owner),
            )
    return Seen("pass", "spans have somewhere to go")


def alerts(bundle: Bundle) -> Seen:
    """S15.7: an alert exists on each of the SLIs deposit, bet and withdrawal."""
    if missing := without_alert(bundle.world):
        return Seen("no-evidence", f"no PrometheusRule has an alert on {_listed(missing)}")
    return Seen("pass", f"{_count(len(alerts_on(bundle.world)), 'alert')}, on {_listed(list(SIGNALS))} too")


def backups(bundle: Bundle) -> Seen:
    """S15.8: databases among the objects can be brought back to any moment."""
    databases = [each for each in bundle.world.objects if (each.group, each.kind) in DATABASES]
    if not databases:
        return Seen("no-evidence", "no database is among the manifests")
    names = {each.manifest.name for each in databases}
    found = [each for each in bundle.findings if each.rule in BACKUPS and each.object in names]
    return _found(found, len(BACKUPS & bundle.rules))


def documented(annotation: str, form: re.Pattern[str] = ADDRESS) -> Look:
    """S15.9: an annotation of the workload or its pods leads to what is written about it."""

    def look(bundle: Bundle) -> Seen:
        held = ""
        for pod in bundle.pods:
            written = pod.annotations.get(annotation, pod.owner.annotations.get(annotation))
            if written is None:
                return Seen(
                    "no-evidence", f"{pod.owner.manifest.name} has no annotation {annotation}", _place(pod.owner)
                )
            held = text(written).strip()
            if not form.fullmatch(held):
                return Seen("fail", f"{annotation} of {pod.owner.manifest.name} is no address", _place(pod.owner))
        return Seen("pass", annotation, held)

    return look


def plan_of(bundle: Bundle) -> ReleasePlan | None:
    """The plan that a ReleasePolicy among the manifests asks for, or None."""
    owners = {(each.namespace, each.name) for each in bundle.owners}
    for each in bundle.world.of("ReleasePolicy"):
        if (each.namespace, text(each.spec.get("deployment"))) not in owners:
            continue
        written = at(each.spec, "strategy", "steps")
        steps = tuple(step for step in listed(written) if type(step) is int) if written is not None else LADDER
        watched = each.spec.get("gates") or each.spec.get("objectives")
        gates = tuple(text(gate.get("signal")) for _, gate in items(watched))
        return ReleasePlan(steps, gates, "canary", each.manifest.name)
    return None


def steps_as_asked(plan: ReleasePlan | None) -> Seen:
    """S15.4: 5, 10, 25, 50, 100 % of players."""
    if plan is None:
        return Seen("no-evidence", "no ReleasePolicy and no release says how players move")
    told = " → ".join(f"{step} %" for step in plan.steps) or "no step"
    if plan.strategy != "canary":
        return Seen("fail", f"the strategy is {plan.strategy}, not canary", plan.source)
    return Seen("pass" if plan.steps == LADDER else "fail", told, plan.source)


def gated(plan: ReleasePlan | None) -> Seen:
    """S15.4: gates watch the steps."""
    if plan is None:
        return Seen("no-evidence", "no ReleasePolicy and no release names gates")
    if not plan.gates:
        return Seen("fail", "no objective and no gate is declared", plan.source)
    return Seen("pass", f"watched: {', '.join(plan.gates)}", plan.source)


def taken_back(plan: ReleasePlan | None) -> Seen:
    """S15.4: who breaks a gate is taken back without a person; croupier's plans always are."""
    if plan is None or not plan.gates:
        return Seen("no-evidence", "without gates nothing is taken back on its own")
    return Seen("pass", "a failed gate takes every step back, without a person", plan.source)


PLANNED: tuple[tuple[str, Callable[[ReleasePlan | None], Seen]], ...] = (
    ("canary steps 5 → 10 → 25 → 50 → 100 %", steps_as_asked),
    ("SLO gates", gated),
    ("automatic rollback", taken_back),
)
"""Proofs of S15.4."""

ASKED: tuple[Asked, ...] = (
    Asked("S15.1", "images named by digest", rules(IMAGES.__contains__)),
    Asked(
        "S15.1", "signatures of the images", nobody("nobody has verified a signature; one of each digest would show it")
    ),
    Asked("S15.1", "SBOMs of the images", nobody("nobody has shown an SBOM; one attested for each digest would")),
    Asked(
        "S15.1", "vulnerabilities of the images", nobody("nobody has shown a scan; one attested for each digest would")
    ),
    Asked("S15.2", "policy checks", rules(lambda each: each not in ELSEWHERE)),
    Asked("S15.2", "least privilege", rules(PRIVILEGE.__contains__)),
    Asked("S15.3", "readiness, startup and liveness probes", rules(PROBES.__contains__)),
    Asked("S15.3", "start and end of pods", rules(LIFE.__contains__)),
    Asked("S15.3", "PodDisruptionBudget", rules(BUDGETS.__contains__)),
    Asked("S15.3", "Pod priority", rules(PRIORITY.__contains__)),
    Asked("S15.5", "autoscaler of the workload", autoscaler),
    Asked("S15.5", "cluster autoscaler", nodes_added),
    Asked("S15.5", "warm nodes for the event", warm_nodes),
    Asked("S15.6", "secrets from the secret manager", secrets_managed),
    Asked("S15.6", "versions of the configuration", rules(CONFIGURATION.__contains__)),
    Asked("S15.6", "feature flags for degradation", switches),
    Asked("S15.7", "end-to-end tracing", tracing),
    Asked("S15.7", "alerts on deposit, bet and withdrawal", alerts),
    Asked(
        "S15.8",
        "DR plan and cutover on a test stand",
        nobody("nobody has shown a drill; one of the cutover in the journal would"),
    ),
    Asked("S15.8", "backups and PITR of databases", backups),
    Asked("S15.8", "a tested restore", restored),
    Asked("S15.9", "how to roll back", documented(ROLLBACK)),
    Asked("S15.9", "how to switch PSP or game provider", documented(PROVIDER_SWITCH)),
    Asked("S15.9", "whom to call at night", documented(ON_CALL, CALL)),
)
"""All proofs that manifests can give or lack, in the order they are shown; those of S15.4 are ``PLANNED``."""


def _place(each: Object) -> str:
    return f"{each.manifest.source.file}:{each.manifest.source.line + 1}"


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _count(number: int, thing: str) -> str:
    return f"{number} {thing}{'' if number == 1 else 's'}"
