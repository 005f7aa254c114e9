"""The objects of a platform as a Kustomize base for each unit and one overlay a cell and region (S5.3).

The base holds each object as most places have it; an overlay says its namespace, its labels, and by JSON Patch
(RFC 6902) each value that is another one there. A patch that fits nothing fails, and so does the build.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from croupier.core.render.cell import MADE
from croupier.core.render.emit import document, documents, sequence
from croupier.core.render.shared import Part, Stamp, Unit, bare, shared
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell

_HEAD = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}


def kustomize_files(files: Mapping[str, Sequence[JsonObject]], cells: Iterable[PlacedCell]) -> dict[str, str]:
    """File, relative and with slashes -> its text. ``files``: what ``core.render.cell.objects`` made of ``cells``."""
    held = shared(files, cells)
    texts: dict[str, str] = {}
    for unit in held.units:
        if unit.parts:
            folder = f"base/{unit.area}/{unit.name}"
            texts[f"{folder}/kustomization.yaml"] = MADE + document({**_HEAD, "resources": ["objects.yaml"]})
            texts[f"{folder}/objects.yaml"] = MADE + documents(bare(part.commonest()) for part in unit.parts)
    for (area, place), stamp in held.stamps.items():
        units = held.of_place(area, place)
        texts[f"{area}/{place}/kustomization.yaml"] = MADE + document(_overlay(units, place, stamp))
        if own := [each for unit in units for each in unit.own[place]]:
            texts[f"{area}/{place}/own.yaml"] = MADE + documents(own)
    return dict(sorted(texts.items()))


def _overlay(units: Sequence[Unit], place: str, stamp: Stamp) -> JsonObject:
    resources = [f"../../base/{unit.area}/{unit.name}" for unit in units if unit.parts]
    if any(unit.own[place] for unit in units):
        resources.append("own.yaml")
    made: JsonObject = {**_HEAD, "resources": resources}
    if stamp.namespace is not None:
        made["namespace"] = stamp.namespace
        made["labels"] = [{"pairs": dict(stamp.labels), "includeSelectors": False, "includeTemplates": True}]
    if patches := [patch for unit in units for part in unit.parts for patch in _patches(part, place)]:
        made["patches"] = patches
    return made


def _patches(part: Part, place: str) -> Iterator[JsonObject]:
    """How the object of ``place`` differs from the one in the base: one patch, or none."""
    before, after = bare(part.commonest()), bare(part.variants[place])
    operations = list(_operations(before, after, ""))
    if operations:
        group, _, version = before["apiVersion"].rpartition("/")
        name = before["metadata"]["name"].replace(".", "\\.")  # a regular expression to Kustomize
        target = {"group": group, "version": version, "kind": before["kind"], "name": name}
        target["namespace"] = before["metadata"].get("namespace", "")  # of a cell it comes with the overlay
        yield {"target": {key: value for key, value in target.items() if value}, "patch": sequence(operations)}


def _operations(before: Any, after: Any, path: str) -> Iterator[JsonObject]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before:
            if key not in after:
                yield {"op": "remove", "path": f"{path}/{_escaped(key)}"}
        for key, value in after.items():
            if key in before:
                yield from _operations(before[key], value, f"{path}/{_escaped(key)}")
            else:
                yield {"op": "add", "path": f"{path}/{_escaped(key)}", "value": value}
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _operations(one, other, f"{path}/{index}")
    elif json.dumps(before) != json.dumps(after):
        yield {"op": "replace", "path": path, "value": after}


def _escaped(key: str) -> str:
    return key.replace("~", "~0").replace("/", "~1")
