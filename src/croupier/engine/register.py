"""The desk's register of runs: every run's state, folded from the journal once and from each new entry after that.

Blocking journal calls go to a thread here, at the boundary. Nothing else in the engine touches the journal.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from croupier.core.run import RunState, apply, begin
from croupier.errors import IntegrityError
from croupier.model.journal import Draft, Entry
from croupier.ports.journal import Journal

DESK = "desk"
"""Subject of entries that belong to no run."""


class Register:
    """Runs by id, oldest first. Call ``catch_up`` before anything else."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._runs: dict[str, RunState] = {}
        self._seq = 0

    @property
    def runs(self) -> Mapping[str, RunState]:
        return self._runs

    def live(self) -> dict[str, RunState]:
        """Runs that have not ended."""
        return {run: state for run, state in self._runs.items() if state.is_live}

    def live_run_of(self, service: str) -> RunState | None:
        return next((state for state in self._runs.values() if state.is_live and state.plan.service == service), None)

    @property
    def next_ordinal(self) -> int:
        """Number of the next run, from 0. Runs are never deleted, so it never repeats."""
        return len(self._runs)

    async def catch_up(self) -> None:
        """Fold what is in the journal and not yet here: everything at the start, and after a failed write.

        Raises ``IntegrityError`` for an entry that cannot be read, ``Unreachable`` when the journal cannot.
        """
        self._fold(await asyncio.to_thread(lambda: list(self._journal.read(after=self._seq))))

    async def write(self, drafts: Sequence[Draft], *, way_back: bool = False) -> None:
        """Write all drafts in one commit and fold them. Raises what ``Journal.append`` raises, nothing folded."""
        # Shielded: a desk that is being stopped finishes the commit it has begun.
        self._fold(await asyncio.shield(asyncio.to_thread(self._journal.append, tuple(drafts), way_back=way_back)))

    async def entries(self, *, after: int = 0, subject: str | None = None, limit: int = 1000) -> list[Entry]:
        """At most ``limit`` entries with ``seq`` > ``after``, oldest first."""

        def read() -> list[Entry]:
            found: list[Entry] = []
            for entry in self._journal.read(after=after, subject=subject):
                found.append(entry)
                if len(found) >= limit:
                    break
            return found

        return await asyncio.to_thread(read)

    def _fold(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            if entry.subject != DESK:
                state = self._runs.get(entry.subject)
                try:
                    self._runs[entry.subject] = begin(entry) if state is None else apply(state, entry)
                except (ValueError, KeyError, TypeError) as error:
                    raise IntegrityError(
                        f"entry {entry.seq} ({entry.kind} of {entry.subject}) is not one this desk can read: {error}",
                        hint="an older or newer croupier may have written it",
                    ) from error
            self._seq = entry.seq
