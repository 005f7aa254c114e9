"""The bets against tables of the note (release-gates §1.2, §1.6, §1.12)."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from croupier.core.gates.likelihood import (
    LATE_SHARE,
    STAKES,
    ObjectiveBreach,
    PointsNotWorse,
    RatioNotWorse,
    RatioRise,
    Vanished,
    log_sum_exp,
)


def test_stakes_add_up_to_one():
    assert sum(stake for _, stake in STAKES) == pytest.approx(1.0)


def test_log_sum_exp_survives_what_exp_does_not():
    assert log_sum_exp([2000.0, 2000.0]) == pytest.approx(2000.0 + math.log(2))
    assert log_sum_exp([]) == -math.inf


def test_evidence_starts_at_nothing():
    assert RatioRise(1.0).log_evidence <= 0.0
    assert RatioRise(1.0).log_evidence == pytest.approx(math.log(1.0 - LATE_SHARE))
    assert RatioNotWorse(1.0, 2.0, 0.05).log_evidence == pytest.approx(0.0)
    assert PointsNotWorse(1.0, 0.02, 0.05).log_evidence == pytest.approx(0.0)


def test_one_failure_of_the_canary_alone_is_worth_at_most_the_inverse_of_its_share():
    rise = RatioRise(1.0)
    rise.update(5.0, 1.0, 95.0, 0.0, 15.0)
    assert 0.0 < rise.log_evidence < math.log(20.0)


def test_ten_percent_failing_shows_in_one_block():
    rise = RatioRise(1.0)
    rise.update(750.0, 75.0, 14_250.0, 14.0, 15.0)
    assert rise.log_evidence > math.log(1e6)


def test_a_burst_counts_as_one_when_tempered():
    raw, tempered = RatioRise(1.0), RatioRise(19.0)
    for rise in (raw, tempered):
        rise.update(750.0, 30.0, 14_250.0, 14.0, 15.0)
    assert raw.log_evidence > math.log(100.0) > tempered.log_evidence


def test_evidence_does_not_overflow():
    rise = RatioRise(1.0)
    for _ in range(1000):
        rise.update(750.0, 750.0, 14_250.0, 14.0, 15.0)
    assert math.isfinite(rise.log_evidence)


@pytest.mark.parametrize("block", [(0.0, 0.0, 100.0, 5.0), (100.0, 5.0, 0.0, 0.0), (10.0, 0.0, 100.0, 0.0)])
def test_without_exposure_or_failures_nothing_is_learnt(block):
    rise = RatioRise(2.0)
    rise.update(*block, 15.0)
    assert rise.log_evidence == pytest.approx(0.0)


def test_two_points_at_beta_of_one_and_a_quarter_percent_need_about_two_hundred_clean_deposits():
    favour, clean = PointsNotWorse(1.0, 0.02, 0.0125), 0
    while favour.log_evidence < math.log(80.0):
        favour.update(5.0, 0.0, 95.0, 0.0)
        clean += 5
    assert 200 <= clean <= 250


def test_points_work_where_stable_fails_often():
    favour = PointsNotWorse(1.0, 0.02, 0.05)
    for _ in range(400):
        favour.update(50.0, 4.0, 950.0, 76.0)
    assert favour.log_evidence > math.log(20.0)


def test_points_refuse_a_canary_at_the_margin():
    favour = PointsNotWorse(1.0, 0.02, 0.05)
    for _ in range(400):
        favour.update(50.0, 5.0, 950.0, 76.0)
    assert favour.log_evidence < 0.0


def test_equal_arms_pay_for_the_uncertainty_of_stable():
    few, many = PointsNotWorse(1.0, 0.02, 0.05), PointsNotWorse(1.0, 0.02, 0.05)
    for _ in range(20):
        few.update(100.0, 8.0, 100.0, 8.0)
        many.update(100.0, 8.0, 10_000.0, 800.0)
    assert few.log_evidence < many.log_evidence


def test_after_an_outage_the_quiet_block_is_read_as_quiet():
    """The window still holds the outage; a canary that fails 20 % now must not profit from it."""
    favour = PointsNotWorse(1.0, 0.02, 0.05)
    favour.update(50.0, 25.0, 1000.0, 500.0)
    before = favour.log_evidence
    favour.update(50.0, 10.0, 1000.0, 1.0)
    assert favour.log_evidence < before


def test_evidence_in_favour_is_capped_so_that_a_late_fault_shows():
    favour = PointsNotWorse(1.0, 0.02, 0.0125)
    for _ in range(10_000):
        favour.update(50.0, 0.0, 50.0, 0.0)
    for _ in range(3):
        favour.update(50.0, 5.0, 50.0, 0.0)
    assert favour.log_evidence < math.log(80.0)


def test_ratio_growth_is_what_updates_add():
    favour = RatioNotWorse(1.0, 2.0, 1e-9)
    growth = favour.growth(50.0, 950.0, 0.01)
    for _ in range(100):
        favour.update(50.0, 0.5, 950.0, 9.5)
    assert favour.log_evidence == pytest.approx(100 * growth, rel=0.35)


def test_an_old_breach_is_forgotten_and_a_new_one_is_seen():
    guard = ObjectiveBreach(1.0, 0.0015, 0.01)
    for _ in range(1000):
        guard.update(100.0, 0.0)
    guard.update(100.0, 10.0)
    assert guard.log_evidence >= guard.bar
    for _ in range(200):
        guard.update(100.0, 0.0)
    assert guard.log_evidence < guard.bar


def test_vanished_attempts_are_evidence_and_uneven_arms_are_not():
    gone, uneven = Vanished(), Vanished()
    for _ in range(60):
        gone.update(0.0, 60.0, 5.0 / 95.0)
        uneven.update(1.0, 60.0, 5.0 / 95.0)
    assert gone.log_evidence > math.log(100.0)
    assert uneven.log_evidence < math.log(10.0)


def test_attempts_that_vanish_after_a_long_good_time_are_noticed():
    vanished = Vanished()
    for number in range(1060):
        vanished.update(3.0 if number < 1000 else 0.0, 60.0, 5.0 / 95.0)
    assert vanished.log_evidence > math.log(100.0)


def test_one_lost_block_is_not_a_silence():
    vanished = Vanished()
    vanished.update(0.0, 1e6, 1.0)
    assert vanished.log_evidence <= Vanished.MOST_A_BLOCK


def test_the_worked_example_of_the_explanation_holds():
    """docs/explanation/gates.md, "A worked example"."""

    def capital(*failures: tuple[int, int]) -> list[float]:
        rise, told = RatioRise(1.05), []
        for canary_bad, stable_bad in failures:
            rise.update(15.0, canary_bad, 285.0, stable_bad, 10.0)
            told.append(round(math.exp(rise.log_evidence), 1))
        return told

    page = (Path(__file__).parents[4] / "docs" / "explanation" / "gates.md").read_text(encoding="utf-8")
    first, second, third, fourth = capital((1, 0), (0, 1), (1, 0), (1, 0))
    assert f"| a canary player's deposit fails | {first} |" in page
    assert f"| a player of the *old* version fails | {second} |" in page
    assert f"| a canary player fails | {third} |" in page
    assert f"| a canary player fails | {fourth:.0f} →" in page
    assert (
        " → ".join(f"{value:.1f}" if value < 10 else f"{value:.0f}" for value in capital((1, 0), (1, 0), (1, 0)))
        in page
    )

    favour, clean = PointsNotWorse(1.05, 0.02, 0.0125), {}
    for number in range(1, 17):
        favour.update(15.0, 0.0, 285.0, 0.0)
        clean[15 * number] = math.exp(favour.log_evidence)
    words = " ".join(page.split())
    assert f"after 75 clean ones she has {clean[75]:.1f}, after 150 about {clean[150]:.0f}" in words
    assert f"after 240 about {clean[240]:.0f}" in words
