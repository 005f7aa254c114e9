"""Schemas in CustomResourceDefinitions, and what of a schema is kept: what is checked, and nothing else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from croupier.model.objects import JsonObject
from croupier.model.schemas import Kind, SchemaSet, group_of

DEFINITION = "CustomResourceDefinition"
_KEPT: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(("type", "format"), (str,)),
    **dict.fromkeys(("required", "enum"), (list,)),
    **dict.fromkeys(("minimum", "maximum"), (int, float)),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"), (int,)),
    **dict.fromkeys(
        (
            "nullable", "x-kubernetes-int-or-string", "x-kubernetes-preserve-unknown-fields",
            "x-kubernetes-embedded-resource",
        ),
        (bool,),
    ),
}  # fmt: skip
"""What a schema keeps beside fields, items and references -> the types its value may have."""


def trimmed(schema: Any) -> JsonObject:
    """``schema`` without what is not checked (descriptions, defaults, patterns, rules) and without what is no schema;
    references by bare name.
    """
    made: JsonObject = {}
    for key, held in _schema(schema).items():
        if key == "allOf" and isinstance(held, list) and held:
            made.update(trimmed(held[0]))
        elif key == "$ref" and isinstance(held, str):
            made[key] = held.rpartition("/")[2]
        elif key == "properties":
            made[key] = {str(name): trimmed(each) for name, each in _schema(held).items()}
        elif key == "items" or (key == "additionalProperties" and isinstance(held, dict)):
            made[key] = trimmed(held)
        elif key == "additionalProperties" and held is True:
            made[key] = held
        elif type(held) in _KEPT.get(key, ()):
            made[key] = [each for each in held if type(each) is str] if type(held) is list else held
    return made


def with_definitions(schemas: SchemaSet, objects: Iterable[JsonObject]) -> SchemaSet:
    """``schemas`` and those of the CustomResourceDefinitions among ``objects``, which count more than what croupier
    knows of the same kinds.
    """
    found = from_definitions(objects)
    closed = {(group_of(version), kind) for version, kind in found}
    if not found:
        return schemas
    kept = {kind: held for kind, held in schemas.kinds.items() if (group_of(kind[0]), kind[1]) not in closed}
    return replace(schemas, kinds={**kept, **found}, closed_kinds=schemas.closed_kinds | closed)


def from_definitions(objects: Iterable[JsonObject]) -> dict[Kind, JsonObject]:
    """The schemas in CustomResourceDefinitions (``apiextensions.k8s.io/v1``), of each version that is served.

    What is no such definition, or says nothing of its fields, gives nothing.
    """
    found: dict[Kind, JsonObject] = {}
    for each in objects:
        spec = _schema(each.get("spec"))
        group, kind = spec.get("group"), _schema(spec.get("names")).get("kind")
        if each.get("kind") != DEFINITION or not (isinstance(group, str) and isinstance(kind, str)):
            continue
        versions = spec.get("versions")
        for version in map(_schema, versions if isinstance(versions, list) else ()):
            schema = _schema(version.get("schema")).get("openAPIV3Schema")
            if isinstance(version.get("name"), str) and version.get("served") is not False and isinstance(schema, dict):
                found[f"{group}/{version['name']}", kind] = {
                    **_custom(schema),
                    "type": "object",
                    "x-kubernetes-embedded-resource": True,
                }
    return found


def _custom(schema: JsonObject) -> JsonObject:
    """The schema of a custom resource, trimmed; null stands for a default where there is one. Such a schema refers to
    nothing, and what it combines only narrows it.
    """
    inner = ("properties", "items", "additionalProperties")
    made = trimmed({key: held for key, held in schema.items() if key not in ("allOf", "$ref", *inner)})
    if "properties" in schema:
        made["properties"] = {str(name): _custom(_schema(each)) for name, each in _schema(schema["properties"]).items()}
    for key in inner[1:]:
        if isinstance(schema.get(key), dict):
            made[key] = _custom(schema[key])
    if schema.get("additionalProperties") is True:
        made["additionalProperties"] = True
    return {**made, "nullable": True} if "default" in schema else made


def _schema(value: Any) -> JsonObject:
    return value if isinstance(value, dict) else {}
