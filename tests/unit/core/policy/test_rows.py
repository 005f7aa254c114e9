"""What rules people expect, row by row: those that other checkers have, and those that none had.

A row names the rules that answer it, or says why none does.
"""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from tests.support.policy_cases import FILES, cases

from croupier.core.policy.catalogue import RULES

Row = tuple[str, ...] | str
REGISTRY = "it needs a registry or an attestation, and nothing here asks one"

OURS: Mapping[str, Row] = {
    "N1 startup probe covers the warm-up": ("warm-up",),
    "N2 grace period covers preStop and drain": ("early-5xx", "drain"),
    "N3 timing of a rollout": ("rollout-timing",),
    "N4 scaling on load, not on CPU": ("hpa-cpu-only",),
    "N5 one scaler; behaviour in bursts": ("one-scaler", "scale-down"),
    "N6 budget of database connections": ("connection-avalanche", "connection-budget"),
    "N7 budget of a provider": ("provider-budget",),
    "N8 capacity of node pools": ("node-capacity",),
    "N9 quota of a namespace": ("quota-demand",),
    "N10 checksum of the configuration": ("config-checksum",),
    "N11 secrets come from a manager and are renewed": ("secret-source", "secret-refresh", "secret-env-rotation"),
    "N12 default deny, DNS, egress to what is declared": (
        "default-deny", "dns-egress", "egress-anywhere", "egress-beyond",
    ),
    "N13 no way between brands": ("brand-wall", "walls-unread"),
    "N14 hosts named are hosts allowed, and the other way": ("egress-hosts", "egress-unused"),
    "N15 timeouts and retries of the mesh": (
        "mesh-no-timeout", "retry-budget", "gateway-retry-budget", "timeout-answer", "retry-money",
    ),
    "N16 circuit breakers toward each provider": ("mesh-no-limits", "provider-limits"),
    "N17 WebSockets: affinity, idle timeouts, own nodes": ("sticky", "ws-idle", "ws-nodes"),
    "N18 spot for batch only, which ranks lower": ("spot-money", "priority-exists"),
    "N19 priority of a tier": ("priority-exists",),
    "N20 disruption and rollout leave capacity": ("disruption-capacity",),
    "N21 steps and gates of a release": ("canary-steps", "canary-gates", "analysis-decides"),
    "N22 references of a rollout": ("rollout-references",),
    "N23 blue-green": ("blue-green-stacks", "blue-green-way-back"),
    "N24 point-in-time recovery": ("database-backup", "base-backup", "backup-window", "backup-encryption"),
    "N25 synchronous and asynchronous copies": ("database-replication",),
    "N26 storage of the wallet": ("wallet-storage",),
    "N27 the standby runs the same": ("standby-parity",),
    "N28 image for every CPU architecture": REGISTRY,
    "N29 accepted vulnerabilities": REGISTRY,
    "N30 attested digest is the deployed one": REGISTRY,
    "N31 traces, scrapes, alerts": ("traced", "scraped", "slo-alerts", "sli-recorded"),
    "N32 guards of the ingress and of callbacks": (
        "ingress-hsts", "ingress-rate-limit", "ingress-backend-tls", "ingress-body-size", "gateway-hsts",
        "gateway-rate-limit", "gateway-backend-tls", "gateway-body-size", "callback-guard",
    ),
    "N33 switches for heavy features": ("kill-switch",),
    "N34 runbooks by a schema": ("runbook",),
    "N35 written once, in the jurisdiction": ("write-once", "data-location"),
    "N36 bounds of KEDA": ("keda-bounds",),
    "N37 one workload a selector": ("one-workload",),
    "N38 Argo CD leaves replicas; migrations first": ("gitops-replicas", "migration-order"),
    "N39 idle timeouts along the chain": ("keep-alive-chain",),
    "N40 every waiver has reason, owner, end": ("waiver",),
}  # fmt: skip
"""Rules that no other checker had when they were written."""

THEIRS: Mapping[str, Row] = {
    # Images and supply chain
    "no latest or blank tag": ("image-tag",),
    "digest pinned": ("image-digest",),
    "allowed registries": ("image-registry",),
    "pull policy Always": ("pull-policy",),
    "image signed": REGISTRY,
    "SBOM attested": REGISTRY,
    "vulnerability scan attested": REGISTRY,
    "SLSA provenance": REGISTRY,
    "base image allowed, stale, large": REGISTRY,
    # Pod hardening
    "runAsNonRoot, UID not 0": ("run-as-non-root", "run-as-user"),
    "allowPrivilegeEscalation": ("privilege-escalation",),
    "privileged": ("privileged",),
    "capabilities": ("capabilities-baseline", "capabilities-restricted", "net-raw"),
    "readOnlyRootFilesystem": ("read-only-root",),
    "seccomp": ("seccomp", "seccomp-unconfined"),
    "AppArmor": ("apparmor",),
    "SELinux, sysctls, procMount": ("selinux", "sysctls", "proc-mount", "proc-mount-restricted"),
    "host namespaces": ("host-namespaces",),
    "hostPath, runtime socket, writable host mount": (
        "host-path", "runtime-socket", "system-folder", "writable-host-path",
    ),
    "hostPort": ("host-ports",),
    "Windows HostProcess": ("windows-host-process",),
    "volume types": ("volume-types",),
    "host field in probes and hooks": ("probe-host",),
    "service account token, default account": ("service-account-token", "default-service-account"),
    "default namespace": ("default-namespace",),
    # Reliability
    "requests and limits": ("cpu-requests", "cpu-limits", "memory-requests", "memory-limits"),
    "ephemeral storage, emptyDir limit": ("ephemeral-storage", "empty-dir-limit"),
    "memory request and limit": ("memory-ratio",),
    "liveness and readiness": ("liveness-probe", "readiness-probe", "any-probe"),
    "startup probe": ("startup-probe",),
    "probe port exists": ("probe-port",),
    "liveness is not readiness": ("probes-differ",),
    "PDB exists": ("pdb",),
    "PDB allows a disruption": ("pdb-max-unavailable", "pdb-min-available"),
    "PDB and least number of an autoscaler": ("pdb-above-hpa",),
    "unhealthyPodEvictionPolicy": ("pdb-unhealthy",),
    "PriorityClass": ("priority-class", "system-priority"),
    "RollingUpdate": ("rolling-update", "rollout-timing"),
    "two or three replicas": ("one-replica", "three-replicas"),
    "range of an HPA": ("hpa-range", "hpa-least", "hpa-least-three"),
    "target of an HPA exists": ("dangling-hpa",),
    "HPA and static replicas": ("hpa-replicas",),
    "anti-affinity, topology spread": ("spread", "anti-affinity", "topology-spread", "node-affinity"),
    "Job TTL, restartPolicy, CronJob deadline": ("job-ttl", "restart-policy", "cron-deadline"),
    "VPA: twice, target, together with an HPA": ("one-scaler", "dangling-hpa"),
    "StorageClass": ("storage-class",),
    "StatefulSet and headless Service": ("headless",),
    # Network, secrets, RBAC, hygiene
    "pod covered by a NetworkPolicy": ("network-policy", "isolated-pod"),
    "namespace default-deny": ("default-deny",),
    "egress not to everywhere": ("egress-anywhere",),
    "dangling references": (
        "dangling-service", "dangling-ingress", "dangling-network-policy", "dangling-network-peer",
        "dangling-service-monitor", "dangling-service-account", "dangling-env", "dangling-role",
    ),
    "Ingress: TLS, wildcard, host twice": ("ingress-tls", "ingress-host", "ingress-wildcard", "ingress-duplicate"),
    "nginx snippets": ("ingress-snippet",),
    "secrets as env": ("secret-env", "env-from", "secret-in-env", "secret-env-name"),
    "secret-looking text in ConfigMaps": ("secret-in-config-map", "secret-in-git"),
    "mTLS, sidecars, AuthorizationPolicy": ("mesh-mtls", "mesh-outside", "mesh-anybody"),
    "Pod Security labels of a namespace": ("pod-security-label",),
    "RBAC: wildcards, secrets, exec, escalation": (
        "rbac-wildcard", "rbac-secrets", "rbac-exec", "rbac-exec-bound", "rbac-escalate", "rbac-create-pods",
        "rbac-admin",
    ),
    "required labels, owner": ("required-labels", "owner-mail"),
    "removed API versions": ("removed-api",),
    "schema": ("schema", "schema-known"),
    "duplicate env names": ("duplicate-env",),
    "staging before production": "manifests say how things are, not in which order they came there: the journal does",
    "backup label or policy": ("database-backup", "base-backup", "backup-window", "backup-encryption"),
}  # fmt: skip
"""Rules that at least one other checker has."""


@pytest.mark.parametrize("row", [*OURS.values(), *THEIRS.values()])
def test_a_row_names_rules_or_says_why_there_is_none(row: Row) -> None:
    if isinstance(row, str):
        assert len(row.split()) > 5
    else:
        assert row
        assert set(row) <= set(RULES)


def test_every_rule_that_nobody_had_has_three_bundles_of_either_kind() -> None:
    """Prevents: a rule that no outside corpus has cases for, and we neither."""
    told = {file.stem: [expected for expected, _, _ in cases(file)] for file in FILES}
    thin = {
        rule
        for row in OURS.values()
        if isinstance(row, tuple)
        for rule in row
        if min(told.get(rule, []).count(kind) for kind in ("fail", "pass")) < 3
    }
    assert thin == set()


def test_the_rows_of_our_own_are_numbered_without_a_gap() -> None:
    assert [row.split()[0] for row in OURS] == [f"N{number}" for number in range(1, 41)]
