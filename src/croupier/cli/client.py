"""The command line's way to the desk: its JSON API over loopback, errors back as the exceptions they were.

A desk takes a new port and a new token each time it starts, so both are read from its folder when a client is made, and
again when a stream has to be taken up anew.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx
from pydantic import BaseModel, TypeAdapter, ValidationError

from croupier.cli.address import address_of, silent, unanswered
from croupier.errors import (
    Conflict,
    CroupierError,
    EnvironmentFault,
    IntegrityError,
    Problem,
    Refused,
    SpecError,
    Unauthorized,
    Unreachable,
    UsageError,
    UserError,
)
from croupier.model.checklist import Checklist, LineWaiver, WaiverRequest
from croupier.model.release import Release
from croupier.model.view import (
    GroupRequest,
    GroupView,
    HealthView,
    JournalEntryView,
    PlanPreview,
    RunView,
    ServiceView,
    VersionView,
)

TIMEOUT_SECONDS = 20.0
_ERRORS: dict[str, type[CroupierError]] = {
    cls.code: cls
    for cls in (UsageError, Refused, Unreachable, Unauthorized, Conflict, IntegrityError, EnvironmentFault)
}
Model = TypeVar("Model", bound=BaseModel)
Answer = TypeVar("Answer")


class DeskClient:
    """One desk. Use it in a ``with`` block.

    Raises from every method: ``Unreachable`` when no desk answers, ``Unauthorized`` when it does not take the token,
    and whatever the desk itself raised, under its own code.
    """

    def __init__(self, http: httpx.Client, *, stand: str) -> None:
        self._http = http
        self._stand = stand

    @classmethod
    def of(cls, stand: str) -> Self:
        """The desk of a stand, as its folder names it."""
        address = address_of(stand)
        http = httpx.Client(
            base_url=address.url,
            headers={"Authorization": f"Bearer {address.token}"},
            timeout=TIMEOUT_SECONDS,
            trust_env=False,  # a proxy of the environment has no business between two processes of one machine
        )
        return cls(http, stand=stand)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    # --- what the desk offers ------------------------------------------------------------------------------------

    def runs(self) -> tuple[RunView, ...]:
        """All runs, newest first."""
        runs: list[RunView] = []
        while True:
            older = {"before": runs[-1].run} if runs else None
            page = _many(RunView, self._call("GET", "/v1/runs", params=older), "runs")
            if not page:
                return tuple(runs)
            runs += page

    def run(self, run: str) -> RunView:
        return _one(RunView, self._call("GET", f"/v1/runs/{_segment(run)}"))

    def plan(self, release: Release) -> PlanPreview:
        return _one(PlanPreview, self._call("POST", "/v1/plans", body=release))

    def way_back(self, service: str) -> Release:
        """The release that undoes the last one of a service."""
        return _one(Release, self._call("GET", "/v1/way-back", params={"service": service}))

    def start(self, release: Release) -> RunView:
        return _one(RunView, self._call("POST", "/v1/runs", body=release))

    def command(self, run: str, command: str, reason: str) -> RunView:
        body = {"command": command, "reason": reason}
        return _one(RunView, self._call("POST", f"/v1/runs/{_segment(run)}/commands", body=body))

    def retry(self, run: str, reason: str) -> RunView:
        return _one(RunView, self._call("POST", f"/v1/runs/{_segment(run)}/retry", body={"reason": reason}))

    def groups(self) -> tuple[GroupView, ...]:
        """All groups, newest first."""
        return tuple(_many(GroupView, self._call("GET", "/v1/groups"), "groups"))

    def group(self, group: str) -> GroupView:
        return _one(GroupView, self._call("GET", f"/v1/groups/{_segment(group)}"))

    def start_group(self, asked: GroupRequest) -> GroupView:
        return _one(GroupView, self._call("POST", "/v1/groups", body=asked))

    def abort_group(self, group: str, reason: str) -> GroupView:
        return _one(GroupView, self._call("POST", f"/v1/groups/{_segment(group)}/abort", body={"reason": reason}))

    def services(self) -> tuple[ServiceView, ...]:
        return tuple(_many(ServiceView, self._call("GET", "/v1/services"), "services"))

    def versions(self, service: str) -> tuple[VersionView, ...]:
        return tuple(_many(VersionView, self._call("GET", "/v1/versions", params={"service": service}), "versions"))

    def journal(self, run: str) -> tuple[JournalEntryView, ...]:
        """All entries of a run, in order."""
        entries: list[JournalEntryView] = []
        while True:
            after = entries[-1].seq if entries else 0
            answer = self._call("GET", "/v1/journal", params={"run": run, "after": str(after)})
            page = _many(JournalEntryView, answer, "entries")
            if not page:
                return tuple(entries)
            entries += page

    def checklist(self, service: str) -> Checklist:
        return _one(Checklist, self._call("GET", "/v1/checklist", params={"service": service}))

    def waivers(self) -> tuple[LineWaiver, ...]:
        return tuple(_many(LineWaiver, self._call("GET", "/v1/waivers"), "waivers"))

    def waive(self, asked: WaiverRequest) -> LineWaiver:
        return _one(LineWaiver, self._call("POST", "/v1/waivers", body=asked))

    def health(self) -> HealthView:
        """Whether the desk can do its work. Does not raise when it cannot: the view says why."""
        response = self._send("GET", "/v1/health")
        if response.status_code not in (httpx.codes.OK, httpx.codes.SERVICE_UNAVAILABLE):
            raise self._error(response)
        return _one(HealthView, _body(response))

    def events(self, run: str) -> Iterator[RunView]:
        """Views of a run, the present one first, then one at every change; ends when the run has ended.

        Raises ``Unreachable`` when the stream breaks off before that.
        """
        try:
            with self._http.stream("GET", f"/v1/runs/{_segment(run)}/events") as response:
                if response.is_error:
                    response.read()
                    raise self._error(response)
                for line in response.iter_lines():
                    if line.startswith("data: "):
                        view = _one(RunView, _parsed(line.removeprefix("data: ")))
                        yield view
                        if view.ended_at is not None:
                            return
        except httpx.RequestError as error:
            raise silent(self._stand) from error
        raise silent(self._stand)

    # --- the wire --------------------------------------------------------------------------------------------------

    def _call(
        self,
        method: str,
        path: str,
        *,
        body: BaseModel | dict[str, str] | None = None,
        params: dict[str, str] | None = None,
    ) -> dict[str, Any]:
        content = body.model_dump(mode="json", by_alias=True) if isinstance(body, BaseModel) else body
        response = self._send(method, path, json=content, params=params)
        if response.is_error:
            raise self._error(response)
        return _body(response)

    def _send(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            return self._http.request(method, path, **more)
        except (httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError) as error:
            changes_nothing = method == "GET" or path == "/v1/plans"
            raise (silent if changes_nothing else unanswered)(self._stand) from error
        except httpx.RequestError as error:
            raise silent(self._stand) from error

    def _error(self, response: httpx.Response) -> CroupierError:
        if response.status_code == httpx.codes.UNAUTHORIZED:
            return Unauthorized(
                f"the desk of stand {self._stand!r} did not take the token",
                hint="the desk may just have restarted: try again",
            )
        try:
            return _as_raised(response.json()["error"])
        except (ValueError, KeyError, TypeError, AttributeError):
            return EnvironmentFault(f"the desk answered {response.status_code} and nothing that can be read")


def _as_raised(told: dict[str, Any]) -> CroupierError:
    """The exception an error body describes; an unknown code keeps its words and counts as the user's to mend."""
    if problems := told.get("problems"):
        return SpecError(Problem(each["place"], 0, 0, each["code"], each["message"], each["hint"]) for each in problems)
    code = str(told["code"])
    error = _ERRORS.get(code, UserError)(str(told["message"]), hint=str(told["hint"]))
    error.code = code
    return error


def _segment(text: str) -> str:
    """A run id as one path segment. Raises ``UsageError`` for what cannot be one."""
    if not text.replace("-", "").isalnum():
        raise UsageError(f"{text!r} is not a run", hint="runs are named like r-0001: croupier release list")
    return text


def _many(model: type[Model], answer: dict[str, Any], key: str) -> list[Model]:
    kind = TypeAdapter(list[model])  # type: ignore[valid-type]  # a variable
    return _understood(lambda: kind.validate_python(answer.get(key)))


def _one(model: type[Model], raw: object) -> Model:
    return _understood(lambda: model.model_validate(raw))


def _body(response: httpx.Response) -> dict[str, Any]:
    return _parsed(response.content)


def _parsed(text: bytes | str) -> dict[str, Any]:
    return _understood(lambda: TypeAdapter(dict[str, Any]).validate_json(text))


def _understood(read: Callable[[], Answer]) -> Answer:
    try:
        return read()
    except ValidationError as error:
        raise EnvironmentFault(
            "the desk's answer cannot be understood",
            hint="it may be of another version, or another program has its port since it was killed: restart the desk",
        ) from error
