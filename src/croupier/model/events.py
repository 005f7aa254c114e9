"""Matches, tournaments and promotions: when players come all at once, and what has to be there before (S6.4).

Field names are the keys of the platform file; ``docs/reference/platform.md`` is made from this module.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from croupier.model.base import LongName, Name, Value

LocalTime = Annotated[str, StringConstraints(pattern=r"^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}$", max_length=16)]
Zone = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+)*$", max_length=64)]


class Expected(Value):
    """What one service has to carry in each cell. Exactly one of both."""

    pods: Annotated[int, Field(ge=1, le=1000)] | None = None
    load: Annotated[float, Field(gt=0.0, le=1e12)] | None = None
    """Of what ``scaling.metric`` or ``scaling.trigger`` of the service counts, all pods of a cell together: pods follow
    from what one of them carries."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.pods is None) == (self.load is None):
            raise PydanticCustomError("expected", "give exactly one of pods, load")
        return self


class Event(Value):
    """One entry of the calendar. Pods are ready ``warmMinutes`` before it starts, and until it is over."""

    title: LongName
    starts: LocalTime
    """Like ``2030-07-14T18:00``: what clocks in ``zone`` show."""
    zone: Zone
    """Time zone by its name, like ``Europe/Stockholm``: summer time is seen to."""
    warm_minutes: Annotated[int, Field(ge=1, le=1440)] = 30
    """How long before the start pods are asked for. Nodes, images and caches take their part of it."""
    lasts_minutes: Annotated[int, Field(ge=1, le=20_160)]
    """From the start. After it pods go as load lets them."""
    markets: Annotated[tuple[Name, ...], Field(min_length=1, max_length=64)]
    """Where players watch it."""
    brands: Annotated[tuple[Name, ...], Field(max_length=64)] = ()
    """Empty: all that are in these markets."""
    services: Annotated[dict[Name, Expected], Field(min_length=1, max_length=64)]
    """Service -> what is expected of it."""
    freeze: bool = False
    """True: where croupier releases, nothing new starts in its cells and no release goes forward, from when pods are
    asked for until it is over."""


class Warm(Value):
    """Pods of one service that an event asks for in one cell. Times are aware UTC, to the minute."""

    event: Name
    service: Name
    pods: int
    from_at: datetime
    until_at: datetime
