"""Functions of types: a value -> what is wrong with it, in words that people act on."""

from __future__ import annotations

import binascii
import re
from base64 import b64decode
from collections.abc import Callable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple

from croupier.model.manifest import Path
from croupier.model.objects import JsonObject
from croupier.model.quantity import is_quantity


class Flaw(NamedTuple):
    """What is wrong with an object, and where in it."""

    path: Path
    message: str


Check = Callable[[Any], "list[Flaw] | None"]
"""A value -> what is wrong with it; None, and not an empty list, where nothing is."""

TYPES = {
    "string": "a string", "boolean": "true or false", "integer": "a whole number", "number": "a number",
    "object": "a mapping", "array": "a list",
}  # fmt: skip
_TIME = re.compile(r"\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d([.,]\d{1,40})?([Zz]|[+-]\d\d:\d\d)", re.ASCII)
_LONGEST_GUESSED = 80
_MOST_GUESSES = 10
"""Unknown fields of one mapping for which a like name is looked for."""
_LONGEST_SHOWN = 40


def object_of(fields: Mapping[str, Check], required: Sequence[str], *, is_open: bool, is_custom: bool) -> Check:
    """A mapping with ``fields``, those ``required`` among them, and others too if it ``is_open``.

    To the API server null is a field that was not given; in a custom resource it is a value as any.
    """
    known = dict(fields)

    def check(value: Any) -> list[Flaw] | None:
        if type(value) is not dict:
            return _wrong(value, "object")
        found: list[Flaw] | None = None
        for key, inner in value.items():
            field = known.get(key)
            if field is None:
                if not is_open:
                    found = _also(found, (key,), None)
            elif (inner is not None or is_custom) and (flaws := field(inner)) is not None:
                found = _also(found, (key,), flaws)
        for key in required:
            if value.get(key) is None and (key not in value or not is_custom):
                found = _also(found, (), [Flaw((), f"{key} is missing")])
        return found if found is None else _guessed(found, value, known)

    return check


def list_of(item: Check) -> Check:
    def check(value: Any) -> list[Flaw] | None:
        if type(value) is not list:
            return _wrong(value, "array")
        found: list[Flaw] | None = None
        for index, each in enumerate(value):
            if (flaws := item(each)) is not None:
                found = _also(found, (index,), flaws)
        return found

    return check


def map_of(inner: Check) -> Check:
    def check(value: Any) -> list[Flaw] | None:
        if type(value) is not dict:
            return _wrong(value, "object")
        found: list[Flaw] | None = None
        for key, each in value.items():
            if each is not None and (flaws := inner(each)) is not None:
                found = _also(found, (key,), flaws)
        return found

    return check


_UNKNOWN = ""
"""The message of a field that is not known, until all of them are."""


def _also(found: list[Flaw] | None, path: Path, flaws: list[Flaw] | None) -> list[Flaw]:
    """``found`` and ``flaws``, whose paths begin with ``path``; without ``flaws``, what stands there is not known."""
    more = [Flaw(path, _UNKNOWN)] if flaws is None else [Flaw((*path, *each.path), each.message) for each in flaws]
    return more if found is None else found + more


def _guessed(found: list[Flaw], value: JsonObject, known: Mapping[str, Check]) -> list[Flaw]:
    """``found`` with words for the fields that are not known."""
    left = [name for name in known if name not in value]
    guesses = 0
    said = []
    for each in found:
        if each.message != _UNKNOWN:
            said.append(each)
            continue
        guesses += 1
        near = meant(str(each.path[0]), left) if guesses <= _MOST_GUESSES else ""
        said.append(Flaw(each.path, f"there is no field {_shown(each.path[0])} here{near}"))
    return said


def enumeration(values: Sequence[str]) -> Check:
    members = frozenset(values)
    listed = ", ".join(sorted(each for each in members if each))

    def check(value: Any) -> list[Flaw] | None:
        if type(value) is not str:
            return _wrong(value, "string")
        if value in members:
            return None
        return [Flaw((), f"{_shown(value)} is none of {listed}{meant(value, values)}")]

    return check


def integer(bits: int) -> Check:
    least, most = -(2**bits), 2**bits - 1

    def check(value: Any) -> list[Flaw] | None:
        # Go reads 3.0 in YAML as 3.
        if type(value) is not int and not (type(value) is float and value.is_integer()):
            return _wrong(value, "integer")
        return None if least <= value <= most else [Flaw((), f"{_shown(value)} does not fit in {bits + 1} bits")]

    return check


def string(value: Any) -> list[Flaw] | None:
    return None if type(value) is str else _wrong(value, "string")


def boolean(value: Any) -> list[Flaw] | None:
    return None if type(value) is bool else _wrong(value, "boolean")


def number(value: Any) -> list[Flaw] | None:
    return None if _is_number(value) else _wrong(value, "number")


def mapping(value: Any) -> list[Flaw] | None:
    return None if type(value) is dict else _wrong(value, "object")


def anything(_value: Any) -> None:
    return None


def quantity(value: Any) -> list[Flaw] | None:
    if _is_number(value) or (type(value) is str and is_quantity(value)):
        return None
    return [Flaw((), f"{_shown(value)} is no quantity like 300m, 0.5 or 512Mi")]


_INT32 = integer(31)


def int_or_string(value: Any) -> list[Flaw] | None:
    if type(value) is str:
        return None
    if type(value) is int or (type(value) is float and value.is_integer()):
        return _INT32(value)
    return [Flaw((), f"must be a whole number or a string, not {_shown(value)}")]


def _time(value: Any) -> list[Flaw] | None:
    if type(value) is str:
        return None if _TIME.fullmatch(value) else [Flaw((), f"{_shown(value)} is no time like 2027-01-31T00:00:00Z")]
    return _wrong(value, "string")


def _base64(value: Any) -> list[Flaw] | None:
    if type(value) is not str:
        return _wrong(value, "string")
    try:
        b64decode(value.replace("\n", "").replace("\r", ""), validate=True)
    except (binascii.Error, ValueError):
        return [Flaw((), "is not base64; plain text of a Secret belongs in stringData")]
    return None


FORMATS: Mapping[str, Check] = {"date-time": _time, "byte": _base64}


def _least(limit: float) -> Callable[[Any], str | None]:
    return lambda value: None if value >= limit else f"{value} is less than {limit}"


def _most(limit: float) -> Callable[[Any], str | None]:
    return lambda value: None if value <= limit else f"{value} is more than {limit}"


def _shortest(limit: float) -> Callable[[Any], str | None]:
    return lambda value: None if len(value) >= limit else f"its length is {len(value)}, at least {limit} is needed"


def _longest(limit: float) -> Callable[[Any], str | None]:
    return lambda value: None if len(value) <= limit else f"its length is {len(value)}, at most {limit} is allowed"


_OF_NUMBERS = {"minimum": _least, "maximum": _most}
_BOUNDS: Mapping[str, Mapping[str, Callable[[float], Callable[[Any], str | None]]]] = {
    "integer": _OF_NUMBERS,
    "number": _OF_NUMBERS,
    "string": {"minLength": _shortest, "maxLength": _longest},
    "array": {"minItems": _shortest, "maxItems": _longest},
    "object": {"minProperties": _shortest, "maxProperties": _longest},
}
"""Type -> keyword -> what makes a test of its limit."""


def bounded(kind: str, schema: JsonObject, check: Check) -> Check:
    """``check`` and the bounds that ``schema`` sets to a value of type ``kind``, or to its length."""
    bounds = [make(schema[key]) for key, make in _BOUNDS.get(kind, {}).items() if key in schema]
    if not bounds:
        return check

    def bounded(value: Any) -> list[Flaw] | None:
        found = check(value)
        if found is not None:
            return found
        said = [message for each in bounds if (message := each(value)) is not None]
        return [Flaw((), ", ".join(said))] if said else None

    return bounded


# --- words ------------------------------------------------------------------------------------------------------------


def _is_number(value: Any) -> bool:
    return type(value) in (int, float)


def _wrong(value: Any, wanted: str) -> list[Flaw]:
    quotes = ": put it in quotes" if wanted == "string" and type(value) in (int, float, bool) else ""
    return [Flaw((), f"must be {TYPES[wanted]}, not {_shown(value)}{quotes}")]


def _shown(value: Any) -> str:
    """``value`` in a few words."""
    if value is None or type(value) is bool:
        return {None: "null", True: "true", False: "false"}[value]
    if type(value) is dict:
        return "a mapping"
    if type(value) is list:
        return "a list"
    if type(value) is int and abs(value) > 10**_LONGEST_SHOWN:
        return "a larger number"
    said = repr(value)
    return said if len(said) <= _LONGEST_SHOWN else f"{said[: _LONGEST_SHOWN - 1]}…"


def meant(name: str, known: Sequence[str]) -> str:
    """``; did you mean …?``, or nothing where no known name is like ``name``."""
    near = get_close_matches(name, known, n=1) if len(name) <= _LONGEST_GUESSED else []
    return f"; did you mean {near[0]}?" if near else ""
