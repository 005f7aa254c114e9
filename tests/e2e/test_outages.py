"""Releases on a real stand, through the command line, while what they are judged by fails (S4.6, S9.7)."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.e2e.conftest import Bench, lost_money

from croupier.adapters.clock import SystemClock
from croupier.cli.client import DeskClient
from croupier_stand import control
from croupier_stand.scenarios import CALM_SECONDS

pytestmark = [pytest.mark.stand, pytest.mark.xdist_group("outages"), pytest.mark.timeout(400)]

UNDECIDED_SECONDS = 40
"""A step that lasts so long has time for calm, and for a fault before its gates may pass."""


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
    assert lost_money(bench.home) == []
