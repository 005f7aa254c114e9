"""From cumulative counters to blocks (release-gates §1.8-1.9)."""

from __future__ import annotations

import math

import pytest

from croupier.core.gates.counters import Block, PairedCounters
from croupier.model.evidence import Count

NAN = float("nan")


def advance(counters: PairedCounters, canary: dict, stable: dict, at: float, weight: int = 5, **flags) -> Block | None:
    shown = [{pod: Count(*count) for pod, count in arm.items()} for arm in (canary, stable)]
    return counters.advance(*shown, at=at, weight=weight, **({"skipped": False} | flags))


def test_the_first_scrape_is_a_starting_point():
    assert advance(PairedCounters(), {"c": (900, 40)}, {"s": (9000, 50)}, 10) is None


def test_a_block_is_what_happened_between_two_scrapes():
    counters = PairedCounters()
    advance(counters, {"c": (900, 40)}, {"s": (9000, 50), "t": (5, 0)}, 10)
    block = advance(counters, {"c": (910, 41)}, {"s": (9100, 53), "t": (25, 2)}, 15)
    assert block == Block(5, 10, 1, 120, 5, ((10, 1),))


def test_a_restarted_pod_counts_from_zero():
    counters = PairedCounters()
    advance(counters, {"c": (900, 40)}, {"s": (9000, 50)}, 10)
    block = advance(counters, {"c": (7, 1)}, {"s": (9100, 50)}, 15)
    assert (block.canary_total, block.canary_bad) == (7, 1)


def test_both_counters_restart_together():
    counters = PairedCounters()
    advance(counters, {"c": (3, 3)}, {"s": (100, 0)}, 10)
    block = advance(counters, {"c": (9, 1)}, {"s": (200, 0)}, 15)
    assert (block.canary_total, block.canary_bad) == (9, 1)


@pytest.mark.parametrize("shown", [(850, 40), (910, 39), (600, 0)], ids=["total", "failures", "both"])
def test_a_counter_that_falls_a_little_has_not_lived_its_life_again(shown):
    """A label of it has gone, or another replica of the source has answered."""
    counters = PairedCounters()
    advance(counters, {"c": (900, 40), "d": (0, 0)}, {"s": (9000, 50)}, 10)
    block = advance(counters, {"c": shown, "d": (5, 0)}, {"s": (9100, 50)}, 15)
    assert block.canary_pods == ((5, 0),)
    total, bad = shown
    block = advance(counters, {"c": (total + 10, bad + 1), "d": (5, 0)}, {"s": (9200, 50)}, 20)
    assert block.canary_pods == ((10, 1), (0, 0))


def test_a_pod_seen_for_the_first_time_brings_no_past():
    counters = PairedCounters()
    advance(counters, {"c": (900, 40)}, {"s": (9000, 50)}, 10)
    block = advance(counters, {"c": (910, 40), "new": (5000, 4000)}, {"s": (9100, 50)}, 15)
    assert (block.canary_total, block.canary_bad) == (10, 0)


def test_a_pod_back_after_a_gap_brings_no_past():
    counters = PairedCounters()
    advance(counters, {"c": (0, 0), "d": (0, 0)}, {"s": (0, 0)}, 10)
    advance(counters, {"c": (10, 0), "d": (NAN, NAN)}, {"s": (100, 0)}, 15)
    block = advance(counters, {"c": (20, 0), "d": (500, 400)}, {"s": (200, 0)}, 20)
    assert (block.canary_total, block.canary_bad) == (10, 0)


def test_when_one_arm_is_missing_the_next_block_covers_the_same_interval_in_both():
    counters = PairedCounters()
    advance(counters, {"c": (0, 0)}, {"s": (0, 0)}, 10)
    assert advance(counters, {"c": (NAN, 0)}, {"s": (100, 90)}, 15) is None
    block = advance(counters, {"c": (20, 18)}, {"s": (200, 180)}, 20, skipped=True)
    assert block == Block(10, 20, 18, 200, 180, ((20, 18),))


def test_shares_before_and_after_a_step_are_never_pooled():
    counters = PairedCounters()
    advance(counters, {"c": (0, 0)}, {"s": (0, 0)}, 10, weight=5)
    assert advance(counters, {"c": (NAN, 0)}, {"s": (100, 0)}, 15, weight=5) is None
    assert advance(counters, {"c": (60, 0)}, {"s": (150, 0)}, 20, weight=50, skipped=True) is None
    assert advance(counters, {"c": (110, 0)}, {"s": (200, 0)}, 25, weight=50) is not None


def parts(*scrapes: dict) -> list[bool]:
    """After each scrape of the canary: whether a part of it is not counted."""
    counters = PairedCounters()
    told = []
    for number, canary in enumerate(scrapes):
        advance(counters, canary, {"s": (100 * number, 0)}, 10 + 5 * number)
        told.append(counters.is_partial)
    return told[1:]


def test_a_canary_whose_pods_are_all_counted_is_whole():
    assert parts(*({"c": (number, 0), "d": (0, 0)} for number in range(4))) == [False] * 3


@pytest.mark.parametrize("gap", [1, 2, 3])
def test_a_pod_that_answers_now_and_then_is_never_counted_and_never_forgotten(gap):
    scrapes = [{"c": (9 * n, 0), **({} if n % (gap + 1) else {"d": (9 * n + 1, 0)})} for n in range(12)]
    assert all(parts(*scrapes))


def test_a_pod_that_is_known_and_never_answers_is_a_missing_part():
    assert all(parts(*({"c": (9 * number, 0), "d": (NAN, NAN)} for number in range(9))))


def test_a_pod_that_has_gone_is_missed_for_three_scrapes():
    assert parts({"c": (0, 0), "d": (9, 0)}, *({"c": (9, 0)} for _ in range(5))) == [True] * 3 + [False] * 2


def test_a_new_pod_is_counted_from_its_second_scrape_on():
    assert parts({"c": (0, 0)}, *({"c": (9, 0), "d": (9, 0)} for _ in range(3))) == [True, False, False]


def test_the_place_of_a_signal_that_nobody_has_begun_is_no_pod():
    assert parts({"": (0, 0)}, {"c": (9, 0)}, {"c": (9, 0)}) == [True, False]


def test_one_of_many_pods_may_be_late():
    pods = {f"c{number}": (9, 0) for number in range(10)}
    late = {**pods, "c0": (NAN, NAN)}
    assert parts(pods, late, late, {**late, "c1": (NAN, NAN)}) == [False, False, True]


def test_nan_and_infinity_are_absent():
    counters = PairedCounters()
    advance(counters, {"c": (0, 0)}, {"s": (0, 0), "t": (0, 0)}, 10)
    block = advance(counters, {"c": (5, 0)}, {"s": (math.inf, 1), "t": (50, 0)}, 15)
    assert (block.stable_total, block.stable_bad) == (50, 0)


@pytest.mark.parametrize("nonsense", [(-50, 0), (50, -1), (1e200, 1), (50, 1e200), (-math.inf, 0)])
def test_what_is_no_count_is_absent(nonsense):
    counters = PairedCounters()
    advance(counters, {"c": (0, 0)}, {"s": (0, 0), "t": (0, 0)}, 10)
    block = advance(counters, {"c": (5, 0)}, {"s": nonsense, "t": (50, 0)}, 15)
    assert (block.stable_total, block.stable_bad) == (50, 0)


def test_more_failures_than_attempts_raise_the_exposure():
    counters = PairedCounters()
    advance(counters, {"c": (0, 0)}, {"s": (0, 0)}, 10)
    block = advance(counters, {"c": (2, 5)}, {"s": (50, 0)}, 15)
    assert (block.canary_total, block.canary_bad) == (5, 5)


def test_a_gap_of_more_than_five_minutes_is_a_new_start():
    counters = PairedCounters()
    advance(counters, {"c": (0, 0)}, {"s": (0, 0)}, 10)
    assert advance(counters, {"c": (500, 9)}, {"s": (5000, 9)}, 1000, skipped=True) is None


def test_alone_at_full_weight_a_block_needs_no_stable():
    counters = PairedCounters()
    advance(counters, {"c": (0, 0)}, {}, 10, weight=100, alone=True)
    assert advance(counters, {"c": (50, 1)}, {}, 15, weight=100, alone=True) == Block(5, 50, 1, 0, 0, ((50, 1),))


def test_pods_that_come_and_go_are_forgotten():
    counters = PairedCounters()
    for number in range(500):
        advance(counters, {f"c{number}": (1, 0), "c": (number, 0)}, {"s": (number, 0)}, 10 + number)
    assert len(counters._canary._readings) < 100
