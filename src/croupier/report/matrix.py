"""Who reaches whom, for people: a few lines a workload, and one picture of all of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from croupier.report.format import plain, readable, table
from croupier.report.picture import BACK, BLUE, FAINT, GREEN, MARGIN, PANEL, RED, YELLOW, text

if TYPE_CHECKING:
    from croupier.model.policy import ReachMatrix, WorkloadReach

EVERY = ("0.0.0.0/0", "::/0")
_MOST_RANGES = 8
_MOST_CHARACTERS = 40
CELL, GAP, NAME_WIDTH = 12, 8, 260
"""Pixels: a cell of the picture, the room between namespaces, and that for names."""


def matrix_text(matrix: ReachMatrix) -> str:
    """The sum, namespaces, then workloads by namespace; those with the same answer stand together."""
    names = {each.name: each.namespace for each in matrix.workloads}
    ways = sum(len(each.reaches) for each in matrix.workloads)
    pairs = len(names) * (len(names) - 1)
    free = sum(each.outside == EVERY for each in matrix.workloads)
    apart = sum(len(each.apart) for each in matrix.workloads)
    spaces = len(set(names.values()))
    lines = [
        f"{len(names)} workload{_s(len(names))} in {spaces} namespace{_s(spaces)}: {ways} of {pairs} ways are open, "
        f"{apart} to another brand or market; {free} may call every address outside"
    ]
    if matrix.unread:
        lines.append(f"not judged: {plain(', '.join(matrix.unread))}")
    if matrix.namespaces:
        rows = [("FROM", "TO", "OPEN", "OF")]
        rows += [
            (plain(each.source) or "-", plain(each.target) or "-", str(each.open), str(each.pairs))
            for each in matrix.namespaces
        ]
        lines += ["", *table(rows, right=(2, 3), indent="")]
    sizes: dict[str, int] = defaultdict(int)
    for space in names.values():
        sizes[space] += 1
    told: str | None = None
    for alike in _alike(matrix.workloads):
        if alike[0].namespace != told:
            told = alike[0].namespace
            lines += ["", f"namespace {plain(told) or '-'}"]
        lines.append(f"  {plain(', '.join(_short(each.name) for each in alike))}")
        lines += [f"    {line}" for line in _said(alike, names, sizes)]
    return "\n".join(lines)


def _s(number: int) -> str:
    return "" if number == 1 else "s"


def _short(name: str) -> str:
    """Kind and name, for where the namespace is told."""
    kind, _, rest = name.partition("/")
    return f"{kind}/{rest.rpartition('/')[2]}"


def _alike(workloads: Iterable[WorkloadReach]) -> list[list[WorkloadReach]]:
    """Workloads of one namespace that reach the same and are reached from the same addresses."""
    groups: dict[object, list[WorkloadReach]] = defaultdict(list)
    for each in workloads:
        # Among each other they do: a workload is not told to reach itself.
        reached = frozenset((*each.reaches, each.name)), frozenset(each.apart)
        groups[each.namespace, reached, each.outside, each.from_outside].append(each)
    return sorted(groups.values(), key=lambda group: group[0].namespace)


def _said(alike: list[WorkloadReach], names: Mapping[str, str], sizes: Mapping[str, int]) -> Iterator[str]:
    reached: dict[str, list[str]] = defaultdict(list)
    own = {each.name for each in alike}
    for target in dict.fromkeys(name for each in alike for name in each.reaches):
        if len(alike) > 1 or target not in own:
            reached[names[target]].append(target)
    if not reached:
        yield "reaches no workload"
    for space, targets in reached.items():
        others = sizes[space] - (len(own) == 1 and space == alike[0].namespace)
        which = f"all {others}" if len(targets) == others and others > 3 else ", ".join(map(_short, targets))
        yield f"reaches {plain(space) or '-'}: {plain(which)}"
    apart = alike[0].apart
    if apart:
        yield f"of another brand or market: {plain(', '.join(apart))}"
    yield f"calls outside: {_ranges(alike[0].outside)}"
    if alike[0].from_outside:
        yield f"is called from outside: {_ranges(alike[0].from_outside)}"


def _ranges(cidrs: tuple[str, ...]) -> str:
    if cidrs == EVERY:
        return "every address"
    more = f" and {len(cidrs) - _MOST_RANGES} more ranges" if len(cidrs) > _MOST_RANGES else ""
    return (", ".join(cidrs[:_MOST_RANGES]) + more) if cidrs else "no address"


def matrix_picture(matrix: ReachMatrix) -> str:
    """The matrix as SVG: who calls on the left, who is called above, both by namespace; addresses outside at the right.

    Green is a way within a namespace, blue one into another, red one to another brand or market; at the right yellow
    is some address outside, red every one.
    """
    places, end = _places(matrix.workloads)
    left, top = MARGIN + NAME_WIDTH, MARGIN + 30 + NAME_WIDTH
    side, width, height = left + end + GAP, left + end + GAP + CELL + NAME_WIDTH // 2, top + end + MARGIN
    parts = [text(MARGIN, 36, "Who reaches whom", size=18), text(side, top - 8, "outside", colour=FAINT, size=11)]
    parts += [f'<rect x="{left}" y="{top + y}" width="{end}" height="{CELL}" fill="{PANEL}"/>' for y in places.values()]
    space = {each.name: each.namespace for each in matrix.workloads}
    for each in matrix.workloads:
        y = top + places[each.name]
        label = _fitted(readable(each.name.partition("/")[2]))
        parts.append(text(left - 6, y + CELL - 2, label, size=11, anchor="end"))
        x = left + places[each.name] + CELL - 2
        parts.append(f'<g transform="translate({x},{top - 6}) rotate(-90)">{text(0, 0, label, size=11)}</g>')
        for target in each.reaches:
            inner = GREEN if space[target] == each.namespace else BLUE
            colour = RED if target in each.apart else inner
            parts.append(_cell(left + places[target], y, colour, f"{each.name} reaches {target}"))
        if each.outside:
            colour = RED if each.outside == EVERY else YELLOW
            parts.append(_cell(side, y, colour, f"{each.name} calls {_ranges(each.outside)}"))
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" ',
            'aria-label="Who reaches whom">',
            "<g font-family=\"ui-sans-serif, system-ui, Helvetica, Arial, 'DejaVu Sans', sans-serif\">",
            f'<rect width="{width}" height="{height}" rx="10" fill="{BACK}"/>',
            *parts,
            "</g>",
            "</svg>",
            "",
        ]
    )


def _places(workloads: Iterable[WorkloadReach]) -> tuple[dict[str, int], int]:
    """Where each workload's row and column begins, and where all end."""
    places: dict[str, int] = {}
    at = 0
    space: str | None = None
    for each in workloads:
        at += GAP if space not in (None, each.namespace) else 0
        places[each.name], space = at, each.namespace
        at += CELL
    return places, at


def _fitted(name: str) -> str:
    return name if len(name) <= _MOST_CHARACTERS else f"…{name[1 - _MOST_CHARACTERS :]}"


def _cell(x: int, y: int, colour: str, told: str) -> str:
    return (
        f'<rect x="{x + 1}" y="{y + 1}" width="{CELL - 2}" height="{CELL - 2}" fill="{colour}"><title>'
        f"{escape(readable(told))}</title></rect>"
    )
