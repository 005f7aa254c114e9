"""bets: rounds with the game provider. Bet (debit), play, win (credit); or roll back when the provider cannot play.

Routes:
    ``POST /bets/rounds`` ``{"game", "stake"}`` with session token, ``x-player`` and ``idempotency-key`` →
        200 ``{"round", "state": "settled"|"refused"|"rolled-back", "win", "balance"}``;
        503: nothing was decided, repeat with the same key.
    ``GET /bets/games`` → 200 ``{"games": [name, …]}``: the lobby.
    ``GET /bets/rounds/{id}`` → 200 ``{"round", "state", "win", "balance": null}``.

Only the stake is new risk. A win and a rollback are always taken to their end, by the sweep if need be.
"""

from __future__ import annotations

import json
import logging
import os
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiohttp import ClientError, ClientSession, web

from croupier_kit import arm, idempotency, logs, service
from croupier_stand.casino import build, pod
from croupier_stand.casino.pod import Undecided
from croupier_stand.casino.purse import Posted, Purse
from croupier_stand.casino.session import Sessions
from croupier_stand.casino.work import Work

log = logging.getLogger(__name__)

SCHEMA = "bets"
PROVIDER = "games"
MOST_STAKE = 100_000
GAMES = {"roulette": "table", "blackjack": "table", "baccarat": "table", "slots": "slot", "crash": "instant"}
"""Name -> kind of every game of the house."""

_OPEN_ONCE = "select * from bets.open_once(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
_FIND = "select id, player, arm, game, stake, state, win from bets.round where id = %s"


@dataclass(frozen=True, slots=True)
class Parts:
    """What a version may replace."""

    slip: Callable[[str, int, int | None], Mapping[str, Any]]
    """(state, win, balance) -> what a player is told of a round; balance is None when it was not looked up."""
    lobby: Callable[[], Sequence[str]]
    """The games that players are offered."""
    warm: Callable[[], Awaitable[bool]] | None = None
    """Asked at each readiness probe; None: ready as soon as it serves."""


def slip(state: str, win: int, balance: int | None) -> Mapping[str, Any]:
    return {"state": state, "win": win, "balance": balance}


def lobby() -> Sequence[str]:
    return tuple(GAMES)


STABLE = Parts(slip=slip, lobby=lobby)


class Round(NamedTuple):
    """A round as stored. ``win`` is None until the provider has told it."""

    id: str
    player: str
    arm: str
    game: str
    stake: int
    state: str
    win: int | None


class ProviderFailed(Exception):
    """The provider could not play the round, or did not say: it is to be rolled back there and here."""


@dataclass(frozen=True, slots=True)
class Partners:
    """Whom bets works with."""

    purse: Purse
    sessions: Sessions
    provider: ClientSession
    provider_url: str


class Bets:
    def __init__(self, name: str, parts: Parts, pool: pod.Pool, partners: Partners) -> None:
        self._name, self._parts, self._pool = name, parts, pool
        self._purse, self._sessions = partners.purse, partners.sessions
        self._provider, self._provider_url = partners.provider, partners.provider_url
        states = ("created", "played", "rolling-back")
        self._left_behind = Work(pool, (SCHEMA, "round"), states, self._resume, stale_seconds=5.0)

    @property
    def loops(self) -> list[tuple[str, service.Loop]]:
        return self._left_behind.loops

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/bets/games", self.games),
            web.post("/bets/rounds", self.play),
            web.get("/bets/rounds/{id}", self.show),
        ]

    async def games(self, _: web.Request) -> web.Response:
        return web.json_response({"games": self._parts.lobby()})

    async def play(self, request: web.Request) -> web.Response:
        player, origin = self._sessions.player_of(request), arm.current()
        key = await idempotency.key_of(request, player)
        body = await pod.body_of(request)
        game, stake = pod.text_in(body, "game"), pod.cents_in(body, "stake", MOST_STAKE)
        claim = (key.caller, key.key, key.fingerprint, idempotency.LEASE_SECONDS)
        fresh = Round(uuid.uuid4().hex, player, origin.arm, game, stake, "created", None)
        opened = (fresh.id, player, origin.arm, self._name, game, stake)
        async with self._pool.connection() as connection:
            rows = await connection.execute(_OPEN_ONCE, (*claim, *opened))
            decision = idempotency.decision_of(await rows.fetchone())
        if not isinstance(decision, idempotency.Begun):
            return idempotency.as_response(decision)
        # An earlier try may have begun the round, and it may stand anywhere by now.
        round_ = fresh if decision.subject == fresh.id else await self._find(decision.subject)
        if round_ is None:
            raise RuntimeError(f"key {key.key} is for round {decision.subject}, which does not exist")
        arm.adopt(arm=round_.arm, player=player)
        try:
            slip = await self._finish(round_)
        except Undecided as error:
            log.warning("undecided", extra=logs.fields(round=decision.subject, why=str(error)))
            async with self._pool.connection() as connection:
                await idempotency.release(connection, SCHEMA, key)
            return web.json_response({"error": "not decided yet, repeat with the same key"}, status=503)
        text = json.dumps({"round": decision.subject, **slip})
        async with self._pool.connection() as connection:
            await idempotency.decide(connection, SCHEMA, key, 200, text)
        return web.Response(text=text, content_type="application/json")

    async def show(self, request: web.Request) -> web.Response:
        player = self._sessions.player_of(request)
        round_ = await self._find(request.match_info["id"])
        if round_ is None or round_.player != player:
            raise web.HTTPNotFound(reason="no such round")
        return web.json_response({"round": round_.id, **self._parts.slip(round_.state, round_.win or 0, None)})

    async def _resume(self, id_: str) -> None:
        round_ = await self._find(id_)
        if round_ is not None:
            arm.adopt(arm=round_.arm, player=round_.player)
            await self._finish(round_)

    async def _finish(self, round_: Round) -> Mapping[str, Any]:
        """Take a round to its end from wherever it stands. Raises ``Undecided``: come again.

        What the provider said is stored before it is acted on, and of two pods that finish the same round only one can
        store it: a round is either played or rolled back, never both.
        """
        match round_.state:
            case "played":
                return await self._pay(round_)
            case "rolling-back":
                return await self._roll_back(round_)
            case "settled" | "refused" | "rolled-back":
                return self._parts.slip(round_.state, round_.win or 0, None)
        staked = await self._transfer(round_, "bet", round_.stake)
        if staked.outcome != "posted":
            return await self._close(round_, "created", "refused", 0, staked.balance)
        try:
            win = await self._play_at_provider(round_)
        except ProviderFailed as error:
            log.warning("provider failed", extra=logs.fields(round=round_.id, why=str(error)))
            await self._move(round_, "created", "rolling-back", 0)
            return await self._roll_back(round_)
        if not win:
            return await self._close(round_, "created", "settled", 0, staked.balance)
        await self._move(round_, "created", "played", win)
        return await self._pay(round_._replace(win=win))

    async def _pay(self, round_: Round) -> Mapping[str, Any]:
        win = round_.win or 0
        paid = await self._transfer(round_, "win", win)
        return await self._close(round_, "played", "settled", win, paid.balance)

    async def _roll_back(self, round_: Round) -> Mapping[str, Any]:
        if not await self._void_at_provider(round_):
            raise Undecided("the provider has not confirmed the rollback yet")
        returned = await self._transfer(round_, "rollback", round_.stake)
        return await self._close(round_, "rolling-back", "rolled-back", 0, returned.balance)

    async def _close(self, round_: Round, before: str, after: str, win: int, balance: int) -> Mapping[str, Any]:
        await self._move(round_, before, after, win)
        return self._parts.slip(after, win, balance)

    async def _move(self, round_: Round, before: str, after: str, win: int) -> None:
        async with self._pool.connection() as connection:
            found = await connection.execute("select bets.move(%s, %s, %s, %s)", (round_.id, before, after, win))
            row = await found.fetchone()
        if row is None or not row[0]:
            raise Undecided(f"round {round_.id} is no longer {before}: somebody else is finishing it")

    async def _play_at_provider(self, round_: Round) -> int:
        """What the round won, in cents. Safe to repeat. Raises ``ProviderFailed``."""
        body = {"round": round_.id, "player": round_.player, "game": round_.game, "stake": round_.stake}
        try:
            async with self._provider.post(f"{self._provider_url}/rounds", json=body) as response:
                if response.status != 200:
                    raise ProviderFailed(f"provider answered {response.status}")
                return int((await response.json())["win"])
        except (ClientError, TimeoutError) as error:
            raise ProviderFailed(f"provider did not answer: {error!r}") from error

    async def _void_at_provider(self, round_: Round) -> bool:
        """True when the provider confirms that the round is void there (also when it never heard of it)."""
        try:
            async with self._provider.post(f"{self._provider_url}/rounds/{round_.id}/rollback") as response:
                return response.status == 200
        except (ClientError, TimeoutError):
            return False

    async def _find(self, id_: str) -> Round | None:
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_FIND, (id_,))).fetchone()
        return None if row is None else Round(*row)

    async def _transfer(self, round_: Round, kind: str, amount: int) -> Posted:
        return await self._purse.transfer(
            f"{round_.id}:{kind}",
            kind=kind,
            reference=round_.id,
            player=round_.player,
            counterparty=PROVIDER,
            amount=amount,
        )


def factory(built: build.Build, around: pod.Surroundings) -> service.Factory:
    @asynccontextmanager
    async def make(settings: service.PodSettings) -> AsyncIterator[service.Pod]:
        parts = built.applied(STABLE)
        async with (
            pod.database(around.database) as pool,
            service.mesh_client(total_seconds=3.0) as mesh,
            service.outside_client(total_seconds=3.0) as provider,
        ):
            partners = Partners(
                purse=Purse(mesh, around.mesh_url, "bets"),
                sessions=Sessions.from_file(around.secrets / "session.key"),
                provider=provider,
                provider_url=around.provider_url,
            )
            bets = Bets(settings.name, parts, pool, partners)
            yield service.Pod(settings, bets.routes(), bets.loops, parts.warm)

    return make


if __name__ == "__main__":
    service.run(factory(build.from_command_line(), pod.Surroundings.of(os.environ)))
