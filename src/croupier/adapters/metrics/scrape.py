"""Metrics by scraping the tally's page over HTTP. No rates, no memory: what the page says now, or nothing.

A page that may be wrong is no page: not 200, not Prometheus text, cut off, too large, too slow or too old all raise,
and a gate without data is inconclusive. Half of the sources would look like vanished traffic, so one that fails fails
the whole read.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, Sequence

import httpx

from croupier.adapters.metrics.exposition import ArmKey, Page, read_page
from croupier.errors import Unreachable
from croupier.model.digest import short
from croupier.model.evidence import ArmSample
from croupier.ports.clock import Clock
from croupier.ports.metrics import Target

PATIENCE_SECONDS = 3.0
"""For all sources together, so for the slowest."""
LARGEST_BYTES = 16 * 1024 * 1024
STALE_SECONDS = 15.0
_HEADERS = {"accept": "text/plain; version=0.0.4", "accept-encoding": "identity"}


class ScrapeMetrics:
    """The metrics port on one or more pages.

    Args:
        urls: pages to read; each arm's series must stand on one of them only.
        clock: tells the age of a page.
    """

    def __init__(self, urls: Sequence[str], clock: Clock) -> None:
        self._urls = tuple(urls)
        self._clock = clock
        self._client = httpx.AsyncClient(headers=_HEADERS, timeout=PATIENCE_SECONDS, trust_env=False)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def read(self, targets: Sequence[Target]) -> Mapping[Target, ArmSample]:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                answers = await asyncio.gather(*(self._page(url) for url in self._urls), return_exceptions=True)
        except TimeoutError as error:
            raise Unreachable(f"no page within {PATIENCE_SECONDS:g} s from {', '.join(self._urls)}") from error
        arms: dict[ArmKey, ArmSample] = {}
        for url, page in zip(self._urls, answers, strict=True):
            if isinstance(page, BaseException):
                raise page
            twice = sorted(arms.keys() & page.arms.keys())
            if twice:
                raise Unreachable(f"{url} counts {'/'.join(twice[0])}, and so does another source")
            arms |= page.arms
        keys = {target: ArmKey(target.service, target.run, short(target.digest)) for target in targets}
        return {target: arms[key] for target, key in keys.items() if key in arms}

    async def _page(self, url: str) -> Page:
        try:
            text = (await self._fetch(url)).decode()
            page = await asyncio.to_thread(read_page, text)
        except httpx.HTTPError as error:
            raise Unreachable(f"{url} does not answer: {error or type(error).__name__}") from error
        except ValueError as error:
            raise Unreachable(f"{url} does not give metrics: {error}") from error
        age = self._clock.now() - page.updated_at
        if math.isnan(age):
            raise Unreachable(f"{url} does not tell when it was counted")
        if age > STALE_SECONDS:
            raise Unreachable(f"{url} was counted {age:.0f} s ago, more than {STALE_SECONDS:g} s")
        return page

    async def _fetch(self, url: str) -> bytes:
        async with self._client.stream("GET", url) as answer:
            if answer.status_code != httpx.codes.OK:
                raise ValueError(f"status {answer.status_code}")
            kind = answer.headers.get("content-type", "nothing")
            if not kind.startswith("text/plain"):
                raise ValueError(f"it sends {kind}, not text/plain")
            body = bytearray()
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > LARGEST_BYTES:
                    raise ValueError(f"more than {LARGEST_BYTES} bytes")
            return bytes(body)
