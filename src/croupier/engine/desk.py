"""The desk: every use case of the front ends, and the loop behind them.

Commands are written to the journal before they are answered; the next round carries them out. One lock keeps rounds,
starts and commands apart, so that each sees the world the one before it left.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack, suppress
from datetime import UTC, datetime

from pydantic import JsonValue

from croupier.core.freeze import before, in_force, is_overridden
from croupier.core.group import GroupState, in_order
from croupier.core.phases import ENDS, Event, Phase
from croupier.core.plans.release import as_return, at_once, cannot_be_judged, plan_release
from croupier.core.plans.rolling import rolling_steps
from croupier.core.roll import group_id, run_id
from croupier.core.run import RunState
from croupier.core.snapshot import Snapshot
from croupier.engine import preview, views
from croupier.engine.checklist import WAIVED
from croupier.engine.gather import answered, observed
from croupier.engine.groups import Groups
from croupier.engine.histories import Histories
from croupier.engine.loop import Loop, idle, sole_digest
from croupier.engine.preflight import Preflight
from croupier.engine.register import DESK, Register
from croupier.errors import Refused, UnknownName, Unreachable
from croupier.model.checklist import Checklist, ChecklistPolicy, ChecklistSource, LineWaiver, WaiverRequest
from croupier.model.digest import short
from croupier.model.freeze import Freeze
from croupier.model.journal import Draft, Entry
from croupier.model.plan import EnsureVersion
from croupier.model.release import BakeSeconds, Release
from croupier.model.service import Platform, Service, Version
from croupier.model.traffic import ObservedSplit
from croupier.model.view import (
    CommandName,
    GroupRequest,
    GroupView,
    HealthView,
    PlanPreview,
    RunView,
    ServiceView,
    VersionView,
)
from croupier.ports.clock import Clock
from croupier.ports.history import HistoryStore
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
        most_live: int | None = None,
        checklists: Mapping[str, ChecklistSource] | None = None,
        checklist: ChecklistPolicy | None = None,
        freezes: Sequence[Freeze] = (),
        bake_seconds: BakeSeconds = BakeSeconds(),  # noqa: B008  # frozen
        history: HistoryStore | None = None,
    ) -> None:
        """``closing`` closes what the back ends hold; None: nothing is to be closed.

        ``history``: where it keeps how services usually do; None: a desk that starts again learns it anew.
        ``most_live``: how many gated releases may be live at a time; None: as many as there are services.
        ``checklists``: service -> where it is described, for its checklist.
        ``checklist``: whether a gated release waits for it; None: of a described service it does, no other is asked.
        ``freezes``: the calendar. ``bake_seconds``: of releases that do not say.
        """
        self._closing = closing or AsyncExitStack()
        self._platform = platform
        self._traffic = traffic
        self._workloads = workloads
        self._clock = clock
        self._most_live = most_live
        self._bake_seconds = bake_seconds
        self._register = Register(journal)
        self._preflight = Preflight(self._register, clock, sources=checklists or {}, policy=checklist, freezes=freezes)
        self._groups = Groups(self._register, self._begin_member, self._preflight.refuse_frozen, clock.now)
        self._wake = asyncio.Event()
        self._loop = Loop(
            platform=platform,
            traffic=traffic,
            workloads=workloads,
            metrics=metrics,
            evidence=evidence,
            histories=Histories(history, clock),
            register=self._register,
            freezes=self._preflight.freezes,
            clock=clock,
            on_late=self._wake.set,
        )
        self._lock = asyncio.Lock()
        self._started_at = clock.now()
        self._is_open = False

    # --- the loop ----------------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Fold the journal and note the start in it; once, later calls do nothing. Raises ``IntegrityError``."""
        async with self._lock:
            if self._is_open:
                return
            await self._register.catch_up()
            await self._loop.open()
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
        """Give up what is being carried out, then the journal and all connections."""
        try:
            await self._loop.close()
        finally:
            await self._closing.aclose()

    async def round(self) -> None:
        """One round; never two at a time."""
        await self.open()
        async with self._lock:
            await self._loop.round()
            if await self._groups.advance():
                self._wake.set()

    async def declare(self, platform: Platform, freezes: Sequence[Freeze] | None = None) -> None:
        """Serve this platform from the next round on; live runs of a service that is gone are still looked after.

        ``freezes``: another calendar; None: the one that there is stays.
        """
        async with self._lock:
            self._platform = platform
            if freezes is not None:
                self._preflight.freezes = tuple(freezes)
            self._loop.declare(platform, self._preflight.freezes)

    # --- releases ----------------------------------------------------------------------------------------------------

    async def plan(self, release: Release) -> PlanPreview:
        """The plan and its forecast; starts nothing.

        Raises ``UnknownName`` for a service or version that does not exist, ``Refused`` when the release must not be
        started now, with numbers and options, and ``Unreachable`` when traffic or workloads do not answer.
        """
        await self.open()
        said = {
            "checklist": await self._preflight.checked(release),
            "asks": self._preflight.asks(self._service(release.service).tier),
            "frozen": await self._preflight.frozen(release),
        }
        async with self._lock:
            return (await self._preview(release)).model_copy(update=said)

    async def way_back(self, service: str) -> Release:
        """The release that undoes the last one: of the version that served before, as the last one was asked for, but
        that its gates may only take it back (ADR 22). Starts nothing.

        Raises ``UnknownName``, ``Refused`` when no version is known that served before, and ``Unreachable``.
        """
        await self.open()
        self._service(service)
        async with self._lock:
            await self._register.be_current()
            last = await self._preflight.last(service)
        digest = before(last)
        if last is None or not digest:
            raise Refused(
                f"nothing is known that served before what serves {service} now",
                hint="start a version as usual; or, if stable itself is bad, with --fix-forward",
            )
        return as_return(last.plan.release.model_copy(update={"digest": digest}))

    async def start(
        self, release: Release, *, who: str = "", reason: str = "", owner: str = "", override_freeze: bool = False
    ) -> str:
        """Start a release; returns the run's id. Raises as ``plan`` does; nothing is started then.

        ``owner``: what the run belongs to where services come and go, such as the uid of a policy. ``override_freeze``:
        a person has decided to start in spite of the windows that are open now; ``reason`` says who, and why.
        """
        told = {"who": who, "reason": reason, "owner": owner}
        return await self._start(release, told, is_gated=True, override_freeze=override_freeze)

    async def switch(
        self, release: Release, *, who: str = "", reason: str = "", owner: str = "", override_freeze: bool = False
    ) -> str:
        """Start a release without gates: everybody moves at once, and back if it does not hold.

        For what is no release of something new: adopting what runs already, leaving croupier, the first version of a
        service. ``release.steps`` is (100,). Raises as ``start`` does, but never for a lack of evidence.
        """
        told = {"who": who, "reason": reason, "owner": owner}
        return await self._start(release, told, is_gated=False, override_freeze=override_freeze)

    async def _start(self, release: Release, told: Mapping[str, str], *, is_gated: bool, override_freeze: bool) -> str:
        await self.open()
        ready = await self._ready(release) if is_gated else ""
        async with self._lock:
            await self._register.be_current()
            told = {**told, "checklist": ready}
            return await self._begin(release, told, is_gated=is_gated, override_freeze=override_freeze)

    async def retry(self, run: str, *, who: str, reason: str = "") -> str:
        """Start the release of a run that was taken back once more, as it was asked for; returns the new run's id.

        A fix forward is one again: who tries it again approves it again, with a reason.

        Raises ``UnknownName`` for the run, ``Refused`` when it is live or was promoted, or a fix forward and ``reason``
        is blank, and as ``start`` does.
        """
        await self.open()
        async with self._lock:
            await self._register.be_current()
            state = await self._register.run(run)
        if state.phase is not Phase.ROLLED_BACK:
            raise Refused(f"{run} is {state.phase}", hint="only a run that was taken back can be tried again")
        release = state.plan.release
        ready = "" if state.fix_forward else await self._ready(release)
        async with self._lock:
            await self._register.be_current()
            told = {"who": who, "reason": reason or f"retry of {run}", "checklist": ready}
            if state.fix_forward:
                if not reason.strip():
                    raise Refused(
                        f"{run} moved everybody WITHOUT GATES, and would again",
                        hint='say who decided and why: --reason "…"; or start the version as usual, with gates',
                    )
                told["fixForward"] = await self._how_bad(release.service)
            return await self._begin(release, told, is_gated=not state.fix_forward)

    async def _begin(
        self, release: Release, told: Mapping[str, str], *, is_gated: bool, override_freeze: bool = False
    ) -> str:
        """Plan and write down the start of a run. ``told``: for ``run.started``; what is "" is left out, but for
        ``who`` and ``reason``. ``override_freeze``: a person has given a reason to start all the same."""
        if not override_freeze:
            await self._preflight.refuse_frozen(release)
        frozen, before = await self._preflight.frozen(release), await self._preflight.before(release.service)
        live = len(self._register.live())
        counts = is_gated and before != release.digest
        if counts and self._most_live is not None and live >= self._most_live:
            raise Refused(
                f"{live} releases are live, and this desk runs {self._most_live} at a time",
                hint="wait for one to end, or raise mostLiveRuns in desk.yaml",
            )
        shown = await self._preview(release, is_gated=is_gated)
        plan, now = shown.plan, self._clock.now()
        pods = await answered(self._workloads.observe(plan.service))
        planned: dict[str, JsonValue] = {
            "plan": plan.model_dump(mode="json", by_alias=True),
            "forecast": shown.forecast.model_dump(mode="json", by_alias=True),
            "stable": shown.stable.label,
            "canary": shown.canary.label,
        }
        restarts: dict[str, JsonValue] = {each.digest: each.restarts for each in pods}
        said: dict[str, JsonValue] = {key: text for key, text in told.items() if text or key in ("who", "reason")}
        if frozen:
            said["overridden"] = [each.key for each in frozen]
        if before:
            said["before"] = before
        if before == release.digest:
            said["returns"] = True
        await self._register.write(
            [
                Draft("run.planned", plan.run, now, planned),
                Draft("run.started", plan.run, now, {"restarts": restarts, **said}),
            ]
        )
        log.info("%s: release of %s to %s started", plan.run, plan.service, short(plan.canary))
        self._wake.set()
        return plan.run

    # --- the checklist -----------------------------------------------------------------------------------------------

    async def checklist(self, service: str) -> Checklist:
        """The checklist of a service (S15), as far as the desk's settings say where it is described.

        Raises ``UnknownName``, and as ``Preflight.assess`` does.
        """
        self._service(service)
        return await self._preflight.assess(service)

    async def waive(self, asked: WaiverRequest, who: str) -> LineWaiver:
        """Let a line stay red until a day, and write down who answers for it. It counts from now on.

        Raises ``UnknownName`` for the service, ``Refused`` when the day has passed, ``Unreachable`` for the journal.
        """
        await self.open()
        self._service(asked.service)
        now = self._clock.now()
        if asked.until < datetime.fromtimestamp(now, UTC).date():
            raise Refused(f"{asked.until} has passed", hint="a waiver ends on a day to come, or today")
        body: dict[str, JsonValue] = {**asked.model_dump(mode="json", by_alias=True), "who": who}
        async with self._lock:
            await self._register.be_current()
            await self._register.write([Draft(WAIVED, DESK, now, body)])
        return next(each for each in await self.waivers() if (each.service, each.line) == (asked.service, asked.line))

    async def waivers(self) -> Sequence[LineWaiver]:
        """The waiver that counts of each service and line, also one that has ended. Raises ``Unreachable``."""
        return await self._preflight.waivers()

    async def _ready(self, release: Release) -> str:
        return await self._preflight.ready(release, self._service(release.service).tier)

    # --- groups ------------------------------------------------------------------------------------------------------

    async def start_group(self, asked: GroupRequest, *, who: str) -> str:
        """Start several releases as one; returns the group's id. The first one starts in the round that follows.

        Raises what ``plan`` raises for any of them; a live release of a service is refused unless ``supersede``.
        """
        await self.open()
        if not asked.fix_forward:
            for each in asked.releases:
                await self._ready(each)
        async with self._lock:
            await self._register.be_current()
            releases = in_order(asked.releases, self._platform)
            for release in releases:
                if not asked.override_freeze:
                    await self._preflight.refuse_frozen(release)
                await self._preview(release, is_gated=not asked.fix_forward, supersede=asked.supersede)
            group = group_id(self._register.next_group)
            body: dict[str, JsonValue] = {
                "releases": [release.model_dump(mode="json", by_alias=True) for release in releases],
                "supersede": asked.supersede,
                "fixForward": asked.fix_forward,
                "overrideFreeze": asked.override_freeze,
                "who": who,
                "reason": asked.reason,
            }
            await self._register.write([Draft("group.planned", group, self._clock.now(), body)])
            await self._groups.advance()
        self._wake.set()
        return group

    async def abort_group(self, group: str, who: str, reason: str = "") -> None:
        """Take back the member that is live and start no further one. Raises ``UnknownName`` and ``Refused``."""
        await self.open()
        async with self._lock:
            with suppress(Unreachable):  # a person goes back on what was known last
                await self._register.be_current()
            state = await self._register.group(group)
            if not state.is_live:
                raise Refused(f"{group} has ended: {state.outcome}")
            if state.aborted_by is None:
                body: dict[str, JsonValue] = {"who": who, "reason": reason}
                await self._register.write(
                    [Draft("group.aborted", group, self._clock.now(), body)],
                    way_back=True,
                )
            await self._groups.advance()
        self._wake.set()

    async def groups(self, *, limit: int = 200) -> Sequence[GroupView]:
        """At most ``limit`` groups, the newest first."""
        return [await self._groups.view(group) for group in self._register.newest_groups(limit)]

    async def group_view(self, group: str) -> GroupView:
        """Raises ``UnknownName``, which lists the newest groups, and ``Unreachable``."""
        return await self._groups.view(group)

    async def _begin_member(self, state: GroupState, release: Release) -> str:
        told = {"who": state.who, "reason": state.reason, "group": state.group}
        if not state.fix_forward:
            return await self._begin(release, told, is_gated=True, override_freeze=state.override_freeze)
        told["fixForward"] = await self._how_bad(release.service)
        return await self._begin(at_once(release), told, is_gated=False, override_freeze=state.override_freeze)

    async def _how_bad(self, service: str) -> str:
        """What croupier sees of a stable version that a person calls bad; for the journal, beside the approval."""
        digest = sole_digest(await answered(self._traffic.observe(service)))
        pods = await answered(self._workloads.observe(service))
        ready = sum(version.ready for version in pods if version.digest == digest)
        errors = self._loop.history(service).rates().get("errors")
        failing = "" if errors is None else f", {errors.failure_ratio:.1%} of what is asked fails"
        return f"{ready} of {self._service(service).replicas} stable pods ready{failing}"

    async def command(self, run: str, command: CommandName, who: str, reason: str = "", *, request: str = "") -> None:
        """Write down what a person wants; the next round, at once, does it.

        ``request``: names this wish, where it may be brought again after a crash; it is written down once. "": nothing
        tells one wish from another.

        Raises ``UnknownName`` for the run and ``Refused`` when the command makes no sense now: ``promote`` while a gate
        fails, ``resume`` of a run that is not paused or held, anything once the run has ended.
        """
        await self.open()
        async with self._lock:
            try:
                await self._register.be_current()
            except Unreachable:
                if command != "abort":  # a person goes back on what was known last
                    raise
            state = await self._register.run(run)
            if request and state.request == request:
                return
            view = views.run_view(state, self._snapshot(run))
            if command not in view.commands:
                why_not = f"{run} is being aborted" if state.is_aborted else _why_not(view, command)
                raise Refused(why_not, hint=f"accepted now: {', '.join(view.commands) or 'nothing'}")
            body: dict[str, JsonValue] = {"command": command, "who": who, "reason": reason}
            if command == "override":
                if not reason.strip():
                    raise Refused(
                        f"{run} goes no further in a freeze without a reason",
                        hint='say who decided and why: --reason "…"',
                    )
                body["overridden"] = self._open_freezes(state)
            if request:
                body["request"] = request
            draft = Draft("command", run, self._clock.now(), body)
            # A full disk must not keep a person from going back.
            await self._register.write([draft], way_back=command == "abort")
        self._wake.set()

    def _open_freezes(self, state: RunState) -> list[JsonValue]:
        """Names of the freeze windows that are open now and that nobody has overridden for the run."""
        found = in_force(self._preflight.freezes, state.plan.service, self._clock.now())
        return [each.key for each in found if not is_overridden(each, state.overridden)]

    async def give_up(self, run: str, reason: str) -> None:
        """End a live run whose service is gone with all that it had: nothing is left to be carried out.

        Raises ``UnknownName`` for the run and ``Unreachable`` of the journal.
        """
        await self.open()
        async with self._lock:
            await self._register.be_current()
            phase, now = (await self._register.run(run)).phase, self._clock.now()
            if phase in ENDS:
                return
            said: dict[str, JsonValue] = {"code": "gone", "reason": reason}
            drafts = [Draft(Event.ENDED, run, now, {"outcome": "promoted", **said})]
            if phase is not Phase.PROMOTING:
                drafts = [Draft(Event.ENDED, run, now, {"outcome": "rolled-back", **said})]
                if phase is not Phase.ROLLING_BACK:
                    drafts.insert(0, Draft(Event.ROLLING_BACK, run, now, said))
            await self._register.write(drafts)

    async def note(self, kind: str, body: dict[str, JsonValue]) -> None:
        """Write down what happened outside of any run (``kind``: ``drift``). Raises ``Unreachable``."""
        await self.open()
        async with self._lock:
            await self._register.be_current()
            await self._register.write([Draft(kind, DESK, self._clock.now(), body)])

    # --- views -------------------------------------------------------------------------------------------------------

    async def runs(self, *, before: str | None = None, limit: int = 200) -> Sequence[RunView]:
        """At most ``limit`` runs, the newest first, older than ``before``. Raises ``UnknownName`` for ``before``, and
        ``Unreachable`` when old ones cannot be read."""
        return [await self.run_view(run) for run in self._register.runs_before(before, limit)]

    async def run_view(self, run: str) -> RunView:
        """Raises ``UnknownName``, which lists the newest runs, and ``Unreachable`` when an old one cannot be read."""
        return views.run_view(await self._register.run(run), self._snapshot(run))

    async def last_run(self, service: str, *, owner: str = "") -> RunView | None:
        """The newest run of a service, live or ended; None when there was none. Raises ``Unreachable``.

        ``owner``: only runs that were started for it, or for nobody; "": all.
        """
        run = self._register.newest_run(service, owner)
        return None if run is None else await self.run_view(run)

    async def before(self, service: str) -> str:
        """Digest of the version that served before the one that serves now; "": not known. Raises ``Unreachable``."""
        return await self._preflight.before(service)

    def live_owners(self) -> Mapping[str, tuple[str, str]]:
        """Live run -> its service, and what it was started for ("": nobody)."""
        return {run: (state.plan.service, state.owner) for run, state in self._register.live().items()}

    def floor(self, service: str) -> int:
        """Pods that stable must keep while a run is live, so that nobody waits on the way back; 0 without a run."""
        state = self._register.live_run_of(service)
        if state is None:
            return 0
        ways_back = (action for step in state.plan.steps for action in step.way_back)
        return max((each.replicas for each in ways_back if isinstance(each, EnsureVersion)), default=0)

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

    async def _known(self, release: Release) -> Sequence[Version]:
        """The versions of the service. Raises ``UnknownName`` for a service or version that does not exist."""
        versions = await answered(self._workloads.versions(self._service(release.service).name))
        digests = [version.digest for version in versions]
        if release.digest not in digests:
            raise UnknownName(f"version of {release.service}", release.digest, digests)
        return versions

    async def _preview(self, release: Release, *, is_gated: bool = True, supersede: bool = False) -> PlanPreview:
        """``supersede``: as it will be once the live run, if there is one, was taken back."""
        service = self._service(release.service)
        versions = await self._known(release)
        live = self._register.live_run_of(service.name)
        if live is not None and not supersede:
            raise Refused(
                f"{service.name} has a live run, {live.plan.run}; one at a time",
                hint=f"wait for {live.plan.run}, abort it, or replace it: --supersede",
            )
        returns = release.digest == await self._preflight.before(service.name)
        needs_pass = release.policy.needs_pass or not returns
        if live is not None:
            stable = live.plan.canary if live.phase is Phase.PROMOTING else live.plan.stable
        else:
            stable, is_confirmed = await self._serving(service.name, returns=returns)
            is_up = not returns or await self._is_up(service.name, stable)
            if cannot_be_judged(returns=returns, is_confirmed=is_confirmed, is_up=is_up):
                release, is_gated = at_once(release), False
        if stable == release.digest:
            raise Refused(f"{service.name} {short(stable)} serves everybody already", hint="choose another version")
        by_digest = {version.digest: version for version in versions}
        if stable in by_digest:
            preview.refuse_unreadable(by_digest[stable], by_digest[release.digest])
        if release.strategy == "rolling":
            release = release.model_copy(update={"steps": rolling_steps(service, release)})
        if release.bake_seconds is None:
            release = release.model_copy(update={"bake_seconds": self._bake_seconds.of(service.tier)})
        history = self._loop.history(service.name)
        forecast = preview.forecast_release(release, history, needs_pass=needs_pass)
        if is_gated and needs_pass:
            preview.refuse_undecidable(release, forecast, watched_seconds=self._clock.now() - self._started_at)
        number = self._register.next_run
        plan = plan_release(
            run=run_id(number),
            service=service,
            stable=stable,
            canary=release.digest,
            release=release,
            ordinal=number - 1,
            dispersion=history.dispersions(),
            few_pods=history.few_pods(),
        )
        return PlanPreview(
            plan=plan,
            stable=views.version_view(service.name, stable, versions, serving=True),
            canary=views.version_view(service.name, release.digest, versions, serving=False),
            forecast=preview.forecast_view(
                release, forecast, hold_back=100 - plan.steps[-2].weight, bake_seconds=plan.steps[-2].hold.dwell_seconds
            ),
        )

    async def _serving(self, service: str, *, returns: bool) -> tuple[str, bool]:
        """The one version that serves, and whether that is confirmed: who goes back (``returns``) asks for no more than
        that it is written. Raises ``Refused`` when there is none."""
        split, why_not = await answered(observed(self._traffic, service))
        if why_not is not None and not returns:
            raise why_not
        digest = sole_digest(split)
        if digest is None:
            raise Refused(
                f"{service} serves no single version now: {_weights(split)}",
                hint="if another desk holds a release of it, end that one there; else see to what the edge serves",
            )
        return digest, why_not is None

    async def _is_up(self, service: str, digest: str) -> bool:
        """Whether a version has a pod that is ready."""
        pods = await answered(self._workloads.observe(service))
        return any(each.digest == digest and each.ready for each in pods)

    async def _look(self) -> None:
        """A desk that has just started has seen nothing yet; it looks before it answers what serves."""
        if self._loop.last_round_at is None:
            await self.round()

    def _service(self, name: str) -> Service:
        service = self._platform.service(name)
        if service is None:
            raise UnknownName("service", name, [each.name for each in self._platform.services])
        return service

    def _snapshot(self, run: str) -> Snapshot | None:
        """What the last round saw of a live run; an ended one is what its journal says."""
        return self._loop.snapshots.get(run) if self._register.is_live(run) else None


def _weights(split: ObservedSplit) -> str:
    parts = ", ".join(f"{short(digest)} {weight} %" for digest, weight in split.weights.items())
    return f"{parts or 'nothing'} (run {split.run})"


def _why_not(view: RunView, command: CommandName) -> str:
    if view.outcome is not None:
        return f"{view.run} has ended: {view.outcome}"
    if command == "promote" and view.verdict is not None and view.verdict.outcome == "fail":
        return f"{view.run} cannot be promoted over a failing gate: {view.verdict.reason}"
    if "override" in view.commands:
        return f"{view.run} goes no further in a freeze ({view.waiting_for}): override it first"
    return f"{command} makes no sense while {view.run} is {view.phase}"
