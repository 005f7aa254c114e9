"""Deposits and withdrawals: the state machines of ``sql/payments.sql``, one safe step after another.

Routes (players, with session token, ``x-player`` and, to begin something, ``idempotency-key``):
    ``POST /payments/deposits`` ``{"amount", "currency", "psp"}`` → 201 ``{"id", "state": "pending", …}``
    ``GET /payments/deposits/{id}`` → 200 ``{"id", "state", "amount"}``
    ``POST /payments/withdrawals`` ``{"amount", "currency", "psp"}`` → 201 ``{"id", "state": "submitted"|"refused"}``
    ``GET /payments/withdrawals/{id}`` → 200
    503: nothing was decided, repeat with the same key.
Route of partners (Standard Webhooks headers):
    ``POST /payments/webhooks/{psp}?player=&arm=`` → 200; 401 when the signature does not hold.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from aiohttp import web
from psycopg import sql

from croupier_kit import arm, idempotency, logs, service, webhooks
from croupier_stand.casino import pod
from croupier_stand.casino.payment import Payment, Wish
from croupier_stand.casino.psp import Fact, PspEvent, Psps, PspUnavailable
from croupier_stand.casino.purse import Posted, Purse, WalletUnavailable
from croupier_stand.casino.session import Sessions
from croupier_stand.casino.work import Work

log = logging.getLogger(__name__)

SCHEMA = "payments"
CURRENCIES = ("EUR",)
_COLUMNS = "id, player, arm, pod, psp, amount, currency, state"
_OPEN_ONCE = "select * from payments.open_once(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)"
_TAKE_EVENT = "select payments.take_event(%s, %s, %s, %s, %s, %s, %s)"
_MOVE_DEPOSIT = "select payments.move_deposit(%s, %s, %s)"
_MOVE_DEPOSIT_AND_DECIDE = f"{_MOVE_DEPOSIT}, payments.decide(%s, %s, %s, %s)"
_MOVE_WITHDRAWAL = "select payments.move_withdrawal(%s, %s, %s)"


class Effect(NamedTuple):
    """What a partner's event does to one of our payments: from one of the states before to the state after."""

    kind: str
    before: list[str]
    after: str


_EFFECTS = {
    Fact.CAPTURED: Effect("deposit", ["created", "pending"], "captured"),
    Fact.DECLINED: Effect("deposit", ["created", "pending"], "declined"),
    Fact.PAID: Effect("withdrawal", ["created", "reserved", "submitted"], "paid"),
    Fact.PAYOUT_FAILED: Effect("withdrawal", ["created", "reserved", "submitted"], "failed"),
}


@dataclass(frozen=True, slots=True)
class Parts:
    """What a version of payments-api may replace."""

    parse_event: Callable[[Mapping[str, Any]], PspEvent | None]
    take_event: Callable[[Cashier, str, str, PspEvent], Awaitable[bool]]
    """(cashier, partner, id of the webhook, event) -> whether the payment is known."""
    check_deposit: Callable[[Psps, Wish], Awaitable[None]]
    """Raises ``HTTPForbidden`` when the deposit is not allowed."""
    receipt: Callable[[Payment], Mapping[str, Any]]
    write_currency: Callable[[str], str]
    """A currency code as it is stored with a payment."""
    read_currency: Callable[[str], str]
    """The code of a stored currency. Raises ``Unreadable``."""
    credited: Callable[[Purse, Payment], Awaitable[None]] | None = None
    """Done after a deposit is in the player's purse."""
    start: Callable[[], Awaitable[None]] | None = None
    """Done before serving."""
    warm: Callable[[], Awaitable[bool]] | None = None
    """Asked at each readiness probe; None: ready as soon as it serves."""


@dataclass(frozen=True, slots=True)
class Partners:
    """Whom the cashier works with. ``signers``: PSP name -> how its webhooks are verified."""

    psps: Psps
    purse: Purse
    sessions: Sessions
    signers: Mapping[str, webhooks.Signer]


class Cashier:
    """One pod's part of payments-api."""

    def __init__(self, name: str, parts: Parts, pool: pod.Pool, partners: Partners) -> None:
        self._name, self._parts, self._pool = name, parts, pool
        self._psps, self._purse, self._sessions = partners.psps, partners.purse, partners.sessions
        self._signers = partners.signers
        self._credits = Work(pool, (SCHEMA, "deposit"), ("captured",), self._credit, stale_seconds=3.0)
        self._payouts = Work(
            pool,
            (SCHEMA, "withdrawal"),
            ("created", "reserved", "paid", "failed"),
            self._go_on_with_withdrawal,
            stale_seconds=5.0,
        )

    @property
    def loops(self) -> list[tuple[str, service.Loop]]:
        return self._credits.loops + self._payouts.loops

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/payments/deposits", self.deposit),
            web.get("/payments/deposits/{id}", self.show_deposit),
            web.post("/payments/withdrawals", self.withdraw),
            web.get("/payments/withdrawals/{id}", self.show_withdrawal),
            web.post("/payments/webhooks/{psp}", self.webhook),
        ]

    # --- deposits ---------------------------------------------------------------------------------------------------

    async def deposit(self, request: web.Request) -> web.Response:
        player = self._sessions.player_of(request)
        key = await idempotency.key_of(request, player)
        wish = self._wish(key, player, await pod.body_of(request))
        await self._parts.check_deposit(self._psps, wish)
        begun = await self._begin("deposit", key, wish)
        if not isinstance(begun, Payment):
            return idempotency.as_response(begun)
        try:
            await self._psps.intend(begun)
        except PspUnavailable as error:
            return await self._undecided(key, error)
        body = json.dumps(self._parts.receipt(begun._replace(state="pending")))
        async with self._pool.connection() as connection:
            moved = (begun.id, ["created"], "pending")
            await connection.execute(_MOVE_DEPOSIT_AND_DECIDE, (*moved, *idempotency.decided(key, 201, body)))
        return web.Response(status=201, text=body, content_type="application/json")

    async def show_deposit(self, request: web.Request) -> web.Response:
        return web.json_response(self._parts.receipt(await self._own("deposit", request)))

    async def _credit(self, id_: str) -> None:
        """A captured deposit into the player's purse, under the arm that began it."""
        deposit = await self.find("deposit", id_)
        if deposit is None or deposit.state != "captured":
            return
        arm.adopt(arm=deposit.arm, player=deposit.player)
        posted = await self.transfer(deposit, deposit.id, "deposit")
        if posted.outcome != "posted":
            raise RuntimeError(f"a deposit's credit came to {posted.outcome}")
        await self.move_deposit(id_, ["captured"], "credited")
        log.info("credited", extra=logs.fields(deposit=id_, amount=deposit.amount))
        if self._parts.credited is not None:
            await self._parts.credited(self._purse, deposit)

    # --- withdrawals ------------------------------------------------------------------------------------------------

    async def withdraw(self, request: web.Request) -> web.Response:
        player = self._sessions.player_of(request)
        key = await idempotency.key_of(request, player)
        wish = self._wish(key, player, await pod.body_of(request))
        begun = await self._begin("withdrawal", key, wish)
        if not isinstance(begun, Payment):
            return idempotency.as_response(begun)
        try:
            state = await self._submit(begun)
        except (PspUnavailable, WalletUnavailable) as error:
            return await self._undecided(key, error)
        body = json.dumps(self._parts.receipt(begun._replace(state=state)))
        async with self._pool.connection() as connection:
            await idempotency.decide(connection, SCHEMA, key, 201, body)
        return web.Response(status=201, text=body, content_type="application/json")

    async def show_withdrawal(self, request: web.Request) -> web.Response:
        return web.json_response(self._parts.receipt(await self._own("withdrawal", request)))

    async def _submit(self, withdrawal: Payment) -> str:
        """Hold the money, then tell the partner; the order that cannot pay out what is not there."""
        held = await self.transfer(withdrawal, f"{withdrawal.id}:reserve", "withdrawal-reserve")
        if held.outcome != "posted":
            await self._move_withdrawal(withdrawal.id, ["created"], "refused")
            return "refused"
        await self._move_withdrawal(withdrawal.id, ["created"], "reserved")
        await self._psps.pay_out(withdrawal)
        await self._move_withdrawal(withdrawal.id, ["reserved"], "submitted")
        return "submitted"

    async def _go_on_with_withdrawal(self, id_: str) -> None:
        withdrawal = await self.find("withdrawal", id_)
        if withdrawal is None:
            return
        arm.adopt(arm=withdrawal.arm, player=withdrawal.player)
        match withdrawal.state:
            case "created" | "reserved":
                await self._submit(withdrawal)
            case "paid":
                await self.transfer(withdrawal, f"{id_}:settle", "withdrawal-settle")
                await self._move_withdrawal(id_, ["paid"], "settled")
            case "failed":
                await self.transfer(withdrawal, f"{id_}:release", "withdrawal-release")
                await self._move_withdrawal(id_, ["failed"], "released")

    async def _move_withdrawal(self, id_: str, before: list[str], after: str) -> None:
        async with self._pool.connection() as connection:
            await connection.execute(_MOVE_WITHDRAWAL, (id_, before, after))

    # --- partners' events -------------------------------------------------------------------------------------------

    async def webhook(self, request: web.Request) -> web.Response:
        psp = request.match_info["psp"]
        signer = self._signers.get(psp)
        if signer is None:
            raise web.HTTPNotFound(reason="no such partner")
        try:
            message = signer.verify(request.headers, await request.read())
        except webhooks.Rejected as error:
            log.warning("webhook rejected", extra=logs.fields(psp=psp, why=str(error)))
            raise web.HTTPUnauthorized(reason="signature does not hold") from error
        try:
            event = self._parts.parse_event(message)
        except (KeyError, TypeError) as error:
            log.error("webhook malformed", extra=logs.fields(psp=psp, why=repr(error)))
            raise web.HTTPBadRequest(reason="message is malformed") from error
        if event is None:
            log.info("webhook ignored", extra=logs.fields(psp=psp, type=message.get("type")))
        elif not await self._parts.take_event(self, psp, request.headers[webhooks.ID_HEADER], event):
            raise web.HTTPNotFound(reason="no such payment yet")
        return web.json_response({})

    async def take_event(self, psp: str, webhook_id: str, event: PspEvent) -> bool:
        """Write the event's effect and its inbox row together. False when the payment is unknown: the partner will
        come again."""
        effect = _EFFECTS[event.fact]
        values = (psp, webhook_id, effect.kind, event.id, event.amount, effect.before, effect.after)
        async with self._pool.connection() as connection:
            row = await (await connection.execute(_TAKE_EVENT, values)).fetchone()
        answer = row and row[0]
        if answer not in {"taken", "repeat"}:
            log.error("webhook does not fit", extra=logs.fields(psp=psp, id=event.id, why=answer))
            return False
        if effect.after in {"captured", "paid", "failed"}:
            work = self._credits if effect.kind == "deposit" else self._payouts
            work.soon(event.id)
        return True

    # --- common -----------------------------------------------------------------------------------------------------

    def _wish(self, key: idempotency.Key, player: str, body: Mapping[str, Any]) -> Wish:
        return Wish(
            key=key.key,
            player=player,
            psp=pod.text_in(body, "psp", one_of=tuple(self._signers)),
            amount=pod.cents_in(body, "amount"),
            currency=pod.text_in(body, "currency", one_of=CURRENCIES),
        )

    async def _begin(
        self, kind: str, key: idempotency.Key, wish: Wish
    ) -> Payment | idempotency.Replay | idempotency.Running | idempotency.Mismatch:
        """Claim the key and begin its payment. What this request does from here on is done under the payment's arm."""
        origin, claim = arm.current().arm, (key.caller, key.key, key.fingerprint, idempotency.LEASE_SECONDS)
        fresh = Payment(
            uuid.uuid4().hex, wish.player, origin, self._name, wish.psp, wish.amount, wish.currency, "created"
        )
        async with self._pool.connection() as connection:
            stored = fresh._replace(currency=self._parts.write_currency(fresh.currency))
            rows = await connection.execute(_OPEN_ONCE, (*claim, kind, *stored[:-1]))
            decision = idempotency.decision_of(await rows.fetchone())
        if not isinstance(decision, idempotency.Begun):
            return decision
        if decision.subject == fresh.id:
            return fresh
        # An earlier try has begun it, perhaps under another arm, which answers for it.
        begun = await self.find(kind, decision.subject)
        if begun is None:
            raise RuntimeError(f"key {key.key} is for {kind} {decision.subject}, which does not exist")
        arm.adopt(arm=begun.arm, player=begun.player)
        return begun

    async def _undecided(self, key: idempotency.Key, error: Exception) -> web.Response:
        log.warning("undecided", extra=logs.fields(why=str(error)))
        async with self._pool.connection() as connection:
            await idempotency.release(connection, SCHEMA, key)
        return web.json_response({"error": "a partner did not answer, repeat with the same key"}, status=503)

    async def _own(self, kind: str, request: web.Request) -> Payment:
        player = self._sessions.player_of(request)
        payment = await self.find(kind, request.match_info["id"])
        if payment is None or payment.player != player:
            raise web.HTTPNotFound(reason=f"no such {kind}")
        return payment

    async def move_deposit(self, id_: str, before: list[str], after: str) -> None:
        """From one of the states before; nothing happens in any other."""
        async with self._pool.connection() as connection:
            await connection.execute(_MOVE_DEPOSIT, (id_, before, after))

    async def find(self, kind: str, id_: str) -> Payment | None:
        """A payment as stored. Raises ``Unreadable``."""
        table = sql.Identifier(SCHEMA, kind)
        statement = sql.SQL("select " + _COLUMNS + " from {} where id = %s").format(table)
        async with self._pool.connection() as connection:
            row = await (await connection.execute(statement, (id_,))).fetchone()
        if row is None:
            return None
        payment = Payment(*row)
        return payment._replace(currency=self._parts.read_currency(payment.currency))

    async def transfer(self, payment: Payment, key: str, kind: str) -> Posted:
        """Move a payment's money in the ledger, once per ``key``. Raises ``WalletUnavailable``."""
        return await self._purse.transfer(
            key,
            kind=kind,
            reference=payment.id,
            player=payment.player,
            counterparty=payment.psp,
            amount=payment.amount,
        )
