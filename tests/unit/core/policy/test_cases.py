"""Bundles of our own for rules that nobody else has: at least three at fault and three not, a rule (tests/policy)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.policy_cases import FILES, cases

from croupier.core.policy.catalogue import RULES
from croupier.core.policy.check import check
from croupier.spec.manifests import read_text

ALL = [pytest.param(file.stem, *case, id=f"{file.stem}: {case[1]}") for file in FILES for case in cases(file)]


@pytest.mark.parametrize(("rule", "expected", "name", "text"), ALL)
def test_a_bundle_is_at_fault_or_not(rule: str, expected: str, name: str, text: str) -> None:
    read = read_text(text, f"{rule}.yaml")
    assert read.state == "read", read.problem
    found = [each.message for each in check(read.manifests, [RULES[rule]])]
    assert bool(found) == (expected == "fail"), (name, found)


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_each_rule_has_three_bundles_of_either_kind(file: Path) -> None:
    told = [expected for expected, _, _ in cases(file)]
    assert told.count("fail") >= 3
    assert told.count("pass") >= 3
