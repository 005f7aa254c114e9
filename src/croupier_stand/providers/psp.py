"""A payment service provider: ``python -m croupier_stand.providers.psp --name psp-a --port 0 …``.

Routes:
    ``POST /intents`` and ``POST /payouts`` ``{"id", "player", "amount", "currency", "webhook"}`` → 201
        ``{"reference"}``; the same id again gives the same answer, with other contents 422.
    ``GET /limits?player=`` → 200 ``{"limit"}`` after a while (it is somebody else's computer).
    ``GET /books?after=`` → the provider's books, see ``books``. Kinds: ``intent``, ``captured``, ``declined``,
        ``payout``, ``payout-paid``, ``payout-failed``, ``delivered``, ``fault``.
    ``POST /faults``, ``GET /faults``: be ill for a while, see ``faults``. The books can be read all the same: they
        stand for the partner's settlement reports.

An intent is captured or declined after a short while, and told by a signed webhook that is repeated on a ladder until
it is answered with 2xx. A few captures are told only after a minute, and one in a hundred is told again although it was
answered, as happens. psp-b tells instant captures by a type of its own. The fate of a payment hangs on seed and id
only; after a restart what was left open is taken up again.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from aiohttp import ClientError, ClientSession, web

from croupier_kit import logs, service, webhooks
from croupier_kit.clock import now
from croupier_stand.casino import pod
from croupier_stand.providers.books import Books, Entry, dice
from croupier_stand.providers.faults import Fault, Faults

log = logging.getLogger(__name__)

_LADDER_SECONDS = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0, 60.0, 60.0, 120.0, 300.0)
_TELLERS = 16
_LIMIT_CENTS = 1_000_000
_LIMITS_SECONDS = (0.05, 0.08)
_SLOW_SECONDS = (1.0, 1.8)
_REPEATED_AFTER_SECONDS = 3.0
_OUTCOMES = {"captured", "declined", "payout-paid", "payout-failed"}


@dataclass(frozen=True, slots=True)
class Temper:
    """How a provider behaves. Ratios 0-1, spans in seconds."""

    declined_ratio: float = 0.03
    late_ratio: float = 0.0005
    repeated_ratio: float = 0.01
    """Share of captures told twice although the first telling was answered."""
    payout_failed_ratio: float = 0.01
    instant_ratio: float = 0.0
    """Share of captures told as ``payment.settled``."""
    capture_seconds: tuple[float, float] = (0.1, 0.6)
    late_seconds: float = 60.0


TEMPERS = {"psp-a": Temper(), "psp-b": Temper(instant_ratio=0.06)}


@dataclass(frozen=True, slots=True)
class Fate:
    """What becomes of one payment, and how it is told."""

    outcome: str
    event_type: str
    after_seconds: float
    told_after_seconds: float
    """From the outcome to the first webhook."""
    is_repeated: bool = False


class Telling(NamedTuple):
    """One webhook to be sent. ``tries``: so often it was sent in vain."""

    outcome: Entry
    webhook: str
    tries: int = 0
    is_repeat: bool = False
    """It was answered before: sent once more, and then forgotten."""


def fate(seed: int, temper: Temper, kind: str, id_: str) -> Fate:
    """Decide it: the same arguments give the same fate. ``kind`` is ``intent`` or ``payout``."""
    luck = dice(seed, kind, id_)
    after, turn, late, instant = luck.uniform(*temper.capture_seconds), luck.random(), luck.random(), luck.random()
    if kind == "payout":
        failed = turn < temper.payout_failed_ratio
        return Fate(
            "payout-failed" if failed else "payout-paid", "payout.failed" if failed else "payout.paid", after, 0.0
        )
    if turn < temper.declined_ratio:
        return Fate("declined", "payment.declined", after, 0.0)
    told_after = temper.late_seconds if late < temper.late_ratio else 0.0
    event_type = "payment.settled" if instant < temper.instant_ratio else "payment.captured"
    return Fate("captured", event_type, after, told_after, luck.random() < temper.repeated_ratio)


class Psp:
    """The provider. Its work is a set of timers; a payment's story is in the books."""

    def __init__(self, temper: Temper, seed: int, books: Books, signer: webhooks.Signer, client: ClientSession) -> None:
        self._temper, self._seed, self._books, self._signer, self._client = temper, seed, books, signer, client
        self._begun: dict[str, Entry] = {}
        self._due: asyncio.PriorityQueue[tuple[float, int, Callable[[], None]]] = asyncio.PriorityQueue()
        self._tellings: asyncio.Queue[Telling] = asyncio.Queue()
        self._faults = Faults(Fault, books, now)
        self._tickets = 0
        self._changed = asyncio.Event()
        self._take_up()

    @property
    def loops(self) -> list[tuple[str, service.Loop]]:
        tellers: list[tuple[str, service.Loop]] = [(f"teller {number}", self._tell) for number in range(_TELLERS)]
        return [("timers", self._keep_time), *tellers]

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/intents", self.intend),
            web.post("/payouts", self.pay_out),
            web.get("/limits", self.limits),
            web.get("/books", self._books.show),
            *self._faults.routes(),
        ]

    async def intend(self, request: web.Request) -> web.Response:
        await self._suffer()
        return self._begin("intent", await pod.body_of(request))

    async def pay_out(self, request: web.Request) -> web.Response:
        await self._suffer()
        return self._begin("payout", await pod.body_of(request))

    async def limits(self, request: web.Request) -> web.Response:
        await self._suffer()
        await asyncio.sleep(dice(self._seed, "limits", str(self._tickets)).uniform(*_LIMITS_SECONDS))
        return web.json_response({"player": request.query.get("player", ""), "limit": _LIMIT_CENTS})

    async def _suffer(self) -> None:
        """What a fault does to an answer. Raises ``HTTPServiceUnavailable``."""
        match self._faults.now():
            case Fault.DOWN:
                raise web.HTTPServiceUnavailable(reason="out of order")
            case Fault.SLOW:
                self._tickets += 1
                await asyncio.sleep(dice(self._seed, "slow", str(self._tickets)).uniform(*_SLOW_SECONDS))

    def _begin(self, kind: str, body: Any) -> web.Response:
        id_, player, webhook = (pod.text_in(body, name) for name in ("id", "player", "webhook"))
        amount = pod.cents_in(body, "amount")
        known = self._begun.get(id_)
        if known is None:
            known = self._books.add(kind, id_, player, amount, webhook=webhook)
            self._begun[id_] = known
            self._schedule(known)
        elif (known.kind, known.player, known.amount) != (kind, player, amount):
            return web.json_response({"error": "this id was used for another payment"}, status=422)
        return web.json_response({"reference": f"{kind}-{known.seq}"}, status=201)

    def _schedule(self, begun: Entry) -> None:
        what = fate(self._seed, self._temper, begun.kind, begun.id)
        self._at(begun.at + what.after_seconds, partial(self._conclude, begun, what))

    def _conclude(self, begun: Entry, what: Fate) -> None:
        outcome = self._books.add(what.outcome, begun.id, begun.player, begun.amount, type=what.event_type)
        self._at(outcome.at + what.told_after_seconds, partial(self._tellings.put_nowait, _telling(outcome, begun)))

    def _take_up(self) -> None:
        """After a restart: conclude and tell whatever the books leave open."""
        entries = self._books.after(0)
        concluded = {entry.id: entry for entry in entries if entry.kind in _OUTCOMES}
        told = {entry.id for entry in entries if entry.kind == "delivered"}
        for entry in entries:
            if entry.kind not in {"intent", "payout"}:
                continue
            self._begun[entry.id] = entry
            outcome = concluded.get(entry.id)
            if outcome is None:
                self._schedule(entry)
            elif entry.id not in told:
                what = fate(self._seed, self._temper, entry.kind, entry.id)
                telling = _telling(outcome, entry)
                self._at(outcome.at + what.told_after_seconds, partial(self._tellings.put_nowait, telling))

    def _at(self, when: float, do: Callable[[], None]) -> None:
        self._tickets += 1
        self._due.put_nowait((when, self._tickets, do))
        self._changed.set()

    async def _keep_time(self) -> None:
        while True:
            self._changed.clear()
            wait = 60.0
            while not self._due.empty():
                due = self._due.get_nowait()
                if due[0] > (moment := now()):
                    self._due.put_nowait(due)
                    wait = due[0] - moment
                    break
                due[2]()
            try:
                async with asyncio.timeout(wait):
                    await self._changed.wait()
            except TimeoutError:
                continue

    async def _tell(self) -> None:
        while True:
            telling = await self._tellings.get()
            if self._faults.now() is Fault.DOWN:
                self._at(now() + min(1.0, self._faults.seconds_left()), partial(self._tellings.put_nowait, telling))
                continue
            at_once = 2 if self._faults.now() is Fault.DUPLICATE_WEBHOOKS and not telling.is_repeat else 1
            answers = await asyncio.gather(*(self._deliver(telling.outcome, telling.webhook) for _ in range(at_once)))
            if any(answers):
                self._delivered(telling, is_repeated=at_once > 1)
            elif telling.tries < len(_LADDER_SECONDS):
                again = telling._replace(tries=telling.tries + 1)
                self._at(now() + _LADDER_SECONDS[telling.tries], partial(self._tellings.put_nowait, again))
            else:
                log.error("webhook given up", extra=logs.fields(id=telling.outcome.id, tries=telling.tries))

    def _delivered(self, telling: Telling, *, is_repeated: bool) -> None:
        if telling.is_repeat:
            return
        outcome = telling.outcome
        self._books.add("delivered", outcome.id, outcome.player, outcome.amount)
        begun = self._begun[outcome.id]
        if is_repeated or fate(self._seed, self._temper, begun.kind, begun.id).is_repeated:
            repeat = telling._replace(is_repeat=True, tries=0)
            self._at(now() + _REPEATED_AFTER_SECONDS, partial(self._tellings.put_nowait, repeat))

    async def _deliver(self, outcome: Entry, webhook: str) -> bool:
        message = {
            "type": outcome.more["type"],
            "timestamp": datetime.fromtimestamp(outcome.at, UTC).isoformat(),
            "data": {"id": outcome.id, "amount": outcome.amount},
        }
        body = json.dumps(message).encode()
        headers = self._signer.sign(f"evt_{outcome.id}_{outcome.seq}", datetime.fromtimestamp(now(), UTC), body)
        try:
            async with self._client.post(
                webhook, data=body, headers=headers | {"content-type": "application/json"}
            ) as response:
                await response.read()
                return response.status < 300
        except (ClientError, TimeoutError):
            return False


def _telling(outcome: Entry, begun: Entry) -> Telling:
    return Telling(outcome, str(begun.more["webhook"]))


def factory(seed: int, books_path: Path | None, secret: Path, temper: Temper) -> service.Factory:
    @asynccontextmanager
    async def make(settings: service.PodSettings) -> AsyncIterator[service.Pod]:
        books = Books(books_path, now)
        try:
            async with service.outside_client(total_seconds=5.0) as client:
                psp = Psp(temper, seed, books, webhooks.Signer.from_file(secret), client)
                yield service.Pod(settings, psp.routes(), psp.loops)
        finally:
            books.close()

    return make


def main() -> None:
    parser = argparse.ArgumentParser(description="Run a payment service provider")
    parser.add_argument("--name", required=True, choices=sorted(TEMPERS))
    parser.add_argument("--port", required=True, type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--books", type=Path, help="file that keeps the books over restarts")
    parser.add_argument("--secret", type=Path, required=True, help="file with the webhook key")
    given = parser.parse_args()
    environment = {
        "POD_NAME": given.name,
        "CROUPIER_SERVICE": given.name,
        "PORT": str(given.port),
        "DRAIN_SECONDS": "1",
    }
    service.run(factory(given.seed, given.books, given.secret, TEMPERS[given.name]), environment)


if __name__ == "__main__":
    main()
