"""Other projects' cases: our rule of the same meaning agrees, or says in a file why not (S10.1, S15.2)."""

from __future__ import annotations

import json
import lzma
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from croupier.core.policy.catalogue import RULES, chosen
from croupier.core.policy.check import check
from croupier.core.policy.fingerprint import written
from croupier.core.policy.objects import Settings
from croupier.core.policy.pod_security import OVERRIDES
from croupier.engine.schemas import validator
from croupier.model.schemas import NEWEST_STANDARD
from croupier.spec.manifests import read_text

CORPORA = Path(__file__).parents[3] / "corpora" / "policy"


def cases(corpus: str) -> list[dict[str, Any]]:
    with lzma.open(CORPORA / f"{corpus}.jsonl.xz", "rt", encoding="utf-8") as lines:
        return [json.loads(line) for line in lines]


PSS = {
    "allowprivilegeescalation": "privilege-escalation",
    "apparmorprofile": "apparmor",
    "capabilities_baseline": "capabilities-baseline",
    "capabilities_restricted": "capabilities-restricted",
    "hostnamespaces": "host-namespaces",
    "hostpathvolumes": "host-path",
    "hostports": "host-ports",
    "hostprobesandhostlifecycle": "probe-host",
    "privileged": "privileged",
    "procmount": "proc-mount",
    "procmount_restricted": "proc-mount-restricted",
    "restrictedvolumes": "volume-types",
    "runasnonroot": "run-as-non-root",
    "runasuser": "run-as-user",
    "seccompprofile_baseline": "seccomp-unconfined",
    "seccompprofile_restricted": "seccomp",
    "selinuxoptions": "selinux",
    "sysctls": "sysctls",
    "windowshostprocess": "windows-host-process",
}
STRICTER = {weaker: stricter for stricter, weaker in OVERRIDES.items()}


@pytest.mark.parametrize("case", cases("pss"), ids=lambda case: case["id"])
def test_the_pod_security_standards_are_what_kubernetes_says_they_are(case: dict[str, Any]) -> None:
    level, _, name = case["rule"].partition("/")
    rules = chosen(level)
    found = {each.rule.id for each in check(read_text(case["doc"], "pod.yaml").manifests, rules)}
    if case["expect"] == "pass":
        assert found == set()
        return
    ours = PSS[name]
    assert (STRICTER[ours] if level == "restricted" and ours in STRICTER else ours) in found


@pytest.mark.parametrize("minor", range(NEWEST_STANDARD + 1))
def test_older_standards_are_what_they_were(minor: int) -> None:
    held = [case for case in cases("pss-versions") if minor in case["minors"]]
    assert held
    for case in held:
        level, _, name = case["rule"].partition("/")
        manifests = read_text(case["doc"], "pod.yaml").manifests
        found = {each.rule.id for each in check(manifests, chosen(level), Settings(standard=minor))}
        if case["expect"] == "pass":
            assert found == set(), (case["rule"], found)
        else:
            ours = PSS[name]
            assert (STRICTER[ours] if level == "restricted" and ours in STRICTER else ours) in found, case


def test_every_pod_of_every_version_of_the_standards_is_among_the_cases() -> None:
    """What upstream's fixtures came to: 3,486 pods to refuse and 1,051 to let pass, over 38 versions."""
    told = {kind: sum(len(each["minors"]) for each in cases("pss-versions") if each["expect"] == kind)
            for kind in ("fail", "pass")}  # fmt: skip
    assert told == {"fail": 3486, "pass": 1051}


MAPPING = tomllib.loads((CORPORA / "mapping.toml").read_text())
UNMAPPED = tomllib.loads((CORPORA / "unmapped.toml").read_text())
DISAGREEMENTS = tomllib.loads((CORPORA / "disagreements.toml").read_text())
LEAST_AGREEMENT = {"kube-linter": 0.95, "polaris": 0.95, "kyverno-best-practices": 0.99}


def mapped(corpus: str) -> list[dict[str, Any]]:
    return [case for case in cases(corpus) if case["rule"] in MAPPING[corpus]]


def agrees(case: dict[str, Any]) -> bool:
    """Whether our rules of the same meaning say of a case what its own project says."""
    ours = MAPPING[case["corpus"]][case["rule"]]
    only = ours if isinstance(ours, dict) else {}
    names = [ours["rule"]] if isinstance(ours, dict) else [ours] if isinstance(ours, str) else ours
    params = case.get("params", {})
    settings = Settings(
        registries=tuple(params.get("allowedImagePrefixes", ())),
        labels=tuple(params.get("labels", [params.get("params", {}).get("key")] if "label" in case["rule"] else ())),
        priority_classes=tuple(params.get("params", {}).get("acceptedPriorityClassNames", ())),
    )
    read = read_text(case["doc"], "case.yaml")
    assert read.state == "read", read.problem
    if "schema" in names:
        values = [each.value for each in read.manifests]
        settings = replace(settings, schemas=validator(settings.kubernetes, values, ()))
    found = [
        each
        for each in check(read.manifests, [RULES[name] for name in names], settings)
        if ("target" not in case or each.index == case["target"]["index"])
        and only.get("path", "") in written(each.path)
        and only.get("message", "") in each.message
    ]
    return bool(found) == (case["expect"] == "fail")


@pytest.mark.parametrize("corpus", LEAST_AGREEMENT)
def test_we_agree_with_other_projects_but_for_what_we_explain(corpus: str) -> None:
    held = mapped(corpus)
    different = {case["id"] for case in held if not agrees(case)}
    explained = {case for each in DISAGREEMENTS.get(corpus, []) for case in each["cases"]}
    assert different == explained
    assert 1 - len(different) / len(held) >= LEAST_AGREEMENT[corpus]


@pytest.mark.parametrize("corpus", LEAST_AGREEMENT)
def test_the_mapping_names_rules_that_exist_on_both_sides(corpus: str) -> None:
    assert set(MAPPING[corpus]) <= {case["rule"] for case in cases(corpus)}


@pytest.mark.parametrize("corpus", LEAST_AGREEMENT)
def test_what_is_not_mapped_has_a_reason(corpus: str) -> None:
    held = {case["rule"] for case in cases(corpus)}
    assert held - set(MAPPING[corpus]) == set(UNMAPPED[corpus])
    assert all(why.endswith(".") for why in UNMAPPED[corpus].values())


def test_every_disagreement_has_a_reason() -> None:
    for corpus in DISAGREEMENTS.values():
        assert all(each["why"].endswith(".") and each["cases"] for each in corpus)
