"""Freeze windows of a cell: the ReleaseCalendars that the operator reads, made of the events that freeze (S12.3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from croupier.core.render.names import of_cell
from croupier.model.events import Event
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.release_calendar import MOST_FREEZES, PolicyFreeze, ReleaseCalendarSpec
from croupier.model.release_policy import API_VERSION

_MINUTE = "%Y-%m-%dT%H:%M"


def calendar(placed: PlacedCell) -> list[JsonObject]:
    """Calendars, each with as many windows as it holds; none where no event of the cell freezes, or croupier releases
    nothing there."""
    freezes = tuple(_window(name, each) for name, each in sorted(placed.events.items()) if each.freeze)
    if not freezes or placed.region.released_by != "croupier":
        return []
    parts = [freezes[at : at + MOST_FREEZES] for at in range(0, len(freezes), MOST_FREEZES)]
    return [
        _calendar(placed, "events" if number == 1 else f"events-{number}", part) for number, part in enumerate(parts, 1)
    ]


def _calendar(placed: PlacedCell, name: str, freezes: tuple[PolicyFreeze, ...]) -> JsonObject:
    body = ReleaseCalendarSpec(freezes=freezes).model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return of_cell(placed.cell, API_VERSION, "ReleaseCalendar", name, {"spec": body})


def _window(name: str, event: Event) -> PolicyFreeze:
    """From when its pods are asked for until it is over. The event has such times (``spec.events``)."""
    zone = ZoneInfo(event.zone)
    starts = datetime.strptime(event.starts, _MINUTE).replace(tzinfo=zone).astimezone(UTC)
    first, last = starts - timedelta(minutes=event.warm_minutes), starts + timedelta(minutes=event.lasts_minutes)
    # In an hour that comes twice an end may read as if it were before the start.
    shown = zone if first.astimezone(zone).replace(tzinfo=None) < last.astimezone(zone).replace(tzinfo=None) else UTC
    return PolicyFreeze(
        name=name,
        title=event.title,
        starts=first.astimezone(shown).strftime(_MINUTE),
        ends=last.astimezone(shown).strftime(_MINUTE),
        zone=event.zone if shown is zone else "UTC",
    )
