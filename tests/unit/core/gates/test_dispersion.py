"""Between-pod dispersion (release-gates §1.3)."""

from __future__ import annotations

from math import e
from random import Random

import pytest

from croupier.core.gates import DispersionHistory
from croupier.core.gates.dispersion import POD_SCRAPES, PRIOR_EVENTS, PRIOR_PLAYERS, SeriesDispersion
from croupier.model.evidence import ArmSample, Count, SeriesCounts
from croupier.model.history import HistoryRecord

PODS = 10


def played(mean_burst: float, *, seed: int = 1, blocks: int = 480, bursts_a_block: float = 1.0, shock: bool = False):
    """Dispersion of two hours with bursts of geometric size on random pods; ``shock``: all pods fail at times."""
    random, dispersion = Random(seed), SeriesDispersion(players=False)
    for number in range(blocks):
        bad = [0.0] * PODS
        for _ in range(int(bursts_a_block) + (random.random() < bursts_a_block % 1.0)):
            size = 1
            while random.random() > 1.0 / mean_burst:
                size += 1
            bad[random.randrange(PODS)] += size
        if shock and number % 40 < 4:
            bad = [count + sum(random.random() < 0.3 for _ in range(100)) for count in bad]
        dispersion.add({str(pod): (750.0, failed) for pod, failed in enumerate(bad)}, 15.0, 15.0 * number)
    return dispersion


@pytest.mark.parametrize(("mean_burst", "truth"), [(1.0, 1.0), (3.0, 5.0), (10.0, 19.0)])
def test_recovers_the_burst_size(mean_burst, truth):
    assert played(mean_burst, bursts_a_block=1.5).phi == pytest.approx(truth, rel=0.35)


def test_is_never_below_one():
    dispersion = SeriesDispersion(players=False)
    for number in range(480):
        dispersion.add({str(pod): (750.0, 5.0) for pod in range(PODS)}, 15.0, 15.0 * number)
    assert dispersion.phi == 1.0


@pytest.mark.parametrize("busy", [1, 4])
def test_a_pod_that_is_hardly_asked_and_fails_once_makes_no_burst_of_all_failures(busy):
    """A spare pod that starts does: gates that take each failure for a hundredth would take nothing back any more."""
    dispersion = SeriesDispersion(players=False)
    for number in range(240):
        pods = {str(pod): (300.0, float((number + pod) % 2)) for pod in range(busy)}
        asked = float(number == 100)
        dispersion.add({**pods, "spare": (asked, asked)}, 15.0, 15.0 * number)
    assert dispersion.phi < 2.5


def test_pods_of_different_size_are_compared_by_their_share():
    random, dispersion = Random(4), SeriesDispersion(players=False)
    for number in range(480):
        pods = {
            str(pod): (asked, 6.0 * sum(random.random() < 0.001 for _ in range(asked)))
            for pod, asked in enumerate((900, 300, 30))
        }
        dispersion.add(pods, 15.0, 15.0 * number)
    assert dispersion.phi == pytest.approx(6.0, rel=0.3)


def test_shared_shocks_cancel():
    assert played(1.0, shock=True).phi < 1.6


def test_bursts_longer_than_a_window_are_seen_whole():
    random, dispersion = Random(3), SeriesDispersion(players=False)
    sick = 0
    for number in range(480):
        if number % 8 == 0:
            sick = random.randrange(PODS)
        dispersion.add({str(pod): (750.0, 5.0 * (pod == sick)) for pod in range(PODS)}, 15.0, 15.0 * number)
    short = 5.0
    assert dispersion.phi > 4.0 * short


def test_a_short_history_answers_with_the_stated_prior():
    assert played(1.0, blocks=10).phi == PRIOR_EVENTS
    assert SeriesDispersion(players=True).phi == PRIOR_PLAYERS


def test_few_bursts_are_not_trusted_fully():
    few, many = played(3.0, blocks=60), played(3.0, blocks=480, bursts_a_block=2.0)
    assert few.phi > many.phi


def quiet(dispersion: SeriesDispersion, minutes: float, random: Random, sick: int | None = None) -> None:
    """A few failures anywhere; ``sick``: an overload that hits this pod far more than the others."""
    for _ in range(int(minutes * 4)):
        bad = [sum(random.random() < 0.02 for _ in range(40)) for _ in range(PODS)]
        pods = {str(pod): (750.0, failed + 150.0 * (pod == sick)) for pod, failed in enumerate(bad)}
        dispersion.add(pods, 15.0, 0.0)


def test_one_overload_is_forgotten_soon_after_it_is_over():
    """It made plans undecidable for hours."""
    random, dispersion = Random(1), SeriesDispersion(players=False)
    quiet(dispersion, 90, random)
    before = dispersion.phi
    quiet(dispersion, 5, random, sick=3)
    assert dispersion.phi > 20.0
    quiet(dispersion, 45, random)
    assert dispersion.phi < 1.5 * before


def test_two_overloads_are_how_the_service_lives():
    random, dispersion = Random(1), SeriesDispersion(players=False)
    for _ in range(2):
        quiet(dispersion, 60, random)
        quiet(dispersion, 5, random, sick=3)
    quiet(dispersion, 45, random)
    assert dispersion.phi > 10.0


# --- the history of a service --------------------------------------------------------------------------------------


def arm(total: float, bad: float, *, players: bool = False, pods: int = 2) -> ArmSample:
    counts = {f"pod-{pod}": Count(total, bad) for pod in range(pods)}
    return ArmSample({"deposits": SeriesCounts(counts, counts if players else None)})


def test_history_turns_counters_into_rates():
    history = DispersionHistory()
    for number in range(20):
        history.add(arm(100.0 * number, 2.0 * number, players=True), 5.0 * number)
    rate = history.rates()["deposits"]
    assert rate.attempts_per_second == pytest.approx(40.0, rel=0.01)
    assert rate.failure_ratio == pytest.approx(0.02)
    assert rate.players


def test_history_ignores_what_is_not_newer():
    once, twice = DispersionHistory(), DispersionHistory()
    for number in range(10):
        once.add(arm(100.0 * number, number), 5.0 * number)
        twice.add(arm(100.0 * number, number), 5.0 * number)
        twice.add(arm(9999.0, 500.0), 5.0 * number)
    assert once.rates() == twice.rates()


def test_counters_of_another_run_are_another_source():
    """A pod shows run counters during a release and its old ones after it; the jump between them is not traffic."""
    history = DispersionHistory()
    for number in range(10):
        history.add(arm(1e6 + 100.0 * number, 0.0), 5.0 * number, source="-")
    history.add(arm(10.0, 0.0), 50.0, source="r-0001")
    history.add(arm(1e6 + 5000.0, 0.0), 55.0, source="-")
    assert history.rates()["deposits"].attempts_per_second == pytest.approx(40.0, rel=0.01)


def test_an_unknown_series_has_the_prior():
    history = DispersionHistory()
    assert history.phi("deposits") == PRIOR_EVENTS
    assert history.rates() == {}
    assert history.dispersions() == {}


def lived(hours: float, at: float = 1_000_000.0) -> tuple[DispersionHistory, float]:
    """A service whose failures come in bursts of twenty on one of ten pods."""
    history, random = DispersionHistory(), Random(3)
    totals = [[0.0, 0.0] for _ in range(10)]
    for _ in range(round(hours * 240)):
        at += 15.0
        for pod in totals:
            pod[0] += 100.0
        if random.random() < 0.5:
            totals[random.randrange(10)][1] += 20.0
        counts = {str(number): Count(*pod) for number, pod in enumerate(totals)}
        history.add(ArmSample({"errors": SeriesCounts(counts)}), at, source="-")
    return history, at


def test_what_is_recalled_is_what_was_recorded():
    history, at = lived(2.0)
    record = HistoryRecord.model_validate_json(history.record("payments-api", at).model_dump_json(by_alias=True))
    recalled = DispersionHistory.recalled(record, at + 10.0)
    assert history.phi("errors") > 10.0
    assert recalled.phi("errors") == pytest.approx(history.phi("errors"), rel=1e-3)
    assert recalled.rates()["errors"] == history.rates()["errors"]


def test_a_recalled_history_counts_from_new_starting_points():
    """What happened while nobody watched belongs to no interval."""
    history, at = lived(1.0)
    recalled = DispersionHistory.recalled(history.record("payments-api", at), at + 600.0)
    before = recalled.record("payments-api", at)
    huge = {str(pod): Count(1e9, 1e8 * pod) for pod in range(10)}
    recalled.add(ArmSample({"errors": SeriesCounts(huge)}), at + 600.0, source="-")
    assert recalled.record("payments-api", at) == before


def test_time_that_nobody_watched_fades_what_was_seen():
    history, at = lived(2.0)
    record = history.record("payments-api", at)
    after = [
        DispersionHistory.recalled(record, at + hours * 3600.0)._series["errors"].dispersion._windows[0].kept().failures
        for hours in (0.0, 6.0, 12.0, 18.0)
    ]
    assert after[1] == pytest.approx(after[0] / e, rel=0.05)
    assert after[2] == pytest.approx(after[1] / e, rel=0.05)
    assert after[3] == 0.0


def test_a_record_from_the_future_has_not_faded_and_tells_nothing_of_now():
    history, at = lived(1.0)
    recalled = DispersionHistory.recalled(history.record("payments-api", at), at - 7200.0)
    assert recalled.phi("errors") == pytest.approx(history.phi("errors"), rel=1e-3)
    assert recalled.rates() == {}


# --- few pods -------------------------------------------------------------------------------------------------------


def few(pods: int, mean_burst: float, *, blocks: int = 480, players: bool = False) -> SeriesDispersion:
    """Two hours of one burst a block on one of so few pods."""
    random, dispersion = Random(5), SeriesDispersion(players=players)
    for number in range(blocks):
        bad = [0.0] * pods
        for _ in range(sum(random.random() < 0.1 for _ in range(15))):
            size = 1
            while random.random() > 1.0 / mean_burst:
                size += 1
            bad[random.randrange(pods)] += size
        dispersion.add({str(pod): (15_000.0 / pods, failed) for pod, failed in enumerate(bad)}, 15.0, 15.0 * number)
    return dispersion


@pytest.mark.parametrize("pods", [1, 2])
@pytest.mark.parametrize(("mean_burst", "truth"), [(1.0, 1.0), (3.0, 5.0), (10.0, 19.0)])
def test_one_pod_or_two_show_bursts_by_their_neighbouring_minutes(pods, mean_burst, truth):
    known = few(pods, mean_burst).phi
    # Eight quarters of an hour are few to compare: what is too high costs time, what is too low would cost the promise.
    assert 0.8 * truth <= known <= 5.0 * truth


def test_what_one_pod_shares_with_nobody_counts_as_bursts():
    """Careful: an outage and a burst look alike where there is one pod."""
    steady, shaken = SeriesDispersion(players=False), SeriesDispersion(players=False)
    for number in range(480):
        steady.add({"0": (1000.0, 5.0)}, 15.0, 15.0 * number)
        shaken.add({"0": (1000.0, 100.0 if number % 40 < 4 else 5.0)}, 15.0, 15.0 * number)
    assert steady.phi == 1.0
    assert shaken.phi > 10.0


def test_few_pods_are_told_by_the_newest_scrapes_and_never_of_players():
    assert few(1, 3.0, blocks=5).has_few_pods
    assert few(2, 3.0, blocks=5).has_few_pods
    assert not few(3, 3.0, blocks=5).has_few_pods
    assert not few(1, 3.0, blocks=5, players=True).has_few_pods
    assert not SeriesDispersion(players=False).has_few_pods


def test_a_scrape_that_reaches_one_of_ten_pods_does_not_make_them_few():
    """Prevents: a release of ten pods that is judged as one of one pod, because nine did not answer once."""
    dispersion = few(10, 3.0, blocks=5)
    for scrapes in range(1, POD_SCRAPES):
        dispersion.add({"0": (1500.0, 5.0)}, 15.0, 60.0 + 15.0 * scrapes)
        assert (dispersion.pods, dispersion.has_few_pods) == (10, False)
    dispersion.add({"0": (1500.0, 5.0)}, 15.0, 60.0 + 15.0 * POD_SCRAPES)
    assert (dispersion.pods, dispersion.has_few_pods) == (1, True)


@pytest.mark.parametrize("pods", [1, 2, 3])
def test_few_pods_are_known_again_after_a_restart(pods):
    history = DispersionHistory()
    for number in range(20):
        history.add(arm(100.0 * number, 0.0, pods=pods), 15.0 * number)
    assert history.few_pods() == (("deposits",) if pods < 3 else ())
    assert history.dispersions() == {"deposits": PRIOR_EVENTS}
    # A release that starts right after a desk does is judged as any other.
    recalled = DispersionHistory.recalled(history.record("bets", 300.0), 310.0)
    assert (recalled.few_pods(), recalled.dispersions()) == (history.few_pods(), history.dispersions())
