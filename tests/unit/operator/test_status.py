"""What people see with kubectl: conditions by kstatus, written when they say something new."""

from __future__ import annotations

from typing import Any

import pytest

from croupier.core.intent import Move
from croupier.operator.status import Word, conditions, differs, word_of

READY = Word("ready", "UpToDate", "serves everybody")


def stored(word: Word, now: float, before: tuple[Any, ...] = ()) -> list[dict[str, Any]]:
    found = conditions(word, 3, now, before)
    return [each.model_dump(mode="json", by_alias=True) for each in found]


@pytest.mark.parametrize("state", ["ready", "reconciling", "stalled"])
def test_one_condition_holds_and_the_others_do_not(state: str) -> None:
    found = {each["type"]: each["status"] for each in stored(Word(state, "R", "m"), 1_800_000_000.0)}
    assert found == {name: "True" if name.lower() == state else "False" for name in ("Ready", "Reconciling", "Stalled")}


def test_a_condition_keeps_the_time_of_its_last_change() -> None:
    first = stored(READY, 1_800_000_000.0)
    again = stored(Word("ready", "Left", "other words"), 1_800_000_100.0, tuple(first))
    assert [each["lastTransitionTime"] for each in again] == ["2027-01-15T08:00:00Z"] * 3
    changed = {each["type"]: each for each in stored(Word("stalled", "Fault", "m"), 1_800_000_100.0, tuple(first))}
    assert changed["Ready"]["lastTransitionTime"] == "2027-01-15T08:01:40Z"
    assert changed["Stalled"]["lastTransitionTime"] == "2027-01-15T08:01:40Z"
    assert changed["Reconciling"]["lastTransitionTime"] == "2027-01-15T08:00:00Z"


def test_order_of_conditions_is_no_difference() -> None:
    found = stored(READY, 1_800_000_000.0)
    assert not differs({"phase": "holding", "conditions": found}, {"phase": "holding", "conditions": found[::-1]})


def test_words_that_count_down_are_a_difference_of_words_only() -> None:
    one, other = (
        {
            "phase": "holding",
            "waitingFor": f"{seconds} s left",
            "gates": [{"name": "bets", "outcome": "pass", "message": f"{seconds} of 9"}],
            "conditions": stored(Word("reconciling", "Releasing", f"{seconds} s left"), 1_800_000_000.0),
        }
        for seconds in (9, 8)
    )
    assert differs(one, other)
    assert not differs(one, other, but_in_words=True)
    assert differs({**one, "phase": "held"}, other, but_in_words=True)
    assert differs({**one, "gates": []}, other, but_in_words=True)


@pytest.mark.parametrize(
    ("move", "fault", "refused", "state", "reason"),
    [
        (Move("rest", "UpToDate", "m"), "", "", "ready", "UpToDate"),
        (Move("rest", "UpToDate", "m"), "no ConfigMap", "", "stalled", "Fault"),
        (Move("start", "Releasing", "m", "d"), "", "cannot be decided", "stalled", "Refused"),
        (Move("start", "Releasing", "m", "d"), "", "", "reconciling", "Releasing"),
        (Move("rest", "RolledBack", "m"), "", "", "stalled", "RolledBack"),
        (Move("rest", "Suspended", "m"), "", "", "ready", "Suspended"),
        (Move("rest", "NoDeployment", "m"), "", "", "stalled", "NoDeployment"),
        (Move("rest", "Freeze", "m"), "", "", "reconciling", "Freeze"),
    ],
)
def test_a_service_is_ready_reconciling_or_stalled_and_says_why(
    move: Move, fault: str, refused: str, state: str, reason: str
) -> None:
    word = word_of(move, None, fault, refused)
    assert (word.state, word.reason) == (state, reason)
    assert word.message
