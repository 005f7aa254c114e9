"""The roll: what is known of all runs and groups, and what a snapshot of it says."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from croupier.core.roll import Roll, Snapshot, run_id
from croupier.model.journal import Draft


def planned(run: str, service: str) -> Draft:
    return Draft("run.planned", run, 1.0, {"plan": {"service": service}})


def started(run: str, **body: str) -> Draft:
    return Draft("run.started", run, 1.0, {"who": "ann", **body})


def roll_of(*drafts: Draft) -> Roll:
    roll = Roll()
    for draft in drafts:
        roll.take(draft)
    return roll


def test_what_a_snapshot_says_gives_the_same_roll() -> None:
    roll = roll_of(
        planned("r-0001", "wallet"),
        started("r-0001", owner="uid-1"),
        Draft("run.ended", "r-0001", 2.0, {}),
        Draft("group.planned", "g-0001", 2.0, {}),
        planned("r-0002", "bets"),
        started("r-0002", group="g-0001"),
        planned("r-0003", "wallet"),
        started("r-0003"),
    )
    snapshot = Snapshot.model_validate(roll.snapshot(8))
    assert Roll.of(snapshot) == roll
    assert snapshot.live == (("r-0002", "bets"), ("r-0003", "wallet"))
    assert snapshot.live_groups == {"g-0001": {"bets": "r-0002"}}
    assert (snapshot.entries, snapshot.runs, snapshot.groups) == (8, 3, 1)


def test_a_snapshot_does_not_change_with_the_roll_it_was_taken_of() -> None:
    roll = roll_of(planned("r-0001", "wallet"), started("r-0001"))
    before = roll.snapshot(2)
    roll.take(Draft("run.ended", "r-0001", 2.0, {}))
    assert before == roll_of(planned("r-0001", "wallet"), started("r-0001")).snapshot(2)


def test_the_roll_does_not_grow_by_runs_and_groups_that_have_ended() -> None:
    sizes = set()
    roll = Roll()
    for number in range(1, 2001):
        run, group = run_id(number), f"g-{number:04d}"
        for draft in (
            Draft("group.planned", group, 1.0, {}),
            planned(run, f"service-{number % 7}"),
            started(run, owner="uid-1", group=group),
            Draft("run.ended", run, 2.0, {}),
            Draft("group.ended", group, 2.0, {}),
        ):
            roll.take(draft)
        sizes.add((len(roll.live), len(roll.live_groups), sum(map(len, roll.newest.values()))))
    assert max(sizes) == (0, 0, 7)
    assert (roll.runs, roll.groups) == (2000, 2000)


def test_the_newest_run_is_the_one_of_whom_it_was_started_for_or_of_nobody() -> None:
    roll = roll_of(*(draft for number in range(9_999, 10_002) for draft in (planned(run_id(number), "wallet"),)))
    for number, owner in ((9_999, "uid-1"), (10_000, ""), (10_001, "uid-2")):
        roll.take(started(run_id(number), owner=owner))
    assert roll.newest_run("wallet", "") == "r-10001"
    assert roll.newest_run("wallet", "uid-1") == "r-10000"
    assert roll.newest_run("wallet", "uid-2") == "r-10001"
    assert roll.newest_run("wallet", "uid-3") == "r-10000"
    assert roll.newest_run("bets", "") is None


@pytest.mark.parametrize("body", [{}, {"plan": None}, {"plan": {}}, {"plan": [1]}, {"owner": None}, {"group": 7}])
@pytest.mark.parametrize("kind", ["run.planned", "run.started", "run.ended", "group.planned", "group.ended"])
def test_no_entry_is_refused(kind: str, body: dict[str, object]) -> None:
    """``journal verify`` takes in whatever stands in a chain."""
    roll = Roll()
    roll.take(Draft(kind, "r-0001", 1.0, body))  # type: ignore[arg-type]
    assert Roll.of(Snapshot.model_validate(roll.snapshot(1))) == roll


def test_a_snapshot_with_anything_else_in_it_is_none() -> None:
    with pytest.raises(ValidationError):
        Snapshot.model_validate({**Roll().snapshot(0), "trusted": True})
