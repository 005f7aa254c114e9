"""The process: two listeners, the certificate's watch, and an end that leaves nobody without an answer."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from croupier.admission.app import Doorkeeper
from croupier.admission.certificate import Certificate
from croupier.errors import EnvironmentFault

log = logging.getLogger(__name__)
LAST_ANSWERS_SECONDS = 10.0
"""For requests that are under way when the process is told to end."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where to listen. ``about_port``: health, metrics and report, over HTTP. 0: a free port."""

    host: str
    port: int
    about_port: int


@asynccontextmanager
async def serving(keeper: Doorkeeper, certificate: Certificate, places: Places) -> AsyncIterator[tuple[int, int]]:
    """Both applications while the block runs; gives their ports. Raises ``EnvironmentFault`` for an address that is not
    to be had.
    """
    certificate.on_look = keeper.note_certificate
    keeper.metrics.not_after.set(certificate.not_after)
    reviews = web.AppRunner(keeper.reviews(), access_log=None, shutdown_timeout=LAST_ANSWERS_SECONDS)
    about = web.AppRunner(keeper.about(), access_log=None, shutdown_timeout=1.0)
    try:
        yield (
            await _listen(reviews, places.host, places.port, certificate.context),
            await _listen(about, places.host, places.about_port, None),
        )
    finally:
        keeper.is_stopping = True
        await reviews.cleanup()
        await about.cleanup()
        keeper.close()


async def _listen(runner: web.AppRunner, host: str, port: int, context: ssl.SSLContext | None) -> int:
    await runner.setup()
    try:
        await web.TCPSite(runner, host, port, ssl_context=context, backlog=512).start()
    except OSError as error:
        raise EnvironmentFault(
            f"cannot listen on {host}, port {port}: {error.strerror}", hint="give another --host or --port"
        ) from error
    return int(runner.addresses[0][1])


async def serve(keeper: Doorkeeper, certificate: Certificate, places: Places, stopped: asyncio.Event) -> None:
    """Serve until ``stopped`` is set."""
    async with serving(keeper, certificate, places) as (port, about), asyncio.TaskGroup() as group:
        log.info("serving", extra={"told": {"port": port, "aboutPort": about, "mode": keeper.door.mode}})
        watching = group.create_task(certificate.watch(), name="certificate")
        await stopped.wait()
        watching.cancel()
