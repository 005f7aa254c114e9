"""The objects of a platform as one Helm chart with a library of templates, and values for each cell and region (S5.3).

The library (``chart/charts/library``) has one template a unit: what is the same everywhere stands there; where places
differ, a value is asked for, and whatever a value holds is data: it is written as JSON, and never read as a template.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from croupier.core.render.cell import MADE
from croupier.core.render.emit import document
from croupier.core.render.shared import LABELS, NAMESPACE, Hole, Keys, Shared, Unit, shared
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell

_LIBRARY = "chart/charts/library"
_VERSION = "1.0.0"
_WANTED = "name a cell or region: --values cells/NAME/values.yaml"
_OBJECTS = f"""\
{{{{- $root := . }}}}
{{{{- $area := required "{_WANTED}" .Values.area }}}}
{{{{- range $unit, $_ := .Values.units }}}}
{{{{ include (printf "croupier.%s.%s" $area $unit) $root }}}}
{{{{- end }}}}
{{{{- range .Values.own }}}}
---
{{{{ toJson . }}}}
{{{{- end }}}}
"""


def helm_files(files: Mapping[str, Sequence[JsonObject]], cells: Iterable[PlacedCell]) -> dict[str, str]:
    """File, relative and with slashes -> its text. ``files``: what ``core.render.cell.objects`` made of ``cells``."""
    held = shared(files, cells)
    texts = {
        "chart/Chart.yaml": MADE + document(_chart("platform", "application")),
        f"{_LIBRARY}/Chart.yaml": MADE + document(_chart("library", "library")),
        "chart/templates/objects.yaml": MADE + _OBJECTS,
    }
    values: dict[tuple[str, str], JsonObject] = {at: _values(held, *at) for at in held.stamps}
    for unit in held.units:
        texts[f"{_LIBRARY}/templates/_{unit.area}-{unit.name}.tpl"] = _template(unit, values)
    texts |= {f"{area}/{place}/values.yaml": MADE + document(each) for (area, place), each in values.items()}
    return dict(sorted(texts.items()))


def _chart(name: str, kind: str) -> JsonObject:
    chart = {"apiVersion": "v2", "name": name, "type": kind, "version": _VERSION}
    if kind == "application":
        return {**chart, "dependencies": [{"name": "library", "version": _VERSION}]}
    return chart


def _values(held: Shared, area: str, place: str) -> JsonObject:
    """Values of a place, but for those that templates ask for."""
    stamp, units = held.stamps[area, place], held.of_place(area, place)
    made: JsonObject = {"area": area}
    if stamp.namespace is not None:
        made |= {"namespace": stamp.namespace, "labels": dict(stamp.labels)}
    made["units"] = {unit.name: {} for unit in units}
    if own := [each for unit in units for each in unit.own[place]]:
        made["own"] = own
    return made


def _template(unit: Unit, values: Mapping[tuple[str, str], JsonObject]) -> str:
    """The template of a unit; what it asks for is put into ``values``."""
    bodies = []
    for part in unit.parts:
        tree = _common(part.variants, ("units", unit.name, part.key))
        for place in unit.places:
            _fill(values[unit.area, place], tree, part.objects[place])
        bodies.append(_text(tree))
    return f'{MADE}{{{{- define "croupier.{unit.area}.{unit.name}" }}}}\n{"".join(bodies)}{{{{- end }}}}\n'


def _common(variants: Mapping[str, Any], path: Keys) -> Any:
    """One tree for all places, with holes where they differ; a mapping or list of other keys is a value as a whole."""
    first, *others = each = list(variants.values())
    if all(isinstance(one, dict) and one.keys() == first.keys() for one in each):
        return {key: _common({at: one[key] for at, one in variants.items()}, (*path, key)) for key in first}
    if all(isinstance(one, list) and len(one) == len(first) for one in each):
        inner = ({at: one[number] for at, one in variants.items()} for number in range(len(first)))
        return [_common(one, (*path, str(number))) for number, one in enumerate(inner)]
    return first if all(_told(other) == _told(first) for other in others) else Hole(path)


def _told(value: Any) -> str:
    """Told apart as JSON tells apart: ``true`` is not 1."""
    return json.dumps(value, default=repr)


def _fill(values: JsonObject, tree: Any, held: Any) -> None:
    """Put what ``held`` has at the holes of ``tree`` into ``values``; what the stamp says is there."""
    if isinstance(tree, Hole):
        if tree is not NAMESPACE and tree not in LABELS.values():
            here = values
            for key in tree.path[:-1]:
                here = here.setdefault(key, {})
            here[tree.path[-1]] = held
    elif isinstance(tree, dict):
        for key, inner in tree.items():
            _fill(values, inner, held[key])
    elif isinstance(tree, list):
        for inner, each in zip(tree, held, strict=True):
            _fill(values, inner, each)


def _text(tree: JsonObject) -> str:
    """The document, with actions for its holes and all else as it is to be read."""
    plain = json.dumps(tree, default=lambda _: "")
    mark = next(f"hole{number}" for number in range(len(plain) + 1) if f"hole{number}" not in plain)
    holes: list[Hole] = []
    text = f"---\n{document(_tokens(tree, mark, holes))}".replace("{{", '{{ "{{" }}')
    return re.sub(rf"{mark}-(\d+)-", lambda found: _action(holes[int(found[1])]), text)


def _tokens(tree: Any, mark: str, holes: list[Hole]) -> Any:
    if isinstance(tree, Hole):
        holes.append(tree)
        return f"{mark}-{len(holes) - 1}-"
    if isinstance(tree, dict):
        return {key: _tokens(each, mark, holes) for key, each in tree.items()}
    return [_tokens(each, mark, holes) for each in tree] if isinstance(tree, list) else tree


def _action(hole: Hole) -> str:
    keys = " ".join(json.dumps(key, ensure_ascii=False) for key in hole.path)
    return f"{{{{ toJson (index .Values {keys}) }}}}"
