"""A stand comes up whole and goes down whole, whatever happens to its supervisor (S4.6 runs on it)."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import CliRunner

from croupier.cli.root import cli
from croupier.errors import Conflict
from croupier_stand import control, postgres
from croupier_stand.home import Home, StandRecord
from croupier_stand.load import Load
from croupier_stand.process import identify, is_running, wait_for

pytestmark = pytest.mark.stand
QUIET = Load(seed=1, players=200, deposits_per_second=2.0, bets_per_second=2.0)


@pytest.fixture
def homes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Home, Home]]:
    monkeypatch.setenv("CROUPIER_HOME", str(tmp_path))
    both = Home.of("one"), Home.of("two")
    yield both
    for home in both:
        control.down(home)


def up(home: Home) -> StandRecord:
    return control.up(home, QUIET, print, with_desk=False)


def assert_nothing_left(home: Home, record: StandRecord) -> None:
    assert not is_running(record.supervisor)
    assert [process.name for process in record.processes if is_running(process.identity)] == []
    for port in record.ports.values():
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # TIME_WAIT is no listener
            probe.bind(("127.0.0.1", port))
    assert not postgres.place(home.root).data.exists()
    assert home.read() is None


def test_two_stands_live_side_by_side_and_leave_nothing(homes: tuple[Home, Home]) -> None:
    records = [up(home) for home in homes]
    assert len({port for record in records for port in record.ports.values()}) == 2 * len(records[0].ports)
    assert all(home.running() is not None for home in homes)
    with pytest.raises(Conflict, match="already up"):
        up(homes[0])

    (home, other), (_, untouched) = homes, records
    whole = home.require()
    assert control.down(home)
    assert_nothing_left(home, whole)
    assert other.require().supervisor == untouched.supervisor  # the neighbour did not notice
    assert not control.down(home)  # nothing to do the second time

    status = CliRunner().invoke(cli, ["stand", "status", "--name", "one", "--output", "json"])
    assert (status.exit_code, json.loads(status.stdout)) == (1, {"name": "one", "phase": "down"})


def test_of_two_who_bring_a_stand_up_at_once_one_does(homes: tuple[Home, Home]) -> None:
    home, _ = homes

    def attempt(_number: int) -> StandRecord | Conflict:
        try:
            return up(home)
        except Conflict as refused:
            return refused

    with ThreadPoolExecutor(2) as pool:
        came = list(pool.map(attempt, range(2)))
    (record,) = (each for each in came if isinstance(each, StandRecord))
    assert [type(each) for each in came if each is not record] == [Conflict]
    assert home.require().supervisor == record.supervisor  # the one who came second did not take it down


def test_a_killed_supervisor_takes_everything_with_it(homes: tuple[Home, Home]) -> None:
    home, _ = homes
    up(home)
    record = home.require()
    os.kill(record.supervisor_pid, signal.SIGKILL)
    assert wait_for(lambda: home.running() is None, 10)
    assert control.down(home)
    assert_nothing_left(home, record)


def test_processes_that_outlive_their_supervisor_are_found_by_the_record(homes: tuple[Home, Home]) -> None:
    """The kernel ends orphans for us; ``down`` does not rely on it."""
    home, _ = homes
    survivor = os.spawnvp(os.P_NOWAIT, "sleep", ["sleep", "600"])
    try:
        identity = identify(survivor)
        assert identity is not None
        home.root.mkdir(parents=True)
        dead = {"supervisor_pid": 2**22 - 1, "supervisor_start_ticks": 1, "started_at": 0.0, "phase": "running"}
        process = {"name": "sleeper", **identity._asdict()}
        home.record_file.write_text(json.dumps({"name": "one", **dead, "processes": [process]}))
        assert control.down(home)
        assert not is_running(identity)
    finally:
        os.waitpid(survivor, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_stand_whose_start_is_interrupted_is_taken_down(homes: tuple[Home, Home], number: signal.Signals) -> None:
    home, _ = homes
    command = [sys.executable, "-m", "croupier.cli", "stand", "up", "--name", home.name, "--no-desk"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as starting:
        assert starting.stdout is not None
        record = None
        for line in starting.stdout:
            if "PostgreSQL answers" in line:
                record = home.read()
                starting.send_signal(number)
        assert starting.wait(60) != 0
    assert record is not None
    assert_nothing_left(home, record)


def test_an_interrupted_demo_leaves_nothing(homes: tuple[Home, Home]) -> None:
    """Ctrl-C and SIGTERM end a demo in the middle; its stand goes with it."""
    demo = Home.of("demo")
    command = [sys.executable, "-m", "croupier.cli", "demo"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running:
        assert running.stdout is not None
        said = []
        for line in running.stdout:
            said.append(line)
            if "Envoy serves" in line:
                record = demo.read()
                running.send_signal(signal.SIGINT)
        assert running.wait(60) != 0
    assert record is not None, said
    assert_nothing_left(demo, record)
