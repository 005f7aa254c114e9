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
from croupier.ports.history import HistoryStore

SAVE_SECONDS = 60.0
"""How often a service's history is kept, at most."""

SAVES_A_SECOND = 3.0
"""A history takes milliseconds to write, so a thousand are kept every five minutes or so."""

log = logging.getLogger(__name__)


class Histories:
    """Service -> its history."""

    def __init__(self, store: HistoryStore | None) -> None:
        """``store``: None: they end with the desk."""
        self._store = store
        self._histories: dict[str, gates.DispersionHistory] = {}
        self._saved_at: dict[str, float] = {}
        self._changed: dict[str, None] = {}
        """Services with something to keep, the one that waits longest first."""
        self.problem = ""
        """Why nothing could be kept when it was tried last, or ""."""

    def of(self, service: str) -> gates.DispersionHistory:
        """What is known of the service's stable version; empty for one never counted."""
        return self._histories.setdefault(service, gates.DispersionHistory())

    def add(self, service: str, arm: ArmSample, at: float, *, source: str) -> None:
        """See ``DispersionHistory.add``."""
        self.of(service).add(arm, at, source=source)
        self._changed.setdefault(service)

    async def open(self, now: float) -> None:
        """Go on from what was kept."""
        if self._store is None:
            return
        try:
            for record in await asyncio.to_thread(self._store.load):
                age = now - record.saved_at
                if age >= FORGOTTEN_SECONDS:
                    await asyncio.to_thread(self._store.forget, record.service)
                    continue
                self._histories[record.service] = gates.DispersionHistory.recalled(record, now)
                log.info("the history of %s goes on from %.0f s ago", record.service, age)
        except Unreachable as error:
            log.warning("services are learned anew: %s", error.message)

    async def save_due(self, now: float) -> None:
        """Keep those that have not been kept for long."""
        pause = max(SAVE_SECONDS, len(self._histories) / SAVES_A_SECOND)
        due = [
            service for service in self._changed if not 0.0 <= now - self._saved_at.get(service, float("-inf")) < pause
        ]
        await self._save(due[: 1 + len(self._histories) // 60], now)

    async def close(self, now: float) -> None:
        """Keep what has changed."""
        await self._save(list(self._changed), now)
        if self.problem:
            log.warning("%s", self.problem)

    async def _save(self, services: list[str], now: float) -> None:
        if self._store is None:
            return
        for service in services:
            self._saved_at[service] = now  # also if it fails: a full disk is no reason to try in every round
            try:
                await asyncio.to_thread(self._store.save, self.of(service).record(service, now))
            except Unreachable as error:
                self.problem = error.message
                return
            self._changed.pop(service)
            self.problem = ""
