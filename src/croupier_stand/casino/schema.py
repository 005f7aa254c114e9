"""Make the casino's schemas and its players. The stand does it once, before the first pod starts.

``python -m croupier_stand.casino.schema --players 2400`` (DATABASE_URL in the environment). Safe to repeat.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from importlib.resources import files

import psycopg

from croupier_kit import idempotency, inbox, outbox
from croupier_stand.casino import passwords

SERVICES = ("identity", "wallet", "payments", "bets")
_INSTALL_LOCK = 0x63726F75


def install(dsn: str) -> None:
    """Make all tables and functions. Raises ``psycopg.Error``."""
    with psycopg.connect(dsn) as connection:
        connection.execute("select pg_advisory_xact_lock(%s)", (_INSTALL_LOCK,))
        for service in SERVICES:
            text = files(__package__).joinpath("sql", f"{service}.sql").read_text()
            connection.execute(text.encode())
            connection.execute(outbox.ddl(service))
            connection.execute(inbox.ddl(service))
            connection.execute(idempotency.ddl(service))


def add_players(dsn: str, players: Sequence[str]) -> None:
    """Give every player an account to log in with (``passwords.of``) and an empty purse."""
    rows = [(player, passwords.hashed(passwords.of(player), player)) for player in players]
    with psycopg.connect(dsn) as connection, connection.cursor() as cursor:
        cursor.executemany("insert into identity.player (id, password) values (%s, %s) on conflict do nothing", rows)
        cursor.executemany(
            "insert into wallet.account (id, kind) values (%s, 'player') on conflict do nothing",
            [(f"player:{player}",) for player in players],
        )


def player_ids(count: int) -> list[str]:
    """``p00000`` and so on."""
    return [f"p{number:05d}" for number in range(count)]


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the casino's schemas and players")
    parser.add_argument("--players", type=int, default=0)
    count = parser.parse_args().players
    install(os.environ["DATABASE_URL"])
    add_players(os.environ["DATABASE_URL"], player_ids(count))


if __name__ == "__main__":
    main()
