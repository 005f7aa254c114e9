"""Plain dataclasses as JSON: fields in camelCase, as docs/reference/json.md names them.

The standard library indents in Python, string by string; a report of twenty thousand findings would take longer to
print than to make.
"""

from __future__ import annotations

import json
import re
from dataclasses import fields, is_dataclass
from json.encoder import encode_basestring
from typing import Any

_LONE = re.compile("[\ud800-\udfff]")


def in_json(name: str) -> str:
    """The name of a field in JSON: ``apiVersion`` for ``api_version``."""
    first, *more = name.split("_")
    return first + "".join(each.capitalize() for each in more)


_named: dict[Any, tuple[tuple[str, str], ...]] = {}


def _names(kind: Any) -> tuple[tuple[str, str], ...]:
    """(field, name in JSON) of a dataclass; of any other type none."""
    if kind not in _named:
        _named[kind] = tuple((each.name, in_json(each.name)) for each in fields(kind)) if is_dataclass(kind) else ()
    return _named[kind]


def as_json(value: Any) -> Any:
    """``value`` as mappings, lists and scalars."""
    if names := _names(type(value)):
        return {name: as_json(getattr(value, field)) for field, name in names}
    return [as_json(each) for each in value] if isinstance(value, tuple) else value


def json_text(value: Any) -> str:
    """``value`` as one document, two blanks a level, as ``json.dumps`` writes it.

    Half a surrogate, which JSON may hold and UTF-8 may not, is written as an escape.
    """
    said = _written(value, "\n")
    return said if said.isascii() else _LONE.sub(lambda found: f"\\u{ord(found[0]):04x}", said)


def _written(value: Any, line: str) -> str:
    """``line``: a line's end and the blanks before what stands at this level."""
    kind = type(value)
    if kind is str:
        return encode_basestring(value)
    if kind is int:
        return str(value)
    inner = f"{line}  "
    if names := _names(kind):
        said = [
            f'"{name}": {encode_basestring(held)}'
            if type(held := getattr(value, field)) is str
            else f'"{name}": {_written(held, inner)}'
            for field, name in names
        ]
    elif kind is dict:
        said = [f"{encode_basestring(str(key))}: {_written(each, inner)}" for key, each in value.items()]
    elif kind is tuple or kind is list:
        said = [_written(each, inner) for each in value]
        return f"[{inner}{f',{inner}'.join(said)}{line}]" if said else "[]"
    else:
        return json.dumps(value)
    return f"{{{inner}{f',{inner}'.join(said)}{line}}}" if said else "{}"
