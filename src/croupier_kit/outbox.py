"""The outbox: events written in the transaction of what they tell, and read in an order that loses none.

Columns are those Debezium's outbox router expects (``id, aggregatetype, aggregateid, type, payload``), so that change
data capture can be attached later. The payload is a CloudEvents envelope; ``arm``, ``player``, ``pod`` and ``epoch``
are extension attributes.

**The cursor.** A sequence number is taken before its transaction commits, so a reader that remembers only the last one
it saw skips a smaller one that commits later, for ever. This reader goes by ``(transaction id, sequence)`` and stops
below the oldest transaction still running: what it has passed can never appear again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from psycopg import AsyncConnection, sql
from psycopg.types.json import Jsonb

_DDL = """
create table if not exists {schema}.outbox (
    seq bigint generated always as identity,
    tx xid8 not null default pg_current_xact_id(),
    id uuid not null default gen_random_uuid(),
    aggregatetype text not null,
    aggregateid text not null,
    type text not null,
    at timestamptz not null default clock_timestamp(),
    payload jsonb not null,
    primary key (tx, seq)
);
create or replace function {schema}.emit(
    of_type text, of_aggregate text, of_id text, of_player text, of_arm text, of_pod text, data jsonb
) returns void language plpgsql as $$
declare
    event uuid := gen_random_uuid();
    moment timestamptz := clock_timestamp();
begin
    insert into {schema}.outbox (id, aggregatetype, aggregateid, type, at, payload)
    values (event, of_aggregate, of_id, of_type, moment, jsonb_build_object(
        'specversion', '1.0', 'id', event, 'source', {source}, 'type', of_type, 'subject', of_id,
        'time', to_char(moment at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'),
        'datacontenttype', 'application/json',
        'player', of_player, 'arm', of_arm, 'pod', of_pod, 'epoch', 1, 'data', data));
end $$;
"""

_READ = """
select o.tx::text, o.seq, o.id::text, o.type, o.aggregateid, extract(epoch from o.at)::float8, o.payload
from {schema}.outbox o
where (o.tx, o.seq) > (%s::xid8, %s) and o.tx < pg_snapshot_xmin(pg_current_snapshot())
order by o.tx, o.seq limit %s
"""

_BEFORE = """
select o.tx::text, o.seq from {schema}.outbox o
where o.at < to_timestamp(%s) order by o.tx desc, o.seq desc limit 1
"""

_HORIZON = """
select extract(epoch from least(clock_timestamp(), min(xact_start)))::float8
from pg_stat_activity where backend_xid is not null
"""


class Cursor(NamedTuple):
    """The place after the last event read. ``tx`` is a decimal number in text (64 bits do not fit JSON)."""

    tx: str = "0"
    seq: int = 0


@dataclass(frozen=True, slots=True)
class Event:
    """One event as read. ``at``: seconds since the epoch. ``payload``: the CloudEvents envelope."""

    cursor: Cursor
    id: str
    type: str
    subject: str
    at: float
    payload: Mapping[str, Any]

    @property
    def data(self) -> Mapping[str, Any]:
        data: Mapping[str, Any] = self.payload["data"]
        return data


def ddl(schema: str) -> sql.Composed:
    """Statements that make the outbox and its ``emit`` function in ``schema``; safe to repeat."""
    return sql.SQL(_DDL).format(schema=sql.Identifier(schema), source=sql.Literal(f"/{schema}"))


async def append(
    connection: AsyncConnection[Any],
    schema: str,
    type_: str,
    *,
    aggregate: str,
    subject: str,
    player: str,
    arm: str,
    pod: str,
    data: Mapping[str, Any],
) -> None:
    """Write one event in the caller's transaction."""
    statement = sql.SQL("select {}.emit(%s, %s, %s, %s, %s, %s, %s)").format(sql.Identifier(schema))
    await connection.execute(statement, (type_, aggregate, subject, player, arm, pod, Jsonb(data)))


async def horizon(connection: AsyncConnection[Any]) -> float:
    """Every event older than this moment (epoch seconds) is visible to a ``read`` that starts after this call."""
    row = await (await connection.execute(_HORIZON)).fetchone()
    if row is None:
        raise RuntimeError("an aggregate gave no row")
    return float(row[0])


async def cursor_before(connection: AsyncConnection[Any], schema: str, at: float) -> Cursor:
    """Where to begin so as to read every event since ``at`` (epoch seconds) without those of hours before.

    Events of a transaction that was open at that moment may be missing: take ``at`` earlier by as long as one lasts.
    """
    statement = sql.SQL(_BEFORE).format(schema=sql.Identifier(schema))
    row = await (await connection.execute(statement, (at,))).fetchone()
    return Cursor() if row is None else Cursor(*row)


async def read(connection: AsyncConnection[Any], schema: str, after: Cursor, limit: int = 5000) -> Sequence[Event]:
    """Events after the cursor, in an order that never changes, at most ``limit``."""
    statement = sql.SQL(_READ).format(schema=sql.Identifier(schema))
    rows = await (await connection.execute(statement, (after.tx, after.seq, limit))).fetchall()
    return [
        Event(Cursor(tx, seq), id_, type_, subject, at, payload) for tx, seq, id_, type_, subject, at, payload in rows
    ]
