"""One move of players to new pods: what a strategy decides. ``release.py`` makes steps of it."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Move(NamedTuple):
    """``name``: of the step. ``weight``: percent of players on the canary once it is done."""

    name: str
    weight: int
    replicas: int
    """Pods of the canary, ready before players come."""
    kept: int | None
    """Pods of stable that stay; the others leave the split, then end. None: all stay."""
    then: Literal["gates", "bake", "next"]
    """What comes after it: gates that must pass, the bake, or the next move at once. Little or no control is left to
    compare with in a bake: it watches, and asks for no evidence."""
