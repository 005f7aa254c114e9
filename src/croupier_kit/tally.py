"""The tally: ``python -m croupier_kit.tally``. Counts outcomes per arm and exports them; never under release itself.

It reads, twice a second and only what is new: the services' outboxes (SQL), the partners' books (HTTP) and the edge's
access log (file). The counting is in ``tally_fold``; after a restart everything is read again and the counters come out
the same. ``/metrics`` answers 503 until a first complete count, so that nobody takes half of it for a restart of pods.

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
from pathlib import Path
from typing import Any

from aiohttp import ClientError, ClientSession, web
from psycopg import AsyncConnection, Error

from croupier_kit import logs, outbox, service
from croupier_kit.clock import now
from croupier_kit.tail import Tail
from croupier_kit.tally_fold import Fold
from croupier_kit.tally_page import render
from croupier_kit.tally_sources import RULES, take_book_entry, take_event, take_log_line

log = logging.getLogger(__name__)

_ROUND_SECONDS = 0.5
_SLACK_SECONDS = 1.0
"""The edge flushes its log every 300 ms, and clocks of processes are read a little apart."""
_EVENTS_A_READ = 5000


@dataclass(frozen=True, slots=True)
class TallySettings:
    """Where to read. ``books``: partner -> base URL. ``internal``: services that are counted on the mesh listener."""

    database: str
    schemas: tuple[str, ...]
    books: Mapping[str, str]
    access_log: Path
    internal: frozenset[str]


class Outboxes:
    """All outboxes of one database, on one connection that is made anew when it breaks."""

    def __init__(self, dsn: str, schemas: Sequence[str]) -> None:
        self._dsn = dsn
        self._cursors = dict.fromkeys(schemas, outbox.Cursor())
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
        while True:
            events = await outbox.read(connection, schema, self._cursors[schema], _EVENTS_A_READ)
            for event in events:
                try:
                    take_event(fold, event)
                except (KeyError, TypeError, ValueError) as error:
                    # One event that says nothing must not stop the count of all others, now and after each restart.
                    log.warning(
                        "event not understood", extra=logs.fields(event=event.id, type=event.type, why=repr(error))
                    )
                self._cursors[schema] = event.cursor
            if len(events) < _EVENTS_A_READ:
                return


class Books:
    """One partner's books."""

    def __init__(self, client: ClientSession, name: str, url: str) -> None:
        self._client, self._name, self._url = client, name, url
        self._last = 0

    async def read(self, fold: Fold) -> float | None:
        """Read what is new; gives the moment up to which nothing is missing. None: the partner does not answer."""
        try:
            while True:
                async with self._client.get(f"{self._url}/books", params={"after": self._last}) as response:
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
        self._fold = Fold(RULES)
        self._internal = settings.internal
        self._outboxes = Outboxes(settings.database, settings.schemas)
        self._books = [Books(client, name, url) for name, url in settings.books.items()]
        self._log = Tail(settings.access_log)
        self._horizons: dict[str, float] = {}
        self._updated_at = 0.0

    async def run(self) -> None:
        """Count for ever, a round every half second."""
        while True:
            await self.round()
            await asyncio.sleep(_ROUND_SECONDS)

    async def aclose(self) -> None:
        await self._outboxes.close()
        self._log.close()

    async def round(self) -> None:
        """Read every source once, and count as far as all of them are complete."""
        readings = [await self._outboxes.read(self._fold), *[await books.read(self._fold) for books in self._books]]
        for number, horizon in enumerate(readings):
            if horizon is not None:
                self._horizons[str(number)] = horizon
        others = min((self._horizons.get(str(number), 0.0) for number in range(len(readings))), default=0.0)
        while True:
            started = now()
            lines, is_all = self._log.read()
            reached = 0.0
            for line in lines:
                reached = take_log_line(self._fold, line, self._internal) or reached
            complete = min(others, started if is_all else reached)
            self._fold.advance(complete - _SLACK_SECONDS)
            if is_all:
                self._updated_at = complete
                return
            await asyncio.sleep(0)

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
    """Settings from the environment: PORT, DATABASE_URL, ACCESS_LOG."""
    parser = argparse.ArgumentParser(description="Count outcomes per arm")
    parser.add_argument("--schema", action="append", default=[], metavar="NAME", help="database schema with an outbox")
    parser.add_argument(
        "--books", action="append", default=[], type=_named, metavar="NAME=URL", help="a partner's books"
    )
    parser.add_argument("--internal", action="append", default=[], help="service that only other services call")
    given = parser.parse_args()
    settings = TallySettings(
        database=os.environ["DATABASE_URL"],
        schemas=tuple(given.schema),
        books=dict(given.books),
        access_log=Path(os.environ["ACCESS_LOG"]),
        internal=frozenset(given.internal),
    )
    own = {"POD_NAME": "tally", "CROUPIER_SERVICE": "tally", "PORT": os.environ["PORT"], "DRAIN_SECONDS": "1"}
    service.run(factory(settings), own)


if __name__ == "__main__":
    main()
