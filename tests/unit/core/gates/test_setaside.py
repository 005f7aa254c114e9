"""A sick pod is not a bad version (release-gates §2.9)."""

from __future__ import annotations

from croupier.core.gates.counters import Block
from croupier.core.gates.setaside import SickPod


def block(*pods: tuple[float, float], stable_bad: float = 14.0, seconds: float = 15.0) -> Block:
    return Block(
        seconds, sum(total for total, _ in pods), sum(bad for _, bad in pods), 14_250.0, stable_bad, tuple(pods)
    )


def test_one_incident_on_a_lone_pod_is_set_aside():
    sick = SickPod()
    assert sick.sift(block((3000, 2900)), 15.0) is None
    assert sick.holding
    assert sick.sift(block((750, 0)), 30.0) is not None
    assert not sick.holding


def test_a_fault_that_goes_on_counts_in_full_after_thirty_seconds():
    sick = SickPod()
    assert sick.sift(block((750, 700)), 15.0) is None
    assert sick.sift(block((750, 700)), 30.0) is None
    assert sick.sift(block((750, 700)), 45.0) == block((750, 700))


def test_the_other_pods_are_judged_meanwhile():
    judged = SickPod().sift(block((375, 370), (375, 1)), 15.0)
    assert (judged.canary_total, judged.canary_bad) == (375, 1)


def test_a_canary_whose_pods_all_fail_is_judged_at_once():
    whole = block((375, 370), (375, 365))
    assert SickPod().sift(whole, 15.0) == whole


def test_a_tenth_failing_is_judged_at_once():
    whole = block((750, 75))
    assert SickPod().sift(whole, 15.0) == whole


def test_what_stable_suffers_too_is_not_a_sick_pod():
    whole = block((750, 400), stable_bad=7000.0)
    assert SickPod().sift(whole, 15.0) == whole


def test_only_once():
    sick = SickPod()
    sick.sift(block((750, 700)), 15.0)
    sick.sift(block((750, 0)), 30.0)
    assert sick.sift(block((750, 700)), 45.0) == block((750, 700))
