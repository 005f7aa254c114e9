"""Where a value of a cell comes from: of a service every layer that spoke of it, of what the cell is placed in the
declaration, with its place."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import BaseModel, JsonValue

from croupier.errors import UnknownName
from croupier.model.change import Change
from croupier.model.events import Event
from croupier.model.gitops import GitOps
from croupier.model.patches import PlacedPatch
from croupier.model.platform import Brand, Cell, Market, PlacedCell, Region
from croupier.model.providers import Provider
from croupier.model.service_spec import LIST_KEYS, ServiceSpec
from croupier.spec.cells import Described
from croupier.spec.merge import Layer, Statement, Verb
from croupier.spec.names import Declared, Names
from croupier.spec.paths import Path, parse_path, value_at
from croupier.spec.yaml12 import Mark, Node

AROUND: Mapping[str, type[BaseModel]] = {
    "brand": Brand,
    "cell": Cell,
    "gitops": GitOps,
    "market": Market,
    "region": Region,
}
"""What is declared once and not by layers."""
SECTIONS: Mapping[str, type[BaseModel]] = {"events": Event, "providers": Provider}
"""The same by names of people's own: those that the cell has to do with."""


@dataclass(frozen=True, slots=True)
class Told:
    """One value. ``chain``: who spoke of it, what outweighs the others last; empty: croupier's own default."""

    path: str
    value: JsonValue
    chain: Sequence[Statement]

    def as_json(self) -> dict[str, JsonValue]:
        chain: list[JsonValue] = [
            {"layer": each.layer.label, "place": each.place, "verb": each.verb, "value": each.value}
            for each in self.chain
        ]
        return {"path": self.path, "value": self.value, "chain": chain}

    def as_text(self) -> str:
        lines = [f"{self.path}: {_shown(self.value)}"]
        for number, each in enumerate(reversed(self.chain)):
            said = {"unset": "unset", "have": "{}"}.get(each.verb) or _shown(each.value)
            verb = f"{each.verb} " if each.verb in ("add", "remove", "default") else ""
            lines.append(f"  {'=' if number == 0 else '<'} {verb}{said}  {each.layer.label}  {each.place}")
        if not self.chain:
            lines.append("  = default of croupier")
        return "\n".join(lines)


def explained(described: Described, cell: str, path: str) -> list[Told]:
    """All values at ``path``, sorted by path: a service, or else a key of ``AROUND`` or ``SECTIONS``, and a path in it.

    Raises ``UnknownName``.
    """
    placed = described.cell(cell)
    name, _, rest = path.partition(".")
    service = next((each for each in placed.services if each.name == name), None)
    if service is None and name in AROUND:
        return _of_declared(described.names, placed, name, rest)
    if service is None and name in SECTIONS:
        return _of_section(described.names, placed, name, rest)
    if service is None:
        inside = [f"{part}.{name}" for part, model in AROUND.items() if name in _keys(model)]
        known = inside or [*(each.name for each in placed.services), *AROUND, *SECTIONS]
        raise UnknownName("service or part of the cell", name, known)
    wanted = parse_path(rest, ServiceSpec) if rest else ()
    merged = described.merged[cell, name]
    scaled = not wanted or wanted[:2] in (("scaling",), ("scaling", "min"))
    others = list(_of_events(described.names, placed, name)) if scaled else []
    others += [] if rest else [_of_patch(each) for each in placed.patches if _is_of(each, name)]
    spoken = [at for at in sorted(merged.chains) if at[: len(wanted)] == wanted or wanted[: len(at)] == at]
    tree = service.model_dump(mode="json", by_alias=True)
    if not spoken:
        return [Told(path, value_at(tree, wanted), ()), *others]
    told = []
    for at in spoken:
        here = at if len(at) >= len(wanted) else wanted
        told.append(Told(".".join((name, *here)), value_at(tree, here), _speaking(merged.chains[at], here)))
    return [*told, *others]


def _speaking(chain: Sequence[Statement], path: Path) -> Sequence[Statement]:
    """Those of ``chain`` that name the item of a list that ``path`` leads to: others of the list say nothing of it."""
    key = LIST_KEYS.get(path[0]) if len(path) > 1 else None
    if key is None:
        return chain
    named = [each for each in chain if isinstance(each.value, list) and _names(each.value, key, path[1])]
    return named or chain


def _names(items: list[JsonValue], key: str, name: str) -> bool:
    return any(each == name or (isinstance(each, dict) and each.get(key) == name) for each in items)


def why_of(described: Described, change: Change) -> str:
    """Who speaks last of the value of a change, and where; "" where nobody is left to ask."""
    if change.subject == "patches":
        patches = described.cell(change.cells[0]).patches
        found = next((each for each in patches if each.target == change.path), None)
        return f"{found.layer} at {found.place}: {found.patch.why}" if found is not None else ""
    if change.subject in described.names.services:
        return _why_of_service(described, change)
    section, _, name = change.subject.partition(".")
    names = described.names
    declared = {
        "brands": names.brands.get(name),
        "cell": names.cells.get(change.cells[0]),
        "events": names.events.get(name),
        "gitops": names.gitops,
        "markets": names.markets.get(name),
        "providers": names.providers.get(name),
        "regions": names.regions.get(name),
    }.get(section)
    if declared is None or (not change.path and change.after is None):
        return ""
    label = f"{section.removesuffix('s')} {name}" if name else section
    if not change.path:
        return f"{label} at {declared.place}"
    node = _below(declared.file.node(*declared.location), change.path)
    if node is None:
        return f"default of croupier, {label} at {declared.place}"
    return f"{label} at {declared.file.name}:{node.mark.line}:{node.mark.column}"


def _why_of_service(described: Described, change: Change) -> str:
    if not change.path:
        return f"service at {described.names.services[change.subject].place}" if change.after is not None else ""
    merged = described.merged.get((change.cells[0], change.subject))
    if merged is None:
        return ""
    path = tuple(change.path.split("."))
    if not any(at[: len(path)] == path or path[: len(at)] == at for at in merged.chains):
        return "default of croupier"
    spoken = _speaking(merged.chains.get(path[:1], ()), path) if path[0] in LIST_KEYS else ()
    said = spoken[-1] if spoken else merged.winner(path)
    return f"{said.layer.label} at {said.place}" if said is not None else ""


def _below(node: Node, path: str) -> Node | None:
    """What is written at ``path``, whose keys are joined by dots and may hold some; None: nothing is."""
    for key, inner in node.children.items():
        if path == str(key):
            return inner
        if path.startswith(f"{key}.") and (found := _below(inner, path[len(str(key)) + 1 :])) is not None:
            return found
    return None


def _of_declared(names: Names, placed: PlacedCell, part: str, rest: str) -> list[Told]:
    cell = placed.cell
    declared = {
        "brand": names.brands[cell.brand],
        "cell": names.cells[cell.name],
        "gitops": names.gitops,
        "market": names.markets[cell.market],
        "region": names.regions[cell.region],
    }[part]
    wanted = parse_path(rest, AROUND[part]) if rest else ()
    called = {"region": cell.region, "market": cell.market, "brand": cell.brand, "cell": cell.name}.get(part)
    written = _written(part, f"{part} {called}" if called else part, declared, wanted)
    is_patched = part == "region" and not rest
    patches = [_of_patch(each) for each in placed.patches if is_patched and _is_of_region(each, cell.region)]
    return [*written, *patches]


def _of_section(names: Names, placed: PlacedCell, section: str, rest: str) -> list[Told]:
    """Of ``providers`` and ``events``: one by its name, or all that the cell has to do with."""
    known: Mapping[str, BaseModel] = placed.events if section == "events" else placed.providers
    name, _, inside = rest.partition(".")
    if name and name not in known:
        raise UnknownName(f"{section.removesuffix('s')} of the cell", name, list(known))
    wanted = parse_path(inside, SECTIONS[section]) if inside else ()
    declared = {"events": names.events, "providers": names.providers}[section]
    return [
        told
        for each in ([name] if name else sorted(known))
        for told in _written(f"{section}.{each}", f"{section.removesuffix('s')} {each}", declared[each], wanted)
    ]


def _written(part: str, label: str, declared: Declared | None, wanted: Path) -> list[Told]:
    """What is declared at ``wanted``, or below it."""
    said = [] if declared is None else list(_said(declared.file.node(*declared.location), wanted))
    tree = declared.value.model_dump(mode="json", by_alias=True) if declared is not None else None
    if declared is None or not said:
        return [Told(".".join((part, *wanted)), value_at(tree, wanted), ())]
    layer = Layer(label, (0, 0), declared.file.name, Mark(1, 1))
    return [
        Told(".".join((part, *at)), value_at(tree, at), [Statement(layer, at, "set", node.value, node)])
        for at, node in sorted(said, key=lambda each: each[0])
    ]


def _of_events(names: Names, placed: PlacedCell, service: str) -> Iterator[Told]:
    """How many pods the calendar asks for, and when."""
    for each in placed.warm:
        if each.service == service:
            declared = names.events[each.event]
            node = declared.file.node(*declared.location, "services", service)
            layer = Layer(f"event {each.event}", (0, 0), declared.file.name, node.mark)
            when = f"{each.from_at:%Y-%m-%d %H:%M} to {each.until_at:%Y-%m-%d %H:%M} UTC"
            yield Told(f"{service}.scaling.min, {when}", each.pods, [Statement(layer, (), "set", node.value, node)])


def _said(node: Node, wanted: Path, at: Path = ()) -> Iterator[tuple[Path, Node]]:
    """What somebody wrote at ``wanted`` or below it."""
    if isinstance(node.value, dict) and node.value:
        for key, inner in node.children.items():
            if len(at) >= len(wanted) or key == wanted[len(at)]:
                yield from _said(inner, wanted, (*at, str(key)))
    else:
        yield at, node


def _keys(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _is_of(each: PlacedPatch, service: str) -> bool:
    """Whether a patch may change objects of ``service``, or of its stores."""
    if each.patch.of != "cell":
        return each.patch.of == "stores" and each.service in (None, service)
    return each.service == service or (each.service is None and each.patch.name in (None, service))


def _is_of_region(each: PlacedPatch, region: str) -> bool:
    """Whether a patch changes what ``region`` has once."""
    return each.patch.of == "region" and each.region == region


def _of_patch(each: PlacedPatch) -> Told:
    node = Node(Mark(*each.path_at), each.patch.value)
    layer = Layer(f"{each.layer} ({each.patch.why})", (0, 0), each.file, node.mark)
    verb: Verb = "unset" if each.patch.op == "remove" else "set"
    return Told(f"patch of {each.target}", each.patch.value, [Statement(layer, (), verb, each.patch.value, node)])


def _shown(value: JsonValue) -> str:
    return "not set" if value is None else json.dumps(_given(value), ensure_ascii=False)


def _given(value: JsonValue) -> JsonValue:
    """Without what is not set in items of lists."""
    if isinstance(value, list):
        return [_given(each) for each in value]
    if isinstance(value, dict):
        return {key: _given(inner) for key, inner in value.items() if inner not in (None, [], {})}
    return value
