"""What must hold of the rules for any numbers and any text."""

from __future__ import annotations

import json
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from croupier.core.policy import providers
from croupier.core.policy.catalogue import RULES
from croupier.core.policy.check import check
from croupier.core.policy.demand import Peak
from croupier.core.policy.providers import Caller
from croupier.model.connections import Demand, total
from croupier.spec.manifests import read_text

NUMBERS = st.integers(min_value=0, max_value=500)
DEMANDS = st.lists(st.builds(Demand, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=6)


@given(DEMANDS, st.data())
def test_more_pods_processes_or_pool_never_need_fewer_connections(demands: list[Demand], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(demands) - 1))
    field = data.draw(st.sampled_from(Demand._fields))
    grown = demands[index]._replace(**{field: getattr(demands[index], field) + data.draw(NUMBERS)})
    assert total([*demands[:index], grown, *demands[index + 1 :]]) >= total(demands)


CALLERS = st.lists(
    st.builds(Caller, st.none(), st.none(), st.builds(Peak, NUMBERS, NUMBERS), NUMBERS, NUMBERS | st.none()),
    min_size=1,
    max_size=6,
)


@given(CALLERS, st.data())
def test_more_pods_processes_or_leave_never_ask_less_of_a_provider(callers: list[Caller], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(callers) - 1))
    was, more = callers[index], data.draw(NUMBERS)
    peak, each = was.peak, was.each
    grown = data.draw(
        st.sampled_from(
            [
                was._replace(peak=Peak(peak.pods + more, peak.surge)),
                was._replace(peak=Peak(peak.pods, peak.surge + more)),
                was._replace(processes=was.processes + more),
                was._replace(each=None if each is None else each + more),
            ]
        )
    )
    assert providers.total([*callers[:index], grown, *callers[index + 1 :]]) >= providers.total(callers)


@dataclass(frozen=True)
class Fleet:
    replicas: int
    pool: int
    workers: int

    @property
    def is_refused(self) -> bool:
        text = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: bets, namespace: casino}}
spec:
  replicas: {self.replicas}
  template:
    spec:
      containers:
        - name: app
          env:
            - {{name: DATABASE_URL, value: "postgres://db-rw/bets"}}
            - {{name: DB_POOL_SIZE, value: "{self.pool}"}}
            - {{name: WEB_CONCURRENCY, value: "{self.workers}"}}
---
apiVersion: postgresql.cnpg.io/v1
kind: Cluster
metadata: {{name: db, namespace: casino}}
spec: {{postgresql: {{parameters: {{max_connections: "200"}}}}}}
"""
        return bool(check(read_text(text, "f").manifests, [RULES["connection-budget"]]))


FLEETS = st.builds(Fleet, st.integers(1, 40), st.integers(1, 40), st.integers(1, 8))


@given(FLEETS, st.sampled_from(("replicas", "pool", "workers")), st.integers(0, 20))
def test_a_fleet_that_does_not_fit_never_fits_when_it_grows(fleet: Fleet, field: str, more: int) -> None:
    grown = Fleet(**{**fleet.__dict__, field: getattr(fleet, field) + more})
    assert grown.is_refused or not fleet.is_refused


@dataclass(frozen=True)
class Peaks:
    replicas: int
    surge: int
    millicores: int
    lobby: int

    @property
    def refused(self) -> set[str]:
        text = f"""
apiVersion: apps/v1
kind: Deployment
metadata: {{name: bets, namespace: casino}}
spec:
  replicas: {self.replicas}
  strategy: {{rollingUpdate: {{maxSurge: {self.surge}}}}}
  template:
    spec:
      nodeSelector: {{pool: api}}
      containers: [{{name: app, resources: {{requests: {{cpu: {self.millicores}m}}}}}}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: lobby, namespace: casino}}
spec:
  replicas: {self.lobby}
  template:
    spec:
      nodeSelector: {{pool: api}}
      containers: [{{name: app, resources: {{requests: {{cpu: 250m}}}}}}]
---
apiVersion: v1
kind: ResourceQuota
metadata: {{name: demand, namespace: casino}}
spec: {{hard: {{requests.cpu: "10", pods: "60"}}}}
---
apiVersion: karpenter.sh/v1
kind: NodePool
metadata: {{name: api}}
spec: {{limits: {{cpu: "12"}}, template: {{metadata: {{labels: {{pool: api}}}}}}}}
"""
        rules = [RULES["quota-demand"], RULES["node-capacity"]]
        return {f"{each.rule.id} {each.path}" for each in check(read_text(text, "f").manifests, rules)}


PEAKS = st.builds(Peaks, st.integers(0, 60), st.integers(0, 20), st.integers(1, 2000), st.integers(0, 40))


@given(PEAKS, st.sampled_from(("replicas", "surge", "millicores", "lobby")), st.integers(0, 500))
def test_what_has_no_room_has_none_when_it_grows(peaks: Peaks, field: str, more: int) -> None:
    grown = Peaks(**{**peaks.__dict__, field: getattr(peaks, field) + more})
    assert peaks.refused <= grown.refused


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
FIELDS = (
    "containers", "initContainers", "volumes", "securityContext", "env", "envFrom", "ports", "resources", "lifecycle",
    "livenessProbe", "template", "spec", "metadata", "labels", "annotations", "selector", "rules", "http", "egress",
    "ingress", "podSelector", "matchLabels", "minAvailable", "replicas", "scaleTargetRef", "metrics", "subjects",
    "roleRef", "data", "image", "name", "tolerations", "nodeSelector", "affinity", "strategy", "postgresql",
    "parameters",
)  # fmt: skip
NESTED = st.recursive(VALUES, lambda inner: st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4), max_leaves=10)
KINDS = (
    "Pod", "Deployment", "CronJob", "Service", "Ingress", "NetworkPolicy", "Role", "RoleBinding", "ConfigMap", "Secret",
    "HorizontalPodAutoscaler", "PodDisruptionBudget", "Cluster", "Pooler", "VirtualService", "DestinationRule",
    "ScaledObject",
    "ServiceMonitor", "PriorityClass", "StatefulSet", "ExternalSecret", "VerticalPodAutoscaler", "Anything",
)  # fmt: skip


@given(st.lists(st.tuples(st.sampled_from(KINDS), NESTED, NESTED), min_size=1, max_size=3))
def test_no_object_however_wrong_breaks_a_rule(objects: list[tuple[str, object, object]]) -> None:
    documents = [
        json.dumps({"apiVersion": "example.dev/v1", "kind": kind, "metadata": metadata, "spec": spec})
        for kind, metadata, spec in objects
    ]
    read = read_text("\n".join(documents), "f.json")
    assert read.state in ("read", "template"), read.problem
    check(read.manifests, list(RULES.values()))
