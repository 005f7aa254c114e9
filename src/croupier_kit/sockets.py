"""WebSockets of a pod: who holds one, and how they are asked to come back when the pod ends.

A pod that is ended closes its sockets with 1012, service restart (IANA's registry of close codes, RFC 6455 §7.4), so
that clients know that they may connect again: the edge sends them to the version that serves now. They are asked one
after another over some seconds and in no order, or all would come back in the same instant.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import WSCloseCode, web

_ANSWER_SECONDS = 2.0
"""How long a client may take to say goodbye."""


class Sockets:
    """The open sockets of one pod."""

    def __init__(self, ping_seconds: float = 20.0) -> None:
        """``ping_seconds``: between pings, so that no proxy takes a quiet socket for a dead one."""
        self._ping_seconds = ping_seconds
        self._open: set[web.WebSocketResponse] = set()

    def __len__(self) -> int:
        return len(self._open)

    @asynccontextmanager
    async def accept(self, request: web.Request) -> AsyncIterator[web.WebSocketResponse]:
        """A socket with whoever asks for one; closed with the block. Raises ``HTTPBadRequest`` for a request that asks
        for none."""
        socket = web.WebSocketResponse(heartbeat=self._ping_seconds, timeout=_ANSWER_SECONDS)
        await socket.prepare(request)
        self._open.add(socket)
        try:
            yield socket
        finally:
            self._open.discard(socket)
            await socket.close()

    async def send_away(self, seconds: float) -> int:
        """Ask everybody to come back, spread over ``seconds``; gives how many were asked."""
        leaving = random.sample(list(self._open), len(self._open))
        async with asyncio.TaskGroup() as group:
            for socket in leaving:
                group.create_task(socket.close(code=WSCloseCode.SERVICE_RESTART, message=b"come back"))
                await asyncio.sleep(seconds / len(leaving))
        return len(leaving)
