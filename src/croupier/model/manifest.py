"""A Kubernetes object as it was read from a file: what is checked, and where it stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from croupier.model.objects import JsonObject

Path = tuple[str | int, ...]
"""Keys and indices from the root of an object."""


class Place(NamedTuple):
    """Where something stands in a file; lines and columns count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Source:
    """One YAML or JSON document of a file.

    ``line``: how many lines of the file stand before it.
    """

    file: str
    line: int
    text: str


@dataclass(frozen=True, slots=True)
class Remark:
    """What a text shows and its values no longer do: the key at ``path`` is written twice."""

    path: Path
    message: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """One object.

    ``root``: path of the object in its document; empty but for the items of a list. ``remarks``: paths from ``root``.
    """

    source: Source
    root: Path
    value: JsonObject
    remarks: tuple[Remark, ...] = ()

    @property
    def kind(self) -> str:
        return str(self.value.get("kind", ""))

    @property
    def name(self) -> str:
        """``kind/name`` with the namespace where one is written: what people call the object."""
        metadata = self.value.get("metadata")
        held = metadata if isinstance(metadata, dict) else {}
        name = held.get("name") or (f"{held['generateName']}*" if held.get("generateName") else "")
        space = f"{held['namespace']}/" if held.get("namespace") else ""
        return f"{self.kind}/{space}{name}"
