"""What a running release is told: the edge cases of release-gates §1.9 and §1.12, one by one (S4.6, S9.7)."""

from __future__ import annotations

import pytest

from croupier.core.gates import assess, fold, new_evidence
from croupier.errors import UsageError
from croupier.model.evidence import ArmSample, Count, Sample, SeriesCounts
from croupier.model.release import GatePolicy, GateSpec, Margin
from croupier.model.verdict import Outcome

DEPOSITS = GateSpec(signal="deposits", role="required", margin=Margin(points=2.0))
ERRORS = GateSpec(signal="errors", role="veto", margin=Margin(ratio=2.0))
LATENCY = GateSpec(signal="latency", role="veto", margin=Margin(ratio=1.5))


def play(release, blocks, canary, stable):
    verdict = release.verdict()
    for _ in range(blocks):
        verdict = release.block(canary, stable)
    return verdict


# --- the three answers ---------------------------------------------------------------------------------------------


def test_two_hundred_odd_clean_deposits_pass(release):
    assert play(release, 25, (8, 0), (142, 0)).outcome is Outcome.INCONCLUSIVE
    verdict = play(release, 10, (8, 0), (142, 0))
    assert verdict.outcome is Outcome.PASS
    assert verdict.gates[0].unit == "players"


def test_lost_deposits_are_taken_back_with_the_numbers_and_the_reason(release):
    verdict = play(release, 8, (8, 1), (142, 0))
    assert (verdict.outcome, verdict.code) == (Outcome.FAIL, "worse")
    assert "canary 8 of 64 players" in verdict.reason
    assert verdict.against >= verdict.against_bar


def test_inconclusive_says_how_long_it_still_needs_and_is_about_right(release):
    verdict = play(release, 10, (8, 0), (142, 0))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert verdict.code == "needs-time"
    promised, waited = verdict.needs_seconds, 0
    while release.block((8, 0), (142, 0)).outcome is not Outcome.PASS:
        waited += 5
    assert 0.5 <= promised / waited <= 2.0


def test_fewer_than_three_failures_never_take_back(release):
    assert release.block((8, 2), (142, 0)).outcome is Outcome.INCONCLUSIVE
    assert release.block((8, 1), (142, 0)).outcome is Outcome.FAIL


def test_a_canary_exactly_at_the_margin_does_not_pass(release):
    assert play(release, 200, (50, 1), (950, 0)).outcome is not Outcome.PASS


# --- no data is never an answer ------------------------------------------------------------------------------------


def test_nothing_seen_is_no_data(policy):
    verdict = assess(new_evidence(policy, 5.0, {}), weight=5, now=1000.0)
    assert (verdict.outcome, verdict.code) == (Outcome.INCONCLUSIVE, "no-data")


@pytest.mark.parametrize("arm", ["canary", "stable"])
def test_a_missing_arm_is_neither_pass_nor_fail(release, arm):
    release.missing.add(arm)
    assert play(release, 100, (50, 0), (950, 0)).outcome is Outcome.INCONCLUSIVE
    assert play(release, 100, (50, 25), (950, 0)).outcome is Outcome.INCONCLUSIVE


def test_nan_never_decides(release):
    release.hide = lambda arm, series, pod: arm == "canary"
    assert play(release, 100, (50, 25), (950, 0)).outcome is Outcome.INCONCLUSIVE


def test_a_pass_grows_stale(release):
    assert play(release, 40, (8, 0), (142, 0)).outcome is Outcome.PASS
    assert release.verdict(later=10.0).outcome is Outcome.PASS
    late = release.verdict(later=60.0)
    assert (late.outcome, late.code) == (Outcome.INCONCLUSIVE, "no-data")


def test_a_failure_does_not_grow_stale(release):
    assert play(release, 8, (8, 1), (142, 0)).outcome is Outcome.FAIL
    assert release.verdict(later=600.0).outcome is Outcome.FAIL


def test_a_required_signal_that_never_comes_holds(make_release):
    release = make_release(DEPOSITS, ERRORS)
    release.start("errors")
    for _ in range(100):
        verdict = release.block((50, 0), (950, 0), series="errors")
    assert (verdict.outcome, verdict.code) == (Outcome.INCONCLUSIVE, "no-data")


def test_without_a_required_gate_nothing_passes(make_release):
    release = make_release(ERRORS)
    release.start("errors")
    for _ in range(100):
        verdict = release.block((50, 1), (950, 20), series="errors")
    assert verdict.code == "nothing-required"


# --- scrapes that go wrong -----------------------------------------------------------------------------------------


def test_a_repeated_or_older_sample_changes_nothing(release):
    play(release, 10, (8, 0), (142, 1))
    before = release.verdict()
    for sample in (release.samples[-1], release.samples[2]):
        fold(release.evidence, sample)
    assert release.verdict() == before


def test_an_incident_inside_a_gap_is_not_held_against_the_canary(release):
    """The canary's catch-up after missed scrapes must not be compared with stable's last five seconds alone."""
    play(release, 10, (8, 0), (142, 0))
    release.missing.add("canary")
    release.block((8, 4), (142, 71))
    release.block((8, 4), (142, 71))
    release.missing.clear()
    assert play(release, 5, (8, 0), (142, 0)).outcome is not Outcome.FAIL


def test_a_restart_of_the_canary_is_not_evidence(release):
    play(release, 10, (8, 0), (142, 1))
    release.restart("canary", "deposits")
    assert release.block((8, 0), (142, 1)).outcome is Outcome.INCONCLUSIVE


def test_replay_gives_the_same_verdict(release, policy):
    for number in range(60):
        verdict = release.block((8, number % 7 == 0), (142, number % 5 == 0))
    evidence = new_evidence(policy, 5.0, {"deposits": 1.0})
    for sample in release.samples:
        fold(evidence, sample)
    assert assess(evidence, weight=5, now=release.at) == verdict


# --- what both arms share ------------------------------------------------------------------------------------------


def test_a_shared_outage_is_held_neither_for_nor_against(release):
    play(release, 10, (8, 0), (142, 0))
    favour = release.verdict().gates[0].favour
    verdict = play(release, 12, (8, 4), (142, 71))
    assert (verdict.outcome, verdict.code) == (Outcome.INCONCLUSIVE, "shared-incident")
    assert verdict.gates[0].favour == favour


def test_shares_that_rise_while_the_baseline_drifts_do_not_add_up_to_a_fault(make_release):
    """Simpson's paradox: pooled over steps, the canary has seen more of the bad end of the day."""
    release = make_release(GateSpec(signal="errors", role="required", margin=Margin(ratio=2.0)))
    release.start("errors")
    for weight, ratio in ((5, 0.001), (10, 0.002), (25, 0.004), (50, 0.008)):
        release.weight = weight
        for _ in range(40):
            n, m = weight * 50, (100 - weight) * 50
            verdict = release.block((n, n * ratio), (m, m * ratio), series="errors")
            assert verdict.outcome is not Outcome.FAIL


def test_evidence_carries_over_a_step(release):
    play(release, 30, (8, 0), (142, 0))
    release.weight = 10
    assert play(release, 4, (16, 0), (134, 0)).outcome is Outcome.PASS


# --- warm-up -------------------------------------------------------------------------------------------------------


def test_cold_caches_are_forgiven_while_warming_up(make_release):
    release = make_release(GateSpec(signal="errors", role="required", margin=Margin(ratio=2.0)), warmup_seconds=60.0)
    release.start("errors")
    for _ in range(11):
        verdict = release.block((250, 10), (4750, 5), series="errors")
        assert (verdict.outcome, verdict.code) == (Outcome.INCONCLUSIVE, "warming-up")
    for _ in range(40):
        verdict = release.block((250, 0), (4750, 5), series="errors")
        assert verdict.outcome is not Outcome.FAIL


def test_a_broken_release_cannot_hide_in_the_warm_up(make_release):
    release = make_release(ERRORS, warmup_seconds=60.0)
    release.start("errors")
    for _ in range(2):
        verdict = release.block((250, 25), (4750, 5), series="errors")
    assert (verdict.outcome, verdict.code) == (Outcome.FAIL, "broken-while-warming")


# --- the objective -------------------------------------------------------------------------------------------------

GUARDED = DEPOSITS.model_copy(update={"objective_ratio": 0.9985, "margin": Margin(points=5.0)})


def test_a_breached_objective_withholds_promotion_but_does_not_take_back(make_release):
    """The gate has a small part of the budget, so that the objective speaks before the comparison does."""
    release = make_release(GUARDED, ERRORS.model_copy(update={"importance": 99.0}))
    release.start("deposits", "errors")
    answers = []
    while not answers or answers[-1] != (Outcome.INCONCLUSIVE, "slo-breach"):
        release.add("canary", "errors", 50, 0)
        release.add("stable", "errors", 950, 1)
        verdict = release.block((50, 0.25), (950, 1.3))
        answers.append((verdict.outcome, verdict.code))
        assert verdict.outcome is not Outcome.FAIL
        assert len(answers) < 200


def test_a_breach_is_not_over_because_nothing_is_heard_of_it_any_more(make_release):
    watched = ERRORS.model_copy(update={"role": "veto", "objective_ratio": 0.9985})
    release = make_release(DEPOSITS.model_copy(update={"importance": 99.0}), watched)
    release.start("deposits", "errors")

    def play(failed):
        release.add("canary", "errors", 50, failed)
        release.add("stable", "errors", 950, 1.3)
        return release.block((50, 0), (950, 0))

    for _ in range(40):
        play(0)
    while play(0.25).code != "slo-breach":
        assert release.verdict().outcome is Outcome.PASS
    release.hide = lambda arm, series, pod: series == "errors"
    told = {(play(0.25).outcome, release.verdict().gates[1].code) for _ in range(20)}
    assert told == {(Outcome.INCONCLUSIVE, "slo-breach"), (Outcome.INCONCLUSIVE, "no-data")}


def test_where_stable_breaches_too_the_objective_says_nothing(make_release):
    release = make_release(GUARDED)
    release.start()
    for number in range(100):
        verdict = release.block((50, number % 2), (950, 9))
    assert verdict.outcome is Outcome.PASS


def test_at_full_weight_a_breach_holds_and_pages(make_release):
    release = make_release(GUARDED)
    release.start()
    for _ in range(100):
        assert release.block((50, 0), (950, 0)).outcome is not Outcome.FAIL
    release.weight = 100
    release.missing.add("stable")
    for _ in range(3):
        verdict = release.block((1000, 0), (0, 0))
    assert verdict.outcome is Outcome.PASS
    for _ in range(5):
        verdict = release.block((1000, 20), (0, 0))
    assert (verdict.outcome, verdict.code) == (Outcome.INCONCLUSIVE, "slo-breach")
    assert "nothing to compare it with" in verdict.reason


# --- attempts that vanish ------------------------------------------------------------------------------------------


def test_a_canary_that_attempts_nothing_is_taken_back(release):
    verdict = play(release, 30, (0, 0), (142, 0))
    assert (verdict.outcome, verdict.code) == (Outcome.FAIL, "vanished")


def test_a_canary_that_falls_silent_does_not_pass(release):
    assert play(release, 40, (8, 0), (142, 0)).outcome is Outcome.PASS
    assert play(release, 4, (0, 0), (142, 0)).code in ("silent", "vanished")


# --- latency -------------------------------------------------------------------------------------------------------


def slow_blocks(release, blocks, canary, stable):
    for _ in range(blocks):
        for edge, (k, b) in (("0.25", (canary[0], stable[0])), ("1", (canary[1], stable[1]))):
            release.add("canary", f"latency:{edge}", 100, k)
            release.add("stable", f"latency:{edge}", 1900, b)
        verdict = release.scrape()
    return verdict


@pytest.fixture
def watched(make_release):
    release = make_release(LATENCY, latency_edges=(0.25, 1.0), dispersion={"latency:0.25": 1.3, "latency:1": 1.3})
    release.start("latency:0.25", "latency:1")
    return release


def test_a_slower_canary_is_taken_back(watched):
    assert slow_blocks(watched, 20, (15, 0), (95, 0)).outcome is Outcome.FAIL


def test_a_canary_slow_where_stable_never_is_is_caught(watched):
    assert slow_blocks(watched, 10, (5, 3), (95, 0)).outcome is Outcome.FAIL


def test_no_build_is_exactly_as_fast_as_another(watched):
    assert slow_blocks(watched, 300, (6, 0), (95, 0)).outcome is not Outcome.FAIL


def test_an_edge_that_all_requests_exceed_tells_nothing(watched):
    assert slow_blocks(watched, 50, (95, 0), (1330, 0)).outcome is not Outcome.FAIL


def test_an_edge_that_all_requests_exceeded_for_a_while_tells_again_afterwards(watched):
    assert slow_blocks(watched, 240, (95, 0), (1805, 0)).outcome is not Outcome.FAIL
    assert slow_blocks(watched, 60, (95, 0), (95, 0)).outcome is Outcome.FAIL


def test_a_latency_gate_needs_edges():
    with pytest.raises(UsageError):
        new_evidence(GatePolicy(gates=(LATENCY,)), 5.0, {})


# --- several gates -------------------------------------------------------------------------------------------------


def test_gates_share_one_error_budget(make_release):
    """A mean of evidence, not the first to shout: alone this would be enough, beside a calm gate it is not yet."""
    alone, beside = make_release(ERRORS), make_release(ERRORS, DEPOSITS.model_copy(update={"importance": 9.0}))
    for release, series in ((alone, ("errors",)), (beside, ("errors", "deposits"))):
        release.start(*series)
        for name in series:
            release.add("canary", name, 50, 3 if name == "errors" else 0)
            release.add("stable", name, 950, 2 if name == "errors" else 0)
        release.scrape()
    assert alone.verdict().against > beside.verdict().against
    assert beside.verdict().gates[0].against == alone.verdict().gates[0].against


def test_the_verdict_names_the_gate_that_decided(make_release):
    release = make_release(DEPOSITS, ERRORS)
    release.start("deposits", "errors")
    for _ in range(10):
        release.add("canary", "errors", 50, 5)
        release.add("stable", "errors", 950, 1)
        verdict = release.block((8, 0), (142, 0))
    assert verdict.reason.startswith("errors:")
    assert [reading.outcome for reading in verdict.gates] == [Outcome.INCONCLUSIVE, Outcome.FAIL]


def test_a_veto_never_keeps_a_healthy_release_waiting(make_release):
    release = make_release(DEPOSITS, ERRORS)
    release.start("deposits", "errors")
    for _ in range(40):
        release.add("canary", "errors", 1, 0)
        release.add("stable", "errors", 19, 0)
        verdict = release.block((8, 0), (142, 0))
    assert verdict.outcome is Outcome.PASS


# --- units ---------------------------------------------------------------------------------------------------------


def sample(at, canary, stable):
    def arm(counts):
        events, players = counts
        pods = {"p": Count(*events)}
        return ArmSample({"deposits": SeriesCounts(pods, None if players is None else {"p": Count(*players)})})

    return Sample(at=at, weight=5, canary=arm(canary), stable=arm(stable))


def test_one_player_with_a_bad_card_is_one_failure(policy):
    """Twenty failed attempts of one player are one newly affected player (§1.12)."""
    evidence = new_evidence(policy, 5.0, {})
    fold(evidence, sample(0.0, ((0, 0), (0, 0)), ((0, 0), (0, 0))))
    fold(evidence, sample(5.0, ((40, 20), (15, 1)), ((800, 4), (300, 2))))
    reading = assess(evidence, weight=5, now=5.0).gates[0]
    assert (reading.unit, reading.canary.bad) == ("players", 1)


def test_where_players_are_unknown_events_are_counted(policy):
    evidence = new_evidence(policy, 5.0, {})
    fold(evidence, sample(0.0, ((0, 0), None), ((0, 0), None)))
    fold(evidence, sample(5.0, ((40, 2), None), ((800, 4), None)))
    reading = assess(evidence, weight=5, now=5.0).gates[0]
    assert (reading.unit, reading.canary.bad, reading.dispersion) == ("events", 2, 2.0)


def test_the_unit_does_not_change_within_a_run(policy):
    evidence = new_evidence(policy, 5.0, {})
    fold(evidence, sample(0.0, ((0, 0), (0, 0)), ((0, 0), (0, 0))))
    fold(evidence, sample(5.0, ((40, 20), None), ((800, 4), None)))
    assert assess(evidence, weight=5, now=5.0).gates[0].canary.total == 0
