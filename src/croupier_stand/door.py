"""The casino as a player's client sees it: one address, requests that may fail, retries that move no money twice.

Every request that fails is counted with its cause and its time, whether a retry helps afterwards or not: this is where
"no request fails because of a split change" is measured.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import Callable, Mapping
from random import Random
from typing import Any, Literal, NamedTuple

import aiohttp

from croupier_stand.stats import NO_ANSWER, Failure

KEY_HEADER = "idempotency-key"
_TRIES = 4
_TRY_SECONDS = 8.0
_FIRST_PAUSE_SECONDS = 0.25
_REMEMBERED_FAILURES = 10_000
"""More than fail while a partner is away for a minute."""


class Reply(NamedTuple):
    """The answer that counts, after retries."""

    status: int
    body: Mapping[str, Any]


class GaveUp(Exception):
    """No usable answer after all tries; what was asked for may have happened or not."""


class Door:
    """All players' requests go through one of these.

    Args:
        url: the edge.
        clock: seconds since the epoch.
        random: for the jitter between tries.
    """

    def __init__(self, client: aiohttp.ClientSession, url: str, clock: Callable[[], float], random: Random) -> None:
        self._client = client
        self._url = url
        self._clock = clock
        self._random = random
        self.requests = 0
        self.failed: Counter[str] = Counter()
        self.failures: deque[Failure] = deque(maxlen=_REMEMBERED_FAILURES)

    async def ask(
        self,
        operation: str,
        method: Literal["GET", "POST"],
        path: str,
        *,
        player: str,
        token: str = "",
        key: str = "",
        body: Mapping[str, Any] | None = None,
        tries: int = _TRIES,
    ) -> Reply:
        """Ask until there is an answer below 500. Raises ``GaveUp`` after ``tries``.

        A 409 means that the first request with this key still runs, so it is asked again too.
        """
        headers = {"x-player": player, "content-type": "application/json"}
        if token:
            headers["authorization"] = f"Bearer {token}"
        if key:
            headers[KEY_HEADER] = key
        data = None if body is None else json.dumps(body).encode()
        for attempt in range(tries):
            if attempt:
                pause = _FIRST_PAUSE_SECONDS * 2 ** (attempt - 1)
                await asyncio.sleep(pause * (0.5 + self._random.random()))
            reply = await self._try(operation, method, path, headers, data)
            if reply is not None and reply.status != 409:
                return reply
        raise GaveUp(f"{method} {path}")

    async def _try(
        self, operation: str, method: str, path: str, headers: Mapping[str, str], data: bytes | None
    ) -> Reply | None:
        self.requests += 1
        sent_at = self._clock()

        def failed(cause: str, *, by_edge: bool) -> None:
            self.failed[cause] += 1
            self.failures.append(Failure(self._clock(), operation, cause, by_edge, sent_at))

        try:
            async with self._client.request(method, self._url + path, headers=headers, data=data) as response:
                content = await response.read()
        except TimeoutError:
            failed(f"{NO_ANSWER} within {_TRY_SECONDS:g} s", by_edge=True)
            return None
        except aiohttp.ClientError as error:
            failed(f"connection: {type(error).__name__}", by_edge=True)
            return None
        if response.status >= 500:
            if "x-envoy-upstream-service-time" in response.headers:
                failed(f"{response.status} from a pod", by_edge=False)
            else:
                said = content[:60].decode(errors="replace")
                failed(f"{response.status} from the edge: {said}", by_edge=True)
            return None
        return Reply(response.status, _object(content))

    @property
    def forgotten_until(self) -> float:
        """Of failures until then some are not among ``failures`` any more; 0 when all are."""
        return self.failures[0].at if sum(self.failed.values()) > len(self.failures) else 0.0


def client() -> aiohttp.ClientSession:
    """For thousands of players on few connections: what they do is what matters, not how many sockets they hold."""
    connector = aiohttp.TCPConnector(limit=512, keepalive_timeout=60.0)
    return aiohttp.ClientSession(connector=connector, timeout=aiohttp.ClientTimeout(total=_TRY_SECONDS))


def _object(content: bytes) -> Mapping[str, Any]:
    try:
        found = json.loads(content)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}
