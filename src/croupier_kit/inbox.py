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
"""


def ddl(schema: str) -> sql.Composed:
    """Statements that make the inbox in ``schema``; safe to repeat."""
    return sql.SQL(_DDL).format(schema=sql.Identifier(schema))


async def accept(connection: AsyncConnection[Any], schema: str, source: str, id_: str) -> bool:
    """True for a message seen for the first time; False for a repeat. Call it first in the effect's transaction."""
    statement = sql.SQL("insert into {}.inbox (source, id) values (%s, %s) on conflict do nothing").format(
        sql.Identifier(schema)
    )
    return (await connection.execute(statement, (source, id_))).rowcount == 1
