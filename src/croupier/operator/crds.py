"""The custom resources, made from the models: structural schemas, rules in CEL, columns for ``kubectl get``.

A field, bound or default stands in the model only. What a JSON schema cannot say (steps rise; without a route a Service
cannot split) is a CEL rule here, with the words people see when the API server refuses an object.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import BaseModel

from croupier.model.base import NAME
from croupier.model.objects import JsonObject
from croupier.model.release_calendar import ReleaseCalendarSpec
from croupier.model.release_object import PolicyStatus, ReleaseSpec, ReleaseStatus
from croupier.model.release_policy import API_VERSION, GROUP, YEAR_SECONDS, ReleasePolicySpec

_STRATA_ARE_COUNTED = (
    "!has(self.strata) || self.strata.size() == 0 || self.signal in ['bets', 'deposits', 'logins', 'withdrawals']",
    "strata: only bets, deposits, logins and withdrawals know provider and market",
)
_STRATA_ARE_KNOWN = (
    "!has(self.required) || self.required.all(name, name in self.of)",
    "required names must be among those in of",
)
_POLICY_RULES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "": (
        (
            "has(self.route) || has(self.mesh) || "
            "(has(self.strategy) && has(self.strategy.steps) && self.strategy.steps == [100])",
            "without spec.route and spec.mesh a Service is switched as a whole: strategy.steps must be [100] "
            "(blue-green). Give spec.route, or spec.mesh where a mesh carries calls, for a canary",
        ),
        ("self.deployment == oldSelf.deployment", "spec.deployment cannot change; leave first, then make a new policy"),
        ("self.service.name == oldSelf.service.name", "spec.service.name cannot change; leave first"),
    ),
    "route.hsts": (
        (
            "!has(self.preload) || !self.preload || (has(self.includeSubDomains) && self.includeSubDomains"
            f" && self.maxAgeSeconds >= {YEAR_SECONDS})",
            "preload needs includeSubDomains, and a year at least",
        ),
    ),
    "strategy": (
        (
            "self.dwellSeconds <= self.deadlineSeconds && 2.0 * self.scrapeSeconds <= self.deadlineSeconds",
            "no step can pass: dwellSeconds, or two scrapes, take longer than deadlineSeconds",
        ),
    ),
    "strategy.steps": (
        ("self.size() == 0 || self[self.size() - 1] == 100", "the last step must be 100"),
        ("self.isSorted() && self.all(step, self.indexOf(step) == self.lastIndexOf(step))", "steps must rise"),
    ),
    "gates[].margin": (("has(self.ratio) != has(self.points)", "give either ratio or points"),),
    "gates[]": (_STRATA_ARE_COUNTED,),
    "gates[].strata[]": (_STRATA_ARE_KNOWN,),
    "objectives[].strata[]": (_STRATA_ARE_KNOWN,),
    "objectives[]": (
        _STRATA_ARE_COUNTED,
        (
            "(self.signal == 'latency') == has(self.p95Seconds)",
            "latency has p95Seconds, every other signal successRatio",
        ),
    ),
}

_CALENDAR_RULES = (
    (
        "timestamp(self.starts + ':00Z') < timestamp(self.ends + ':00Z')",
        "a freeze starts and ends on days that there are, and ends after it starts",
    ),
)

_ONCE: Mapping[str, JsonObject] = {
    "": {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["signal"]},
    "[].strata": {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["by"]},
    "[].strata[].of": {"x-kubernetes-list-type": "set"},
}
"""Lists in which the API server takes nothing twice, as the model does not: gates and objectives, and within them."""

_OBJECT_RULES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "ReleasePolicy": (
        (
            f"self.metadata.name.matches('{NAME}')",
            "metadata.name must be a DNS label that begins with a letter: versions are named after it",
        ),
    ),
}

_STABLE = ("STABLE", "string", ".status.stable", 0)
_POLICY_COLUMNS = (
    _STABLE,
    ("WANTED", "string", ".status.wanted", 0),
    ("PHASE", "string", ".status.phase", 0),
    ("STEP", "string", ".status.step", 0),
    ("WEIGHT", "integer", ".status.weight", 0),
    ("GATE", "string", ".status.gate", 0),
    ("READY", "string", ".status.conditions[?(@.type=='Ready')].status", 0),
    ("REASON", "string", ".status.conditions[?(@.type=='Ready')].message", 1),
    ("AGE", "date", ".metadata.creationTimestamp", 0),
)
_CALENDAR_COLUMNS = (
    ("FREEZES", "string", ".spec.freezes[*].name", 0),
    ("STARTS", "string", ".spec.freezes[*].starts", 0),
    ("ENDS", "string", ".spec.freezes[*].ends", 0),
    ("AGE", "date", ".metadata.creationTimestamp", 0),
)
_RELEASE_COLUMNS = (
    ("POLICY", "string", ".spec.policy", 0),
    ("PHASE", "string", ".status.phase", 0),
    ("STEP", "string", ".status.step", 0),
    ("WEIGHT", "integer", ".status.weight", 0),
    ("GATE", "string", ".status.gate", 0),
    ("OUTCOME", "string", ".status.outcome", 0),
    ("CANARY", "string", ".status.canary", 1),
    ("REASON", "string", ".status.reason", 1),
    ("AGE", "date", ".metadata.creationTimestamp", 0),
)


def custom_resources() -> list[JsonObject]:
    """The CustomResourceDefinitions."""
    policy = _schema(ReleasePolicySpec)
    for path, rules in _POLICY_RULES.items():
        _at(policy, path)["x-kubernetes-validations"] = _said(rules)
    for owner in ("gates", "objectives"):
        for path, kept in _ONCE.items():
            parent, _, name = f"{owner}{path}".rpartition(".")
            _at(policy, parent)["properties"][name] |= kept
    calendar = _schema(ReleaseCalendarSpec)
    _at(calendar, "freezes[]")["x-kubernetes-validations"] = _said(_CALENDAR_RULES)
    named = {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}
    calendar["properties"]["freezes"] |= named
    return [
        _definition(
            "ReleasePolicy",
            "releasepolicies",
            ("rp",),
            spec=policy,
            status=_status(PolicyStatus),
            columns=_POLICY_COLUMNS,
        ),
        _definition(
            "Release",
            "releases",
            ("rel",),
            spec=_schema(ReleaseSpec),
            status=_status(ReleaseStatus),
            columns=_RELEASE_COLUMNS,
        ),
        _definition(
            "ReleaseCalendar",
            "releasecalendars",
            ("cal",),
            spec=calendar,
            status=None,
            columns=_CALENDAR_COLUMNS,
        ),
    ]


def _said(rules: Iterable[tuple[str, str]]) -> list[JsonObject]:
    return [{"rule": rule, "message": said} for rule, said in rules]


def _definition(
    kind: str,
    plural: str,
    short_names: tuple[str, ...],
    *,
    spec: JsonObject,
    status: JsonObject | None,
    columns: tuple[tuple[str, str, str, int], ...],
) -> JsonObject:
    schema: JsonObject = {
        "type": "object",
        "required": ["spec"],
        "properties": {
            "apiVersion": {"type": "string"},
            "kind": {"type": "string"},
            "metadata": {"type": "object"},
            "spec": spec,
            **({} if status is None else {"status": status}),
        },
    }
    if kind in _OBJECT_RULES:
        schema["x-kubernetes-validations"] = _said(_OBJECT_RULES[kind])
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{GROUP}"},
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {**names, "shortNames": list(short_names), "categories": ["croupier"]},
            "versions": [
                {
                    "name": API_VERSION.rpartition("/")[2],
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": schema},
                    **({} if status is None else {"subresources": {"status": {}}}),
                    "additionalPrinterColumns": [
                        {"name": name, "type": type_, "jsonPath": path, **({"priority": priority} if priority else {})}
                        for name, type_, path, priority in columns
                    ],
                }
            ],
        },
    }


def _schema(model: type[BaseModel]) -> JsonObject:
    """The model's schema as Kubernetes wants it: no references, no titles, no null among types."""
    written = model.model_json_schema(by_alias=True)
    found: JsonObject = _structural(written, written.get("$defs", {}))
    return found


def _status(model: type[BaseModel]) -> JsonObject:
    schema = _schema(model)
    schema["properties"]["conditions"] |= {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["type"]}
    return schema


def _structural(node: Any, definitions: Mapping[str, Any]) -> Any:
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        target = definitions[node["$ref"].rpartition("/")[2]]
        return _structural({**target, **{key: node[key] for key in node if key != "$ref"}}, definitions)
    if "anyOf" in node:
        (kept,) = (each for each in node["anyOf"] if each.get("type") != "null")  # Optional is the only union we have
        outside = {key: node[key] for key in node if key != "anyOf" and not (key == "default" and node[key] is None)}
        return _structural({**kept, **outside}, definitions)
    made: JsonObject = {}
    for key, value in node.items():
        match key:
            case "title" | "$defs" | "additionalProperties":
                continue
            case "exclusiveMinimum":
                made |= {"minimum": value, "exclusiveMinimum": True}
            case "exclusiveMaximum":
                made |= {"maximum": value, "exclusiveMaximum": True}
            case "const":
                made["enum"] = [value]
            case "properties":
                made[key] = {name: _structural(each, definitions) for name, each in value.items()}
            case "items":
                made[key] = _structural(value, definitions)
            case "default":
                made[key] = _without_null(value)
            case _:
                made[key] = value
    return made


def _without_null(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_null(each) for key, each in value.items() if each is not None}
    return [_without_null(each) for each in value] if isinstance(value, list) else value


def _at(schema: JsonObject, path: str) -> JsonObject:
    """The schema of a field: ``gates[].margin``; "" is the whole."""
    for part in filter(None, path.split(".")):
        schema = schema["properties"][part.removesuffix("[]")]
        if part.endswith("[]"):
            schema = schema["items"]
    return schema
