"""What of rendered objects a market holds: what its locks are about, and where its residency lets data be.

Which fields of objects a lock is about nobody has to write down: the value that is locked is moved a little, and what
is rendered otherwise then depends on it. So it is with addresses of object stores, keys and collectors.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
        if resident and _meets(self._places_of_data(), tokens, file, about):
            message = f"market {resident[0]} says where its data may be, and this says where it goes"
            return Refusal("RESIDENCY", message, "say it in the region or in data of the service, where it is checked")
        return None

    def _dependent(self, market: str, number: int, lock: Lock, service: str | None) -> list[_Place]:
        known = self._locked.get((market, number, service))
        if known is None:
            moved = [_moved(each, lock, service) if each.cell.market == market else each for each in self._cells]
            known = self._locked[market, number, service] = list(self._compared(moved, service))
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


def related(one: Tokens, other: Tokens) -> bool:
    """Whether one of two places is within the other."""
    return all(part == its_part for part, its_part in zip(one, other, strict=False))


def _name(file: str, each: JsonObject) -> tuple[str, str, str, str]:
    return file, each["kind"], each["metadata"].get("namespace", ""), each["metadata"]["name"]


def _named(files: Files) -> dict[tuple[str, str, str, str], JsonObject]:
    return {_name(file, each): each for file, objects in files.items() for each in objects}


# --- what is moved ----------------------------------------------------------------------------------------------------


def _moved(placed: PlacedCell, lock: Lock, service: str | None) -> PlacedCell:
    """The cell with another value where the lock is, in one service or (None) in all; itself where none has it."""
    chosen = [each for each in placed.services if service in (None, each.name)]
    others = {each.name: other for each in chosen if (other := _other(placed, each, lock)) is not None}
    if not others:
        return placed
    return placed.model_copy(update={"services": tuple(others.get(each.name, each) for each in placed.services)})


def _other(placed: PlacedCell, spec: ServiceSpec, lock: Lock) -> ServiceSpec | None:
    """The service with another value where the lock is; None where it has none, or none other may be rendered."""
    tree = spec.model_dump(mode="json", by_alias=True)
    *way, last = lock.path.split(".")
    here: Any = tree
    for at, part in enumerate(way):
        here = _within(here, part, way[at - 1] if at else "")
        if here is None:
            return None
    if not isinstance(here, dict):
        return None
    for candidate in _others(here.get(last), lock):
        here[last] = candidate
        try:
            other = ServiceSpec.model_validate_json(json.dumps(tree), strict=True, by_alias=True, by_name=False)
        except ValidationError:
            continue
        if _regions_of(other) <= {placed.cell.region, *placed.elsewhere}:
            return other
    return None


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
            moved = _other_endpoint(held.endpoint) if held.endpoint is not None else None
            stores["object_store"] = held.model_copy(update={"bucket": f"{held.bucket}x", "endpoint": moved})
        if region.stores.kms_key is not None:
            stores["kms_key"] = f"{region.stores.kms_key}x"
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
