"""What must hold for every stream of scrapes, and exactly, for the bets themselves (release-gates §1.2, §1.6)."""

from __future__ import annotations

from math import comb, exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from croupier.core.gates import assess, fold, new_evidence
from croupier.core.gates.likelihood import PointsNotWorse, RatioNotWorse, RatioRise
from croupier.model.evidence import ArmSample, Count, Sample, SeriesCounts
from croupier.model.release import GatePolicy, GateSpec, Margin
from croupier.model.service import Strata
from croupier.model.verdict import Outcome

# --- a bet is fair: its expected capital never exceeds what it was before ------------------------------------------


def binomial(n: int, p: float) -> list[float]:
    return [comb(n, k) * p**k * (1.0 - p) ** (n - k) for k in range(n + 1)]


exposures = st.integers(1, 200)
dispersions = st.sampled_from([1.0, 1.3, 2.0, 19.0])


blocks = st.tuples(exposures, exposures, st.integers(0, 10))
"""(exposure of the canary, of stable, failures of both together)"""


@given(blocks, blocks, st.floats(0.05, 1.0), dispersions)
def test_the_bet_on_harm_is_fair_over_two_blocks(first, second, ratio, phi):
    """Given the failures of both arms together, the canary's part is binomial; true for every ratio up to the null."""
    (n1, m1, e1), (n2, m2, e2) = first, second
    expected = 0.0
    for k1, chance1 in enumerate(binomial(e1, ratio * n1 / (ratio * n1 + m1))):
        for k2, chance2 in enumerate(binomial(e2, ratio * n2 / (ratio * n2 + m2))):
            rise = RatioRise(phi)
            rise.update(n1, k1, m1, e1 - k1, 60.0)
            rise.update(n2, k2, m2, e2 - k2, 60.0)
            expected += chance1 * chance2 * exp(rise.log_evidence)
    assert expected <= 1.0 + 1e-9


@given(exposures, exposures, st.integers(0, 25), st.floats(1.0, 4.0), dispersions)
def test_the_bet_on_no_harm_is_fair_for_every_ratio_beyond_the_margin(n, m, bad, beyond, phi):
    margin = 2.0
    theta = margin * beyond * n / (margin * beyond * n + m)
    expected = 0.0
    for k, chance in enumerate(binomial(bad, theta)):
        favour = RatioNotWorse(phi, margin, 0.05)
        favour.update(n, k, m, bad - k)
        expected += chance * exp(favour.log_evidence)
    assert expected <= 1.0 + 1e-9


@given(st.integers(1, 40), st.integers(0, 100), st.floats(0.02, 0.2), dispersions)
def test_the_bet_in_points_is_fair_for_every_difference_beyond_the_margin(n, stable_bad, difference, phi):
    stable = 1000
    truth = min(1.0, stable_bad / stable + difference)
    expected = 0.0
    for k, chance in enumerate(binomial(n, truth)):
        favour = PointsNotWorse(phi, 0.02, 0.05)
        favour.update(n, k, stable, stable_bad)
        expected += chance * exp(favour.log_evidence)
    assert expected <= 1.0 + 1e-9


@given(exposures, exposures, st.integers(1, 30), dispersions, st.data())
def test_more_failures_of_the_canary_never_speak_for_it(n, m, bad, phi, data):
    fewer = data.draw(st.integers(0, bad - 1))
    logs = []
    for k in (fewer, fewer + 1):
        rise, favour = RatioRise(phi, rho=1.25), RatioNotWorse(phi, 2.0, 0.05)
        rise.update(n, k, m, bad - k, 15.0)
        favour.update(n, k, m, bad - k)
        logs.append((rise.log_evidence, favour.log_evidence))
    assert logs[0][0] <= logs[1][0] + 1e-12
    assert logs[0][1] >= logs[1][1] - 1e-12


# --- whatever a scrape shows -----------------------------------------------------------------------------------------

POLICY = GatePolicy(
    gates=(
        GateSpec(
            signal="deposits",
            role="required",
            margin=Margin(points=2.0),
            objective_ratio=0.9985,
            strata=(Strata(by="provider", of=("psp-a", "psp-b")), Strata(by="market", of=("MT",), required=("MT",))),
        ),
        GateSpec(signal="errors", role="required", margin=Margin(ratio=2.0)),
        GateSpec(signal="latency", role="veto", margin=Margin(ratio=1.5)),
    ),
    latency_edges=(0.25, 1.0),
)
SERIES = (
    "deposits",
    "deposits:provider=psp-a",
    "deposits:provider=psp-b",
    "deposits:market=MT",
    "errors",
    "latency:0.25",
    "latency:1",
)
numbers = st.one_of(st.integers(0, 5000).map(float), st.just(float("nan")), st.just(float("inf")))
pods = st.dictionaries(st.sampled_from(["a", "b"]), st.builds(Count, numbers, numbers), max_size=2)
counts = st.builds(SeriesCounts, pods, st.one_of(st.none(), pods))
arms = st.one_of(st.none(), st.builds(ArmSample, st.dictionaries(st.sampled_from(SERIES), counts, max_size=7)))
streams = st.lists(
    st.tuples(st.floats(-10.0, 400.0), st.sampled_from([0, 5, 25, 50, 100]), arms, arms), min_size=1, max_size=25
)


def samples_of(stream) -> list[Sample]:
    at, samples = 1000.0, []
    for step, weight, canary, stable in stream:
        at += step
        samples.append(Sample(at=at, weight=weight, canary=canary, stable=stable))
    return samples


@given(streams)
def test_no_scrape_breaks_the_gates_and_replay_gives_the_same_verdicts(stream):
    samples = samples_of(stream)
    verdicts = []
    for _ in range(2):
        evidence = new_evidence(POLICY, 5.0, {})
        told = []
        for sample in samples:
            fold(evidence, sample)
            told.append(assess(evidence, weight=sample.weight, now=sample.at))
        verdicts.append(told)
    assert verdicts[0] == verdicts[1]


@given(streams)
def test_repeats_and_older_samples_change_nothing(stream):
    samples = samples_of(stream)
    once, again = new_evidence(POLICY, 5.0, {}), new_evidence(POLICY, 5.0, {})
    newest = float("-inf")
    for sample in samples:
        fold(once, sample)
        fold(again, sample)
        newest = max(newest, sample.at)
        fold(again, sample)
        fold(again, Sample(at=newest - 1.0, weight=50, canary=sample.stable, stable=sample.canary))
    assert assess(once, weight=5, now=newest) == assess(again, weight=5, now=newest)


@given(streams, st.sampled_from(["canary", "stable"]))
def test_with_one_arm_only_nothing_is_ever_decided(stream, arm):
    evidence = new_evidence(POLICY, 5.0, {})
    for sample in samples_of(stream):
        weight = min(sample.weight, 50)
        alone = Sample(
            at=sample.at,
            weight=weight,
            canary=sample.canary if arm == "canary" else None,
            stable=sample.stable if arm == "stable" else None,
        )
        fold(evidence, alone)
        assert assess(evidence, weight=weight, now=sample.at).outcome is Outcome.INCONCLUSIVE


@given(streams)
def test_nan_never_decides(stream):
    evidence = new_evidence(POLICY, 5.0, {})
    for sample in samples_of(stream):
        absent = ArmSample(
            {name: SeriesCounts({"a": Count(float("nan"), 3.0), "b": Count(5.0, float("nan"))}) for name in SERIES}
        )
        fold(evidence, Sample(at=sample.at, weight=sample.weight, canary=absent, stable=absent))
        assert assess(evidence, weight=sample.weight, now=sample.at).outcome is Outcome.INCONCLUSIVE


# --- providers and markets -------------------------------------------------------------------------------------------


def judged(stream, *strata: Strata):
    """The verdicts after each sample with a gate on deposits that has these strata."""
    gate = GateSpec(signal="deposits", role="required", margin=Margin(points=2.0), strata=strata)
    evidence = new_evidence(GatePolicy(gates=(gate,)), 5.0, {})
    for sample in samples_of(stream):
        fold(evidence, sample)
        yield assess(evidence, weight=sample.weight, now=sample.at)


def same(one, other) -> bool:
    first, second = one.gates[0], other.gates[0]
    codes = (one.outcome, one.code, first.outcome, first.code) == (
        other.outcome,
        other.code,
        second.outcome,
        second.code,
    )
    figures = (one.against, first.against, first.favour)
    return codes and figures == pytest.approx((other.against, second.against, second.favour), abs=2e-4)


def by_name(verdict):
    return sorted((each.name, each.outcome, each.code, each.against, each.favour) for each in verdict.gates[0].strata)


@given(streams)
def test_the_order_of_strata_does_not_matter(stream):
    ways = ("psp-a", "psp-b"), ("psp-b", "psp-a")
    one, other = (judged(stream, Strata(by="provider", of=names)) for names in ways)
    for first, second in zip(one, other, strict=True):
        assert same(first, second)
        assert by_name(first) == by_name(second)
        assert first.reason.partition("; not known")[0] == second.reason.partition("; not known")[0]


@given(streams)
def test_a_stratum_equal_to_the_whole_changes_nothing(stream):
    whole = [
        (step, weight, *(of_everything(arm) for arm in (canary, stable))) for step, weight, canary, stable in stream
    ]
    for everything in (Strata(by="provider", of=("all",)), Strata(by="provider", of=("all",), required=("all",))):
        plain = judged(whole)
        for first, second in zip(plain, judged(whole, everything), strict=True):
            assert same(first, second)


def of_everything(arm: ArmSample | None) -> ArmSample | None:
    if arm is None or "deposits" not in arm.series:
        return arm
    return ArmSample({"deposits": arm.series["deposits"], "deposits:provider=all": arm.series["deposits"]})


@given(streams)
def test_no_stratum_takes_a_release_back_with_fewer_than_three_failures(stream):
    for verdict in judged(stream, Strata(by="provider", of=("psp-a", "psp-b"))):
        for each in verdict.gates[0].strata:
            assert each.against <= 0.0 or each.canary.bad >= 3.0


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 3), st.booleans()), min_size=2, max_size=30))
def test_a_restart_loses_counts_but_invents_none(intervals):
    """Whatever restarts, no more is counted than happened."""
    evidence = new_evidence(POLICY, 5.0, {})
    shown, happened, at = [0.0, 0.0], [0.0, 0.0], 0.0
    for total, bad, restarts in [(0, 0, False), *intervals]:
        if restarts:
            shown = [0.0, 0.0]
        moved = (total + bad, bad)
        shown = [shown[0] + moved[0], shown[1] + moved[1]]
        happened = [happened[0] + moved[0], happened[1] + moved[1]]
        at += 5.0
        stable = ArmSample({"errors": SeriesCounts({"s": Count(100.0 * at, at)})})
        canary = ArmSample({"errors": SeriesCounts({"c": Count(*shown)})})
        fold(evidence, Sample(at=at, weight=5, canary=canary, stable=stable))
    counted = assess(evidence, weight=5, now=at).gates[1].canary
    assert counted.bad <= happened[1]
    assert counted.total <= happened[0]
