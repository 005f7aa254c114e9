"""One provider or market at a time: what it adds against the canary, and what it says for itself (S4.6, S9.4)."""

from __future__ import annotations

from itertools import count
from math import log10

import pytest
from pydantic import ValidationError

from croupier.core.gates.evidence import STRATA_PART
from croupier.model.release import GateSpec, Margin
from croupier.model.service import Strata
from croupier.model.verdict import GateReading, Outcome

MARGIN = Margin(points=2.0)
BOTH = Strata(by="provider", of=("psp-a", "psp-b"))
DEPOSITS = GateSpec(signal="deposits", role="required", margin=MARGIN, strata=(BOTH,))
TOGETHER = GateSpec(signal="deposits", role="required", margin=MARGIN)
QUIET = {"deposits": 1.0, "deposits:provider=psp-a": 1.0, "deposits:provider=psp-b": 1.0}
A, B = "deposits:provider=psp-a", "deposits:provider=psp-b"


def begun(make_release, *gates, **fields):
    release = make_release(*gates, dispersion=QUIET, **fields)
    release.start("deposits", A, B)
    return release


def block(release, psp_a, psp_b):
    """One scrape: ((attempts, failures) of the canary, of stable) for each provider; deposits are the sum."""
    for series, (canary, stable) in ((A, psp_a), (B, psp_b), ("deposits", _sum(psp_a, psp_b))):
        release.add("canary", series, *canary)
        release.add("stable", series, stable[0] / 2, stable[1], pod="0")
        release.add("stable", series, stable[0] / 2, 0.0, pod="1")
    return release.scrape()


def _sum(psp_a, psp_b):
    return tuple(tuple(x + y for x, y in zip(one, other, strict=True)) for one, other in zip(psp_a, psp_b, strict=True))


def until_failed(release, psp_a, psp_b, *, most=200):
    for number in count(1):
        verdict = block(release, psp_a, psp_b)
        if verdict.outcome is Outcome.FAIL or number == most:
            return number, verdict
    raise AssertionError


def stratum(verdict, name):
    return next(each for each in verdict.gates[0].strata if each.name == name)


NOISY = ((45.0, 1.0), (855.0, 19.0))
"""psp-a: 2 % of either arm fail, whatever is released."""


def test_a_required_provider_waits_for_the_pod_that_is_not_counted(make_release):
    required = DEPOSITS.model_copy(
        update={"strata": (BOTH.model_copy(update={"required": ("psp-b",)}),), "role": "veto"}
    )
    release = begun(make_release, required, TOGETHER.model_copy(update={"signal": "errors"}))
    for number in range(100):
        release.hide = lambda arm, series, pod, hidden=number % 2: series == B and pod == "sick" and hidden == 1
        release.add("canary", B, 5, 2, pod="sick")
        block(release, ((45.0, 0.0), (855.0, 0.0)), ((45.0, 0.0), (855.0, 0.0)))
    assert stratum(release.verdict(), "psp-b").code == "partial"


def test_a_fault_of_one_provider_is_found_sooner_and_named(make_release):
    bad = ((5.0, 2.0), (95.0, 0.0))
    alone, verdict = until_failed(begun(make_release, DEPOSITS), NOISY, bad)
    together, _ = until_failed(begun(make_release, TOGETHER), NOISY, bad)
    assert (alone, together) == (2, 6)
    assert (verdict.code, verdict.gates[0].code) == ("worse", "worse")
    assert verdict.reason.startswith("failed deposits through psp-b: canary 4 of 10 players (40.00 %), stable 0 of 190")
    assert (stratum(verdict, "psp-b").outcome, stratum(verdict, "psp-a").outcome) == (
        Outcome.FAIL,
        Outcome.INCONCLUSIVE,
    )
    assert verdict.gates[0].canary.total == 100, "the gate counts all deposits"


def test_a_fault_of_all_is_charged_to_none(make_release):
    _, verdict = until_failed(begun(make_release, DEPOSITS), ((50.0, 2.0), (950.0, 1.0)), ((50.0, 2.0), (950.0, 1.0)))
    assert verdict.reason.startswith("failed deposits: canary")
    assert all(each.outcome is not Outcome.FAIL for each in verdict.gates[0].strata)


def test_the_stake_is_shared_so_alpha_stays_what_it_is(make_release):
    """Half on all together, half evenly on the strata: the mean of e-values is one (release-gates §1.7)."""
    release = begun(make_release, DEPOSITS)
    verdict = block(release, NOISY, ((5.0, 3.0), (95.0, 0.0)))
    evidence = release.evidence.gates[0]
    parts = [evidence.series[0].log_against, *(each.series.log_against for each in evidence.strata)]
    shares = [1.0 - STRATA_PART, STRATA_PART / 2, STRATA_PART / 2]
    mean = sum(share * 10 ** (nats / 2.302585093) for share, nats in zip(shares, parts, strict=True))
    assert sum(shares) == 1.0
    assert verdict.gates[0].against == pytest.approx(log10(mean), abs=1e-3)


def test_a_provider_that_is_down_for_both_is_held_against_nobody(make_release):
    release = begun(make_release, DEPOSITS)
    for _ in range(6):
        block(release, NOISY, ((25.0, 0.0), (475.0, 1.0)))
    verdict = block(release, NOISY, ((25.0, 13.0), (475.0, 240.0)))
    for _ in range(5):
        verdict = block(release, NOISY, ((25.0, 13.0), (475.0, 240.0)))
    assert verdict.outcome is not Outcome.FAIL
    assert stratum(verdict, "psp-b").code == "shared-incident"


@pytest.mark.parametrize("arm", ["canary", "stable"])
def test_a_provider_that_only_one_arm_knows_is_no_evidence(make_release, arm):
    release = begun(make_release, DEPOSITS)
    one_sided = ((20.0, 0.1), (0.0, 0.0)) if arm == "canary" else ((0.0, 0.0), (400.0, 2.0))
    for _ in range(60):
        verdict = block(release, ((50.0, 0.25), (950.0, 4.75)), one_sided)
    assert verdict.outcome is not Outcome.FAIL
    assert stratum(verdict, "psp-b").outcome is Outcome.INCONCLUSIVE
    assert stratum(verdict, "psp-b").against <= 0.0


def test_a_provider_too_small_to_tell_keeps_nobody_waiting_and_the_pass_says_so(make_release):
    release = begun(make_release, DEPOSITS)
    for _ in range(6):
        verdict = block(release, ((60.0, 0.0), (1140.0, 2.0)), ((0.0, 0.0), (2.0, 0.0)))
    assert verdict.outcome is Outcome.PASS
    assert verdict.reason == "deposits: no worse than the margin allows; not known of deposits through psp-b"
    assert (stratum(verdict, "psp-b").outcome, stratum(verdict, "psp-b").code) == (Outcome.INCONCLUSIVE, "too-few")
    assert stratum(verdict, "psp-a").outcome is Outcome.PASS


def test_a_provider_never_seen_says_so_and_keeps_nobody_waiting(make_release):
    release = make_release(DEPOSITS, dispersion=QUIET)
    release.start("deposits")
    for _ in range(6):
        verdict = release.block((60.0, 0.0), (1140.0, 2.0))
    assert verdict.outcome is Outcome.PASS
    assert {each.code for each in verdict.gates[0].strata} == {"no-data"}


@pytest.mark.parametrize("role", ["required", "veto"])
def test_a_required_provider_is_waited_for_whatever_the_role_of_its_gate(make_release, role):
    waits = BOTH.model_copy(update={"required": ("psp-b",)})
    gate = DEPOSITS.model_copy(update={"strata": (waits,), "role": role})
    errors = GateSpec(signal="errors", role="required", margin=MARGIN)
    release = make_release(gate, errors, dispersion=QUIET | {"errors": 1.0})
    release.start("deposits", A, B, "errors")

    def scrape():
        release.add("canary", "errors", 100.0, 0.0)
        release.add("stable", "errors", 1900.0, 0.0)
        return block(release, ((60.0, 0.0), (1140.0, 2.0)), ((5.0, 0.0), (95.0, 0.0)))

    for _ in range(10):
        verdict = scrape()
    assert (verdict.outcome, verdict.code) == (Outcome.INCONCLUSIVE, "needs-time")
    assert verdict.reason.startswith("failed deposits through psp-b: canary 0 of 50 players")
    assert verdict.needs_seconds == pytest.approx(5.0 * 35, rel=0.3)
    for _ in range(45):
        verdict = scrape()
    assert verdict.outcome is Outcome.PASS


def test_what_is_not_declared_is_judged_with_all_others_only(make_release):
    """So evidence written since it is counted says the same of releases from before."""
    with_strata, without = begun(make_release, TOGETHER), make_release(TOGETHER, dispersion=QUIET)
    without.start("deposits")
    for _ in range(5):
        verdict = block(with_strata, NOISY, ((5.0, 1.0), (95.0, 0.0)))
        assert verdict == without.block((50.0, 2.0), (950.0, 19.0))
        assert verdict.gates[0].strata == ()


def test_a_provider_with_few_failures_is_tempered_like_all_deposits(make_release):
    """A history too short to show its bursts must not let one burst of it take a release back."""
    release = make_release(DEPOSITS, dispersion={"deposits": 20.0, A: 1.05, B: 1.05})
    assert [each.series.phi for each in release.evidence.gates[0].strata] == [20.0, 20.0]


def test_fewer_than_three_failures_of_a_provider_never_take_back(make_release):
    release = begun(make_release, DEPOSITS)
    verdict = block(release, ((1.0, 0.0), (9999.0, 0.0)), ((1.0, 2.0), (9999.0, 0.0)))
    assert verdict.outcome is not Outcome.FAIL


def test_a_sick_pod_is_set_aside_for_every_provider_however_few_of_each_it_fails(make_release):
    """120 failures of the one canary pod, ten of each provider: too few of any to show by itself that a pod is sick."""
    names = tuple(f"psp-{number}" for number in range(12))
    gate = TOGETHER.model_copy(update={"strata": (Strata(by="provider", of=names),)})
    release = make_release(gate, players=False)
    series = [f"deposits:provider={name}" for name in names]
    release.start("deposits", *series)

    def scrape(failed):
        for name in series:
            release.add("canary", name, 15.0, failed)
            release.add("stable", name, 285.0, 0.5)
        release.add("canary", "deposits", 180.0, 12 * failed)
        release.add("stable", "deposits", 3420.0, 6.0)
        return release.scrape()

    for failed in (0.0, 0.0, 0.0, 10.0, 0.0, 0.0):
        verdict = scrape(failed)
        assert verdict.outcome is not Outcome.FAIL
    for _ in range(10):
        verdict = scrape(10.0)
    assert verdict.outcome is Outcome.FAIL, "what happens again is no accident"


def test_a_verdict_written_before_there_were_strata_is_read_as_it_was(make_release):
    verdict = begun(make_release, TOGETHER).verdict()
    written = verdict.gates[0].model_dump(mode="json", by_alias=True)
    del written["strata"]
    assert GateReading.model_validate(written) == verdict.gates[0]


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        (
            {"signal": "errors", "strata": (BOTH,)},
            "errors has no strata: only bets, deposits, logins, withdrawals know",
        ),
        ({"signal": "bets", "strata": (BOTH, BOTH)}, "strata by provider are given twice"),
        ({"signal": "bets", "strata": ({"by": "provider", "of": ("a", "a")},)}, "provider a is named twice"),
        (
            {"signal": "bets", "strata": ({"by": "market", "of": ("MT",), "required": ("GB",)},)},
            "market GB is required but",
        ),
        ({"signal": "bets", "strata": ({"by": "provider", "of": tuple(map(str, range(13)))},)}, "at most 12 items"),
        ({"signal": "bets", "strata": ({"by": "provider", "of": ('psp"',)},)}, "should match pattern"),
    ],
)
def test_strata_nobody_can_count_are_refused(fields, said):
    with pytest.raises(ValidationError, match=said):
        GateSpec.model_validate({"role": "veto", "margin": {"points": 2.0}, **fields})
