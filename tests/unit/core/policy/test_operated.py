"""Pods that operators make are known by their labels, though no template of theirs is written."""

from __future__ import annotations

import pytest

from croupier.core.policy.catalogue import RULES
from croupier.core.policy.check import check
from croupier.spec.manifests import read_text

BESIDE = """
apiVersion: v1
kind: Pod
metadata: {name: bets, namespace: data, labels: {app: bets}}
spec: {containers: [{name: app, image: registry.example/bets:1}]}
---
"""
POSTGRES = """
apiVersion: postgresql.cnpg.io/v1
kind: Cluster
metadata: {name: ledger, namespace: data}
spec: {instances: 3}
---
apiVersion: postgresql.cnpg.io/v1
kind: Pooler
metadata: {name: ledger-pooler, namespace: data}
spec:
  cluster: {name: ledger}
  pgbouncer: {}
  template: {spec: {containers: [{name: pgbouncer, resources: {limits: {memory: 128Mi}}}]}}
---
"""
POLICY = """
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: one, namespace: data}
spec: {podSelector: {matchLabels: {%s}}, policyTypes: [Ingress]}
"""


def _found(text: str, *rules: str) -> list[str]:
    return [each.rule.id for each in check(read_text(text, "f").manifests, [RULES[name] for name in rules])]


@pytest.mark.parametrize(
    ("labels", "is_dangling"),
    [
        ("cnpg.io/cluster: ledger", False),
        ("cnpg.io/poolerName: ledger-pooler", False),
        ("cnpg.io/cluster: wallet", True),
    ],
)
def test_a_policy_for_a_database_selects_its_pods(labels: str, is_dangling: bool) -> None:
    found = _found(BESIDE + POSTGRES + POLICY % labels, "dangling-network-policy")
    assert bool(found) == is_dangling


MYSQL = """
apiVersion: pxc.percona.com/v1
kind: PerconaXtraDBCluster
metadata: {name: ledger, namespace: data}
spec: {pxc: {size: 3}, haproxy: {enabled: true}, backup: {pitr: {enabled: true, storageName: s}}}
---
"""
_OF_LEDGER = "app.kubernetes.io/instance: ledger, "


@pytest.mark.parametrize(
    ("labels", "is_dangling"),
    [
        (_OF_LEDGER + "app.kubernetes.io/component: pxc", False),
        (_OF_LEDGER + "app.kubernetes.io/component: haproxy", False),
        (_OF_LEDGER + "app.kubernetes.io/component: pitr", False),
        (_OF_LEDGER + "app.kubernetes.io/component: proxysql", True),
        ("percona.com/backup-type: xtrabackup, percona.com/cluster: ledger", False),
        ("percona.com/backup-type: xtrabackup, percona.com/cluster: wallet", True),
    ],
)
def test_a_policy_for_mysql_selects_its_pods(labels: str, is_dangling: bool) -> None:
    found = _found(BESIDE + MYSQL + POLICY % labels, "dangling-network-policy")
    assert bool(found) == is_dangling


def test_what_an_operator_completes_is_not_judged_as_a_pod() -> None:
    """CloudNativePG hardens its poolers by itself; the part that is written is not all there is."""
    assert _found(POSTGRES, "run-as-non-root", "read-only-root", "readiness-probe") == []
