"""The operator is killed after everything it writes, into the cluster or the journal; the next one goes on (DESIGN §2).

The end is the same, nothing is promoted twice or climbed twice, and each line of a run's story is one Event.
"""

from __future__ import annotations

from collections import Counter

import pytest
from tests.support.small_cluster import Operator, SmallCluster
from tests.support.world import Killed

from croupier.model.view import RunView

pytestmark = pytest.mark.timeout(900)

STRATEGY = {"steps": [50, 100], "dwellSeconds": 0.0, "bakeSeconds": 0.0, "deadlineSeconds": 120.0}
MOST_WRITES = 200
"""More than any release needs. A bound, never reached."""


async def survive(world: SmallCluster, operator: Operator) -> Operator:
    """One tick; when it kills the operator, there is another one."""
    try:
        await world.tick(operator)
    except (Killed, BaseExceptionGroup) as killed:
        assert isinstance(killed, Killed) or not killed.split(Killed)[1]
    if world.writes.is_dead:
        await operator.stop()
        world.writes.is_dead, world.writes.kill_at = False, None
        operator = await world.operator()
    return operator


async def play(world: SmallCluster, operator: Operator, run: str) -> tuple[Operator, RunView]:
    """Until the run has ended and everything has come to rest."""
    ended = 0
    for _ in range(400):
        operator = await survive(world, operator)
        view = next((each for each in await operator.desk.runs(limit=1) if each.run == run), None)
        ended += view is not None and view.ended_at is not None
        if view is not None and ended > 4:
            return operator, view
    raise AssertionError(f"{run} does not end: {world.status()}")


def check_promises(world: SmallCluster, view: RunView, where: str) -> None:
    kinds = Counter(entry.kind for entry in world.journal.read(subject=view.run))
    for kind in ("run.planned", "run.started", "run.ended"):
        assert kinds[kind] == 1, where
    assert kinds["run.promoting"] + kinds["run.rolling-back"] == 1, where
    steps = [entry.body["step"] for entry in world.journal.read(subject=view.run) if entry.kind == "step.passed"]
    assert steps == sorted(set(steps)), where
    told = Counter(each["note"] for each in world.events() if each["note"].startswith(f"{view.run} "))
    story = Counter(f"{view.run} of {view.canary.digest[7:19]}: {moment.text}"[:1000] for moment in view.timeline)
    assert told == story, where
    assert world.entries("drift") == [], where


@pytest.mark.parametrize(
    ("defect", "outcome", "every"),
    [("", "promoted", 1), ("deposit-loss", "rolled-back", 3), ("never-ready", "rolled-back", 2)],
)
async def test_an_operator_killed_after_any_write_comes_to_the_same_end(defect: str, outcome: str, every: int) -> None:
    """``every``: the writes until the gates fail are those of a good version, so not each of them is tried again."""
    async with SmallCluster.begin() as world:
        operator = await world.operator()
        stable = await world.open(operator, strategy=STRATEGY)
        for place, number in enumerate(range(0, MOST_WRITES, every)):
            run = f"r-{place + 2:04d}"
            world.writes.calls.clear()
            world.writes.kill_at = number
            await world.commit(BUILD=str(number + 2), **({"DEFECT": defect} if defect else {}))
            operator, view = await play(world, operator, run)
            was_killed = world.writes.kill_at is None
            where = f"killed after {world.writes.calls[number]} ({number})" if was_killed else "not killed"
            assert view.outcome == outcome, where
            check_promises(world, view, where)
            stable = view.canary.digest[7:19] if outcome == "promoted" else stable
            assert world.status()["stable"] == stable, where
            assert world.weights() == {stable: 100}, where
            assert world.running() == {stable: 4}, where
            if not was_killed:
                assert number > 20
                return
        raise AssertionError("a release does not come to an end of its writes")


async def test_an_operator_killed_after_any_write_of_an_adoption_comes_to_the_same_end() -> None:
    for number in range(MOST_WRITES):
        async with SmallCluster.begin() as world:
            operator = await world.operator()
            await world.configure(COLOUR="green")
            await world.commit(replicas=4, BUILD="1")
            await world.declare(strategy=STRATEGY)
            world.writes.kill_at = number
            operator, view = await play(world, operator, "r-0001")
            was_killed = world.writes.kill_at is None
            where = f"killed after {world.writes.calls[number]} ({number})" if was_killed else "not killed"
            assert view.outcome == "promoted", where
            check_promises(world, view, where)
            stable = world.status()["stable"]
            assert world.weights() == {stable: 100}, where
            assert world.running() == {stable: 4}, where
            if not was_killed:
                return
    raise AssertionError("an adoption does not come to an end of its writes")
