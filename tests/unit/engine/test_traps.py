"""Where other controllers ship by accident (progressive-delivery §1.2 and §2.2): each trap, and what croupier does.

What was decided and why: docs/adr/0003-who-decides-when-nobody-can-tell.md.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from pydantic import ValidationError
from tests.support.world import BROKEN, HEALTHY, IDENTITY, PAYMENTS, STABLE, World, release

from croupier.core.gates import assess, fold, new_evidence
from croupier.core.plans.release import plan_release
from croupier.engine.desk import Desk
from croupier.model.evidence import ArmSample, Count, Sample, SeriesCounts
from croupier.model.release import GatePolicy, GateSpec, Margin
from croupier.model.verdict import Outcome, Verdict
from croupier.model.view import RunView


async def started(digest: str = HEALTHY, **changes: object) -> tuple[World, Desk, str]:
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    return world, desk, await desk.start(release(digest, **changes), who="ann")


def played(policy: GatePolicy, *, canary: Iterator[Count]) -> Verdict:
    """The verdict after a hundred scrapes of a thousand stable requests each."""
    evidence = new_evidence(policy, 5.0, {"errors": 1.0})
    for number in range(100):
        shown = ArmSample({"errors": SeriesCounts({"c": next(canary)})})
        stable = ArmSample({"errors": SeriesCounts({"s": Count(1000.0 * number, 0.0)})})
        fold(evidence, Sample(5.0 * number, 5, shown, stable))
    return assess(evidence, weight=5, now=495.0)


ERRORS = GatePolicy(gates=(GateSpec(signal="errors", role="required", margin=Margin(points=1.0)),))


def test_no_condition_is_no_success() -> None:
    """Argo Rollouts: without conditions its documentation says inconclusive, its code says successful."""
    policy = GatePolicy(gates=(GateSpec(signal="errors", role="veto", margin=Margin(points=1.0)),))
    healthy = (Count(50.0 * number, 0.0) for number in range(100))
    assert played(policy, canary=healthy).outcome is Outcome.INCONCLUSIVE


async def test_time_that_passes_promotes_nothing_while_the_gates_are_undecided() -> None:
    """Argo Rollouts: autoPromotionSeconds marks an analysis that still runs as passed (#3724)."""
    world, desk, run = await started(service=IDENTITY.name)
    world.per_second = dict.fromkeys(world.per_second, 0.05)
    view = await world.play(desk, run, until=lambda view: view.phase == "held")
    await world.rounds(desk, 400)
    view = await desk.run_view(run)
    assert (view.phase, view.weight, view.code) == ("held", 5, "deadline")


@pytest.mark.parametrize("why", ["exit code 1, restart in 2 s", "ImagePullBackOff", "ErrImagePull"])
async def test_pods_that_crash_or_have_no_image_are_no_pass(why: str) -> None:
    """Argo Rollouts: a crash or a missing image before the promotion counted as success (#4602, #4604)."""
    world, desk, run = await started(BROKEN)
    world.workloads.unready[BROKEN] = why
    view = await world.play(desk, run)
    assert (view.outcome, view.code, view.peak_weight) == ("rolled-back", "never-ready", 0)
    assert why in view.reason


async def test_a_canary_that_dies_in_the_bake_is_not_promoted_and_everybody_is_sent_back() -> None:
    """Flagger: a promotion that failed sent everybody to pods that were broken (#1898)."""
    world, desk, run = await started(hold_back_percent=1)
    await world.play(desk, run, until=lambda view: view.weight == 99)
    world.workloads.unready[HEALTHY] = "exit code 137"
    view = await world.play(desk, run)
    assert (view.outcome, view.code) == ("rolled-back", "canary-down")
    assert world.serves() == {STABLE: 100}
    assert "run.promoting" not in world.kinds(run)


async def test_a_release_of_which_nothing_was_ever_measured_is_not_promoted() -> None:
    """Argo Rollouts: a background analysis that ended without any measurement was successful."""
    world, desk, run = await started(service=IDENTITY.name)
    world.metrics.unreachable = True

    def settled(view: RunView) -> bool:
        return view.phase == "held"

    view = await world.play(desk, run, until=settled)
    assert view.weight == 5
    assert view.verdict is None
    await desk.command(run, "promote", "ann", "I am sure")
    await world.rounds(desk, 20)
    assert (await desk.run_view(run)).weight == 5, "nobody, not even a person, promotes what was never counted"


def test_what_is_not_a_number_passes_nothing() -> None:
    """Keptn: NaN made every comparison false, so the objective passed."""
    verdict = played(ERRORS, canary=(Count(50.0 * number, float("nan")) for number in range(100)))
    assert (verdict.outcome, verdict.code) == (Outcome.INCONCLUSIVE, "no-data")


@pytest.mark.parametrize(("alpha", "bans"), [(0.01, 2.0), (0.001, 3.0), (0.1, 1.0)])
def test_what_is_configured_is_what_is_judged_by(alpha: float, bans: float) -> None:
    """Kayenta: tolerance and confidence were fixed in the code, and the configuration was not used."""
    policy = ERRORS.model_copy(update={"alpha": alpha})
    assert played(policy, canary=(Count(50.0 * number, 0.0) for number in range(100))).against_bar == bans


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", (5, 50, 100)),
        ("dwell_seconds", 33.0),
        ("deadline_seconds", 777.0),
        ("ready_seconds", 99.0),
        ("bake_seconds", 44.0),
        ("hold_back_percent", 2),
        ("strategy", "rolling"),
    ],
)
def test_every_setting_of_a_release_changes_its_plan(field: str, value: object) -> None:
    """Argo Rollouts: ROLLOUT_VERIFY_RETRY_INTERVAL was only looked at when it could not be read."""
    plans = [
        plan_release(
            run="r-0001",
            service=PAYMENTS,
            stable=STABLE,
            canary=HEALTHY,
            release=release(**changes),
            ordinal=0,
            dispersion={},
        ).steps
        for changes in ({}, {field: value})
    ]
    assert plans[0] != plans[1]


def test_a_signal_that_nobody_counts_is_never_a_pass() -> None:
    """OpenKruise: the documentation speaks of metrics, the function returned true."""
    policy = GatePolicy(gates=(*ERRORS.gates, GateSpec(signal="bets", role="required", margin=Margin(points=1.0))))
    verdict = played(policy, canary=(Count(50.0 * number, 0.0) for number in range(100)))
    assert verdict.outcome is Outcome.INCONCLUSIVE
    assert [gate.outcome for gate in verdict.gates] == [Outcome.PASS, Outcome.INCONCLUSIVE]


def test_an_unknown_signal_is_refused_and_the_known_ones_are_named() -> None:
    """Flagger: the name of a metric that it does not know passed in silence (#1581)."""
    with pytest.raises(ValidationError, match=r"deposits.*withdrawals"):
        GateSpec.model_validate({"signal": "request-sucess-rate", "role": "required", "margin": {"points": 1.0}})


@pytest.mark.parametrize("failed", [0.0, 1.0, 2.0])
def test_thin_data_are_neither_a_pass_nor_a_failure(failed: float) -> None:
    """Kayenta (#426): few points could not fail."""
    evidence = new_evidence(ERRORS, 5.0, {"errors": 1.0})
    for number in range(3):
        arms = (
            ArmSample({"errors": SeriesCounts({pod: Count(total * number, bad)})})
            for pod, total, bad in (("c", 5.0, failed * (number == 2)), ("s", 95.0, 0.0))
        )
        fold(evidence, Sample(5.0 * number, 5, *arms))
    assert assess(evidence, weight=5, now=10.0).outcome is Outcome.INCONCLUSIVE


def test_scrapes_that_were_missed_are_counted_with_the_next_and_not_made_up() -> None:
    """Kayenta (#780): seven points of ten were judged as if they were ten. Counters are cumulative: nothing is lost."""
    gaps = (Count(50.0 * number, 0.0) if number % 10 < 7 else Count(float("nan"), 0.0) for number in range(100))
    assert played(ERRORS, canary=gaps).gates[0].canary.total == 50.0 * 96


async def test_a_bad_stable_version_is_left_by_a_fix_forward() -> None:
    """Argo Rollouts and Flagger: stuck because stable itself is bad (#1774, #639). See ``test_groups``."""
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    world.failures[STABLE, "errors"] = 0.6
    await world.rounds(desk, 60)
    run = await desk.switch(release(steps=(100,)), who="ann", reason="stable is bad")
    assert (await world.play(desk, run)).outcome == "promoted"
    assert world.serves() == {HEALTHY: 100}
