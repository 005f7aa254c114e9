"""The kit's tables on a real PostgreSQL: keys, inbox, and an outbox that loses nothing (S7.6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import psycopg
import pytest

from croupier_kit import idempotency, inbox, outbox

pytestmark = pytest.mark.stand

KEY = idempotency.Key("p1", "k", "print")
Connection = psycopg.AsyncConnection[Any]


@pytest.fixture
async def connection(database: str) -> AsyncIterator[Connection]:
    async with await psycopg.AsyncConnection.connect(database, autocommit=True) as opened:
        yield opened


async def emit(connection: Connection, subject: str) -> None:
    told = {"aggregate": "test", "subject": subject, "player": "p1", "arm": "a", "pod": "x", "data": {"n": 1}}
    await outbox.append(connection, "bets", "test.happened", **told)  # type: ignore[arg-type]


async def test_a_key_runs_is_decided_and_replayed(connection: Connection) -> None:
    assert await idempotency.begin(connection, "bets", KEY, "s1") == idempotency.Begun("s1")
    assert await idempotency.begin(connection, "bets", KEY, "s2") == idempotency.Running()
    another = idempotency.Key("p1", "k", "another print")
    assert await idempotency.begin(connection, "bets", another, "s3") == idempotency.Mismatch()
    await idempotency.decide(connection, "bets", KEY, 201, '{"a":  1}')
    assert await idempotency.begin(connection, "bets", KEY, "s4") == idempotency.Replay(201, '{"a":  1}')
    assert await idempotency.begin(connection, "bets", another, "s5") == idempotency.Mismatch()


async def test_what_was_not_decided_may_begin_again_for_the_same_subject(connection: Connection) -> None:
    await idempotency.begin(connection, "bets", KEY, "s1")
    await idempotency.release(connection, "bets", KEY)
    assert await idempotency.begin(connection, "bets", KEY, "s2") == idempotency.Begun("s1")


async def test_of_racing_callers_one_begins(database: str, connection: Connection) -> None:
    async def claim(number: int) -> idempotency.Decision:
        async with await psycopg.AsyncConnection.connect(database, autocommit=True) as own:
            return await idempotency.begin(own, "bets", KEY, f"s{number}")

    decisions = await asyncio.gather(*(claim(number) for number in range(12)))
    assert sum(isinstance(decision, idempotency.Begun) for decision in decisions) == 1
    assert decisions.count(idempotency.Running()) == 11


async def test_a_message_is_accepted_once_per_source(connection: Connection) -> None:
    told = [("psp-a", "m"), ("psp-a", "m"), ("psp-b", "m")]
    assert [await inbox.accept(connection, "bets", *each) for each in told] == [True, False, True]


async def test_an_event_that_commits_late_is_not_lost(database: str, connection: Connection) -> None:
    """A reader that remembers the last sequence number it saw would pass over ``slow`` for ever."""
    async with await psycopg.AsyncConnection.connect(database) as slow:
        await emit(slow, "slow")
        await emit(connection, "quick")
        first = await outbox.read(connection, "bets", outbox.Cursor())
        await slow.commit()
    cursor = first[-1].cursor if first else outbox.Cursor()
    then = await outbox.read(connection, "bets", cursor)
    assert [event.subject for event in (*first, *then)] == ["slow", "quick"]


async def test_events_are_ordered_by_the_number_of_their_transaction(connection: Connection) -> None:
    """9 before 10: as text it would be the other way round."""
    for number in (9, 10, 99, 100):
        await connection.execute(
            """insert into bets.outbox (tx, aggregatetype, aggregateid, type, payload)
            values (%s::text::xid8, 't', %s, 't', '{"data": {}}')""",
            (number, str(number)),
        )
    seen, cursor = [], outbox.Cursor()
    while page := await outbox.read(connection, "bets", cursor, limit=1):
        seen += [event.subject for event in page]
        cursor = page[-1].cursor
    assert seen == ["9", "10", "99", "100"]


async def test_the_horizon_stays_behind_a_transaction_that_runs(database: str, connection: Connection) -> None:
    async with await psycopg.AsyncConnection.connect(database) as slow:
        await emit(slow, "slow")
        before = await outbox.horizon(connection)
        await emit(connection, "quick")
        assert await outbox.horizon(connection) <= before
    (event, _) = await outbox.read(connection, "bets", outbox.Cursor())
    assert event.at >= before


async def test_an_event_is_a_cloudevent(connection: Connection) -> None:
    await emit(connection, "s")
    (event,) = await outbox.read(connection, "bets", outbox.Cursor())
    assert event.payload.keys() >= {"specversion", "id", "source", "type", "subject", "time", "datacontenttype"}
    assert (event.payload["source"], event.payload["id"], event.data) == ("/bets", event.id, {"n": 1})
