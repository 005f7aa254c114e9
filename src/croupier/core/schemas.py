"""Whether an object is what the API server takes for its kind: fields it knows, of the type it wants, none missing.

Each kind's schema becomes a function, made when the first object of that kind comes; the function walks the object once
and makes nothing unless something is wrong. What is checked is what strict field validation of the API server checks,
and what the schema itself requires: required fields, enumerations, bounds. Patterns, ``oneOf`` and CEL rules of custom
resources are left to the API server.
"""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, NamedTuple

from croupier.model.manifest import Path
from croupier.model.objects import JsonObject
from croupier.model.quantity import is_quantity
from croupier.model.schemas import Kind, SchemaSet


class Flaw(NamedTuple):
    """What is wrong with an object, and where in it."""

    path: Path
    message: str


Check = Callable[[Any], "list[Flaw] | None"]
"""A value -> what is wrong with it; None, and not an empty list, where nothing is."""

DEFINITION = "CustomResourceDefinition"
META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
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
_NAMES = {
    "string": "a string", "boolean": "true or false", "integer": "a whole number", "number": "a number",
    "object": "a mapping", "array": "a list",
}  # fmt: skip
_RANGES = {"int32": 31, "int64": 63}
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d([.,]\d{1,40})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_LONGEST_GUESSED = 80
_MOST_GUESSES = 10
"""Unknown fields of one mapping for which a like name is looked for."""
_LONGEST_SHOWN = 40


class Validator:
    """Checks objects against the schemas of one version of Kubernetes and of the custom resources known beside it."""

    def __init__(self, schemas: SchemaSet) -> None:
        self._schemas = schemas
        self._kinds: dict[Kind, Check] = {}
        self._types: dict[str, Check] = {}

    @property
    def kubernetes(self) -> str:
        return self._schemas.kubernetes

    def covers(self, value: JsonObject) -> bool:
        """Whether ``check`` can tell: the object's kind is known, or known to be served nowhere."""
        version, kind = value.get("apiVersion"), value.get("kind")
        if not (isinstance(version, str) and isinstance(kind, str)):
            return False
        group = group_of(version)
        schemas = self._schemas
        is_closed = group in schemas.closed_groups or (group, kind) in schemas.closed_kinds
        return (version, kind) in schemas.kinds or is_closed

    def served_as(self, kind: str) -> list[str]:
        """Every ``apiVersion`` that has a kind of this name, those of Kubernetes itself first."""
        found = (version for version, name in self._schemas.kinds if name == kind)
        return sorted(found, key=lambda each: (group_of(each) not in self._schemas.closed_groups, each))

    def check(self, value: JsonObject) -> list[Flaw]:
        """What is wrong with an object; nothing, too, where no schema of its kind is known."""
        version, name = value.get("apiVersion"), value.get("kind")
        if not (isinstance(version, str) and isinstance(name, str)):
            return []
        kind = version, name
        check = self._kinds.get(kind)
        if check is None:
            if kind not in self._schemas.kinds:
                return self._unserved(version, name)
            check = self._kinds[kind] = self._of_kind(kind)
        return check(value) or []

    def _unserved(self, version: str, kind: str) -> list[Flaw]:
        """An object of a kind that the API server is known not to have."""
        group = group_of(version)
        others = self.served_as(kind)
        if (group, kind) in self._schemas.closed_kinds:
            same = [each for each in others if group_of(each) == group]
            return [Flaw(("apiVersion",), f"{kind} is not served as {version}, but as {', '.join(same) or 'nothing'}")]
        if group not in self._schemas.closed_groups:
            return []
        said = f"Kubernetes {self.kubernetes} has no {kind} in {version}"
        if others:
            return [Flaw(("apiVersion",), f"{said}; it is in {', '.join(others)}")]
        near = _near(kind, [name for known, name in self._schemas.kinds if known == version])
        return [Flaw(("kind",), f"{said}{near}")]

    def _of_kind(self, kind: Kind) -> Check:
        schema = self._schemas.kinds[kind]
        return self._compiled(schema, is_custom="$ref" not in schema)

    def _named(self, name: str) -> Check:
        """The function of a type; of one that is in the making (types hold themselves), a way to it."""
        known = self._types.get(name)
        if known is None:

            def later(value: Any) -> list[Flaw] | None:
                return self._types[name](value)

            self._types[name] = later
            known = self._types[name] = self._compiled(self._schemas.types[name], is_custom=False)
        return known

    def _compiled(self, schema: JsonObject, *, is_custom: bool) -> Check:
        if (name := schema.get("$ref")) is not None:
            return self._named(name)
        if schema.get("format") == "quantity":
            return _quantity
        if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
            return _int_or_string
        if schema.get("x-kubernetes-preserve-unknown-fields") and "type" not in schema:
            return _anything
        kind = schema.get("type")
        if kind not in _NAMES:
            return _anything
        check = _bounded(kind, schema, self._of_type(kind, schema, is_custom))
        if is_custom and schema.get("nullable"):
            return lambda value: None if value is None else check(value)
        return check

    def _of_type(self, kind: str, schema: JsonObject, is_custom: bool) -> Check:
        if kind == "object":
            return self._object(schema, is_custom)
        if kind == "array":
            return _list(self._compiled(schema.get("items", {}), is_custom=is_custom))
        if kind == "string":
            if "enum" in schema:
                return _enumeration(schema["enum"])
            return _FORMATS.get(schema.get("format", ""), _string)
        if kind == "integer":
            return _integer(_RANGES.get(schema.get("format", ""), 63))
        return _number if kind == "number" else _boolean

    def _object(self, schema: JsonObject, is_custom: bool) -> Check:
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            return _map(self._compiled(extra, is_custom=is_custom))
        if extra is True:
            return _mapping
        fields = {
            name: self._compiled(inner, is_custom=is_custom) for name, inner in schema.get("properties", {}).items()
        }
        if schema.get("x-kubernetes-embedded-resource"):
            fields |= {"apiVersion": _string, "kind": _string, "metadata": self._named(META)}
        required = tuple(each for each in schema.get("required", ()) if each in fields)
        is_open = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
        return _object(fields, required, is_open=is_open, is_custom=is_custom)


def _bounded(kind: str, schema: JsonObject, check: Check) -> Check:
    """``check`` and the bounds that ``schema`` sets to a value of type ``kind``, or to its length."""
    bounds = [make(schema[key]) for key, make in _BOUNDS.get(kind, {}).items() if key in schema]
    if not bounds:
        return check

    def bounded(value: Any) -> list[Flaw] | None:
        found = check(value)
        if found is not None:
            return found
        said = [message for each in bounds if (message := each(value)) is not None]
        return [Flaw((), ", ".join(said))] if said else None

    return bounded


def group_of(version: str) -> str:
    """The group in an ``apiVersion``; "" for the core's."""
    return version.rpartition("/")[0]


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


# --- functions of types -----------------------------------------------------------------------------------------------


def _object(fields: Mapping[str, Check], required: Sequence[str], *, is_open: bool, is_custom: bool) -> Check:
    """A mapping with ``fields``, those ``required`` among them, and others too if it ``is_open``.

    To the API server null is a field that was not given; in a custom resource it is a value as any.
    """
    known = dict(fields)

    def check(value: Any) -> list[Flaw] | None:
        if type(value) is not dict:
            return _wrong(value, "object")
        found: list[Flaw] | None = None
        for key, inner in value.items():
            field = known.get(key)
            if field is None:
                if not is_open:
                    found = _also(found, (key,), None)
            elif (inner is not None or is_custom) and (flaws := field(inner)) is not None:
                found = _also(found, (key,), flaws)
        for key in required:
            if value.get(key) is None and (key not in value or not is_custom):
                found = _also(found, (), [Flaw((), f"{key} is missing")])
        return found if found is None else _guessed(found, value, known)

    return check


def _list(item: Check) -> Check:
    def check(value: Any) -> list[Flaw] | None:
        if type(value) is not list:
            return _wrong(value, "array")
        found: list[Flaw] | None = None
        for index, each in enumerate(value):
            if (flaws := item(each)) is not None:
                found = _also(found, (index,), flaws)
        return found

    return check


def _map(inner: Check) -> Check:
    def check(value: Any) -> list[Flaw] | None:
        if type(value) is not dict:
            return _wrong(value, "object")
        found: list[Flaw] | None = None
        for key, each in value.items():
            if each is not None and (flaws := inner(each)) is not None:
                found = _also(found, (key,), flaws)
        return found

    return check


_UNKNOWN = ""
"""The message of a field that is not known, until all of them are."""


def _also(found: list[Flaw] | None, path: Path, flaws: list[Flaw] | None) -> list[Flaw]:
    """``found`` and ``flaws``, whose paths begin with ``path``; without ``flaws``, what stands there is not known."""
    more = [Flaw(path, _UNKNOWN)] if flaws is None else [Flaw((*path, *each.path), each.message) for each in flaws]
    return more if found is None else found + more


def _guessed(found: list[Flaw], value: JsonObject, known: Mapping[str, Check]) -> list[Flaw]:
    """``found`` with words for the fields that are not known."""
    left = [name for name in known if name not in value]
    guesses = 0
    said = []
    for each in found:
        if each.message != _UNKNOWN:
            said.append(each)
            continue
        guesses += 1
        near = _near(str(each.path[0]), left) if guesses <= _MOST_GUESSES else ""
        said.append(Flaw(each.path, f"there is no field {_shown(each.path[0])} here{near}"))
    return said


def _enumeration(values: Sequence[str]) -> Check:
    members = frozenset(values)
    listed = ", ".join(sorted(each for each in members if each))

    def check(value: Any) -> list[Flaw] | None:
        if type(value) is not str:
            return _wrong(value, "string")
        if value in members:
            return None
        return [Flaw((), f"{_shown(value)} is none of {listed}{_near(value, values)}")]

    return check


def _integer(bits: int) -> Check:
    least, most = -(2**bits), 2**bits - 1

    def check(value: Any) -> list[Flaw] | None:
        # Go reads 3.0 in YAML as 3.
        if type(value) is not int and not (type(value) is float and value.is_integer()):
            return _wrong(value, "integer")
        return None if least <= value <= most else [Flaw((), f"{_shown(value)} does not fit in {bits + 1} bits")]

    return check


def _string(value: Any) -> list[Flaw] | None:
    return None if type(value) is str else _wrong(value, "string")


def _boolean(value: Any) -> list[Flaw] | None:
    return None if type(value) is bool else _wrong(value, "boolean")


def _number(value: Any) -> list[Flaw] | None:
    return None if _is_number(value) else _wrong(value, "number")


def _mapping(value: Any) -> list[Flaw] | None:
    return None if type(value) is dict else _wrong(value, "object")


def _anything(_value: Any) -> None:
    return None


def _quantity(value: Any) -> list[Flaw] | None:
    if _is_number(value) or (type(value) is str and is_quantity(value)):
        return None
    return [Flaw((), f"{_shown(value)} is no quantity like 300m, 0.5 or 512Mi")]


_INT32 = _integer(31)


def _int_or_string(value: Any) -> list[Flaw] | None:
    if type(value) is str:
        return None
    if type(value) is int or (type(value) is float and value.is_integer()):
        return _INT32(value)
    return [Flaw((), f"must be a whole number or a string, not {_shown(value)}")]


def _time(value: Any) -> list[Flaw] | None:
    if type(value) is str:
        return None if _TIME.fullmatch(value) else [Flaw((), f"{_shown(value)} is no time like 2027-01-31T00:00:00Z")]
    return _wrong(value, "string")


def _base64(value: Any) -> list[Flaw] | None:
    if type(value) is not str:
        return _wrong(value, "string")
    try:
        b64decode(value.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        return [Flaw((), "is not base64; plain text of a Secret belongs in stringData")]
    return None


_FORMATS: Mapping[str, Check] = {"date-time": _time, "byte": _base64}


def _least(limit: float) -> Callable[[Any], str | None]:
    return lambda value: None if value >= limit else f"{value} is less than {limit}"


def _most(limit: float) -> Callable[[Any], str | None]:
    return lambda value: None if value <= limit else f"{value} is more than {limit}"


def _shortest(limit: float) -> Callable[[Any], str | None]:
    return lambda value: None if len(value) >= limit else f"its length is {len(value)}, at least {limit} is needed"


def _longest(limit: float) -> Callable[[Any], str | None]:
    return lambda value: None if len(value) <= limit else f"its length is {len(value)}, at most {limit} is allowed"


_OF_NUMBERS = {"minimum": _least, "maximum": _most}
_BOUNDS: Mapping[str, Mapping[str, Callable[[float], Callable[[Any], str | None]]]] = {
    "integer": _OF_NUMBERS,
    "number": _OF_NUMBERS,
    "string": {"minLength": _shortest, "maxLength": _longest},
    "array": {"minItems": _shortest, "maxItems": _longest},
    "object": {"minProperties": _shortest, "maxProperties": _longest},
}
"""Type -> keyword -> what makes a test of its limit."""


# --- words ------------------------------------------------------------------------------------------------------------


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _wrong(value: Any, wanted: str) -> list[Flaw]:
    quotes = ": put it in quotes" if wanted == "string" and type(value) in (int, float, bool) else ""
    return [Flaw((), f"must be {_NAMES[wanted]}, not {_shown(value)}{quotes}")]


def _shown(value: Any) -> str:
    """``value`` in a few words."""
    if value is None or type(value) is bool:
        return {None: "null", True: "true", False: "false"}[value]
    if type(value) is dict:
        return "a mapping"
    if type(value) is list:
        return "a list"
    if type(value) is int and abs(value) > 10**_LONGEST_SHOWN:
        return "a larger number"
    said = repr(value)
    return said if len(said) <= _LONGEST_SHOWN else f"{said[: _LONGEST_SHOWN - 1]}…"


def _near(name: str, known: Sequence[str]) -> str:
    """``; did you mean …?``, or nothing where no known name is like ``name``."""
    near = get_close_matches(name, known, n=1) if len(name) <= _LONGEST_GUESSED else []
    return f"; did you mean {near[0]}?" if near else ""
