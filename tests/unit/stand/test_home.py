from __future__ import annotations

import os
import random
import socket
import stat
from pathlib import Path

import pytest

from croupier.errors import Conflict, EnvironmentFault, UsageError
from croupier_stand.home import Home, ProcessRecord, StandRecord, free_ports
from croupier_stand.process import identify


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("CROUPIER_HOME", str(tmp_path))
    return Home.of("one")


def record_of_ours(phase: str = "running") -> StandRecord:
    us = identify(os.getpid())
    assert us is not None
    return StandRecord.model_validate(
        {
            "name": "one",
            "supervisor_pid": us.pid,
            "supervisor_start_ticks": us.start_ticks,
            "started_at": 1.0,
            "phase": phase,
            "ports": {"edge": 1},
            "processes": [ProcessRecord(name="envoy", pid=us.pid, start_ticks=us.start_ticks)],
        }
    )


@pytest.mark.parametrize("name", ["", "../up", "Upper", "a" * 33, "-a", "a-"])
def test_what_is_not_a_name_is_refused(name: str) -> None:
    with pytest.raises(UsageError):
        Home.of(name)


def test_a_record_comes_back_as_written_and_is_for_its_user_only(home: Home) -> None:
    home.root.mkdir(parents=True)
    assert home.read() is None
    home.write(record_of_ours())
    assert home.read() == record_of_ours()
    assert home.require().process("envoy") is not None
    assert stat.S_IMODE(home.record_file.stat().st_mode) == 0o600


def test_a_record_of_a_supervisor_that_is_gone_is_no_running_stand(home: Home) -> None:
    home.root.mkdir(parents=True)
    home.write(record_of_ours().model_copy(update={"supervisor_start_ticks": 1}))
    assert home.running() is None
    with pytest.raises(EnvironmentFault, match="is not up"):
        home.require()


def test_a_stand_that_still_rises_is_not_up(home: Home) -> None:
    home.root.mkdir(parents=True)
    home.write(record_of_ours("starting"))
    assert home.running() is not None
    with pytest.raises(EnvironmentFault, match="is not up"):
        home.require()


def test_a_torn_record_is_said_and_not_taken_for_none(home: Home) -> None:
    home.root.mkdir(parents=True)
    home.record_file.write_text('{"name": "one"')
    with pytest.raises(EnvironmentFault, match="cannot be read"):
        home.read()


def test_clearing_keeps_the_desk_and_nothing_else(home: Home) -> None:
    home.clear()
    (home.desk / "journal.sqlite").write_text("decisions")
    home.players_memory.write_text("notes")
    (home.versions / "old.yaml").write_text("old")
    home.clear()
    assert (home.desk / "journal.sqlite").read_text() == "decisions"
    assert not home.players_memory.exists()
    assert list(home.versions.iterdir()) == []


def test_two_supervisors_never_run_one_stand(home: Home) -> None:
    with home.lock(), pytest.raises(Conflict), home.lock():
        pass
    with home.lock():
        pass


def test_parts_rest_as_told(home: Home) -> None:
    home.root.mkdir(parents=True)
    assert home.resting() == frozenset()
    home.rest(frozenset({"players", "tally"}))
    assert home.resting() == {"players", "tally"}


def test_ports_are_free_different_and_out_of_the_way_of_outgoing_connections() -> None:
    ports = free_ports([f"port-{number}" for number in range(50)])
    assert len(set(ports.values())) == 50
    assert all(port < 32_768 for port in ports.values())
    with socket.create_server(("127.0.0.1", ports["port-0"])) as server:
        assert server.getsockname()[1] == ports["port-0"]


def test_nobody_else_finds_a_port_free_before_it_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = free_ports([f"port-{number}" for number in range(20)]).values()
    monkeypatch.setattr(random.SystemRandom, "sample", lambda _, ports, count: [*mine, *range(20_000, 32_000)])
    theirs = free_ports([f"port-{number}" for number in range(20)]).values()
    assert set(mine).isdisjoint(theirs)


def test_looking_whether_a_stand_is_held_makes_nothing_and_keeps_nothing(home: Home) -> None:
    assert not home.is_locked()
    assert not home.root.exists()
    with home.lock():
        assert home.is_locked()
    assert not home.is_locked()
