"""Idempotency keys (draft-ietf-httpapi-idempotency-key-header, with the codes of the notes on money paths §1.8).

A key belongs to its caller and to the request it first came with. Decided outcomes — success or business refusal — are
kept; a 5xx never is, so a retry may still succeed. Missing key: 400. Same key, other request: 422. First request still
running: 409. Decided: the stored answer, byte for byte.

A running request holds a lease: if its pod dies, a retry takes over after the lease, so what the key guards must itself
be safe to repeat.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from aiohttp import web
from psycopg import AsyncConnection, sql

KEY_HEADER = "idempotency-key"
_KEY_LIMIT = 128

_DDL = """
create table if not exists {schema}.idempotency (
    caller text not null,
    key text not null,
    fingerprint text not null,
    subject text not null,
    leased_until timestamptz not null,
    status int,
    body text,
    created_at timestamptz not null default clock_timestamp(),
    primary key (caller, key)
);
create or replace function {schema}.claim(
    of_caller text, of_key text, of_fingerprint text, of_subject text, lease_seconds float8
) returns table (verdict text, subject text, status int, body text) language plpgsql as $$
#variable_conflict use_column
declare
    known {schema}.idempotency;
begin
    insert into {schema}.idempotency as i (caller, key, fingerprint, subject, leased_until)
    values (of_caller, of_key, of_fingerprint, of_subject, clock_timestamp() + lease_seconds * interval '1 second')
    on conflict (caller, key) do update set leased_until = excluded.leased_until
    where i.status is null and i.leased_until <= clock_timestamp() and i.fingerprint = excluded.fingerprint
    returning * into known;
    if found then
        return query select 'begun', known.subject, null::int, null::text;
        return;
    end if;
    return query select
        case
            when i.fingerprint <> of_fingerprint then 'mismatch'
            when i.status is null then 'running'
            else 'replay'
        end, i.subject, i.status, i.body
    from {schema}.idempotency i where i.caller = of_caller and i.key = of_key;
end $$;
create or replace function {schema}.decide(of_caller text, of_key text, of_status int, of_body text)
returns void language sql as $$
    update {schema}.idempotency set status = of_status, body = of_body where caller = of_caller and key = of_key
$$;
"""
_CLAIM = "select * from {schema}.claim(%s, %s, %s, %s, %s)"
_DECIDE = "select {schema}.decide(%s, %s, %s, %s)"
_RELEASE = """
update {schema}.idempotency set leased_until = clock_timestamp() where caller = %s and key = %s and status is null
"""
LEASE_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Key:
    """One key of one caller, with the fingerprint of the request it came with."""

    caller: str
    key: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Begun:
    """The caller of ``begin`` is to do the work. ``subject`` names it: the same again when a lease is taken over."""

    subject: str


@dataclass(frozen=True, slots=True)
class Replay:
    """Decided before: answer exactly this."""

    status: int
    body: str


@dataclass(frozen=True, slots=True)
class Running:
    """The first request is still at it: 409."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The key came with another request before: 422."""


Decision = Begun | Replay | Running | Mismatch


def ddl(schema: str) -> sql.Composed:
    """Statements that make the table and its functions in ``schema``; safe to repeat.

    ``claim`` and ``decide`` may be called from a service's own SQL, to do with one statement what belongs together.
    """
    return sql.SQL(_DDL).format(schema=sql.Identifier(schema))


async def key_of(request: web.Request, caller: str) -> Key:
    """The key of a request. Raises ``HTTPBadRequest`` when it is missing, too long or not plain text."""
    key = request.headers.get(KEY_HEADER, "")
    if not key or len(key) > _KEY_LIMIT or not key.isascii() or not key.isprintable():
        raise web.HTTPBadRequest(reason=f"header {KEY_HEADER} must hold 1 to {_KEY_LIMIT} printable characters")
    return Key(caller, key, fingerprint(request.method, request.path, await request.read()))


def fingerprint(method: str, path: str, body: bytes) -> str:
    """What makes two requests the same request."""
    return hashlib.sha256(b"\0".join((method.encode(), path.encode(), body))).hexdigest()


async def begin(connection: AsyncConnection[Any], schema: str, key: Key, subject: str) -> Decision:
    """Claim the key for ``subject``, or tell what became of it. Call it first in its transaction."""
    values = (key.caller, key.key, key.fingerprint, subject, LEASE_SECONDS)
    row = await (await connection.execute(_in(_CLAIM, schema), values)).fetchone()
    return decision_of(row)


def decision_of(row: tuple[Any, ...] | None) -> Decision:
    """What a row of the SQL function ``claim`` says: (verdict, subject, status, body)."""
    match row:
        case ("begun", str(subject), _, _):
            return Begun(subject)
        case ("replay", _, int(status), str(body)):
            return Replay(status, body)
        case ("running", _, _, _):
            return Running()
        case ("mismatch", _, _, _):
            return Mismatch()
    raise ValueError(f"not an answer of claim: {row!r}")


async def decide(connection: AsyncConnection[Any], schema: str, key: Key, status: int, body: str) -> None:
    """Keep a decided outcome, in the transaction of its effect. Raises ValueError for a 5xx, which decides nothing."""
    await connection.execute(_in(_DECIDE, schema), decided(key, status, body))


def decided(key: Key, status: int, body: str) -> tuple[str, str, int, str]:
    """Arguments for the SQL function ``decide``. Raises ValueError for a 5xx, which decides nothing."""
    if status >= 500:
        raise ValueError(f"{status} is not a decided outcome")
    return (key.caller, key.key, status, body)


async def release(connection: AsyncConnection[Any], schema: str, key: Key) -> None:
    """Nothing was decided: the next try may begin at once."""
    await connection.execute(_in(_RELEASE, schema), (key.caller, key.key))


def as_response(decision: Replay | Running | Mismatch) -> web.Response:
    """The HTTP answer to a request that is not to be carried out (again)."""
    match decision:
        case Replay(status, body):
            return web.Response(
                status=status, text=body, content_type="application/json", headers={"idempotent-replayed": "true"}
            )
        case Running():
            return web.json_response({"error": "the first request with this key is still running"}, status=409)
        case Mismatch():
            return web.json_response({"error": "this key was used for another request"}, status=422)


def _in(statement: str, schema: str) -> sql.Composed:
    return sql.SQL(statement).format(schema=sql.Identifier(schema))
