"""Two states of a platform side by side: which values differ, where, of which class, and what is released for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar, get_args

import rfc8785
from pydantic import BaseModel, JsonValue

from croupier.core.render.cell import render
from croupier.core.render.patch import patched_alone
from croupier.core.render.workload import intent
from croupier.model.change import Change, ChangeClass, PlatformPlan
from croupier.model.platform import PlacedCell
from croupier.model.providers import Provider
from croupier.model.service_spec import LIST_KEYS, ServiceSpec

Path = tuple[str, ...]
Whole = TypeVar("Whole", bound=BaseModel)

_CLASSES: Mapping[str, ChangeClass] = {
    **dict.fromkeys(("image", "args"), "image"),
    **dict.fromkeys(("config", "configAs", "logging", "secrets"), "config"),
    "flags": "flag",
    **dict.fromkeys(("replicas", "scaling", "resources", "pool", "sockets"), "scaling"),
    **dict.fromkeys(
        ("routes", "internal", "ports", "dependsOn", "egress", "timeoutSeconds", "edge", "calls"), "network"
    ),
    **dict.fromkeys(("data", "telemetry", "volumes"), "data"),
    **dict.fromkeys(
        ("probes", "readinessPath", "startSeconds", "drainSeconds", "user", "writable", "rollout"), "runtime"
    ),
    **dict.fromkeys(
        ("name", "tier", "layer", "traffic", "journeys", "objectives", "release", "metrics", "alerts", "people"),
        "policy",
    ),
}
"""First key of a path in a service -> class of its change."""
_OF_OTHERS: Mapping[str, ChangeClass] = {
    "pools": "scaling",
    "residency": "data",
    "stores": "data",
    "warm": "scaling",
}
"""First key of a path in a market or a region -> class of its change, where that is another."""
_ORDER: tuple[str, ...] = get_args(ChangeClass)


def compare(before: Iterable[PlacedCell], after: Iterable[PlacedCell]) -> PlatformPlan:
    """What changes from ``before`` to ``after``."""
    old = {each.cell.name: each for each in before}
    new = {each.cell.name: each for each in after}
    found: dict[bytes, tuple[Change, list[str], list[str]]] = {}
    for cell in sorted(old.keys() | new.keys()):
        for change in _of_cell(old.get(cell), new.get(cell)):
            _, cells, releases = found.setdefault(_identity(change), (change, [], []))
            cells.append(cell)
            releases += [cell] if change.releases else []
    changes = [
        change.model_copy(update={"cells": tuple(cells), "releases": tuple(releases)})
        for change, cells, releases in found.values()
    ]
    was, will = render(old.values()), render(new.values())
    return PlatformPlan(
        changes=tuple(sorted(changes, key=lambda each: (_ORDER.index(each.kind), each.subject, each.path, each.cells))),
        cells=len(old.keys() | new.keys()),
        versions=tuple(each for cell in sorted(new) for each in _versions(old.get(cell), new[cell])),
        files=tuple(name for name in sorted(was.keys() | will.keys()) if was.get(name) != will.get(name)),
    )


def _identity(change: Change) -> bytes:
    return rfc8785.dumps([change.subject, change.path, change.before, change.after])


def _of_cell(old: PlacedCell | None, new: PlacedCell | None) -> Iterator[Change]:
    """Changes of one cell; their ``releases`` is one cell or none."""
    if old is None or new is None:
        before, after = (each.cell.name if each else None for each in (old, new))
        yield _change("cell", (), "cell", before, after, is_release=old is None)
        return
    yield from _differences("cell", old.cell, new.cell)
    yield from _differences("gitops", old.gitops, new.gitops, kind="policy")
    yield from _differences(f"brands.{new.cell.brand}", old.brand, new.brand, kind="policy")
    yield from _differences(f"markets.{new.cell.market}", old.market, new.market, kind="policy")
    for change, path in _each(f"regions.{new.cell.region}", old.region, new.region):
        yield _marked(change, old, old.model_copy(update={"region": _moved(old.region, new.region, path)}))
    for name in sorted(old.elsewhere.keys() & new.elsewhere.keys()):
        yield from _differences(f"regions.{name}", old.elsewhere[name], new.elsewhere[name])
    for name in sorted(old.providers.keys() & new.providers.keys()):
        for change, path in _each(f"providers.{name}", old.providers[name], new.providers[name]):
            moved = _moved(old.providers[name], new.providers[name], path)
            yield _marked(change, old, old.model_copy(update={"providers": {**old.providers, name: moved}}))
    for name in sorted(old.providers.keys() ^ new.providers.keys()):
        hosts = (_hosts(each.providers.get(name)) for each in (old, new))
        yield _change(f"providers.{name}", (), "network", *hosts, is_release=False)
    for name in sorted(old.events.keys() | new.events.keys()):
        yield from _differences(f"events.{name}", old.events.get(name), new.events.get(name), kind="scaling")
    yield from _of_patches(old, new)
    was = {each.name: each for each in old.services}
    will = {each.name: each for each in new.services}
    for name in sorted(was.keys() | will.keys()):
        yield from _of_service(new, name, was.get(name), will.get(name))


def _hosts(provider: Provider | None) -> JsonValue:
    """Where a provider is called; None: it is not."""
    return None if provider is None else [f"{each.host}:{each.port}" for each in provider.endpoints]


def _of_patches(old: PlacedCell, new: PlacedCell) -> Iterator[Change]:
    was = {each.target: each for each in old.patches}
    will = {each.target: each for each in new.patches}
    for target in sorted(was.keys() | will.keys()):
        before, after = (each[target].said if target in each else None for each in (was, will))
        if before != after:
            others = tuple(each for each in old.patches if each.target != target)
            moved = old.model_copy(update={"patches": (*others, will[target]) if target in will else others})
            yield _change("patches", (target,), "patch", before, after, is_release=_rolls(old, moved))


def _of_service(
    placed: PlacedCell, name: str, before: ServiceSpec | None, after: ServiceSpec | None
) -> Iterator[Change]:
    if before is None or after is None:
        images = (each.image if each else None for each in (before, after))
        yield _change(name, (), "cell", *images, is_release=before is None)
        return
    was, will = _by_item(_leaves(before)), _by_item(_leaves(after))
    template = _template(placed, before)
    for path in sorted(was.keys() | will.keys()):
        one, other = was.get(path), will.get(path)
        if path[0] in LIST_KEYS and len(path) == 1 and _is_other_items(one, other):
            continue  # they tell themselves
        if one != other:
            rolls = _template(placed, _moved(before, after, path[:1])) != template
            yield _change(name, path, _CLASSES[path[0]], one, other, is_release=rolls)


def _rolls(one: PlacedCell, other: PlacedCell) -> bool:
    """Whether any service of ``one`` has other pods in ``other``."""
    return any(_template(one, service) != _template(other, service) for service in one.services)


def _versions(old: PlacedCell | None, new: PlacedCell) -> Iterator[str]:
    """Services of ``new`` that have other pods than in ``old``, or none there: ``wallet in acme-mt-west``."""
    was = {each.name: each for each in old.services} if old is not None else {}
    for service in new.services:
        before = was.get(service.name)
        if old is None or before is None or _template(old, before) != _template(new, service):
            yield f"{service.name} in {new.cell.name}"


def _moved(before: Whole, after: Whole, path: Path) -> Whole:
    """``before`` with what ``after`` has at ``path``, by aliases: what that change alone would give."""
    moved: Whole = _at(before, after, path)
    return moved


def _at(before: Any, after: Any, path: Path) -> Any:
    if not path or type(before) is not type(after):
        return after
    key, *rest = path
    if isinstance(before, BaseModel):
        name = next(name for name, field in type(before).model_fields.items() if (field.alias or name) == key)
        return before.model_copy(update={name: _at(getattr(before, name), getattr(after, name), tuple(rest))})
    if not isinstance(before, Mapping):
        return after
    if key not in after:
        return {each: held for each, held in before.items() if each != key}
    return {**before, key: _at(before.get(key), after[key], tuple(rest))}


def _template(placed: PlacedCell, service: ServiceSpec) -> JsonValue:
    """What its pods are; providers that ``placed`` does not know are left out."""
    known = tuple(name for name in service.egress if name in placed.providers)
    meant = service.model_copy(update={"egress": known})
    services = tuple(meant if each.name == service.name else each for each in placed.services)
    made = patched_alone(placed, service.name, intent(placed.model_copy(update={"services": services}), meant))
    template: JsonValue = made["spec"]["template"]
    return template


def _differences(
    subject: str, old: BaseModel | None, new: BaseModel | None, *, kind: ChangeClass = "network"
) -> Iterator[Change]:
    return (change for change, _ in _each(subject, old, new, kind=kind))


def _each(
    subject: str, old: BaseModel | None, new: BaseModel | None, *, kind: ChangeClass = "network"
) -> Iterator[tuple[Change, Path]]:
    """Changes that release nothing, each with its path."""
    was, will = (_leaves(each) if each is not None else {} for each in (old, new))
    for path in sorted(was.keys() | will.keys()):
        if was.get(path) != will.get(path):
            its = _OF_OTHERS.get(path[0], kind)
            yield _change(subject, path, its, was.get(path), will.get(path), is_release=False), path


def _marked(change: Change, old: PlacedCell, moved: PlacedCell) -> Change:
    """``change`` as a release where it alone makes ``moved`` of ``old``, and some service has other pods there."""
    return change.model_copy(update={"releases": ("here",)}) if _rolls(old, moved) else change


def _change(
    subject: str, path: Path, kind: ChangeClass, before: JsonValue, after: JsonValue, *, is_release: bool
) -> Change:
    releases = ("here",) if is_release else ()
    return Change(
        subject=subject, path=".".join(path), kind=kind, before=before, after=after, cells=(), releases=releases
    )


def _by_item(leaves: Mapping[Path, JsonValue]) -> dict[Path, JsonValue]:
    """Leaves of a service in which items of lists that have names are parts of their own, and the list their order."""
    found: dict[Path, JsonValue] = {}
    for path, value in leaves.items():
        key = LIST_KEYS.get(path[0]) if len(path) == 1 else None
        if key is None or not isinstance(value, list):
            found[path] = value
            continue
        items = {str(each[key]): each for each in value if isinstance(each, dict)}
        for name, item in items.items():
            rest = {field: inner for field, inner in item.items() if field != key and inner != []}
            found.update(_flat(rest, (*path, name)))
        found[path] = list(items)
    return found


def _is_other_items(one: JsonValue, other: JsonValue) -> bool:
    """Whether two lists of names hold other names, and not the same in another order."""
    return {str(each) for each in _listed(one)} != {str(each) for each in _listed(other)}


def _listed(value: JsonValue) -> list[JsonValue]:
    return value if isinstance(value, list) else []


def _leaves(value: BaseModel) -> dict[Path, JsonValue]:
    return dict(_flat(value.model_dump(mode="json", by_alias=True), ()))


def _flat(value: JsonValue, path: Path) -> Iterator[tuple[Path, JsonValue]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(inner, (*path, key))
    elif value not in (None, {}):
        yield path, value
