"""Releases on a real stand, through the command line, while things break (issue: the thin set of faults)."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.conftest import Bench

from croupier.adapters.clock import SystemClock
from croupier.cli.client import DeskClient
from croupier_stand import control, money
from croupier_stand.home import Home
from croupier_stand.process import wait_for
from croupier_stand.scenarios import CALM_SECONDS, SPLIT_SECONDS, near_changes, split_times
from croupier_stand.stats import PlayersStats, read_stats

pytestmark = [pytest.mark.stand, pytest.mark.timeout(400)]

UNDECIDED_SECONDS = 40
"""A step that lasts so long has time for calm, and for a fault before its gates may pass."""


@pytest.fixture
def nobody_notices(bench: Bench) -> Iterator[None]:
    """S8.7: afterwards, no request of a player has failed around a change of the split of the runs begun meanwhile."""
    before = set(bench.runs())
    yield
    with DeskClient.of(bench.home.name) as desk:
        runs = [view.run for view in desk.runs() if view.run not in before]
        changed_at = sorted(at for run in runs for at in split_times(desk.journal(run)))
    assert changed_at, runs

    def stats() -> PlayersStats:
        found = read_stats(bench.home.players_stats)
        assert found is not None
        return found

    assert wait_for(lambda: stats().at > changed_at[-1] + SPLIT_SECONDS[1], 40, pause_seconds=0.5)
    counted = stats()
    assert counted.forgotten_until < changed_at[0] - SPLIT_SECONDS[0]
    assert near_changes(counted.failures, changed_at) == []


def test_a_healthy_version_is_promoted_though_a_canary_pod_dies_and_envoy_is_restarted(
    bench: Bench, tmp_path: Path
) -> None:
    """S4.6: a lost pod and a lost proxy are the platform's business; neither decides about a release."""
    digest = bench.sound()
    run = bench.start(digest, tmp_path)
    bench.wait(run, lambda view: view.phase == "holding" and view.weight == 25)
    bench.kill(f"payments-api-{digest.removeprefix('sha256:')[:12]}-0")
    with bench.killed("envoy"):
        bench.fault("envoy", "killed")
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


@pytest.mark.usefixtures("nobody_notices")
@pytest.mark.parametrize(("label", "points", "outcome"), [("deposit-loss", 2, "rolled-back"), ("sound", 5, "promoted")])
def test_six_kills_of_the_desk_change_nothing_about_the_end(
    bench: Bench, tmp_path: Path, label: str, points: int, outcome: str
) -> None:
    """S4.6: given the same observations the same end, whenever the desk dies. It loses 3 %: more than its margin."""
    stop, pauses = threading.Event(), random.Random(6)
    before = bench.labels_serving()
    with own_desk(bench.home) as desks:
        assert wait_for(lambda: bench.croupier("release", "list").exit_code == 0, 60, pause_seconds=0.5)
        digest = bench.sound() if label == "sound" else bench.digest(label)
        run = bench.start(digest, tmp_path, points=points)
        for _ in range(6):
            stop.wait(pauses.uniform(0.5, 6.0))  # when it dies is the sample
            os.kill(desks[-1].pid, signal.SIGKILL)
            desks[-1].wait()
            desks.append(start_desk(bench.home))
        ended = bench.wait_for_end(run)
        assert ended.outcome == outcome, ended.reason
        with DeskClient.of(bench.home.name) as desk:
            kinds = Counter(entry.kind for entry in desk.journal(run))
        assert kinds["run.ended"] == kinds["run.started"] == 1
        assert (kinds["run.promoting"], kinds["run.rolling-back"]) == ((1, 0) if outcome == "promoted" else (0, 1))
        verified = bench.croupier("journal", "verify")
        assert verified.exit_code == 0, verified.stderr
        if outcome == "rolled-back":
            assert bench.labels_serving() == before
            assert ended.verdict_at is not None


def test_nothing_passes_while_the_stable_version_is_dead_and_a_healthy_one_is_promoted_in_the_end(
    bench: Bench, tmp_path: Path
) -> None:
    """S4.6, S9.7: a dead stable version makes no canary better. Then PostgreSQL dies, and the desk stands still.

    It stands still for 25 s, not for minutes: counters are stale after 20, and whatever a desk may do wrong when it
    goes on after a gap, it does after the first.
    """
    run = bench.start(bench.sound(), tmp_path, dwell=UNDECIDED_SECONDS)
    before = bench.wait(run, lambda view: view.phase == "holding" and view.updated_at - view.step_at > CALM_SECONDS)
    stable = bench.pods(before.stable.digest)
    assert len(stable) == 4
    with bench.killed(*stable):
        killed = bench.fault("stable", "killed", "--for", "5s")
    back_at = SystemClock().now()
    with bench.killed("postgres"):
        bench.fault("postgres", "killed")
    desk = bench.home.require().process("desk")
    assert desk is not None
    assert bench.fault("desk", "stopped", "--for", "25s")["part"] == "desk"
    assert "desk is stopped until" in bench.croupier("stand", "status", "--name", bench.home.name).stdout
    ended = bench.wait_for_end(run)
    assert ended.outcome == "promoted", ended.reason
    with DeskClient.of(bench.home.name) as client:
        entries = client.journal(run)
    passed = [entry.at for entry in entries if entry.kind == "step.passed" and entry.body["code"] == "gates"]
    assert passed
    assert not any(killed["beganAt"] + 1.0 <= at <= back_at for at in passed)
    assert back_at > killed["until"] > killed["beganAt"]
    now = bench.home.require().process("desk")
    assert now is not None
    assert now.pid == desk.pid, "it was not started anew: it went on"


def test_a_partner_that_is_down_for_everybody_and_then_no_metrics_hold_a_healthy_release_and_do_not_take_it_back(
    bench: Bench, tmp_path: Path
) -> None:
    """S9.7: both versions fail alike, then nothing is counted: nobody can tell. It waits, goes on, and is promoted."""
    run = bench.start(bench.sound(), tmp_path, dwell=UNDECIDED_SECONDS)
    bench.wait(run, lambda view: view.phase == "holding" and view.updated_at - view.step_at > CALM_SECONDS)
    done = bench.croupier("stand", "fault", "psp-a", "down", "--for", "15s", "--name", bench.home.name)
    assert done.exit_code == 0, done.stderr
    assert "psp-a is down until" in bench.croupier("stand", "status", "--name", bench.home.name).stdout
    held = bench.wait(run, lambda view: view.verdict is not None and view.verdict.code == "shared-incident")
    assert (held.phase, held.weight) == ("holding", 25)
    control.rest(bench.home, ["tally"])
    try:
        blind = bench.wait(run, lambda view: view.code == "no-data" and "no counters" in view.waiting_for)
    finally:
        control.rest(bench.home, [])
    assert (blind.phase, blind.weight) == ("holding", 25)
    ended = bench.wait_for_end(run)
    assert ended.outcome == "promoted", ended.reason
    fault = bench.json("stand", "status", "--name", bench.home.name)["faults"][-1]
    assert (fault["part"], fault["kind"], round(fault["until"] - fault["beganAt"])) == ("psp-a", "down", 15)


@pytest.mark.usefixtures("nobody_notices")
def test_no_request_of_a_player_fails_because_of_a_split_change(bench: Bench, tmp_path: Path) -> None:
    """S8.7: there and back again, by a person who does not wait for the gates."""
    run = bench.start(bench.sound(), tmp_path)
    bench.wait(run, lambda view: view.phase == "holding")
    assert bench.croupier("release", "abort", run).exit_code == 0
    assert bench.wait_for_end(run).outcome == "rolled-back"


def test_nobody_lost_money_over_all_of_it(bench: Bench) -> None:
    """S10.9, S10.10: after the last reconciliation memory, books and ledger agree."""
    control.rest(bench.home, ["players", "reconciler"])
    try:
        reckoning = money.reckon(bench.home, everything=True)
    finally:
        control.rest(bench.home, [])
    assert [str(violation) for violation in reckoning.remaining] == []
    assert reckoning.before.checked["captures"] > 100
