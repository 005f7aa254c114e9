"""The fold: facts in, counters per arm out; the same facts always give the same counters."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from croupier.adapters.metrics.exposition import read_page
from croupier.model.evidence import Count
from croupier_kit.tally_fold import (
    MOST_STRATA,
    Affected,
    Arm,
    Beginning,
    Counters,
    Fact,
    Fold,
    Outcome,
    Request,
    SeriesKey,
    next_tick,
    parse_arm,
)
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


def test_what_a_version_counted_outside_releases_goes_when_another_one_serves() -> None:
    """Else the page grows with every promotion. The one that serves stays, however quiet it is."""
    fold = Fold(RULES)
    newer, quiet = OUTSIDE._replace(version="c" * 12), OUTSIDE._replace(service="identity")
    fold.request(Request(T, OUTSIDE, "p1", "pod-0", is_failure=True, seconds=0.01))
    fold.request(Request(T, quiet, "p1", "pod-9", is_failure=False, seconds=0.01))
    for minute in range(45):
        at = T + 60.0 * minute
        if minute >= 5:
            fold.request(Request(at, newer, "p1", "pod-1", is_failure=False, seconds=0.01))
        fold.advance(at + 30.0)
    assert {(key.service, key.version) for key in fold.series} == {
        (OUTSIDE.service, newer.version),
        ("identity", quiet.version),
    }
    assert {(arm.service, arm.version) for arm in fold.players_seen} == {
        (OUTSIDE.service, newer.version),
        ("identity", quiet.version),
    }
    fold.request(Request(T + 2730.0, OUTSIDE, "p1", "pod-2", is_failure=False, seconds=0.01))
    fold.advance(T + 2760.0)
    assert totals(series(fold, OUTSIDE, "errors"))[0] == 1, "a counter that starts again, as after a restart"


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
    """The same facts, read along or all at once and in any order, come to the same page."""
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


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 60))
def test_two_lives_of_a_tally_count_everything_once(seed: int, ticks: int) -> None:
    """The second begins at a tick, from zero, and is handed facts that the first has counted already (restart)."""
    calls = story(seed)
    restart = next_tick(T + 5 * ticks)
    whole, first, second = Fold(RULES), Fold(RULES), Fold(RULES, since=restart)
    for _, call in calls:
        call(whole)
        call(first)
        call(second)
    whole.advance(T + 400)
    first.advance(restart)
    second.recall(first.affected())
    second.advance(T + 400)

    def counts(fold: Fold) -> Counter[tuple[object, ...]]:
        return Counter(
            {
                (key, pod, kind): count
                for key, counters in fold.series.items()
                for kind in ("attempts", "failures", "exposed", "affected")
                for pod, count in getattr(counters, kind).items()
                if count
            }
        )

    assert counts(first) + counts(second) == counts(whole)


def test_an_attempt_open_when_a_tally_starts_again_is_counted_when_it_is_decided() -> None:
    fold = Fold(RULES, since=T)
    for id_, begun, decided in (("before", T - 5, T - 1), ("after", T - 5, T + 1)):
        fold.begin(deposit(begun, id_))
        fold.learn("deposits", id_, credited(decided))
    fold.begin(deposit(T - 9, "expired before"))
    fold.begin(deposit(T - 7, "expired after"))
    fold.request(Request(T - 0.1, CANARY, "p1", "pod-0", False, 0.1))
    fold.advance(T + 20)
    assert totals(series(fold))[:2] == (2, 1)
    assert not fold.players_seen


@pytest.mark.parametrize(("at", "begins"), [(T, T), (T + 0.1, T + 5), (T + 4.9, T + 5)])
def test_a_tally_begins_to_count_at_a_tick(at: float, begins: float) -> None:
    assert next_tick(at) == begins


def test_who_was_affected_is_told_once_and_all_of_them_on_request() -> None:
    fold = Fold(RULES)
    for at, player in ((T, "p1"), (T + 1, "p2"), (T + 2, "p1")):
        fold.request(Request(at, CANARY, player, "pod-0", True, 2.0))
    fold.request(Request(T, OUTSIDE, "p3", "pod-0", True, 0.05))
    fold.advance(T + 10)
    told = [(each.run, each.signal, each.player) for each in fold.take_newly_affected()]
    assert [player for run, signal, player in told if (run, signal) == ("r-0001", "errors")] == ["p1", "p2"]
    assert ("-", "errors", "p3") in told
    assert fold.take_newly_affected() == []
    assert {(each.run, each.signal, each.player) for each in fold.affected()} == set(told)
    fold.advance(T + 700)
    assert {each.player for each in fold.affected()} <= {"p1", "p2"}, "history forgets"


def test_whom_a_run_had_affected_is_recalled_until_the_run_is_idle() -> None:
    fold = Fold(RULES, since=T)
    fold.recall([Affected("payments-api", "r-0001", "errors", "p1", 0.0)])
    fold.advance(T + 100)
    fold.request(Request(T + 110, CANARY, "p1", "pod-0", True, 0.01))
    fold.advance(T + 120)
    assert totals(series(fold, signal="errors")) == (1, 1, 0, 0)
    idle = Fold(RULES, since=T)
    idle.recall([Affected("payments-api", "r-0009", "errors", "p1", 0.0)])
    idle.advance(T + 601)
    assert list(idle.affected()) == []


def test_a_service_whose_callers_never_say_who_they_are_has_requests_and_no_players() -> None:
    """Zero players would be read as a gate without evidence; requests are counted then."""
    fold = Fold(RULES)
    named, nameless = Arm("named", "-", "a" * 12, 0), Arm("nameless", "-", "b" * 12, 0)
    fold.request(Request(T, named, "ann", "pod", False, 0.01))
    fold.request(Request(T, nameless, "", "pod", False, 0.01))
    fold.advance(T + 10)
    page = render(fold, T).splitlines()
    assert [line for line in page if "exposed_total{" in line and 'service="named"' in line]
    assert [line for line in page if "attempts_total{" in line and 'service="nameless"' in line]
    assert not [line for line in page if "players" in line and 'service="nameless"' in line]


def by(name: str, kind: str = "provider") -> tuple[tuple[str, str], ...]:
    return ((kind, name),)


def test_a_provider_counts_its_own_attempts_and_affected_players_beside_the_whole() -> None:
    """A player whom psp-b has failed is still one whom psp-a has not."""
    fold = Fold(RULES)
    fold.begin(deposit(T, "lost")._replace(strata=by("psp-b")))
    fold.begin(deposit(T + 20, "good")._replace(strata=by("psp-a")))
    fold.learn("deposits", "good", credited(T + 21))
    fold.advance(T + 30)
    assert totals(series(fold)) == (2, 1, 1, 1)
    assert totals(series(fold, signal="deposits:provider=psp-b")) == (1, 1, 1, 1)
    assert totals(series(fold, signal="deposits:provider=psp-a")) == (1, 0, 1, 0)


def test_provider_and_market_are_counted_each() -> None:
    fold = Fold(RULES)
    fold.begin(deposit(T, "d")._replace(strata=(*by("psp-b"), *by("MT", "market"))))
    fold.advance(T + 30)
    counted = {key.signal for key in fold.series}
    assert counted == {"deposits", "deposits:provider=psp-b", "deposits:market=MT"}


@pytest.mark.parametrize("name", ["", "psp b", 'x"} 1', "a" * 41, "-a"])
def test_what_is_no_name_is_counted_as_other(name: str) -> None:
    fold = Fold(RULES)
    fold.begin(deposit(T, "d")._replace(strata=by(name)))
    fold.advance(T + 30)
    assert totals(series(fold, signal="deposits:provider=other"))[0] == 1


def test_made_up_names_do_not_fill_the_page_and_are_all_counted() -> None:
    fold = Fold(RULES)
    for number in range(1000):
        fold.begin(deposit(T + number / 1000, f"d{number}", player=f"p{number}")._replace(strata=by(f"psp-{number}")))
    fold.advance(T + 30)
    of_strata = {key.signal: counters for key, counters in fold.series.items() if key.signal != "deposits"}
    assert len(of_strata) == MOST_STRATA + 1
    assert totals(of_strata["deposits:provider=other"])[0] == 1000 - MOST_STRATA
    assert totals(of_strata["deposits:provider=psp-0"])[0] == 1


def test_both_arms_have_the_same_names() -> None:
    """What is other for one arm and by name for the other could not be compared."""
    fold = Fold(RULES)
    for arm in (STABLE, CANARY):
        for number in range(MOST_STRATA + 2):
            begun = deposit(T + number, f"{arm.version}-{number}", arm)
            fold.begin(begun._replace(strata=by(f"psp-{number if arm is STABLE else MOST_STRATA + 1 - number}")))
    fold.advance(T + 60)
    names = {arm: {key.signal for key in fold.series if key.version == arm.version} for arm in (STABLE, CANARY)}
    assert len(names[STABLE]) == MOST_STRATA + 2
    assert names[STABLE] == names[CANARY]


def test_names_that_a_version_made_up_leave_room_for_those_of_the_next_release_and_of_stable() -> None:
    fold = Fold(RULES)
    for number in range(MOST_STRATA + 1):
        fold.begin(deposit(T, f"made-up-{number}")._replace(strata=by(f"x-{number}")))
    for arm in (OUTSIDE, CANARY._replace(run="r-0002"), STABLE._replace(run="r-0002")):
        fold.begin(deposit(T + 30, f"{arm.run}-{arm.version}", arm)._replace(strata=by("psp-b")))
    fold.advance(T + 60)
    named = {(key.run, key.version) for key in fold.series if key.signal == "deposits:provider=psp-b"}
    assert named == {("-", STABLE.version), ("r-0002", CANARY.version), ("r-0002", STABLE.version)}


def test_names_of_versions_that_served_outside_releases_take_no_room_from_one_another() -> None:
    fold = Fold(RULES)
    for number in range(MOST_STRATA + 1):
        made_up = deposit(T, f"made-up-{number}", OUTSIDE._replace(version=CANARY.version))
        fold.begin(made_up._replace(strata=by(f"x-{number}")))
    fold.begin(deposit(T + 30, "sound", OUTSIDE)._replace(strata=by("psp-b")))
    fold.advance(T + 60)
    assert totals(series(fold, OUTSIDE, "deposits:provider=psp-b"))[0] == 1


def test_a_reader_of_the_page_finds_each_provider_in_both_arms() -> None:
    """One that only the canary has used is nothing, not unknown, under stable."""
    fold = Fold(RULES)
    fold.begin(deposit(T, "a", CANARY)._replace(strata=by("psp-b")))
    fold.begin(deposit(T, "b", STABLE, player="p2"))
    fold.advance(T + 30)
    arms = read_page(render(fold, T + 30)).arms
    found = {
        key.version: arm.series["deposits:provider=psp-b"].players for key, arm in arms.items() if key.run == "r-0001"
    }
    assert found == {CANARY.version: {"pod-0": Count(1.0, 1.0)}, STABLE.version: {"": Count(0.0, 0.0)}}


def test_whom_a_provider_has_failed_is_remembered_over_a_restart() -> None:
    fold = Fold(RULES)
    fold.begin(deposit(T, "lost")._replace(strata=by("psp-b")))
    fold.advance(T + 30)
    again = Fold(RULES, since=T + 30)
    again.recall(fold.affected())
    again.begin(deposit(T + 31, "lost again")._replace(strata=by("psp-b")))
    again.advance(T + 60)
    assert totals(series(again, signal="deposits:provider=psp-b")) == (1, 1, 0, 0)
