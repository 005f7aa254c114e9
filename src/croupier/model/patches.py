"""Changes to rendered objects that no key makes.

Field names are the keys of the platform file; ``docs/reference/platform.md`` is made from this module.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import JsonValue, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from croupier.model.base import LongName, Name, Value


class Patch(Value):
    """A change to rendered objects that no key of a service makes: the last way out. It fits, or it is a problem."""

    of: Literal["cell", "stores", "region"] = "cell"
    """Whose objects: those of a cell, those of its stores (in every region that has them; a layer that names a region
    means what stands there, one that names a service the stores that it owns), or what a region has once."""
    kind: Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Za-z0-9]{0,62}$")]
    """Of the objects, like ``HorizontalPodAutoscaler``."""
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$")] | None = None
    """Of the object. None: all of the kind where the layer applies; those of the service it names."""
    op: Literal["add", "replace", "remove"]
    """``add``: what is not there yet; ``replace`` and ``remove``: what is there."""
    path: Annotated[str, StringConstraints(pattern=r"^(/([^/~]|~[01])+)+$", max_length=500)]
    """JSON Pointer (RFC 6901), like ``/spec/behavior/scaleDown``. Items of lists by number; ``-``: after the last."""
    value: JsonValue = None
    """None: of ``remove`` only."""
    why: LongName
    """For who reviews it, and for who finds it in a year."""

    @model_validator(mode="after")
    def _value_is_for_what_is_written(self) -> Self:
        if self.op == "remove" and self.value is not None:
            raise PydanticCustomError("patch", "remove takes no value")
        if self.op != "remove" and self.value is None:
            raise PydanticCustomError("patch", f"{self.op} needs a value")
        return self

    @property
    def tokens(self) -> tuple[str, ...]:
        """The parts of its path."""
        return tuple(each.replace("~1", "/").replace("~0", "~") for each in self.path[1:].split("/"))


class PlacedPatch(Value):
    """A patch where it applies, and where it stands.

    ``service``: whose objects alone it changes; None: all of the cell. ``region``: where they stand; None: wherever the
    layer applies. ``path_at``, ``value_at``: line and column.
    """

    patch: Patch
    service: Name | None
    region: Name | None
    layer: str
    file: str
    path_at: tuple[int, int]
    value_at: tuple[int, int]

    @property
    def place(self) -> str:
        return f"{self.file}:{self.path_at[0]}:{self.path_at[1]}"

    @property
    def target(self) -> str:
        """What it is about, like ``wallet HorizontalPodAutoscaler/wallet/spec/minReplicas``; ``*``: all of the kind."""
        whose = f"{self.service} " if self.service is not None else ""
        if self.patch.of != "cell":
            whose = f"{self.patch.of}{f' in {self.region}' if self.region is not None else ''} {whose}"
        return f"{whose}{self.patch.kind}/{self.patch.name or '*'}{self.patch.path}"

    @property
    def said(self) -> JsonValue:
        """What it does there, like ``{"replace": 5}``."""
        return {self.patch.op: self.patch.value}
