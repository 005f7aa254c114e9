"""Past releases under other gates: exact for a way back, and honest about where a step would have held."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from tests.support.recorded import played
from tests.support.world import HEALTHY, LOSSY, POLICY, World

from croupier.core.backtest import Past, backtest, past_of
from croupier.core.run import fold
from croupier.model.evidence import Sample
from croupier.model.release import GatePolicy, GateSpec, Margin

RUN = "r-0001"


@pytest.fixture(scope="module")
def lossy() -> World:
    return played(LOSSY)


@pytest.fixture(scope="module")
def healthy() -> World:
    return played(HEALTHY)


def past(world: World) -> Past:
    state = fold(world.journal.read(subject=RUN))
    assert state is not None
    return past_of(state)


def samples(world: World) -> Sequence[Sample]:
    return world.evidence.read(RUN)


def only_errors(points: float, beta: float = 0.0125) -> GatePolicy:
    return GatePolicy(gates=(GateSpec(signal="errors", role="required", margin=Margin(points=points)),), beta=beta)


@pytest.mark.parametrize(("name", "told"), [("lossy", "rolled-back"), ("healthy", "promoted")])
def test_under_its_own_gates_a_release_ends_as_it_did(name: str, told: str, request: pytest.FixtureRequest) -> None:
    world = request.getfixturevalue(name)
    done = backtest(past(world), samples(world), POLICY)
    assert done is not None
    assert (done.was, done.told) == (told, told)


def test_a_way_back_falls_with_the_same_scrape_and_counts_what_players_met(lossy: World) -> None:
    done = backtest(past(lossy), samples(lossy), POLICY)
    assert done is not None
    fell = lossy.entries("run.rolling-back")[0].at
    assert abs(done.at - fell) <= 5.0
    deposits = done.harm[0]
    assert 0 < deposits.excess <= deposits.bad
    assert done.code == "worse"


def test_gates_that_do_not_watch_the_harm_would_not_have_taken_it_back(lossy: World) -> None:
    done = backtest(past(lossy), samples(lossy), only_errors(1.0))
    assert done is not None
    assert (done.was, done.told) == ("rolled-back", "held")


def test_gates_that_need_more_would_have_held_a_step_that_went_on(healthy: World) -> None:
    done = backtest(past(healthy), samples(healthy), only_errors(0.02))
    assert done is not None
    assert (done.was, done.told, done.code) == ("promoted", "held", "not-passed")
    assert done.steps[-1].seconds is None


def test_at_its_deadline_the_money_tier_goes_back(healthy: World) -> None:
    own = past(healthy)
    hasty = Past(own.run, own.service, own.scrape_seconds, own.dispersion, 1.0, own.back_at_deadline)
    done = backtest(hasty, samples(healthy), only_errors(0.02))
    assert done is not None
    assert (done.told, done.code) == ("rolled-back", "deadline")


def test_the_bake_of_a_hold_back_is_no_step_that_has_to_pass() -> None:
    world = played(HEALTHY, hold_back_percent=1)
    assert past(world).bakes_at == 99
    done = backtest(past(world), samples(world), POLICY)
    assert done is not None
    assert (done.was, done.told, done.steps[-1].weight) == ("promoted", "promoted", 50)


def test_a_release_that_never_had_players_is_none(healthy: World) -> None:
    assert backtest(past(healthy), [], POLICY) is None
