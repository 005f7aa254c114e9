"""Whether what the calendar asks for can be there: when that is, and which pods (S6.4)."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from croupier.model.events import Event, Expected, Warm
from croupier.model.interceptor import Http
from croupier.model.platform import Cell, PlacedCell
from croupier.model.service_spec import Scaling, ServiceSpec
from croupier.model.trigger import KafkaLag, Prometheus, RabbitMq, RedisList
from croupier.spec.load import Flaw

_MINUTE = "%Y-%m-%dT%H:%M"


class Times(NamedTuple):
    """When pods of an event have to be there; aware, in the event's zone."""

    begin: datetime
    end: datetime


def times_of(event: Event) -> Times | Flaw:
    """Or why there is no such time. The location is in the event."""
    try:
        zone = ZoneInfo(event.zone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return Flaw(("zone",), "TIME", f"no time zone is called {event.zone!r}", "like Europe/Stockholm or UTC")
    try:
        starts = datetime.strptime(event.starts, _MINUTE).replace(tzinfo=zone)
    except ValueError:
        return Flaw(("starts",), "TIME", f"there is no {event.starts}", "year-month-dayThours:minutes")
    if not 1970 <= starts.year <= 9998:
        return Flaw(("starts",), "TIME", f"no calendar goes to {event.starts}", "year-month-dayThours:minutes")
    begin = starts.astimezone(UTC)
    if begin.astimezone(zone).replace(tzinfo=None) != starts.replace(tzinfo=None):
        message = f"no clock in {event.zone} shows {event.starts}: it is put forward there"
        return Flaw(("starts",), "TIME", message, "an hour later, perhaps")
    warm, end = begin - timedelta(minutes=event.warm_minutes), begin + timedelta(minutes=event.lasts_minutes)
    return Times(warm.astimezone(zone), end.astimezone(zone))


def is_in(event: Event, cell: Cell) -> bool:
    return cell.market in event.markets and (not event.brands or cell.brand in event.brands)


def warm_of(name: str, event: Event, times: Times, spec: ServiceSpec) -> Warm | None:
    """The pods of one service; None where nothing can be said (``expected_flaw`` says why)."""
    pods = _pods(event.services[spec.name], spec.scaling)
    if pods is None:
        return None
    return Warm(
        event=name,
        service=spec.name,
        pods=pods,
        from_at=times.begin.astimezone(UTC),
        until_at=times.end.astimezone(UTC),
    )


def expected_flaw(event: Event, spec: ServiceSpec, placed: PlacedCell) -> Flaw | None:
    """Why a service cannot have what an event expects of it in a cell. The location is in the event."""
    at, where = ("services", spec.name), spec.name
    if spec.scaling is None:
        return Flaw(at, "EVENT", f"{where} has no scaling: its pods are always {spec.replicas}", "give it scaling")
    pods = _pods(event.services[spec.name], spec.scaling)
    if pods is None:
        hint = "give it a metric or a trigger, or say pods"
        return Flaw((*at, "load"), "EVENT", f"nothing says how much one pod of {where} carries", hint)
    if placed.region.released_by == "kubernetes" and spec.scaling.trigger is None:
        message = f"{where} follows no queue, and without croupier's operator only KEDA has pods ready at a time"
        return Flaw(at, "EVENT", message, "give scaling a trigger, or let croupier release there")
    if pods > spec.scaling.max:
        message = f"{pods} pods of {where} are asked for, and scaling.max is {spec.scaling.max}"
        return Flaw(at, "EVENT", message, "raise scaling.max, or expect less")
    return None


def _pods(expected: Expected, scaling: Scaling | None) -> int | None:
    if expected.pods is not None or expected.load is None or scaling is None:
        return expected.pods
    carried = scaling.metric.average if scaling.metric is not None else _carried(scaling)
    return None if carried is None else math.ceil(expected.load / carried)


def _carried(scaling: Scaling) -> float | None:
    match scaling.trigger:
        case KafkaLag(lag=lag):
            return lag
        case RabbitMq(length=length) | RedisList(length=length):
            return length
        case Prometheus(average=average):
            return average
        case Http():
            return scaling.trigger.average
        case _:
            return None


def end_of(event: Event) -> float:
    """When it is over, epoch seconds. The event has times."""
    times = times_of(event)
    assert isinstance(times, Times)
    return times.end.timestamp()
