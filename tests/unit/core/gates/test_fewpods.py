"""Stable with one pod or two: whole minutes are bet on, too (release-gates §1.3, §1.8)."""

from __future__ import annotations

from math import comb, exp, log

import pytest
from hypothesis import given
from hypothesis import strategies as st

from croupier.core.gates import assess, fails, fold, forecast, new_evidence
from croupier.core.gates.fewpods import FewPodsRise, LinearRise, rise
from croupier.core.gates.likelihood import STAKES, RatioRise
from croupier.core.gates.recent import Rate
from croupier.model.evidence import ArmSample, Count, Sample, SeriesCounts
from croupier.model.release import GatePolicy, GateSpec, Margin
from croupier.model.verdict import Outcome

ERRORS = GateSpec(signal="errors", role="required", margin=Margin(ratio=2.0))
POLICY = GatePolicy(gates=(ERRORS,))


def wins(bad: int, of: int, share: float = 0.05) -> float:
    """Capital after one whole minute with so many failures of the canary among all."""
    linear = LinearRise()
    linear.update(100.0 * share, float(bad), 100.0 * (1.0 - share), float(of - bad), 60.0)
    return exp(linear.log_evidence)


@pytest.mark.parametrize("of", [1, 2, 7, 40])
def test_it_is_a_fair_bet_when_failures_fall_one_by_one(of):
    expected = sum(comb(of, k) * 0.05**k * 0.95 ** (of - k) * wins(k, of) for k in range(of + 1))
    assert expected == pytest.approx(1.0)


@pytest.mark.parametrize("of", [1, 7, 1000])
def test_it_is_a_fair_bet_when_all_of_them_are_one_burst(of):
    assert 0.05 * wins(of, of) + 0.95 * wins(0, of) == pytest.approx(1.0)


def test_one_burst_however_large_wins_no_more_than_the_inverse_of_the_share():
    assert wins(1_000_000, 1_000_000) <= 20.0


def test_it_moves_once_a_minute():
    linear = LinearRise()
    for _ in range(3):
        linear.update(50.0, 5.0, 950.0, 1.0, 15.0)
        assert linear.log_evidence == pytest.approx(0.0)
    linear.update(50.0, 5.0, 950.0, 1.0, 15.0)
    assert linear.log_evidence > 1.0


def test_a_weight_that_changes_within_a_minute_counts_scrape_by_scrape():
    """At 5 % and then 50 %, with shares exactly as they must be, nothing is won; a pooled share would win."""
    linear = LinearRise()
    for canary in (5.0, 50.0):
        linear.update(canary, canary, 100.0 - canary, 100.0 - canary, 30.0)
    assert linear.log_evidence == pytest.approx(0.0)


def test_half_the_stake_is_on_either_bet():
    both, tempered = FewPodsRise(4.0), RatioRise(4.0)
    for each in (both, tempered):
        each.update(50.0, 40.0, 950.0, 1.0, 15.0)
    assert both.log_evidence == pytest.approx(log(0.5 * exp(tempered.log_evidence) + 0.5))
    assert isinstance(rise(4.0, has_few_pods=False), RatioRise)
    assert sum(stake for _, stake in STAKES) == pytest.approx(1.0)


def played(blocks: list[tuple[float, float]], dispersion: dict[str, float], few_pods: tuple[str, ...]):
    """One pod each, 5 % of 1000 requests a second, a scrape every 15 s; (failures of canary, of stable) a block."""
    evidence = new_evidence(POLICY, 15.0, dispersion, few_pods=few_pods)
    bad = [0.0, 0.0]
    for number in range(len(blocks) + 1):
        if number:
            bad = [bad[0] + blocks[number - 1][0], bad[1] + blocks[number - 1][1]]
        arms = [
            ArmSample({"errors": SeriesCounts({name: Count(number * each, failed)})})
            for name, each, failed in (("canary", 750.0, bad[0]), ("stable", 14_250.0, bad[1]))
        ]
        fold(evidence, Sample(at=15.0 * number, weight=5, canary=arms[0], stable=arms[1]))
    return evidence


def test_one_burst_of_thirty_on_a_canary_beside_one_quiet_pod_takes_nobody_back():
    burst = [(30.0, 0.0), *[(0.0, 0.0)] * 7]
    assert fails(played(burst, {}, ()))
    assert not fails(played(burst, {"errors": 60.0}, ("errors",)))


@pytest.mark.parametrize(
    ("ratio", "dispersion", "seconds"),
    [(1.0, {}, 45), (0.1, {}, 15), (0.02, {}, 15), (0.02, {"errors": 60.0}, 180), (0.1, {"errors": 1.0}, 15)],
)
def test_faults_are_found_nonetheless(ratio, dispersion, seconds):
    blocks = [(750.0 * ratio, 14.0)] * (seconds // 15)
    assert fails(played(blocks, dispersion, ("errors",)))


def test_evidence_of_a_run_from_before_is_judged_as_it_was():
    """Its plan names no series with few pods, whatever pods its samples show."""
    blocks = [(2.0, 14.0)] * 20
    old, new = played(blocks, {"errors": 3.0}, ()), played(blocks, {"errors": 3.0}, ("errors",))
    tempered = RatioRise(3.0)
    for canary, stable in blocks:
        tempered.update(750.0, canary, 14_250.0, stable, 15.0)
    assert old.gates[0].series[0].rise.log_evidence == tempered.log_evidence
    assert new.gates[0].series[0].rise.log_evidence != tempered.log_evidence


def test_the_forecast_of_a_fault_knows_few_pods():
    def seconds(few_pods: tuple[str, ...]) -> list[float | None]:
        found = forecast(
            POLICY,
            (5, 100),
            dwell=10.0,
            deadline=1800.0,
            scrape_seconds=15.0,
            traffic={"errors": Rate(1000.0, 0.001)},
            dispersion={"errors": 30.0},
            few_pods=few_pods,
        )
        return [fault.seconds for fault in found.faults]

    assert seconds(("errors",)) != seconds(())


@given(
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12),
    st.sampled_from([{}, {"errors": 1.0}, {"errors": 9.0}]),
    st.sampled_from([(), ("errors",)]),
)
def test_who_asks_only_who_goes_back_hears_what_the_verdict_says(blocks, dispersion, few_pods):
    evidence = played([(float(a), float(b)) for a, b in blocks], dispersion, few_pods)
    verdict = assess(evidence, weight=5, now=15.0 * len(blocks))
    assert fails(evidence) is (verdict.outcome is Outcome.FAIL)
