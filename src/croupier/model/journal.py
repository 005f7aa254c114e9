"""Journal entries: what was decided, intended and done, in a chain that shows every later change."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import JsonValue

GENESIS = "0" * 64
"""``previous`` of the first entry."""


@dataclass(frozen=True, slots=True)
class Draft:
    """An entry before it is written. ``kind`` is dotted (``run.started``); ``body`` is JSON."""

    kind: str
    subject: str
    """Run id, or "desk"."""
    at: float
    body: Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Entry:
    """A written entry. ``hash`` = SHA-256 over the RFC 8785 form of all other fields, ``previous`` included."""

    seq: int
    kind: str
    subject: str
    at: float
    body: Mapping[str, JsonValue]
    previous: str
    hash: str
