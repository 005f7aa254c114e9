"""What holds for every past of a service: an incident's end is told, and a forecast never sees less than calm."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from croupier.core.gates.recent import CALM_SECONDS, MOST_LEFT_OUT, WINDOW_SECONDS, RecentTraffic

SCRAPES = st.sampled_from([1.0, 5.0, 15.0, 20.0, 60.0])
STRETCHES = st.lists(
    st.tuples(st.floats(5.0, 1500.0), st.sampled_from([0.0, 0.002, 0.03, 0.2, 0.9])), min_size=1, max_size=6
)
"""(seconds, failure ratio) one after the other."""

CALM, PER_SECOND, PHIS = 0.002, 40.0, st.sampled_from([1.0, 2.0, 19.0])


def live(recent: RecentTraffic, at: float, seconds: float, ratio: float, scrape: float) -> float:
    for _ in range(max(1, round(seconds / scrape))):
        at += scrape
        recent.add(PER_SECOND * scrape, PER_SECOND * scrape * ratio, scrape, at)
    return at


@given(STRETCHES, SCRAPES, PHIS)
def test_calm_until_the_time_that_was_told_is_enough(past, scrape, phi):
    recent, at = RecentTraffic(), 0.0
    for seconds, ratio in past:
        at = live(recent, at, seconds, ratio, scrape)
    rate = recent.rate(phi, players=False)
    assert rate is not None
    if rate.incident is None:
        return
    assert rate.incident.gone_at <= at + WINDOW_SECONDS + CALM_SECONDS
    live(recent, at, rate.incident.gone_at - at + scrape, rate.incident.usual_ratio, scrape)
    later = recent.rate(phi, players=False)
    assert later is not None
    assert later.incident is None


@given(SCRAPES, PHIS, st.floats(5.0, MOST_LEFT_OUT * WINDOW_SECONDS - 2 * CALM_SECONDS), st.floats(0.1, 1.0))
def test_a_brief_outage_decides_nothing_once_it_is_over(scrape, phi, lasting, ratio):
    recent, at = RecentTraffic(), 0.0
    at = live(recent, at, WINDOW_SECONDS, CALM, scrape)
    at = live(recent, at, lasting, ratio, scrape)
    live(recent, at, CALM_SECONDS + scrape, CALM, scrape)
    rate = recent.rate(phi, players=False)
    assert rate is not None
    assert rate.incident is None
    assert rate.failure_ratio < 3.0 * CALM


@given(STRETCHES, SCRAPES, PHIS)
def test_a_high_ratio_of_the_last_minutes_is_always_seen(past, scrape, phi):
    recent, at = RecentTraffic(), 0.0
    for seconds, ratio in past:
        at = live(recent, at, seconds, ratio, scrape)
    live(recent, at, 2 * CALM_SECONDS, 0.5, scrape)
    rate = recent.rate(phi, players=False)
    assert rate is not None
    assert rate.failure_ratio > 0.15
