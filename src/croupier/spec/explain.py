"""Where a value of a service comes from: every layer that spoke of it, with its place."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from croupier.errors import UnknownName
from croupier.model.platform import PlacedPatch
from croupier.model.service_spec import ServiceSpec
from croupier.spec.cells import Described
from croupier.spec.merge import Layer, Statement, Verb
from croupier.spec.paths import parse_path, value_at
from croupier.spec.yaml12 import Mark, Node


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
            verb = f"{each.verb} " if each.verb in ("add", "remove") else ""
            lines.append(f"  {'=' if number == 0 else '<'} {verb}{said}  {each.layer.label}  {each.place}")
        if not self.chain:
            lines.append("  = default of croupier")
        return "\n".join(lines)


def explained(described: Described, cell: str, path: str) -> list[Told]:
    """All values at ``path`` (a service and a path in it), sorted by path. Raises ``UnknownName``."""
    placed = described.cell(cell)
    name, _, rest = path.partition(".")
    service = next((each for each in placed.services if each.name == name), None)
    if service is None:
        raise UnknownName("service", name, [each.name for each in placed.services])
    wanted = parse_path(rest, ServiceSpec) if rest else ()
    merged = described.merged[cell, name]
    patches = [] if rest else [_of_patch(each) for each in placed.patches if _is_of(each, name)]
    spoken = [at for at in sorted(merged.chains) if at[: len(wanted)] == wanted or wanted[: len(at)] == at]
    tree = service.model_dump(mode="json", by_alias=True)
    if not spoken:
        return [Told(path, value_at(tree, wanted), ()), *patches]
    told = []
    for at in spoken:
        here = at if len(at) >= len(wanted) else wanted
        told.append(Told(".".join((name, *here)), value_at(tree, here), merged.chains[at]))
    return [*told, *patches]


def _is_of(each: PlacedPatch, service: str) -> bool:
    """Whether a patch may change objects of ``service``."""
    return each.service == service or (each.service is None and each.patch.name in (None, service))


def _of_patch(each: PlacedPatch) -> Told:
    node = Node(Mark(*each.path_at), each.patch.value)
    layer = Layer(f"{each.layer} ({each.patch.why})", (0, 0), each.file, node.mark)
    verb: Verb = "unset" if each.patch.op == "remove" else "set"
    return Told(f"patch of {each.target}", each.patch.value, [Statement(layer, (), verb, each.patch.value, node)])


def _shown(value: JsonValue) -> str:
    return "not set" if value is None else json.dumps(value, ensure_ascii=False)
