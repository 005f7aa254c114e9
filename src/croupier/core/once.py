"""Values that a desk holds for as long as a release lives, in less memory.

A plan says the same again and again: a step's way back is what the step before it did, and all of it names two digests.
For each value pydantic keeps a set of names besides, which fields were given: a desk of a thousand live releases would
hold a hundred thousand such sets, of which a few dozen differ.
"""

from __future__ import annotations

from sys import intern
from typing import TypeVar

from croupier.model.base import Value

_Held = TypeVar("_Held", bound=Value)

_GIVEN: dict[frozenset[str], set[str]] = {}
"""Sets of names of fields, each once: a few for each kind of value. Values are frozen, so nobody changes one."""


def once(value: _Held) -> _Held:
    """The value itself, with what is equal in it kept once: values, tuples and words. Nobody else may hold it yet."""
    _share(value, {})
    return value


def _share(value: Value, met: dict[object, object]) -> None:
    given = value.model_fields_set
    object.__setattr__(value, "__pydantic_fields_set__", _GIVEN.setdefault(frozenset(given), given))
    fields = value.__dict__
    for name, held in fields.items():
        fields[name] = _met(held, met)


def _met(held: object, met: dict[object, object]) -> object:
    """``held``, or what is equal to it and was met before. ``met``: what was met; of tuples by the parts themselves."""
    if type(held) is str:  # words of an enumeration are kept once as they are
        return intern(held)
    if isinstance(held, tuple):
        parts = tuple(_met(each, met) for each in held)
        return met.setdefault((tuple, *map(id, parts)), parts)
    if not isinstance(held, Value):
        return held
    _share(held, met)
    try:
        return met.setdefault(held, held)
    except TypeError:  # it holds a mapping, so it has no hash
        return held
