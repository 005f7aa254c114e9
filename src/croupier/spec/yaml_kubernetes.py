"""YAML and JSON as kubectl reads them: the rules of Go's ``sigs.k8s.io/yaml``, which are YAML 1.1 with exceptions.

``y`` and ``no`` are booleans, ``0644`` and ``0o644`` are 420, ``1e3`` is a number, ``12:30`` and dates are strings,
keys become strings, merge keys are applied in their place, the last of two equal keys wins (and is remarked on).
Compared with kubectl itself in ``tests/integration/test_kubectl_reads_alike.py``. Depth, size and size after aliases
are bounded.
"""

from __future__ import annotations

import base64
import json
import re
import struct
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import yaml
from yaml.cyaml import CParser  # type: ignore[attr-defined]  # the stubs hide it

from croupier.errors import Problem, SpecError
from croupier.model.manifest import Path, Place, Remark, Source
from croupier.model.objects import JsonObject

LARGEST_DEPTH = 200
LARGEST_NODES = 1_000_000
"""Values of a document, each alias counted as all it stands for."""
_REMEMBERED = 50_000

_MARKER = re.compile(r"^---(.*)$", re.MULTILINE)
_HALF = re.compile(r"\\(?:u[dD][89abAB]..\\u[dD][c-fC-F]..|(u[dD][89a-fA-F]..)|.)", re.DOTALL)
"""An escape in JSON; one that is half a character alone is group 1."""
_INT = re.compile(r"([-+]?)(?:0[bB]([01]+)|0[oO]([0-7]+)|0[xX]([0-9a-fA-F]+)|0([0-7]+)|(0|[1-9][0-9]*))")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NUMERIC_START = frozenset("+-.0123456789")
_NOT_FINITE = frozenset(
    f"{sign}.{word}" for sign in ("", "+", "-") for word in ("inf", "Inf", "INF", "nan", "NaN", "NAN")
)
_CONSTANTS: dict[str, bool | None] = (
    dict.fromkeys(("", "~", "null", "Null", "NULL"))
    | dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True)
    | dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False)
)
_TYPED = {
    "tag:yaml.org,2002:int": (int,),
    "tag:yaml.org,2002:float": (int, float),
    "tag:yaml.org,2002:bool": (bool,),
    "tag:yaml.org,2002:null": (type(None),),
}
_BINARY = "tag:yaml.org,2002:binary"

Scalar = str | int | float | bool | None


class Unreadable(Exception):
    """There is no reading on in this document. The line counts from 1 within the document."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(message)
        self.line, self.column, self.message = line, column, message


def resolve(text: str) -> Scalar:
    """The value of a plain scalar. Raises ``ValueError`` for what JSON cannot hold (``.inf``)."""
    if text in _CONSTANTS:
        return _CONSTANTS[text]
    if text[0] not in _NUMERIC_START:
        return text
    if text in _NOT_FINITE:
        raise ValueError(f"{text} is no JSON number")
    plain = text.replace("_", "")
    found = _INT.fullmatch(plain)
    if found and len(plain) < 100:
        sign, *digits = found.groups()
        base, number = next((base, each) for base, each in zip((2, 8, 16, 8, 10), digits, strict=True) if each)
        whole = int(sign + number, base)
        # Go holds 64 bits; beyond them it goes on in floating point.
        return whole if -(2**63) <= whole < 2**63 else float(whole)
    if _FLOAT.fullmatch(plain):
        value = float(plain)
        return value if abs(value) != float("inf") else text
    return text


def documents(text: str, file: str) -> Iterator[tuple[Source, JsonObject | list[Any] | Scalar, list[Remark]]]:
    """The documents of ``text`` that hold anything, in order. Raises ``SpecError`` at the first that is none."""
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    if text.lstrip()[:1] == "{":
        read = _json_stream(text, file)
        if read is not None:
            yield from read
            return
    for source in _split(text, file):
        try:
            value, remarks = read_yaml(source.text)
        except Unreadable as stop:
            place = (source.line + stop.line, stop.column)
            raise SpecError([Problem(file, *place, "YAML", stop.message)]) from None
        if value is not None:
            yield source, value, remarks


def _split(text: str, file: str) -> Iterator[Source]:
    """A stream at its ``---`` lines, which cannot stand at column one inside a value (YAML 1.2.2 §9.1.2)."""
    begin, line = 0, 0
    for marker in _MARKER.finditer(text):
        rest = marker[1].strip()
        if rest and not rest.startswith("#"):
            number = text.count("\n", 0, marker.start()) + 1
            raise SpecError(
                [Problem(file, number, 1, "YAML", "text after ---", "kubectl wants the document on the next line")]
            )
        part = text[begin : marker.start()]
        if part.strip():
            yield Source(file, line, part)
        line += part.count("\n") + 1
        begin = marker.end() + 1
    if text[begin:].strip():
        yield Source(file, line, text[begin:])


def _json_stream(text: str, file: str) -> list[tuple[Source, Any, list[Remark]]] | None:
    """JSON objects one after another, or None when it is not JSON (a flow mapping in YAML, say)."""
    found: list[tuple[Source, Any, list[Remark]]] = []
    if "\\u" in text:
        # Go reads half a surrogate pair as U+FFFD; nothing that holds one could be written as UTF-8.
        text = _HALF.sub(lambda escape: "\\ufffd" if escape[1] else escape[0], text)
    at = 0
    while at < len(text):
        begin = at + len(text[at:]) - len(text[at:].lstrip())
        if begin == len(text):
            break
        doubled: _Doubled = {}
        line = text.count("\n", 0, begin)

        def pairs(held: list[tuple[str, Any]], doubled: _Doubled = doubled) -> JsonObject:
            made = dict(held)
            if len(made) != len(held):
                times = Counter(key for key, _ in held)
                doubled[id(made)] = made, [key for key in times if times[key] > 1]
            return made

        decoder = json.JSONDecoder(object_pairs_hook=pairs, parse_constant=_no_constant, parse_int=resolve)
        try:
            value, at = decoder.raw_decode(text, begin)
        except (ValueError, RecursionError):
            return None
        checked = _checked(value, file, line)
        found.append((Source(file, line, text[begin:at]), checked, list(_doubled_in(checked, doubled))))
    return found


_Doubled = dict[int, tuple[JsonObject, list[str]]]
"""id of a mapping -> the mapping, which keeps the id its own, and its keys that are written twice."""


def _doubled_in(value: Any, doubled: _Doubled) -> Iterator[Remark]:
    """What is written twice in ``value``, each with its path."""
    stack: list[tuple[Path, Any]] = [((), value)] if doubled else []
    while stack:
        path, each = stack.pop()
        if isinstance(each, dict):
            for key in doubled.get(id(each), (each, []))[1]:
                yield _twice((*path, key))
            stack.extend(((*path, key), inner) for key, inner in each.items())
        elif isinstance(each, list):
            stack.extend(((*path, index), inner) for index, inner in enumerate(each))


def _no_constant(name: str) -> None:
    raise ValueError(name)


def _checked(value: Any, file: str, line: int) -> Any:
    """``value`` if it is no deeper than is read. Raises ``SpecError``."""
    level = [value]
    for _ in range(LARGEST_DEPTH):
        level = [
            inner
            for each in level
            if isinstance(each, (dict, list))
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return value
    raise SpecError([Problem(file, line + 1, 1, "YAML", f"nested deeper than {LARGEST_DEPTH} levels")])


_resolved: dict[str, Scalar] = {}
"""Plain scalars met so far: manifests repeat themselves."""


def read_yaml(text: str) -> tuple[Any, list[Remark]]:
    """The first document in ``text`` and what is to be said of it; None for an empty one. Raises ``Unreadable``."""
    try:
        return _Builder(text).read()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        said = ", ".join(part for part in (error.context, error.problem) if part) or "not YAML"
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise Unreadable(line, column, said) from None
    except yaml.YAMLError as error:
        raise Unreadable(1, 1, str(error).split("\n", 1)[0]) from None


class _Builder:
    """Events to plain values, without recursion: one open collection a level on a stack."""

    def __init__(self, text: str) -> None:
        # kubectl's reader ends the last line where the file does not.
        self._next: Callable[[], Any] = CParser(text if text.endswith("\n") else text + "\n").get_event
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._nodes = 0
        self.remarks: list[Remark] = []

    def read(self) -> tuple[Any, list[Remark]]:
        self._next()
        if type(self._next()) is yaml.StreamEndEvent:
            return None, []
        value = self._value()
        self._next()
        after = self._next()
        if type(after) is not yaml.StreamEndEvent:
            mark = after.start_mark
            raise Unreadable(mark.line + 1, mark.column + 1, "kubectl reads no further than the line `...`")
        return value, self.remarks

    def _value(self) -> Any:  # one loop on purpose: it runs once for every value of every file
        get = self._next
        scalar, alias = yaml.ScalarEvent, yaml.AliasEvent
        begins_map, begins_list = yaml.MappingStartEvent, yaml.SequenceStartEvent
        known = _resolved
        stack: list[tuple[Any, Any, tuple[str, int] | None]] = []
        holder: Any = None  # the open collection; None at the root
        key: Any = _NO_KEY
        anchored: tuple[str, int] | None = None
        nodes = 0
        while True:
            event = get()
            kind = type(event)
            nodes += 1
            if kind is scalar:
                if event.tag is not None:
                    value = _tagged(event)
                elif event.style:
                    value = event.value
                else:
                    text = event.value
                    if text in known:
                        value = known[text]
                    else:
                        try:
                            value = resolve(text)
                            if len(known) < _REMEMBERED:
                                known[text] = value
                        except ValueError as error:
                            if key is not _NO_KEY or type(holder) is not dict:
                                raise _at(event, str(error)) from None
                            value = text
                if event.anchor is not None:
                    self._anchors[event.anchor] = (value, 1)
            elif kind is begins_map or kind is begins_list:
                if len(stack) >= LARGEST_DEPTH:
                    raise _at(event, f"nested deeper than {LARGEST_DEPTH} levels")
                if key is _NO_KEY and type(holder) is dict:
                    raise _at(event, "a key must be a scalar")
                stack.append((holder, key, anchored))
                anchored = None
                if event.anchor is not None:
                    anchored = (event.anchor, nodes)
                    self._anchors[event.anchor] = (_OPEN, nodes)
                holder, key = ({} if kind is begins_map else []), _NO_KEY
                continue
            elif kind is alias:
                value, weight = self._anchors.get(event.anchor, (_NO_KEY, 0))
                if value is _NO_KEY or value is _OPEN:
                    what = "stands inside what it names" if value is _OPEN else "names nothing before it"
                    raise _at(event, f"alias *{event.anchor} {what}")
                nodes += weight
            else:  # a collection ends
                value = holder
                if anchored is not None and self._anchors[anchored[0]] == (_OPEN, anchored[1]):
                    self._anchors[anchored[0]] = (value, nodes - anchored[1])
                holder, key, anchored = stack.pop()
            if nodes > LARGEST_NODES:
                raise _at(event, f"more than {LARGEST_NODES} values, aliases written out")
            if holder is None:
                return value
            if type(holder) is list:
                holder.append(value)
            elif key is _NO_KEY:
                if kind is scalar and not event.style and event.tag is None and event.value == "<<":
                    key = _MERGE
                else:
                    key = value if type(value) is str else _key(value, event)
                    if key in holder:
                        self.remarks.append(_twice((*_path(stack), key)))
                        del holder[key]
            elif key is _MERGE:
                _merge(holder, value, event)
                key = _NO_KEY
            else:
                holder[key] = value
                key = _NO_KEY


_NO_KEY, _MERGE, _OPEN = object(), object(), object()


def _at(event: yaml.Event, message: str) -> Unreadable:
    mark = event.start_mark
    assert mark is not None  # the C parser marks every event
    return Unreadable(mark.line + 1, mark.column + 1, message)


def _path(stack: list[tuple[Any, Any, Any]]) -> Path:
    """Where the innermost open collection stands."""
    return tuple(len(holder) if type(holder) is list else key for holder, key, _ in stack[1:])


def _twice(path: Path) -> Remark:
    return Remark(path, f"{path[-1]!r} is written twice; the last one counts")


def _plain(event: yaml.ScalarEvent) -> Scalar:
    try:
        return resolve(event.value)
    except ValueError as error:
        raise _at(event, str(error)) from None


def _tagged(event: yaml.ScalarEvent) -> Scalar:
    tag, text = event.tag, event.value
    if tag == _BINARY:
        try:
            return base64.b64decode(text, validate=False).decode("utf-8")
        except ValueError:
            raise _at(event, "!!binary holds no base64 of text") from None
    if tag in _TYPED:
        value = _plain(event)
        if type(value) not in _TYPED[tag]:
            raise _at(event, f"{text!r} is no {tag.rpartition(':')[2]}")
        return value
    return str(text)


def _key(value: Any, event: yaml.Event) -> str:
    """A key as JSON has it (``sigs.k8s.io/yaml`` writes floating point in 32 bits). Raises ``Unreadable``."""
    if type(value) is bool:
        return "true" if value else "false"
    if type(value) is int:
        return str(value)
    if type(value) is float:
        return _float32(value)
    raise _at(event, "a key must be a string" if value is None else "a key must be a scalar")


def _float32(value: float) -> str:
    """The shortest digits that give ``value`` in 32 bits again, as Go's %g writes them."""
    single = struct.pack("f", value)
    written = next((f"{value:.{n}e}" for n in range(8) if struct.pack("f", float(f"{value:.{n}e}")) == single), "")
    written = written or f"{value:.8e}"
    digits, _, exponent = written.partition("e")
    power = int(exponent)
    if power < -4 or power >= 21:
        return f"{digits}e{power:+03d}"
    whole = float(written)
    return f"{whole:.{max(0, len(digits.lstrip('-').replace('.', '')) - 1 - power)}f}"


def _merge(holder: dict[str, Any], value: Any, event: yaml.Event) -> None:
    """Apply ``<<`` where it stands: keys before it are overwritten; of a list, the first mapping wins."""
    parts = value if type(value) is list else [value]
    if not all(type(each) is dict for each in parts):
        raise _at(event, "<< merges a mapping or a list of mappings")
    for part in reversed(parts):
        holder.update(part)


# --- places -----------------------------------------------------------------------------------------------------------


class _Nodes(CParser):
    """The parser, and of what it asks a resolver only as much as it cannot go without: nobody reads these tags.

    What a loader of yaml's does for each node takes half of the time in which a report is made.
    """

    def descend_resolver(self, _parent: object, _index: object) -> None: ...

    def ascend_resolver(self) -> None: ...

    def resolve(self, _kind: object, _value: object, _implicit: object) -> str:
        return ""


class Places:
    """Where the keys and values of one document stand. Made only for documents somebody has to be shown."""

    def __init__(self, source: Source) -> None:
        self._source = source
        text = source.text
        try:
            self._root = _Nodes(text if text.endswith("\n") else text + "\n").get_single_node()
        except yaml.YAMLError:  # JSON that YAML does not take, a tab before a key say
            self._root = None

    def of(self, path: Path) -> Place:
        """The place of the key or item at ``path``, or of its nearest parent that is written."""
        node, place = self._root, None
        for step in path:
            inner, found = _step(node, step)
            if inner is None or found is None:
                break
            node, place = inner, found
        if place is None:
            place = self._root.start_mark if self._root is not None else None
        if place is None:
            return Place(self._source.line + 1, 1)
        return Place(self._source.line + place.line + 1, place.column + 1)


def _step(node: yaml.Node | None, step: str | int) -> tuple[yaml.Node | None, Any]:
    if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
        inner = node.value[step]
        return inner, inner.start_mark
    if isinstance(node, yaml.MappingNode):
        for key, value in reversed(node.value):
            if written(key) == step:
                return value, key.start_mark
        for key, value in reversed(node.value):
            if isinstance(key, yaml.ScalarNode) and key.value == "<<":
                for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                    inner, mark = _step(part, step)
                    if inner is not None:
                        return inner, mark
    return None, None


def written(key: yaml.Node) -> str:
    """A key as it is in the value that is read; "" for one that is no scalar."""
    if not isinstance(key, yaml.ScalarNode):
        return ""
    text: str = key.value
    if key.style or text not in _CONSTANTS:
        return text
    return {True: "true", False: "false", None: ""}[_CONSTANTS[text]]
