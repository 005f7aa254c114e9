"""Rules in CEL say what they say in Python, of every case that there is: other projects', our own, each example."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

import pytest
from tests.support.policy_objects import is_asked, manifests

from croupier.core.policy import pod_security
from croupier.core.policy.catalogue import RULES
from croupier.core.policy.cel import Said, said
from croupier.core.policy.cel_evaluator import Predicate, Unanswered, compiled
from croupier.core.policy.cel_words import VARIABLES, variables_of
from croupier.core.policy.check import check
from croupier.core.policy.kinds import PODS, Resource
from croupier.core.policy.objects import Settings
from croupier.core.policy.rule import Scope
from croupier.core.policy.strategies import DECIDED as DECIDED_STEPS
from croupier.core.policy.strategies import LADDER
from croupier.errors import UsageError
from croupier.model.manifest import Manifest, Source
from croupier.model.objects import JsonObject

DECIDED = Settings(registries=("registry.example", "quay.io/"), labels=("owner",))
CHOSEN = Settings(priority_classes=("gold", "silver"))
EXPORTED = {id: found for id, rule in RULES.items() if isinstance(found := said(rule, DECIDED), Said)}


@pytest.mark.parametrize("settings", [DECIDED, CHOSEN], ids=["decided", "chosen"])
@pytest.mark.parametrize("id", EXPORTED)
def test_a_rule_in_cel_agrees_with_the_rule_in_python(id: str, settings: Settings) -> None:
    found = said(RULES[id], settings)
    if not isinstance(found, Said):
        assert settings is CHOSEN
        return
    refused = _refused(settings)[id]
    if settings is CHOSEN and found == EXPORTED[id]:
        assert refused == _refused(DECIDED)[id]
        return
    holds = compiled(found.expression, {name: VARIABLES[name] for name in variables_of(found.expression)})
    answers = set()
    for number, value in _asked(found.resources):
        assert holds(value) is not (number in refused), (id, value)
        answers.add(number in refused)
    assert answers == {True, False}


@cache
def _asked(resources: tuple[Resource, ...]) -> Sequence[tuple[int, JsonObject]]:
    """Those of ``manifests`` that the API server asks about, by their numbers."""
    return [(number, each.value) for number, each in enumerate(manifests()) if is_asked(resources, each)]


@cache
def _refused(settings: Settings) -> Mapping[str, Set[int]]:
    """Rule -> numbers of the manifests that it finds fault with, in Python."""
    numbers: dict[str, set[int]] = {id: set() for id in EXPORTED}
    for finding in check(manifests(), [RULES[id] for id in EXPORTED], settings):
        numbers[finding.rule.id].add(finding.index)
    return numbers


def test_the_pod_security_standards_are_all_said_in_cel() -> None:
    assert {each.id for each in pod_security.RULES} <= set(EXPORTED)


def test_what_is_not_said_has_a_reason_of_its_own() -> None:
    """Of rules that look at one object, those stay outside that the API server asks itself, or of which it knows
    nothing; none because nobody wrote it down.
    """
    left = {id: said(rule, DECIDED) for id, rule in RULES.items() if id not in EXPORTED}
    single = {id for id in left if RULES[id].scope is not Scope.BUNDLE}
    assert {left[id] for id in left if id not in single} == {"it looks at several objects, and admission sees one"}
    assert single == {
        *("duplicate-key", "waiver", "removed-api", "schema", "schema-known", "selector", "target-port"),
        *("instance-label", "namespace-named", "service-account-field", "restart-policy", "pull-policy"),
        "secret-in-git",
    }
    own = replace(RULES["privileged"], id="somebody-elses")
    assert said(own, DECIDED) not in {left[id] for id in single}


@cache
def _in_cel(id: str) -> Predicate:
    found = EXPORTED[id]
    return compiled(found.expression, {name: VARIABLES[name] for name in variables_of(found.expression)})


def _agree(id: str, value: Any) -> bool:
    """Whether a rule finds fault with ``value``, in Python as in CEL."""
    refused = bool(check([Manifest(Source("", 0, ""), (), value)], [RULES[id]]))
    assert _in_cel(id)(value) is not refused, (id, value)
    return refused


STEPS: tuple[Any, ...] = (
    *({"setWeight": percent} for percent in (0, 5, 50, 100)),
    *(
        {"pause": {}},
        {"analysis": {}},
        {"experiment": {"analyses": []}},
        {"experiment": {"analyses": [{}]}},
        {"setWeight": 25, "analysis": {}},
    ),
)


@pytest.mark.parametrize("id", ["canary-steps", "canary-gates"])
@pytest.mark.parametrize("background", [None, {"templates": [{}]}, {"templates": [{}], "startingStep": 2}])
def test_any_three_steps_of_a_rollout_are_judged_as_in_python(id: str, background: Any) -> None:
    answers = set()
    for steps in [list(each) for length in range(4) for each in product(STEPS, repeat=length)]:
        canary = {"steps": steps, **({"analysis": background} if background else {})}
        rollout = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "spec": {"strategy": {"canary": canary}}}
        answers.add(
            _agree(id, {**rollout, "metadata": {"name": "a", "annotations": {DECIDED_STEPS: "05 → 50, 100 %"}}})
        )
        if len(steps) < 3:
            _agree(id, rollout)
    assert answers == {True, False}


@pytest.mark.parametrize("decided", [None, "10 20 30 40 50 100", "20, 40, 60, 80, 100", "5, 100", ""])
def test_weights_of_a_flagger_canary_are_read_as_in_python(decided: str | None) -> None:
    annotations = {} if decided is None else {DECIDED_STEPS: decided}
    for analysis in (
        *({"stepWeight": step, "maxWeight": most} for step in (0, 1, 10, 20, 70) for most in (0, 50, 100)),
        *({"stepWeights": list(LADDER[:count])} for count in range(6)),
        *({"stepWeights": [5, 0, 100]}, {"iterations": 3}, {"match": [{}]}, {}),
    ):
        value = {"apiVersion": "flagger.app/v1beta1", "kind": "Canary", "spec": {"analysis": analysis}}
        _agree("canary-steps", {**value, "metadata": {"name": "a", "annotations": annotations}})


@pytest.mark.parametrize("asked", ["1Gi", "1.5e9", "512Mi", "1000000k", 1073741824, "0", "much", None])
@pytest.mark.parametrize("limit", ["2Gi", "2147483649", "1025Mi", "1M", 3221225472, "0", "much", None])
def test_quantities_are_compared_as_in_python(asked: Any, limit: Any) -> None:
    resources = {"requests": {"memory": asked} if asked else {}, "limits": {"memory": limit} if limit else {}}
    spec = {"containers": [{"name": "a", "resources": resources}]}
    _agree("memory-ratio", {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": spec})


@pytest.mark.parametrize("timeout", ["3s", "1m30s", "250ms", "0.5s", "1h", "3", "", None])
@pytest.mark.parametrize("once", ["1s", "1.5s", "100ms", "30s", "s", None])
@pytest.mark.parametrize("attempts", [0, 1, 2])
def test_durations_are_compared_as_in_python(timeout: str | None, once: str | None, attempts: int) -> None:
    route = {"timeout": timeout, "retries": {"attempts": attempts, "perTryTimeout": once}}
    value = {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "a"}}
    _agree("retry-budget", {**value, "spec": {"http": [route]}})


@pytest.mark.parametrize("provider", [{"prometheus": {}}, {"job": {}}, {"web": {}}, {}])
@pytest.mark.parametrize("count", [None, 1, 5, "5", "many"])
@pytest.mark.parametrize("dry", [[], [{"metricName": "errors"}], [{"metricName": ".*"}], [{"metricName": "other"}]])
def test_an_analysis_decides_as_in_python(provider: Any, count: Any, dry: Any) -> None:
    for more in ({}, {"interval": "1m"}, {"failureLimit": -1}, {"failureLimit": "2"}, {"successCondition": ""}):
        metric = {"name": "errors", "provider": provider, "count": count, "failureCondition": "a", **more}
        value = {"apiVersion": "argoproj.io/v1alpha1", "kind": "AnalysisTemplate", "metadata": {"name": "a"}}
        for held in (metric, {**metric, "failureCondition": None}):
            _agree("analysis-decides", {**value, "spec": {"metrics": [held], "dryRun": dry}})


@pytest.mark.parametrize("kept", [None, 0, 299, 300, "300", "5m"])
@pytest.mark.parametrize(
    "more",
    [
        *({}, {"scaleDownDelayRevisionLimit": 0}, {"previewService": ""}, {"previewService": "bets"}),
        *({"autoPromotionEnabled": True}, {"autoPromotionEnabled": None, "prePromotionAnalysis": {"templates": []}}),
    ],
)
def test_a_switch_has_its_way_back_as_in_python(kept: Any, more: Any) -> None:
    held = {"activeService": "bets", "previewService": "next", "autoPromotionEnabled": False, **more}
    value = {"apiVersion": "argoproj.io/v1alpha1", "kind": "Rollout", "metadata": {"name": "a"}}
    blue_green = {**held, "scaleDownDelaySeconds": kept}
    _agree("blue-green-way-back", {**value, "spec": {"strategy": {"blueGreen": blue_green}}})


@pytest.mark.parametrize("loss", [None, "0", "0.0", " 5 ", "1e3", "none", ""])
@pytest.mark.parametrize("labels", [{}, {"tier": "money"}, {"croupier.dev/tier": "money"}, {"tier": "batch"}])
def test_copies_of_databases_are_asked_for_as_in_python(loss: str | None, labels: dict[str, str]) -> None:
    def asked(version: str, kind: str, spec: Any) -> None:
        annotations = {} if loss is None else {"croupier.dev/rpo-seconds": loss}
        metadata = {"name": "a", "labels": labels, "annotations": annotations}
        _agree("database-replication", {"apiVersion": version, "kind": kind, "metadata": metadata, "spec": spec})

    more = ({"dataDurability": "preferred"}, {"standbyNamesPre": ["a"]})
    for synchronous in (None, {"number": 1}, {"number": "1"}, {"number": 0}, *({"number": 1, **each} for each in more)):
        for replica in (None, {"enabled": True}):
            spec = {"postgresql": {"synchronous": synchronous}, "replica": replica}
            asked("postgresql.cnpg.io/v1", "Cluster", spec)
            asked("postgresql.cnpg.io/v1", "Cluster", {**spec, "minSyncReplicas": 1})
    for mode in (None, True, False):
        asked("acid.zalan.do/v1", "postgresql", {"patroni": {"synchronous_mode": mode}})
        patroni = {"dynamicConfiguration": {"synchronous_mode": mode}}
        asked("postgres-operator.crunchydata.com/v1beta1", "PostgresCluster", {"patroni": patroni})
    for copies, answered in product((None, 1, 3, 4), (None, 1, 2, "2", "3", 4, "two", -1)):
        topic = {"replicas": copies, "config": {"min.insync.replicas": answered}}
        asked("kafka.strimzi.io/v1", "KafkaTopic", topic)
        config = {"default.replication.factor": copies, "min.insync.replicas": answered}
        asked("kafka.strimzi.io/v1", "Kafka", {"kafka": {"config": config}})


@pytest.mark.parametrize("operator", ["In", "NotIn", "Exists", "DoesNotExist", "Like"])
@pytest.mark.parametrize("key", ["app", "other"])
@pytest.mark.parametrize("value", ["bets", "wallet"])
def test_what_keeps_pods_apart_is_read_as_in_python(operator: str, key: str, value: str) -> None:
    for selector, namespaces, topology in product(
        (
            None,
            {},
            {"matchLabels": {key: value}},
            {"matchExpressions": [{"key": key, "operator": operator, "values": [value]}]},
        ),
        ([], ["casino"], ["elsewhere"]),
        ("", "zone"),
    ):
        term = {"labelSelector": selector, "namespaces": namespaces, "topologyKey": topology}
        for affinity in (
            {"requiredDuringSchedulingIgnoredDuringExecution": [term]},
            {"preferredDuringSchedulingIgnoredDuringExecution": [{"podAffinityTerm": term}]},
        ):
            spec = {"containers": [{"name": "a"}], "affinity": {"podAntiAffinity": affinity}}
            template = {"metadata": {"labels": {"app": "bets"}}, "spec": spec}
            deployment = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": {"replicas": 2, "template": template}}
            _agree("anti-affinity", {**deployment, "metadata": {"name": "a", "namespace": "casino"}})


def test_rules_that_follow_decisions_are_not_said_without_one() -> None:
    assert isinstance(said(RULES["image-registry"], Settings()), str)
    assert isinstance(said(RULES["required-labels"], Settings()), str)


def test_names_that_people_chose_are_quoted() -> None:
    found = said(RULES["required-labels"], Settings(labels=("it's", "a\\'")))
    assert isinstance(found, Said)
    holds = compiled(found.expression, {name: VARIABLES[name] for name in variables_of(found.expression)})
    deployment = {"apiVersion": "apps/v1", "kind": "Deployment"}
    assert holds({**deployment, "metadata": {"labels": {"it's": "x", "a\\'": "y"}}}) is True
    assert holds({**deployment, "metadata": {"labels": {"it's": "x"}}}) is False


def test_variables_come_with_those_that_they_need() -> None:
    assert variables_of("variables.hostVolumes == []") == ("template", "spec", "volumes", "hostVolumes")
    assert variables_of("object.kind == 'Pod'") == ()
    for name in VARIABLES:
        compiled(VARIABLES[name])


def _nested(depth: int) -> str:
    """True of everything, after ten to the power of ``depth`` steps."""
    return f"[0,1,2,3,4,5,6,7,8,9].all(x{depth}, {_nested(depth - 1) if depth else 'true'})"


def test_what_has_no_answer_is_no_answer() -> None:
    with pytest.raises(Unanswered, match="Key not found"):
        compiled("object.spec.replicas > 1")({"kind": "Deployment"})
    with pytest.raises(Unanswered, match="neither true nor false"):
        compiled("object.kind")({"kind": "Deployment"})
    with pytest.raises(Unanswered, match="budget exceeded"):
        compiled(_nested(6))({"kind": "Deployment"})
    with pytest.raises(UsageError, match=r"^no CEL: .*1:8"):
        compiled("object.")


def test_what_is_null_is_not_there() -> None:
    assert compiled("!has(object.spec) && object.l == [1, {}]")({"spec": None, "l": [1, None, {"a": None}]}) is False
    assert compiled("!has(object.spec)")({"spec": None}) is True


def test_a_pod_that_a_job_made_need_not_serve() -> None:
    """A Job's template is not asked for probes; neither is the pod that comes of it."""
    found = EXPORTED["readiness-probe"]
    holds = compiled(found.expression, VARIABLES)
    pod = {"kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [{"name": "a"}]}}
    assert holds(pod) is False
    assert holds({**pod, "metadata": {"name": "a", "ownerReferences": [{"kind": "Job", "name": "a"}]}}) is True


@pytest.mark.parametrize(
    ("rule", "spec"),
    [("secret-env-rotation", {"containers": [{"env": [{"valueFrom": {"secretKeyRef": {"name": "a"}}}]}]}),
     ("spot-money", {"nodeSelector": {"cloud.google.com/gke-spot": "true"}, "containers": [{}]}),
     ("early-5xx", {"containers": [{"ports": [{"containerPort": 80}]}]}),
     ("drain", {"containers": [{"ports": [{"name": "ws"}]}]})],
)  # fmt: skip
def test_a_pod_that_a_controller_made_is_not_asked_what_people_say_of_that_one(rule: str, spec: Any) -> None:
    holds = compiled(EXPORTED[rule].expression, VARIABLES)
    owner = {"kind": "ReplicaSet", "name": "a", "controller": True}
    for owners, is_fine in (([], False), ([owner], True)):
        value = {"kind": "Pod", "metadata": {"name": "a", "ownerReferences": owners}, "spec": spec}
        assert holds(value) is is_fine
        found = check([Manifest(Source("", 0, ""), (), {"apiVersion": "v1", **value})], [RULES[rule]])
        assert bool(found) is not is_fine


@pytest.mark.parametrize(
    ("command", "waits"),
    [
        (["sleep", "40"], 40),
        (["/bin/sh", "-c", "sleep 40; nginx -s quit"], 40),
        (["sh", "-c", "a && sleep 40 && b"], 40),
        (["drain"], 0),
        (["sleep", "5"], 5),
    ],
)
def test_what_a_hook_waits_is_read_from_its_command_as_in_python(command: list[str], waits: int) -> None:
    """The default grace period is 30 s."""
    hook = {"preStop": {"exec": {"command": command}}}
    container = {"name": "a", "ports": [{"containerPort": 80}], "readinessProbe": {"exec": {}}, "lifecycle": hook}
    value = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": {"containers": [container]}}
    assert compiled(EXPORTED["early-5xx"].expression, VARIABLES)(value) is (waits < 30)
    assert bool(check([Manifest(Source("", 0, ""), (), value)], [RULES["early-5xx"]])) is (waits >= 30)


def test_pods_are_asked_for_wherever_a_built_in_kind_makes_them() -> None:
    inner = {"spec": {"hostNetwork": True, "containers": []}}
    made = {
        "Pod": inner,
        "CronJob": {"spec": {"jobTemplate": {"spec": {"template": inner}}}},
        **{each.kind: {"spec": {"template": inner}} for each in PODS if each.kind not in ("Pod", "CronJob")},
    }
    holds = compiled(EXPORTED["host-namespaces"].expression, VARIABLES)
    assert [kind for kind, value in made.items() if holds({"kind": kind, **value})] == []
    assert set(made) == {each.kind for each in PODS}


@pytest.mark.parametrize("expression", [*VARIABLES.values(), *(each.expression for each in EXPORTED.values())])
def test_a_list_holds_values_of_one_type(expression: str) -> None:
    """Kubernetes takes no other; the evaluator here would."""
    for held in re.findall(r"in \[([^\]]*)\]", expression):
        assert {each.strip()[0] for each in held.split(",")} == {"'"}, held
