"""The inbox: a message has its effect once, however often it is delivered.

The row is written in the transaction of the effect; ids are kept for good, longer than any sender retries (§1.8 of the
notes on money paths: days, not minutes).
"""

from __future__ import annotations

from typing import Any

from psycopg import AsyncConnection, sql

_DDL = """
create table if not exists {schema}.inbox (
    source text not null,
    id text not null,
    received_at timestamptz not null default clock_timestamp(),
    primary key (source, id)
);
create or replace function {schema}.accept(of_source text, of_id text) returns boolean language plpgsql as $$
begin
    insert into {schema}.inbox (source, id) values (of_source, of_id) on conflict do nothing;
    return found;
end $$;
"""


def ddl(schema: str) -> sql.Composed:
    """Statements that make the inbox in ``schema``; safe to repeat. A service's own SQL may call ``accept``."""
    return sql.SQL(_DDL).format(schema=sql.Identifier(schema))


async def accept(connection: AsyncConnection[Any], schema: str, source: str, id_: str) -> bool:
    """True for a message seen for the first time; False for a repeat. Call it first in the effect's transaction."""
    statement = sql.SQL("select {}.accept(%s, %s)").format(sql.Identifier(schema))
    row = await (await connection.execute(statement, (source, id_))).fetchone()
    return row is not None and bool(row[0])
