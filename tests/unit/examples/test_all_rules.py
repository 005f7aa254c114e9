"""What croupier renders is held against every rule, the optional ones too (S14.11).

Optional rules are choices, and some contradict each other: where the renderer chose otherwise, it is said here why.
Each example is judged once, a region at a time, as a cluster has it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from croupier.core.policy.catalogue import RULES, chosen
from croupier.core.policy.check import NOTHING_SET, check
from croupier.core.policy.fleet import budgets
from croupier.core.policy.objects import as_object
from croupier.core.policy.world import World
from croupier.core.render.cell import render
from croupier.model.manifest import Manifest
from croupier.spec.manifests import read_text
from croupier.spec.platform import load_described

ROOT = Path(__file__).parents[3]
FOLDERS = {
    "demo": ROOT / "src" / "croupier" / "cli" / "example",
    "reference": ROOT / "examples" / "reference",
    "large": ROOT / "examples" / "platform",
}
EXCEPTIONS: Mapping[str, str] = {
    "pdb-unhealthy": "a pod that is not ready may still hold rounds: Kubernetes' own answer, to keep it, is left",
    "dns-options": "how names are resolved is the cluster's to say, for all pods at once",
    "ephemeral-storage": "the root is read-only, and each emptyDir has a sizeLimit: there is nothing else to fill",
    "node-affinity": "pods are sent to their pool by nodeSelector and taints, which leave nothing to prefer",
    "restart-policy": "Always is what the API server fills in",
    "owner-mail": "who is called is an address in croupier.dev/on-call, and no mail",
    "instance-label": "an instance is a service in one cell, and its objects are several",
    "three-replicas": "a Deployment that is released bears the intent; its pods are in ReleasePolicy and scaler",
    "cpu-limits": "CPU that nobody uses may be used: requests share it out where it is scarce",
    "anti-affinity": "what carries others' traffic is spread by topology constraints",
    "namespace-named": "of kinds of other projects the rule does not know which have no namespace",
}
"""Optional rule -> why what is rendered does not keep it."""


def _regions(folder: Path) -> Iterator[tuple[str, list[Manifest]]]:
    described = load_described(folder)
    regions: dict[str, list[Manifest]] = defaultdict(list)
    for name, text in render(described.cells).items():
        place, where = name.split("/")[:2]
        if name.endswith(".yaml"):
            region = described.cell(where).cell.region if place == "cells" else where
            regions[region] += read_text(text, name).manifests
    yield from regions.items()


@pytest.fixture(scope="module")
def broken() -> Mapping[str, Mapping[str, str]]:
    """Example -> rule that is not kept -> the first place, and what is said of it."""
    rules = chosen("all")
    found: dict[str, dict[str, str]] = {}
    for name, folder in FOLDERS.items():
        held = found[name] = {}
        for region, manifests in _regions(folder):
            for each in check(manifests, rules):
                held.setdefault(each.rule.id, f"{region}: {manifests[each.index].name}: {each.message}")
            world = World([as_object(index, each, NOTHING_SET) for index, each in enumerate(manifests)])
            held |= {f"budget {each.resource}": each.told for each in budgets(world) if not each.fits}
    return found


@pytest.mark.parametrize("example", FOLDERS)
def test_what_is_rendered_keeps_every_rule_but_the_choices_named_here(
    broken: Mapping[str, Mapping[str, str]], example: str
) -> None:
    assert {rule: said for rule, said in broken[example].items() if rule not in EXCEPTIONS} == {}


def test_exceptions_are_optional_rules_and_each_is_needed(broken: Mapping[str, Mapping[str, str]]) -> None:
    assert not [rule for rule in EXCEPTIONS if RULES[rule].usual]
    assert {rule for held in broken.values() for rule in held} >= EXCEPTIONS.keys()
