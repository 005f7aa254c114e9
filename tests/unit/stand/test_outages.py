"""What the supervisor kills and stops, on real, tiny processes; stepped by hand."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from croupier_stand.keeper import Keeper, probe_all
from croupier_stand.outages import Order, Outages
from croupier_stand.process import ChildProcess, wait_for

PROGRAM = "import time; time.sleep(600)"


class Bench:
    """Keepers by name, their outages, and the time."""

    def __init__(self, directory: Path) -> None:
        self.orders = directory / "faults"
        self.orders.mkdir()
        self.outages = Outages(self.orders)
        self.keepers: dict[str, Keeper] = {}
        self.now = 100.0
        for name in ("desk", "envoy", "pod-0", "pod-1"):
            child = ChildProcess(name=name, argv=(sys.executable, "-c", PROGRAM), log=directory / f"{name}.log")
            self.keepers[name] = Keeper(child, probe=None, drain_seconds=5.0)

    def order(self, part: str, kind: str, seconds: int, *processes: str) -> None:
        text = Order.model_validate({"part": part, "kind": kind, "seconds": seconds, "processes": processes})
        (self.orders / f"{len(list(self.orders.iterdir()))}.json").write_text(text.model_dump_json())

    def step(self, now: float) -> None:
        """As the supervisor does it; ``wall`` is a thousand seconds ahead."""
        self.now = now
        self.outages.step(self.keepers, now, now + 1000.0)
        for keeper in self.keepers.values():
            keeper.step(wanted=True, now=now)

    def spans(self) -> list[tuple[str, str, float, float]]:
        return [(each.part, each.kind, each.began_at, each.until) for each in self.outages.records]

    def pid(self, name: str) -> int:
        identity = self.keepers[name].child.identity
        assert identity is not None
        return identity.pid


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    made.step(100.0)
    yield made
    for keeper in made.keepers.values():
        keeper.child.kill()


def state(pid: int) -> str:
    """``S``: sleeping, ``T``: stopped, …"""
    text = Path(f"/proc/{pid}/stat").read_text()
    return text[text.rindex(")") + 2]


def is_still(pid: int) -> bool:
    return wait_for(lambda: state(pid) == "T", 10)


def goes_on(pid: int) -> bool:
    return wait_for(lambda: state(pid) != "T", 10)


def test_what_is_killed_is_started_again_as_after_any_other_end(bench: Bench) -> None:
    before = bench.pid("envoy")
    bench.order("envoy", "killed", 0, "envoy")
    bench.step(110.0)
    assert bench.keepers["envoy"].phase == "backing-off"
    bench.step(110.6)
    assert (bench.keepers["envoy"].phase, bench.keepers["envoy"].restarts) == ("starting", 1)
    assert bench.pid("envoy") != before
    assert bench.spans() == [("envoy", "killed", 1110.0, 1110.0)]
    assert list(bench.orders.iterdir()) == []


def test_all_pods_are_dead_at_once_and_stay_so_for_the_time_that_was_said(bench: Bench) -> None:
    bench.order("stable", "killed", 20, "pod-0", "pod-1")
    bench.step(110.0)
    for now in (110.6, 129.9):
        bench.step(now)
        assert {bench.keepers[name].phase for name in ("pod-0", "pod-1")} == {"backing-off"}
    assert bench.keepers["pod-0"].reason == "signal 9, restart in 20 s"
    bench.step(130.1)
    assert {bench.keepers[name].phase for name in ("pod-0", "pod-1")} == {"starting"}
    assert bench.spans() == [("stable", "killed", 1110.0, 1130.0)]


async def test_what_is_stopped_stands_still_unasked_and_goes_on_by_itself(bench: Bench) -> None:
    pid = bench.pid("desk")
    bench.order("desk", "stopped", 300, "desk")
    bench.step(110.0)
    assert is_still(pid)
    keeper = bench.keepers["desk"]
    for now in (110.5, 111.0):
        await probe_all(None, [keeper], lambda now=now: now)  # type: ignore[arg-type, misc]  # nobody is asked
    assert (keeper.ready, keeper.reason) == (False, "stopped")
    bench.step(409.9)
    assert state(pid) == "T"
    bench.step(410.0)
    assert goes_on(pid)
    assert bench.pid("desk") == pid
    await probe_all(None, [keeper], lambda: 411.0)  # type: ignore[arg-type]
    assert keeper.ready


def test_off_ends_what_lasts_of_that_part_only(bench: Bench) -> None:
    bench.order("desk", "stopped", 300, "desk")
    bench.order("stable", "killed", 300, "pod-0")
    bench.step(110.0)
    pid = bench.pid("desk")
    bench.order("desk", "off", 0)
    bench.step(120.0)
    assert goes_on(pid)
    assert bench.keepers["pod-0"].phase == "backing-off"
    bench.order("stable", "off", 0)
    bench.step(121.0)
    assert bench.keepers["pod-0"].phase == "starting"
    assert [until for *_, until in bench.spans()] == [1120.0, 1121.0]


def test_a_later_fault_of_a_part_takes_the_place_of_an_earlier_one(bench: Bench) -> None:
    bench.order("desk", "stopped", 300, "desk")
    bench.step(110.0)
    bench.order("desk", "killed", 0, "desk")
    bench.step(120.0)
    bench.step(121.0)
    assert bench.keepers["desk"].phase == "starting"
    assert goes_on(bench.pid("desk"))
    assert bench.spans() == [("desk", "stopped", 1110.0, 1120.0), ("desk", "killed", 1120.0, 1120.0)]


def test_a_process_that_was_started_since_is_not_the_one_that_was_stopped(bench: Bench) -> None:
    bench.order("desk", "stopped", 300, "desk")
    bench.step(110.0)
    bench.keepers["desk"].child.kill()  # by somebody else
    bench.step(111.0)
    bench.step(112.0)
    assert not bench.keepers["desk"].is_frozen
    assert state(bench.pid("desk")) != "T"


def test_what_is_let_go_while_it_stands_still_ends_in_order(bench: Bench) -> None:
    bench.order("desk", "stopped", 300, "desk")
    bench.step(110.0)
    keeper = bench.keepers["desk"]
    keeper.step(wanted=False, now=111.0)
    assert wait_for(lambda: not keeper.child.is_running, 10)
    assert keeper.child.exit_code == -15


def test_at_the_end_nothing_is_left_standing_still(bench: Bench) -> None:
    bench.order("desk", "stopped", 300, "desk")
    bench.step(110.0)
    bench.outages.end(1115.0)
    assert goes_on(bench.pid("desk"))
    assert bench.spans() == [("desk", "stopped", 1110.0, 1115.0)]


@pytest.mark.parametrize("text", ["{", '{"part": "desk"}', '{"part": "desk", "kind": "burnt", "processes": ["desk"]}'])
def test_an_order_that_is_none_is_thrown_away(bench: Bench, text: str) -> None:
    (bench.orders / "0.json").write_text(text)
    bench.step(110.0)
    assert bench.spans() == []
    assert list(bench.orders.iterdir()) == []


def test_all_or_none_of_the_processes_are_hit(bench: Bench) -> None:
    bench.order("stable", "killed", 0, "pod-0", "pod-9")
    bench.step(110.0)
    assert bench.keepers["pod-0"].child.is_running
    assert bench.spans() == []
