"""Strict validation: what the API server would refuse is found where it stands, and nothing else is (S2, S15.2)."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from croupier.core.policy.served import removed_since
from croupier.core.schemas.definitions import from_definitions, with_definitions
from croupier.core.schemas.validator import Validator
from croupier.model.schemas import NEWEST, VERSIONS
from croupier.spec.schemas import load_schemas

SCHEMAS = {version: load_schemas(version) for version in VERSIONS}
VALIDATORS = {version: Validator(held) for version, held in SCHEMAS.items()}
NEW = VALIDATORS[NEWEST]
DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "bets", "creationTimestamp": None},
    "spec": {
        "replicas": 3,
        "selector": {"matchLabels": {"app": "bets"}},
        "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 0}},
        "template": {
            "metadata": {"labels": {"app": "bets"}},
            "spec": {
                "containers": [
                    {
                        "name": "app",
                        "ports": [{"containerPort": 8080}],
                        "resources": {"limits": {"cpu": 0.5, "memory": "128Mi"}},
                    }
                ]
            },
        },
    },
}
CONTAINER = ("spec", "template", "spec", "containers", 0)


def changed(path: tuple[str | int, ...], value: Any) -> dict[str, Any]:
    made = copy.deepcopy(DEPLOYMENT)
    parent: Any = made
    for step in path[:-1]:
        parent = parent[step]
    parent[path[-1]] = value
    return made


def found(value: dict[str, Any], validator: Validator = NEW) -> list[tuple[str, str]]:
    return [(".".join(map(str, each.path)), each.message) for each in validator.check(value)]


@pytest.mark.parametrize("version", VERSIONS)
def test_a_sound_object_has_no_flaw(version: str) -> None:
    assert found(DEPLOYMENT, VALIDATORS[version]) == []


@pytest.mark.parametrize(
    ("path", "value", "place", "message"),
    [
        (
            (*CONTAINER, "readinesProbe"),
            {},
            "spec.template.spec.containers.0.readinesProbe",
            "there is no field 'readinesProbe' here; did you mean readinessProbe?",
        ),
        (("spec", "xyzzy"), 1, "spec.xyzzy", "there is no field 'xyzzy' here"),
        (("spec", "replicas"), "3", "spec.replicas", "must be a whole number, not '3'"),
        (("spec", "replicas"), 2.5, "spec.replicas", "must be a whole number, not 2.5"),
        (("spec", "replicas"), True, "spec.replicas", "must be a whole number, not true"),
        (("spec", "replicas"), 2**31, "spec.replicas", "2147483648 does not fit in 32 bits"),
        (("spec", "paused"), "no", "spec.paused", "must be true or false, not 'no'"),
        (("metadata", "name"), 7, "metadata.name", "must be a string, not 7: put it in quotes"),
        (("metadata", "labels"), {"a": True}, "metadata.labels.a", "must be a string, not true: put it in quotes"),
        (("metadata", "labels"), [], "metadata.labels", "must be a mapping, not a list"),
        ((*CONTAINER[:-1],), {}, "spec.template.spec.containers", "must be a list, not a mapping"),
        ((*CONTAINER,), None, "spec.template.spec.containers.0", "must be a mapping, not null"),
        ((*CONTAINER,), {"image": "a"}, "spec.template.spec.containers.0", "name is missing"),
        (("spec", "selector"), None, "spec", "selector is missing"),
        (
            (*CONTAINER, "imagePullPolicy"),
            "always",
            "spec.template.spec.containers.0.imagePullPolicy",
            "'always' is none of Always, IfNotPresent, Never; did you mean Always?",
        ),
        (
            (*CONTAINER, "resources", "limits", "cpu"),
            "1x",
            "spec.template.spec.containers.0.resources.limits.cpu",
            "'1x' is no quantity like 300m, 0.5 or 512Mi",
        ),
        (
            ("spec", "strategy", "rollingUpdate", "maxSurge"),
            0.5,
            "spec.strategy.rollingUpdate.maxSurge",
            "must be a whole number or a string, not 0.5",
        ),
        (
            ("metadata", "creationTimestamp"),
            "yesterday",
            "metadata.creationTimestamp",
            "'yesterday' is no time like 2027-01-31T00:00:00Z",
        ),
    ],
)
def test_one_flaw_is_found_where_it_stands(path: tuple[str | int, ...], value: Any, place: str, message: str) -> None:
    assert found(changed(path, value)) == [(place, message)]


def test_all_flaws_of_an_object_are_told() -> None:
    value = changed(("spec", "replicas"), "3")
    value["metadata"]["nam"] = "x"
    value["spec"]["template"]["spec"]["containers"].append({"name": "b", "imag": "c"})
    assert [place for place, _ in found(value)] == [
        "metadata.nam",
        "spec.replicas",
        "spec.template.spec.containers.1.imag",
    ]


@pytest.mark.parametrize("value", [None, "", "IfNotPresent"])
def test_what_the_api_server_takes_for_its_default_is_no_flaw(value: str | None) -> None:
    assert found(changed((*CONTAINER, "imagePullPolicy"), value)) == []


@pytest.mark.parametrize("value", [3.0, None, 0])
def test_a_whole_number_may_be_written_as_go_reads_one(value: Any) -> None:
    assert found(changed(("spec", "replicas"), value)) == []


def test_data_of_a_secret_is_base64() -> None:
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "a"}, "data": {"k": "YQ=="}}
    assert found(secret) == []
    assert found({**secret, "data": {"k": "pass word"}}) == [
        ("data.k", "is not base64; plain text of a Secret belongs in stringData")
    ]


@pytest.mark.parametrize("text", ["1", "+1.5", "-.5", "1.", "100m", "1Ki", "1e3", "2E", "1E-3", "0.1Gi"])
def test_a_quantity_is_what_kubernetes_reads_as_one(text: str) -> None:
    assert found(changed((*CONTAINER, "resources", "limits", "cpu"), text)) == []


@pytest.mark.parametrize("text", ["", " 1", "1 Gi", "1ki", "1K", "1e3Ki", "1.2.3", "m", "0x10", "１", True, [], {}])
def test_what_is_no_quantity_is_found(text: Any) -> None:
    assert len(found(changed((*CONTAINER, "resources", "limits", "cpu"), text))) == 1


def test_a_kind_in_the_wrong_group_or_misspelt_is_found() -> None:
    assert found({"apiVersion": "v1", "kind": "Deployment"}) == [
        ("apiVersion", f"Kubernetes {NEWEST} has no Deployment in v1; it is in apps/v1")
    ]
    assert found({"apiVersion": "apps/v1", "kind": "Deploymnt"}) == [
        ("kind", f"Kubernetes {NEWEST} has no Deploymnt in apps/v1; did you mean Deployment?")
    ]


@pytest.mark.parametrize("value", [{}, {"apiVersion": 1, "kind": []}, {"apiVersion": "a/v1", "kind": "B"}])
def test_of_what_no_schema_is_known_nothing_is_said_and_it_is_not_covered(value: dict[str, Any]) -> None:
    assert found(value) == []
    assert not NEW.covers(value)


def test_versions_of_kubernetes_differ() -> None:
    """``resizePolicy`` of all containers is old; a kind that came or went tells the versions apart."""
    address = {"apiVersion": "networking.k8s.io/v1beta1", "kind": "IPAddress", "metadata": {"name": "a"}}
    address["spec"] = {"parentRef": {"resource": "services", "name": "a"}}
    assert found(address, VALIDATORS["1.36"]) == []
    assert found(address, VALIDATORS["1.37"]) != []


@pytest.mark.parametrize(("older", "newer"), [("1.35", "1.36"), ("1.36", "1.37")])
def test_what_the_next_version_no_longer_serves_is_listed_as_removed_in_it(older: str, newer: str) -> None:
    """The table of removed versions is kept by hand; the schemas are not."""
    gone = set(SCHEMAS[older].kinds) - set(SCHEMAS[newer].kinds)
    assert gone
    assert {removed_since(*kind, newer) for kind in gone} == {newer}
    assert {removed_since(*kind, older) for kind in gone} == {None}


@pytest.mark.parametrize("version", VERSIONS)
def test_nothing_that_is_served_is_listed_as_removed(version: str) -> None:
    assert [kind for kind in SCHEMAS[version].kinds if removed_since(*kind, version)] == []


@pytest.mark.parametrize(
    ("version", "kind", "since"),
    [
        ("extensions/v1beta1", "Deployment", "1.16"),
        ("apps/v1beta1", "StatefulSet", "1.16"),
        ("apps/v1beta2", "DaemonSet", "1.16"),
        ("extensions/v1beta1", "Ingress", "1.22"),
        ("extensions/v1beta1", "Other", "1.22"),
        ("batch/v1beta1", "CronJob", "1.25"),
        ("batch/v1", "CronJob", None),
    ],
)
def test_a_removed_version_says_since_when(version: str, kind: str, since: str | None) -> None:
    assert removed_since(version, kind, NEWEST) == since


# --- custom resources -------------------------------------------------------------------------------------------------


def definition(fields: Any, **version: Any) -> dict[str, Any]:
    served = {"name": "v1", "served": True, "schema": {"openAPIV3Schema": fields}, **version}
    spec = {"group": "casino.example", "names": {"kind": "Table"}, "versions": [served]}
    return {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "spec": spec}


def table(spec: Any, version: str = "v1") -> dict[str, Any]:
    return {"apiVersion": f"casino.example/{version}", "kind": "Table", "metadata": {"name": "a"}, "spec": spec}


def custom(spec_schema: Any) -> Validator:
    schema = {"type": "object", "properties": {"spec": spec_schema}}
    return Validator(with_definitions(SCHEMAS[NEWEST], [definition(schema)]))


@pytest.mark.parametrize(
    ("schema", "good", "bad", "message"),
    [
        ({"type": "object"}, {}, {"a": 1}, "there is no field 'a' here"),
        ({"type": "integer", "minimum": 1}, 1, 0, "0 is less than 1"),
        ({"type": "number", "maximum": 1}, 0.5, 1.5, "1.5 is more than 1"),
        ({"type": "string", "minLength": 2}, "ab", "a", "its length is 1, at least 2 is needed"),
        ({"type": "array", "maxItems": 1, "items": {"type": "string"}}, ["a"], ["a", "b"],
         "its length is 2, at most 1 is allowed"),
        ({"type": "string", "enum": ["a", "b"]}, "a", "", "'' is none of a, b"),
        ({"type": "string", "nullable": True}, None, 1, "must be a string, not 1: put it in quotes"),
        ({"type": "string"}, "a", None, "must be a string, not null"),
        ({"type": "string", "default": "a"}, None, 1, "must be a string, not 1: put it in quotes"),
        ({"x-kubernetes-int-or-string": True, "anyOf": [{"type": "integer"}, {"type": "string"}]}, 1, [],
         "must be a whole number or a string, not a list"),
        ({"type": "object", "additionalProperties": {"type": "boolean"}}, {"a": True}, {"a": 1},
         "must be true or false, not 1"),
        ({"type": "object", "required": ["a"], "properties": {"a": {"type": "string"}}}, {"a": "b"}, {},
         "a is missing"),
        ({"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"a": {"type": "string"}}},
         {"b": 1}, {"a": 1}, "must be a string, not 1: put it in quotes"),
        ({"type": "object", "x-kubernetes-embedded-resource": True}, {"metadata": {"name": "a"}},
         {"metadata": {"nam": "a"}}, "there is no field 'nam' here; did you mean name?"),
    ],
)  # fmt: skip
def test_a_custom_resource_is_held_against_its_definition(schema: Any, good: Any, bad: Any, message: str) -> None:
    validator = custom(schema)
    assert found(table(good), validator) == []
    assert [said for _, said in found(table(bad), validator)] == [message]


def test_a_version_that_the_definition_does_not_serve_is_found() -> None:
    """A definition that people gave is the whole of what there is of its kind."""
    validator = custom({"type": "object"})
    assert found(table({}, "v1beta1"), validator) == [
        ("apiVersion", "Table is not served as casino.example/v1beta1, but as casino.example/v1")
    ]
    unserved = Validator(with_definitions(SCHEMAS[NEWEST], [definition({"type": "object"}, served=False)]))
    assert not unserved.covers(table({}))


def test_a_definition_that_people_give_counts_more_than_ours() -> None:
    route = {"apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute", "metadata": {"name": "a"}}
    given = definition({"type": "object", "properties": {"spec": {"type": "integer"}}})
    given["spec"] |= {"group": "gateway.networking.k8s.io", "names": {"kind": "HTTPRoute"}}
    validator = Validator(with_definitions(SCHEMAS[NEWEST], [given]))
    assert found({**route, "spec": 1}, NEW) == [("spec", "must be a mapping, not 1")]
    assert found({**route, "spec": 1}, validator) == []


WRONG = (None, True, 3, "x", [], {}, [[]], {"": []}, {"type": []}, {"$ref": "nowhere"}, {"allOf": [3]})


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("key", ["type", "properties", "items", "required", "enum", "minimum", "format", "allOf",
                                 "additionalProperties", "nullable", "maxItems"])  # fmt: skip
def test_a_definition_that_is_none_breaks_nothing(key: str, wrong: Any) -> None:
    for kind in ("object", "array", "string", "integer"):
        inner = {"type": kind, key: wrong}
        schema = {"type": "object", "properties": {"spec": {**inner, "properties": {"b": inner}, key: wrong}}}
        for value in ({}, [], "a", 1, None, {"b": {}}, [{}]):
            custom_resource = Validator(with_definitions(SCHEMAS[NEWEST], [definition(schema)]))
            assert isinstance(custom_resource.check(table(value)), list)
    for value in (wrong, {"spec": wrong}, definition(wrong), definition({}, name=wrong), definition({}, schema=wrong)):
        assert isinstance(from_definitions([value] if isinstance(value, dict) else []), dict)


def test_a_hostile_object_costs_no_more_than_its_size() -> None:
    """Guessing what was meant is costly, so it ends after some fields and some letters."""
    value = changed(("spec", "x" * 100_000), 1)
    value["spec"] |= {f"replica{number}": 1 for number in range(2_000)}
    messages = [message for _, message in found(value)]
    assert sum("did you mean" in message for message in messages) <= 10
    assert len(messages) == 2_001
    assert max(map(len, messages)) < 200
