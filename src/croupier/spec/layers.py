"""A service from its layers: which a file has, what they fit, and the value they come to or why they come to none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, JsonValue, ValidationError

from croupier.errors import Problem
from croupier.model.base import Value
from croupier.model.service_spec import ServiceSpec
from croupier.spec.form import EGRESS, DeclaredService
from croupier.spec.load import Flaw, Location, explain, first_causes, location_of, place, read_value
from croupier.spec.merge import Layer, Merged, Statement, merge, statements_of
from croupier.spec.names import File
from croupier.spec.yaml12 import Node

Fits = Mapping[str, str]
"""What must be so for a layer to apply: axis or trait -> value."""
DECLARED = 2
"""Rank of what stands under ``services``."""
LAYERS = 3
"""Rank of what stands under ``layers``; lower ranks hold wherever a service runs."""

Service = TypeVar("Service", bound=BaseModel)


def layers_of(file: File) -> Iterator[tuple[Fits, Layer]]:
    """Every layer in a file, and what it fits."""
    value = file.value
    if value.defaults is not None:
        yield {}, _layer("defaults", (0, 0), file, ("defaults",), file.node("defaults"))
    for index, preset in enumerate(value.presets):
        fits = _given(preset.when)
        node = file.node("presets", index, "set")
        yield fits, _layer(f"preset {_words(fits)}", (1, len(fits)), file, ("presets", index), node)
    for index, service in enumerate(value.services):
        name: str = service.name
        node = file.node("services", index)
        yield {"service": name}, _layer("service", (DECLARED, 0), file, ("services", index), node)
    for index, each in enumerate(value.layers):
        fits = _given(each.at)
        at = file.node("layers", index)
        made = _layer(f"layer {_words(fits)}", (LAYERS, len(fits)), file, ("layers", index), at.children.get("set"))
        for number, path in enumerate(each.unset):
            spot = at.children["unset"].children[number]
            made.statements.append(Statement(made, tuple(path.split(".")), "unset", None, spot))
        yield fits, made


def _layer(label: str, rank: tuple[int, int], file: File, location: Location, node: Node | None) -> Layer:
    layer = Layer(label, rank, file.name, place(file.root, location))
    if node is not None:
        layer.statements.extend(statements_of(layer, node, ServiceSpec))
    return layer


def traits_of(service: DeclaredService) -> dict[str, str | None]:
    """What presets and layers may ask of a service."""
    part: Any = service
    return {
        "service": part.name,
        "tier": part.tier or "standard",
        "traffic": part.traffic or "http",
        "layer": part.layer,
    }


def applying(layers: Iterable[tuple[Fits, Layer]], facts: Mapping[str, str | None]) -> list[Layer]:
    """Those of ``layers`` that apply to a service somewhere. ``facts``: axis or trait -> what it is there.

    Whom it calls is known once the others are merged: those that go by that say nothing about it themselves.
    """
    fitting = [
        (fits, layer)
        for fits, layer in layers
        if all(facts[axis] == value for axis, value in fits.items() if axis != EGRESS)
    ]
    others = [layer for fits, layer in fitting if EGRESS not in fits]
    if len(others) == len(fitting):
        return others
    called = merge(others, BASES).values.get((EGRESS,), ())
    assert isinstance(called, list | tuple)
    return [layer for fits, layer in fitting if EGRESS not in fits or fits[EGRESS] in called]


def resolved(merged: Merged, model: type[Service]) -> tuple[Service | None, list[Problem]]:
    """What ``model`` has of a service, complete, or what keeps it from that."""
    problems = []
    for one, other in merged.conflicts:
        message = f"{other.layer.label} and {one.layer.label} ({one.place}) disagree about {'.'.join(other.path)}"
        problems.append(problem_at(other, (), "CONFLICT", message, "a layer that names more would decide"))
    if problems:
        return None, problems
    known = {field.alias or name for name, field in model.model_fields.items()}
    try:
        return read_value({key: value for key, value in merged.tree().items() if key in known}, model), []
    except ValidationError as error:
        for detail in first_causes(error):
            location = location_of(detail)
            is_missing = detail["type"] == "missing"
            if location and (location[0] in merged.lacks or (is_missing and "" in merged.lacks)):
                continue
            if is_missing:
                path = ".".join(map(str, location))
                flaw = Flaw(location, "MISSING_KEY", f"{path!r} is missing", "no layer gives it")
            else:
                flaw = Flaw(location, *explain(detail["type"], detail["msg"], detail.get("ctx", {}), detail["input"]))
            problems.append(problem_of(merged, flaw))
        return None, problems


def problem_of(merged: Merged, flaw: Flaw) -> Problem:
    """A flaw of a service, at the place of who said it."""
    said = merged.winner([str(part) for part in flaw.location]) or merged.chains[("name",)][-1]
    if said.layer.is_own:
        by_people = [each for each in merged.chains[said.path] if not each.layer.is_own]
        whose = _preset_of(merged, said, flaw.location) if by_people else f" ({said.layer.label})"
        flaw = flaw._replace(message=f"{flaw.message}{whose}")
        said = by_people[-1] if by_people else merged.chains[("name",)][-1]
    # Of a list to which layers have added, an index says nothing about where an item stands.
    rest = flaw.location[len(said.path) :] if said.verb == "set" else ()
    return problem_at(said, rest, *flaw[1:])


def _preset_of(merged: Merged, said: Statement, location: Location) -> str:
    """Which preset of croupier's has brought the item at ``location`` of a list; "": none, or it is about the list."""
    held, at = merged.values[said.path], location[len(said.path) : len(said.path) + 1]
    if isinstance(held, list) and at and isinstance(at[0], int):
        for each in merged.chains[said.path]:
            if each.layer.is_own and each.value == [held[at[0]]]:
                return f" ({each.layer.label})"
    return ""


def problem_at(said: Statement, rest: Location, code: str, message: str, hint: str = "") -> Problem:
    return Problem(said.layer.file, *place(said.node, rest), code, message, hint)


def list_defaults(model: type[BaseModel], path: tuple[str, ...] = ()) -> dict[tuple[str, ...], list[JsonValue]]:
    """Lists of ``model`` that hold something by default, by path."""
    found: dict[tuple[str, ...], list[JsonValue]] = {}
    for name, each in model.model_fields.items():
        here = (*path, each.alias or name)
        if isinstance(each.default, tuple) and each.default:
            found[here] = [
                item.model_dump(mode="json", by_alias=True) if isinstance(item, BaseModel) else item
                for item in each.default
            ]
        elif isinstance(each.default, Value):
            found |= list_defaults(type(each.default), here)
    return found


def _given(value: Value) -> Mapping[str, str]:
    return {name: given for name, given in value if given is not None}


def _words(fits: Mapping[str, str]) -> str:
    return " ".join(f"{name}={value}" for name, value in fits.items())


BASES = list_defaults(ServiceSpec)
