"""What the desk remembers of a live run between rounds: its evidence, folded from the run's segment.

All of it can be lost: ``Watch.open`` folds the segment again and gives the same evidence, so the same verdict.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

from croupier.core import gates
from croupier.core.once import once
from croupier.core.replay import evidence_of, refold
from croupier.core.run import RunState
from croupier.core.snapshot import AWAY_SECONDS, Evidence
from croupier.errors import IntegrityError, Unreachable
from croupier.model.evidence import Sample
from croupier.model.plan import Plan
from croupier.model.traffic import ObservedSplit
from croupier.model.verdict import Verdict
from croupier.model.workload import VersionPods
from croupier.ports.journal import EvidenceStore

TICK_SECONDS = 0.05
"""Scrapes may come this much early: rounds do not start on the instant."""


class Watch:
    """The memory of one run. ``await Watch.open(...)`` makes it."""

    def __init__(self, plan: Plan, store: EvidenceStore, watched_at: float) -> None:
        self._plan = plan
        self._watched_at = watched_at
        self._store = store
        self._evidence = evidence_of(plan)
        self._samples = 0
        self._hash: str | None = None
        self._last_at = float("-inf")
        self._is_whole = True
        """False: samples were folded that could not be stored; the segment is folded anew once it can be written."""
        self._seen_at: dict[str, float] = {}
        self._players = (0, 0)
        self._players_revision = -1
        self.scraped_at = float("-inf")
        self.looked_at = float("-inf")
        """When a round looked at the run last."""
        self._since: dict[str, float] = {}
        """What holds -> since when it has at every look."""
        self.action_faults: dict[str, str] = {}
        """Port -> why its last action failed; cleared when one succeeds or none is due."""
        self.verdict: Verdict | None = None

    @classmethod
    async def open(cls, plan: Plan, store: EvidenceStore, watched_at: float) -> Watch:
        """A watch with all evidence the segment holds; with none, and no pass, while it cannot be read.

        ``watched_at``: when somebody looked at the run last, as far as its journal tells.
        """
        watch = cls(plan, store, watched_at)
        try:
            await watch._refold()
        except (Unreachable, IntegrityError) as error:
            watch._is_whole = False
            watch.action_faults["evidence"] = error.message
        return watch

    def is_due(self, now: float) -> bool:
        """Whether a scrape is due; at once when the clock was set back, so that ``add`` can say so."""
        return not 0 <= now - self.scraped_at < self._plan.release.scrape_seconds - TICK_SECONDS

    async def add(self, sample: Sample) -> str:
        """Store and fold one scrape; returns why it was not stored, or "".

        Without the store the sample is still judged, because a rollback never waits for a disk, but there is no
        ``mark`` any more, so nothing passes on it.
        """
        if sample.at <= self._last_at:
            return "the clock went back; waiting until it has caught up"
        self._last_at = sample.at
        problem = ""
        try:
            running = await asyncio.to_thread(self._store.append, self._plan.run, sample)
            if not self._is_whole:
                await self._refold()
                return ""
        except (Unreachable, IntegrityError) as error:
            problem = error.message
        self._evidence = gates.fold(self._evidence, sample)
        self._samples += 1
        if problem:
            self._is_whole = False
            return problem
        self._hash = running
        self._note_ages(sample)
        self._note_players(sample)
        return ""

    def judge(self, weight: int, now: float) -> Verdict | None:
        """The verdict of now; None while nothing was counted."""
        self.verdict = once(gates.assess(self._evidence, weight=weight, now=now)) if self._samples else None
        return self.verdict

    def note_pods(self, state: RunState, pods: Mapping[str, VersionPods] | None, now: float) -> None:
        """Remember since when pods of the canary are asked for, and since when it, and stable, have had none ready. No
        look, no change."""
        if pods is None:
            return
        stable, canary = pods.get(state.plan.stable), pods.get(state.plan.canary)
        is_asked = canary is not None and canary.desired > 0
        self._note("asked", now, holds=is_asked)
        self._note("down", now, holds=is_asked and canary is not None and canary.ready == 0)
        self._note("stable-down", now, holds=stable is None or stable.ready == 0)

    def note_split(self, split: ObservedSplit | None, written: ObservedSplit | None, now: float) -> None:
        """Remember since when a split is written and nobody confirms it. No look, no change."""
        if split is not None or written is not None:
            self._note("unconfirmed", now, holds=split is None)

    def _note(self, what: str, now: float, *, holds: bool) -> None:
        if holds:  # a clock that was set back begins anew, instead of waiting until it has caught up
            self._since[what] = min(self._since.get(what, now), now)
        else:
            self._since.pop(what, None)

    def unconfirmed_seconds(self, now: float) -> float:
        return now - self._since.get("unconfirmed", now)

    def down_seconds(self, now: float) -> float:
        return now - self._since.get("down", now)

    def asked_seconds(self, now: float) -> float:
        return now - self._since.get("asked", now)

    def stable_down_seconds(self, now: float) -> float:
        return now - self._since.get("stable-down", now)

    def look(self, now: float) -> float:
        """Note a look; the seconds since the one before if nobody watched between them, below 0 where the clock was
        set back by so much, else 0."""
        since, self._watched_at = now - self._watched_at, now
        return since if abs(since) > max(AWAY_SECONDS, 4 * self._plan.release.scrape_seconds) else 0.0

    def age(self, arm: str, now: float) -> float:
        return now - self._seen_at.get(arm, float("-inf"))

    def players(self, revision: int) -> tuple[int, int] | None:
        """Distinct players (canary, stable) under the split of ``revision``; None when not counted yet."""
        return self._players if revision == self._players_revision else None

    @property
    def mark(self) -> Evidence | None:
        """What a verdict of now rests on; None while part of it is not stored."""
        if self._hash is None or not self._is_whole:
            return None
        return Evidence(sha256=self._hash, samples=self._samples)

    def _note_players(self, sample: Sample) -> None:
        """Remember who was seen under the newest split that either arm was counted under."""
        arms = (sample.canary, sample.stable)
        revisions = [arm.players_revision for arm in arms if arm is not None and arm.players_revision is not None]
        self._players_revision = max(revisions, default=-1)
        canary, stable = (
            arm.players_seen or 0 if arm is not None and arm.players_revision == self._players_revision else 0
            for arm in arms
        )
        self._players = (canary, stable)

    def _note_ages(self, sample: Sample) -> None:
        for arm, counts in (("canary", sample.canary), ("stable", sample.stable)):
            if counts is not None:
                self._seen_at[arm] = sample.at

    async def _refold(self) -> None:
        """Fold the whole segment. Raises ``Unreachable`` and ``IntegrityError``; nothing has changed then."""
        samples = await asyncio.to_thread(self._store.read, self._plan.run)
        running = await asyncio.to_thread(self._store.digest, self._plan.run)
        self._evidence = refold(self._plan, samples)
        self._samples, self._hash, self._is_whole = len(samples), running, True
        if samples:
            self.scraped_at = self._last_at = samples[-1].at
            self._watched_at = max(self._watched_at, self._last_at)
            self._note_ages(samples[-1])
            self._note_players(samples[-1])
