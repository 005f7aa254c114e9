"""What must hold of the rules for any numbers and any text."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields, replace

from hypothesis import given
from hypothesis import strategies as st

from croupier.core.policy.catalogue import RULES
from croupier.core.policy.check import NOTHING_SET, check
from croupier.core.policy.demand import Peak
from croupier.core.policy.fleet import budgets
from croupier.core.policy.objects import as_object
from croupier.core.policy.providers import CONNECTIONS, RATE
from croupier.core.policy.sums import Part
from croupier.core.policy.world import World
from croupier.model.connections import Demand, total
from croupier.model.objects import JsonObject
from croupier.spec.manifests import read_text

NUMBERS = st.integers(min_value=0, max_value=500)
DEMANDS = st.lists(st.builds(Demand, NUMBERS, NUMBERS, NUMBERS, NUMBERS, NUMBERS), min_size=1, max_size=6)


@given(DEMANDS, st.data())
def test_more_pods_processes_or_pool_never_need_fewer_connections(demands: list[Demand], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(demands) - 1))
    field = data.draw(st.sampled_from(Demand._fields))
    grown = demands[index]._replace(**{field: getattr(demands[index], field) + data.draw(NUMBERS)})
    assert total([*demands[:index], grown, *demands[index + 1 :]]) >= total(demands)


PARTS = st.lists(
    st.builds(Part, st.just("a"), st.builds(Peak, NUMBERS, NUMBERS, NUMBERS), NUMBERS, NUMBERS), min_size=1, max_size=6
)


@given(PARTS, st.data())
def test_more_of_anything_never_makes_a_sum_smaller(parts: list[Part], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(parts) - 1))
    was, more = parts[index], data.draw(NUMBERS)
    field = data.draw(st.sampled_from((*Peak._fields, "each", "processes")))
    if field in Peak._fields:
        grown = was._replace(peak=was.peak._replace(**{field: getattr(was.peak, field) + more}))
    else:
        grown = was._replace(**{field: getattr(was, field) + more})
    assert sum(each.size for each in [*parts[:index], grown, *parts[index + 1 :]]) >= sum(each.size for each in parts)


CNPG = "postgresql.cnpg.io/v1"
CLIENTS = {"max_client_conn": "200"}
SUMMED = ("connection-budget", "provider-budget", "quota-demand", "node-capacity")


@dataclass(frozen=True)
class Fleet:
    """Two services, their pooler, database, provider, namespace and nodes; rates, sizes and numbers as they come."""

    replicas: int
    surge: int
    unavailable: int
    grace: int
    taken_away: int
    pool: int
    workers: int
    rate: int
    millicores: int
    mebibytes: int
    more_mebibytes: int
    lobby: int
    poolers: int
    size: int
    warm: int
    buffer: int
    buffer_percent: int
    ready: int = 0
    is_scaled: bool = False

    @property
    def objects(self) -> list[JsonObject]:
        env = {
            "DATABASE_URL": "postgres://db-rw/bets",
            "DB_POOL_SIZE": str(self.pool),
            "WEB_CONCURRENCY": str(self.workers),
            "PSP_URL": "https://api.psp.example",
            "PSP_POOL_SIZE": str(self.pool),
            "PSP_MAX_RPS": str(self.rate),
        }
        asks = {"cpu": f"{self.millicores}m", "memory": f"{self.mebibytes}Mi"}
        most = {"cpu": f"{self.millicores}m", "memory": f"{self.mebibytes + self.more_mebibytes}Mi"}
        bets = {"env": [{"name": key, "value": value} for key, value in env.items()]}
        lobby = {
            "env": [{"name": "DATABASE_URL", "value": "postgres://pool/lobby"}, {"name": "POOL_MAX", "value": "9"}]
        }
        rolling = {"maxSurge": self.surge, "maxUnavailable": self.unavailable}
        down = {"policies": [{"type": "Percent", "value": self.taken_away, "periodSeconds": 30}]}
        reference = {"kind": "Deployment", "name": "bets"}
        pods = {"terminationGracePeriodSeconds": self.grace, "nodeSelector": {"pool": "api"}}
        resources: JsonObject = {"resources": {"requests": asks, "limits": most}}
        made = [
            _object("Deployment", "bets", {"replicas": self.replicas, "minReadySeconds": self.ready,
                    "strategy": {"rollingUpdate": rolling}, "template": _template(pods, {**bets, **resources})}),
            _object("Deployment", "lobby", {"replicas": self.lobby,
                    "template": _template(pods, {**lobby, **resources})}),
            _object("Deployment", "warm", {"replicas": self.warm, "strategy": {"type": "Recreate"},
                    "template": _template({**pods, "priorityClassName": "croupier-warm"}, resources)}),
            _object("CapacityBuffer", "more", {"scalableRef": reference, "replicas": self.buffer,
                    "percentage": self.buffer_percent}, "autoscaling.x-k8s.io/v1beta1"),
            _object("Pooler", "pool", {"cluster": {"name": "db"}, "instances": self.poolers,
                    "pgbouncer": {"parameters": {"default_pool_size": str(self.size), **CLIENTS}}}, CNPG),
            _object("Cluster", "db", {"postgresql": {"parameters": {"max_connections": "200"}}}, CNPG),
            _object("ServiceEntry", "psp", {"hosts": ["api.psp.example"]}, "networking.istio.io/v1",
                    {CONNECTIONS: "200", RATE: "400"}),
            _object("ResourceQuota", "demand", {"hard": {"requests.cpu": "10", "pods": "60", "limits.memory": "20Gi",
                    "requests.memory": "10Gi"}}),
            _object("NodePool", "api", {"limits": {"cpu": "12", "memory": "16Gi"},
                    "template": {"metadata": {"labels": {"pool": "api"}}}}, "karpenter.sh/v1"),
        ]  # fmt: skip
        if self.is_scaled:
            scaled = {"scaleTargetRef": reference, "maxReplicas": self.replicas, "behavior": {"scaleDown": down}}
            made.append(_object("HorizontalPodAutoscaler", "bets", scaled))
        return made

    @property
    def sums(self) -> list[tuple[str, str, float]]:
        """(rule, resource, sum) of every budget, and the rules find those that are over their limit."""
        manifests = read_text("\n".join(map(json.dumps, self.objects)), "fleet.json").manifests
        held = budgets(World([as_object(index, each, NOTHING_SET) for index, each in enumerate(manifests)]))
        over = [(each.rule, each.told) for each in held if not each.fits]
        found = check(manifests, [RULES[rule] for rule in SUMMED])
        assert sorted(over) == sorted((each.rule.id, each.message) for each in found)
        return [(each.rule, each.resource, each.asked) for each in held]


def _object(
    kind: str, name: str, spec: JsonObject, version: str = "v1", annotations: JsonObject | None = None
) -> JsonObject:
    metadata = {"name": name, "namespace": "casino", "annotations": annotations or {}}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec}


def _template(pod: JsonObject, container: JsonObject) -> JsonObject:
    return {"spec": {**pod, "containers": [{"name": "app", **container}]}}


GROWS = [each.name for each in fields(Fleet) if each.name not in {"ready", "is_scaled"}]
FLEETS = st.builds(
    Fleet, **{each: st.integers(1, 40) for each in GROWS}, ready=st.sampled_from((0, 10)), is_scaled=st.booleans()
)


@given(FLEETS, st.sampled_from(GROWS), st.integers(0, 300))
def test_no_budget_of_a_fleet_is_asked_for_less_when_anything_grows(fleet: Fleet, field: str, more: int) -> None:
    """Databases through poolers, providers, quotas and nodes with what is kept warm: replicas, surge, drain, pools,
    rates, CPU, memory and its limits. What does not fit never fits again.
    """
    was, grown = fleet.sums, replace(fleet, **{field: getattr(fleet, field) + more}).sums
    assert [each[:2] for each in was] == [each[:2] for each in grown]
    assert all(after[2] >= before[2] - 1e-6 for before, after in zip(was, grown, strict=True))


@given(FLEETS)
def test_all_kinds_of_budgets_are_in_it(fleet: Fleet) -> None:
    """Prevents: a property that holds because nothing is summed up."""
    assert [each[:2] for each in fleet.sums] == [
        ("connection-budget", "clients"), ("connection-budget", "connections"),
        ("provider-budget", "connections"), ("provider-budget", "requests a second"),
        ("quota-demand", "requests.cpu"), ("quota-demand", "pods"), ("quota-demand", "limits.memory"),
        ("quota-demand", "requests.memory"), ("node-capacity", "cpu"), ("node-capacity", "memory"),
    ]  # fmt: skip
    assert all(each[2] > 0 for each in fleet.sums)


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
    "parameters", "ownerReferences",
)  # fmt: skip
NESTED = st.recursive(VALUES, lambda inner: st.dictionaries(st.sampled_from(FIELDS), inner, max_size=4), max_leaves=10)
KINDS = (
    "Pod", "Deployment", "CronJob", "Service", "Ingress", "NetworkPolicy", "Role", "RoleBinding", "ConfigMap", "Secret",
    "HorizontalPodAutoscaler", "PodDisruptionBudget", "Cluster", "Pooler", "VirtualService", "DestinationRule",
    "HTTPScaledObject", "ScaledObject",
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
