"""When nothing new may start in a namespace of a cluster: what a ``ReleaseCalendar`` says (S12.3).

The schema of the custom resource is made from these values (``croupier.operator.crds``).
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from croupier.model.base import LongName, Name, Value
from croupier.model.events import LocalTime, Zone
from croupier.model.freeze import FreezeWindow
from croupier.model.release_policy import GROUP

MOST_FREEZES = 128
"""Windows of one calendar."""
OVERRIDE_FREEZE = f"{GROUP}/override-freeze"
"""Annotation of a policy: a ``FreezeOverride`` as JSON, for the version that waits for the end of a freeze."""

LONGEST_REASON = 300
"""Characters of why somebody overrides a freeze."""


class PolicyFreeze(Value):
    """One freeze window. Nothing goes forward in it; going back is always possible."""

    name: Name
    title: LongName
    starts: LocalTime
    """Like ``2030-07-14T16:00``: what clocks in ``zone`` show."""
    ends: LocalTime
    """The same; from this minute on releases go on."""
    zone: Zone
    """Time zone by its name, like ``Europe/Stockholm``: summer time is seen to."""
    policies: Annotated[tuple[Name, ...], Field(max_length=256)] = ()
    """Names of the ReleasePolicies that it freezes. Empty: all in the namespace of the calendar."""

    @property
    def window(self) -> FreezeWindow:
        return FreezeWindow(title=self.title, starts=self.starts, ends=self.ends, zone=self.zone)


class ReleaseCalendarSpec(Value):
    """Freeze windows of one namespace. It may have several calendars."""

    freezes: Annotated[tuple[PolicyFreeze, ...], Field(max_length=MOST_FREEZES)] = ()


class FreezeOverride(Value):
    """Who lets one version start in spite of a freeze, and why."""

    version: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]
    """Its short digest, as the status of a policy shows it."""
    who: Annotated[str, Field(max_length=120)]
    reason: Annotated[str, Field(min_length=1, max_length=LONGEST_REASON)]
