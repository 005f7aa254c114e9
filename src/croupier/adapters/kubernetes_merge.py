"""Server-side apply as a rule on values, for the twin of an API server (``kubernetes_memory``). Pure.

An object is a set of leaves: paths to scalars, to lists that are replaced as a whole, and to empty maps. Who applies an
object owns the leaves in it. Items of some lists are addressed by a key instead of their place, as Kubernetes' schemas
say for the kinds used here; a field is looked up by its name, which is exact enough for them.

Source: kubernetes.io/docs/reference/using-api/server-side-apply
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from croupier.model.objects import JsonObject


class Item(NamedTuple):
    """A step into a list: the item whose fields have these values."""

    key: tuple[tuple[str, Any], ...]

    def of(self, item: Mapping[str, Any]) -> bool:
        return all(item.get(name, _DEFAULTS.get(name)) == value for name, value in self.key)


Path = tuple[str | Item, ...]
Leaves = dict[Path, Any]

_KEYS = {
    "conditions": ("type",),
    "containers": ("name",),
    "initContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "volumeMounts": ("mountPath",),
    "imagePullSecrets": ("name",),
    "ownerReferences": ("uid",),
}
_DEFAULTS = {"protocol": "TCP"}
_ATOMIC = frozenset({"selector"})
"""Maps that are replaced as a whole: the selectors of Services and Deployments."""


def leaves_of(value: Any, path: Path = ()) -> Leaves:
    return dict(_leaves(value, path))


def put(root: JsonObject, path: Path, value: Any) -> None:
    """Set a leaf, making the maps and items on the way to it. What others hold in a map or list that merges stays."""
    if is_mergeable(path, value) and get(root, path):
        return
    place: Any = root
    for step, following in zip(path, (*path[1:], None), strict=True):
        empty: Any = [] if isinstance(following, Item) else {}
        if isinstance(step, Item):
            found = next((item for item in place if step.of(item)), None)
            if found is None:
                place.append(found := dict(step.key))
            place = found
        elif following is None:
            place[step] = value
        else:
            if not isinstance(place.get(step), type(empty)):
                place[step] = empty
            place = place[step]


def remove(root: JsonObject, paths: Iterable[Path]) -> None:
    """Take leaves away, and what is empty without them."""
    for path in sorted(paths, key=_removal_order):
        _remove(root, path)


def get(root: JsonObject, path: Path) -> Any:
    """The value of a leaf, or None."""
    place: Any = root
    for step in path:
        if isinstance(step, Item):
            place = next((item for item in place if step.of(item)), None) if isinstance(place, list) else None
        else:
            place = place.get(step) if isinstance(place, dict) else None
    return place


def is_mergeable(path: Path, value: Any) -> bool:
    """Whether this is a map or list in which several managers may each hold something."""
    if isinstance(value, dict):
        return path[-1] not in _ATOMIC
    return isinstance(value, list) and bool(_keys(path))


def spell(path: Path) -> str:
    """As API servers write it: ``.spec.template.spec.containers[name="app"].image``."""
    return "".join(
        "[" + ",".join(f'{name}="{value}"' for name, value in step.key) + "]" if isinstance(step, Item) else f".{step}"
        for step in path
    )


def _removal_order(path: Path) -> tuple[bool, int]:
    """An item is found by its key, so that goes last; of keys, that of the inner item first."""
    return _is_key(path), -len(path)


def _is_key(path: Path) -> bool:
    """Whether this leaf is (a part of) the key of the item it stands in."""
    item = path[-2] if len(path) > 1 else ""
    return isinstance(item, Item) and any(name == path[-1] for name, _ in item.key)


def _remove(root: JsonObject, path: Path) -> None:
    step = path[0]
    if isinstance(step, Item) or step not in root:
        return
    inside = root[step]
    if len(path) > 1 and isinstance(path[1], Item):
        item = get(root, path[:2])
        if item is not None and not (len(path) == 3 and _is_key(path)):
            _remove(item, path[2:])
        elif item is not None and item.keys() <= {name for name, _ in path[1].key}:
            inside.remove(item)
    elif len(path) > 1 and isinstance(inside, dict):
        _remove(inside, path[1:])
    if len(path) == 1 or not inside:
        del root[step]


def _leaves(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if not value or (path and not is_mergeable(path, value)):
        yield path, value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    else:
        keys = _keys(path)
        for item in value:
            step = Item(tuple((key, item.get(key, _DEFAULTS.get(key))) for key in keys))
            yield from _leaves(item, (*path, step))


def _keys(path: Path) -> tuple[str, ...]:
    """Which fields tell the items of this list apart; none: it is replaced as a whole."""
    if not path or isinstance(path[-1], Item):
        return ()
    if path[-1] == "ports":  # those of a container, or those of a Service
        in_pod = "containers" in path or "initContainers" in path
        return ("containerPort", "protocol") if in_pod else ("port", "protocol")
    return _KEYS.get(path[-1], ())
