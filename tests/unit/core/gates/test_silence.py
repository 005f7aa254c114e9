"""A canary of which nothing is heard while stable is counted is taken back, not waited for (release-gates §1.9)."""

from __future__ import annotations

import pytest

from croupier.core.gates.silence import Silence
from croupier.model.evidence import Count
from croupier.model.release import GateSpec, Margin
from croupier.model.verdict import Outcome

ERRORS = GateSpec(signal="errors", role="required", margin=Margin(points=1.0))


@pytest.fixture
def release(make_release):
    started = make_release(ERRORS, dispersion={"errors": 1.0})
    started.start("errors")
    for _ in range(10):
        started.block((50, 0), (950, 1), series="errors")
    return started


def after(release, blocks):
    for _ in range(blocks):
        verdict = release.block((50, 0), (950, 1), series="errors")
    return verdict


def test_a_canary_that_falls_silent_after_it_was_ready_is_taken_back(release):
    release.missing.add("canary")
    assert after(release, 12).outcome is Outcome.INCONCLUSIVE
    verdict = after(release, 12)
    assert (verdict.outcome, verdict.code) == (Outcome.FAIL, "silent")
    assert "nothing is heard of it" in verdict.reason


def test_a_canary_of_which_nothing_was_ever_heard_is_taken_back(make_release):
    release = make_release(ERRORS)
    release.missing.add("canary")
    release.start("errors")
    verdict = after(release, 40)
    assert (verdict.outcome, verdict.code) == (Outcome.FAIL, "silent")


def test_a_source_that_gives_neither_arm_is_no_silence(release):
    release.missing |= {"canary", "stable"}
    assert after(release, 100).code == "no-data"


def test_a_minute_without_the_canary_is_forgiven(release):
    for _ in range(10):
        release.missing.add("canary")
        after(release, 12)
        release.missing.clear()
        assert after(release, 3).outcome is not Outcome.FAIL


def test_requests_that_are_counted_without_their_failures_are_no_silence():
    silence = Silence()
    for number in range(100):
        assert silence.update(True, {"pod": Count(100.0 * number, 0.0)}, 5.0 * number) == 0.0


def test_where_stable_has_no_traffic_nobody_is_missed(make_release):
    release = make_release(ERRORS)
    release.start("errors")
    release.missing.add("canary")
    for _ in range(100):
        verdict = release.block((0, 0), (0, 0), series="errors")
    assert verdict.outcome is Outcome.INCONCLUSIVE
