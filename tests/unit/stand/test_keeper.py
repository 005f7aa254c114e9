"""A keeper is stepped by hand here; its child is a real, tiny process."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from croupier_stand.keeper import Answer, Keeper
from croupier_stand.process import ChildProcess, wait_for

SLEEP = "import time; time.sleep(60)"
STUBBORN = (
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
)


class Bench:
    """Makes keepers and ends their children."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._made: list[Keeper] = []

    def keeper(self, program: str, drain_seconds: float = 5.0) -> Keeper:
        child = ChildProcess(name="child", argv=(sys.executable, "-c", program), log=self._directory / "child.log")
        self._made.append(Keeper(child, probe=None, drain_seconds=drain_seconds))
        return self._made[-1]

    def end(self) -> None:
        for keeper in self._made:
            keeper.child.kill()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.end()


def ended(keeper: Keeper) -> None:
    assert wait_for(lambda: not keeper.child.is_running, 10)


def test_it_runs_what_is_wanted_and_is_ready_once_it_answers(bench: Bench) -> None:
    keeper = bench.keeper(SLEEP)
    keeper.step(wanted=True, now=0.0)
    assert (keeper.phase, keeper.ready) == ("starting", False)
    keeper.probed(Answer(False, "readiness answers 503"), now=0.1)
    assert (keeper.ready, keeper.reason) == (False, "readiness answers 503")
    keeper.probed(Answer(True), now=0.2)
    assert (keeper.phase, keeper.ready, keeper.reason) == ("running", True, "")


def test_one_failed_probe_of_a_ready_process_is_forgiven_two_are_not(bench: Bench) -> None:
    keeper = bench.keeper(SLEEP)
    keeper.step(wanted=True, now=0.0)
    keeper.probed(Answer(True), now=0.0)
    keeper.probed(Answer(False, "slow"), now=1.0)
    assert keeper.ready
    keeper.probed(Answer(False, "slow"), now=2.0)
    assert not keeper.ready
    keeper.probed(Answer(True), now=3.0)
    assert keeper.ready


def test_what_ends_is_started_again_later_each_time_and_counted(bench: Bench) -> None:
    keeper = bench.keeper("raise SystemExit(3)")
    now, delays = 0.0, []
    keeper.step(wanted=True, now=now)
    for restarts in range(4):
        ended(keeper)
        keeper.step(wanted=True, now=now)
        assert keeper.phase == "backing-off"
        assert keeper.reason.startswith("exit code 3, restart in ")
        assert keeper.restarts == restarts
        delay = float(keeper.reason.removeprefix("exit code 3, restart in ").removesuffix(" s"))
        keeper.step(wanted=True, now=now + delay - 0.01)
        assert keeper.phase == "backing-off"
        now += delay
        keeper.step(wanted=True, now=now)
        assert (keeper.phase, keeper.restarts) == ("starting", restarts + 1)
        delays.append(delay)
    assert delays == [0.5, 1.0, 2.0, 4.0]


def test_a_long_life_makes_the_next_end_the_first_again(bench: Bench) -> None:
    keeper = bench.keeper(SLEEP)
    keeper.step(wanted=True, now=0.0)
    for life in (1.0, 1.0, 60.0):
        began = keeper._started_at  # the keeper's clock, not ours
        keeper.child.kill()
        keeper.step(wanted=True, now=began + life)
        said = keeper.reason
        keeper.step(wanted=True, now=began + life + 10.0)
    assert said == "signal 9, restart in 0.5 s"


def test_what_is_no_longer_wanted_drains_and_rests(bench: Bench) -> None:
    keeper = bench.keeper(SLEEP)
    keeper.step(wanted=True, now=0.0)
    keeper.step(wanted=False, now=1.0)
    ended(keeper)
    keeper.step(wanted=False, now=1.1)
    assert (keeper.phase, keeper.ready) == ("resting", False)


def test_what_will_not_drain_is_killed(bench: Bench) -> None:
    keeper = bench.keeper(STUBBORN, drain_seconds=5.0)
    keeper.step(wanted=True, now=0.0)
    assert wait_for(lambda: "deaf" in keeper.child.log_end(), 10)
    keeper.step(wanted=False, now=1.0)
    keeper.step(wanted=False, now=5.9)
    assert keeper.child.is_running
    keeper.step(wanted=False, now=6.1)
    assert not keeper.child.is_running
    keeper.step(wanted=False, now=6.2)
    assert keeper.phase == "resting"


def test_starting_after_a_rest_is_no_restart(bench: Bench) -> None:
    keeper = bench.keeper(SLEEP)
    keeper.step(wanted=True, now=0.0)
    keeper.step(wanted=False, now=1.0)
    ended(keeper)
    keeper.step(wanted=True, now=1.1)
    keeper.step(wanted=True, now=1.2)
    assert (keeper.phase, keeper.restarts) == ("starting", 0)


def test_what_ends_while_it_backs_off_and_is_unwanted_just_rests(bench: Bench) -> None:
    keeper = bench.keeper("raise SystemExit(1)")
    keeper.step(wanted=True, now=0.0)
    ended(keeper)
    keeper.step(wanted=True, now=0.1)
    keeper.step(wanted=False, now=0.2)
    assert keeper.phase == "resting"


def test_a_program_that_cannot_be_started_is_tried_again_later(tmp_path: Path) -> None:
    child = ChildProcess(name="nobody", argv=("/no/such/program",), log=tmp_path / "log")
    keeper = Keeper(child, probe=None, drain_seconds=1.0)
    keeper.step(wanted=True, now=0.0)
    assert keeper.phase == "backing-off"
    assert keeper.reason.startswith("nobody cannot be started")
    keeper.step(wanted=True, now=0.5)
    assert keeper.restarts == 1
    assert keeper.reason.endswith("restart in 1 s")
