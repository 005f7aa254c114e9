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
from croupier.core.policy.objects import Settings, as_object
from croupier.core.policy.rule import Scope
from croupier.core.policy.world import World
from croupier.core.schemas.validator import Validator
from croupier.model.manifest import Manifest, Source
from croupier.spec.manifests import read_text
from croupier.spec.schemas import load_schemas

WRONG: tuple[Any, ...] = (
    None,
    True,
    3,
    10**400,
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


def replaced(value: Any, path: tuple[str | int, ...], wrong: Any) -> Any:
    """``value`` with ``wrong`` at the path. What the path does not lead through is shared: copies take longer."""
    if not path:
        return wrong
    copied = copy.copy(value)
    copied[path[0]] = replaced(value[path[0]], path[1:], wrong)
    return copied


def changed(held: Manifest, path: tuple[str | int, ...], wrong: Any) -> Manifest:
    return Manifest(held.source, held.root, replaced(held.value, path, wrong), held.remarks)


@pytest.mark.parametrize("rule", RULES)
def test_a_rule_survives_any_value_at_any_place_of_its_examples(rule: str) -> None:
    asked = RULES[rule]
    of_ours = Path(__file__).parents[3] / "policy" / f"{rule}.yaml"
    bundles = [text for _, _, text in cases(of_ours)] if of_ours.exists() else []
    for text in (asked.bad, asked.good, *bundles):
        manifests = read_text(text, "example.yaml").manifests
        others = [as_object(index, each, DECIDED) for index, each in enumerate(manifests)]
        for index, manifest in enumerate(manifests):
            for path in paths(manifest.value):
                for wrong in WRONG:
                    made = changed(manifest, path, wrong)
                    if asked.scope is not Scope.BUNDLE:
                        check([made], [asked], DECIDED)
                        continue
                    others[index] = as_object(index, made, DECIDED)
                    list(asked.check(World(others)))
            others[index] = as_object(index, manifest, DECIDED)


LONG = {
    each: each * (30_000 // len(each))
    for each in ("-", "a", "1", " ", "/", "@", "a@", "a.", "1h", "a,", "POOL", "key_", "sleep ", "---BEGIN ", "&", "(")
}


@pytest.mark.timeout(120)
@pytest.mark.parametrize("word", LONG)
def test_a_long_value_costs_no_more_than_its_length(word: str) -> None:
    """S3.6: whoever may write a ConfigMap could keep the door busy for an hour with a line of dashes."""
    long = LONG[word]
    noted = {"email": long, "croupier.dev/drain-seconds": long, "croupier.dev/canary-steps": long}
    variables = [{"name": long, "value": "x"}, {"name": "DATABASE_URL", "value": long}, {"name": "PSP", "value": long}]
    container = {
        "name": long,
        "image": long,
        "env": variables,
        "ports": [{"name": long, "containerPort": 80}],
        "lifecycle": {"preStop": {"exec": {"command": ["sh", "-c", long]}}},
        "resources": {"requests": {"cpu": long}},
    }
    route = {"timeout": long, "retries": {"attempts": 1, "perTryTimeout": long, "retryOn": long}, "route": [{}]}
    values: list[dict[str, Any]] = [
        {"kind": "ConfigMap", "data": {"key": long, long: "x"}},
        {"kind": "Pod", "spec": {"containers": [container]}},
        {"kind": "VirtualService", "spec": {"hosts": [long], "http": [route]}},
        {"kind": "Ingress", "spec": {"rules": [{"host": long, "http": {"paths": [{"path": long}]}}]}},
        {"kind": "Service", "spec": {"ports": [{"targetPort": long}]}},
        {"kind": "Rollout", "spec": {"strategy": {"canary": {"steps": [{"pause": {"duration": long}}]}}}},
    ]
    for each in values:
        value = {"apiVersion": "v1", "metadata": {"name": "a", "annotations": {**noted, "x": long}}, **each}
        check([Manifest(Source("", 0, ""), (), value)], [rule for rule in RULES.values() if "schema" not in rule.id])
