"""Switches of a service that are thrown while it runs (S12.1).

Field names are the keys of the platform file; ``docs/reference/platform.md`` is made from this module.
"""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import (
    BeforeValidator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    StringConstraints,
    model_validator,
)
from pydantic_core import PydanticCustomError

from croupier.model.base import Value

FlagName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z][A-Za-z0-9_-]{0,62}$")]
VariantName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$")]


def _scalar(value: object) -> object:
    if type(value) not in (bool, int, float, str):
        raise PydanticCustomError("variant", "a variant is true, false, a number or a text")
    return value


Variant = Annotated[
    StrictBool | StrictInt | StrictFloat | Annotated[StrictStr, StringConstraints(max_length=1000)],
    BeforeValidator(_scalar),
]
_OFF = ("off", "false", "disabled")


class Flag(Value):
    """A value that a service asks for while it runs, and that is changed without a new version of it."""

    variants: Annotated[
        dict[VariantName, Variant], Field(default_factory=lambda: {"on": True, "off": False}, min_length=1)
    ]
    """What it may be, by name: all truth values, all numbers or all texts. Left out: ``on`` and ``off``."""
    default: VariantName
    """The variant that everybody gets."""
    enabled: bool = True
    """False: the service goes by what its code says without the flag."""
    heavy: bool = False
    """It switches off what costs most, in an accident (S12.1, S15.6): one of its variants is off."""

    @model_validator(mode="after")
    def _default_is_a_variant_of_one_kind(self) -> Self:
        if self.default not in self.variants:
            known = ", ".join(self.variants)
            raise PydanticCustomError("flag", f"default {self.default} is none of {known}", {"at": "default"})
        kinds = {float if type(each) is int else type(each) for each in self.variants.values()}
        if len(kinds) > 1:
            raise PydanticCustomError("flag", "variants are of several kinds: truth values, numbers, texts")
        is_off = any(held is False or name.lower() in _OFF for name, held in self.variants.items())
        if self.heavy and not (is_off and self.enabled):
            raise PydanticCustomError("flag", "heavy needs a variant that is off, and the flag enabled")
        return self
