"""The reconciler: ``python -m croupier_stand.reconciler``. Makes the ledger agree with the partners' books.

Every few seconds it compares what the PSPs captured and paid out with what the wallet booked. What is missing after a
grace period is booked, what is booked too often is taken back by correcting entries; nothing is ever edited. A missing
credit is posted with the very key that payments-api would use, so a webhook that comes late after all changes nothing.

A correction repairs the player's money, not the release's record: the deposit stays a failure of the arm that lost it,
because the grace is longer than the tally's patience.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import uvloop
from aiohttp import ClientError, ClientSession
from psycopg import AsyncConnection, OperationalError

from croupier_kit import arm, logs, outbox, service
from croupier_kit.clock import now
from croupier_stand.casino.pod import PSPS, Undecided
from croupier_stand.casino.purse import Purse
from croupier_stand.providers.books import Entry

log = logging.getLogger(__name__)

GRACE_SECONDS = 20.0
_ROUND_SECONDS = 5.0
_RECENT = "15 minutes"
_PATIENCE = 3
"""So many entries in one round that the wallet does not answer for mean that it is away."""

_SETTLED = """
select reference, kind from wallet.transfer
where reference = any (%s) and kind in ('deposit', 'withdrawal-settle', 'withdrawal-release') and outcome = 'posted'
"""
_SURPLUS = """
select reference, max(player), max(amount) filter (where kind = 'deposit'),
    count(*) filter (where kind = 'deposit'), count(*) filter (where kind in ('reversal', 'write-off'))
from wallet.transfer t
where outcome = 'posted' and kind in ('deposit', 'reversal', 'write-off') and reference in (
    select reference from wallet.transfer where kind = 'deposit' and at > clock_timestamp() - %s::interval
)
group by reference having count(*) > 1
"""


class Movement(NamedTuple):
    """How one kind of book entry is to appear in the ledger."""

    transfer: str
    key_suffix: str
    table: str
    before: tuple[str, ...]
    after: str


_MOVEMENTS: Mapping[str, Movement] = {
    "captured": Movement("deposit", "", "deposit", ("created", "pending", "captured", "declined"), "credited"),
    "payout-paid": Movement(
        "withdrawal-settle", ":settle", "withdrawal", ("created", "reserved", "submitted", "paid"), "settled"
    ),
    "payout-failed": Movement(
        "withdrawal-release", ":release", "withdrawal", ("created", "reserved", "submitted", "failed"), "released"
    ),
}


@dataclass(frozen=True, slots=True)
class ReconcilerSettings:
    """Where everything is. ``psps``: name -> base URL."""

    database: str
    mesh_url: str
    psps: Mapping[str, str]

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> ReconcilerSettings:
        """Raises KeyError naming the variable that is missing."""
        psps = {psp: environment[psp.upper().replace("-", "_") + "_URL"].rstrip("/") for psp in PSPS}
        return cls(environment["DATABASE_URL"], environment["MESH_URL"].rstrip("/"), psps)


@dataclass(slots=True)
class _Partner:
    """One PSP's books as read so far. ``open``: id -> entry that was not yet seen in the ledger."""

    name: str
    url: str
    last: int = 0
    open: dict[str, Entry] = field(default_factory=dict)


class Reconciler:
    def __init__(self, settings: ReconcilerSettings, mesh: ClientSession, partners: ClientSession) -> None:
        self._settings, self._outside = settings, partners
        self._credits = Purse(mesh, settings.mesh_url, "payments")
        self._corrections = Purse(mesh, settings.mesh_url, "reconciler")
        self._partners = [_Partner(name, url) for name, url in settings.psps.items()]

    async def round(self, grace_seconds: float) -> Counter[str]:
        """Compare once and correct; gives what was corrected, by kind.

        Raises ``OperationalError``, ``Undecided``, ``ClientError`` or ``TimeoutError`` when somebody does not answer;
        what was corrected before stays, and the next round goes on from there.
        """
        done: Counter[str] = Counter()
        for partner in self._partners:
            await self._read(partner)
        async with await AsyncConnection.connect(self._settings.database, autocommit=True) as connection:
            for partner in self._partners:
                await self._book_missing(connection, partner, now() - grace_seconds, done)
            await self._take_back_surplus(connection, done)
        return done

    async def _read(self, partner: _Partner) -> None:
        while True:
            async with self._outside.get(f"{partner.url}/books", params={"after": partner.last}) as response:
                response.raise_for_status()
                page = await response.json()
            for raw in page["entries"]:
                entry = Entry(**raw)
                partner.last = entry.seq
                if entry.kind in _MOVEMENTS:
                    partner.open[entry.id] = entry
            if not page["more"]:
                return

    async def _book_missing(
        self, connection: AsyncConnection[Any], partner: _Partner, before: float, done: Counter[str]
    ) -> None:
        rows = await connection.execute(_SETTLED, (list(partner.open),))
        booked = set(await rows.fetchall())
        refused = 0
        for id_, entry in list(partner.open.items()):
            movement = _MOVEMENTS[entry.kind]
            if (id_, movement.transfer) in booked:
                del partner.open[id_]
            elif entry.at < before:
                try:
                    await self._book(connection, partner.name, entry, movement)
                except Undecided as error:  # one entry that the wallet will not take must not keep all others waiting
                    log.warning("not booked", extra=logs.fields(id=id_, why=str(error)))
                    refused += 1
                    if refused >= _PATIENCE:
                        raise
                    continue
                done[movement.after] += 1
                del partner.open[id_]

    async def _book(self, connection: AsyncConnection[Any], psp: str, entry: Entry, movement: Movement) -> None:
        arm.adopt(arm="", player=entry.player)
        await self._credits.transfer(
            entry.id + movement.key_suffix,
            kind=movement.transfer,
            reference=entry.id,
            player=entry.player,
            counterparty=psp,
            amount=entry.amount,
        )
        async with connection.transaction():
            statement = f"select payments.move_{movement.table}(%s, %s, %s)"
            await connection.execute(statement.encode(), (entry.id, list(movement.before), movement.after))
            await _tell(connection, movement.after, entry.id, entry.player, {"provider": psp, "amount": entry.amount})
        log.info("booked what was missing", extra=logs.fields(id=entry.id, psp=psp, as_=movement.after))

    async def _take_back_surplus(self, connection: AsyncConnection[Any], done: Counter[str]) -> None:
        """Of several credits for one capture all but the first go back. What was spent is the house's loss."""
        rows = await connection.execute(_SURPLUS, (_RECENT,))
        for id_, player, amount, credits, corrected in await rows.fetchall():
            psp = await self._psp_of(connection, id_)
            for number in range(corrected + 1, credits):
                outcome = await self._reverse(f"{id_}:{number}", id_, player, psp, amount)
                await _tell(connection, outcome, id_, player, {"provider": psp, "amount": amount})
                done[outcome] += 1
                log.info("took back a double credit", extra=logs.fields(id=id_, psp=psp, as_=outcome))

    async def _reverse(self, key: str, id_: str, player: str, psp: str, amount: int) -> str:
        arm.adopt(arm="", player=player)
        for kind, outcome in (("reversal", "reversed"), ("write-off", "written-off")):
            posted = await self._corrections.transfer(
                f"{key}:{kind}", kind=kind, reference=id_, player=player, counterparty=psp, amount=amount
            )
            if posted.outcome == "posted":
                return outcome
        raise Undecided(f"neither a reversal nor a write-off of {id_} was posted")

    async def _psp_of(self, connection: AsyncConnection[Any], id_: str) -> str:
        row = await (await connection.execute("select psp from payments.deposit where id = %s", (id_,))).fetchone()
        return PSPS[0] if row is None else str(row[0])


async def _tell(connection: AsyncConnection[Any], what: str, id_: str, player: str, data: Mapping[str, Any]) -> None:
    await outbox.append(
        connection,
        "payments",
        f"correction.{what}",
        aggregate="correction",
        subject=id_,
        player=player,
        arm="",
        pod="reconciler",
        data=data,
    )


async def reconcile_once(settings: ReconcilerSettings, grace_seconds: float = 0.0) -> Counter[str]:
    """One full comparison, for the end of a run. Raises as ``Reconciler.round``."""
    async with service.mesh_client(5.0) as mesh, service.outside_client(5.0) as outside:
        return await Reconciler(settings, mesh, outside).round(grace_seconds)


async def _run(settings: ReconcilerSettings, grace_seconds: float) -> None:
    told = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    async with service.mesh_client(5.0) as mesh, service.outside_client(5.0) as outside:
        reconciler = Reconciler(settings, mesh, outside)
        while not told.is_set():
            try:
                await reconciler.round(grace_seconds)
            except (OperationalError, Undecided, ClientError, TimeoutError) as error:
                log.warning("round put off", extra=logs.fields(why=repr(error)))
            with suppress(TimeoutError):
                async with asyncio.timeout(_ROUND_SECONDS):
                    await told.wait()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Make the ledger agree with the partners' books")
    parser.add_argument("--once", action="store_true", help="compare once, correct, and end")
    parser.add_argument("--grace-seconds", type=float, default=GRACE_SECONDS)
    given = parser.parse_args(arguments)
    logs.configure("reconciler")
    settings = ReconcilerSettings.of(os.environ)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        if given.once:
            done = runner.run(reconcile_once(settings, given.grace_seconds))
            log.info("reconciled", extra=logs.fields(corrections=dict(done)))
        else:
            runner.run(_run(settings, given.grace_seconds))


if __name__ == "__main__":
    main()
