"""The tally's front: ``python -m croupier_stand.tally_front``. What the desk scrapes; hands the tally's page through.

It is there so that metrics can talk nonsense over the wire that the desk really reads (``stand fault tally …``): the
tally is the same program everywhere and knows nothing of faults. It owns the deadline, as payment providers do.

Routes:
    ``GET /metrics`` → the tally's page, its status and type; 502 while the tally cannot be reached.
    ``POST /faults``, ``GET /faults``: talk nonsense for a while, see ``providers.faults``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from enum import StrEnum
from pathlib import Path

from aiohttp import ClientError, ClientSession, web

from croupier_kit import service
from croupier_kit.clock import now
from croupier_stand.parts import TALLY_FRONT
from croupier_stand.providers.books import Books
from croupier_stand.providers.faults import Faults

HUGE_BYTES = 50_000_000
_PATIENCE_SECONDS = 10.0
"""Longer than any desk's: that the tally is slow must show as slowness."""
_PIECES, _PIECE_SECONDS = 40, 0.5
_COUNTED_AT = "croupier_tally_updated_seconds"
_TEXT = "The tally has moved. Please come back later.\n" * 20
_LINE = b'croupier_signal_attempts_total{service="nobody",run="r-0000",version="%012d",pod="-",signal="errors"} 1\n'
_LINES_A_CHUNK = 1000


class Nonsense(StrEnum):
    """How metrics can be wrong."""

    NAN = "nan"
    """Every counter is NaN, on a page that is well formed and new."""
    TEXT = "text"
    """Words, with status 200 and the type of metrics."""
    ERROR = "500"
    HUGE = "huge"
    """50 MB of well-formed counters."""
    SLOW = "slow"
    """The right page, a little of it each half second: never silent, and never done in time."""
    OFF = "off"


class Front:
    """``tally``: base URL."""

    def __init__(self, tally: str, faults: Faults[Nonsense], client: ClientSession) -> None:
        self._url = f"{tally}/metrics"
        self._faults = faults
        self._client = client

    async def show(self, request: web.Request) -> web.StreamResponse:
        nonsense = self._faults.now()
        match nonsense:
            case Nonsense.TEXT:
                return web.Response(text=_TEXT)
            case Nonsense.ERROR:
                raise web.HTTPInternalServerError(reason="out of order")
            case Nonsense.HUGE:
                return await _huge(request)
        try:
            async with self._client.get(self._url) as answer:
                text = await answer.text()
        except (ClientError, TimeoutError) as error:
            raise web.HTTPBadGateway(reason=f"the tally does not answer ({type(error).__name__})") from error
        if nonsense is Nonsense.NAN and answer.status == 200:
            text = without_numbers(text)
        if nonsense is Nonsense.SLOW and answer.status == 200:
            return await _slow(request, text.encode())
        return web.Response(text=text, status=answer.status, content_type=answer.content_type)


def without_numbers(page: str) -> str:
    """The page with NaN for every value but the time it was counted at. Pure."""
    return "".join(
        line if line.startswith(("#", _COUNTED_AT)) else f"{line.rstrip().rpartition(' ')[0]} NaN\n"
        for line in page.splitlines(keepends=True)
    )


async def _slow(request: web.Request, page: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/plain"})
    await response.prepare(request)
    piece = len(page) // _PIECES + 1
    with suppress(ConnectionError):  # who waits no longer hangs up
        for begin in range(0, len(page), piece):
            await asyncio.sleep(_PIECE_SECONDS)
            await response.write(page[begin : begin + piece])
        await response.write_eof()
    return response


async def _huge(request: web.Request) -> web.StreamResponse:
    response = web.StreamResponse(headers={"content-type": "text/plain"})
    await response.prepare(request)
    sent = number = 0
    with suppress(ConnectionError):  # who has read enough hangs up
        while sent < HUGE_BYTES:
            chunk = b"".join(_LINE % line for line in range(number, number + _LINES_A_CHUNK))
            await response.write(chunk)
            sent, number = sent + len(chunk), number + _LINES_A_CHUNK
        await response.write_eof()
    return response


def factory(tally: str, books_path: Path | None) -> service.Factory:
    """``books_path``: where faults are remembered over a restart; None: nowhere."""

    @asynccontextmanager
    async def make(settings: service.PodSettings) -> AsyncIterator[service.Pod]:
        books = Books(books_path, now)
        try:
            async with service.outside_client(total_seconds=_PATIENCE_SECONDS) as client:
                faults = Faults(Nonsense, books, now)
                yield service.Pod(settings, faults.routes(), metrics=Front(tally, faults, client).show)
        finally:
            books.close()

    return make


def main() -> None:
    parser = argparse.ArgumentParser(description="Hand the tally's page through")
    parser.add_argument("--tally", required=True, help="base URL")
    parser.add_argument("--books", type=Path, help="file that keeps faults over restarts")
    given = parser.parse_args()
    own = {"POD_NAME": TALLY_FRONT, "CROUPIER_SERVICE": TALLY_FRONT, "PORT": os.environ["PORT"], "DRAIN_SECONDS": "1"}
    service.run(factory(given.tally, given.books), own)


if __name__ == "__main__":
    main()
