"""The JSON API of the desk: reads a request, calls one use case, renders the value it gives.

Routes and fields are documented in docs/reference/api.md and json.md, which tests hold against this module. Nothing is
decided here.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from croupier.errors import Conflict, CroupierError, Refused, SpecError, UnknownName, Unreachable, UsageError, UserError
from croupier.model.checklist import Checklist, LineWaiver, WaiverRequest
from croupier.model.journal import Entry
from croupier.model.release import Release
from croupier.model.view import (
    CommandName,
    GroupRequest,
    GroupView,
    HealthView,
    JournalEntryView,
    PlanPreview,
    RunView,
    ServiceView,
    VersionView,
)
from croupier.report.problems import error_body
from croupier.web.bodies import (
    CommandBody,
    JournalQuery,
    NoQuery,
    ReasonBody,
    RunsQuery,
    ServiceQuery,
    UnsupportedMedia,
    body_of,
    query_of,
)
from croupier.web.guard import Guard

LOOK_SECONDS = 0.5
"""How often an event stream looks for a change."""
HEARTBEAT_LOOKS = 20
"""Looks without a change after which the stream sends a comment, so that both ends see that it lives."""

_STATUS: tuple[tuple[type[CroupierError], int], ...] = (
    (UnknownName, 404),
    (Refused, 409),
    (Conflict, 409),
    (Unreachable, 503),
    (UnsupportedMedia, 415),
    (SpecError, 422),
    (UsageError, 422),
    (UserError, 422),
)


class NotFound(UserError):
    code = "NOT_FOUND"


class MethodNotAllowed(UserError):
    code = "METHOD_NOT_ALLOWED"


class ReleaseDesk(Protocol):
    """The use cases that the API offers. ``croupier.engine.desk.Desk`` has them."""

    async def plan(self, release: Release) -> PlanPreview: ...

    async def way_back(self, service: str) -> Release: ...

    async def start(self, release: Release, *, who: str) -> str: ...

    async def command(self, run: str, command: CommandName, who: str, reason: str) -> None: ...

    async def retry(self, run: str, *, who: str, reason: str) -> str: ...

    async def start_group(self, asked: GroupRequest, *, who: str) -> str: ...

    async def abort_group(self, group: str, who: str, reason: str) -> None: ...

    async def groups(self) -> Sequence[GroupView]: ...

    async def group_view(self, group: str) -> GroupView: ...

    async def runs(self, *, before: str | None, limit: int) -> Sequence[RunView]: ...

    async def run_view(self, run: str) -> RunView: ...

    async def services(self) -> Sequence[ServiceView]: ...

    async def versions(self, service: str) -> Sequence[VersionView]: ...

    async def entries(self, *, after: int, run: str | None, limit: int) -> Sequence[Entry]: ...

    async def checklist(self, service: str) -> Checklist: ...

    async def waive(self, asked: WaiverRequest, who: str) -> LineWaiver: ...

    async def waivers(self) -> Sequence[LineWaiver]: ...

    def health(self) -> HealthView: ...


class Api:
    """The handlers, over one desk. ``who``: whom the holder of the token is; goes into the journal."""

    def __init__(self, desk: ReleaseDesk, who: str, stopping: asyncio.Event) -> None:
        self._desk = desk
        self._who = who
        self._stopping = stopping

    def routes(self) -> list[Route]:
        table: tuple[tuple[str, str, Callable[[Request], Awaitable[Response]]], ...] = (
            ("GET", "/v1/health", self.health),
            ("GET", "/v1/services", self.services),
            ("GET", "/v1/versions", self.versions),
            ("GET", "/v1/way-back", self.way_back),
            ("POST", "/v1/plans", self.plan),
            ("GET", "/v1/runs", self.runs),
            ("POST", "/v1/runs", self.start),
            ("GET", "/v1/runs/{run}", self.run),
            ("GET", "/v1/runs/{run}/events", self.events),
            ("POST", "/v1/runs/{run}/commands", self.command),
            ("POST", "/v1/runs/{run}/retry", self.retry),
            ("GET", "/v1/groups", self.groups),
            ("POST", "/v1/groups", self.start_group),
            ("GET", "/v1/groups/{group}", self.group),
            ("POST", "/v1/groups/{group}/abort", self.abort_group),
            ("GET", "/v1/checklist", self.checklist),
            ("GET", "/v1/waivers", self.waivers),
            ("POST", "/v1/waivers", self.waive),
            ("GET", "/v1/journal", self.journal),
        )
        return [Route(path, endpoint, methods=[method]) for method, path, endpoint in table]

    async def health(self, request: Request) -> Response:
        query_of(request, NoQuery)
        health = self._desk.health()
        return _answer(health, status=200 if health.ok else 503)

    async def services(self, request: Request) -> Response:
        query_of(request, NoQuery)
        return _listing("services", await self._desk.services())

    async def versions(self, request: Request) -> Response:
        query = query_of(request, ServiceQuery)
        return _listing("versions", await self._desk.versions(query.service))

    async def way_back(self, request: Request) -> Response:
        query = query_of(request, ServiceQuery)
        return _answer(await self._desk.way_back(query.service))

    async def plan(self, request: Request) -> Response:
        return _answer(await self._desk.plan(await body_of(request, Release)))

    async def runs(self, request: Request) -> Response:
        query = query_of(request, RunsQuery)
        return _listing("runs", await self._desk.runs(before=query.before, limit=query.limit))

    async def start(self, request: Request) -> Response:
        run = await self._desk.start(await body_of(request, Release), who=self._who)
        return _answer(await self._desk.run_view(run), status=201, headers={"Location": f"/v1/runs/{run}"})

    async def run(self, request: Request) -> Response:
        query_of(request, NoQuery)
        return _answer(await self._desk.run_view(request.path_params["run"]))

    async def command(self, request: Request) -> Response:
        run: str = request.path_params["run"]
        body = await body_of(request, CommandBody)
        await self._desk.command(run, body.command, self._who, body.reason)
        return _answer(await self._desk.run_view(run))

    async def retry(self, request: Request) -> Response:
        body = await body_of(request, ReasonBody)
        run = await self._desk.retry(request.path_params["run"], who=self._who, reason=body.reason)
        return _answer(await self._desk.run_view(run), status=201, headers={"Location": f"/v1/runs/{run}"})

    async def groups(self, request: Request) -> Response:
        query_of(request, NoQuery)
        return _listing("groups", await self._desk.groups())

    async def start_group(self, request: Request) -> Response:
        group = await self._desk.start_group(await body_of(request, GroupRequest), who=self._who)
        return _answer(await self._desk.group_view(group), status=201, headers={"Location": f"/v1/groups/{group}"})

    async def group(self, request: Request) -> Response:
        query_of(request, NoQuery)
        return _answer(await self._desk.group_view(request.path_params["group"]))

    async def abort_group(self, request: Request) -> Response:
        group: str = request.path_params["group"]
        body = await body_of(request, ReasonBody)
        await self._desk.abort_group(group, self._who, body.reason)
        return _answer(await self._desk.group_view(group))

    async def checklist(self, request: Request) -> Response:
        query = query_of(request, ServiceQuery)
        return _answer(await self._desk.checklist(query.service))

    async def waivers(self, request: Request) -> Response:
        query_of(request, NoQuery)
        return _listing("waivers", await self._desk.waivers())

    async def waive(self, request: Request) -> Response:
        return _answer(await self._desk.waive(await body_of(request, WaiverRequest), self._who), status=201)

    async def journal(self, request: Request) -> Response:
        query = query_of(request, JournalQuery)
        entries = await self._desk.entries(after=query.after, run=query.run, limit=query.limit)
        return _listing("entries", [_entry(entry) for entry in entries])

    async def events(self, request: Request) -> Response:
        query_of(request, NoQuery)
        first = await self._desk.run_view(request.path_params["run"])
        return StreamingResponse(
            self._views(first), media_type="text/event-stream", headers={"Cache-Control": "no-store"}
        )

    async def _views(self, view: RunView) -> AsyncIterator[bytes]:
        """The view now and at every change; ends with the run, or when the desk stops."""
        yield _event(view)
        quiet = 0
        while view.ended_at is None and not await _happens(self._stopping, LOOK_SECONDS):
            latest = await self._desk.run_view(view.run)
            quiet += 1
            if latest != view:
                view, quiet = latest, 0
                yield _event(view)
            elif quiet >= HEARTBEAT_LOOKS:
                quiet = 0
                yield b": still here\n\n"


def create_app(
    desk: ReleaseDesk, token: str, *, who: str = "operator", stopping: asyncio.Event | None = None
) -> Starlette:
    """The API as an ASGI application.

    Args:
        desk: the use cases.
        token: what callers must send as ``Authorization: Bearer``; never empty.
        who: whose token it is, for the journal.
        stopping: set when the desk stops; open event streams then end.
    """
    api = Api(desk, who, stopping or asyncio.Event())
    return Starlette(
        routes=api.routes(),
        middleware=[Middleware(Guard, token=token)],
        exception_handlers={CroupierError: _on_error, HTTPException: _on_http_error, Exception: _on_bug},
    )


async def _happens(event: asyncio.Event, within_seconds: float) -> bool:
    try:
        async with asyncio.timeout(within_seconds):
            await event.wait()
    except TimeoutError:
        return False
    return True


def _event(view: RunView) -> bytes:
    return f"event: run\ndata: {view.model_dump_json(by_alias=True)}\n\n".encode()


def _answer(value: BaseModel, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(value.model_dump_json(by_alias=True), status, headers, media_type="application/json")


def _entry(entry: Entry) -> JournalEntryView:
    return JournalEntryView(
        seq=entry.seq,
        kind=entry.kind,
        subject=entry.subject,
        at=entry.at,
        body=dict(entry.body),
        previous=entry.previous,
        hash=entry.hash,
    )


def _listing(key: str, values: Sequence[BaseModel]) -> Response:
    items = ",".join(value.model_dump_json(by_alias=True) for value in values)
    return Response(f'{{"{key}":[{items}]}}', media_type="application/json")


async def _on_error(_request: Request, error: Exception) -> Response:
    assert isinstance(error, CroupierError)
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    return JSONResponse(error_body(error), status_code=status)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    mine: UserError
    if error.status_code == 405:
        mine = MethodNotAllowed(f"{request.method} is not offered here")
    else:
        mine = NotFound("there is nothing at this path", hint="see docs/reference/api.md")
    return JSONResponse(error_body(mine), status_code=error.status_code, headers=error.headers)


async def _on_bug(_request: Request, _error: Exception) -> Response:
    """The traceback is in the desk's log; the caller learns that it was not their fault."""
    return JSONResponse(
        error_body(CroupierError("the desk failed on this request", hint="the traceback is in the desk's log")), 500
    )
