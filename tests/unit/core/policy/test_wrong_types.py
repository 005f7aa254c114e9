"""No field of a manifest, whatever stands in it, breaks a rule: the API server may be asked to admit anything."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.policy_cases import cases

from croupier.core.policy.catalogue import RULES
from croupier.core.policy.check import check
from croupier.core.policy.objects import Settings
from croupier.core.schemas.validator import Validator
from croupier.model.manifest import Manifest
from croupier.spec.manifests import read_text
from croupier.spec.schemas import load_schemas

WRONG: tuple[Any, ...] = (
    None,
    True,
    3,
    0.5,
    "",
    "x",
    "²",
    "9" * 5000,
    "²%",
    "http://[",
    [],
    {},
    [[]],
    [{}],
    [None],
    {"a": {}},
    {"": []},
)
DECIDED = Settings(
    registries=("registry.example",), labels=("owner",), priority_classes=("money",), schemas=Validator(load_schemas())
)


def paths(value: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*path, key)
        yield from paths(each, (*path, key))


def changed(manifests: tuple[Manifest, ...], index: int, path: tuple[str | int, ...], wrong: Any) -> list[Manifest]:
    held = manifests[index]
    value = copy.deepcopy(held.value)
    parent: Any = value
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = wrong
    made = Manifest(held.source, held.root, value, held.remarks)
    return [*manifests[:index], made, *manifests[index + 1 :]]


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_survives_any_value_at_any_place_of_its_examples(rule: str) -> None:
    of_ours = Path(__file__).parents[3] / "policy" / f"{rule}.yaml"
    bundles = [text for _, _, text in cases(of_ours)] if of_ours.exists() else []
    for text in (RULES[rule].bad, RULES[rule].good, *bundles):
        manifests = read_text(text, "example.yaml").manifests
        for index, manifest in enumerate(manifests):
            for path in paths(manifest.value):
                for wrong in WRONG:
                    check(changed(manifests, index, path, wrong), [RULES[rule]], DECIDED)
