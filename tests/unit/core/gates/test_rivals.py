"""The rivals of the bench act when their documentation says they act (release-gates part 3, table 2.2)."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[4] / "bench"))

from gates_rivals import Cusum, FlaggerExample, Kayenta, Seen, Threshold, argo_example, argo_strict, rivals, tuned

SCRAPE, A_SCRAPE = 15.0, 750


def acts(rule, ratio: float, *, until: float = 1800.0) -> float | None:
    """When the rule takes a canary back that always fails at ``ratio``; None: it never does."""
    for number in range(1, int(until / SCRAPE) + 1):
        if rule.observe(Seen(number * SCRAPE, A_SCRAPE, round(A_SCRAPE * ratio), 14_250, 14)):
            return number * SCRAPE
    return None


@pytest.mark.parametrize(
    ("rule", "ratio", "seconds"),
    [
        (FlaggerExample, 0.0099, None),
        (FlaggerExample, 0.02, 360.0),
        (argo_example, 0.02, None),
        (argo_example, 0.10, 930.0),
        (argo_strict, 0.005, None),
        (argo_strict, 0.02, 240.0),
        (lambda: Kayenta("1"), 0.02, 600.0),
        (lambda: Cusum(0.001, 2.0, 7.0), 0.10, 15.0),
        (lambda: Cusum(0.001, 2.0, 7.0), 0.001, None),
        (lambda: Threshold(0.004, 2), 0.02, 30.0),
    ],
)
def test_each_acts_at_its_time(rule, ratio, seconds):
    assert acts(rule(), ratio) == seconds


@pytest.mark.parametrize("rule", [FlaggerExample, argo_example, argo_strict])
def test_no_data_is_a_failed_check_for_flagger_and_argo(rule):
    silent, rule = [Seen(number * SCRAPE, 0, 0, 14_250, 14) for number in range(1, 121)], rule()
    assert any(rule.observe(seen) for seen in silent)


def test_flaggers_failed_checks_add_up_and_a_good_one_forgives_nothing():
    """Every other minute is bad: the fifth failed check is that of minute 9, acted on when the next one is over."""
    rule = FlaggerExample()
    taken = [
        number * SCRAPE
        for number in range(1, 45)
        if rule.observe(Seen(number * SCRAPE, A_SCRAPE, 20 if (number - 1) // 4 % 2 == 0 else 0, 14_250, 14))
    ]
    assert taken[0] == 600.0


def test_a_lasting_doubling_shows_to_the_rank_test_and_equal_arms_do_not():
    assert Kayenta.is_high([0.2, 0.21, 0.19, 0.22] * 5, [0.1, 0.11, 0.09, 0.1] * 5)
    assert not Kayenta.is_high([0.1, 0.11, 0.09, 0.1] * 5, [0.1, 0.11, 0.09, 0.1] * 5)
    assert not Kayenta.is_high([], [0.1])


def test_a_tuned_threshold_takes_one_clean_canary_in_a_hundred_back():
    calm = [
        [Seen(at * SCRAPE, 1000, canary if at == 5 else 0, 0, 0) for at in range(1, 11)] for canary in range(1, 101)
    ]
    most = tuned(calm, 1)
    taken = sum(any(rule.observe(seen) for seen in canary) for canary in calm for rule in (Threshold(most, 1),))
    assert taken <= 1
    assert sum(any(map(Threshold(most * 0.9, 1).observe, canary)) for canary in calm) > 1


def test_every_rival_is_new_each_time():
    made = rivals(0.001, "1", {1: 0.004, 2: 0.003})
    assert len(made) == 8
    assert all(make() is not make() for make in made.values())
