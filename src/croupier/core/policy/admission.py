"""Rules as objects for a cluster that asks them itself: one policy and one binding a rule.

What was there before the policy stays as it is until somebody changes it: an update that leaves what is asked alone is
let through, so that controllers can clear away what would no longer be taken.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from croupier.core.policy.cel import Said, said
from croupier.core.policy.cel_words import VARIABLES, variables_of
from croupier.core.policy.kinds import PODS, Resource
from croupier.core.policy.objects import Settings
from croupier.core.policy.rule import Rule
from croupier.model.objects import JsonObject

ACTIONS = {"deny": ["Deny"], "warn": ["Warn", "Audit"], "audit": ["Audit"]}
"""What is done with an object that is at fault -> the words of the API for it."""
SYSTEM_NAMESPACES = ("kube-node-lease", "kube-public", "kube-system")
"""Where the cluster keeps what it needs itself; nothing is asked there."""
_READ = re.compile(r"object\.\??([A-Za-z]+)")
"""The parts of an object that an expression looks at."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where it is asked, and what is done with an object that is at fault.

    ``action``: one of ``ACTIONS``. ``labels``: of the namespaces in which it is asked; empty: in all but the system's.
    """

    action: str
    labels: Mapping[str, str]


def exported(
    form: str, rules: Iterable[Rule], settings: Settings, place: Place
) -> tuple[list[JsonObject], list[tuple[Rule, str]]]:
    """``rules`` as objects in one of ``FORMS``, and those that cannot be, each with the reason."""
    objects: list[JsonObject] = []
    left: list[tuple[Rule, str]] = []
    for rule in rules:
        found = said(rule, settings)
        if isinstance(found, Said):
            objects += FORMS[form](rule, found, place)
        else:
            left.append((rule, found))
    return objects, left


def name_of(rule: Rule) -> str:
    """What the policy of a rule and its binding are called."""
    return f"croupier-{rule.id}"


def _metadata(rule: Rule) -> JsonObject:
    return {"name": name_of(rule), "labels": {"app.kubernetes.io/managed-by": "croupier"}}


def _vap(rule: Rule, found: Said, place: Place) -> list[JsonObject]:
    """A ValidatingAdmissionPolicy and its binding (Kubernetes v1.30)."""
    group = {"apiVersion": "admissionregistration.k8s.io/v1"}
    binding = {
        "policyName": name_of(rule),
        "validationActions": list(ACTIONS[place.action]),
        "matchResources": {"namespaceSelector": _namespaces(place)},
    }
    return [
        {**group, "kind": "ValidatingAdmissionPolicy", "metadata": _metadata(rule), "spec": _spec(rule, found)},
        {**group, "kind": "ValidatingAdmissionPolicyBinding", "metadata": _metadata(rule), "spec": binding},
    ]


def _kyverno(rule: Rule, found: Said, place: Place) -> list[JsonObject]:
    """A ValidatingPolicy of Kyverno, which takes the same expressions and binds itself."""
    spec = _spec(rule, found)
    spec["matchConstraints"]["namespaceSelector"] = _namespaces(place)
    # The kinds that make pods are asked already: Kyverno need not write policies for them.
    more = {"validationActions": list(ACTIONS[place.action]), "autogen": {"podControllers": {"controllers": []}}}
    return [
        {
            "apiVersion": "policies.kyverno.io/v1",
            "kind": "ValidatingPolicy",
            "metadata": _metadata(rule),
            "spec": {**spec, **more},
        }
    ]


FORMS: Mapping[str, Callable[[Rule, Said, Place], list[JsonObject]]] = {"vap": _vap, "kyverno": _kyverno}
"""Name of a form -> what makes it of a rule."""


def _spec(rule: Rule, found: Said) -> dict[str, Any]:
    names = variables_of(found.expression)
    expressions = (found.expression, *(VARIABLES[name] for name in names))
    spec: dict[str, Any] = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": _resource_rules(found.resources)},
        "matchConditions": [{"name": "is-new-or-changed", "expression": _changed(expressions)}],
    }
    if names:
        spec["variables"] = [{"name": name, "expression": VARIABLES[name]} for name in names]
    message = f"{rule.id}: {rule.title}. {rule.fix}"
    spec["validations"] = [{"expression": found.expression, "message": message, "reason": "Forbidden"}]
    return spec


def _changed(expressions: Iterable[str]) -> str:
    """Whether the object is new, or a part of it that ``expressions`` look at is not as it was."""
    read = sorted({part for each in expressions for part in _READ.findall(each)} - {"kind"})
    parts = ["metadata.?labels", "metadata.?annotations"] if "metadata" in read else []
    parts += [each for each in read if each != "metadata"]
    return " || ".join(
        ["request.operation == 'CREATE'", *(f"object.?{each} != oldObject.?{each}" for each in parts or ["spec"])]
    )


def _namespaces(place: Place) -> JsonObject:
    outside = {"key": "kubernetes.io/metadata.name", "operator": "NotIn", "values": list(SYSTEM_NAMESPACES)}
    return {**({"matchLabels": dict(place.labels)} if place.labels else {}), "matchExpressions": [outside]}


def _resource_rules(resources: Sequence[Resource]) -> list[JsonObject]:
    made: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for each in resources:
        made.setdefault((each.group, each.versions), []).append(each.plural)
    if resources is PODS:
        made["", ("v1",)].append("pods/ephemeralcontainers")
    return [
        {
            "apiGroups": [group],
            "apiVersions": list(versions),
            "operations": ["CREATE", "UPDATE"],
            "resources": sorted(names),
        }
        for (group, versions), names in made.items()
    ]
