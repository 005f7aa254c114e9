"""Freeze windows: when players must not meet anything new, because a match, a jackpot or a payday is on (S12.3)."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from croupier.model.base import LongName, Name, ServiceName, Value
from croupier.model.events import LocalTime, Zone


class FreezeWindow(Value):
    """One freeze window as a person writes it. Nothing goes forward in it; going back is always possible."""

    title: LongName
    starts: LocalTime
    """Like ``2030-07-14T16:00``: what clocks in ``zone`` show."""
    ends: LocalTime
    """The same; from this minute on releases go on."""
    zone: Zone
    """Time zone by its name, like ``Europe/Stockholm``: summer time is seen to."""
    services: Annotated[tuple[ServiceName, ...], Field(max_length=256)] = ()
    """Empty: all."""


FreezeWindows = Annotated[dict[Name, FreezeWindow], Field(max_length=256)]
"""By name, like ``cup-final``."""


class Freeze(Value):
    """A freeze window in time. Epoch seconds, UTC."""

    name: Name
    calendar: str = ""
    """Name of the ReleaseCalendar that it stands in; empty: it stands in a file."""
    title: LongName
    from_at: float
    until_at: float
    """The first moment after it."""
    until: str
    """The end as clocks in its zone show it: ``2030-07-14 21:00 Europe/Stockholm``."""
    services: tuple[ServiceName, ...] = ()
    """Empty: all."""

    @property
    def key(self) -> str:
        """What an override names: ``cup-final``, or ``football/cup-final`` where there are several calendars."""
        return f"{self.calendar}/{self.name}" if self.calendar else self.name

    @property
    def words(self) -> str:
        return f"freeze {self.key} ({self.title}) until {self.until}"
