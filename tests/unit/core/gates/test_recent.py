"""What stable does usually (S4.6): an outage that is over decides nothing, one that goes on does and is told."""

from __future__ import annotations

from random import Random

import pytest

from croupier.core.gates.recent import CALM_SECONDS, WINDOW_SECONDS, Rate, RecentTraffic

SCRAPE = 5.0
START = 1_000_000.0


class Stable:
    """Traffic of a stable version, scrape by scrape."""

    def __init__(self, per_second: float, ratio: float = 0.002, *, seed: int = 1) -> None:
        self.per_second, self.ratio, self.at = per_second, ratio, START
        self.recent, self._random = RecentTraffic(), Random(seed)

    def live(self, seconds: float, ratio: float | None = None) -> Rate:
        """Live so long, failing at ``ratio`` (None: as usual)."""
        chance = self.ratio if ratio is None else ratio
        for _ in range(round(seconds / SCRAPE)):
            self.at += SCRAPE
            attempts = int(self.per_second * SCRAPE)
            bad = sum(self._random.random() < chance for _ in range(attempts))
            self.recent.add(attempts, bad, SCRAPE, self.at)
        rate = self.recent.rate(1.05, players=True)
        assert rate is not None
        return rate


@pytest.mark.parametrize("per_second", [2.0, 20.0, 200.0])
def test_a_minute_of_outage_is_forgotten_a_minute_and_a_half_after_it_is_over(per_second: float) -> None:
    """psp-a down for 60 s made the desk refuse plans for more than six minutes: "stable fails 3.4 %"."""
    stable = Stable(per_second)
    stable.live(600)
    stable.live(60, 0.5)
    rate = stable.live(CALM_SECONDS)
    assert rate.incident is None
    assert rate.failure_ratio < 0.006


@pytest.mark.parametrize("lasting", [10.0, 30.0, 60.0, 300.0, 1200.0])
def test_an_outage_that_goes_on_is_what_counts(lasting: float) -> None:
    stable = Stable(20.0)
    stable.live(600)
    began = stable.at
    rate = stable.live(lasting, 0.5)
    assert rate.failure_ratio > (0.05 if lasting < 60 else 0.3)
    if lasting <= 600.0:
        assert rate.incident is not None
        assert rate.incident.ended_at is None
        assert rate.incident.usual_ratio < 0.006
        assert began - 90.0 <= rate.incident.began_at <= began
        assert rate.usual.failure_ratio < 0.006


def test_what_lasts_as_long_as_the_memory_is_how_the_service_is() -> None:
    stable = Stable(20.0)
    stable.live(600)
    rate = stable.live(WINDOW_SECONDS, 0.1)
    assert rate.incident is None
    assert rate.failure_ratio == pytest.approx(0.1, rel=0.1)


def test_a_long_outage_that_is_over_says_when_it_was_and_until_when_it_counts() -> None:
    stable = Stable(20.0)
    stable.live(600)
    began = stable.at
    stable.live(720, 0.3)
    ended = stable.at
    rate = stable.live(120)
    incident = rate.incident
    assert incident is not None
    assert incident.ended_at == pytest.approx(ended, abs=60.0)
    assert incident.began_at == pytest.approx(max(began, ended - WINDOW_SECONDS), abs=120.0)
    assert incident.failure_ratio == pytest.approx(0.3, rel=0.15)
    assert rate.failure_ratio > 0.1
    assert ended < incident.gone_at < ended + WINDOW_SECONDS
    assert stable.live(incident.gone_at - stable.at).failure_ratio < 0.006


def test_bursts_are_how_a_bursty_service_lives() -> None:
    recent = RecentTraffic()
    for number in range(180):
        recent.add(100.0, 20.0 if number % 24 == 0 else 0.0, SCRAPE, START + SCRAPE * number)
    rate = recent.rate(20.0, players=False)
    assert rate is not None
    assert rate.failure_ratio == pytest.approx(0.2 / 24, rel=0.15)


def test_little_traffic_has_no_incidents_by_chance() -> None:
    for seed in range(20):
        rate = Stable(2.0, 0.03, seed=seed).live(900)
        assert rate.failure_ratio == pytest.approx(0.03, rel=0.5)


def test_nothing_attempted_has_no_rate() -> None:
    recent = RecentTraffic()
    assert recent.rate(1.0, players=False) is None
    recent.add(0.0, 0.0, SCRAPE, START)
    assert recent.rate(1.0, players=False) is None


def test_the_pace_is_that_of_the_last_quarter_of_an_hour() -> None:
    stable = Stable(20.0)
    stable.live(1800)
    stable.per_second = 40.0
    assert stable.live(WINDOW_SECONDS).attempts_per_second == pytest.approx(40.0, rel=0.01)
