"""The money audit: players' memory, partners' books and ledger against each other (rules: ``audit_rules``).

It only reads, and may run while everybody plays: what is younger than a grace period is not judged. ``croupier stand
audit`` shows it during the run and, with the players at rest and after a last reconciliation, at the end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aiohttp import ClientSession
from psycopg import AsyncConnection, IsolationLevel

from croupier_kit import service
from croupier_kit.clock import now
from croupier_stand import memory
from croupier_stand.audit_rules import Snapshot, Transfer, Violation, check
from croupier_stand.casino.pod import PSPS
from croupier_stand.providers.books import Entry

GRACE_SECONDS = 10.0

_TRANSFERS = """
select id, kind, reference, player, amount, extract(epoch from at)::float8
from wallet.transfer where outcome = 'posted' order by id
"""
_CORRECTIONS = """
select replace(type, 'correction.', ''), count(*) from payments.outbox where type like 'correction.%' group by type
"""
_SIZES = "select (select count(*) from wallet.entry), (select count(*) from wallet.account)"
_SUM = """
select 'ledger-sum', 'wallet',
    'balances sum to ' || sum(balance) || ', entries to ' || (select sum(amount) from wallet.entry)
from wallet.account having sum(balance) <> 0 or (select sum(amount) from wallet.entry) <> 0
"""
_UNBALANCED = """
select 'transfer-unbalanced', t.id::text, t.kind || ' of ' || t.amount || ' has ' || count(e.account) || ' entries'
from wallet.transfer t left join wallet.entry e on e.transfer = t.id group by t.id
having case when t.outcome = 'posted'
    then count(e.account) <> 2 or sum(e.amount) <> 0 or max(e.amount) <> t.amount
    else count(e.account) <> 0 end
"""
_BROKEN_CHAINS = """
with link as (
    select account, version, amount, balance_after, row_number() over chain as place,
        lag(balance_after, 1, 0::bigint) over chain as before
    from wallet.entry window chain as (partition by account order by version)
)
select 'chain-broken', account, 'at version ' || min(version) from link
where version <> place or balance_after <> before + amount group by account
"""
_LOOSE_TAILS = """
select 'chain-tail-differs', a.id, 'account: ' || a.balance || ' at ' || a.version || ', last entry: ' ||
    coalesce(e.balance_after, 0) || ' at ' || coalesce(e.version, 0)
from wallet.account a left join lateral (
    select version, balance_after from wallet.entry where account = a.id order by version desc limit 1
) e on true
where a.balance <> coalesce(e.balance_after, 0) or a.version <> coalesce(e.version, 0)
"""
_OVERDRAWN = "select 'overdrawn', id, 'balance ' || balance from wallet.account where kind = 'player' and balance < 0"


@dataclass(frozen=True, slots=True)
class AuditSettings:
    """Where everything is. ``books``: partner -> base URL."""

    database: str
    books: Mapping[str, str]
    memory: Path

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> AuditSettings:
        """From the environment that the stand gives its parts. Raises KeyError naming the variable that is missing."""
        books = {psp: environment[psp.upper().replace("-", "_") + "_URL"].rstrip("/") for psp in PSPS}
        books["provider"] = environment["PROVIDER_URL"].rstrip("/")
        return cls(environment["DATABASE_URL"], books, Path(environment["PLAYERS_MEMORY"]))


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What an audit found.

    ``violations``: open now, sorted. ``corrections``: what the reconciler has mended so far, by kind (``credited``,
    ``reversed``, ``written-off``, ``settled``, ``released``). ``checked``: how many of each thing were looked at.
    """

    at: float
    grace_seconds: float
    violations: Sequence[Violation]
    corrections: Mapping[str, int]
    checked: Mapping[str, int]

    @property
    def is_clean(self) -> bool:
        return not self.violations

    @property
    def by_kind(self) -> Mapping[str, int]:
        return dict(sorted(Counter(violation.kind for violation in self.violations).items()))


async def audit(settings: AuditSettings, grace_seconds: float = GRACE_SECONDS) -> AuditReport:
    """Look at everything once.

    Raises ``psycopg.OperationalError``, ``aiohttp.ClientError`` or ``TimeoutError`` when a source does not answer, and
    ValueError when the players' memory cannot be read: an audit of half the evidence would be none.
    """
    at = now()
    # In this order: what a player was told must be in books read later, what a partner booked in a ledger read later.
    notes = memory.read(settings.memory)
    async with service.outside_client(10.0) as client:
        books = {name: await _books(client, url) for name, url in settings.books.items()}
    async with await AsyncConnection.connect(settings.database) as connection:
        await connection.set_isolation_level(IsolationLevel.REPEATABLE_READ)
        await connection.set_read_only(True)
        transfers = [Transfer(*row) for row in await _rows(connection, _TRANSFERS)]
        checks = (_SUM, _UNBALANCED, _BROKEN_CHAINS, _LOOSE_TAILS, _OVERDRAWN)
        ledger = [Violation(*row) for statement in checks for row in await _rows(connection, statement)]
        corrections = dict(await _rows(connection, _CORRECTIONS))
        ((entries, accounts),) = await _rows(connection, _SIZES)
    snapshot = Snapshot(at - grace_seconds, notes, books, transfers, ledger)
    checked = {
        "notes": len(notes),
        "captures": len(snapshot.entries("captured")),
        "payouts": len(snapshot.entries("payout")),
        "rounds": len(snapshot.entries("round")),
        "transfers": len(transfers),
        "entries": entries,
        "accounts": accounts,
    }
    return AuditReport(at, grace_seconds, check(snapshot), corrections, checked)


async def _books(client: ClientSession, url: str) -> Sequence[Entry]:
    entries: list[Entry] = []
    while True:
        after = entries[-1].seq if entries else 0
        async with client.get(f"{url}/books", params={"after": after}) as response:
            response.raise_for_status()
            page = await response.json()
        entries += [Entry(**entry) for entry in page["entries"]]
        if not page["more"]:
            return entries


async def _rows(connection: AsyncConnection[Any], statement: str) -> Sequence[tuple[Any, ...]]:
    return await (await connection.execute(statement.encode())).fetchall()
