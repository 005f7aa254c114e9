from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from croupier_stand import postgres
from croupier_stand.process import wait_for

pytestmark = pytest.mark.stand


def test_a_server_comes_up_empty_and_leaves_nothing(tmp_path: Path) -> None:
    where = postgres.place(tmp_path)
    with postgres.running(tmp_path) as dsn, psycopg.connect(dsn) as connection:
        row = connection.execute("select count(*) from pg_tables where schemaname = 'public'").fetchone()
        assert row == (0,)
        assert connection.execute("show listen_addresses").fetchone() == ("",)
    assert not where.data.exists()
    assert not where.socket.exists()


def test_what_was_acknowledged_survives_a_kill_of_the_server(tmp_path: Path) -> None:
    """The promise behind ``fsync = off``: the process may die, only the machine may not."""
    where = postgres.place(tmp_path)
    postgres.initialise(where)
    server = postgres.server(where, tmp_path / "log")
    server.start()
    try:
        server.wait_until(lambda: postgres.answers(where), seconds=20)
        with psycopg.connect(where.dsn) as connection:
            connection.execute("create table money (cents int)")
            connection.execute("insert into money values (42)")
        server.kill()
        server.start()
        assert wait_for(lambda: postgres.answers(where), 20), server.log_end()
        with psycopg.connect(where.dsn) as connection:
            assert connection.execute("select cents from money").fetchone() == (42,)
    finally:
        server.stop(patience_seconds=10)
        postgres.remove(where)
