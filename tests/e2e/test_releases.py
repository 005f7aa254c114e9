"""Releases on a real stand, through the command line, while what carries them out dies (S4.6)."""

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
from tests.e2e.conftest import Bench, lost_money

from croupier.cli.client import DeskClient
from croupier_stand import control
from croupier_stand.home import Home
from croupier_stand.process import wait_for

pytestmark = [pytest.mark.stand, pytest.mark.xdist_group("a desk that dies"), pytest.mark.timeout(400)]


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


def test_nobody_lost_money_over_all_of_it(bench: Bench) -> None:
    """S10.9, S10.10: after the last reconciliation memory, books and ledger agree."""
    assert lost_money(bench.home) == []
