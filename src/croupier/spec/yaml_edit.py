"""Small changes of YAML or JSON text that leave every other byte alone: order, comments, quotes, line ends.

A change is made in the text and the text read again: what comes of it must be the old value with that change and
nothing else, or the change is refused. So anchors, merges and unusual forms are safe, if not always served.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from croupier.model.edit import Append, Edit, Put, Rename, Replace
from croupier.model.manifest import Path
from croupier.spec.yaml_kubernetes import Unreadable, read_yaml, written

_NULLS = ("", "~", "null", "Null", "NULL")


class Unfit(Exception):
    """The change cannot be made in this text; the message says why."""


def edited(text: str, edits: Iterable[Edit]) -> str:
    """``text``, one document, after ``edits``. Raises ``Unfit``."""
    for each in edits:
        text = _edited(text, each)
    return text


def _edited(text: str, edit: Edit) -> str:
    try:
        before, remarks = read_yaml(text)
        root = yaml.compose(text if text.endswith("\n") else text + "\n", Loader=yaml.CBaseLoader)
    except (Unreadable, yaml.YAMLError) as error:
        raise Unfit("its text is JSON that YAML does not take") from error
    assert root is not None  # something was found in it
    match edit:
        case Put():
            start, end, new = _put(text, root, edit)
        case Append():
            start, end, new = _append(text, root, edit)
        case Replace():
            start, end, new = _replace(root, edit)
        case Rename():
            start, end, new = _rename(root, edit)
    made = text[:start] + new + text[end:]
    try:
        after, new_remarks = read_yaml(made)
    except Unreadable as error:
        raise Unfit(_ENTANGLED) from error
    if after != _expected(before, edit):
        raise Unfit(_ENTANGLED)
    if len(new_remarks) > len(remarks):
        raise Unfit("a merge (<<) brings the key already: it would be there twice")
    return made


_ENTANGLED = "its text is shared by an anchor or written in a form that is not edited"
_Splice = tuple[int, int, str]


def _expected(value: Any, edit: Edit) -> Any:
    """``value`` after ``edit``."""
    made = json.loads(json.dumps(value))  # aliases written out: each place is its own
    holder: Any = made
    *way, last = edit.path
    for step in way:
        if isinstance(edit, Put) and isinstance(holder, dict) and holder.get(str(step)) is None:
            holder[step] = {}
        holder = holder[step]
    match edit:
        case Put():
            holder[last] = _plain(edit)
        case Replace():
            holder[last] = edit.value
        case Append():
            holder[last].append(edit.value)
        case Rename():
            holder[edit.key] = holder.pop(last)
    return made


def _plain(edit: Put) -> Any:
    return list(edit.value) if isinstance(edit.value, tuple) else edit.value


def _descend(root: yaml.Node, path: Path) -> tuple[yaml.Node, yaml.Node | None, Path]:
    """The deepest node on ``path`` that is written, its key, and what of the path is left. Raises ``Unfit``."""
    node, key = root, None
    for depth, step in enumerate(path):
        inner: yaml.Node | None = None
        if isinstance(node, yaml.SequenceNode) and isinstance(step, int) and step < len(node.value):
            inner, key = node.value[step], None
            if inner.start_mark.index < node.start_mark.index:
                raise Unfit(_ENTANGLED)
        elif isinstance(node, yaml.MappingNode):
            for name, value in reversed(node.value):
                if written(name) == step:
                    inner, key = value, name
                    break
            if inner is not None and key is not None and _is_alias(key, inner):
                raise Unfit(_ENTANGLED)
        if inner is None:
            return node, key, path[depth:]
        node = inner
    return node, key, ()


def _is_alias(key: yaml.Node, value: yaml.Node) -> bool:
    """Composed, an alias is the very node that it names, which stands earlier."""
    return bool(value.start_mark.index < key.start_mark.index)


def _put(text: str, root: yaml.Node, edit: Put) -> _Splice:
    node, key, rest = _descend(root, edit.path)
    if not rest and not _is_null(node):
        raise Unfit("something is written there")
    value = _plain(edit)
    for step in reversed(rest[1:]):
        value = {step: value}
    quoted = _is_json(root)
    if _is_null(node) and key is not None:
        new = _flow({str(rest[0]): value} if rest else value, quoted)
        space = "" if text[node.start_mark.index - 1] in " \n" else " "
        return node.start_mark.index, node.end_mark.index, space + new
    if not isinstance(node, yaml.MappingNode) or not isinstance(rest[0], str):
        raise Unfit(_ENTANGLED)
    if node.flow_style or not node.value:
        return _into_flow(node, f"{_name(rest[0], quoted)}: {_flow(value, quoted)}")
    column = node.value[0][0].start_mark.column
    lines = "".join(_block(rest[0], value, column))
    for name, held in reversed(node.value):
        end = _end(name, held)
        if end is not None:
            return _on_new_line(text, end, lines)
    raise Unfit("it ends in text of several lines")


def _append(text: str, root: yaml.Node, edit: Append) -> _Splice:
    node, _, rest = _descend(root, edit.path)
    if rest or not isinstance(node, yaml.SequenceNode) or not node.value:
        raise Unfit(_ENTANGLED)
    quoted = _is_json(root)
    last = node.value[-1]
    if node.flow_style:
        index = last.end_mark.index
        return index, index, f", {_flow(edit.value, quoted)}"
    end = _end(last, last)
    if end is None:
        raise Unfit("it ends in text of several lines")
    dash = text.rindex("-", 0, last.start_mark.index)
    column = dash - (text.rfind("\n", 0, dash) + 1)
    return _on_new_line(text, end, f"{' ' * column}- {edit.value}\n")


def _replace(root: yaml.Node, edit: Replace) -> _Splice:
    node, _, rest = _descend(root, edit.path)
    if rest or not isinstance(node, yaml.ScalarNode) or node.style in ("|", ">"):
        raise Unfit(_ENTANGLED)
    return node.start_mark.index, node.end_mark.index, _quoted_as(node, edit.value)


def _rename(root: yaml.Node, edit: Rename) -> _Splice:
    _, key, rest = _descend(root, edit.path)
    if rest or not isinstance(key, yaml.ScalarNode):
        raise Unfit(_ENTANGLED)
    return key.start_mark.index, key.end_mark.index, _quoted_as(key, edit.key)


def _into_flow(node: yaml.MappingNode, entry: str) -> _Splice:
    if not node.value:
        index = node.start_mark.index + 1
        return index, index, entry
    name, held = node.value[-1]
    if _is_alias(name, held):
        index = node.start_mark.index + 1
        return index, index, f"{entry}, "
    index = held.end_mark.index
    return index, index, f", {entry}"


def _on_new_line(text: str, end: int, lines: str) -> _Splice:
    """After the line that ``end`` is on, with the comment that may stand behind it."""
    index = text.find("\n", end)
    if index < 0:
        return len(text), len(text), "\n" + lines.removesuffix("\n")
    return index + 1, index + 1, lines


def _end(key: yaml.Node, value: yaml.Node) -> int | None:
    """Where the text of an entry ends; None where that cannot be told: behind text of several lines."""
    while True:
        if _is_alias(key, value):
            return int(key.end_mark.index)
        if isinstance(value, yaml.ScalarNode):
            if value.style in ("|", ">"):
                return None
            return int(key.end_mark.index if _is_null(value) and not value.value else value.end_mark.index)
        assert isinstance(value, (yaml.MappingNode, yaml.SequenceNode))
        if value.flow_style or not value.value:
            return int(value.end_mark.index)
        last = value.value[-1]
        key, value = last if isinstance(value, yaml.MappingNode) else (last, last)


def _is_null(node: yaml.Node) -> bool:
    return isinstance(node, yaml.ScalarNode) and not node.style and node.value in _NULLS


def _is_json(root: yaml.Node) -> bool:
    """Whether it is written as JSON: keys in double quotes, from the first on."""
    return isinstance(root, yaml.MappingNode) and bool(root.flow_style) and root.value[0][0].style == '"'


def _quoted_as(node: yaml.ScalarNode, value: str) -> str:
    return f"{node.style}{value}{node.style}" if node.style else value


def _name(key: str, quoted: bool) -> str:
    return json.dumps(key) if quoted else key


def _flow(value: Any, quoted: bool) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_name(key, quoted)}: {_flow(each, quoted)}" for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(_flow(each, quoted) for each in value) + "]"
    return value if isinstance(value, str) and not quoted else json.dumps(value)


def _block(key: str, value: Any, column: int) -> Iterable[str]:
    if isinstance(value, Mapping):
        yield f"{' ' * column}{key}:\n"
        for name, each in value.items():
            yield from _block(name, each, column + 2)
    else:
        yield f"{' ' * column}{key}: {_flow(value, False)}\n"
