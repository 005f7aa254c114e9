"""What a provider suffers from for a while, as told from outside: bounded, and over by itself.

The provider owns the deadline, so that a fault ends although nobody is left to end it. Each is a line in the books:
who looks later sees when the partner was ill, and after a restart it is as ill as before, for what is left of the time.
Payment providers have these, and the front of the tally (``croupier_stand.tally_front``).

Routes:
    ``POST /faults`` ``{"kind", "seconds"}`` → 201 ``{"kind", "at", "until"}``; it takes the place of one that lasts.
    ``GET /faults`` → ``{"faults": […]}``, all since the books began, oldest first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any, Generic, TypeVar

from aiohttp import web

from croupier_stand.casino import pod
from croupier_stand.providers.books import Books, Entry

LONGEST_SECONDS = 600
BOOKED_AS = "fault"
OFF = "off"


class Fault(StrEnum):
    """What can be wrong with a payment provider."""

    DOWN = "down"
    """Answers 503 and tells nothing; what it has captured by then is told when it is back."""
    SLOW = "slow"
    """Every answer takes more than a second."""
    DUPLICATE_WEBHOOKS = "duplicate-webhooks"
    """Every webhook is sent three times, twice at the same moment."""
    OFF = "off"
    """None: ends the one that lasts."""


Kind = TypeVar("Kind", bound=StrEnum)


class Faults(Generic[Kind]):
    """The faults of one provider. ``kinds``: which it can have; one is ``off``. ``clock``: epoch seconds."""

    def __init__(self, kinds: type[Kind], books: Books, clock: Callable[[], float]) -> None:
        self._kinds, self._books, self._clock = kinds, books, clock
        self._told = [entry for entry in books.after(0) if entry.kind == BOOKED_AS]

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/faults", self._begin), web.get("/faults", self._show)]

    def now(self) -> Kind:
        """The fault that lasts, or ``off``."""
        return self._kinds(self._told[-1].id if self.seconds_left() > 0 else OFF)

    def seconds_left(self) -> float:
        """Until the fault is over; 0 when there is none."""
        return max(0.0, _until(self._told[-1]) - self._clock()) if self._told else 0.0

    async def _begin(self, request: web.Request) -> web.Response:
        body = await pod.body_of(request)
        kind = self._kinds(pod.text_in(body, "kind", one_of=tuple(self._kinds)))
        seconds = 0 if kind == OFF else body.get("seconds")
        if not isinstance(seconds, int) or seconds > LONGEST_SECONDS or (kind != OFF and seconds < 1):
            raise web.HTTPBadRequest(reason=f"seconds must be a whole number from 1 to {LONGEST_SECONDS}")
        return web.json_response(_shown(self.begin(kind, seconds)), status=201)

    def begin(self, kind: Kind, seconds: float) -> Entry:
        """Be ill from now on, for so long."""
        entry = self._books.add(BOOKED_AS, kind, "", 0, until=self._clock() + seconds)
        self._told.append(entry)
        return entry

    async def _show(self, _: web.Request) -> web.Response:
        return web.json_response({"faults": self.all()})

    def all(self) -> Sequence[Mapping[str, Any]]:
        """All since the books began, oldest first, each until it was over or another took its place."""
        ends = [entry.at for entry in self._told[1:]] + [math.inf]
        return [
            {**_shown(entry), "until": min(_until(entry), end)}
            for entry, end in zip(self._told, ends, strict=False)
            if entry.id != OFF
        ]


def _until(entry: Entry) -> float:
    return float(entry.more["until"])


def _shown(entry: Entry) -> Mapping[str, Any]:
    return {"kind": entry.id, "at": entry.at, "until": _until(entry)}
