"""Policies are looked after side by side, each in a turn of its own when it is due. Owns the tasks of all turns.

A policy is due when something that concerns it has changed, when its last turn said that it is not at rest, and now and
then in any case. A turn looks at everything of its policy, whatever made it due. A round begins the turns that are due
and waits a moment for them; one that takes longer (a gateway that does not answer) goes on beside later rounds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass

from croupier.ports.clock import Clock

PROMPT_SECONDS = 0.5
"""How long a round waits for the turns it has begun; most take a few milliseconds."""

LONGEST_SECONDS = 60.0
"""After this a turn is given up. Each call in it is bounded by itself; this bounds their sum."""

IDLE_SECONDS = 15.0
"""How often a policy is looked at about which nothing is told."""


log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Place:
    """Of one policy. ``looked_at``: when its last turn began; None: something has changed since."""

    looked_at: float | None = None
    task: asyncio.Task[bool] | None = None


class Turns:
    """At most one turn a policy. ``clock`` tells when an idle one is due again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._places: dict[str, _Place] = {}

    def call(self, uid: str) -> None:
        """Something that concerns the policy has changed: it is due, after the turn that may be under way."""
        self._places.setdefault(uid, _Place()).looked_at = None

    def is_due(self, uid: str) -> bool:
        place = self._places.get(uid, _Place())
        if place.task is not None:
            return False
        # A clock that was set back makes everybody due.
        return place.looked_at is None or not 0 <= self._clock.now() - place.looked_at < IDLE_SECONDS

    def begin(self, uid: str, title: str, turn: Callable[[], Awaitable[bool]]) -> None:
        """Take a turn. ``turn`` returns whether the policy is at rest; it raises only what ends the operator."""
        place = self._places.setdefault(uid, _Place())
        place.looked_at = self._clock.now()
        # No group can own a task that outlasts the round which begins it: ``close`` ends it.
        place.task = asyncio.create_task(self._bounded(title, turn), name=f"turn of {title}")  # noqa: TID251

    async def settle(self) -> None:
        """Wait a moment for what is under way. Raises what a turn has raised."""
        out = [place.task for place in self._places.values() if place.task is not None]
        if out:
            await asyncio.wait(out, timeout=PROMPT_SECONDS)
        for place in self._places.values():
            if place.task is None or not place.task.done():
                continue
            task, place.task = place.task, None
            if not task.result():
                place.looked_at = None

    def forget(self, present: Collection[str]) -> None:
        """Policies that are gone; a turn that is still under way ends first."""
        self._places = {uid: place for uid, place in self._places.items() if uid in present or place.task is not None}

    async def close(self) -> None:
        """Give up all turns, and wait until they have ended."""
        out = [place.task for place in self._places.values() if place.task is not None]
        self._places.clear()
        for task in out:
            task.cancel()
        await asyncio.gather(*out, return_exceptions=True)

    async def _bounded(self, title: str, turn: Callable[[], Awaitable[bool]]) -> bool:
        try:
            async with asyncio.timeout(LONGEST_SECONDS):
                return await turn()
        except TimeoutError:  # the others, and the way back of a run, must not wait for a new start
            log.warning("%s: a turn took longer than %g s and is given up; the next one begins", title, LONGEST_SECONDS)
            return False
