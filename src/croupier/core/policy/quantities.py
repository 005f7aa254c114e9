"""Quantities as Kubernetes writes them, and percentages."""

from __future__ import annotations

import re
from math import ceil
from typing import Any

from croupier.model.quantity import size

_DIGITS = re.compile(r"[0-9]{1,18}")
_MOST = 2**63


def quantity(value: Any) -> float | None:
    """Cores, bytes or pieces: ``300m`` is 0.3; None for what is no quantity."""
    try:
        if type(value) in (int, float):
            return float(value)
        return float(size(value)) if type(value) is str else None
    except (ValueError, OverflowError):
        return None


def whole(value: Any) -> int | None:
    """``value`` if it is a whole number (and no boolean) that 64 bits hold, as Kubernetes' own, else None."""
    return value if type(value) is int and -_MOST <= value < _MOST else None


def number(value: Any) -> int | None:
    """A whole number, written as one or as up to 18 digits of text (what 64 bits hold); None for what is neither."""
    if type(value) is str:
        return int(value) if _DIGITS.fullmatch(value) else None
    return whole(value)


def of_total(value: Any, total: int, *, up: bool) -> int | None:
    """A number or a percentage of ``total``, rounded up or down; None for what is neither."""
    if type(value) is str and value.endswith("%"):
        percent = number(value[:-1])
        if percent is None:
            return None
        share = percent * total / 100
        return ceil(share) if up else int(share)
    return number(value)
