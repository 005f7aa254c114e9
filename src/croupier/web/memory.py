"""A desk in memory for tests of front ends: it answers from example values and decides nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence

from croupier.core.plans.release import as_return
from croupier.errors import Refused, UnknownName
from croupier.model.checklist import Checklist, LineWaiver, WaiverRequest
from croupier.model.journal import Entry
from croupier.model.release import Release
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
from croupier.report import example

_AFTER: Mapping[CommandName, Mapping[str, object]] = {
    "pause": {"phase": "paused", "commands": ("resume", "abort")},
    "resume": {"phase": "holding", "commands": ("pause", "promote", "abort")},
    "promote": {"phase": "settling", "step": 4, "step_name": "50 %"},
    "abort": {"phase": "rolling-back", "weight": 0, "commands": ()},
    "override": {"phase": "settling", "code": "", "commands": ("pause", "promote", "abort")},
}
"""What a command does to a view."""


class MemoryDesk:
    """Holds views; ``show`` puts a run in the state a test wants. Commands are recorded in ``commands``."""

    def __init__(self, *views: RunView) -> None:
        self._views = {view.run: view for view in views}
        self.started: list[Release] = []
        self.groups_asked: list[GroupRequest] = []
        self._groups: dict[str, GroupView] = {}
        self._waivers: list[LineWaiver] = []
        self.commands: list[tuple[str, str, str, str]] = []
        """(run, command, who, reason)."""

    def show(self, view: RunView) -> None:
        self._views[view.run] = view

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def plan(self, release: Release) -> PlanPreview:
        self._service(release.service)
        preview = example.preview()
        return preview.model_copy(update={"plan": preview.plan.model_copy(update={"release": release})})

    async def start(self, release: Release, *, who: str) -> str:
        self._service(release.service)
        if any(view.ended_at is None and view.service == release.service for view in self._views.values()):
            raise Refused(f"a release of {release.service} is live", hint="watch it or abort it first")
        self.started.append(release)
        self.show(example.WATCHED)
        return example.WATCHED.run

    async def command(self, run: str, command: CommandName, who: str, reason: str) -> None:
        view = await self.run_view(run)
        if command not in view.commands:
            raise Refused(
                f"{run} does not take {command} now", hint=f"it takes: {', '.join(view.commands) or 'nothing'}"
            )
        self.commands.append((run, command, who, reason))
        self.show(view.model_copy(update=_AFTER[command]))

    async def retry(self, run: str, *, who: str, reason: str) -> str:
        if (await self.run_view(run)).outcome != "rolled-back":
            raise Refused(f"{run} was not taken back")
        self.show(example.WATCHED)
        return example.WATCHED.run

    async def way_back(self, service: str) -> Release:
        self._service(service)
        return as_return(
            Release(service=service, digest=example.STABLE_VERSION.digest, policy=example.SERVICE.default_policy)
        )

    async def start_group(self, asked: GroupRequest, *, who: str) -> str:
        for release in asked.releases:
            self._service(release.service)
        self.groups_asked.append(asked)
        self._groups[example.GROUP.group] = example.GROUP
        return example.GROUP.group

    async def abort_group(self, group: str, who: str, reason: str) -> None:
        view = await self.group_view(group)
        ended = {"outcome": "aborted", "ended_at": example.STARTED_AT + 60.0, "reason": reason}
        self._groups[group] = view.model_copy(update=ended)

    async def groups(self) -> Sequence[GroupView]:
        return tuple(self._groups.values())

    async def group_view(self, group: str) -> GroupView:
        if group not in self._groups:
            raise UnknownName("group", group, sorted(self._groups))
        return self._groups[group]

    async def runs(self, *, before: str | None = None, limit: int = 200) -> Sequence[RunView]:
        newest_first = sorted(self._views.values(), key=lambda view: view.started_at, reverse=True)
        first = 0 if before is None else newest_first.index(await self.run_view(before)) + 1
        return newest_first[first : first + limit]

    async def run_view(self, run: str) -> RunView:
        if run not in self._views:
            raise UnknownName("run", run, sorted(self._views))
        return self._views[run]

    async def services(self) -> Sequence[ServiceView]:
        return [example.SERVICE]

    async def versions(self, service: str) -> Sequence[VersionView]:
        self._service(service)
        return [example.STABLE_VERSION, example.CANARY_VERSION]

    async def entries(self, *, after: int, run: str | None, limit: int) -> Sequence[Entry]:
        found = [entry for entry in example.ENTRIES if entry.seq > after and run in (None, entry.subject)]
        return [Entry(**entry.model_dump()) for entry in found[:limit]]

    async def checklist(self, service: str) -> Checklist:
        self._service(service)
        return example.CHECKLIST

    async def waive(self, asked: WaiverRequest, who: str) -> LineWaiver:
        self._service(asked.service)
        entry = len(self._waivers) + 1
        self._waivers.append(LineWaiver(**dict(asked), who=who, at=example.STARTED_AT, entry=entry))
        return self._waivers[-1]

    async def waivers(self) -> Sequence[LineWaiver]:
        return self._waivers

    def health(self) -> HealthView:
        live = sum(view.ended_at is None for view in self._views.values())
        return HealthView(
            ok=True,
            started_at=example.STARTED_AT,
            last_round_at=example.STARTED_AT + 200.0,
            live_runs=live,
            problems=(),
        )

    def _service(self, name: str) -> None:
        if name != example.SERVICE.name:
            raise UnknownName("service", name, [example.SERVICE.name])
