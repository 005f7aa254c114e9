"""The fold: facts in, counters per arm out; the same facts always give the same counters."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from croupier_kit.tally_fold import Arm, Beginning, Counters, Fact, Fold, Outcome, Request, SeriesKey, parse_arm
from croupier_kit.tally_page import render
from croupier_kit.tally_sources import RULES

CANARY = Arm("payments-api", "r-0001", "aaaaaaaaaaaa", 4)
STABLE = Arm("payments-api", "r-0001", "bbbbbbbbbbbb", 4)
OUTSIDE = Arm("payments-api", "-", "bbbbbbbbbbbb", 0)
T = 1_800_000_000.0


def deposit(at: float, id_: str, arm: Arm = CANARY, player: str = "p1", pod: str = "pod-0") -> Beginning:
    return Beginning(at, "deposits", id_, arm, player, pod)


def credited(at: float) -> Fact:
    return Fact(at, "posted:deposit", 100)


def series(fold: Fold, arm: Arm = CANARY, signal: str = "deposits") -> Counters:
    return fold.series[SeriesKey(arm.service, arm.run, arm.version, signal)]


def totals(counters: Counters) -> tuple[int, int, int, int]:
    """(attempts, failures, exposed, affected) over pods."""
    kinds = (counters.attempts, counters.failures, counters.exposed, counters.affected)
    attempts, failures, exposed, affected = (sum(each.values()) for each in kinds)
    return attempts, failures, exposed, affected


def test_an_arm_is_read_and_nothing_else_is() -> None:
    assert parse_arm("payments-api/r-0007/3f2a9c1b44de/4") == Arm("payments-api", "r-0007", "3f2a9c1b44de", 4)
    assert parse_arm("identity/-/3f2a9c1b44de/0") == Arm("identity", "-", "3f2a9c1b44de", 0)
    for text in (
        "",
        "a/b",
        "payments-api/r-1/3f2a9c1b44de/x",
        'a/"/3f2a9c1b44de/1',
        "a/r-1/3F2A9C1B44DE/1",
        "a/r/3f/1",
    ):
        assert parse_arm(text) is None


def test_a_deposit_counts_when_it_is_decided_not_when_it_begins() -> None:
    fold = Fold(RULES)
    fold.begin(deposit(T, "d"))
    fold.advance(T + 5)
    assert not fold.series
    fold.learn("deposits", "d", credited(T + 6))
    fold.advance(T + 6.5)
    assert totals(series(fold)) == (1, 0, 1, 0)
    assert series(fold).outcomes == {"credited": 1}


@pytest.mark.parametrize(("delay", "failures"), [(7.99, 0), (8.0, 0), (8.01, 1), (60.0, 1)])
def test_a_deposit_not_credited_within_eight_seconds_is_a_failure(delay: float, failures: int) -> None:
    fold = Fold(RULES)
    fold.begin(deposit(T, "d"))
    fold.learn("deposits", "d", credited(T + delay))
    fold.advance(T + 100)
    assert totals(series(fold))[:2] == (1, failures)


def test_a_clean_decline_is_no_failure() -> None:
    fold = Fold(RULES)
    fold.begin(deposit(T, "d"))
    fold.learn("deposits", "d", Fact(T + 1, "books:declined"))
    fold.advance(T + 100)
    assert totals(series(fold)) == (1, 0, 1, 0)


def test_nothing_expires_before_all_sources_are_known_up_to_its_deadline() -> None:
    fold = Fold(RULES)
    fold.begin(deposit(T, "d"))
    fold.advance(T + 8.0)
    assert not fold.series
    fold.advance(T + 8.1)
    assert series(fold).outcomes == {"expired": 1}


def test_harm_is_charged_to_the_arm_and_pod_that_began_it() -> None:
    fold = Fold(RULES)
    fold.begin(deposit(T, "d1", CANARY, "p1", "pod-c"))
    fold.begin(deposit(T, "d2", STABLE, "p2", "pod-s"))
    fold.learn("deposits", "d2", credited(T + 1))
    fold.advance(T + 20)
    assert series(fold, CANARY).failures == {"pod-c": 1}
    assert totals(series(fold, STABLE)) == (1, 0, 1, 0)


def test_a_player_is_exposed_once_a_tick_and_affected_once_a_run() -> None:
    fold = Fold(RULES)
    for number, at in enumerate((T, T + 1, T + 5, T + 6)):
        fold.begin(deposit(at, f"good{number}"))
        fold.learn("deposits", f"good{number}", credited(at + 0.1))
    fold.advance(T + 10)
    assert totals(series(fold)) == (4, 0, 2, 0)
    for number, at in enumerate((T + 10, T + 11, T + 30)):
        fold.begin(deposit(at, f"bad{number}"))
    fold.advance(T + 60)
    assert totals(series(fold)) == (7, 3, 3, 1)


def test_a_player_affected_by_one_arm_is_no_longer_exposed_in_the_other() -> None:
    fold = Fold(RULES)
    fold.begin(deposit(T, "bad", CANARY))
    fold.advance(T + 20)
    fold.begin(deposit(T + 30, "good", STABLE))
    fold.learn("deposits", "good", credited(T + 31))
    fold.advance(T + 60)
    assert totals(series(fold, STABLE)) == (1, 0, 0, 0)


def test_outside_releases_the_affected_are_forgotten_every_ten_minutes() -> None:
    fold = Fold(RULES)
    for number, at in enumerate((T, T + 60, T + 700)):
        fold.begin(deposit(at, f"bad{number}", OUTSIDE))
    fold.advance(T + 800)
    assert totals(series(fold, OUTSIDE)) == (3, 3, 2, 2)


def test_no_pod_has_more_affected_than_exposed_players() -> None:
    fold = Fold(RULES)
    fold.begin(deposit(T, "good", pod="pod-0"))
    fold.learn("deposits", "good", credited(T + 7.5))
    fold.begin(deposit(T + 1, "bad", pod="pod-1"))
    fold.advance(T + 20)
    counters = series(fold)
    assert (int((T + 7.5) // 5), int((T + 9) // 5)) == (360_000_001, 360_000_001)
    assert (counters.exposed, counters.affected) == ({"pod-0": 1}, {"pod-0": 1})


def test_requests_count_for_errors_and_for_every_latency_edge() -> None:
    fold = Fold(RULES)
    fold.request(Request(T, CANARY, "p1", "10.0.0.1:1", False, 0.3))
    fold.request(Request(T + 1, CANARY, "", "10.0.0.1:1", True, 0.1))
    fold.advance(T + 10)
    assert totals(series(fold, signal="errors")) == (2, 1, 1, 0)
    slower = {edge: totals(series(fold, signal=f"latency:{edge}"))[1] for edge in ("0.1", "0.25", "0.4", "1")}
    assert slower == {"0.1": 1, "0.25": 1, "0.4": 0, "1": 0}
    assert fold.players_seen == {CANARY: {"p1"}}


BETS = {
    "lost": ([Fact(T + 1, "posted:bet"), Fact(T + 2, "books:round", 0)], "settled"),
    "won": ([Fact(T + 1, "posted:bet"), Fact(T + 2, "books:round", 9), Fact(T + 3, "posted:win")], "settled"),
    "won, never paid": ([Fact(T + 1, "posted:bet"), Fact(T + 2, "books:round", 9)], "expired"),
    "not played": ([Fact(T + 1, "posted:bet")], "expired"),
    "no funds": ([Fact(T + 1, "refused:bet")], "refused"),
    "taken back": ([Fact(T + 1, "posted:bet"), Fact(T + 2, "posted:rollback")], "rolled-back"),
}


@pytest.mark.parametrize("case", BETS)
def test_a_bet_is_good_when_stake_round_and_win_are_booked(case: str) -> None:
    facts, outcome = BETS[case]
    fold = Fold(RULES)
    fold.begin(Beginning(T, "bets", "b", CANARY, "p", "pod"))
    for fact in facts:
        fold.learn("bets", "b", fact)
    fold.advance(T + 60)
    assert series(fold, signal="bets").outcomes == {outcome: 1}
    assert totals(series(fold, signal="bets"))[1] == (outcome in {"expired", "rolled-back"})


def test_the_page_does_not_grow_with_every_release() -> None:
    """A run goes when none of its series has been decided for half an hour; a live one is never touched."""
    fold = Fold(RULES)
    live, over = CANARY._replace(run="r-0002"), CANARY
    rare = deposit(T, "seldom", live)
    fold.begin(rare)
    fold.learn("deposits", "seldom", credited(T + 1))
    for minute in range(45):
        at = T + 60.0 * minute
        fold.request(Request(at, live, "p1", "pod-0", is_failure=False, seconds=0.01))
        fold.request(Request(at, OUTSIDE, "p2", "pod-0", is_failure=False, seconds=0.01))
        if minute < 5:
            fold.request(Request(at, over, "p3", "pod-0", is_failure=True, seconds=0.01))
        fold.advance(at + 30.0)
    assert {key.run for key in fold.series} == {"r-0002", "-"}
    assert {arm.run for arm in fold.players_seen} == {"r-0002", "-"}
    assert "r-0001" not in render(fold, T)
    assert totals(series(fold, live))[0] == 1
    assert totals(series(fold, live, "errors"))[0] == 45
    fold.request(Request(T + 2730.0, over, "p3", "pod-0", is_failure=True, seconds=0.01))
    fold.advance(T + 2760.0)
    assert totals(series(fold, over, "errors")) == (1, 1, 1, 1), "a counter that starts again, as after a restart"


def test_people_of_a_run_long_over_are_forgotten_and_its_counters_stay() -> None:
    fold = Fold(RULES)
    fold.begin(deposit(T, "bad"))
    fold.advance(T + 20)
    fold.request(Request(T + 2000, STABLE, "p1", "pod", False, 0.1))
    fold.advance(T + 2001)
    assert not series(fold).last_exposure
    assert totals(series(fold)) == (1, 1, 1, 1)


Call = Callable[[Fold], None]


def story(seed: int) -> list[tuple[float, Call]]:
    """A few minutes of deposits, logins and requests of two arms: (when it is known, what to hand in)."""
    luck = random.Random(seed)
    calls: list[tuple[float, Call]] = []
    for number in range(60):
        at, arm = T + luck.uniform(0, 120), luck.choice((CANARY, STABLE))
        begun = deposit(at, f"d{number}", arm, f"p{luck.randrange(9)}", f"pod-{luck.randrange(3)}")
        calls.append((at, lambda fold, begun=begun: fold.begin(begun)))
        if luck.random() < 0.8:
            fact = credited(at + luck.expovariate(0.5))
            calls.append((fact.at, lambda fold, id_=begun.id, fact=fact: fold.learn("deposits", id_, fact)))
        request = Request(at, arm, begun.player, begun.pod, luck.random() < 0.2, luck.expovariate(3))
        calls.append((at, lambda fold, request=request: fold.request(request)))
        login = begun._replace(signal="logins", id=f"l{number}")
        ended = Outcome(at, "issued", is_good=True)
        calls.append((at, lambda fold, login=login, ended=ended: fold.decide(login, ended)))
    return sorted(calls, key=lambda call: call[0])


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.randoms(use_true_random=False))
def test_counters_hang_on_the_facts_not_on_how_they_were_read(seed: int, luck: random.Random) -> None:
    """A tally that started again and reads all at once comes to the page of the one that read along (restart)."""
    calls = story(seed)
    live, at_once = Fold(RULES), Fold(RULES)
    moment = T
    for when, call in calls:
        if when > moment:
            moment = when
            live.advance(moment)
        call(live)
    luck.shuffle(calls)
    for _, call in calls:
        call(at_once)
    live.advance(T + 400)
    at_once.advance(T + 400)
    assert sorted(render(live, T).splitlines()) == sorted(render(at_once, T).splitlines())
