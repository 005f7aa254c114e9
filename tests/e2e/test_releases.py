"""Releases on a real stand, through the command line, while things break (issue: the thin set of faults)."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import Bench

from croupier.cli.client import DeskClient
from croupier_stand import control, money
from croupier_stand.home import Home
from croupier_stand.process import wait_for
from croupier_stand.scenarios import split_times
from croupier_stand.stats import read_stats

pytestmark = [pytest.mark.stand, pytest.mark.timeout(400)]


def test_a_healthy_version_is_promoted_though_a_canary_pod_dies_and_envoy_is_restarted(
    bench: Bench, tmp_path: Path
) -> None:
    """S4.6: a lost pod and a lost proxy are the platform's business; neither decides about a release."""
    digest = bench.sound()
    run = bench.start(digest, tmp_path)
    bench.wait(run, lambda view: view.phase == "holding" and view.weight == 25)
    bench.kill(f"payments-api-{digest.removeprefix('sha256:')[:12]}-0")
    bench.kill("envoy")
    ended = bench.wait_for_end(run)
    assert ended.outcome == "promoted", ended.reason
    assert bench.json("release", "status", run)["outcome"] == "promoted"
    status = bench.json("stand", "status", "--name", bench.home.name)
    restarts = {pod["name"]: pod["restarts"] for pod in status["pods"]}
    assert restarts[f"payments-api-{digest.removeprefix('sha256:')[:12]}-0"] == 1


@contextlib.contextmanager
def own_desk(home: Home) -> Iterator[list[subprocess.Popen[bytes]]]:
    """A desk that the test may kill: the stand's own rests meanwhile. The last element of the list is the live one."""
    control.rest(home, ["desk"])
    desks = [start_desk(home)]
    try:
        yield desks
    finally:
        desks[-1].terminate()
        for desk in desks:
            desk.wait(20)
        control.rest(home, [])


def start_desk(home: Home) -> subprocess.Popen[bytes]:
    argv = [sys.executable, "-m", "croupier.cli", "desk", "--home", str(home.root)]
    with home.log("desk-of-test").open("ab") as log:
        return subprocess.Popen(argv, stdout=log, stderr=log)


@pytest.mark.parametrize(("label", "outcome"), [("deposit-loss", "rolled-back"), ("sound", "promoted")])
def test_six_kills_of_the_desk_change_nothing_about_the_end(
    bench: Bench, tmp_path: Path, label: str, outcome: str
) -> None:
    """S4.6: given the same observations the same end, whenever the desk dies."""
    stop, pauses = threading.Event(), random.Random(6)
    before = bench.labels_serving()
    with own_desk(bench.home) as desks:
        assert wait_for(lambda: bench.croupier("release", "list").exit_code == 0, 60, pause_seconds=0.5)
        digest = bench.sound() if label == "sound" else bench.digest(label)
        run = bench.start(digest, tmp_path)
        for _ in range(6):
            stop.wait(pauses.uniform(0.5, 6.0))  # when it dies is the sample
            os.kill(desks[-1].pid, signal.SIGKILL)
            desks[-1].wait()
            desks.append(start_desk(bench.home))
        ended = bench.wait_for_end(run)
        assert ended.outcome == outcome, ended.reason
        verified = bench.croupier("journal", "verify")
        assert verified.exit_code == 0, verified.stderr
        if outcome == "rolled-back":
            assert bench.labels_serving() == before
            assert ended.verdict_at is not None


def test_no_metrics_hold_the_release_until_they_are_back(bench: Bench, tmp_path: Path) -> None:
    """S9.7: no data is inconclusive, and inconclusive never promotes."""
    run = bench.start(bench.sound(), tmp_path)
    bench.wait(run, lambda view: view.phase == "holding")
    control.rest(bench.home, ["tally"])
    blind = bench.wait(run, lambda view: view.code == "no-data")
    assert (blind.phase, blind.weight) == ("holding", 25)
    assert "no counters" in blind.waiting_for
    control.rest(bench.home, [])
    ended = bench.wait_for_end(run)
    assert ended.outcome == "promoted", ended.reason


def test_no_request_of_a_player_fails_because_of_a_split_change(bench: Bench) -> None:
    """S8.7. Every change of every release of this session, but those around the kill of Envoy."""
    stats = read_stats(bench.home.players_stats)
    assert stats is not None
    with DeskClient.of(bench.home.name) as desk:
        changes = {view.run: split_times(desk.journal(view.run)) for view in desk.runs()}
    killed_envoy = min(changes)
    changed_at = [at for run, times in changes.items() if run != killed_envoy for at in times]
    assert changed_at
    near = [each for each in stats.failures if each.by_edge and any(-0.2 < each.at - at < 2.0 for at in changed_at)]
    assert near == []


def test_nobody_lost_money_over_all_of_it(bench: Bench) -> None:
    """S10.9, S10.10: after the last reconciliation memory, books and ledger agree."""
    control.rest(bench.home, ["players", "reconciler"])
    try:
        reckoning = money.reckon(bench.home, everything=True)
    finally:
        control.rest(bench.home, [])
    assert [str(violation) for violation in reckoning.remaining] == []
    assert reckoning.before.checked["captures"] > 100
