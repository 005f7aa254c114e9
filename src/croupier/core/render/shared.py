"""What places have in common and what is each one's own: the ground of charts and kustomizations (S5.3).

A unit is what one file holds: a service, or what a cell has beside its services. An object that is there wherever its
unit is, is a part of the unit, written once; where it differs, each place says how. Other objects are a place's own.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from croupier.core.render.names import cell_labels
from croupier.errors import Problem, SpecError
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell

Keys = tuple[str, ...]
_OF_THE_CELL = ("brand", "market", "region", "cell")
_UNWRITTEN = re.compile("[\x7f-\x9f\ufffe\uffff]")
"""Characters that Kustomize and Helm do not write back: they fail, or write others."""
_NAMELESS = "cell"
"""The name of a Namespace that is not yet one cell's."""
_CLUSTER_WIDE = frozenset({"Namespace", "PriorityClass", "StorageClass", "ClusterRole", "ClusterRoleBinding"})
_WITH_PODS = frozenset({"DaemonSet", "Deployment", "Job", "StatefulSet"})


@dataclass(frozen=True, slots=True)
class Hole:
    """Where a value of the place belongs. ``path``: keys among the place's values."""

    path: Keys


NAMESPACE = Hole(("namespace",))
LABELS = {name: Hole(("labels", name)) for name in _OF_THE_CELL}


class Stamp(NamedTuple):
    """What every object of a place bears. ``namespace`` None: nothing, as in a region."""

    namespace: str | None
    labels: Mapping[str, str]


class Part(NamedTuple):
    """An object that every place with its unit has.

    ``key``: its name among values. ``objects``: place -> the object. ``variants``: the same, with holes for what the
    place's stamp says.
    """

    key: str
    objects: Mapping[str, JsonObject]
    variants: Mapping[str, JsonObject]

    def commonest(self) -> JsonObject:
        """The variant that most places have; of several the one of the first place."""
        counts = Counter(_canonical(bare(each)) for each in self.variants.values())
        most = max(counts.values())
        return next(each for each in self.variants.values() if counts[_canonical(bare(each))] == most)


class Unit(NamedTuple):
    """``area``: ``cells`` or ``regions``. ``own``: place -> objects that other places of the unit do not have."""

    area: str
    name: str
    places: tuple[str, ...]
    parts: tuple[Part, ...]
    own: Mapping[str, tuple[JsonObject, ...]]


class Shared(NamedTuple):
    """All units, and (area, place) -> its stamp."""

    units: tuple[Unit, ...]
    stamps: Mapping[tuple[str, str], Stamp]

    def of_place(self, area: str, place: str) -> list[Unit]:
        return [unit for unit in self.units if unit.area == area and place in unit.places]


def shared(files: Mapping[str, Sequence[JsonObject]], cells: Iterable[PlacedCell]) -> Shared:
    """What ``core.render.cell.objects`` made of ``cells``, sorted by what is the same.

    Raises ``SpecError`` for characters that neither program can write.
    """
    if flaws := [flaw for file, held in files.items() for each in held for flaw in _flaws(file, each)]:
        raise SpecError(flaws)
    held: dict[tuple[str, str], dict[str, Sequence[JsonObject]]] = {}
    for file, objects in sorted(files.items()):
        area, place, name = file.removesuffix(".yaml").split("/")
        held.setdefault((area, name), {})[place] = objects
    stamps = {(area, place): Stamp(None, {}) for (area, _), there in held.items() for place in there}
    of_cells = {("cells", each.cell.name): _stamp(each) for each in cells}
    if all(_bears(each, of_cells["cells", place]) for _, place, each in _of_cells(held)):
        stamps |= of_cells
    return Shared(tuple(_unit(area, name, there, stamps) for (area, name), there in sorted(held.items())), stamps)


def bare(value: Any) -> Any:
    """Without what stamps say: as it is for no place in particular."""
    if isinstance(value, dict):
        whole = {key: bare(each) for key, each in value.items() if not isinstance(each, Hole)}
        if value.get("kind") == "Namespace" and value["metadata"].get("name") == NAMESPACE:
            whole["metadata"] = {"name": _NAMELESS, **whole["metadata"]}
        return whole
    return [bare(each) for each in value] if isinstance(value, list) else value


def _flaws(file: str, each: JsonObject) -> Iterator[Problem]:
    odd = _UNWRITTEN.search(json.dumps(each, ensure_ascii=False))
    if odd is not None:
        message = f"{each['kind']} {each['metadata']['name']} holds U+{ord(odd[0]):04X}"
        hint = "neither Helm nor Kustomize can write it; the plain form can"
        yield Problem(file, 0, 0, "CHARACTER", message, hint)


def _of_cells(
    held: Mapping[tuple[str, str], Mapping[str, Sequence[JsonObject]]],
) -> Iterator[tuple[str, str, JsonObject]]:
    """Unit, cell and object, for every object of a cell."""
    for (area, name), there in held.items():
        for place, objects in there.items() if area == "cells" else ():
            for each in objects:
                yield name, place, each


def _stamp(placed: PlacedCell) -> Stamp:
    labels = cell_labels(placed.cell)
    return Stamp(placed.cell.namespace, {name: labels[name] for name in _OF_THE_CELL})


def _bears(each: JsonObject, stamp: Stamp) -> bool:
    """Whether what ``stamp`` says is all there. Where one object of a cell lacks it, no stamp is used."""
    where = "name" if each["kind"] == "Namespace" else "namespace"
    if each["kind"] in _CLUSTER_WIDE and where == "namespace":
        return False
    is_there = each["metadata"].get(where) == stamp.namespace
    return is_there and all(stamp.labels.items() <= labels.items() for labels in _labels(each))


def _labels(each: JsonObject) -> Iterator[dict[str, Any]]:
    yield each["metadata"].get("labels", {})
    if each["kind"] in _WITH_PODS:
        yield each["spec"]["template"]["metadata"].get("labels", {})


def _marked(each: JsonObject, stamp: Stamp) -> JsonObject:
    """With holes for what ``stamp`` says."""
    if stamp.namespace is None:
        return each
    copy: JsonObject = json.loads(json.dumps(each))
    copy["metadata"]["name" if copy["kind"] == "Namespace" else "namespace"] = NAMESPACE
    for labels in _labels(copy):
        labels.update(LABELS)
    return copy


def _unit(
    area: str, name: str, there: Mapping[str, Sequence[JsonObject]], stamps: Mapping[tuple[str, str], Stamp]
) -> Unit:
    found: dict[tuple[str, str, str], dict[str, tuple[JsonObject, JsonObject]]] = {}
    for place, objects in there.items():
        for each in objects:
            marked = _marked(each, stamps[area, place])
            its_name = bare(marked)["metadata"]["name"]
            found.setdefault((each["apiVersion"], each["kind"], its_name), {})[place] = (each, marked)
    parts = []
    own: dict[str, list[JsonObject]] = {place: [] for place in there}
    for (_, kind, its_name), by_place in found.items():
        if len(by_place) == len(there):
            key = kind if its_name in (name, _NAMELESS) else f"{kind}-{its_name}"
            whole = {place: each for place, (each, _) in by_place.items()}
            parts.append(Part(key, whole, {place: marked for place, (_, marked) in by_place.items()}))
        else:
            for place, (each, _) in by_place.items():
                own[place].append(each)
    return Unit(area, name, tuple(there), tuple(parts), {place: tuple(each) for place, each in own.items()})


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True)
