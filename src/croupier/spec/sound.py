"""What of a file is sound although something in it is not: later passes go on with that, and say nothing that follows.

Of a service, a preset or a layer the key at fault is left out; of all else the entry, whose name stays known.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError

from croupier.errors import Problem
from croupier.model.service_spec import ServiceSpec
from croupier.spec.form import PlatformFile
from croupier.spec.load import Location, first_causes, location_of, nearest, place, problem_of_error, read_value
from croupier.spec.yaml12 import Mark, Node

_BODIES = {"defaults": 1, "services": 2, "presets": 3, "layers": 3}
"""Section with parts of services -> how many keys and indices lead to a part."""
_FIELDS = [each.alias or name for name, each in ServiceSpec.model_fields.items()]
_AXES = {
    "brands": "brand",
    "events": "event",
    "markets": "market",
    "regions": "region",
    "providers": "provider",
}
_MOST_ROUNDS = 8


@dataclass(slots=True)
class Lost:
    """What was left out.

    ``names``: kind and name. ``keys``: file and place of a layer -> the keys it lacks, "" for one that could be any.
    """

    names: set[tuple[str, str]] = field(default_factory=set)
    keys: dict[tuple[str, Mark], set[str]] = field(default_factory=dict)
    is_everything: bool = False
    """Something has no name, or a layer applies nobody knows where: of what is missing, nothing can be said."""


def sound(name: str, root: Node, lost: Lost) -> tuple[Node, PlatformFile | None, list[Problem]]:
    """The part of ``root`` that is a file of a platform, its value (None: no part), and what is wrong with the rest."""
    problems: list[Problem] = []
    node = root
    for attempt in range(_MOST_ROUNDS):
        try:
            return node, read_value(node.value, PlatformFile), problems
        except ValidationError as error:
            details = first_causes(error)
        # What is missing once something was left out was there, perhaps.
        told = [each for each in details if not attempt or each["type"] != "missing"]
        problems += [problem_of_error(name, node, PlatformFile, each) for each in told]
        at = {_fault(node, location_of(each)) for each in details}
        faults = {fault for fault in at if not any(fault[:length] in at for length in range(1, len(fault)))}
        if () in at:
            break
        for fault in sorted(faults, key=_downwards):
            _note(name, node, fault, lost)
            node = _without(node, fault)
    lost.is_everything = True
    return node, None, problems


def _downwards(fault: Location) -> Any:
    """Later items of a list first, so that indices of others hold."""
    return [(-part, "") if isinstance(part, int) else (0, part) for part in fault]


def _fault(root: Node, location: Location) -> Location:
    """What to leave out for a fault at ``location``: a key of a part of a service, an entry, or a section."""
    there: list[str | int] = []
    node = root
    for part in location:
        if part in node.children:
            there.append(part)
            node = node.children[part]
    if not there:
        return ()
    section = str(there[0])
    depth = _BODIES.get(section, 0)
    is_key = len(there) > depth > 0 and (depth != 3 or there[2] == "set") and there[depth] != "name"
    return tuple(there[: depth + 1] if is_key else there[:2])


def _note(name: str, root: Node, fault: Location, lost: Lost) -> None:
    section, *rest = fault
    if section in _BODIES and len(fault) == _BODIES[str(section)] + 1:
        key = str(fault[-1])
        meant = key if key in _FIELDS else nearest(key, _FIELDS)
        lost.keys.setdefault((name, place(root, fault[: min(len(fault) - 1, 2)])), set()).add(meant)
    elif section in _AXES and rest:
        lost.names.add((_AXES[str(section)], str(rest[0])))
    elif section == "services" and rest:
        given = root.children["services"].children[rest[0]].value
        called = given.get("name") if isinstance(given, dict) else None
        if isinstance(called, str):
            lost.names.add(("service", called))
        else:
            lost.is_everything = True
    elif section not in ("cells", "gitops") or (section == "cells" and not rest):
        lost.is_everything = True


def _without(node: Node, fault: Location) -> Node:
    first, *rest = fault
    children: dict[str | int, Node] = dict(node.children)
    if rest:
        children[first] = _without(children[first], tuple(rest))
    else:
        del children[first]
    return _made(node, children.items())


def _made(node: Node, children: Iterable[tuple[str | int, Node]]) -> Node:
    if isinstance(node.value, list):
        items = [child for _, child in children]
        return replace(node, value=[each.value for each in items], children=dict(enumerate(items)))
    kept = dict(children)
    return replace(node, value={str(key): child.value for key, child in kept.items()}, children=kept)
