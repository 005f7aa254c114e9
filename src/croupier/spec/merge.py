"""Layers of a service become one value, and every leaf remembers who said what about it (DESIGN §8).

A layer outweighs those of a lower rank. Two of the same rank that disagree about a leaf are a conflict unless a heavier
one decides, never a matter of order: whichever way files and layers are sorted, the result is the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, groupby
from typing import Any, Literal, NamedTuple, get_args, get_origin

from pydantic import BaseModel, JsonValue

from croupier.model.service_spec import LIST_KEYS
from croupier.spec.partial import bare
from croupier.spec.paths import Path
from croupier.spec.yaml12 import Mark, Node

Verb = Literal["unset", "have", "set", "remove", "add", "default"]
_ORDER: tuple[Verb, ...] = ("unset", "have", "set", "remove", "add")
"""Of what layers say, within one rank; only ``unset`` before the rest matters, and only inside one layer, since else it
is a conflict."""


@dataclass(frozen=True, slots=True, eq=False)
class Statement:
    """What one layer says about one leaf.

    ``value``: for ``add``, ``remove`` and ``default`` the items, for ``have`` (an empty mapping) and ``unset`` None.
    ``node``: where it stands.
    """

    layer: Layer
    path: Path
    verb: Verb
    value: JsonValue
    node: Node

    @property
    def place(self) -> str:
        return f"{self.layer.file}:{self.node.mark.line}:{self.node.mark.column}"


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One source of values. ``rank``: what outweighs what. ``label``: what people call it, like ``market=se``."""

    label: str
    rank: tuple[int, int]
    file: str
    mark: Mark
    statements: list[Statement] = field(default_factory=list)
    lacks: set[str] = field(default_factory=set)
    """First keys of what was left out, since something is wrong with it; "": it may be any."""
    is_own: bool = False
    """Of croupier itself: what it says is there where nobody says otherwise."""


class Conflict(NamedTuple):
    """Two layers of one rank that disagree about the path of ``other``."""

    one: Statement
    other: Statement


@dataclass(slots=True)
class Merged:
    """The result: ``values`` per leaf, and per leaf who spoke of it, lowest rank first."""

    bases: Mapping[Path, list[JsonValue]]
    """Lists that hold something where nobody says anything: what is added, is added to these."""
    values: dict[Path, JsonValue] = field(default_factory=dict)
    chains: dict[Path, list[Statement]] = field(default_factory=dict)
    conflicts: list[Conflict] = field(default_factory=list)
    lacks: frozenset[str] = frozenset()
    """Of all layers."""
    effective: set[Statement] = field(default_factory=set)
    """Statements of ``unset`` and ``remove`` that took something away."""

    def tree(self) -> dict[str, Any]:
        root: dict[str, Any] = {}
        for path, value in self.values.items():
            here = root
            for part in path[:-1]:
                here = here.setdefault(part, {})
            if value is HAVE:
                here.setdefault(path[-1], {})
            else:
                here[path[-1]] = value
        return root

    def winner(self, path: Sequence[str]) -> Statement | None:
        """Who spoke last at ``path`` or below it, or else at or below the nearest parent; None: nobody.

        Below, who gives something speaks before who takes something else away.
        """
        for length in range(len(path), 0, -1):
            near = tuple(path[:length])
            if chain := self.chains.get(near):
                return chain[-1]
            below = [chain[-1] for at, chain in self.chains.items() if at[:length] == near]
            if below:
                given = [each for each in below if each.verb != "unset"] or below
                return max(given, key=lambda each: (each.layer.rank, each.layer.file, each.node.mark))
        return None


HAVE: Any = object()
"""Value of a leaf that is an empty mapping: the part is wanted, with its defaults."""


def statements_of(layer: Layer, node: Node, model: type[BaseModel]) -> list[Statement]:
    """What ``node``, a valid part of ``model``, says leaf by leaf."""
    return list(_leaves(layer, node, model, ()))


def _leaves(layer: Layer, node: Node, kind: Any, path: Path) -> Iterator[Statement]:
    kind = bare(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = {each.alias or name: each.annotation for name, each in kind.model_fields.items()}
        inner = [(key, child, fields[str(key)]) for key, child in node.children.items()]
    elif get_origin(kind) is dict:
        inner = [(key, child, get_args(kind)[1]) for key, child in node.children.items()]
    elif get_origin(kind) is tuple and isinstance(node.value, dict):
        for verb in ("remove", "add"):
            if verb in node.children:
                yield Statement(layer, path, verb, node.children[verb].value, node.children[verb])
        return
    else:
        yield Statement(layer, path, "set", node.value, node)
        return
    if not inner and path:
        yield Statement(layer, path, "have", None, node)
    for key, child, annotation in inner:
        yield from _leaves(layer, child, annotation, (*path, str(key)))


def merge(layers: Iterable[Layer], bases: Mapping[Path, list[JsonValue]]) -> Merged:
    """All ``layers`` that apply somewhere as one. ``bases``: lists by default, see ``Merged``."""
    every = list(layers)
    merged = Merged(bases, lacks=frozenset(chain.from_iterable(layer.lacks for layer in every)))
    ordered = sorted(every, key=lambda layer: (layer.rank, layer.label, layer.file, layer.mark))
    for _, group in groupby(ordered, key=lambda layer: layer.rank):
        said = [statement for layer in group for statement in layer.statements]
        merged.conflicts = [*_undecided(merged.conflicts, said), *_conflicts(said)]
        for statement in sorted(said, key=lambda each: _ORDER.index(each.verb)):
            _apply(merged, statement)
    return merged


def _apply(merged: Merged, said: Statement) -> None:
    path, values = said.path, merged.values
    if said.verb == "unset":
        for gone in [each for each in values if each[: len(path)] == path]:
            del values[gone]
            merged.chains[gone].append(said)
            merged.effective.add(said)
        return
    if said.verb == "have":
        values.setdefault(path, HAVE)
    elif said.verb == "set":
        values[path] = said.value
    else:
        before = values.get(path, merged.bases.get(path))
        items = {_identity(path, item): item for item in before} if isinstance(before, list) else {}
        assert isinstance(said.value, list)
        if said.verb == "add":
            items |= {_identity(path, item): item for item in sorted(said.value, key=_canonical)}
        else:
            for item in said.value:
                key = item if path[-1] in LIST_KEYS else _canonical(item)
                if items.pop(str(key), None) is not None:
                    merged.effective.add(said)
        values[path] = list(items.values())
    merged.chains.setdefault(path, []).append(said)


def complete(merged: Merged, said: Statement) -> None:
    """The one item of ``said``, a ``default`` of a list whose items have keys, where no layer gives an item of its key,
    nor takes it away. Who asks where the list comes from is told of it either way."""
    path = said.path
    assert isinstance(said.value, list)
    key = _identity(path, said.value[0])
    chained = merged.chains.setdefault(path, [])
    takers: list[Statement] = []
    for each in chained:
        items = each.value if isinstance(each.value, list) else []
        if each.verb == "unset" or (each.verb == "remove" and key in items):
            takers = [each]
        elif each.verb in ("set", "add") and any(_identity(path, item) == key for item in items):
            takers = []
    held = merged.values.get(path, [])
    assert isinstance(held, list)
    if takers:
        merged.effective.update(takers)
    elif all(_identity(path, item) != key for item in held):
        merged.values[path] = [*held, *said.value]
        chained.append(said)
        return
    chained.insert(0, said)


def _undecided(conflicts: Iterable[Conflict], said: Sequence[Statement]) -> Iterator[Conflict]:
    """Conflicts of lighter layers about which none of these heavier ones has the last word."""
    set_, gone = ({each.path for each in said if each.verb == verb} for verb in ("set", "unset"))
    for conflict in conflicts:
        path = conflict.other.path
        if path not in set_ and not any(path[:length] in gone for length in range(1, len(path) + 1)):
            yield conflict


def _conflicts(said: Iterable[Statement]) -> Iterator[Conflict]:
    """What two layers of one rank say that cannot both be true: each statement with the first that is against it.

    Within one layer nothing is a conflict: it may take a part away and give it anew.
    """
    gone: dict[Path, list[Statement]] = {}
    voices: dict[Path, _Voices] = {}
    for each in said:
        if each.verb == "unset":
            _two(gone.setdefault(each.path, []), each)
            continue
        against = voices.setdefault(each.path, _Voices()).against(each)
        if against is not None:
            yield Conflict(against, each)
    for path, heard in voices.items():
        for length in range(1, len(path) + 1):
            takers = gone.get(path[:length], ())
            for each in heard.all if takers else ():
                taken = next((other for other in takers if other.layer is not each.layer), None)
                if taken is not None:
                    yield Conflict(taken, each)


def _two(kept: list[Statement], said: Statement) -> None:
    """Keep statements of two layers: whoever speaks next, one of them is of another layer."""
    if len(kept) < 2 and all(each.layer is not said.layer for each in kept):
        kept.append(said)


class _Voices:
    """What the layers of one rank say of one leaf."""

    def __init__(self) -> None:
        self.all: list[Statement] = []
        self._set: Statement | None = None
        self._items: dict[str, dict[str, list[Statement]]] = {}
        """Identity of an item that is added or taken away -> what is said of it ("": away with it) -> by whom."""

    def against(self, said: Statement) -> Statement | None:
        """Who has spoken before, of another layer, against what is said now."""
        earlier = next((each for each in self.all if each.layer is not said.layer and each.verb != "have"), None)
        self.all.append(said)
        if said.verb == "have":
            return None
        if said.verb == "set":
            self._set = self._set or said
            if earlier is None or (earlier.verb == "set" and _canonical(earlier.value) == _canonical(said.value)):
                return None
            return earlier
        if self._set is not None and self._set.layer is not said.layer:
            return self._set
        assert isinstance(said.value, list)
        for item in said.value:
            added = said.verb == "add"
            key = _identity(said.path, item) if added or said.path[-1] not in LIST_KEYS else str(item)
            meant = _canonical(item) if added else ""
            meanings = self._items.setdefault(key, {})
            _two(meanings.setdefault(meant, []), said)
            for other, whose in meanings.items():
                against = next((each for each in whose if other != meant and each.layer is not said.layer), None)
                if against is not None:
                    return against
        return None


def _identity(path: Path, item: JsonValue) -> str:
    key = LIST_KEYS.get(path[-1])
    return str(item[key]) if key is not None and isinstance(item, dict) else _canonical(item)


def _canonical(value: JsonValue) -> str:
    return json.dumps(value, sort_keys=True)
