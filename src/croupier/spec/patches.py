"""Which patches of layers apply to a cell, in which order; and what two of them say against each other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from croupier.errors import Problem
from croupier.model.patches import Patch, PlacedPatch
from croupier.model.platform import Cell
from croupier.model.service_spec import ServiceSpec
from croupier.spec.load import Location, place
from croupier.spec.names import File
from croupier.spec.yaml12 import Mark


@dataclass(frozen=True, slots=True, eq=False)
class _Said:
    """A patch as a layer says it. ``layer``: whose, by file and index. ``axes``: what must be so for it to apply."""

    placed: PlacedPatch
    layer: tuple[str, int]
    axes: dict[str, str]

    @property
    def weight(self) -> int:
        return len(self.axes)

    def problem(self, code: str, message: str, hint: str) -> Problem:
        return Problem(self.placed.file, *self.placed.path_at, code, message, hint)


class Patches:
    """All patches of a platform."""

    def __init__(self, files: Iterable[File]) -> None:
        said = [each for file in files for each in _of_file(file)]
        self._said = sorted(said, key=lambda each: (each.weight, each.placed.layer, each.layer, each.placed.path_at))
        self._used: set[int] = set()
        self.conflicts: set[Problem] = set()

    def of(self, cell: Cell, services: Sequence[ServiceSpec]) -> tuple[PlacedPatch, ...]:
        """Those that apply to ``cell``, in which ``services`` run, to its stores, or to regions where it or a copy of
        its stores is; lighter ones first: heavier may build on them."""
        names = {each.name for each in services}
        owners = {each.name for each in services for use in each.data.values() if use.engine is not None}
        copies = {region for each in services for use in each.data.values() if use.engine for region in use.copies}
        facts = {"brand": {cell.brand}, "market": {cell.market}}
        found: list[_Said] = []
        for each in self._said:
            patch = each.placed.patch
            here = {
                **facts,
                "region": {cell.region} if patch.of == "cell" else {cell.region, *copies},
                "service": owners if patch.of == "stores" else names,
            }
            has_any = patch.of != "stores" or bool(owners)
            if not has_any or any(value not in here[axis] for axis, value in each.axes.items()):
                continue
            self._used.add(id(each))
            against = [other for other in found if each.layer != other.layer and _meet(other.placed, each.placed)]
            equal = [other for other in against if other.weight == each.weight and not _same(other, each)]
            if equal:
                message = f"{each.placed.layer} and {equal[0].placed.layer} ({equal[0].placed.place}) patch the same"
                self.conflicts.add(each.problem("CONFLICT", message, "a layer that names more would decide"))
            outdone = {id(other) for other in against if other.placed.patch.path == each.placed.patch.path}
            found = [other for other in found if id(other) not in outdone]
            found.append(each)
        return tuple(each.placed for each in found)

    def idle(self) -> Iterator[Problem]:
        """Patches of layers that fit no declared cell."""
        for each in self._said:
            if id(each) not in self._used:
                what = {"cell": "service", "stores": "store", "region": "region"}[each.placed.patch.of]
                message = f"{each.placed.layer} fits no {what} of any declared cell"
                yield each.problem("UNUSED", message, "declare the cell, or take the patch away")


def _of_file(file: File) -> Iterator[_Said]:
    for index, layer in enumerate(file.value.layers):
        axes = {axis: value for axis, value in layer.at if value is not None}
        words = " ".join(f"{axis}={value}" for axis, value in axes.items())
        for number, patch in enumerate(layer.patches):
            at: Location = ("layers", index, "patches", number)
            placed = PlacedPatch(
                patch=patch,
                service=layer.at.service,
                region=layer.at.region,
                layer=f"layer {words}",
                file=file.name,
                path_at=_at(place(file.root, (*at, "path"))),
                value_at=_at(place(file.root, (*at, "path" if patch.op == "remove" else "value"))),
            )
            yield _Said(placed, (file.name, index), axes)


def _at(mark: Mark) -> tuple[int, int]:
    return mark.line, mark.column


def _same(one: _Said, other: _Said) -> bool:
    """Whether both say the same, for the same objects, so that one is enough."""
    mine, its = one.placed, other.placed
    region = mine.patch.of == "cell" or mine.region == its.region
    return region and mine.service == its.service and _what(mine.patch) == _what(its.patch)


def _what(patch: Patch) -> dict[str, object]:
    return patch.model_dump(exclude={"why"})


def _meet(one: PlacedPatch, other: PlacedPatch) -> bool:
    """Whether both may change one value of one object."""
    mine, its = one.patch.tokens, other.patch.tokens
    return (
        (one.patch.of, one.patch.kind) == (other.patch.of, other.patch.kind)
        and (one.patch.of == "cell" or one.region is None or other.region in (None, one.region))
        and (one.patch.name is None or other.patch.name in (None, one.patch.name))
        and (one.service is None or other.service in (None, one.service))
        and all(part == its_part for part, its_part in zip(mine, its, strict=False))
    )
