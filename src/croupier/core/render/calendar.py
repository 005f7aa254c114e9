"""Freeze windows of a cell: the ReleaseCalendar that the operator reads, made of the events that freeze (S12.3)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from croupier.core.render.names import of_cell
from croupier.model.events import Event
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.release_calendar import PolicyFreeze, ReleaseCalendarSpec
from croupier.model.release_policy import API_VERSION

_MINUTE = "%Y-%m-%dT%H:%M"


def calendar(placed: PlacedCell) -> list[JsonObject]:
    """The calendar; nothing where no event of the cell freezes, or croupier releases nothing there."""
    freezes = tuple(_window(name, each) for name, each in sorted(placed.events.items()) if each.freeze)
    if not freezes or placed.region.released_by != "croupier":
        return []
    body = ReleaseCalendarSpec(freezes=freezes).model_dump(mode="json", by_alias=True, exclude_defaults=True)
    return [of_cell(placed.cell, API_VERSION, "ReleaseCalendar", "events", {"spec": body})]


def _window(name: str, event: Event) -> PolicyFreeze:
    """From when its pods are asked for until it is over. The event has such times (``spec.events``)."""
    zone = ZoneInfo(event.zone)
    starts = datetime.strptime(event.starts, _MINUTE).replace(tzinfo=zone).astimezone(UTC)
    first, last = starts - timedelta(minutes=event.warm_minutes), starts + timedelta(minutes=event.lasts_minutes)
    return PolicyFreeze(
        name=name,
        title=event.title,
        starts=first.astimezone(zone).strftime(_MINUTE),
        ends=last.astimezone(zone).strftime(_MINUTE),
        zone=event.zone,
    )
