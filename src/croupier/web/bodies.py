"""What callers send: bodies and query strings, read strictly, all problems at once."""

from __future__ import annotations

from typing import Annotated, TypeVar

from pydantic import Field, ValidationError
from starlette.requests import Request

from croupier.errors import Problem, SpecError, UserError
from croupier.model.base import Value
from croupier.model.view import CommandName

Model = TypeVar("Model", bound=Value)

JOURNAL_PAGE = 500


class UnsupportedMedia(UserError):
    code = "UNSUPPORTED_MEDIA"


class CommandBody(Value):
    """A command to a live run. ``reason`` goes into the journal as it is."""

    command: CommandName
    reason: Annotated[str, Field(max_length=500)] = ""


class VersionsQuery(Value):
    service: str


class JournalQuery(Value):
    """``after``: only entries with a higher ``seq``. ``run``: only entries of this run."""

    after: Annotated[int, Field(ge=0, lt=2**63)] = 0
    run: str | None = None
    limit: Annotated[int, Field(ge=1, le=JOURNAL_PAGE)] = JOURNAL_PAGE


class NoQuery(Value):
    """Takes no parameters."""


async def body_of(request: Request, model: type[Model]) -> Model:
    """The JSON body as ``model``. Raises ``SpecError`` with a JSON pointer a problem, or ``UnsupportedMedia``."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media != "application/json":
        raise UnsupportedMedia("send JSON", hint="Content-Type: application/json")
    raw = await request.body()
    try:
        return model.model_validate_json(raw, strict=True)
    except ValidationError as error:
        raise SpecError(_problems(error, "")) from error


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


def _problems(error: ValidationError, query: str) -> list[Problem]:
    """``place`` is a JSON pointer into the body (RFC 6901), or ``?name`` for a query parameter.

    A model's own rule may say in its context ``at`` which item of a list it is about.
    """
    found = []
    for each in error.errors(include_url=False, include_input=False):
        at = each.get("ctx", {}).get("at")
        where = each["loc"] if at is None else (*each["loc"], at)
        steps = [str(step).replace("~", "~0").replace("/", "~1") for step in where]
        pointer = query + "/".join(steps) if query else "".join(f"/{step}" for step in steps) or "/"
        found.append(Problem(pointer, 0, 0, each["type"].replace("_", "-"), each["msg"]))
    return found
