"""Work that must be finished although pods die: a short queue for the usual way, a sweep for what was left behind.

The sweep claims rows with SKIP LOCKED and touches them, which is a lease: another pod takes over when the time is up
again. What a worker does must be safe to repeat.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress

from psycopg import OperationalError, sql
from psycopg_pool import PoolTimeout

from croupier_kit import arm, logs
from croupier_kit.service import Loop
from croupier_stand.casino.pod import Pool, Undecided

log = logging.getLogger(__name__)

_TEMPORARY = (OperationalError, PoolTimeout, Undecided)
_SWEEP_SECONDS = 2.0
_QUEUE_LIMIT = 1000
_WORKERS = 8

_CLAIM = """
update {table} set touched_at = clock_timestamp() where id in (
    select id from {table}
    where state = any (%s) and touched_at < clock_timestamp() - %s * interval '1 second'
    order by touched_at limit 20 for update skip locked
) returning id
"""


class Work:
    """One kind of work of one pod. ``loops`` are to be run by the pod."""

    def __init__(
        self,
        pool: Pool,
        table: tuple[str, str],
        states: tuple[str, ...],
        do: Callable[[str], Awaitable[None]],
        *,
        stale_seconds: float,
    ) -> None:
        """``table``: (schema, name). A row in one of ``states``, untouched for ``stale_seconds``, is swept up."""
        self._pool, self._states, self._do, self._stale_seconds = pool, list(states), do, stale_seconds
        self._claim = sql.SQL(_CLAIM).format(table=sql.Identifier(*table))
        self._name = ".".join(table)
        self._queue: asyncio.Queue[str] = asyncio.Queue(_QUEUE_LIMIT)

    @property
    def loops(self) -> list[tuple[str, Loop]]:
        workers: list[tuple[str, Loop]] = [(f"{self._name} worker {number}", self._work) for number in range(_WORKERS)]
        return [*workers, (f"{self._name} sweep", self._sweep)]

    def soon(self, id_: str) -> None:
        """Do it as soon as a worker is free. When the queue is full the sweep will find it."""
        with suppress(asyncio.QueueFull):
            self._queue.put_nowait(id_)

    async def _work(self) -> None:
        while True:
            id_ = await self._queue.get()
            arm.forget()
            try:
                await self._do(id_)
            except _TEMPORARY as error:
                log.warning("put off", extra=logs.fields(work=self._name, id=id_, why=str(error)))
            except Exception:  # one poisoned row must not end the work of a pod; the row stays and is logged again
                log.exception("work failed", extra=logs.fields(work=self._name, id=id_))

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            try:
                async with self._pool.connection() as connection:
                    rows = await connection.execute(self._claim, (self._states, self._stale_seconds))
                    for (id_,) in await rows.fetchall():
                        self.soon(id_)
            except _TEMPORARY as error:
                log.warning("sweep put off", extra=logs.fields(work=self._name, why=str(error)))
