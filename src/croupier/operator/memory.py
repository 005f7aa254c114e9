"""What the operator remembers of one policy between its turns. All of it may be lost."""

from __future__ import annotations

from dataclasses import dataclass, field

from croupier.model.release_object import CommandAnswer
from croupier.model.view import Moment


@dataclass(slots=True)
class Memory:
    """Of one policy."""

    refused: str = ""
    """Why the desk does not begin the release that is next."""
    refused_at: float = float("-inf")
    refused_digest: str = ""
    aborted: str = ""
    """The live run that was told to go back."""
    drift: dict[str, float] = field(default_factory=dict)
    """What was put back -> when that was last told."""
    told: tuple[str, Moment | None] = ("", None)
    """The run, and the last line of its story that has become an event."""
    answer: tuple[str, CommandAnswer] | None = None
    """The run, and what was last answered in it."""
