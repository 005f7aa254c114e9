"""A change of one place in an object, as people would make it in its text."""

from __future__ import annotations

from dataclasses import dataclass

from croupier.model.manifest import Path


@dataclass(frozen=True, slots=True)
class Put:
    """Write ``value`` at ``path``, where nothing is; mappings on the way are made if need be."""

    path: Path
    value: bool | str | tuple[str, ...]
    """A tuple is written as a list."""


@dataclass(frozen=True, slots=True)
class Append:
    """Add ``value`` to the list at ``path``."""

    path: Path
    value: str


@dataclass(frozen=True, slots=True)
class Replace:
    """Write ``value`` in place of the string at ``path``."""

    path: Path
    value: str


@dataclass(frozen=True, slots=True)
class Rename:
    """Call the key at ``path`` otherwise."""

    path: Path
    key: str


Edit = Put | Append | Replace | Rename
