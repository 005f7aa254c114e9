"""Visits, and how attempts spread over players."""

from __future__ import annotations

from random import Random

from croupier_kit.tally_visits import Visits

T = 1_800_000_000.0


def test_a_visit_ends_after_a_minute_without_a_request() -> None:
    visits = Visits()
    for at in (0.0, 59.0, 118.0, 178.0, 200.0):
        visits.request("aaa", "p1", T + at)
    assert visits.arms["aaa"].visits == 2


def test_who_is_moved_in_the_middle_of_a_visit_goes_on_with_it() -> None:
    visits = Visits()
    visits.request("aaa", "p1", T)
    visits.request("bbb", "p1", T + 5.0)
    assert (visits.arms["aaa"].visits, visits.arms["bbb"].visits) == (1, 0)


def test_the_sums_over_both_arms_are_those_over_all_players() -> None:
    random, visits = Random(1), Visits()
    made: dict[str, list[int]] = {f"p{number}": [0, 0] for number in range(7)}
    last: dict[str, float] = {}
    for step in range(600):
        at, player, version = T + 10.0 * step, f"p{random.randrange(7)}", random.choice(("aaa", "bbb"))
        if random.random() < 0.5:
            made[player][1] += at - last.get(player, 0.0) >= 60.0
            last[player] = at
            visits.request(version, player, at)
        else:
            made[player][0] += 1
            visits.attempt(version, player, "bets")
    arms = visits.arms.values()
    assert sum(arm.visits for arm in arms) == sum(v for _, v in made.values())
    assert sum(arm.squares["bets"] for arm in arms) == sum(a * a for a, _ in made.values())
    assert sum(arm.products["bets"] for arm in arms) == sum(a * v for a, v in made.values())
    assert sum(arm.visit_squares for arm in arms) == sum(v * v for _, v in made.values())
