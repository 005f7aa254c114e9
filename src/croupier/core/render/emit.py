"""Objects as YAML that every reader understands alike: YAML 1.1 loaders, kubectl's own, and ours.

Only strings that nobody could take for anything else are written plain; the rest in double quotes, text of several
lines as a literal block. Same values, same bytes; a change of one value changes its own lines only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from functools import lru_cache
from typing import Any

from croupier.model.objects import JsonObject

_PLAIN = re.compile(r"[A-Za-z/][A-Za-z0-9_./@-]*(:[A-Za-z0-9_./@-]+)*")
_PRINTABLE = re.compile(r"[\x20-\x7e]*")
_TAKEN = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})
_BLOCK_LINE = re.compile(r"( *[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?)?")
_LONGEST_KEY = 120
"""Longer keys need the explicit form ``? key`` (YAML 1.1 and 1.2: implicit keys end within 1024 characters)."""
_MAPPINGS = (dict, Mapping)  # a dict is told without asking what else is one
_SEQUENCES = (list, tuple)
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}


def documents(objects: Iterable[JsonObject]) -> str:
    """A stream of documents."""
    return "".join(f"---\n{document(each)}" for each in objects)


def document(value: Mapping[str, Any]) -> str:
    """One mapping in block style, keys in the order they have. Raises ``ValueError`` for what YAML cannot say."""
    lines: list[str] = []
    _mapping(lines, value, "", "")
    lines.append("")  # so that the last one ends, too
    return "\n".join(lines) if value else "{}\n"


def sequence(items: Iterable[Mapping[str, Any]]) -> str:
    """A list of mappings. Raises ``ValueError`` as ``document`` does."""
    lines: list[str] = []
    _sequence(lines, items, "", "")
    return "".join(f"{line}\n" for line in lines) or "[]\n"


def _mapping(lines: list[str], value: Mapping[str, Any], indent: str, lead: str) -> None:
    """``lead``: how the first line begins, where that is not ``indent``: behind the dash of a sequence."""
    inner = f"{indent}  "
    for key, item in value.items():
        head = f"{lead}{_key(key)}"
        lead = indent
        if isinstance(item, str):
            if "\n" in item and _is_block(item):
                lines += _block(head, item, inner)
            else:
                lines.append(f"{head} {_string(item)}")
        elif isinstance(item, _MAPPINGS) and item:
            lines.append(head)
            _mapping(lines, item, inner, inner)
        elif isinstance(item, _SEQUENCES) and item:
            lines.append(head)
            _sequence(lines, item, indent, indent)
        else:
            lines.append(f"{head} {_scalar(item)}")


def _sequence(lines: list[str], items: Iterable[Any], indent: str, lead: str) -> None:
    inner = f"{indent}  "
    for item in items:
        start = f"{lead}- "
        lead = indent
        if isinstance(item, str):
            lines.append(f"{start}{_string(item)}")
        elif isinstance(item, _MAPPINGS) and item:
            _mapping(lines, item, inner, start)
        elif isinstance(item, _SEQUENCES) and item:
            _sequence(lines, item, inner, start)
        else:
            lines.append(f"{start}{_scalar(item)}")


def _scalar(value: Any) -> str:
    if isinstance(value, str):
        return _string(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float(value)
    if isinstance(value, _MAPPINGS):
        return "{}"
    if isinstance(value, _SEQUENCES):
        return "[]"
    raise ValueError(f"{type(value).__name__} is not a value of YAML")


def _float(value: float) -> str:
    text = repr(value)
    if "n" in text:  # nan, inf
        raise ValueError(f"{text} is not a number of JSON")
    whole = format(Decimal(text), "f")  # YAML 1.1 takes 1e-05 for a string
    return whole if "." in whole else f"{whole}.0"


@lru_cache(maxsize=8192)  # keys and labels come again and again
def _key(text: str) -> str:
    name = _string(text)
    if len(name) > _LONGEST_KEY:
        raise ValueError(f"a key of {len(name)} characters")
    return f"{name}:"


@lru_cache(maxsize=8192)
def _string(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _TAKEN:
        return text
    if _PRINTABLE.fullmatch(text):
        escaped = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{escaped}"'
    return '"' + "".join(map(_character, text)) + '"'


def _character(one: str) -> str:
    if one in _ESCAPES:
        return _ESCAPES[one]
    code = ord(one)
    if 0x20 <= code < 0x7F or (0xA1 <= code < 0xD800 and code not in (0x2028, 0x2029)):
        return one
    if 0xD800 <= code < 0xE000:
        raise ValueError(f"U+{code:04X} is half a character")
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _is_block(text: str) -> bool:
    """Whether a literal block says exactly this text of several lines: plain ASCII, none that ends in space."""
    first, *rest = lines = text.removesuffix("\n").split("\n")
    if not rest or not first or first[0] == " " or not lines[-1]:
        return False
    return all(map(_BLOCK_LINE.fullmatch, lines))


def _block(head: str, text: str, indent: str) -> Iterator[str]:
    yield f"{head} |" if text.endswith("\n") else f"{head} |-"
    for line in text.removesuffix("\n").split("\n"):
        yield f"{indent}{line}" if line else ""
