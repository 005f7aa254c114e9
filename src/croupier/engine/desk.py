"""The desk: every use case of the front ends, and the loop behind them.

Commands are written to the journal before they are answered; the next round carries them out. One lock keeps rounds,
starts and commands apart, so that each sees the world the one before it left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

from pydantic import JsonValue

from croupier.core.plans.canary import plan_canary
from croupier.core.run import RunState
from croupier.core.snapshot import Snapshot
from croupier.engine import preview, views
from croupier.engine.loop import Loop, idle, sole_digest
from croupier.engine.register import DESK, Register
from croupier.errors import Refused, UnknownName, Unreachable
from croupier.model.base import short
from croupier.model.journal import Draft, Entry
from croupier.model.release import Release
from croupier.model.service import Platform, Service, Version
from croupier.model.traffic import ObservedSplit
from croupier.model.view import CommandName, HealthView, PlanPreview, RunView, ServiceView, VersionView
from croupier.ports.clock import Clock
from croupier.ports.journal import EvidenceStore, Journal
from croupier.ports.metrics import Metrics
from croupier.ports.traffic import Traffic
from croupier.ports.workloads import Workloads

log = logging.getLogger(__name__)


class Desk:
    """One desk over one platform. Wired by ``croupier.bootstrap``; ``run`` drives it, tests call ``round``."""

    def __init__(
        self,
        *,
        platform: Platform,
        traffic: Traffic,
        workloads: Workloads,
        metrics: Metrics,
        journal: Journal,
        evidence: EvidenceStore,
        clock: Clock,
        closing: AsyncExitStack | None = None,
    ) -> None:
        """``closing`` closes what the back ends hold; None: nothing is to be closed."""
        self._closing = closing or AsyncExitStack()
        self._platform = platform
        self._traffic = traffic
        self._workloads = workloads
        self._clock = clock
        self._register = Register(journal)
        self._loop = Loop(
            platform=platform,
            traffic=traffic,
            workloads=workloads,
            metrics=metrics,
            evidence=evidence,
            register=self._register,
            clock=clock,
        )
        self._lock = asyncio.Lock()
        self._wake = asyncio.Event()
        self._turn = asyncio.Condition()
        self._started_at = clock.now()
        self._is_open = False

    # --- the loop ----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Fold the journal and note the start in it; once, later calls do nothing. Raises ``IntegrityError``."""
        async with self._lock:
            if self._is_open:
                return
            await self._register.catch_up()
            body: dict[str, JsonValue] = {"liveRuns": list(self._register.live())}
            try:
                await self._register.write([Draft("desk.started", DESK, self._clock.now(), body)])
            except Unreachable as error:  # a full disk must not keep a desk from taking its runs back
                log.warning("the start was not written down: %s", error.message)
            self._is_open = True

    async def run(self) -> None:
        """Rounds without end: at every scrape, sooner while something is under way or a person has asked for it.

        Ends by cancellation, or with ``Conflict`` or ``IntegrityError`` of the journal; closes the desk then.
        """
        try:
            while True:
                await self.round()
                await idle(self._loop.pause_seconds(), self._wake)
        finally:
            await self.close()

    async def close(self) -> None:
        """Give up the journal and all connections."""
        await self._closing.aclose()

    async def round(self) -> None:
        """One round; never two at a time."""
        await self.open()
        async with self._lock:
            await self._loop.round()
        async with self._turn:
            self._turn.notify_all()

    # --- releases ----------------------------------------------------------------------------------------------------

    async def plan(self, release: Release) -> PlanPreview:
        """The plan and its forecast; starts nothing.

        Raises ``UnknownName`` for a service or version that does not exist, ``Refused`` when the release must not be
        started now, with numbers and options, and ``Unreachable`` when traffic or workloads do not answer.
        """
        await self.open()
        async with self._lock:
            return await self._preview(release)

    async def start(self, release: Release, *, who: str = "", reason: str = "") -> str:
        """Start a release; returns the run's id. Raises as ``plan`` does; nothing is started then."""
        await self.open()
        async with self._lock:
            shown = await self._preview(release)
            plan, now = shown.plan, self._clock.now()
            pods = await self._workloads.observe(plan.service)
            planned: dict[str, JsonValue] = {
                "plan": plan.model_dump(mode="json", by_alias=True),
                "forecast": shown.forecast.model_dump(mode="json", by_alias=True),
                "stable": shown.stable.label,
                "canary": shown.canary.label,
            }
            restarts: dict[str, JsonValue] = {each.digest: each.restarts for each in pods}
            started: dict[str, JsonValue] = {"restarts": restarts, "who": who, "reason": reason}
            await self._register.write(
                [Draft("run.planned", plan.run, now, planned), Draft("run.started", plan.run, now, started)]
            )
        log.info("%s: release of %s to %s started", plan.run, plan.service, short(plan.canary))
        self._wake.set()
        return plan.run

    async def command(self, run: str, command: CommandName, who: str, reason: str = "") -> None:
        """Write down what a person wants; the next round, at once, does it.

        Raises ``UnknownName`` for the run and ``Refused`` when the command makes no sense now: ``promote`` while a gate
        fails, ``resume`` of a run that is not paused or held, anything once the run has ended.
        """
        await self.open()
        async with self._lock:
            state = self._state(run)
            view = views.run_view(state, self._snapshot(run))
            if command not in view.commands:
                raise Refused(_why_not(view, command), hint=f"accepted now: {', '.join(view.commands) or 'nothing'}")
            body = {"command": command, "who": who, "reason": reason}
            draft = Draft("command", run, self._clock.now(), body)
            # A full disk must not keep a person from going back.
            await self._register.write([draft], way_back=command == "abort")
        self._wake.set()

    # --- views -------------------------------------------------------------------------------------------------------

    def runs(self) -> Sequence[RunView]:
        """All runs, the newest first."""
        states = reversed(list(self._register.runs.items()))
        return [views.run_view(state, self._snapshot(run)) for run, state in states]

    def run_view(self, run: str) -> RunView:
        """Raises ``UnknownName``, which lists the known runs."""
        return views.run_view(self._state(run), self._snapshot(run))

    async def updates(self, run: str) -> AsyncIterator[RunView]:
        """The run now, then after every round, until it has ended."""
        while True:
            view = self.run_view(run)
            yield view
            if view.outcome is not None:
                return
            async with self._turn:
                await self._turn.wait()

    async def services(self) -> Sequence[ServiceView]:
        """All declared services, as the last round saw them."""
        await self._look()
        found = []
        for service in self._platform.services:
            live = self._register.live_run_of(service.name)
            digest = live.plan.stable if live else sole_digest(self._loop.world.splits.get(service.name))
            stable = None
            if digest is not None:
                try:
                    known: Sequence[Version] = await self._workloads.versions(service.name)
                except Unreachable:
                    known = ()
                stable = views.version_view(service.name, digest, known, serving=True)
            pods = self._loop.world.pods.get(service.name)
            found.append(views.service_view(service, stable, pods, live.plan.run if live else None))
        return found

    async def versions(self, service: str) -> Sequence[VersionView]:
        """All versions of one service, by label. Raises ``UnknownName`` and ``Unreachable``."""
        self._service(service)
        await self._look()
        split = self._loop.world.splits.get(service)
        serving = {digest for digest, weight in split.weights.items() if weight > 0} if split else set()
        known = await self._workloads.versions(service)
        return [
            views.version_view(service, version.digest, known, serving=version.digest in serving) for version in known
        ]

    async def entries(self, *, after: int = 0, run: str | None = None, limit: int = 1000) -> Sequence[Entry]:
        """Journal entries with ``seq`` > ``after``, oldest first, at most ``limit``."""
        return await self._register.entries(after=after, subject=run, limit=limit)

    def health(self) -> HealthView:
        problems = tuple(f"{port}: {message}" for port, message in sorted(self._loop.problems.items()))
        return HealthView(
            ok=not problems and self._loop.last_round_at is not None,
            started_at=self._started_at,
            last_round_at=self._loop.last_round_at,
            live_runs=len(self._register.live()),
            problems=problems,
        )

    # --- inside ------------------------------------------------------------------------------------------------------

    async def _preview(self, release: Release) -> PlanPreview:
        service = self._service(release.service)
        versions = await self._workloads.versions(service.name)
        digests = [version.digest for version in versions]
        if release.digest not in digests:
            raise UnknownName(f"version of {service.name}", release.digest, digests)
        live = self._register.live_run_of(service.name)
        if live is not None:
            raise Refused(
                f"{service.name} has a live run, {live.plan.run}; one at a time",
                hint=f"wait for {live.plan.run}, or abort it",
            )
        split = await self._traffic.observe(service.name)
        stable = sole_digest(split)
        if stable is None:
            raise Refused(f"{service.name} serves no single version now: {_weights(split)}", hint="settle it first")
        if stable == release.digest:
            raise Refused(f"{service.name} {short(stable)} serves everybody already", hint="choose another version")
        history = self._loop.histories[service.name]
        dispersion = history.dispersions()
        forecast = preview.forecast_release(release, history.rates(), dispersion)
        preview.refuse_undecidable(release, forecast, watched_seconds=self._clock.now() - self._started_at)
        ordinal = self._register.next_ordinal
        plan = plan_canary(
            run=f"r-{ordinal + 1:04d}",
            service=service,
            stable=stable,
            canary=release.digest,
            release=release,
            ordinal=ordinal,
            dispersion=dispersion,
        )
        return PlanPreview(
            plan=plan,
            stable=views.version_view(service.name, stable, versions, serving=True),
            canary=views.version_view(service.name, release.digest, versions, serving=False),
            forecast=preview.forecast_view(release, forecast),
        )

    async def _look(self) -> None:
        """A desk that has just started has seen nothing yet; it looks before it answers what serves."""
        if self._loop.last_round_at is None:
            await self.round()

    def _service(self, name: str) -> Service:
        service = self._platform.service(name)
        if service is None:
            raise UnknownName("service", name, [each.name for each in self._platform.services])
        return service

    def _state(self, run: str) -> RunState:
        state = self._register.runs.get(run)
        if state is None:
            raise UnknownName("run", run, list(self._register.runs))
        return state

    def _snapshot(self, run: str) -> Snapshot | None:
        """What the last round saw of a live run; an ended one is what its journal says."""
        return self._loop.snapshots.get(run) if self._register.runs[run].is_live else None


def _weights(split: ObservedSplit) -> str:
    parts = ", ".join(f"{short(digest)} {weight} %" for digest, weight in split.weights.items())
    return f"{parts or 'nothing'} (run {split.run})"


def _why_not(view: RunView, command: CommandName) -> str:
    if view.outcome is not None:
        return f"{view.run} has ended: {view.outcome}"
    if command == "promote" and view.verdict is not None and view.verdict.outcome == "fail":
        return f"{view.run} cannot be promoted over a failing gate: {view.verdict.reason}"
    return f"{command} makes no sense while {view.run} is {view.phase}"
