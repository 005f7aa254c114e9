"""Any history of transfers, repeated and out of order, leaves the ledger as a plain model says (S10.10)."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from croupier_stand.casino.wallet import sides

pytestmark = pytest.mark.stand

PLAYERS = ("ann", "bob")
Step = tuple[str, str, str, int, int]
"""(kind, player, round, amount, key)"""

STEPS = st.lists(
    st.tuples(
        st.sampled_from(["deposit", "bet", "win", "rollback"]),
        st.sampled_from(PLAYERS),
        st.sampled_from(["r1", "r2", "r3"]),
        st.integers(1, 500),
        st.integers(0, 8),
    ),
    max_size=25,
)


@dataclass
class Model:
    """What the ledger is to do, in a few lines of Python."""

    balances: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PLAYERS, 0))
    answers: dict[int, tuple[Step, str]] = field(default_factory=dict)
    rounds: dict[str, tuple[str, int, str]] = field(default_factory=dict)

    def apply(self, step: Step) -> str:
        kind, player, round_, amount, key = step
        if key in self.answers:
            known, outcome = self.answers[key]
            return outcome if known == step else "mismatch"
        outcome = self._post(kind, player, round_, amount)
        self.answers[key] = (step, outcome)
        return outcome

    def _post(self, kind: str, player: str, round_: str, amount: int) -> str:
        match kind:
            case "bet" if round_ in self.rounds:
                return "tombstoned"
            case "bet" if self.balances[player] < amount:
                self.rounds[round_] = ("refused", amount, player)
                return "refused"
            case "bet":
                self.rounds[round_] = ("bet", amount, player)
                self.balances[player] -= amount
            case "rollback":
                state, staked, owner = self.rounds.get(round_, ("", 0, ""))
                if (state, owner) != ("bet", player):
                    self.rounds.setdefault(round_, ("tombstone", 0, player))
                    return "nothing"
                self.rounds[round_] = ("rolled-back", staked, player)
                self.balances[player] += staked
            case _:
                self.balances[player] += amount
        return "posted"


@pytest.fixture
def connection(database: str) -> Iterator[psycopg.Connection[Any]]:
    with psycopg.connect(database, autocommit=True) as opened:
        yield opened


def post(connection: psycopg.Connection[Any], step: Step, story: str) -> str:
    kind, player, round_, amount, key = step
    purse, reference = f"{player}-{story}", f"{round_}-{story}"
    debit, credit = sides(kind, purse, "games", reference)
    row = connection.execute(
        "select outcome from wallet.post(%s, %s, %s, %s, %s, %s, 'arm', 'pod', %s, %s, %s, '{}')",
        ("test", f"{key}-{story}", repr(step), kind, reference, purse, debit, credit, amount),
    ).fetchone()
    assert row is not None
    return str(row[0])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(STEPS)
def test_the_ledger_does_what_the_model_does(connection: psycopg.Connection[Any], steps: list[Step]) -> None:
    model, story = Model(), uuid.uuid4().hex
    for step in steps:
        assert post(connection, step, story) == model.apply(step)
    for player, expected in model.balances.items():
        found = connection.execute("select balance from wallet.account where id = %s", (f"player:{player}-{story}",))
        row = found.fetchone()
        assert (row[0] if row else 0) == expected
    assert connection.execute("select sum(balance) from wallet.account").fetchone() == (0,)
    broken = connection.execute(
        """select account from (
            select account, version, amount, balance_after,
                lag(balance_after, 1, 0::bigint) over (partition by account order by version) as before,
                row_number() over (partition by account order by version) as place
            from wallet.entry
        ) link where version <> place or balance_after <> before + amount"""
    )
    assert broken.fetchall() == []
