"""YAML 1.2 (core schema) to plain values that remember where they stand. PyYAML's C parser gives the events.

Narrower than YAML on purpose: one document, string keys, no tags, no merge keys; so ``no`` is a string and ``012`` is
twelve. Nesting and size after aliases are bounded, so that no file can hang or exhaust the reader.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import yaml
from pydantic import JsonValue

from croupier.errors import Problem, SpecError

LARGEST_DEPTH = 64
LARGEST_NODES = 100_000
"""Nodes of a file, each alias counted as all it stands for."""
LONGEST_NUMBER = 400
"""Digits; beyond it Python's own limits would speak."""


class Mark(NamedTuple):
    """A place; lines and columns count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Node:
    """A value and where it stands.

    ``children``: mapping key or index -> node; ``keys``: mapping key -> place of the key; both empty for scalars.
    ``weight``: nodes in it, itself included, aliases written out.
    """

    mark: Mark
    value: JsonValue
    children: Mapping[str | int, Node] = field(default_factory=dict)
    keys: Mapping[str, Mark] = field(default_factory=dict)
    weight: int = 1


_PRINTABLE = re.compile("[^\\t\\n\\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
_INT = re.compile(r"[-+]?[0-9]+")
_OCTAL = re.compile(r"0o[0-7]+")
_HEX = re.compile(r"0x[0-9a-fA-F]+")
_ITEM = re.compile(r" *(- +)+(?=[^ ])")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_CONSTANTS: Mapping[str, JsonValue] = (
    dict.fromkeys(("", "~", "null", "Null", "NULL"))
    | dict.fromkeys(("true", "True", "TRUE"), True)
    | dict.fromkeys(("false", "False", "FALSE"), False)
    | {
        sign + dot + word: float(sign + word)
        for sign in ("", "+", "-")
        for dot in "."
        for word in ("inf", "Inf", "INF")
    }
    | {"." + word: float("nan") for word in ("nan", "NaN", "NAN")}
)
_OPENED = {"while parsing a flow mapping": ("{", "}"), "while parsing a flow sequence": ("[", "]")}
_SLIPS = {
    "did not find expected '-' indicator": ("a list goes on here, and this is no item of it", 'begin it with "- "'),
    "mapping values are not allowed in this context": ("a key where none can be", "quote a value that has a colon"),
}
"""What the parser says of slips that many make -> what it means, and what to do."""
_YAML11 = {"yes": "true", "no": "false", "on": "true", "off": "false"}


def resolve(text: str) -> JsonValue:
    """The value of a plain scalar by the core schema (YAML 1.2.2 §10.3.2). Raises ``ValueError`` for huge numbers."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    for pattern, base in ((_INT, 10), (_OCTAL, 8), (_HEX, 16)):
        if pattern.fullmatch(text):
            _bounded(text)
            return int(text if base == 10 else text[2:], base)
    if _FLOAT.fullmatch(text):
        _bounded(text)
        return float(text)
    return text


def _bounded(text: str) -> None:
    if len(text) > LONGEST_NUMBER:
        raise ValueError(f"a number of {len(text)} characters")


def old_boolean(text: str) -> str | None:
    """What YAML 1.1 would have made of ``text``: "true", "false" or None. For hints only."""
    return _YAML11.get(text.lower())


def parse(text: str, name: str) -> tuple[Node, list[Problem]]:
    """The one document in ``text`` and problems one can read on from (duplicate keys, tags, keys that are no strings).

    ``name`` is the file in problems. Raises ``SpecError`` when there is no reading on.
    """
    odd = _PRINTABLE.search(text)
    if odd:
        mark = Mark(text.count("\n", 0, odd.start()) + 1, odd.start() - text.rfind("\n", 0, odd.start()))
        raise SpecError(
            [Problem(name, *mark, "CHARACTER", f"character U+{ord(odd.group()):04X} is not allowed in YAML")]
        )
    builder = _Builder(text, name)
    try:
        return builder.document(), builder.problems
    except _Stop as stop:
        raise SpecError([*builder.problems, stop.problem]) from None
    except yaml.MarkedYAMLError as error:
        raise SpecError([*builder.problems, _syntax(error, text, name)]) from error
    except yaml.YAMLError as error:
        raise SpecError([*builder.problems, Problem(name, 1, 1, "YAML", str(error))]) from error


def _syntax(error: yaml.MarkedYAMLError, text: str, name: str) -> Problem:
    found = error.problem_mark or error.context_mark
    mark = Mark(found.line + 1, found.column + 1) if found else Mark(1, 1)
    lines = text.split("\n")
    line = lines[mark.line - 1] if mark.line <= len(lines) else ""
    if "\t" in line[: mark.column] and not line[: mark.column].strip():
        return Problem(name, *mark, "TAB", "a tab cannot indent", "indent with spaces")
    if opened := _OPENED.get(error.context or ""):
        bracket, closing = opened
        at = f" on line {error.context_mark.line + 1}" if error.context_mark else ""
        hint = f"a , or {closing} is missing before this"
        return Problem(name, *mark, "YAML", f"the {bracket}{at} is not closed", hint)
    if said := _misplaced(lines, mark):
        return Problem(name, mark.line, _begins(line) + 1, "YAML", *said)
    if said := _SLIPS.get(error.problem or ""):
        return Problem(name, *mark, "YAML", *said)
    message = ", ".join(part for part in (error.context, error.problem) if part) or "not YAML"
    return Problem(name, *mark, "YAML", message)


def _misplaced(lines: Sequence[str], mark: Mark) -> tuple[str, str] | None:
    """What is wrong with how a line is indented, and how it would be right. None: nothing is; the fault is in it."""
    line = lines[mark.line - 1] if mark.line <= len(lines) else ""
    begins = _begins(line)
    open_at = _open_above(lines[: mark.line - 1])
    if not line.strip() or not open_at or begins in open_at:
        return None
    shallower = max((column for column in open_at if column < begins), default=None)
    deeper = min((column for column in open_at if column > begins), default=None)
    near = [f"{column} like line {open_at[column]}" for column in (deeper, shallower) if column is not None]
    return f"indented by {begins}, which fits no line above", f"indent it by {', or by '.join(near)}"


def _begins(line: str) -> int:
    return len(line) - len(line.lstrip(" "))


def _open_above(lines: Sequence[str]) -> dict[int, int]:
    """Indentation of keys and items that may go on below ``lines`` -> the line, from 1, that began with it last."""
    found: dict[int, int] = {}
    for number in range(len(lines), 0, -1):
        line = lines[number - 1]
        begins = _begins(line)
        if not line.strip() or line[begins] == "#" or (found and begins >= min(found)):
            continue
        if item := _ITEM.match(line):
            found.setdefault(item.end(), number)
        found[begins] = number
    return found


class _Stop(Exception):
    def __init__(self, problem: Problem) -> None:
        self.problem = problem


class _Builder:
    """Events to nodes. Problems one can read on from are collected, others end the reading."""

    def __init__(self, text: str, name: str) -> None:
        self._events: Iterator[yaml.Event] = iter(yaml.parse(text, Loader=yaml.CSafeLoader))
        self._name = name
        self._anchors: dict[str, Node | None] = {}
        self._weight = 0
        self.problems: list[Problem] = []

    def document(self) -> Node:
        event = self._next()  # the stream begins
        event = self._next()
        if isinstance(event, yaml.StreamEndEvent):
            raise self._stop(Mark(1, 1), "EMPTY", "there is nothing in the file")
        root = self._node(self._next(), 1)
        self._next()  # the document ends
        event = self._next()
        if not isinstance(event, yaml.StreamEndEvent):
            raise self._stop(_mark(event), "DOCUMENTS", "a second document begins here", "one file holds one document")
        return root

    def _next(self) -> yaml.Event:
        return next(self._events)

    def _node(self, event: yaml.Event, depth: int) -> Node:
        mark = _mark(event)
        if depth > LARGEST_DEPTH:
            raise self._stop(mark, "DEPTH", f"nested deeper than {LARGEST_DEPTH} levels")
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor, mark)
        tag = getattr(event, "tag", None)
        if tag is not None:
            self._note(mark, "TAG", f"tag {tag} is not used here", "leave it out")
        anchor = getattr(event, "anchor", None)
        if anchor is not None:
            self._anchors[anchor] = None
        self._count(1, mark)
        if isinstance(event, yaml.MappingStartEvent):
            node = self._mapping(mark, depth)
        elif isinstance(event, yaml.SequenceStartEvent):
            node = self._sequence(mark, depth)
        else:
            assert isinstance(event, yaml.ScalarEvent)
            node = Node(mark, self._scalar(event, mark))
        if anchor is not None:
            self._anchors[anchor] = node
        return node

    def _alias(self, anchor: str | None, mark: Mark) -> Node:
        assert anchor is not None  # an alias has a name
        node = self._anchors.get(anchor)
        if node is None:
            what = "stands inside what it names" if anchor in self._anchors else "names nothing before it"
            raise self._stop(mark, "ALIAS", f"alias *{anchor} {what}")
        self._count(node.weight, mark)
        return node

    def _count(self, weight: int, mark: Mark) -> None:
        self._weight += weight
        if self._weight > LARGEST_NODES:
            raise self._stop(mark, "SIZE", f"more than {LARGEST_NODES} values, aliases written out")

    def _scalar(self, event: yaml.ScalarEvent, mark: Mark) -> JsonValue:
        text: str = event.value
        if event.style:  # quoted or block
            return text
        try:
            return resolve(text)
        except ValueError as error:
            self._note(mark, "VALUE", str(error))
            return None

    def _sequence(self, mark: Mark, depth: int) -> Node:
        children: dict[str | int, Node] = {}
        while not isinstance(event := self._next(), yaml.SequenceEndEvent):
            children[len(children)] = self._node(event, depth + 1)
        values = [child.value for child in children.values()]
        return Node(mark, values, children, weight=1 + sum(child.weight for child in children.values()))

    def _mapping(self, mark: Mark, depth: int) -> Node:
        children: dict[str | int, Node] = {}
        keys: dict[str, Mark] = {}
        weight = 1
        while not isinstance(event := self._next(), yaml.MappingEndEvent):
            place = _mark(event)
            key = self._node(event, depth + 1)
            child = self._node(self._next(), depth + 1)
            weight += key.weight + child.weight
            if not isinstance(key.value, str):
                self._note(place, "KEY", "a key must be a string", "quote it" if not key.children else "")
            elif key.value in keys:
                first = keys[key.value]
                hint = "remove one" if key.value != "<<" else "merge keys are not part of YAML 1.2"
                self._note(place, "DUPLICATE_KEY", f"key {key.value!r} stands on line {first.line} already", hint)
            else:
                keys[key.value] = place
                children[key.value] = child
        return Node(mark, {key: children[key].value for key in keys}, children, keys, weight)

    def _note(self, mark: Mark, code: str, message: str, hint: str = "") -> None:
        self.problems.append(Problem(self._name, *mark, code, message, hint))

    def _stop(self, mark: Mark, code: str, message: str, hint: str = "") -> _Stop:
        return _Stop(Problem(self._name, *mark, code, message, hint))


def _mark(event: yaml.Event) -> Mark:
    start = event.start_mark
    assert start is not None  # the C parser marks every event
    return Mark(start.line + 1, start.column + 1)
