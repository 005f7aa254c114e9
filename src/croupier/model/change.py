"""What differs between two states of a platform, as people review it."""

from __future__ import annotations

from typing import Literal

from pydantic import JsonValue

from croupier.model.base import Value

ChangeClass = Literal["cell", "image", "config", "flag", "scaling", "network", "data", "runtime", "policy", "patch"]
"""``cell``: something runs that did not, or no longer; ``flag``: a switch, thrown without a release; ``runtime``: how a
pod is started, asked and ended; ``policy``: how it is released and what is promised; ``patch``: what a patch does to
rendered objects."""


class Change(Value):
    """One value that differs, wherever it does so alike."""

    subject: str
    """A service, or ``cell``, ``gitops``, ``patches``, ``brands.<name>``, ``markets.<name>``, ``regions.<name>``,
    ``providers.<name>``, ``events.<name>``."""
    path: str
    """Path in the subject; "" for the subject as a whole."""
    kind: ChangeClass
    before: JsonValue
    """None: there was none."""
    after: JsonValue
    """None: there is none."""
    cells: tuple[str, ...]
    """Where, by name."""
    releases: tuple[str, ...]
    """Those of ``cells`` in which it alone would make new versions, which croupier releases behind their gates."""
    why: str = ""
    """Which layer says so now, and where; "" where nobody asked, or nothing is left to ask."""


class PlatformPlan(Value):
    """The difference between two states of a platform."""

    changes: tuple[Change, ...]
    """By class, subject and path."""
    cells: int
    """How many cells there are in either state."""
    versions: tuple[str, ...]
    """Services that get new pods, like ``wallet in acme-mt-west``: each is released behind its gates."""
    files: tuple[str, ...]
    """Rendered files that differ, are new or go."""
