"""One violation of the ledger takes a version back (exact invariants)."""

from __future__ import annotations

import pytest

from croupier.core.gates import assess, fold, new_evidence
from croupier.model.evidence import ArmSample, Sample
from croupier.model.verdict import Outcome


def arm(count: float | None) -> ArmSample | None:
    return None if count is None else ArmSample({}, violations={"posted-twice": count})


def verdict(policy, counts):
    evidence = new_evidence(policy, 5.0, {})
    for number, (canary, stable) in enumerate(counts):
        fold(evidence, Sample(1000.0 + 5.0 * number, 5, arm(canary), arm(stable)))
    return assess(evidence, weight=5, now=1000.0 + 5.0 * len(counts))


def test_one_is_enough_and_the_verdict_names_it(policy):
    found = verdict(policy, [(0, 0), (0, 0), (1, 0)])
    assert (found.outcome, found.code) == (Outcome.FAIL, "invariant")
    assert "posted-twice 1 times" in found.reason


@pytest.mark.parametrize(
    "counts",
    [
        [(0, 0), (0, 0)],
        [(0, 0), (0, 3)],  # stable's own
        [(7, 0), (7, 0)],  # from before the run
        [(float("nan"), 0), (float("nan"), 0)],
        [(2, 0), (None, None), (0, 0), (0, 0)],  # the tally began anew
    ],
)
def test_what_the_canary_did_not_do_in_this_run_is_not_held_against_it(policy, counts):
    assert verdict(policy, counts).outcome is Outcome.INCONCLUSIVE


def test_the_first_reading_of_an_arm_that_did_not_exist_is_all_its_own(policy):
    assert verdict(policy, [(None, 0), (1, 0)]).outcome is Outcome.FAIL


def test_the_first_reading_of_counters_that_bear_the_runs_name_is_all_its_own(policy):
    """The run's first players may be counted before its first scrape: once is once too often then, too."""
    evidence = new_evidence(policy, 5.0, {})
    canary = ArmSample({}, violations={"posted-twice": 1.0}, began_with_run=True)
    fold(evidence, Sample(1000.0, 5, canary, ArmSample({}, violations={"posted-twice": 4.0}, began_with_run=True)))
    assert assess(evidence, weight=5, now=1000.0).code == "invariant"
    assert evidence.ledger.of_stable == 0.0


def test_a_violation_after_the_tally_began_anew_counts(policy):
    assert verdict(policy, [(5, 0), (0, 0), (1, 0)]).outcome is Outcome.FAIL


def test_where_nobody_watches_the_ledger_the_verdict_does_not_speak_of_it(policy):
    evidence = new_evidence(policy, 5.0, {})
    fold(evidence, Sample(1000.0, 5, ArmSample({}), ArmSample({})))
    assert [reading.gate for reading in assess(evidence, weight=5, now=1000.0).gates] == ["deposits"]
