"""Amounts as Kubernetes writes them: ``300m`` of a CPU, ``512Mi`` of memory."""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache

_FORM = re.compile(r"([+-]?[0-9]{0,40}\.?[0-9]{1,40}(?:[eE][+-]?[0-9]{1,2})?)([numkMGTPE]|[KMGTPE]i)?")
"""Anybody's, bounded: no quantity takes long to work out."""
_ANY_SIZE = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[numkMGTPE]|[KMGTPE]i|[eE][+-]?[0-9]+)?")
_FACTORS = {
    **{suffix: Fraction(1000) ** power for power, suffix in enumerate(("n", "u", "m", "", "k", *"MGTPE"), -3)},
    **{f"{suffix}i": Fraction(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
}


@lru_cache(maxsize=1024)  # few are written, and those again and again
def size(quantity: str) -> Fraction:
    """Cores, bytes or pieces: ``300m`` is 3/10. Raises ``ValueError`` for what is no quantity."""
    found = _FORM.fullmatch(quantity)
    if found is None:
        raise ValueError(f"{quantity!r} is not a quantity")
    return Fraction(found[1]) * _FACTORS[found[2] or ""]


def is_quantity(text: str) -> bool:
    """Whether the API server reads ``text`` as a quantity (apimachinery, ``resource.ParseQuantity``)."""
    return _ANY_SIZE.fullmatch(text) is not None


def amount(resource: str, value: float) -> str:
    """In words: cores, MiB of what is memory, or pieces."""
    if resource.endswith("memory"):
        return f"{value / 2**20:.0f}Mi"
    return f"{value:g}" if resource.endswith("cpu") else f"{value:.0f}"
