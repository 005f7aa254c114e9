from __future__ import annotations

import pytest

from croupier.model.view import JournalEntryView
from croupier_stand.demo import Demo, Journal, Money, Rates, lines
from croupier_stand.scenarios import Served, Told, problems, split_times
from croupier_stand.soak import Soak
from croupier_stand.soak import lines as soak_lines


def told(**differing: object) -> Told:
    fields: dict[str, object] = {
        "label": "deposit-loss",
        "run": "r-0002",
        "expected": "rolled-back",
        "outcome": "rolled-back",
        "reason": "failed deposits",
        "peak_weight": 5,
        "seconds": 108.0,
        "forecast_seconds": 70.0,
        "actual_seconds": 94.0,
        "zero_seconds": 0.4,
        "served": Served(deposits=132, bad_deposits=4, requests=292, bad_requests=0),
        "failed_requests": {},
        "failed_by_splits": 0,
        "split_changes": 3,
        "problems": (),
    }
    return Told.model_validate(fields | differing)


def test_a_run_that_ended_as_it_should_has_no_problems() -> None:
    assert problems(told(), scrape_seconds=5.0) == []


@pytest.mark.parametrize(
    ("differing", "said"),
    [
        ({"outcome": "promoted"}, "deposit-loss is promoted, not rolled-back"),
        ({"outcome": None}, "deposit-loss is not decided, not rolled-back"),
        ({"zero_seconds": 6.1}, "the canary had players 6.1 s after the verdict"),
        ({"failed_by_splits": 2}, "2 requests failed around a change of the split"),
    ],
)
def test_what_is_not_as_it_must_be_is_named(differing: dict[str, object], said: str) -> None:
    """A rollback takes the canary's traffic to zero within one scrape plus one second; no request fails for a split."""
    (found,) = problems(told(**differing), scrape_seconds=5.0)
    assert found.startswith(said)


def test_changes_of_the_split_are_read_from_the_intents_of_the_journal() -> None:
    def entry(at: float, kind: str, *actions: str) -> JournalEntryView:
        body = {"actions": [{"kind": action} for action in actions]}
        return JournalEntryView(seq=1, kind=kind, subject="r", at=at, body=body, previous="", hash="")

    entries = [
        entry(1.0, "intent", "ensure-version"),
        entry(2.0, "intent", "set-split"),
        entry(3.0, "outcome", "set-split"),
        entry(4.0, "intent", "settle"),
        entry(5.0, "run.ended"),
    ]
    assert split_times(entries) == [2.0, 4.0]


def demo(**differing: object) -> Demo:
    fields: dict[str, object] = {
        "right": True,
        "problems": (),
        "seconds": 501.0,
        "scenarios": (told(),),
        "money": Money(before={"capture-not-credited": 4}, mended={"credited": 4}, after={}),
        "journal": Journal(path="/x/journal.sqlite", sound=True, entries=67, said="sound"),
        "players": Rates(distinct=3337, seconds=430.0, deposits_per_second=34.4, failed_requests={}),
    }
    return Demo.model_validate(fields | differing)


def test_the_table_of_the_demo_tells_what_the_acceptance_asks_for() -> None:
    text = "\n".join(lines(demo()))
    for part in ("deposit-loss", "rolled-back", "1m10s", "1m34s", "4 of 132", "0 of 292", "0.4 s", "0 / 0"):
        assert part in text
    assert "4 capture-not-credited" in text
    assert "after reconciliation   no violations" in text
    assert "/x/journal.sqlite" in text
    assert "All came out right in 8 min 21 s." in text


def test_a_demo_that_failed_says_why_and_never_that_all_is_right() -> None:
    text = "\n".join(lines(demo(right=False, problems=("r-0002 the canary had players 9.0 s after the verdict",))))
    assert "NOT RIGHT: r-0002 the canary had players" in text
    assert "All came out right" not in text


def test_a_soak_counts_by_scenario_and_lists_every_failed_run() -> None:
    failed = told(label="slow", run="r-0003", outcome="promoted", problems=("slow is promoted",))
    soak = Soak(
        right=False,
        seconds=600.0,
        runs=(told(), failed),
        aa_runs=10,
        aa_rolled_back=1,
        violations_after=0,
        journal=None,
    )
    text = "\n".join(soak_lines(soak))
    assert "A/A: 1 of 10 healthy releases were taken back" in text
    assert "FAILED r-0003 slow: slow is promoted" in text
