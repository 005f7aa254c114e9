"""Every rule says what it says: its own examples, and what people are told."""

from __future__ import annotations

import pytest

from croupier.core.policy.catalogue import PROFILES, RULES, chosen
from croupier.core.policy.check import check
from croupier.core.policy.objects import Settings
from croupier.core.policy.pod_security import OVERRIDES
from croupier.core.schemas.validator import Validator
from croupier.errors import UnknownName
from croupier.spec.manifests import read_text
from croupier.spec.schemas import load_schemas

DECIDED = Settings(registries=("registry.example",), labels=("owner",), schemas=Validator(load_schemas()))


def found_in(text: str, rule: str) -> list[str]:
    read = read_text(text, "example.yaml")
    assert read.state == "read", read.problem
    return [each.message for each in check(read.manifests, [RULES[rule]], DECIDED)]


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_finds_fault_with_its_bad_example_and_not_with_its_good_one(rule: str) -> None:
    assert found_in(RULES[rule].bad, rule)
    assert found_in(RULES[rule].good, rule) == []


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_says_why_how_and_on_whose_word(rule: str) -> None:
    held = RULES[rule]
    assert held.why.endswith(".")
    assert held.fix.endswith(".")
    assert not held.title.endswith(".")
    assert held.source.startswith("S")


def test_an_unknown_rule_or_profile_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UnknownName, match="privilegd"):
        chosen("default", ["privilegd"])
    with pytest.raises(UnknownName, match="strict"):
        chosen("strict")


def test_a_stricter_rule_speaks_for_the_weaker_one() -> None:
    ids = {each.id for each in chosen("restricted")}
    assert set(OVERRIDES) <= ids
    assert not ids & set(OVERRIDES.values())


def test_rules_are_added_and_left_out_by_name() -> None:
    ids = [each.id for each in chosen("baseline", ["seccomp"], ["privileged"])]
    assert "seccomp" in ids
    assert "privileged" not in ids
    assert set(PROFILES["all"]) == set(RULES)
