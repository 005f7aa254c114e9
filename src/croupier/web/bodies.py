"""What callers send: bodies and query strings, read strictly, all problems at once."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Annotated, TypeVar

from pydantic import Field, ValidationError
from starlette.requests import Request

from croupier.errors import Problem, SpecError, UserError
from croupier.model.base import Value
from croupier.model.view import CommandName

Model = TypeVar("Model", bound=Value)

JOURNAL_PAGE = 500
RUNS_PAGE = 200


class UnsupportedMedia(UserError):
    code = "UNSUPPORTED_MEDIA"


class CommandBody(Value):
    """A command to a live run. ``reason`` goes into the journal as it is."""

    command: CommandName
    reason: Annotated[str, Field(max_length=500)] = ""


class ReasonBody(Value):
    """Why; goes into the journal as it is."""

    reason: Annotated[str, Field(max_length=500)] = ""


class ServiceQuery(Value):
    service: str


class JournalQuery(Value):
    """``after``: only entries with a higher ``seq``. ``run``: only entries of this run."""

    after: Annotated[int, Field(ge=0, lt=2**63)] = 0
    run: str | None = None
    limit: Annotated[int, Field(ge=1, le=JOURNAL_PAGE)] = JOURNAL_PAGE


class RunsQuery(Value):
    """``before``: only runs older than this one."""

    before: str | None = None
    limit: Annotated[int, Field(ge=1, le=RUNS_PAGE)] = RUNS_PAGE


class NoQuery(Value):
    """Takes no parameters."""


async def body_of(request: Request, model: type[Model]) -> Model:
    """The JSON body as ``model``. Raises ``SpecError`` with a JSON pointer a problem, or ``UnsupportedMedia``."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        raise UnsupportedMedia("send JSON", hint="Content-Type: application/json")
    raw = await request.body()
    twice = _given_twice(raw)
    try:
        value = model.model_validate_json(raw, strict=True)
    except ValidationError as error:
        raise SpecError([*_problems(error, ""), *twice]) from error
    if twice:
        raise SpecError(twice)
    return value


def query_of(request: Request, model: type[Model]) -> Model:
    """The query string as ``model``; a parameter given twice is a problem. Raises ``SpecError``."""
    given = request.query_params.multi_items()
    names = [name for name, _ in given]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise SpecError(Problem(f"?{name}", 0, 0, "twice", f"{name} is given twice") for name in twice)
    try:
        return model.model_validate(dict(given))
    except ValidationError as error:
        raise SpecError(_problems(error, "?")) from error


class _Object(dict[str, object]):
    """A JSON object that remembers which keys it was given twice."""

    def __init__(self, pairs: Sequence[tuple[str, object]]) -> None:
        super().__init__(pairs)
        self.twice = sorted(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)


def _given_twice(raw: bytes) -> list[Problem]:
    """Keys that stand twice in one object: RFC 8259 leaves open which of them counts, so none does.

    None of a text that is no JSON, or nested too deep: that is a problem of its own.
    """
    try:
        left: list[tuple[str, object]] = [("", json.loads(raw, object_pairs_hook=_Object))]
    except (ValueError, RecursionError):
        return []
    found = []
    while left:
        pointer, value = left.pop()
        if isinstance(value, _Object):
            found += [Problem(f"{pointer}/{_step(key)}", 0, 0, "twice", f"{key} is given twice") for key in value.twice]
            left += [(f"{pointer}/{_step(key)}", inner) for key, inner in value.items()]
        elif isinstance(value, list):
            left += [(f"{pointer}/{number}", inner) for number, inner in enumerate(value)]
    return sorted(found, key=lambda problem: problem.file)


def _step(key: str) -> str:
    """One step of a JSON pointer (RFC 6901)."""
    return key.replace("~", "~0").replace("/", "~1")


def _problems(error: ValidationError, query: str) -> list[Problem]:
    """``place`` is a JSON pointer into the body (RFC 6901), or ``?name`` for a query parameter.

    A model's own rule may say in its context ``at`` which item of a list it is about.
    """
    found = []
    for each in error.errors(include_url=False, include_input=False):
        at = each.get("ctx", {}).get("at")
        where = each["loc"] if at is None else (*each["loc"], at)
        steps = [_step(str(step)) for step in where]
        pointer = query + "/".join(steps) if query else "".join(f"/{step}" for step in steps) or "/"
        found.append(Problem(pointer, 0, 0, each["type"].replace("_", "-"), each["msg"]))
    return found
