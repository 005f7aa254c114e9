"""What is said before a release starts (S4.6; issue: refused with the numbers and the options)."""

from __future__ import annotations

from random import Random
from statistics import median

import pytest

from croupier.core.gates import Incident, Rate, forecast
from croupier.model.release import GatePolicy, GateSpec, Margin
from croupier.model.service import Strata
from croupier.model.verdict import Outcome

DEPOSITS = GateSpec(signal="deposits", role="required", margin=Margin(points=2.0))
ERRORS = GateSpec(signal="errors", role="veto", margin=Margin(ratio=2.0))
STEPS = (5, 10, 25, 50, 100)


def plan(*gates, traffic, deadline=900.0, **fields):
    return forecast(
        GatePolicy(gates=gates, **fields),
        STEPS,
        dwell=15.0,
        deadline=deadline,
        scrape_seconds=5.0,
        traffic=traffic,
        dispersion={},
    )


def test_a_plan_that_can_be_decided_says_when():
    said = plan(DEPOSITS, traffic={"deposits": Rate(30.0, 0.0002, players=True)})
    assert said.decidable
    assert said.steps[0].waits_for == "deposits"
    assert 120 <= said.steps[0].seconds <= 240
    assert [step.waits_for for step in said.steps[1:]] == ["dwell"] * 4
    assert said.seconds == sum(step.seconds for step in said.steps)


def test_a_tiny_signal_is_refused_with_the_numbers_and_the_options():
    said = plan(DEPOSITS, traffic={"deposits": Rate(0.5, 0.0, players=True)})
    assert not said.decidable
    assert said.seconds is None
    assert "0.025 attempts/s" in said.problems[0]
    assert "deadline is 15 min" in said.problems[0]
    assert any(option.startswith("raise the deadline") for option in said.options)
    assert any("veto" in option for option in said.options)


def test_every_option_but_the_veto_would_help():
    traffic = {"deposits": Rate(4.0, 0.0, players=True)}
    said = plan(DEPOSITS, traffic=traffic, deadline=300.0)
    assert not said.decidable
    assert any(option == "start at 25 %" for option in said.options)
    wider = next(option for option in said.options if option.startswith("widen"))
    points = float(wider.rsplit(" to ", 1)[1].split()[0])
    assert plan(
        DEPOSITS.model_copy(update={"margin": Margin(points=points)}), traffic=traffic, deadline=300.0
    ).decidable


OUTAGE = Incident(
    began_at=1_796_000_400.0, ended_at=None, failure_ratio=0.34, usual_ratio=0.0002, gone_at=1_796_000_610.0
)


def test_an_outage_that_goes_on_is_refused_and_says_since_when_and_to_wait():
    said = plan(DEPOSITS, traffic={"deposits": Rate(30.0, 0.34, True, OUTAGE)})
    assert not said.decidable
    assert "stable fails 34 % since 01:00:00 UTC (0.02 % before)" in said.problems[0]
    assert said.options == ("wait until 01:03:30 UTC if it is over now; asking for the plan again changes nothing",)


def test_an_outage_that_is_over_and_still_counts_says_when_it_was_and_until_when_at_the_latest():
    over = OUTAGE._replace(ended_at=1_796_000_520.0)
    said = plan(DEPOSITS, traffic={"deposits": Rate(30.0, 0.25, True, over)})
    assert (
        "stable fails 25 % in the last quarter of an hour (34 % from 01:00:00 UTC to 01:02:00 UTC, else 0.02 %)"
        in said.problems[0]
    )
    assert said.options[0].startswith("wait until 01:03:30 UTC at the latest, if nothing more fails")


def test_what_would_not_be_decidable_without_the_outage_either_says_what_is_to_be_done_after_it():
    said = plan(DEPOSITS, traffic={"deposits": Rate(4.0, 0.34, True, OUTAGE)}, deadline=300.0)
    assert said.options[0].startswith("wait until")
    assert "after that, start at 25 %" in said.options


def test_an_outage_is_never_an_option_to_widen_a_margin_for():
    said = plan(DEPOSITS, traffic={"deposits": Rate(30.0, 0.05, True, OUTAGE._replace(failure_ratio=0.05))})
    assert not said.decidable
    assert not any("margin" in option for option in said.options)


def test_a_refusal_for_bursts_says_so():
    said = forecast(
        GatePolicy(gates=(DEPOSITS,)),
        STEPS,
        dwell=15.0,
        deadline=900.0,
        scrape_seconds=5.0,
        traffic={"deposits": Rate(30.0, 0.002, players=True)},
        dispersion={"deposits": 18.3},
    )
    assert "stable fails 0.2 % in bursts (18 count as one)" in said.problems[0]


def test_a_signal_never_seen_is_refused():
    said = plan(DEPOSITS, traffic={})
    assert not said.decidable
    assert "nothing of it was seen" in said.problems[0]


def test_a_ratio_over_a_baseline_of_zero_is_refused_and_points_are_offered():
    said = plan(ERRORS.model_copy(update={"role": "required"}), traffic={"errors": Rate(120.0, 0.0)})
    assert not said.decidable
    assert any("margin in points" in option for option in said.options)


def test_a_latency_gate_whose_edges_nobody_exceeds_is_refused():
    gate = GateSpec(signal="latency", role="required", margin=Margin(ratio=1.5))
    said = plan(gate, traffic={"latency:1": Rate(100.0, 0.0)}, latency_edges=(1.0,))
    assert not said.decidable


def test_nothing_required_is_not_decidable():
    assert not plan(ERRORS, traffic={"errors": Rate(120.0, 0.001)}).decidable


def test_a_veto_is_not_waited_for():
    traffic = {"deposits": Rate(30.0, 0.0, players=True), "errors": Rate(0.01, 0.0)}
    assert plan(DEPOSITS, ERRORS, traffic=traffic).decidable


def test_warm_up_takes_its_time():
    traffic = {"deposits": Rate(30.0, 0.0, players=True)}
    cold = plan(DEPOSITS, traffic=traffic, warmup_seconds=60.0)
    assert cold.steps[0].seconds == plan(DEPOSITS, traffic=traffic).steps[0].seconds + 60.0


def test_reference_faults_are_named_with_their_cost():
    traffic = {"deposits": Rate(30.0, 0.0002, players=True), "errors": Rate(120.0, 0.0005, players=True)}
    said = plan(DEPOSITS, ERRORS, traffic=traffic)
    assert [fault.fault for fault in said.faults] == [
        "3 % more of deposits are lost",
        "2 % of requests fail",
        "10 % of requests fail",
    ]
    lost, _, broken = said.faults
    assert broken.seconds <= lost.seconds <= 150.0
    assert lost.bad >= 3.0


@pytest.mark.parametrize("ratio", [0.0002, 0.02])
def test_the_forecast_is_within_a_factor_of_two_of_what_happens(make_release, ratio):
    said = plan(DEPOSITS, traffic={"deposits": Rate(30.0, ratio, players=True)})
    actual = []
    for seed in range(15):
        random, release = Random(seed), make_release(DEPOSITS)
        release.start()
        seconds, outcome = 0.0, Outcome.INCONCLUSIVE
        while outcome is Outcome.INCONCLUSIVE and seconds < 900.0:
            n = sum(random.random() < 0.05 for _ in range(150))
            k, b = (sum(random.random() < ratio for _ in range(count)) for count in (n, 150 - n))
            outcome = release.block((n, k), (150 - n, b)).outcome
            seconds += 5.0
        actual.append(seconds)
    assert 0.5 <= said.steps[0].seconds / median(actual) <= 2.0


def providers(**changes):
    declared = Strata(by="provider", of=("psp-a", "psp-b")).model_copy(update=changes)
    return DEPOSITS.model_copy(update={"strata": (declared,)})


TRAFFIC = {
    "deposits": Rate(30.0, 0.002, players=True),
    "deposits:provider=psp-a": Rate(27.0, 0.002, players=True),
    "deposits:provider=psp-b": Rate(3.0, 0.002, players=True),
}


def test_what_can_be_seen_of_each_provider_is_said_and_keeps_nobody_waiting():
    said = plan(providers(), traffic=TRAFFIC)
    assert said.decidable
    assert said.seconds == plan(DEPOSITS, traffic=TRAFFIC).seconds
    a, b = said.strata
    assert (a.words, b.words) == ("through psp-a", "through psp-b")
    assert a.fault_seconds < b.fault_seconds
    assert a.pass_seconds < said.steps[0].seconds * 1.5
    assert b.pass_seconds is None


def test_a_gate_with_providers_finds_a_fault_of_all_a_little_later():
    """Half of its stake is on them."""
    with_them, without = (plan(gate, traffic=TRAFFIC).faults[0] for gate in (providers(), DEPOSITS))
    assert without.seconds <= with_them.seconds <= 1.5 * without.seconds


def test_a_required_provider_is_waited_for_and_refused_with_its_numbers_when_it_is_too_small():
    waited = plan(providers(required=("psp-a",)), traffic=TRAFFIC)
    assert waited.seconds > plan(providers(), traffic=TRAFFIC).seconds
    refused = plan(providers(required=("psp-b",)), traffic=TRAFFIC)
    assert not refused.decidable
    assert refused.problems[0].startswith("deposits:provider=psp-b: at 5 % the canary gets 0.15 attempts/s")
    assert any(option.startswith("do not require deposits:provider=psp-b") for option in refused.options)


def test_a_veto_whose_provider_is_required_is_waited_for():
    veto = providers(required=("psp-a",)).model_copy(update={"role": "veto"})
    errors = GateSpec(signal="errors", role="required", margin=Margin(points=2.0))
    said = plan(veto, errors, traffic=TRAFFIC | {"errors": Rate(500.0, 0.0, players=True)})
    assert said.steps[0].waits_for == "deposits"


def test_the_forecast_for_a_provider_is_about_what_happens(make_release):
    """A tenth of what goes through psp-b is lost, with chance, against the forecast of just that."""
    (_, expected) = plan(providers(), traffic=TRAFFIC).strata
    random, took = Random(5), []
    for _ in range(40):
        release = make_release(providers(), dispersion={"deposits": 1.05})
        release.start(*TRAFFIC)
        seconds, verdict = 0.0, release.verdict()
        while verdict.outcome is not Outcome.FAIL and seconds < 3600.0:
            whole = {"canary": [0.0, 0.0], "stable": [0.0, 0.0]}
            for name, rate in list(TRAFFIC.items())[1:]:
                for arm, share in (("canary", 0.05), ("stable", 0.95)):
                    ratio = rate.failure_ratio + 0.1 * (arm == "canary" and name.endswith("psp-b"))
                    tries = rate.attempts_per_second * 5.0 * share
                    tries = int(tries) + (random.random() < tries % 1.0)
                    lost = sum(random.random() < ratio for _ in range(tries))
                    release.add(arm, name, tries, lost)
                    whole[arm][0] += tries
                    whole[arm][1] += lost
            for arm, (tries, lost) in whole.items():
                release.add(arm, "deposits", tries, lost)
            verdict = release.scrape()
            seconds += 5.0
        took.append(seconds)
    assert 0.5 <= expected.fault_seconds / median(took) <= 2.0
