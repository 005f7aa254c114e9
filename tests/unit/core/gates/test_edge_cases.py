"""One test for each row of release-gates §1.9, named after it. Rates are measured by ``bench/gates.py``."""

from __future__ import annotations

from math import log

import pytest
from tests.support.world import HEALTHY, PAYMENTS, STABLE
from tests.support.world import release as asked

from croupier.core.gates import Rate, assess, fold, forecast, new_evidence
from croupier.core.gates.dispersion import SeriesDispersion
from croupier.core.gates.likelihood import RatioRise
from croupier.core.gates.volume import FEWER, MORE, VolumeShift
from croupier.core.plans.release import plan_release
from croupier.model.evidence import ArmSample, Count, Sample, SeriesCounts, Spread
from croupier.model.release import GatePolicy, GateSpec, Margin
from croupier.model.service import Strata
from croupier.model.verdict import Outcome

DEPOSITS = GateSpec(signal="deposits", role="required", margin=Margin(points=2.0))
ERRORS = GateSpec(signal="errors", role="required", margin=Margin(points=1.0))
RATIO = GateSpec(signal="errors", role="required", margin=Margin(ratio=2.0))


def play(release, blocks, canary, stable, series="errors"):
    verdict = release.verdict()
    for _ in range(blocks):
        verdict = release.block(canary, stable, series=series)
        if verdict.outcome is Outcome.FAIL:
            break
    return verdict


@pytest.fixture
def errors(make_release):
    started = make_release(ERRORS, dispersion={"errors": 1.0})
    started.start("errors")
    return started


def test_low_traffic_says_how_long_it_needs_and_offers_more_weight(errors):
    verdict = play(errors, 6, (5, 0), (95, 0))
    assert (verdict.outcome, verdict.code) == (Outcome.INCONCLUSIVE, "needs-time")
    assert verdict.needs_seconds is not None and verdict.needs_seconds > 60.0
    rate = Rate(20.0, 0.001, players=True)
    found = forecast(
        GatePolicy(gates=(DEPOSITS,)),
        (5, 50, 100),
        dwell=10.0,
        deadline=120.0,
        scrape_seconds=5.0,
        traffic={"deposits": rate},
        dispersion={},
    )
    assert not found.decidable
    assert any(option.startswith("start at ") for option in found.options)


def test_low_traffic_needs_nothing_special_to_take_back(errors):
    assert play(errors, 12, (5, 1), (95, 0)).outcome is Outcome.FAIL


def test_zero_baseline_errors_need_three_failures_and_no_more(errors):
    assert play(errors, 1, (50, 2), (950, 0)).outcome is Outcome.INCONCLUSIVE
    assert play(errors, 1, (50, 1), (950, 0)).outcome is Outcome.FAIL


def test_nan_or_a_series_missing_is_no_evidence(errors):
    errors.hide = lambda arm, series, pod: True
    assert play(errors, 100, (50, 25), (950, 0)).code == "no-data"


@pytest.mark.parametrize("every", [2, 3, 1000], ids=["each second scrape", "each third", "never"])
def test_a_sick_pod_that_hardly_answers_does_not_let_the_others_pass(errors, every):
    """What the half of the players get that nobody counts is not known to be no worse."""
    told = set()
    for number in range(100):
        errors.hide = lambda arm, series, pod, hidden=number % every: pod == "sick" and hidden > 0
        errors.add("canary", "errors", 25, 10, pod="sick")
        told.add(play(errors, 1, (25, 0), (950, 0)).code)
    assert told == {"partial"}
    errors.hide = lambda arm, series, pod: False
    play(errors, 1, (25, 0), (950, 0))
    errors.add("canary", "errors", 25, 10, pod="sick")
    assert play(errors, 1, (25, 0), (950, 0)).outcome is Outcome.FAIL


def test_a_counter_that_falls_a_little_holds_no_past_outage_against_the_canary(errors):
    play(errors, 20, (50, 0), (950, 0))
    play(errors, 20, (50, 20), (950, 380))
    play(errors, 80, (50, 0), (950, 0))
    errors.add("canary", "errors", -100, 0)
    assert play(errors, 2, (50, 0), (950, 0)).outcome is not Outcome.FAIL


@pytest.mark.parametrize("calm", [0, 5])
def test_a_canary_that_stays_in_an_outage_is_taken_back_soon_after_stable_is_out_of_it(errors, calm):
    """However long most of stable's requests have failed, too."""
    play(errors, calm, (50, 0), (950, 0))
    for _ in range(120):
        errors.add("stable", "errors", 0, 430, pod="1")
        assert play(errors, 1, (50, 45), (950, 425)).outcome is not Outcome.FAIL
    assert play(errors, 4, (50, 45), (950, 1)).outcome is Outcome.FAIL


def test_a_source_that_goes_on_answering_and_counts_nothing_any_more_is_no_pass(errors):
    """What was shown before the log stopped being written says nothing of what players get since."""
    assert play(errors, 40, (50, 0), (950, 0)).outcome is Outcome.PASS
    assert play(errors, 1, (0, 0), (0, 0)).code == "still"
    assert play(errors, 500, (0, 0), (0, 0)).code == "still"
    assert play(errors, 1, (50, 0), (950, 0)).outcome is Outcome.PASS


def test_a_quiet_moment_is_waited_out_where_attempts_are_rare(errors):
    assert play(errors, 800, (2, 0), (8, 0)).outcome is Outcome.PASS
    assert play(errors, 2, (0, 0), (0, 0)).outcome is Outcome.PASS


def test_a_step_passes_on_what_was_counted_at_its_own_weight(errors):
    assert play(errors, 40, (50, 0), (950, 0)).outcome is Outcome.PASS
    errors.weight = 50
    assert play(errors, 3, (0, 0), (0, 0)).code == "still"
    assert play(errors, 1, (1, 0), (1, 0)).outcome is Outcome.PASS


def test_a_clock_that_was_set_back_leaves_nothing_fresh(errors):
    assert play(errors, 40, (50, 0), (950, 0)).outcome is Outcome.PASS
    assert errors.verdict(later=-3600.0).code == "no-data"


def test_requests_without_their_bad_counter_hold(policy):
    """Zero failures only from a source that declares its counters zero-initialised, as the tally does."""
    evidence = new_evidence(policy, 5.0, {})
    for number in range(100):
        canary = {"pod": Count(50.0 * number, float("nan"))}
        stable = {"pod": Count(950.0 * number, 0.0)}
        arms = [ArmSample({"deposits": SeriesCounts(counts, counts)}) for counts in (canary, stable)]
        fold(evidence, Sample(5.0 * number, 5, *arms))
    assert assess(evidence, weight=5, now=500.0).code == "no-data"


def test_canary_requests_absent_while_the_router_sends_traffic_are_a_failure_of_their_own(errors):
    errors.missing.add("canary")
    verdict = play(errors, 40, (50, 0), (950, 1))
    assert (verdict.outcome, verdict.code) == (Outcome.FAIL, "silent")


def test_a_source_that_is_down_holds_and_at_the_deadline_the_money_tier_goes_back(errors):
    errors.missing |= {"canary", "stable"}
    verdict = play(errors, 100, (50, 0), (950, 1))
    assert (verdict.outcome, verdict.code) == (Outcome.INCONCLUSIVE, "no-data")
    planned = plan_release(
        run="r-0001", service=PAYMENTS, stable=STABLE, canary=HEALTHY, release=asked(), ordinal=0, dispersion={}
    )
    assert {step.hold.at_deadline for step in planned.steps[1:-1]} == {"back"}


def test_weight_changes_cost_no_evidence_and_a_block_with_one_inside_is_dropped(make_release):
    release = make_release(RATIO, dispersion={"errors": 1.0})
    release.start("errors")
    play(release, 20, (50, 1), (950, 19))
    release.missing.add("canary")
    release.block((50, 1), (950, 19), series="errors")
    release.missing.clear()
    release.weight = 50
    # Half of these belong to 5 %, half to 50 %: shares before and after must not be pooled.
    assert play(release, 1, (300, 9), (700, 0)).outcome is not Outcome.FAIL


def test_100_percent_has_no_control_so_the_money_tier_holds_one_percent_back():
    planned = plan_release(
        run="r-0001",
        service=PAYMENTS,
        stable=STABLE,
        canary=HEALTHY,
        release=asked(hold_back_percent=None),
        ordinal=0,
        dispersion={},
    )
    assert planned.steps[-2].weight == 99


def test_100_percent_with_a_hold_back_is_still_compared(errors):
    errors.weight = 99
    assert play(errors, 40, (990, 1), (10, 0)).outcome is not Outcome.FAIL
    assert play(errors, 60, (990, 99), (10, 0)).outcome is Outcome.FAIL


def test_a_non_stationary_shared_baseline_cancels_block_by_block(make_release):
    """The weight rises while everything gets worse for everybody: summed up, the canary fails half as often again."""
    release = make_release(RATIO, dispersion={"errors": 1.0})
    release.start("errors")
    for number in range(200):
        ratio, canary = 0.001 + 0.00005 * number, (500, 1000, 2500, 5000)[number // 50]
        release.weight = canary // 100
        verdict = play(release, 1, (canary, canary * ratio), (10_000 - canary, (10_000 - canary) * ratio))
        assert verdict.outcome is not Outcome.FAIL
    totals = release.evidence.gates[0].series[0].totals
    assert totals.canary_ratio > 1.3 * totals.stable_ratio
    pooled = RatioRise(1.0)
    pooled.update(totals.canary_total, totals.canary_bad, totals.stable_total, totals.stable_bad, 1000.0)
    assert pooled.log_evidence > log(1.0 / release.policy.alpha)


def test_different_populations_per_arm_are_drawn_by_player_and_counted_once_each(make_release):
    """One player with a bad card on the canary, again and again, is one newly affected player."""
    release = make_release(DEPOSITS)
    release.start()
    play(release, 1, (8, 1), (142, 0), series="deposits")
    assert play(release, 60, (8, 0), (142, 0), series="deposits").outcome is not Outcome.FAIL


def test_different_populations_per_arm_are_compared_stratum_by_stratum(make_release):
    """Twice as many of the canary's deposits go through a provider that loses a tenth for everybody. All together the
    canary looks worse; each provider by itself, with its own exposure, does not."""
    providers = Strata(by="provider", of=("psp-a", "psp-b"))
    release = make_release(DEPOSITS.model_copy(update={"strata": (providers,)}), dispersion={"deposits": 1.0})
    psp_a, psp_b = (f"deposits:provider={name}" for name in providers.of)
    release.start("deposits", psp_a, psp_b)
    for _ in range(40):
        for series, canary, stable in (
            (psp_a, (80.0, 0.4), (1800.0, 9.0)),
            (psp_b, (20.0, 2.0), (200.0, 20.0)),
            ("deposits", (100.0, 2.4), (2000.0, 29.0)),
        ):
            release.add("canary", series, *canary)
            release.add("stable", series, *stable)
        release.scrape()
    (gate,) = release.evidence.gates
    assert gate.series[0].log_against > 1.0
    assert all(stratum.series.log_against < 0.0 for stratum in gate.strata)


def test_a_colder_canary_is_forgiven_while_it_warms_up_and_a_broken_one_is_not(make_release):
    cold, broken = (make_release(RATIO, warmup_seconds=60.0) for _ in range(2))
    for release in (cold, broken):
        release.start("errors")
    assert play(cold, 10, (250, 5), (4750, 5)).code == "warming-up"
    assert play(broken, 10, (250, 50), (4750, 5)).code == "broken-while-warming"


def test_metric_lag_is_no_pass(errors):
    assert play(errors, 100, (50, 0), (950, 0)).outcome is Outcome.PASS
    assert errors.verdict(later=61.0).code == "no-data"


def test_a_counter_reset_is_what_happened_since(errors):
    play(errors, 10, (50, 0), (950, 1))
    errors.restart("canary", "errors")
    play(errors, 1, (50, 0), (950, 1))
    assert errors.verdict().gates[0].canary.total == 550.0


def test_overdispersion_tempers_what_comes_in_bursts(make_release):
    calm, bursty = (make_release(RATIO, dispersion={"errors": phi}) for phi in (1.0, 19.0))
    for release in (calm, bursty):
        release.start("errors")
    assert play(calm, 1, (50, 10), (950, 1)).outcome is Outcome.FAIL
    assert play(bursty, 1, (50, 10), (950, 1)).outcome is Outcome.INCONCLUSIVE


def test_retries_that_correlate_errors_show_in_the_dispersion():
    dispersion = SeriesDispersion(players=False)
    for number in range(480):
        pods = {str(pod): (100.0, 10.0 * (pod == number % 10)) for pod in range(10)}
        dispersion.add(pods, 15.0, 15.0 * number)
    assert dispersion.phi > 5.0


@pytest.mark.parametrize(("attempts", "told"), [(240.0, "fewer"), (400.0, ""), (480.0, ""), (2400.0, "more")])
def test_two_sided_business_metrics_are_told_in_both_directions(attempts, told):
    """Players who make four attempts a visit, and the canary's, who make others. Real visits: ``test_volume``."""
    assert sum(stake for _, stake in (*FEWER, *MORE)) == pytest.approx(1.0)
    volume = VolumeShift()
    for number in range(11):
        visits, stable = 100.0 * number, 300.0 * number
        # One visit a player: squares and products are those of single visits.
        per_visit = attempts / 100.0
        volume.read(
            Spread(visits, visits * per_visit**2, visits * per_visit, visits),
            Spread(stable, stable * 16.0, stable * 4.0, stable),
        )
        if number:
            volume.update(attempts, 1200.0, weight=25, seconds=5.0, telling=True)
    sides = {"fewer": volume.log_fewer, "more": volume.log_more}
    assert {side for side, evidence in sides.items() if evidence > log(100.0)} == {told} - {""}


def test_clustered_events_are_counted_by_player(policy):
    evidence = new_evidence(policy, 5.0, {})
    for number, (events, players) in enumerate([((0, 0), (0, 0)), ((400, 200), (15, 1))]):
        arm = ArmSample({"deposits": SeriesCounts({"p": Count(*events)}, {"p": Count(*players)})})
        calm = ArmSample(
            {"deposits": SeriesCounts({"p": Count(8000.0 * number, 0.0)}, {"p": Count(300.0 * number, 0)})}
        )
        fold(evidence, Sample(5.0 * number, 5, arm, calm))
    assert assess(evidence, weight=5, now=5.0).outcome is Outcome.INCONCLUSIVE


def test_a_restart_of_the_controller_gives_the_same_verdict_from_the_same_samples(errors):
    verdict = play(errors, 50, (50, 1), (950, 15))
    evidence = new_evidence(errors.policy, 5.0, {"errors": 1.0})
    for sample in (*errors.samples, errors.samples[-1]):
        fold(evidence, sample)
    assert assess(evidence, weight=5, now=errors.at) == verdict


def test_a_human_who_looks_changes_nothing(errors, make_release):
    other = make_release(ERRORS, dispersion={"errors": 1.0})
    other.start("errors")
    for number in range(60):
        errors.block((50, number % 9 == 0), (950, 2), series="errors")
        for _ in range(5):
            errors.verdict()
        other.block((50, number % 9 == 0), (950, 2), series="errors")
    assert errors.verdict() == other.verdict()


def test_a_new_revision_has_a_new_alpha(errors, make_release):
    """Nothing that the last revision did is held against the next."""
    assert play(errors, 20, (50, 5), (950, 1)).outcome is Outcome.FAIL
    following = make_release(ERRORS, dispersion={"errors": 1.0})
    following.start("errors")
    assert following.verdict().against <= 0.0
    assert play(following, 100, (50, 0), (950, 1)).outcome is Outcome.PASS


def test_a_late_onset_is_met_with_stakes_of_its_own_where_bursts_are_small_and_only_there():
    """§1.2: stakes on later starts break the promise beyond a dispersion of 1.5, so they are not placed there."""
    found = {}
    for phi in (1.0, 1.6):
        rise = RatioRise(phi)
        for _ in range(900):
            rise.update(250.0, 0.0, 4750.0, 2.0 * phi, 1.0)
        found[phi] = rise.log_evidence
    assert found[1.0] > -12.0 > found[1.6]
