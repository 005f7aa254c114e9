"""The desk's register: runs and groups, folded from the journal once and from each new entry after that.

It holds what is live, a few hundred of what ended last, and the roll of all (``core.roll``). Every so many entries it
writes the roll down as a snapshot, in the same commit as what it writes anyway; a desk that opens begins with the
newest one, reads the chain from where the oldest live run began, and folds what came after. What ended long ago is
folded again when somebody asks, which reads its own few entries.

Whatever interrupts a write — an error, the caller's end — the register knows that it may be *behind* the journal, folds
nothing until it has caught up, and so never folds in another order than the journal's.

Blocking journal calls go to a thread here, at the boundary. Nothing else in the engine touches the journal.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from itertools import islice, takewhile
from typing import TypeVar

from croupier.core import group, run
from croupier.core.group import GroupState
from croupier.core.roll import SNAPSHOT, Roll, Snapshot, group_id, run_id
from croupier.core.run import RunState
from croupier.errors import IntegrityError, UnknownName
from croupier.model.journal import Draft, Entry
from croupier.ports.journal import Journal

DESK = "desk"
"""Subject of entries that belong to no run."""

RECENT = 300
"""Ended runs, and ended groups, that stay folded, more than a page of the list: what ended or was asked for last."""

SNAPSHOT_EVERY = 5000
"""Entries. A desk folds as many when it opens, in half a second; it reads all since its oldest live run began."""

_PAGE = 2000
"""Entries read at a time."""

log = logging.getLogger(__name__)

_State = TypeVar("_State", RunState, GroupState)


class Register:
    """Runs and groups by id. Call ``catch_up`` before anything else."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._roll = Roll()
        self._live: dict[str, RunState] = {}
        self._recent: dict[str, RunState] = {}
        self._live_groups: dict[str, GroupState] = {}
        self._recent_groups: dict[str, GroupState] = {}
        self._seq = 0
        self._snapshot_at = 0
        """Number of the newest snapshot; 0: none yet."""
        self.is_behind = True
        """True: the journal may hold entries that are not folded here."""

    # --- what is live -----------------------------------------------------------------------------------------------

    def live(self) -> dict[str, RunState]:
        """Runs that have not ended, oldest first."""
        return dict(self._live)

    def live_run_of(self, service: str) -> RunState | None:
        """There is one at most, and then it is the newest."""
        return self._live.get(self._roll.newest_run(service, "") or "")

    def live_groups(self) -> list[GroupState]:
        """Oldest first."""
        return list(self._live_groups.values())

    def is_live(self, name: str) -> bool:
        return name in self._live

    # --- what there has ever been -------------------------------------------------------------------------------------

    @property
    def next_run(self) -> int:
        """Number of the next run, from 1. Runs are never deleted, so it never repeats."""
        return self._roll.runs + 1

    @property
    def next_group(self) -> int:
        """The same for groups."""
        return self._roll.groups + 1

    def newest_run(self, service: str, owner: str) -> str | None:
        """See ``Roll.newest_run``."""
        return self._roll.newest_run(service, owner)

    def members(self, group: str) -> dict[str, str]:
        """Service -> run, of what a live group has started."""
        return dict(self._roll.live_groups.get(group, {}))

    def runs_before(self, name: str | None, limit: int) -> list[str]:
        """At most ``limit`` runs, the newest first, older than ``name``; None: of all. Raises ``UnknownName``."""
        newest = self._roll.runs if name is None else self._number(name) - 1
        return [run_id(number) for number in range(newest, max(0, newest - limit), -1)]

    def newest_groups(self, limit: int) -> list[str]:
        """At most ``limit`` groups, the newest first."""
        newest = self._roll.groups
        return [group_id(number) for number in range(newest, max(0, newest - limit), -1)]

    async def run(self, name: str) -> RunState:
        """The state of any run, live or ended. Raises ``UnknownName``, and ``Unreachable`` for one that is not held."""
        known = self._live.get(name) or self._recent.get(name)
        if known is not None:
            return known
        self._number(name)
        state = await asyncio.to_thread(lambda: run.fold(self._journal.read(subject=name)))
        if state is None:
            raise self._unknown_run(name)
        _keep(self._recent, name, state)  # its end is known, so it does not change any more
        return state

    async def group(self, name: str) -> GroupState:
        """The same of any group."""
        known = self._live_groups.get(name) or self._recent_groups.get(name)
        state = known or await asyncio.to_thread(self._read_group, name)
        if state is None:
            raise UnknownName("group", name, self.newest_groups(RECENT))
        return state

    async def of_desk(self, kind: str) -> list[Entry]:
        """Entries of one kind that belong to no run, oldest first. Raises ``Unreachable``."""
        return await asyncio.to_thread(lambda: [each for each in self._journal.read(subject=DESK) if each.kind == kind])

    def _read_group(self, name: str) -> GroupState | None:
        return group.fold(self._journal.read(subject=name)) if name.startswith(group.PREFIX) else None

    def _number(self, name: str) -> int:
        digits = name.removeprefix("r-")
        number = int(digits) if digits.isascii() and digits.isdigit() and len(digits) < 19 else 0
        if name != run_id(number) or not 0 < number <= self._roll.runs:
            raise self._unknown_run(name)
        return number

    def _unknown_run(self, name: str) -> UnknownName:
        return UnknownName("run", name, self.runs_before(None, RECENT))

    # --- the journal --------------------------------------------------------------------------------------------------

    async def catch_up(self) -> None:
        """Fold what is in the journal and not yet here: at the start from the newest snapshot on, and after a failed
        write.

        Raises ``IntegrityError`` for an entry that cannot be read, ``Unreachable`` when the journal cannot.
        """
        if self._seq == 0:
            await asyncio.to_thread(self._begin_with_snapshot)
        while page := await asyncio.to_thread(lambda: list(islice(self._journal.read(after=self._seq), _PAGE))):
            self._fold(page)
        self.is_behind = False

    async def be_current(self) -> None:
        """Catch up if there may be something to catch up with. Raises as ``catch_up`` does."""
        if self.is_behind:
            await self.catch_up()

    async def write(self, drafts: Sequence[Draft], *, way_back: bool = False) -> None:
        """Write all drafts in one commit and fold them. Raises what ``Journal.append`` raises, nothing folded.

        A caller that is cancelled ends when the commit has: what was begun is written and folded, and nobody else comes
        between the two.
        """
        writing = asyncio.ensure_future(self._write(tuple(drafts), way_back=way_back))
        try:
            await asyncio.shield(writing)
        except asyncio.CancelledError:
            await asyncio.gather(writing, return_exceptions=True)
            raise

    async def _write(self, drafts: tuple[Draft, ...], *, way_back: bool) -> None:
        was_behind, self.is_behind = self.is_behind, True
        # The way back may have to go where space is scarce.
        if not was_behind and not way_back and self._seq - self._snapshot_at >= SNAPSHOT_EVERY:
            drafts = (Draft(SNAPSHOT, DESK, drafts[0].at, self._roll.snapshot(self._seq)), *drafts)
        entries = await asyncio.to_thread(self._journal.append, drafts, way_back=way_back)
        if not was_behind:
            self._fold(entries)
            self.is_behind = False

    async def entries(self, *, after: int = 0, subject: str | None = None, limit: int = 1000) -> list[Entry]:
        """At most ``limit`` entries with ``seq`` > ``after``, oldest first."""
        return await asyncio.to_thread(lambda: list(islice(self._journal.read(after=after, subject=subject), limit)))

    def _begin_with_snapshot(self) -> None:
        """Take the newest snapshot for all that came before it. One that cannot be taken is left out: all is folded."""
        entry = self._journal.newest(SNAPSHOT, DESK)
        if entry is None:
            return
        try:
            snapshot = Snapshot.model_validate(entry.body)
            roll = Roll.of(snapshot)
            told = self._told_before(entry.seq, (*roll.live, *roll.live_groups))
            live = {name: run.fold(told[name]) for name in roll.live}
            groups = {name: group.fold(told[name]) for name in roll.live_groups}
        except (IntegrityError, ValueError, KeyError, TypeError) as error:
            log.warning("the snapshot in entry %d cannot be used, everything is folded: %s", entry.seq, error)
            return
        self._live = {name: state for name, state in live.items() if state is not None and state.is_live}
        self._live_groups = {name: state for name, state in groups.items() if state is not None and state.is_live}
        if snapshot.entries != entry.seq - 1 or self._live.keys() != live.keys() or self._live_groups != groups:
            log.warning("the snapshot in entry %d is not what came before it, everything is folded", entry.seq)
            self._live, self._live_groups = {}, {}
            return
        self._roll = roll
        self._seq = self._snapshot_at = entry.seq

    def _told_before(self, seq: int, subjects: Sequence[str]) -> dict[str, list[Entry]]:
        """Entries of each subject before ``seq``.

        All entries are read from the first of them on, because only the whole chain, up to the signed end, shows that
        none was changed and hashed again.
        """
        told: dict[str, list[Entry]] = {subject: [] for subject in subjects}
        firsts = (next(iter(self._journal.read(subject=subject)), None) for subject in subjects)
        begun = min((first.seq for first in firsts if first is not None), default=None)
        if begun is None:
            return told
        for entry in takewhile(lambda entry: entry.seq < seq, self._journal.read(after=begun - 1)):
            if entry.subject in told:
                told[entry.subject].append(entry)
        return told

    def _fold(self, entries: Sequence[Entry]) -> None:
        for entry in entries:
            try:
                self._fold_one(entry)
            except (ValueError, KeyError, TypeError) as error:
                raise IntegrityError(
                    f"entry {entry.seq} ({entry.kind} of {entry.subject}) is not one this desk can read: {error}",
                    hint="an older or newer croupier may have written it",
                ) from error
            self._roll.take(entry)
            self._seq = entry.seq

    def _fold_one(self, entry: Entry) -> None:
        if entry.subject == DESK:
            if entry.kind == SNAPSHOT:
                self._snapshot_at = entry.seq
        elif entry.subject.startswith(group.PREFIX):
            self._fold_group(entry)
        else:
            self._fold_run(entry)

    def _fold_group(self, entry: Entry) -> None:
        name = entry.subject
        known = self._live_groups.get(name) or self._recent_groups.get(name)
        state = group.begin(entry) if known is None else group.apply(known, entry)
        if state.is_live:
            self._live_groups[name] = state
            return
        self._live_groups.pop(name, None)
        _keep(self._recent_groups, name, state)

    def _fold_run(self, entry: Entry) -> None:
        """An entry after the end of a run is for ``run.apply`` to refuse, or for ``run.begin``."""
        name = entry.subject
        known = self._live.get(name) or self._recent.get(name)
        state = run.begin(entry) if known is None else run.apply(known, entry)
        if state.is_live:
            self._live[name] = state
            return
        self._live.pop(name, None)
        _keep(self._recent, name, state)


def _keep(recent: dict[str, _State], name: str, state: _State) -> None:
    """Among the last ``RECENT`` that ended."""
    recent[name] = state
    if len(recent) > RECENT:
        del recent[next(iter(recent))]
