from __future__ import annotations

import pytest

from croupier.core.share import share_band


def test_nobody_seen_says_nothing() -> None:
    assert share_band(0, 25) == (0.0, 1.0)


@pytest.mark.parametrize(("players", "weight", "low", "high"), [(200, 25, 0.15, 0.35), (2000, 5, 0.034, 0.066)])
def test_the_band_holds_999_of_1000_draws(players: int, weight: int, low: float, high: float) -> None:
    found_low, found_high = share_band(players, weight)
    assert found_low == pytest.approx(low, abs=0.01)
    assert found_high == pytest.approx(high, abs=0.01)


def test_few_players_are_counted_exactly() -> None:
    low, high = share_band(10, 5)
    assert (low, round(high * 10)) == (0.0, 4)  # P(X > 4) = 0.00006, P(X > 3) = 0.001


def test_both_ways_of_reckoning_agree_where_they_meet() -> None:
    exact, normal = share_band(399, 50), share_band(401, 50)
    assert exact == pytest.approx(normal, abs=0.005)


@pytest.mark.parametrize(("weight", "band"), [(0, (0.0, 0.01)), (100, (0.99, 1.0))])
def test_at_the_ends_one_in_a_hundred_may_be_late(weight: int, band: tuple[float, float]) -> None:
    assert share_band(2000, weight) == band
