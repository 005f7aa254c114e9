"""What is known of kinds of objects: the schemas of one version of Kubernetes, and those of custom resources."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from croupier.model.objects import JsonObject

Kind = tuple[str, str]
"""``apiVersion`` and ``kind``."""
VERSIONS = ("1.35", "1.36", "1.37")
"""Versions of Kubernetes whose schemas come with croupier, oldest first."""
NEWEST = VERSIONS[-1]
NEWEST_STANDARD = 37
"""Minor version of the newest Pod Security Standards that are known; the oldest is 0."""


def group_of(version: str) -> str:
    """The group in an ``apiVersion``; "" for the core's."""
    return version.rpartition("/")[0]


@dataclass(frozen=True, slots=True)
class SchemaSet:
    """The schemas that objects are held against.

    ``kinds``: schema of each kind, in the form of OpenAPI v3; a built-in kind's is a ``$ref`` alone. ``types``: what
    those refer to, by name. ``closed_groups``: API groups of Kubernetes itself, which hold no other kinds.
    ``closed_kinds``: (group, kind) of definitions that people gave: those are served in no other version.
    """

    kubernetes: str
    kinds: Mapping[Kind, JsonObject]
    types: Mapping[str, JsonObject]
    closed_groups: frozenset[str]
    closed_kinds: frozenset[tuple[str, str]] = frozenset()
