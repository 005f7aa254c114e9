"""What the desk knows of how each service usually does, and how that outlives the desk.

Nothing here decides anything: a run's plan names the dispersion that its gates work with, so a verdict can be computed
again without it. Losing a history costs some minutes of stated priors, and so does one that cannot be read or written.
"""

from __future__ import annotations

import asyncio
import logging

from croupier.core import gates
from croupier.core.gates.dispersion import FORGOTTEN_SECONDS
from croupier.errors import Unreachable
from croupier.model.evidence import ArmSample
from croupier.ports.clock import Clock
from croupier.ports.history import HistoryStore

SAVE_SECONDS = 60.0
"""How often a service's history is kept, at most."""

SAVES_A_SECOND = 3.0
"""A history takes milliseconds to write, so a thousand are kept every five minutes or so."""

LOADS_A_ROUND = 20
"""And milliseconds to read: no way back waits at the start of a desk until a thousand have been read."""

log = logging.getLogger(__name__)


class Histories:
    """Service -> its history."""

    def __init__(self, store: HistoryStore | None, clock: Clock) -> None:
        """``store``: None: they end with the desk."""
        self._store = store
        self._clock = clock
        self._histories: dict[str, gates.DispersionHistory] = {}
        self._unread: dict[str, None] = {}
        """Services of which something is kept and has not been read yet."""
        self._saved_at: dict[str, float] = {}
        self._changed: dict[str, None] = {}
        """Services with something to keep, the one that waits longest first."""
        self.problem = ""
        """Why nothing could be kept when it was tried last, or ""."""

    def of(self, service: str) -> gates.DispersionHistory:
        """What is known of the service's stable version; empty for one never counted."""
        if service in self._unread:
            self._read(service)
        return self._histories.setdefault(service, gates.DispersionHistory())

    def add(self, service: str, arm: ArmSample, at: float, *, source: str) -> None:
        """See ``DispersionHistory.add``. Nothing is added to one that is still to be read."""
        if service not in self._unread:
            self.of(service).add(arm, at, source=source)
            self._changed.setdefault(service)

    async def open(self) -> None:
        """Learn of which services something was kept."""
        if self._store is None:
            return
        try:
            self._unread = dict.fromkeys(await asyncio.to_thread(self._store.services))
        except Unreachable as error:
            log.warning("services are learned anew: %s", error.message)

    def read_some(self) -> None:
        """Go on from what was kept, a few services at a time."""
        for service in list(self._unread)[:LOADS_A_ROUND]:
            self._read(service)

    def _read(self, service: str) -> None:
        del self._unread[service]
        assert self._store is not None
        now = self._clock.now()
        try:
            record = self._store.load(service)
            if record is not None and now - record.saved_at >= FORGOTTEN_SECONDS:
                self._store.forget(service)
                record = None
        except Unreachable as error:
            log.warning("%s is learned anew: %s", service, error.message)
            return
        if record is not None:
            self._histories[service] = gates.DispersionHistory.recalled(record, now)
            log.info("the history of %s goes on from %.0f s ago", service, now - record.saved_at)

    async def save_due(self) -> None:
        """Keep those that have not been kept for long."""
        now = self._clock.now()
        pause = max(SAVE_SECONDS, len(self._histories) / SAVES_A_SECOND)
        due = [
            service for service in self._changed if not 0.0 <= now - self._saved_at.get(service, float("-inf")) < pause
        ]
        await self._save(due[: 1 + len(self._histories) // 60])

    async def close(self) -> None:
        """Keep what has changed."""
        await self._save(list(self._changed))
        if self.problem:
            log.warning("%s", self.problem)

    async def _save(self, services: list[str]) -> None:
        if self._store is None:
            return
        now = self._clock.now()
        for service in services:
            self._saved_at[service] = now  # also if it fails: a full disk is no reason to try in every round
            try:
                await asyncio.to_thread(self._store.save, self.of(service).record(service, now))
            except Unreachable as error:
                self.problem = error.message
                return
            self._changed.pop(service)
            self.problem = ""
