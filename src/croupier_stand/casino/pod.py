"""What every pod of the casino has: the platform's addresses, a bounded pool of connections, JSON helpers."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import web
from psycopg import AsyncConnection
from psycopg_pool import AsyncConnectionPool

Pool = AsyncConnectionPool[AsyncConnection[tuple[Any, ...]]]
PSPS = ("psp-a", "psp-b")
_MOST_CONNECTIONS = 4
"""Of one pod, if it does not say otherwise. All pods of a stand, releases included, stay below the server's limit."""


class Undecided(Exception):
    """Somebody we need did not answer, or somebody else is at it: nothing is decided. Repeat with the same key."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """Addresses and secrets that a pod is told in its environment."""

    database: str
    mesh_url: str
    public_url: str
    provider_url: str
    psp_urls: Mapping[str, str]
    secrets: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Surroundings:
        """Raises KeyError naming the variable that is missing."""
        return cls(
            database=environment["DATABASE_URL"],
            mesh_url=environment["MESH_URL"].rstrip("/"),
            public_url=environment["PUBLIC_URL"].rstrip("/"),
            provider_url=environment["PROVIDER_URL"].rstrip("/"),
            psp_urls={psp: environment[psp.upper().replace("-", "_") + "_URL"].rstrip("/") for psp in PSPS},
            secrets=Path(environment["SECRETS_DIR"]),
        )


@asynccontextmanager
async def database(dsn: str, most: int = _MOST_CONNECTIONS) -> AsyncIterator[Pool]:
    """A pool of autocommit connections. Statements and abandoned transactions are bounded by the server."""
    limits = "-c statement_timeout=5s -c idle_in_transaction_session_timeout=10s"
    pool: Pool = AsyncConnectionPool(
        dsn,
        min_size=1,
        max_size=most,
        timeout=3.0,
        open=False,
        kwargs={"autocommit": True, "options": limits, "prepare_threshold": 1},
    )
    async with pool:
        await pool.wait(timeout=20.0)
        yield pool


async def body_of(request: web.Request) -> Mapping[str, Any]:
    """The JSON object in a request. Raises ``HTTPBadRequest``."""
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError) as error:
        raise web.HTTPBadRequest(reason="body is not JSON") from error
    if not isinstance(body, dict):
        raise web.HTTPBadRequest(reason="body is not an object")
    return body


def text_in(body: Mapping[str, Any], name: str, *, one_of: tuple[str, ...] = ()) -> str:
    value = body.get(name)
    if not isinstance(value, str) or not value or len(value) > 128 or (one_of and value not in one_of):
        raise web.HTTPBadRequest(reason=f"{name} must be " + (" or ".join(one_of) or "text"))
    return value


def cents_in(body: Mapping[str, Any], name: str, most: int = 1_000_000_00) -> int:
    value = body.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= most:
        raise web.HTTPBadRequest(reason=f"{name} must be a whole number of cents from 1 to {most}")
    return value
