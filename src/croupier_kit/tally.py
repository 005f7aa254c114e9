"""The tally: ``python -m croupier_kit.tally``. Counts outcomes per arm and exports them; never under release itself.

It reads, twice a second and only what is new: the services' outboxes (SQL), the partners' books (HTTP) and the edge's
access log (file). The counting is in ``tally_fold``. ``/metrics`` answers 503 until all sources have been read once.

A tally that starts counts from zero, and only what is decided from then on: its readers take a counter that fell for
one that began anew, nothing is counted by two lives of it, and it is ready within seconds however long the sources are.
It looks back just far enough to know the attempts that are still open, and remembers whom a run has affected
(``tally_memory``).

When a source does not answer, the count stands still: attempts are not declared expired for want of news, and
``croupier_tally_updated_seconds`` tells readers how old the page is.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession, web
from psycopg import AsyncConnection, Error

from croupier_kit import logs, outbox, service
from croupier_kit.clock import now
from croupier_kit.tail import Tail
from croupier_kit.tally_fold import Fold, next_tick
from croupier_kit.tally_memory import TallyMemory
from croupier_kit.tally_page import render
from croupier_kit.tally_sources import RULES, take_book_entry, take_event, take_log_line

log = logging.getLogger(__name__)

_ROUND_SECONDS = 0.5
_SLACK_SECONDS = 1.0
"""The edge flushes its log every 300 ms, and clocks of processes are read a little apart."""
_EVENTS_A_READ = 5000
_REWRITE_SECONDS = 600.0
"""Between two times that the memory is written anew."""
_LOOK_BACK_SECONDS = 15.0 + max(rule.patience_seconds for rule in RULES.values())
"""An attempt begun earlier is decided by now. The first part is for transactions that were open then."""


@dataclass(frozen=True, slots=True)
class TallySettings:
    """Where to read. ``books``: partner -> base URL. ``internal``: services that are counted on the mesh listener.

    ``schemas``: those of ``database`` with an outbox; none: the database is not asked, and may be "".

    ``memory``: where to remember over a restart; None: nowhere.
    """

    database: str
    schemas: tuple[str, ...]
    books: Mapping[str, str]
    access_log: Path
    internal: frozenset[str]
    memory: Path | None = None


class Outboxes:
    """All outboxes of one database since ``since``, on one connection that is made anew when it breaks."""

    def __init__(self, dsn: str, schemas: Sequence[str], since: float) -> None:
        self._dsn = dsn
        self._since = since
        self._cursors: dict[str, outbox.Cursor | None] = dict.fromkeys(schemas)
        """Schema -> after the last event read; None before the first read."""
        self._connection: AsyncConnection[Any] | None = None

    async def read(self, fold: Fold) -> float | None:
        """Read what is new; gives the moment up to which nothing is missing. None: the database does not answer."""
        try:
            if self._connection is None:
                options = "-c statement_timeout=5s"
                self._connection = await AsyncConnection.connect(
                    self._dsn, autocommit=True, connect_timeout=3, options=options
                )
            horizon = await outbox.horizon(self._connection)
            for schema in self._cursors:
                await self._read_one(self._connection, schema, fold)
            return horizon
        except Error as error:
            log.warning("database does not answer", extra=logs.fields(why=str(error)))
            await self.close()
            return None

    async def close(self) -> None:
        if self._connection is not None:
            with suppress(Error):
                await self._connection.close()
            self._connection = None

    async def _read_one(self, connection: AsyncConnection[Any], schema: str, fold: Fold) -> None:
        cursor = self._cursors[schema] or await outbox.cursor_before(connection, schema, self._since)
        while True:
            events = await outbox.read(connection, schema, cursor, _EVENTS_A_READ)
            for event in events:
                try:
                    take_event(fold, event)
                except (KeyError, TypeError, ValueError) as error:
                    # One event that says nothing must not stop the count of all others, now and after each restart.
                    log.warning(
                        "event not understood", extra=logs.fields(event=event.id, type=event.type, why=repr(error))
                    )
                self._cursors[schema] = cursor = event.cursor
            if len(events) < _EVENTS_A_READ:
                return


class Books:
    """One partner's books since ``since``."""

    def __init__(self, client: ClientSession, name: str, url: str, since: float) -> None:
        self._client, self._name, self._url = client, name, url
        self._since = f"{since:.6f}"
        self._last = 0

    async def read(self, fold: Fold) -> float | None:
        """Read what is new; gives the moment up to which nothing is missing. None: the partner does not answer."""
        try:
            while True:
                async with self._client.get(
                    f"{self._url}/books", params={"after": self._last, "since": self._since}
                ) as response:
                    response.raise_for_status()
                    page = await response.json()
                for entry in page["entries"]:
                    take_book_entry(fold, entry)
                    self._last = entry["seq"]
                if not page["more"]:
                    return float(page["at"])
        except (ClientError, TimeoutError, ValueError) as error:
            log.warning("books do not answer", extra=logs.fields(partner=self._name, why=repr(error)))
            return None


class Tally:
    """The process: reads in rounds, counts, shows."""

    def __init__(self, settings: TallySettings, client: ClientSession) -> None:
        started_at = now()
        since = started_at - _LOOK_BACK_SECONDS
        self._fold = Fold(RULES, since=next_tick(started_at))
        self._memory = TallyMemory(settings.memory)
        self._fold.recall(self._memory.read())
        self._remember_after = 0.0
        self._internal = settings.internal
        self._outboxes = Outboxes(settings.database, settings.schemas, since) if settings.schemas else None
        self._books = [Books(client, name, url, since) for name, url in settings.books.items()]
        self._log = Tail(settings.access_log, from_end=True)
        self._horizons: dict[str, float] = {}
        self._updated_at = 0.0

    async def run(self) -> None:
        """Count for ever, a round every half second."""
        while True:
            await self.round()
            await asyncio.sleep(_ROUND_SECONDS)

    async def aclose(self) -> None:
        if self._outboxes is not None:
            await self._outboxes.close()
        self._log.close()

    async def round(self) -> None:
        """Read every source once, and count as far as all of them are complete."""
        sources: list[Outboxes | Books] = [*([] if self._outboxes is None else [self._outboxes]), *self._books]
        readings = [await source.read(self._fold) for source in sources]
        for number, horizon in enumerate(readings):
            if horizon is not None:
                self._horizons[str(number)] = horizon
        others = min((self._horizons.get(str(number), 0.0) for number in range(len(readings))), default=inf)
        while True:
            started = now()
            lines, is_all = self._log.read()
            reached = 0.0
            for line in lines:
                reached = take_log_line(self._fold, line, self._internal) or reached
            complete = min(others, started if is_all else reached)
            self._fold.advance(complete - _SLACK_SECONDS)
            self._memory.append(self._fold.take_newly_affected())
            if is_all:
                self._updated_at = complete
                self._rewrite_memory(started)
                return
            await asyncio.sleep(0)

    def _rewrite_memory(self, at: float) -> None:
        if at >= self._remember_after:
            self._remember_after = at + _REWRITE_SECONDS
            self._memory.rewrite(self._fold.affected())

    async def is_ready(self) -> bool:
        return self._updated_at > 0

    async def show(self, _: web.Request) -> web.Response:
        if not self._updated_at:
            raise web.HTTPServiceUnavailable(reason="still counting")
        return web.Response(text=self.page(), content_type="text/plain")

    def page(self) -> str:
        """The counters as Prometheus text."""
        return render(self._fold, self._updated_at)


def factory(settings: TallySettings) -> service.Factory:
    @asynccontextmanager
    async def make(pod: service.PodSettings) -> AsyncIterator[service.Pod]:
        async with service.outside_client(total_seconds=2.0) as client, aclosing(Tally(settings, client)) as tally:
            yield service.Pod(pod, loops=[("count", tally.run)], warm=tally.is_ready, metrics=tally.show)

    return make


def _named(text: str) -> tuple[str, str]:
    name, found, url = text.partition("=")
    if not found:
        raise argparse.ArgumentTypeError("give it as NAME=URL")
    return name, url.rstrip("/")


def main() -> None:
    """Settings from the environment: PORT, ACCESS_LOG, DATABASE_URL if a schema is to be read, and TALLY_MEMORY if
    there is to be one."""
    parser = argparse.ArgumentParser(description="Count outcomes per arm")
    parser.add_argument("--schema", action="append", default=[], metavar="NAME", help="database schema with an outbox")
    parser.add_argument(
        "--books", action="append", default=[], type=_named, metavar="NAME=URL", help="a partner's books"
    )
    parser.add_argument("--internal", action="append", default=[], help="service that only other services call")
    given = parser.parse_args()
    settings = TallySettings(
        database=os.environ["DATABASE_URL"] if given.schema else "",
        schemas=tuple(given.schema),
        books=dict(given.books),
        access_log=Path(os.environ["ACCESS_LOG"]),
        internal=frozenset(given.internal),
        memory=Path(memory) if (memory := os.environ.get("TALLY_MEMORY")) else None,
    )
    own = {"POD_NAME": "tally", "CROUPIER_SERVICE": "tally", "PORT": os.environ["PORT"], "DRAIN_SECONDS": "1"}
    service.run(factory(settings), own)


if __name__ == "__main__":
    main()
