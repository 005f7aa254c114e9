"""The door for other people's simulators: ``bench/outside.py`` drives the gates that ship."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

BENCH = Path(__file__).parents[4] / "bench"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def outside():
    return load("outside")


CONFIG = {"scrape": 15.0, "alpha": 0.01, "beta": 0.0125, "metrics": ("errors",), "warmup": 0.0, "horizon": 1800.0}


class Feed:
    """Cumulative counters of one canary pod and two stable pods."""

    def __init__(self):
        self.t = 0.0
        self.weight = 5
        self.arms = {"canary": [[100.0], [2.0]], "stable": [[5000.0, 10.0], [0.0, 3.0]]}

    def block(self, canary=None, stable=None):
        if canary is not None:
            self.t += 15.0
            for arm, (n, k) in (("canary", canary), ("stable", stable)):
                self.arms[arm][0][0] += n
                self.arms[arm][1][0] += k
        shown = {
            arm: {"requests": list(n), "errors": list(k), "latency_le": None, "attempts": None, "succeeded": None}
            for arm, (n, k) in self.arms.items()
        }
        return {"t": self.t, "weight": self.weight, **shown}


def test_a_tenth_failing_goes_back_after_one_scrape(outside):
    gate, feed = outside.ReleaseGate(CONFIG | {"steps": (5, 50)}), Feed()
    assert gate.observe(feed.block()) == "hold"
    assert gate.observe(feed.block((750, 75), (14_250, 14))) == "rollback"


def test_a_rollback_is_final(outside):
    gate, feed = outside.ReleaseGate(CONFIG), Feed()
    gate.observe(feed.block())
    gate.observe(feed.block((750, 75), (14_250, 14)))
    assert gate.observe(feed.block((750, 0), (14_250, 14))) == "rollback"


def test_promotes_a_healthy_canary_up_the_steps(outside):
    gate, feed, steps = outside.ReleaseGate(CONFIG | {"steps": (5, 10, 25, 50)}), Feed(), [5, 10, 25, 50]
    gate.observe(feed.block())
    entered, index = feed.t, 0
    while index < len(steps) and feed.t < 1800.0:
        feed.weight = steps[index]
        n, m = 150 * feed.weight, 150 * (100 - feed.weight)
        if gate.observe(feed.block((n, n * 0.001), (m, m * 0.001))) == "promote":
            assert feed.t - entered >= 30.0
            entered, index = feed.t, index + 1
    assert index == len(steps)


def test_with_a_fixed_weight_it_never_promotes(outside):
    gate, feed = outside.ReleaseGate(CONFIG | {"steps": None}), Feed()
    gate.observe(feed.block())
    assert {gate.observe(feed.block((750, 0.75), (14_250, 14.25))) for _ in range(60)} == {"hold"}


def test_missing_arms_late_and_repeated_blocks_hold(outside):
    gate, feed = outside.ReleaseGate(CONFIG), Feed()
    gate.observe(feed.block())
    assert gate.observe(feed.block((750, 75), (14_250, 14)) | {"canary": None}) == "hold"
    assert gate.observe(feed.block((750, 1), (14_250, 14)) | {"stable": None}) == "hold"
    assert gate.observe({"t": 15.0, "weight": 5, "canary": None, "stable": None}) == "hold"


def test_nan_is_absent(outside):
    gate, feed = outside.ReleaseGate(CONFIG), Feed()
    gate.observe(feed.block())
    for _ in range(10):
        block = feed.block((750, 75), (14_250, 14))
        block["canary"]["errors"] = [float("nan")]
        assert gate.observe(block) == "hold"


def test_attributes_serve_as_well_as_keys_and_arrays_as_lists(outside):
    class Array(list):
        def tolist(self):
            return list(self)

    gate, feed = (
        outside.ReleaseGate(
            CONFIG
            | {
                "history": SimpleNamespace(
                    step=15.0,
                    requests=Array([[750] * 4] * 80),
                    errors=Array([[1, 0, 2, 1]] * 80),
                    latency_le=None,
                    attempts=None,
                    failed=None,
                )
            }
        ),
        Feed(),
    )
    gate.observe(SimpleNamespace(**feed.block()))
    block = feed.block((750, 75), (14_250, 14))
    block["canary"] = SimpleNamespace(requests=Array(block["canary"]["requests"]), errors=block["canary"]["errors"])
    assert gate.observe(SimpleNamespace(**block)) == "rollback"


def test_bursts_in_the_history_temper(outside):
    history = {"step": 15.0, "requests": [[750] * 4] * 200, "errors": [[30, 0, 0, 0], [0, 0, 30, 0]] * 100}
    gate, feed = outside.ReleaseGate(CONFIG | {"history": history}), Feed()
    gate.observe(feed.block())
    assert gate.observe(feed.block((750, 30), (14_250, 14))) == "hold"


def test_players_are_the_unit_where_they_are_known(outside):
    """One player of the canary fails again and again: many errors, one affected player."""
    gate, feed = outside.ReleaseGate(CONFIG | {"metrics": ("errors", "deposits")}), Feed()
    gate.observe(feed.block())
    for number in range(60):
        block = feed.block((75, 5), (1425, 14))
        for arm, at_risk in (("canary", 49), ("stable", 940)):
            block[arm]["players_unaffected"] = at_risk
            block[arm]["players_newly_affected"] = int(number == 0)
            block[arm]["attempts"] = block[arm]["requests"]
            block[arm]["succeeded"] = [n - k for n, k in zip(block[arm]["requests"], block[arm]["errors"], strict=True)]
        assert gate.observe(block) == "hold"


def test_newly_affected_players_take_it_back(outside):
    gate, feed = outside.ReleaseGate(CONFIG | {"metrics": ("deposits",)}), Feed()
    gate.observe(feed.block())
    answers = []
    for _ in range(10):
        block = feed.block((15, 1), (285, 0))
        for arm, newly in (("canary", 1), ("stable", 0)):
            block[arm]["players_unaffected"] = 15 if arm == "canary" else 285
            block[arm]["players_newly_affected"] = newly
        answers.append(gate.observe(block))
    assert answers[-1] == "rollback"


def test_slower_buckets_take_it_back(outside):
    gate = outside.ReleaseGate(CONFIG | {"metrics": ("latency",), "edges_ms": (100.0, 250.0)})
    buckets = {"canary": [0, 0, 0], "stable": [0, 0, 0]}
    answer = "hold"
    for number in range(20):
        if number:
            for arm, moved in (("canary", (500, 650, 750)), ("stable", (12_000, 13_900, 14_250))):
                buckets[arm] = [old + new for old, new in zip(buckets[arm], moved, strict=True)]
        arms = {arm: {"requests": [row[-1]], "errors": [0], "latency_le": [list(row)]} for arm, row in buckets.items()}
        answer = gate.observe({"t": 15.0 * number, "weight": 5, **arms})
        if answer == "rollback":
            break
    assert answer == "rollback"


def test_open_attempts_are_not_restarts(outside):
    """An attempt without success yet may still succeed; the failures shown must not fall."""
    gate = outside.ReleaseGate(CONFIG | {"metrics": ("deposits",)})
    for number in range(80):
        arms = {}
        for arm, rate, waiting in (("canary", 15, number % 3), ("stable", 285, (number * 7) % 40)):
            tried = rate * number
            arms[arm] = {
                "requests": [tried],
                "errors": [0],
                "attempts": [tried],
                "succeeded": [max(0, tried - waiting)],
            }
        assert gate.observe({"t": 15.0 * number, "weight": 5, **arms}) != "rollback"


def test_null_and_fault_of_the_bench_itself(outside):
    """One canary of each kind through the simulator: seeded, so that it stays one known answer."""
    load("gates_rivals")
    load("gates_world")
    bench = load("gates")
    null = next(world for world in bench.NULLS if world.name == "bursts, mean 10")
    fault = next(world for world in bench.FAULTS if world.name == "errors 10 %")
    assert bench.fixed(null, "1/null/0").seconds is None
    found = bench.fixed(fault, "1/fault/0")
    assert found.seconds == 15.0
    assert found.others[bench.FLAGGER][1] > 10.0 * found.bad
