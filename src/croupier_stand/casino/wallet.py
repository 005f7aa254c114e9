"""wallet: the ledger's front door. Only other services call it.

Routes:
    ``POST /wallet/transfers`` with ``idempotency-key`` and ``x-caller``:
        ``{"kind", "reference", "player", "amount", "counterparty"}`` → 200 ``{"outcome", "transfer", "balance"}``.
        Business refusals are outcomes (``refused``, ``tombstoned``, ``nothing``), not errors. 422: the key was used for
        another transfer.
    ``GET /wallet/balance?player=`` → 200 ``{"balance"}`` (cents).
"""

from __future__ import annotations

import os
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiohttp import web
from psycopg.types.json import Jsonb

from croupier_kit import arm, idempotency, service
from croupier_stand.casino import build, pod

CALLER_HEADER = "x-caller"
HOUSE_SHARDS = 64
"""A house account is many rows, so that it is not the one hot row of the platform."""

_MOST_CONNECTIONS = 10
"""Of one pod: every payment and every bet comes through here, and each waits for row locks."""

_POST = "select * from wallet.post(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"


class Sides(NamedTuple):
    debit: str
    credit: str


def _house(name: str, reference: str) -> str:
    return f"house:{name}:{zlib.crc32(reference.encode()) % HOUSE_SHARDS:02d}"


def _player(player: str) -> str:
    return f"player:{player}"


def sides(kind: str, player: str, counterparty: str, reference: str) -> Sides:
    """Which account a transfer takes from and which it gives to. Raises KeyError for an unknown kind."""
    purse, partner = _player(player), _house(counterparty, reference)
    held = _house("payouts", reference)
    return {
        "deposit": Sides(partner, purse),
        "withdrawal-reserve": Sides(purse, held),
        "withdrawal-settle": Sides(held, partner),
        "withdrawal-release": Sides(held, purse),
        "bet": Sides(purse, partner),
        "win": Sides(partner, purse),
        "rollback": Sides(partner, purse),
        "reversal": Sides(purse, partner),
        "write-off": Sides(_house("losses", reference), partner),
    }[kind]


KINDS = (
    "deposit",
    "withdrawal-reserve",
    "withdrawal-settle",
    "withdrawal-release",
    "bet",
    "win",
    "rollback",
    "reversal",
    "write-off",
)


@dataclass(frozen=True, slots=True)
class Parts:
    """What a version may replace."""

    answer: Callable[[str, int, int], Mapping[str, Any]]
    """(outcome, transfer, balance) -> the answer to a transfer."""
    warm: Callable[[], Awaitable[bool]] | None = None
    """Asked at each readiness probe; None: ready as soon as it serves."""


def answer(outcome: str, transfer: int, balance: int) -> Mapping[str, Any]:
    return {"outcome": outcome, "transfer": transfer, "balance": balance}


STABLE = Parts(answer=answer)


class Wallet:
    def __init__(self, name: str, parts: Parts, pool: pod.Pool) -> None:
        self._name, self._parts, self._pool = name, parts, pool

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/wallet/transfers", self.transfer), web.get("/wallet/balance", self.balance)]

    async def transfer(self, request: web.Request) -> web.Response:
        key = await idempotency.key_of(request, request.headers.get(CALLER_HEADER, ""))
        body = await pod.body_of(request)
        kind, reference = pod.text_in(body, "kind", one_of=KINDS), pod.text_in(body, "reference")
        player, counterparty = pod.text_in(body, "player"), pod.text_in(body, "counterparty")
        debit, credit = sides(kind, player, counterparty, reference)
        values = (
            *(key.caller, key.key, key.fingerprint, kind, reference, player, arm.current().arm, self._name),
            *(debit, credit, pod.cents_in(body, "amount"), Jsonb({"counterparty": counterparty})),
        )
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_POST, values)).fetchone()
        if row is None:
            raise RuntimeError("wallet.post gave no row")
        outcome, transfer, balance, _ = row
        if outcome == "mismatch":
            return idempotency.as_response(idempotency.Mismatch())
        return web.json_response(self._parts.answer(outcome, transfer, balance))

    async def balance(self, request: web.Request) -> web.Response:
        player = request.query.get("player", "")
        async with self._pool.connection() as connection:
            found = await connection.execute("select balance from wallet.account where id = %s", (_player(player),))
            row = await found.fetchone()
        if row is None:
            raise web.HTTPNotFound(reason="no such player")
        return web.json_response({"balance": row[0]})


def factory(built: build.Build, around: pod.Surroundings) -> service.Factory:
    @asynccontextmanager
    async def make(settings: service.PodSettings) -> AsyncIterator[service.Pod]:
        parts = built.applied(STABLE)
        async with pod.database(around.database, _MOST_CONNECTIONS) as pool:
            yield service.Pod(settings, Wallet(settings.name, parts, pool).routes(), warm=parts.warm)

    return make


if __name__ == "__main__":
    service.run(factory(build.from_command_line(), pod.Surroundings.of(os.environ)))
