"""Patches of layers, applied to what they are about: objects of a cell, of its stores, or what a region has once. Each
fits where it applies, or is a problem at its place. What a market holds (``held.py``) a patch may not touch.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from croupier.core.render.held import Files, Held, Refusal, Render, Tokens, related, told
from croupier.core.render.names import APP, cell_labels
from croupier.errors import Problem
from croupier.model.manifest import Path
from croupier.model.objects import JsonObject
from croupier.model.patches import Patch, PlacedPatch
from croupier.model.platform import PlacedCell
from croupier.model.store import stores_of

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


class Place(NamedTuple):
    """What patches are applied to together.

    ``name``: of the cell or region. ``cells``: all that have a part in it. ``owner``: file and object -> the service
    that it is of; "": of all. ``kept``: labels of objects and pods that nobody changes; None: all that an object has.
    """

    name: str
    cells: Sequence[PlacedCell]
    patches: Sequence[PlacedPatch]
    owner: Callable[[str, JsonObject], str]
    kept: Sequence[str] | None
    is_alone: bool
    """Whether objects of a service depend on that service alone."""


def cell_place(placed: PlacedCell) -> Place:
    kept = tuple(cell_labels(placed.cell))
    return Place(placed.cell.name, [placed], _patches([placed], "cell"), _service_of, kept, is_alone=True)


def store_place(placed: PlacedCell) -> Place:
    """All stores of a cell, primaries and copies, wherever they are."""
    owners = {store.name: store.owner.name for store in stores_of(placed)}

    def owner(_: str, each: JsonObject) -> str:
        return owners.get(each["metadata"]["labels"].get(APP, ""), "")

    return Place(placed.cell.name, [placed], _patches([placed], "stores"), owner, None, is_alone=False)


def region_place(region: str, cells: Sequence[PlacedCell]) -> Place:
    """``cells``: those of the region, and those whose stores have copies there."""
    return Place(f"region {region}", cells, _patches(cells, "region", region), lambda *_: "", None, is_alone=False)


def _patches(cells: Iterable[PlacedCell], of: str, region: str | None = None) -> list[PlacedPatch]:
    """Those of ``cells`` that are about such objects; with a ``region``, those that are about objects there."""
    every = (each for placed in cells for each in placed.patches if each.patch.of == of)
    return list({each.place: each for each in every if region is None or each.region in (None, region)}.values())


def patched(place: Place, files: Files, render: Render, found: Found) -> dict[str, list[JsonObject]]:
    """``files`` of one place, patched. ``render``: what tells which objects depend on a value that is held."""
    made = {name: list(objects) for name, objects in files.items()}
    held = Held(place.cells, render)
    for each in place.patches:
        hits = [
            (name, index)
            for name, objects in made.items()
            for index, candidate in enumerate(objects)
            if _is_there(each, name) and fits(each, place.owner(name, candidate), candidate)
        ]
        if not hits:
            found.add(_nothing(each, made, place), place.name)
        for name, index in hits:
            before = made[name][index]
            after, why = _tried(place, held, each, name, before)
            if after is None:
                found.add(_problem(each, before, *why), place.name)
            else:
                made[name][index] = after
    return made


def _tried(
    place: Place, held: Held, each: PlacedPatch, file: str, before: JsonObject
) -> tuple[JsonObject | None, Refusal]:
    """The object as it is then; or None, and why not."""
    service = place.owner(file, before)
    # What two services have alike in an object of all, like people, changes only with both.
    every = [*(spec.name for placed in place.cells for spec in placed.services), None]
    whose = ([service] if service else every) if place.is_alone else [None]
    refusal = held.against(each.patch.tokens, file, before, whose)
    if refusal is not None:
        return None, refusal
    after, why = _changed(before, each.patch)
    if after is not None and _identity(place, before, before) != _identity(place, before, after):
        message = "a name, a kind, a selector, or a label that pods are found by would be another"
        return None, Refusal("IDENTITY", message, "walls and selectors go by those")
    return after, why


def patched_alone(placed: PlacedCell, service: str, each: JsonObject) -> JsonObject:
    """One object of a service, patched as far as patches fit."""
    for patch in placed.patches:
        if patch.patch.of == "cell" and fits(patch, service, each):
            each = _changed(each, patch.patch)[0] or each
    return each


def fits(each: PlacedPatch, service: str, candidate: JsonObject) -> bool:
    """Whether a patch of such objects is about this one of ``service``; "": of all of them."""
    patch = each.patch
    return (
        candidate["kind"] == patch.kind
        and each.service in (None, service)
        and patch.name in (None, candidate["metadata"]["name"])
    )


def _is_there(each: PlacedPatch, file: str) -> bool:
    """Whether a patch is about objects of a region that ``file`` is of; cells it was chosen for already."""
    return each.patch.of == "cell" or each.region in (None, file.split("/")[1])


def blame(cells: Iterable[PlacedCell]) -> Callable[[str, JsonObject, Path], PlacedPatch | None]:
    """File, object and a path in it -> the last patch that may have written there."""
    of_cell = {each.cell.name: each for each in cells}
    if not any(each.patches for each in of_cell.values()):
        return lambda *_: None

    def blamed(file: str, each: JsonObject, path: Path) -> PlacedPatch | None:
        area, name, *more = file.split("/")
        if area == "cells":
            place = cell_place(of_cell[name])
        elif area == "stores":
            place = store_place(of_cell[more[0].removesuffix(".yaml")])
        else:
            place = region_place(name, list(of_cell.values()))
        where = tuple(map(str, path))
        there = (patch for patch in reversed(place.patches) if _is_there(patch, file))
        fitting = (patch for patch in there if fits(patch, place.owner(file, each), each))
        return next((patch for patch in fitting if related(patch.patch.tokens, where)), None)

    return blamed


def _service_of(file: str, _: JsonObject) -> str:
    """Files of a cell are called like their service; those of the cell as a whole begin with a number."""
    name = file.rpartition("/")[2].removesuffix(".yaml")
    return "" if name[:1].isdigit() else name


def _identity(place: Place, before: JsonObject, each: JsonObject) -> Any:
    """What others find an object and its pods by, and which pods it is about."""
    metadata = each.get("metadata")
    if not isinstance(metadata, dict):
        return None
    kept = before["metadata"].get("labels", ()) if place.kept is None else place.kept
    fixed = {key: _at(metadata, "labels", key) for key in kept}
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


def _changed(before: JsonObject, patch: Patch) -> tuple[JsonObject | None, Refusal]:
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
        return after, _NOTHING
    there = _step(here, last)
    if patch.op == "add":
        if there is not _ABSENT:
            return None, Refusal("UNUSED", f"{patch.path} is there already", "replace it")
        if not isinstance(here, dict):
            return None, _absent(patch.tokens, here)
        here[last] = patch.value
    elif there is _ABSENT:
        return None, _absent(patch.tokens, here)
    elif patch.op == "replace":
        if told(there) == told(patch.value):
            return None, Refusal("UNUSED", f"{patch.path} is that without it", "take the patch away")
        here[int(last) if isinstance(here, list) else last] = patch.value
    else:
        del here[int(last) if isinstance(here, list) else last]
    return after, _NOTHING


_ABSENT: Any = object()
_NOTHING = Refusal("", "", "")


def _step(here: Any, part: str) -> Any:
    if isinstance(here, dict):
        return here.get(part, _ABSENT)
    if isinstance(here, list) and part.isdecimal() and int(part) < len(here):
        return here[int(part)]
    return _ABSENT


def _absent(tokens: Tokens, here: Any) -> Refusal:
    """What to say of the last of ``tokens``, which ``here`` does not have."""
    path = "".join(f"/{each.replace('~', '~0').replace('/', '~1')}" for each in tokens)
    if isinstance(here, list):
        return Refusal("UNUSED", f"there is no {path}", f"the list has {len(here)} items, from 0 on")
    known = list(here) if isinstance(here, dict) else []
    near = get_close_matches(tokens[-1], known, n=1)
    hint = f"did you mean {near[0]}? " if near else ""
    there = ", ".join(known[:_MOST_TOLD]) or "nothing below it"
    return Refusal("UNUSED", f"there is no {path}", f"{hint}there is: {there}")


def _problem(each: PlacedPatch, about: JsonObject, code: str, message: str, hint: str) -> Problem:
    subject = f"{about['kind']} {about['metadata']['name']}"
    return Problem(each.file, *each.path_at, code, f"patch of {subject}: {message}", hint)


def _nothing(each: PlacedPatch, files: Mapping[str, Sequence[JsonObject]], place: Place) -> Problem:
    """A patch that fits no object."""
    patch = each.patch
    here = [
        candidate
        for file, objects in files.items()
        for candidate in objects
        if _is_there(each, file) and each.service in (None, place.owner(file, candidate))
    ]
    names = sorted({candidate["metadata"]["name"] for candidate in here if candidate["kind"] == patch.kind})
    known = names if names else sorted({candidate["kind"] for candidate in here})
    near = get_close_matches(patch.name or "" if names else patch.kind, known, n=1)
    hint = (f"did you mean {near[0]}? " if near else "") + f"there is: {', '.join(known[:_MOST_TOLD])}"
    whose = f" of {each.service}" if each.service is not None else ""
    message = f"there is no {patch.kind}{f' {patch.name}' if patch.name else ''}{whose} to patch"
    return Problem(each.file, *each.path_at, "UNUSED", message, hint)
