"""The round: gather ▸ decide ▸ journal the intent ▸ apply; what became of it is what the next round observes.

One commit a round for all runs. A crash between any two lines loses nothing: state is the journal's fold, evidence the
segment's, and actions are due as long as they are not observed in force. Rounds never overlap; the desk's lock also
keeps commands out of a running round. A round waits for what it applies for a moment only (``errands``).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from croupier.core import gates
from croupier.core.decide import Decision, decide
from croupier.core.drain import is_count_due, leaving
from croupier.core.due import weight_counted
from croupier.core.freeze import in_force, thawed_at
from croupier.core.phases import Phase
from croupier.core.run import RunState, story_line
from croupier.core.snapshot import Snapshot
from croupier.engine.errands import Errands
from croupier.engine.gather import World, gather
from croupier.engine.handlers import Handlers
from croupier.engine.histories import Histories
from croupier.engine.register import Register
from croupier.engine.watch import TICK_SECONDS, Watch
from croupier.errors import Unreachable
from croupier.model.evidence import Sample
from croupier.model.freeze import Freeze
from croupier.model.journal import Draft
from croupier.model.service import Platform
from croupier.model.traffic import ObservedSplit
from croupier.ports.clock import Clock
from croupier.ports.journal import EvidenceStore
from croupier.ports.metrics import Metrics, Target
from croupier.ports.traffic import Traffic
from croupier.ports.workloads import Workloads

SCRAPE_SECONDS = 5.0
"""How often services without a live run are counted, for their history."""

QUICK_SECONDS = 0.5
"""Pause between rounds while something is under way: pods that start, a split that settles, a way back."""

LOOK_SECONDS = 0.05
"""Pause after a round that began something: what became of it is looked at, and written down, at once."""

LOOKS_A_SECOND = 200.0
"""How many runs that nothing happens to are looked at between their scrapes, at most. A few runs are looked at in every
round; of a thousand each is looked at every five seconds, so that one which hurries does not make all of them cost."""

LITTLE_WEIGHT = 10
"""Up to this weight the stable arm of a run still shows the service as it usually is."""

_HURRY = frozenset({Phase.PREPARING, Phase.SETTLING, Phase.PROMOTING, Phase.ROLLING_BACK})

_BACKWARDS = frozenset({Phase.ROLLING_BACK, Phase.ROLLED_BACK})

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _SocketCount:
    """``version``: the one that leaves. ``sockets``: digest -> how many; empty, with a ``fault``: nobody could tell."""

    version: str
    at: float
    sockets: Mapping[str, int]
    fault: str


class Loop:
    """Rounds over one platform. Made and called by ``Desk``, under its lock."""

    def __init__(
        self,
        *,
        platform: Platform,
        traffic: Traffic,
        workloads: Workloads,
        metrics: Metrics,
        evidence: EvidenceStore,
        histories: Histories,
        register: Register,
        freezes: Sequence[Freeze],
        clock: Clock,
        on_late: Callable[[], None],
    ) -> None:
        """``on_late``: called when something has been carried out that took longer than its round."""
        self._platform = platform
        self._traffic = traffic
        self._workloads = workloads
        self._metrics = metrics
        self._store = evidence
        self._register = register
        self._freezes = freezes
        self._clock = clock
        self._handlers = Handlers(traffic, workloads)
        self._errands = Errands(self._handlers, on_late)
        self._watches: dict[str, Watch] = {}
        self._counts: dict[str, _SocketCount] = {}
        """Service -> the last count of sockets to the version that leaves it."""
        self._idle_at = float("-inf")
        self._has_acted = False
        self._histories = histories
        self.world = World()
        """What the last round saw."""
        self.snapshots: dict[str, Snapshot] = {}
        """Run -> what the last round saw of it."""
        self.problems: dict[str, str] = {}
        """Back end -> why it does not answer."""
        self.last_round_at: float | None = None

    def declare(self, platform: Platform, freezes: Sequence[Freeze]) -> None:
        self._platform = platform
        self._freezes = freezes

    def history(self, service: str) -> gates.DispersionHistory:
        """What is known of the service's stable version; empty for one never counted."""
        return self._histories.of(service)

    async def open(self) -> None:
        """Go on from what an earlier desk knew of each service; before the first round."""
        await self._histories.open()

    async def round(self) -> None:
        """One round. Raises only what a desk cannot live with: ``Conflict`` and ``IntegrityError`` of the journal."""
        now = self._clock.now()
        problems: dict[str, str] = {}
        self._errands.note_ended()
        if self._register.is_behind:
            await self._catch_up(problems)
        live = self._register.live()
        await self._watch_only(live)
        turn = {run: state for run, state in live.items() if self._has_its_turn(run, state, now, len(live))}
        self.world = await self._gather(live, turn, now)
        now = self._clock.now()
        decisions: dict[str, Decision] = {}
        for run, state in turn.items():
            try:
                self.snapshots[run] = await self._snapshot(run, state, now)
                decisions[run] = decide(state, self.snapshots[run])
            except Exception as error:  # one run's bug must not stop the way back of the others
                problems[run] = f"{type(error).__name__}: {error}"
                if problems[run] != self.problems.get(run):
                    log.exception("round of %s", run)
        self._look_again(decisions)
        stopped = await self._write(decisions, problems)
        written = [draft for run, each in decisions.items() if run not in stopped for draft in each.drafts]
        for draft in written:
            if line := story_line(draft):
                log.info("%s %s", draft.subject, line)
        self._has_acted = any(draft.kind == "intent" for draft in written)
        for run, decision in decisions.items():
            state, goes_back = decision.state, decision.state.phase is Phase.ROLLING_BACK
            if decision.actions and (run not in stopped or goes_back):
                self._errands.send(state, decision.actions, self._watches[run])
            elif not decision.actions and not self._errands.is_out(state.plan.service):
                self._watches[run].action_faults = {}
        await self._errands.settle()
        self._histories.read_some()
        await self._histories.save_due()
        if self._histories.problem:
            problems["history"] = self._histories.problem
        self._note_problems(problems)
        self.last_round_at = self._clock.now()

    async def close(self) -> None:
        """Give up what is being carried out, and keep what is known of each service."""
        try:
            await self._errands.close()
        finally:
            await self._histories.close()

    def pause_seconds(self) -> float:
        """How long the next round may wait: until the next scrape, less while something is under way."""
        live = self._register.live()
        if self._has_acted:
            return LOOK_SECONDS
        if any(state.phase in _HURRY or state.intended or state.command for state in live.values()):
            return QUICK_SECONDS
        now = self._clock.now()
        due = [self._idle_at + SCRAPE_SECONDS]
        due += [
            self._watches[run].scraped_at + state.plan.release.scrape_seconds
            for run, state in live.items()
            if run in self._watches
        ]
        return min(max(min(due) - now, QUICK_SECONDS), SCRAPE_SECONDS)

    # --- gather ------------------------------------------------------------------------------------------------------

    def _has_its_turn(self, run: str, state: RunState, now: float, live: int) -> bool:
        """Whether this round looks at the run: something is under way, a scrape is due, or it was long ago."""
        watch = self._watches[run]
        since = now - watch.looked_at
        has_turn = (
            state.phase in _HURRY
            or bool(state.intended)
            or state.command is not None
            or watch.is_due(now)
            or not 0.0 <= since < (live - 1) / LOOKS_A_SECOND
            or self._errands.is_out(state.plan.service)
        )
        if has_turn:
            watch.looked_at = now
        return has_turn

    async def _watch_only(self, live: Mapping[str, RunState]) -> None:
        """A watch for every live run, none for ended ones."""
        for run in [run for run in self._watches if run not in live]:
            del self._watches[run]
            self.snapshots.pop(run, None)
        for run, state in live.items():
            if run not in self._watches:
                self._watches[run] = await Watch.open(state.plan, self._store, state.updated_at)

    async def _gather(self, live: Mapping[str, RunState], turn: Mapping[str, RunState], now: float) -> World:
        """Look at the services of ``turn`` and at those without a live run; of the others the last look stands."""
        targets: list[Target] = []
        busy = {state.plan.service for state in live.values()}
        for run, state in turn.items():
            if self._watches[run].is_due(now):
                self._watches[run].scraped_at = now
                plan = state.plan
                targets += [Target(plan.service, run, plan.canary), Target(plan.service, run, plan.stable)]
        # The first round cannot know yet what serves, so the second one counts.
        is_due = not 0.0 <= now - self._idle_at < SCRAPE_SECONDS - TICK_SECONDS  # also when the clock was set back
        if is_due and self.last_round_at is not None:
            self._idle_at = now
            for service, split in self.world.splits.items():
                digest = sole_digest(split)
                if service not in busy and digest is not None:
                    targets.append(Target(service, "-", digest))
        # A live run is looked after also when its service is no longer declared.
        resting = busy - {state.plan.service for state in turn.values()}
        services = sorted(({service.name for service in self._platform.services} | busy) - resting)
        draining = {state.plan.service: state for state in turn.values() if leaving(state) is not None}
        asked = [service for service, state in draining.items() if self._is_count_due(service, state, now)]
        ports = self._traffic, self._workloads, self._metrics
        world = await gather(*ports, services, targets, before=self.world, draining=asked)
        self._note_sockets(world, draining, asked, now)
        for versions in world.pods.values():
            self._handlers.note(list(versions))
        for target, counts in (world.counters or {}).items():
            if self._is_history(live, target):
                self._histories.add(target.service, counts, now, source=target.run)
        world.keep(self.world, resting)
        return world

    def _is_count_due(self, service: str, state: RunState, now: float) -> bool:
        last = self._counts.get(service)
        is_of_it = last is not None and last.version == leaving(state)
        return is_count_due(state, now, last.at if last is not None and is_of_it else float("-inf"))

    def _note_sockets(self, world: World, draining: Mapping[str, RunState], asked: Sequence[str], now: float) -> None:
        """Keep what was counted, or why nothing was: it stands in rounds that do not count."""
        for service in asked:
            found = world.sockets.get(service)
            fault = world.faults.get(service, {}).get("traffic", "") if found is None else ""
            self._counts[service] = _SocketCount(leaving(draining[service]) or "", now, found or {}, fault)
        self._counts = {service: each for service, each in self._counts.items() if service in draining}
        for service in draining.keys() - set(asked):
            last = self._counts[service]
            world.sockets[service] = last.sockets
            if last.fault:
                world.faults.setdefault(service, {}).setdefault("traffic", last.fault)

    @staticmethod
    def _is_history(live: Mapping[str, RunState], target: Target) -> bool:
        """Whether these counters tell how the service does usually. Not once the stable arm has lost many players:
        its traffic would be taken for the service's, and the next forecast would be too slow."""
        if target.run == "-":
            return True
        state = live.get(target.run)
        return state is not None and state.plan.stable == target.digest and state.weight <= LITTLE_WEIGHT

    async def _snapshot(self, run: str, state: RunState, now: float) -> Snapshot:
        plan, watch = state.plan, self._watches[run]
        split = self.world.splits.get(plan.service)
        versions = self.world.pods.get(plan.service)
        pods = None if versions is None else {version.digest: version for version in versions}
        faults = self.world.faults.get(plan.service, {}) | watch.action_faults
        revision = 0 if state.split is None else state.split.revision
        if self.world.metrics_fault:
            faults["metrics"] = self.world.metrics_fault
        elif "metrics" in state.faults and self.world.counters is None:
            faults["metrics"] = state.faults["metrics"]  # not asked in this round
        counted = None
        if self.world.counters is not None and watch.scraped_at <= now and state.peak_weight > 0:
            counted = await self._count(plan.service, run, state)
        # Not its turn in this round: what was said last still holds.
        if problem := state.faults.get("evidence", "") if counted is None else counted:
            faults["evidence"] = problem
        watch.note_pods(state, pods, now)
        written = self.world.written.get(plan.service)
        watch.note_split(split, written, now)
        return Snapshot(
            now=now,
            split=split,
            pods=pods,
            verdict=watch.judge(state.weight, now),
            evidence=watch.mark,
            canary_age=watch.age("canary", now),
            stable_age=watch.age("stable", now),
            players=watch.players(revision),
            open_sockets=self.world.sockets.get(plan.service, {}).get(leaving(state) or ""),
            down_seconds=watch.down_seconds(now),
            asked_seconds=watch.asked_seconds(now),
            stable_down_seconds=watch.stable_down_seconds(now),
            written=written,
            unconfirmed_seconds=watch.unconfirmed_seconds(now),
            unwatched_seconds=watch.look(now),
            freezes=in_force(self._freezes, plan.service, now),
            thawed_at=thawed_at(self._freezes, plan.service, now),
            faults=faults,
        )

    async def _count(self, service: str, run: str, state: RunState) -> str | None:
        """Fold this round's counters of one run; why they were not stored, or "". None: it was not its turn."""
        counters = self.world.counters or {}
        plan = state.plan
        canary = counters.get(Target(service, run, plan.canary))
        stable = counters.get(Target(service, run, plan.stable))
        if canary is None and stable is None:
            return None
        weight = weight_counted(state, self.world.splits.get(service))
        sample = Sample(at=self._watches[run].scraped_at, weight=weight, canary=canary, stable=stable)
        return await self._watches[run].add(sample)

    # --- journal -----------------------------------------------------------------------------------------------------

    async def _catch_up(self, problems: dict[str, str]) -> None:
        try:
            await self._register.catch_up()
        except Unreachable as error:
            problems["journal"] = error.message

    async def _write(self, decisions: Mapping[str, Decision], problems: dict[str, str]) -> set[str]:
        """Write everything decided in one commit; returns the runs whose part could not be written.

        When the journal cannot be written, what leads back goes to its emergency segment.
        """
        drafts = [draft for decision in decisions.values() for draft in decision.drafts]
        if not drafts:
            return set()
        unwritten = {run for run, decision in decisions.items() if decision.drafts}
        known = self._register.live()
        if await self._append(drafts, problems):
            return set()
        backwards = {run: each for run, each in decisions.items() if each.state.phase in _BACKWARDS}
        way_back = [draft for decision in backwards.values() for draft in decision.drafts]
        if way_back:
            await self._catch_up(problems)
            # What was written although its answer was lost, now or before, must not be written twice.
            is_known = all(self._register.live().get(run) is known[run] for run in backwards)
            if is_known and await self._append(way_back, problems, way_back=True):
                return unwritten - backwards.keys()
        return unwritten

    async def _append(self, drafts: Sequence[Draft], problems: dict[str, str], *, way_back: bool = False) -> bool:
        """Whether the drafts were written. Not while entries may be missing here: they could be written twice."""
        if self._register.is_behind:
            return False
        try:
            await self._register.write(drafts, way_back=way_back)
        except Unreachable as error:
            problems["journal"] = error.message
            return False
        return True

    # --- apply --------------------------------------------------------------------------------------------------------

    def _look_again(self, decisions: dict[str, Decision]) -> None:
        """Decide nothing that leads back while a change forward is under way: what was seen may not hold any more."""
        for run, decision in list(decisions.items()):
            service = decision.state.plan.service
            if decision.state.phase in _BACKWARDS and self._errands.leads_forward(service):
                self._errands.give_up(service)
                del decisions[run]

    # --- problems -----------------------------------------------------------------------------------------------------

    def _note_problems(self, problems: dict[str, str]) -> None:
        """Log what began and what ceased to fail, once each."""
        if self.world.metrics_fault:
            problems["metrics"] = self.world.metrics_fault
        for faults in self.world.faults.values():
            problems.update(faults)
        if self.world.counters is None and not self.world.metrics_fault and "metrics" in self.problems:
            problems["metrics"] = self.problems["metrics"]
        for port in problems.keys() - self.problems.keys():
            log.warning("%s does not answer: %s", port, problems[port])
        for port in self.problems.keys() - problems.keys():
            log.info("%s answers again", port)
        self.problems = problems


def sole_digest(split: ObservedSplit | None) -> str | None:
    """What serves everybody outside any run; None when that is not one version, or not known."""
    if split is None or split.run != "-":
        return None
    return next((digest for digest, weight in split.weights.items() if weight == 100), None)


async def idle(seconds: float, wake: asyncio.Event) -> None:
    """Wait until ``wake`` or for ``seconds``, whichever comes first; ``wake`` is cleared."""
    try:
        async with asyncio.timeout(seconds):
            await wake.wait()
    except TimeoutError:
        return
    finally:
        wake.clear()
