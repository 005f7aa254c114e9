"""Patches of layers, applied to what a cell comes to: each fits where it applies, or is a problem at its place.

What a market locks a patch may not touch. Which fields of objects a lock is about nobody has to write down: the value
that is locked is moved a little, and what is rendered otherwise then depends on it.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from pydantic import JsonValue, ValidationError

from croupier.core.render.names import APP, cell_labels
from croupier.errors import Problem
from croupier.model.manifest import Path
from croupier.model.objects import JsonObject
from croupier.model.patches import Patch, PlacedPatch
from croupier.model.platform import Lock, PlacedCell
from croupier.model.service_spec import LIST_KEYS, ServiceSpec

Render = Callable[[PlacedCell, ServiceSpec], list[JsonObject]]
"""All objects that a service has a part in, in one cell."""
_Tokens = tuple[str, ...]
_MOST_TOLD = 8


class Found:
    """Problems of patches, each told once, with the cells that have it."""

    def __init__(self) -> None:
        self._cells: dict[Problem, list[str]] = {}

    def add(self, problem: Problem, cell: str) -> None:
        cells = self._cells.setdefault(problem, [])
        if cell not in cells:
            cells.append(cell)

    def problems(self) -> list[Problem]:
        told = []
        for problem, cells in self._cells.items():
            more = f" and {len(cells) - 1} more" if len(cells) > 1 else ""
            message = f"{problem.message} (in {cells[0]}{more})"
            told.append(Problem(problem.file, problem.line, problem.column, problem.code, message, problem.hint))
        return told


def patched(
    placed: PlacedCell, files: Mapping[str, list[JsonObject]], render: Render, found: Found
) -> dict[str, list[JsonObject]]:
    """``files`` of one cell, patched. ``render``: what tells which objects depend on a value that is locked."""
    made = {name: list(objects) for name, objects in files.items()}
    locks = _Locks(placed, render)
    for each in placed.patches:
        hits = [
            (name, index)
            for name, objects in made.items()
            for index, candidate in enumerate(objects)
            if fits(each, _service_of(name), candidate)
        ]
        if not hits:
            found.add(_nothing(each, made), placed.cell.name)
        for name, index in hits:
            before = made[name][index]
            if problem := locks.against(each, _service_of(name), before):
                found.add(problem, placed.cell.name)
                continue
            after, why = _changed(before, each.patch)
            if after is None:
                found.add(_problem(each, before, *why), placed.cell.name)
            elif _identity(placed, before) != _identity(placed, after):
                message = "a name, a kind, a selector, or a label that pods are found by would be another"
                found.add(
                    _problem(each, before, "IDENTITY", message, "walls and selectors go by those"), placed.cell.name
                )
            else:
                made[name][index] = after
    return made


def patched_alone(placed: PlacedCell, service: str, each: JsonObject) -> JsonObject:
    """One object of a service, patched as far as patches fit."""
    for patch in placed.patches:
        if fits(patch, service, each):
            each = _changed(each, patch.patch)[0] or each
    return each


def fits(each: PlacedPatch, service: str, candidate: JsonObject) -> bool:
    """Whether a patch is about an object of ``service``; "": of the cell as a whole."""
    patch = each.patch
    return (
        candidate["kind"] == patch.kind
        and each.service in (None, service)
        and patch.name in (None, candidate["metadata"]["name"])
    )


def blame(cells: Iterable[PlacedCell]) -> Callable[[str, JsonObject, Path], PlacedPatch | None]:
    """File, object and a path in it -> the last patch of a cell that may have written there."""
    of_cell = {each.cell.name: each for each in cells}

    def told(file: str, each: JsonObject, path: Path) -> PlacedPatch | None:
        area, place, _ = file.split("/")
        return _blamed(of_cell[place], file, each, path) if area == "cells" else None

    return told


def _blamed(placed: PlacedCell, file: str, each: JsonObject, path: Path) -> PlacedPatch | None:
    where = tuple(map(str, path))
    return next(
        (
            patch
            for patch in reversed(placed.patches)
            if fits(patch, _service_of(file), each) and _related(patch.patch.tokens, where)
        ),
        None,
    )


def _service_of(file: str) -> str:
    """Files of a cell are called like their service; those of the cell as a whole begin with a number."""
    name = file.rpartition("/")[2].removesuffix(".yaml")
    return "" if name[:1].isdigit() else name


def _related(one: _Tokens, other: _Tokens) -> bool:
    return all(part == its_part for part, its_part in zip(one, other, strict=False))


def _identity(placed: PlacedCell, each: JsonObject) -> Any:
    """What others find an object and its pods by, and which pods it is about."""
    metadata = each.get("metadata")
    if not isinstance(metadata, dict):
        return None
    fixed = {key: _at(metadata, "labels", key) for key in cell_labels(placed.cell)}
    pods = {key: _at(each, "spec", "template", "metadata", "labels", key) for key in (APP, *fixed)}
    chosen = _at(each, "spec", "selector"), _at(each, "spec", "podSelector")
    return (
        each.get("apiVersion"),
        each.get("kind"),
        metadata.get("name"),
        metadata.get("namespace"),
        fixed,
        pods,
        chosen,
    )


def _at(value: Any, *way: str) -> Any:
    for key in way:
        value = value.get(key) if isinstance(value, dict) else None
    return value


# --- one patch on one object ------------------------------------------------------------------------------------------


def _changed(before: JsonObject, patch: Patch) -> tuple[JsonObject | None, tuple[str, str, str]]:
    """The object as it is then; or None, and code, message and hint."""
    after = copy.deepcopy(before)
    *way, last = patch.tokens
    here: Any = after
    for depth, part in enumerate(way):
        there = _step(here, part)
        if there is _ABSENT:
            return None, _absent(patch.tokens[: depth + 1], here)
        here = there
    if isinstance(here, list) and patch.op == "add":
        if last == "-":
            here.append(patch.value)
        elif last.isdecimal() and int(last) <= len(here):
            here.insert(int(last), patch.value)
        else:
            return None, _absent(patch.tokens, here)
        return after, ("", "", "")
    there = _step(here, last)
    if patch.op == "add":
        if there is not _ABSENT:
            return None, ("UNUSED", f"{patch.path} is there already", "replace it")
        if not isinstance(here, dict):
            return None, _absent(patch.tokens, here)
        here[last] = patch.value
    elif there is _ABSENT:
        return None, _absent(patch.tokens, here)
    elif patch.op == "replace":
        if _told(there) == _told(patch.value):
            return None, ("UNUSED", f"{patch.path} is that without it", "take the patch away")
        here[int(last) if isinstance(here, list) else last] = patch.value
    else:
        del here[int(last) if isinstance(here, list) else last]
    return after, ("", "", "")


_ABSENT: Any = object()


def _step(here: Any, part: str) -> Any:
    if isinstance(here, dict):
        return here.get(part, _ABSENT)
    if isinstance(here, list) and part.isdecimal() and int(part) < len(here):
        return here[int(part)]
    return _ABSENT


def _absent(tokens: _Tokens, here: Any) -> tuple[str, str, str]:
    """What to say of the last of ``tokens``, which ``here`` does not have."""
    path = "".join(f"/{each.replace('~', '~0').replace('/', '~1')}" for each in tokens)
    if isinstance(here, list):
        return "UNUSED", f"there is no {path}", f"the list has {len(here)} items, from 0 on"
    known = list(here) if isinstance(here, dict) else []
    near = get_close_matches(tokens[-1], known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    return "UNUSED", f"there is no {path}", f"{hint}there is: {', '.join(known[:_MOST_TOLD]) or 'nothing below it'}"


def _told(value: Any) -> str:
    """Told apart as JSON tells apart: ``true`` is not 1."""
    return json.dumps(value, sort_keys=True)


def _problem(each: PlacedPatch, about: JsonObject, code: str, message: str, hint: str) -> Problem:
    subject = f"{about['kind']} {about['metadata']['name']}"
    return Problem(each.file, *each.path_at, code, f"patch of {subject}: {message}", hint)


def _nothing(each: PlacedPatch, files: Mapping[str, Sequence[JsonObject]]) -> Problem:
    """A patch that fits no object."""
    patch = each.patch
    here = [
        candidate
        for file, objects in files.items()
        for candidate in objects
        if each.service in (None, _service_of(file))
    ]
    names = sorted({candidate["metadata"]["name"] for candidate in here if candidate["kind"] == patch.kind})
    known = names if names else sorted({candidate["kind"] for candidate in here})
    near = get_close_matches(patch.name or "" if names else patch.kind, known, n=1)
    hint = (f"did you mean {near[0]}? " if near else "") + f"there is: {', '.join(known[:_MOST_TOLD])}"
    whose = f" of {each.service}" if each.service is not None else ""
    message = f"there is no {patch.kind}{f' {patch.name}' if patch.name else ''}{whose} to patch"
    return Problem(each.file, *each.path_at, "UNUSED", message, hint)


# --- locks ------------------------------------------------------------------------------------------------------------


class _Locks:
    """What the locks of a cell's market are about, among its objects."""

    def __init__(self, placed: PlacedCell, render: Render) -> None:
        self._placed, self._render = placed, render
        self._known: dict[str, list[tuple[Lock, str, str, _Tokens]]] = {}

    def against(self, each: PlacedPatch, service: str, about: JsonObject) -> Problem | None:
        """Why the market forbids the patch. ``service``: whose object it is; "": that of any in the cell."""
        its = about["kind"], about["metadata"]["name"]
        for spec in self._placed.services:
            for lock, kind, name, where in self._of(spec) if service in ("", spec.name) else ():
                if (kind, name) == its and _related(where, each.patch.tokens):
                    message = f"market {self._placed.cell.market} locks it by {lock.path} of {spec.name}"
                    return _problem(each, about, "LOCKED", message, f"set {lock.path} in a layer: {lock.why}")
        return None

    def _of(self, spec: ServiceSpec) -> list[tuple[Lock, str, str, _Tokens]]:
        if spec.name not in self._known:
            self._known[spec.name] = [
                (lock, *found)
                for lock in self._placed.market.locks
                for found in _dependent(self._placed, spec, lock, self._render)
            ]
        return self._known[spec.name]


def _dependent(placed: PlacedCell, spec: ServiceSpec, lock: Lock, render: Render) -> Iterator[tuple[str, str, _Tokens]]:
    """Kind, name and place of all that is rendered otherwise when the locked value is another."""
    before = {(one["kind"], one["metadata"]["name"]): one for one in render(placed, spec)}
    for other in _moved(spec, lock):
        services = tuple(other if one.name == spec.name else one for one in placed.services)
        made = render(placed.model_copy(update={"services": services}), other)
        after = {(one["kind"], one["metadata"]["name"]): one for one in made}
        for kind, name in before.keys() | after.keys():
            for where in _different(before.get((kind, name)), after.get((kind, name)), ()):
                yield kind, name, where


def _moved(spec: ServiceSpec, lock: Lock) -> Iterator[ServiceSpec]:
    """The service with another value where the lock is; nothing where it has none."""
    tree = spec.model_dump(mode="json", by_alias=True)
    *way, last = lock.path.split(".")
    here: Any = tree
    for at, part in enumerate(way):
        here = _within(here, part, way[at - 1] if at else "")
        if here is None:
            return
    if not isinstance(here, dict):
        return
    value = here.get(last)
    for candidate in _others(value, lock):
        here[last] = candidate
        try:
            yield ServiceSpec.model_validate_json(json.dumps(tree), strict=True, by_alias=True, by_name=False)
        except ValidationError:
            continue
        return


def _within(here: Any, part: str, of: str) -> Any:
    if isinstance(here, dict):
        return here.get(part)
    if isinstance(here, list) and of in LIST_KEYS:
        return next((item for item in here if item.get(LIST_KEYS[of]) == part), None)
    return None


def _others(value: JsonValue, lock: Lock) -> Iterator[JsonValue]:
    """Values near ``value``, one of which is a value that a service may have."""
    match value:
        case bool():
            yield not value
        case int():
            yield from (value + 1, value - 1)
        case float():
            yield from (value * 1.01, value * 0.99)
        case str():
            yield from (each for each in lock.within or () if each != value)
            yield f"{value}x"
        case list() if value:
            yield value[1:]


def _different(before: Any, after: Any, path: _Tokens) -> Iterator[_Tokens]:
    """Where two objects differ; lists of other lengths as a whole."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before.keys() | after.keys():
            yield from _different(before.get(key), after.get(key), (*path, key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _different(one, other, (*path, str(index)))
    elif _told(before) != _told(after):
        yield path
