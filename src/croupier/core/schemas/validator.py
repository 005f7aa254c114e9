"""A kind's schema as one function, and the objects that it is asked of."""

from __future__ import annotations

from typing import Any

from croupier.core.schemas import types
from croupier.core.schemas.types import Check, Flaw
from croupier.model.objects import JsonObject
from croupier.model.schemas import Kind, SchemaSet, group_of

META = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta"
_RANGES = {"int32": 31, "int64": 63}


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
        near = types.meant(kind, [name for known, name in self._schemas.kinds if known == version])
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
            return types.quantity
        if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
            return types.int_or_string
        if schema.get("x-kubernetes-preserve-unknown-fields") and "type" not in schema:
            return types.anything
        kind = schema.get("type")
        if kind not in types.TYPES:
            return types.anything
        check = types.bounded(kind, schema, self._of_type(kind, schema, is_custom))
        if is_custom and schema.get("nullable"):
            return lambda value: None if value is None else check(value)
        return check

    def _of_type(self, kind: str, schema: JsonObject, is_custom: bool) -> Check:
        if kind == "object":
            return self._object(schema, is_custom)
        if kind == "array":
            return types.list_of(self._compiled(schema.get("items", {}), is_custom=is_custom))
        if kind == "string":
            if "enum" in schema:
                return types.enumeration(schema["enum"])
            return types.FORMATS.get(schema.get("format", ""), types.string)
        if kind == "integer":
            return types.integer(_RANGES.get(schema.get("format", ""), 63))
        return types.number if kind == "number" else types.boolean

    def _object(self, schema: JsonObject, is_custom: bool) -> Check:
        extra = schema.get("additionalProperties")
        if isinstance(extra, dict):
            return types.map_of(self._compiled(extra, is_custom=is_custom))
        if extra is True:
            return types.mapping
        fields = {
            name: self._compiled(inner, is_custom=is_custom) for name, inner in schema.get("properties", {}).items()
        }
        if schema.get("x-kubernetes-embedded-resource"):
            fields |= {"apiVersion": types.string, "kind": types.string, "metadata": self._named(META)}
        required = tuple(each for each in schema.get("required", ()) if each in fields)
        is_open = bool(schema.get("x-kubernetes-preserve-unknown-fields"))
        return types.object_of(fields, required, is_open=is_open, is_custom=is_custom)
