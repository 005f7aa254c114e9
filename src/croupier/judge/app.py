"""What Argo Rollouts and Flagger call, and what they are answered. Nothing is decided here.

    GET  /v1/argo?service=…&canary=…&stable=…     the judgement as JSON, always 200 once the question is understood
    POST /v1/flagger/<kind of webhook>            200: go on (``rollback``: go back), 403: do not

Argo takes any other status for an error of the measurement and gives up after five in a row, so a metrics source that
does not answer is an inconclusive verdict, not an error (metricproviders/webmetric/webmetric.go, analysis/analysis.go).
Flagger takes a status up to 202 for yes and all else for no (pkg/controller/webhook.go), and shows the body of a no in
its events for ``rollout``, ``pre-rollout`` and ``post-rollout`` alone (scheduler_hooks.go). It can send no header, so
its token comes with ``metadata``.
"""

from __future__ import annotations

import hmac
from typing import Annotated, Literal, Self, get_args

from pydantic import ConfigDict, Field, ValidationError, model_validator
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from croupier.errors import CroupierError, Unauthorized, UserError
from croupier.judge.cases import Answer, Cases
from croupier.model.base import Value
from croupier.model.judge import JudgedName, Revision
from croupier.report.problems import error_body

LONGEST_BODY = 64 * 1024
NO = 403
"""What Flagger's own gate answers while it is closed."""

Hook = Literal[
    "confirm-rollout",
    "pre-rollout",
    "rollout",
    "confirm-traffic-increase",
    "confirm-promotion",
    "post-rollout",
    "rollback",
    "event",
]
HOOKS: tuple[Hook, ...] = get_args(Hook)


class ArgoQuestion(Value):
    """The query string. ``stable``: needed where a selector names ``$stable``."""

    service: JudgedName
    canary: Revision
    stable: Revision | None = None

    @model_validator(mode="after")
    def _two_revisions(self) -> Self:
        """A version is never worse than itself: it would pass."""
        if self.canary == self.stable:
            raise ValueError(f"canary and stable are both {self.canary}: nothing to compare")
        return self


class FlaggerQuestion(Value):
    """Flagger's payload; fields that newer versions add are not ours to refuse."""

    model_config = ConfigDict(extra="ignore")

    name: Annotated[str, Field(max_length=63)]
    namespace: Annotated[str, Field(max_length=63)]
    phase: str = ""
    checksum: str = ""
    """Tells revisions apart; absent in old versions of Flagger, which must give ``metadata.revision``."""
    metadata: Annotated[dict[str, str], Field(default_factory=dict)]


class _Named(Value):
    service: JudgedName
    canary: Revision


class JudgeApi:
    """The handlers. ``token``: what callers must know; never empty."""

    def __init__(self, cases: Cases, token: str) -> None:
        if not token:
            raise ValueError("the judge needs a token")
        self._cases = cases
        self._token = token.encode()

    def routes(self) -> list[Route]:
        return [
            Route("/v1/health", self.health, methods=["GET"]),
            Route("/v1/argo", self.argo, methods=["GET"]),
            Route("/v1/flagger/{hook}", self.flagger, methods=["POST"]),
        ]

    async def health(self, _request: Request) -> Response:
        return JSONResponse({"ok": True})

    async def argo(self, request: Request) -> Response:
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not self._knows(given):
            stranger = Unauthorized("this is not the judge's token", hint="send `Authorization: Bearer` with it")
            return JSONResponse(error_body(stranger), 401, {"WWW-Authenticate": "Bearer"})
        try:
            question = ArgoQuestion.model_validate(dict(request.query_params))
            answer = await self._cases.ask(question.service, question.canary, question.stable)
        except ValidationError as error:
            return JSONResponse(error_body(UserError(_first(error))), 422)
        except UserError as error:
            return JSONResponse(error_body(error), 404)
        except CroupierError as error:
            return JSONResponse(error_body(error), 503)
        return Response(answer.judgement.model_dump_json(by_alias=True), media_type="application/json")

    async def flagger(self, request: Request) -> Response:
        """Any failure of ours is a no, whatever the webhook asks: it holds, and ``rollback`` goes back by no mistake.
        To Flagger's threshold each no to ``rollout`` is a failed check, though; a Prometheus that is silent is none."""
        hook = next((each for each in HOOKS if each == request.path_params["hook"]), None)
        if hook is None:
            return PlainTextResponse(f"no such webhook; known: {', '.join(HOOKS)}", 404)
        try:
            question = FlaggerQuestion.model_validate_json(await _body(request))
            if not self._knows(question.metadata.get("token", "")):
                return PlainTextResponse("metadata.token is not the judge's", 401)
            if hook == "event":
                return PlainTextResponse("noted")
            revision = question.checksum or question.metadata.get("revision", "")
            named = _Named(service=f"{question.name}.{question.namespace}", canary=revision)
            if hook == "post-rollout":
                await self._cases.close(named.service, named.canary)
                return PlainTextResponse("closed")
            if hook in ("confirm-rollout", "pre-rollout"):
                # No player is on the canary yet. The question that opens the case comes with its first traffic.
                self._cases.service(named.service)
                return PlainTextResponse("not judged yet: no traffic")
            answer = await self._cases.ask(named.service, named.canary, None)
            yes = is_yes(hook, answer)
            if yes and hook == "confirm-traffic-increase" and answer.is_untouched:
                self._cases.let_in(named.service, named.canary)
        except ValidationError as error:
            return PlainTextResponse(_first(error), 422)
        except CroupierError as error:
            return PlainTextResponse(" ".join(part for part in (error.message, error.hint) if part), NO)
        return PlainTextResponse(_words(answer), 200 if yes else NO)

    def _knows(self, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self._token)


def is_yes(hook: Hook, answer: Answer) -> bool:
    """Whether Flagger gets a success for this webhook.

    ``rollback``: only a fail takes the release back. ``rollout``: only a fail counts as a failed check; what is not
    decided yet must not, because enough of them roll back. ``confirm-traffic-increase`` and ``confirm-promotion`` wait
    for a pass; the very first increase, from nothing, has nothing to be judged by.
    """
    verdict = answer.judgement.verdict
    match hook:
        case "rollback":
            return verdict == "fail"
        case "rollout":
            return verdict != "fail"
        case "confirm-traffic-increase":
            return verdict == "pass" or (verdict == "inconclusive" and answer.is_untouched)
        case "confirm-promotion":
            return verdict == "pass"
        case _:
            return False


def create_app(cases: Cases, token: str) -> Starlette:
    """The judge as an ASGI application."""
    return Starlette(routes=JudgeApi(cases, token).routes())


async def _body(request: Request) -> bytes:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_BODY:
            raise UserError(f"the body is larger than {LONGEST_BODY // 1024} KiB")
    return bytes(body)


def _words(answer: Answer) -> str:
    judgement = answer.judgement
    return f"croupier: {judgement.verdict} ({judgement.code}): {judgement.reason}"


def _first(error: ValidationError) -> str:
    """The first thing wrong with a question, in one line."""
    detail = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(map(str, detail["loc"]))
    return f"{place}: {detail['msg']}" if place else detail["msg"]
