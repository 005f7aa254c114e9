"""Bodies of strangers: read within bounds of size, time, depth and number of values, or refused with a reason.

An API server sends objects of at most 3 MiB that it has decoded itself. Whoever else reaches the port must not be able
to take the memory, the processor or the parser of the one that every change of the cluster waits for.
"""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple, Never

from croupier.model.objects import JsonObject

LARGEST_BYTES = 4 * 1024 * 1024
"""Twice the largest object that etcd takes by default, 1.5 MiB, and room: a review of an update holds two."""
MOST_VALUES = 50_000
"""In a body: every value may be a finding of several rules."""
MOST_NUMBER = 2**64
"""API servers know no whole number that 64 bits do not hold."""
DEEPEST = 100
"""Levels. Custom resources of people stay below 40."""


class Unfit(Exception):
    """The body cannot be judged. ``status``: of the answer; ``reason``: for metrics, a word of a short list."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message


class Parsed(NamedTuple):
    """A body, and how many values are in it."""

    value: JsonObject
    values: int


def parsed(raw: bytes) -> Parsed:
    """The JSON object in ``raw``. Raises ``Unfit`` for what is none (RFC 8259: NaN and Infinity are none), and for one
    that is deeper or holds more than what can be judged in bounded time.
    """
    try:
        value = json.loads(raw, parse_constant=_no_number)
    except RecursionError as error:
        raise Unfit(400, "too-deep", f"the body is nested deeper than {DEEPEST} levels") from error
    except ValueError as error:  # UnicodeDecodeError, JSONDecodeError, and integers too long to be read
        raise Unfit(400, "no-json", "the body is not JSON") from error
    if type(value) is not dict:
        raise Unfit(400, "no-object", "the body is not a JSON object")
    return Parsed(value, _counted(value))


def _no_number(text: str) -> Never:
    raise ValueError(f"{text} is not JSON")


def _counted(value: JsonObject) -> int:
    """How many values there are. Walks level by level, so that depth costs no stack."""
    level: list[Any] = [value]
    seen = depth = 0
    while level:
        depth += 1
        seen += len(level)
        if depth > DEEPEST:
            raise Unfit(400, "too-deep", f"the body is nested deeper than {DEEPEST} levels")
        if seen > MOST_VALUES:
            raise Unfit(400, "too-many", f"the body holds more than {MOST_VALUES} values")
        below: list[Any] = []
        for each in level:
            if type(each) is dict:
                below.extend(each.values())
            elif type(each) is list:
                below.extend(each)
            elif (type(each) is float and not math.isfinite(each)) or (type(each) is int and abs(each) >= MOST_NUMBER):
                raise Unfit(400, "no-json", "a number of the body is out of range")
        level = below
    return seen
