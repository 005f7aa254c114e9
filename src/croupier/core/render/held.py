"""What of rendered objects a market holds: what its locks are about, and where its residency lets data be.

Which fields of objects a lock is about nobody has to write down: the value that is locked is moved a little, and what
is rendered otherwise then depends on it. So it is with addresses of object stores, keys and collectors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from pydantic import JsonValue, ValidationError

from croupier.model.address import Endpoint
from croupier.model.objects import JsonObject
from croupier.model.platform import Lock, PlacedCell, Region
from croupier.model.service_spec import LIST_KEYS, ServiceSpec

Files = Mapping[str, Sequence[JsonObject]]
Render = Callable[[Sequence[PlacedCell], str | None], Files]
"""Cells, and whose objects alone are asked for (None: all) -> file -> objects."""
Tokens = tuple[str, ...]
_Place = tuple[str, str, str, str, Tokens]
"""File, kind, namespace and name of an object, and a place in it."""
_SOMEWHERE = Endpoint(host="s3.example.com")
_MORE: Mapping[str, Sequence[Tokens]] = {
    "Cluster": (("spec", "backup", "barmanObjectStore"), ("spec", "plugins"), ("spec", "externalClusters")),
    "Kafka": (("spec", "kafka", "tieredStorage"),),
    "PerconaXtraDBCluster": (("spec", "backup", "storages"), ("spec", "pxc", "replicationChannels")),
    "ScheduledBackup": (("spec", "pluginConfiguration"),),
}
"""Kind -> where one more place can be added that its data is sent to, or that it is copied from."""
_WHOLE: Mapping[str, Sequence[Tokens]] = {"Cluster": (("spec", "externalClusters"),)}
"""Kind -> where also any part of what is there says that."""


class Refusal(NamedTuple):
    code: str
    message: str
    hint: str


class Held:
    """What markets of ``cells`` hold among the objects that ``render`` makes of them."""

    def __init__(self, cells: Sequence[PlacedCell], render: Render) -> None:
        self._cells, self._render = tuple(cells), render
        self._markets = {each.cell.market: each.market for each in self._cells}
        self._locked: dict[tuple[str, int, str | None], list[_Place]] = {}
        self._resident: list[_Place] | None = None

    def against(self, tokens: Tokens, file: str, about: JsonObject, whose: Sequence[str | None]) -> Refusal | None:
        """Why a market forbids to change ``about`` at ``tokens``.

        Args:
            whose: services that it may be locked for, each asked for itself; None: all together.
        """
        for name, market in self._markets.items():
            for number, lock in enumerate(market.locks):
                for service in whose:
                    places = self._dependent(name, number, lock, service)
                    if _meets(places, tokens, file, about):
                        of = f" of {service}" if service is not None else ""
                        hint = f"set {lock.path} in a layer: {lock.why}"
                        return Refusal("LOCKED", f"market {name} locks it by {lock.path}{of}", hint)
        resident = [name for name, market in self._markets.items() if market.residency is not None]
        if resident and (_adds_place(tokens, about) or _meets(self._places_of_data(), tokens, file, about)):
            message = f"market {resident[0]} says where its data may be, and this says where it goes"
            return Refusal("RESIDENCY", message, "say it in the region or in data of the service, where it is checked")
        return None

    def _dependent(self, market: str, number: int, lock: Lock, service: str | None) -> list[_Place]:
        known = self._locked.get((market, number, service))
        if known is None:
            known = self._locked[market, number, service] = []
            held = [each for each in self._cells if each.cell.market == market]
            for turn in range(max((_turns(each, lock, service) for each in held), default=0)):
                moved = [_moved(each, lock, service, turn) if each in held else each for each in self._cells]
                known.extend(self._compared(moved, service))
        return known

    def _places_of_data(self) -> list[_Place]:
        if self._resident is None:
            self._resident = list(self._compared([_elsewhere(each) for each in self._cells], None))
        return self._resident

    def _compared(self, moved: Sequence[PlacedCell], service: str | None) -> Iterator[_Place]:
        """Where objects are others once cells are ``moved``."""
        if all(one is other for one, other in zip(self._cells, moved, strict=True)):
            return
        before, after = (_named(self._render(each, service)) for each in (self._cells, moved))
        for name in before.keys() | after.keys():
            for where in _different(before.get(name), after.get(name), ()):
                yield (*name, where)


def _meets(places: Iterable[_Place], tokens: Tokens, file: str, about: JsonObject) -> bool:
    name = _name(file, about)
    return any(place[:4] == name and related(place[4], tokens) for place in places)


def _adds_place(tokens: Tokens, about: JsonObject) -> bool:
    """Whether a place that data is sent to is written at ``tokens``, as one more or instead of others."""
    kind = about["kind"]
    if any(related(each, tokens) for each in _WHOLE.get(kind, ())):
        return True
    return any(related(each, tokens) and len(tokens) <= len(each) + 1 for each in _MORE.get(kind, ()))


def related(one: Tokens, other: Tokens) -> bool:
    """Whether one of two places is within the other."""
    return all(part == its_part for part, its_part in zip(one, other, strict=False))


def _name(file: str, each: JsonObject) -> tuple[str, str, str, str]:
    return file, each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]


def _named(files: Files) -> dict[tuple[str, str, str, str], JsonObject]:
    return {_name(file, each): each for file, objects in files.items() for each in objects}


# --- what is moved ----------------------------------------------------------------------------------------------------


def _turns(placed: PlacedCell, lock: Lock, service: str | None) -> int:
    """How often values have to be moved until all that depends on them has shown."""
    asked = (_holder(each, lock)[1] for each in placed.services if service in (None, each.name))
    values = (here.get(_last(lock)) for here in asked if here is not None)
    return max((len(list(_others(value, lock))) for value in values), default=0)


def _moved(placed: PlacedCell, lock: Lock, service: str | None, turn: int) -> PlacedCell:
    """The cell with another value where the lock is, in one service or (None) in all; itself where none has it."""
    for each in placed.services:
        if service in (None, each.name):
            placed = _with_other(placed, each, lock, turn)
    return placed


def _last(lock: Lock) -> str:
    return lock.path.rpartition(".")[2]


def _holder(spec: ServiceSpec, lock: Lock) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """A service as a tree, and in it what has a key where the lock is; None: nothing does."""
    tree: dict[str, Any] = spec.model_dump(mode="json", by_alias=True)
    *way, _ = lock.path.split(".")
    here: Any = tree
    for at, part in enumerate(way):
        here = _within(here, part, way[at - 1] if at else "")
    return tree, here if isinstance(here, dict) else None


def _with_other(placed: PlacedCell, spec: ServiceSpec, lock: Lock, turn: int) -> PlacedCell:
    """The cell with another value where the lock is in one service; itself where that has none there, or none other may
    be rendered. What it names by another name is there."""
    tree, here = _holder(spec, lock)
    if here is None:
        return placed
    last = _last(lock)
    before = here.get(last)
    for candidate in next(islice(_others(before, lock), turn, None), ()):
        here[last] = candidate
        try:
            other = ServiceSpec.model_validate_json(json.dumps(tree), strict=True, by_alias=True, by_name=False)
        except ValidationError:
            continue
        known = placed
        if isinstance(before, str) and isinstance(candidate, str):
            known = _with_name(placed, before, candidate)
        if all(_may_stand(known, region) for region in _regions_of(other) - _regions_of(spec)):
            services = tuple(other if each.name == spec.name else each for each in known.services)
            return known.model_copy(update={"services": services})
    return placed


def _may_stand(placed: PlacedCell, region: str) -> bool:
    """Whether ``region`` has all that stores of the cell's own region have there."""
    own, other = placed.region.stores, _regions(placed).get(region)
    there = other.stores if other is not None else None
    if own is None or there is None or there.object_store is None:
        return False
    return there.operators.keys() >= own.operators.keys() and there.storage.keys() >= own.storage.keys()


def _regions(placed: PlacedCell) -> dict[str, Region]:
    return {**placed.elsewhere, placed.cell.region: placed.region}


def _with_name(placed: PlacedCell, name: str, other: str) -> PlacedCell:
    """The cell where ``other`` is known where ``name`` is: pools, storage classes, and regions, which are elsewhere."""
    regions = {region: _naming(each, name, other) for region, each in _regions(placed).items()}
    if name in regions:
        regions.setdefault(other, _with_other_places(regions[name]))
    kept = placed.traces_kept
    if name in kept:
        kept = {other: _other_endpoint(kept[name]), **kept}
    own = regions.pop(placed.cell.region)
    return placed.model_copy(update={"region": own, "elsewhere": regions, "traces_kept": kept})


def _naming(region: Region, name: str, other: str) -> Region:
    pools = dict(region.pools)
    if name in pools and other not in pools:
        labels = {label: f"{value}x" for label, value in pools[name].labels.items()}
        pools[other] = pools[name].model_copy(update={"labels": labels, "taints": ()})
    update: dict[str, object] = {"pools": pools}
    if region.stores is not None:
        classes = region.stores.storage
        also = {other: classes[name], **classes} if name in classes else classes
        update["stores"] = region.stores.model_copy(update={"storage": also})
    return region.model_copy(update=update)


def _regions_of(spec: ServiceSpec) -> set[str]:
    """Every region that its stores get to, of those that are rendered."""
    rendered = (use for use in spec.data.values() if use.engine is not None)
    named = ((*use.copies, use.region, use.backup, use.dr_backup, use.keys) for use in rendered)
    return {each for every in named for each in every if each is not None}


def _within(here: Any, part: str, of: str) -> Any:
    if isinstance(here, dict):
        return here.get(part)
    if isinstance(here, list) and of in LIST_KEYS:
        return next((item for item in here if item.get(LIST_KEYS[of]) == part), None)
    return None


def _others(value: JsonValue, lock: Lock) -> Iterator[Sequence[JsonValue]]:
    """For each turn values near ``value``, one of which is a value that a service may have. What one item of a list
    brings about another may bring about, too: each goes alone, and all go together."""
    match value:
        case bool():
            yield [not value]
        case int():
            yield [value + 1, value - 1, value + 2, value - 2]
        case float():
            yield [value * 1.01, value * 0.99]
        case str():
            named = (each for each in lock.within or () if each != value)
            yield [*named, f"{value}x", re.sub(r"[0-9]+", lambda number: str(int(number[0]) + 1), value, count=1)]
        case list() if value:
            yield from ([[*value[:index], *value[index + 1 :]]] for index in range(len(value)))
            yield [[]]


def _elsewhere(placed: PlacedCell) -> PlacedCell:
    """The cell as if its backups, keys and traces went elsewhere; itself where its market has no rule about data."""
    if placed.market.residency is None:
        return placed
    regions = {name: _with_other_places(each) for name, each in placed.elsewhere.items()}
    kept = {name: _other_endpoint(each) for name, each in placed.traces_kept.items()}
    update = {"region": _with_other_places(placed.region), "elsewhere": regions, "traces_kept": kept}
    return placed.model_copy(update=update)


def _with_other_places(region: Region) -> Region:
    update: dict[str, object] = {}
    if region.traces is not None:
        endpoint = _other_endpoint(region.traces.endpoint)
        update["traces"] = region.traces.model_copy(update={"endpoint": endpoint})
    if region.stores is not None:
        stores: dict[str, object] = {}
        if (held := region.stores.object_store) is not None:
            moved = {"bucket": f"{held.bucket}x", "endpoint": _other_endpoint(held.endpoint or _SOMEWHERE)}
            stores["object_store"] = held.model_copy(update={**moved, "region": f"{held.region or ''}x"})
        stores["kms_key"] = f"{region.stores.kms_key or ''}x"
        update["stores"] = region.stores.model_copy(update=stores)
    return region.model_copy(update=update)


def _other_endpoint(endpoint: Endpoint) -> Endpoint:
    return endpoint.model_copy(update={"host": f"x{endpoint.host}"})


def _different(before: Any, after: Any, path: Tokens) -> Iterator[Tokens]:
    """Where two objects differ; lists of other lengths as a whole."""
    if isinstance(before, dict) and isinstance(after, dict):
        for key in before.keys() | after.keys():
            yield from _different(before.get(key), after.get(key), (*path, key))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, other) in enumerate(zip(before, after, strict=True)):
            yield from _different(one, other, (*path, str(index)))
    elif told(before) != told(after):
        yield path


def told(value: Any) -> str:
    """Told apart as JSON tells apart: ``true`` is not 1."""
    return json.dumps(value, sort_keys=True)
