"""The custom resources are structural schemas made from the models (apiextensions.k8s.io/v1)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from croupier.model.release_object import ReleaseSpec
from croupier.model.release_policy import ReleasePolicySpec
from croupier.operator.crds import custom_resources

CRDS = {crd["spec"]["names"]["kind"]: crd for crd in custom_resources()}
ALLOWED = {
    *("type", "properties", "items", "required", "enum", "pattern", "default", "description", "format"),
    *("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "minLength", "maxLength", "minItems", "maxItems"),
    *("x-kubernetes-validations", "x-kubernetes-list-type", "x-kubernetes-list-map-keys"),
}
MINIMAL = {"deployment": "payments-api", "service": {"name": "payments-api"}}


def schema(kind: str) -> dict[str, Any]:
    found: dict[str, Any] = CRDS[kind]["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return found


def nodes(node: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    yield path, node
    for name, each in node.get("properties", {}).items():
        yield from nodes(each, f"{path}.{name}")
    if "items" in node:
        yield from nodes(node["items"], f"{path}[]")


def defaulted(value: Any, node: dict[str, Any]) -> Any:
    """What an API server stores: absent fields with a default get it, and so do the fields within."""
    if node["type"] == "object" and isinstance(value, dict):
        filled = dict(value)
        for name, each in node.get("properties", {}).items():
            if name not in filled and "default" in each:
                filled[name] = each["default"]
            if name in filled:
                filled[name] = defaulted(filled[name], each)
        return filled
    if node["type"] == "array" and isinstance(value, list):
        return [defaulted(each, node["items"]) for each in value]
    return value


def nothing_is_null(value: Any) -> bool:
    if isinstance(value, dict):
        return all(map(nothing_is_null, value.values()))
    return all(map(nothing_is_null, value)) if isinstance(value, list) else value is not None


@pytest.mark.parametrize("kind", list(CRDS))
def test_every_field_has_a_type_and_nothing_that_kubernetes_refuses(kind: str) -> None:
    for path, node in nodes(schema(kind)):
        assert node.get("type") in {"object", "array", "string", "integer", "number", "boolean"}, path
        assert node.keys() <= ALLOWED, (path, node.keys() - ALLOWED)
        assert (node["type"] == "array") == ("items" in node), path
        assert isinstance(node.get("exclusiveMinimum", True), bool), path
        assert nothing_is_null(node.get("default", "")), path


@pytest.mark.parametrize("kind", ["ReleasePolicy", "Release"])
def test_what_is_required_exists_and_has_no_default(kind: str) -> None:
    for path, node in nodes(schema(kind)):
        for name in node.get("required", ()):
            assert name in node.get("properties", {}), (path, name)
            assert "default" not in node["properties"][name], (path, name)


@pytest.mark.parametrize(
    "spec",
    [
        MINIMAL,
        {**MINIMAL, "route": {"parentRefs": [{"name": "public"}]}},
        {**MINIMAL, "route": {"parentRefs": [{"name": "public"}], "hsts": {}, "tls": {"port": 8443, "hostname": "a"}}},
        {**MINIMAL, "metrics": {"tally": "http://books/metrics"}, "strategy": {"steps": [50, 100]}},
        {**MINIMAL, "gates": [{"signal": "bets", "margin": {"points": 1.0}}]},
        {**MINIMAL, "mesh": {}},
    ],
)
def test_the_defaults_of_the_schema_are_those_of_the_model(spec: dict[str, Any]) -> None:
    stored = defaulted(spec, schema("ReleasePolicy")["properties"]["spec"])
    assert ReleasePolicySpec.model_validate(stored) == ReleasePolicySpec.model_validate(spec)
    whole = ReleasePolicySpec.model_validate(spec).model_dump(mode="json", by_alias=True, exclude_none=True)
    assert {key: stored.get(key) for key in whole} == whole


def test_the_rules_in_cel_stand_where_they_belong_and_have_words() -> None:
    rules = {path: node["x-kubernetes-validations"] for path, node in nodes(schema("ReleasePolicy")) if rules_of(node)}
    assert rules.keys() == {
        "",
        ".spec",
        ".spec.route.hsts",
        ".spec.strategy",
        ".spec.strategy.steps",
        ".spec.gates[]",
        ".spec.gates[].margin",
        ".spec.gates[].strata[]",
        ".spec.objectives[]",
        ".spec.objectives[].strata[]",
    }
    for path, found in rules.items():
        for rule in found:
            assert rule.keys() == {"rule", "message"}, path
            assert len(rule["message"]) > 20 or path.endswith(("margin", "steps")), path
    said = " ".join(rule["message"] for found in rules.values() for rule in found)
    for words in (
        "strata: only",
        "among those in of",
        "metadata.name",
        "steps must rise",
        "no step can pass",
        "either ratio or points",
        "preload needs",
        "without spec.route",
        "cannot change",
    ):
        assert words in said


def test_the_api_server_takes_no_signal_no_strata_and_no_name_of_one_twice() -> None:
    """The model refuses them: such a policy could be stored, and not be read."""
    spec = schema("ReleasePolicy")["properties"]["spec"]["properties"]
    for field in ("gates", "objectives"):
        assert (spec[field]["x-kubernetes-list-type"], spec[field]["x-kubernetes-list-map-keys"]) == ("map", ["signal"])
        assert "signal" in spec[field]["items"]["required"]
        strata = spec[field]["items"]["properties"]["strata"]
        assert (strata["x-kubernetes-list-type"], strata["x-kubernetes-list-map-keys"]) == ("map", ["by"])
        assert "by" in strata["items"]["required"]
        assert strata["items"]["properties"]["of"]["x-kubernetes-list-type"] == "set"


def rules_of(node: dict[str, Any]) -> list[dict[str, str]]:
    return list(node.get("x-kubernetes-validations", ()))


def test_lists_over_which_a_rule_runs_are_bounded() -> None:
    """An API server refuses a rule whose cost it cannot bound."""
    for kind in ("ReleasePolicy", "ReleaseCalendar"):
        for path, node in nodes(schema(kind)):
            has_rule_within = any(rules_of(each) for _, each in nodes(node))
            if node["type"] == "array" and has_rule_within:
                assert "maxItems" in node, path


def test_a_calendar_has_each_window_once_and_none_that_ends_before_it_starts() -> None:
    freezes = schema("ReleaseCalendar")["properties"]["spec"]["properties"]["freezes"]
    assert (freezes["x-kubernetes-list-type"], freezes["x-kubernetes-list-map-keys"]) == ("map", ["name"])
    (rule,) = rules_of(freezes["items"])
    assert "self.starts" in rule["rule"] and "self.ends" in rule["rule"]
    for field in ("starts", "ends"):
        assert freezes["items"]["properties"][field]["maxLength"] == 16, "an API server bounds the cost by it"


@pytest.mark.parametrize("kind", ["ReleasePolicy", "Release"])
def test_columns_show_fields_that_exist(kind: str) -> None:
    columns = CRDS[kind]["spec"]["versions"][0]["additionalPrinterColumns"]
    paths = {path for path, _ in nodes(schema(kind))}
    for column in columns:
        path = column["jsonPath"].partition("[?")[0]
        assert path in paths or path == ".metadata.creationTimestamp", column
    names = [column["name"] for column in columns]
    assert [name for name in names if name in ("PHASE", "STEP", "WEIGHT", "GATE")] == [
        "PHASE",
        "STEP",
        "WEIGHT",
        "GATE",
    ]


def test_conditions_are_kept_apart_by_their_type() -> None:
    for kind in ("ReleasePolicy", "Release"):
        conditions = schema(kind)["properties"]["status"]["properties"]["conditions"]
        assert conditions["x-kubernetes-list-type"] == "map"
        assert conditions["x-kubernetes-list-map-keys"] == ["type"]


def test_a_person_writes_nothing_of_a_release_but_the_command() -> None:
    spec = schema("Release")["properties"]["spec"]
    assert set(spec["properties"]) == {field.alias for field in ReleaseSpec.model_fields.values()}
    assert set(spec["required"]) == {"policy", "run", "digest"}
