"""Every row of the bench once or twice, seeded: what a good release must survive and what a bad one must not.

Rates need thousands of canaries and live in ``bench/gates.py``; here each edge case of release-gates §1.9 and §1.11 has
one known answer, so that a change that breaks one is seen at once.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

BENCH = Path(__file__).parents[4] / "bench"


def load(name):
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


for needed in ("outside", "gates_rivals", "gates_world"):
    load(needed)
bench = load("gates")


@pytest.mark.parametrize("world", bench.NULLS, ids=lambda world: world.name)
@pytest.mark.parametrize("seed", [0, 1])
def test_a_good_release_is_not_taken_back(world, seed):
    assert bench.fixed(world, f"test/{world.name}/{seed}").seconds is None


@pytest.mark.parametrize("world", bench.FAULTS, ids=lambda world: world.name)
def test_a_bad_release_is_taken_back(world):
    assert bench.fixed(world, f"test/{world.name}/0").seconds is not None


def test_a_healthy_release_goes_all_the_way_and_a_bad_one_does_not():
    healthy, *bad = [bench.ramp(world, f"test/{world.name}/0") for world in bench.RAMPS]
    assert healthy.promoted_at is not None
    assert healthy.seconds is None
    assert all(run.promoted_at is None and run.seconds is not None for run in bad)
