"""Rules as objects for a cluster: what they ask of, where, and that nothing they say is left out."""

from __future__ import annotations

import re
from typing import Any

import pytest

from croupier.core.policy.admission import ACTIONS, FORMS, SYSTEM_NAMESPACES, Place, exported
from croupier.core.policy.catalogue import RULES
from croupier.core.policy.cel_words import VARIABLES
from croupier.core.policy.objects import Settings
from croupier.core.schemas.validator import Validator
from croupier.spec.schemas import load_schemas

ALL = tuple(RULES.values())
DECIDED = Settings(registries=("registry.example",), labels=("owner",))
OBJECTS, LEFT = exported("vap", ALL, DECIDED, Place("deny", {}))
POLICIES = [each for each in OBJECTS if each["kind"] == "ValidatingAdmissionPolicy"]


def test_each_rule_is_exported_or_left_with_a_reason() -> None:
    names = [each["metadata"]["name"].removeprefix("croupier-") for each in POLICIES]
    assert sorted([*names, *(rule.id for rule, _ in LEFT)]) == sorted(RULES)
    assert all(why for _, why in LEFT)


def test_each_policy_has_its_binding() -> None:
    bound = [each["spec"]["policyName"] for each in OBJECTS if each["kind"] == "ValidatingAdmissionPolicyBinding"]
    assert bound == [each["metadata"]["name"] for each in POLICIES]


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy["metadata"]["name"])
def test_a_policy_holds_the_variables_that_it_names(policy: Any) -> None:
    held = [each["name"] for each in policy["spec"].get("variables", [])]
    texts = [policy["spec"]["validations"][0]["expression"], *(VARIABLES[name] for name in held)]
    assert {name for text in texts for name in re.findall(r"variables\.(\w+)", text)} == set(held)
    assert held == [name for name in VARIABLES if name in held]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("action", ACTIONS)
def test_what_the_cluster_needs_itself_is_not_asked(form: str, action: str) -> None:
    place = Place(action, {"tier": "money"})
    for each in exported(form, ALL, DECIDED, place)[0]:
        spec = each["spec"]
        if "validationActions" in spec:
            held = spec.get("matchResources", spec.get("matchConstraints"))["namespaceSelector"]
            assert held["matchLabels"] == {"tier": "money"}
            assert held["matchExpressions"][0]["values"] == list(SYSTEM_NAMESPACES)
            assert spec["validationActions"] == ACTIONS[action]


def test_kyverno_is_asked_the_same() -> None:
    objects, left = exported("kyverno", ALL, DECIDED, Place("deny", {}))
    assert left == LEFT
    assert len(objects) == len(POLICIES)
    for ours, theirs in zip(POLICIES, objects, strict=True):
        assert theirs["kind"] == "ValidatingPolicy"
        for key in ("validations", "matchConditions", "failurePolicy"):
            assert theirs["spec"][key] == ours["spec"][key]
        assert theirs["spec"]["matchConstraints"]["resourceRules"] == ours["spec"]["matchConstraints"]["resourceRules"]
        assert theirs["spec"].get("variables") == ours["spec"].get("variables")


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("action", ACTIONS)
def test_what_is_exported_is_what_its_own_definition_says(form: str, action: str) -> None:
    """Kubernetes' of an admission policy, Kyverno's own of its ValidatingPolicy."""
    schemas = Validator(load_schemas())
    objects, _ = exported(form, ALL, DECIDED, Place(action, {"tier": "money"}))
    assert all(schemas.covers(each) for each in objects)
    assert [flaw for each in objects for flaw in schemas.check(each)] == []


def test_changes_of_metadata_are_asked_about_only_where_a_rule_sees_it() -> None:
    def condition(rule: str) -> str:
        found = next(each for each in POLICIES if each["metadata"]["name"] == f"croupier-{rule}")
        return str(found["spec"]["matchConditions"][0]["expression"])

    assert "labels" not in condition("privileged")
    assert "oldObject.?metadata.?labels" in condition("required-labels")
    assert "oldObject.?metadata.?labels" in condition("pod-security-label")


@pytest.mark.parametrize(
    ("rule", "part"), [("secret-in-config-map", "data"), ("ingress-hsts", "data"), ("rbac-wildcard", "rules")]
)
def test_a_change_of_any_part_that_a_rule_looks_at_is_asked_about(rule: str, part: str) -> None:
    """Prevents: what has no spec is asked about when it is made and never again."""
    found = next(each for each in POLICIES if each["metadata"]["name"] == f"croupier-{rule}")
    assert f"object.?{part} != oldObject.?{part}" in found["spec"]["matchConditions"][0]["expression"]
