"""Rules in CEL say what they say in Python, of every case that there is: other projects', our own, each example."""

from __future__ import annotations

import re
from typing import Any

import pytest
from tests.support.policy_objects import is_asked, manifests

from croupier.core.policy import pod_security
from croupier.core.policy.catalogue import RULES
from croupier.core.policy.cel import Said, said
from croupier.core.policy.cel_evaluator import Unanswered, compiled
from croupier.core.policy.cel_words import VARIABLES, variables_of
from croupier.core.policy.check import check
from croupier.core.policy.kinds import PODS
from croupier.core.policy.objects import Settings
from croupier.errors import UsageError
from croupier.model.manifest import Manifest, Source

DECIDED = Settings(registries=("registry.example", "quay.io/"), labels=("owner",))
CHOSEN = Settings(priority_classes=("gold", "silver"))
EXPORTED = {id: found for id, rule in RULES.items() if isinstance(found := said(rule, DECIDED), Said)}


@pytest.mark.parametrize("settings", [DECIDED, CHOSEN], ids=["decided", "chosen"])
@pytest.mark.parametrize("id", EXPORTED)
def test_a_rule_in_cel_agrees_with_the_rule_in_python(id: str, settings: Settings) -> None:
    rule = RULES[id]
    found = said(rule, settings)
    if not isinstance(found, Said):
        assert settings is CHOSEN
        return
    holds = compiled(found.expression, {name: VARIABLES[name] for name in variables_of(found.expression)})
    answers = []
    for each in manifests():
        if is_asked(found.resources, each):
            refused = bool(check([each], [rule], settings))
            assert holds(each.value) is not refused, (id, each.value)
            answers.append(refused)
    assert set(answers) == {True, False}


def test_the_pod_security_standards_are_all_said_in_cel() -> None:
    assert {each.id for each in pod_security.RULES} <= set(EXPORTED)


@pytest.mark.parametrize("id", [each for each in RULES if each not in EXPORTED])
def test_what_is_not_said_has_a_reason(id: str) -> None:
    reason = said(RULES[id], DECIDED)
    assert isinstance(reason, str)
    assert reason


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
