"""identity: players log in and get a session token.

Routes: ``POST /identity/login`` ``{"password"}`` with ``x-player`` → 200 ``{"token", "player"}`` or 401.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiohttp import web

from croupier_kit import arm, outbox, service
from croupier_kit.clock import now
from croupier_stand.casino import build, passwords, pod
from croupier_stand.casino.session import Sessions

SCHEMA = "identity"


@dataclass(frozen=True, slots=True)
class Parts:
    """What a version may replace."""

    welcome: Callable[[str, str], Mapping[str, str]]
    """(player, token) -> the answer to a login."""
    warm: Callable[[], Awaitable[bool]] | None = None
    """Asked at each readiness probe; None: ready as soon as it serves."""


def welcome(player: str, token: str) -> Mapping[str, str]:
    return {"player": player, "token": token}


STABLE = Parts(welcome=welcome)


class Identity:
    def __init__(self, name: str, parts: Parts, pool: pod.Pool, sessions: Sessions) -> None:
        self._name, self._parts, self._pool, self._sessions = name, parts, pool, sessions

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/identity/login", self.login)]

    async def login(self, request: web.Request) -> web.Response:
        origin = arm.current()
        password = pod.text_in(await pod.body_of(request), "password")
        async with self._pool.connection() as connection:
            found = await connection.execute("select password from identity.player where id = %s", (origin.player,))
            row = await found.fetchone()
            if row is None or not passwords.matches(password, origin.player, row[0]):
                raise web.HTTPUnauthorized(reason="wrong player or password")
            await outbox.append(
                connection,
                SCHEMA,
                "session.issued",
                aggregate="session",
                subject=origin.player,
                player=origin.player,
                arm=origin.arm,
                pod=self._name,
                data={},
            )
        return web.json_response(self._parts.welcome(origin.player, self._sessions.issue(origin.player, now())))


def factory(built: build.Build, around: pod.Surroundings) -> service.Factory:
    @asynccontextmanager
    async def make(settings: service.PodSettings) -> AsyncIterator[service.Pod]:
        parts = built.applied(STABLE)
        async with pod.database(around.database) as pool:
            identity = Identity(settings.name, parts, pool, Sessions.from_file(around.secrets / "session.key"))
            yield service.Pod(settings, identity.routes(), warm=parts.warm)

    return make


if __name__ == "__main__":
    service.run(factory(build.from_command_line(), pod.Surroundings.of(os.environ)))
