"""A rolling release on a desk in virtual time: batches, gates between them, the way back."""

from __future__ import annotations

import pytest
from tests.support.world import HEALTHY, LOSSY, PAYMENTS, STABLE, World, release

from croupier.engine.desk import Desk
from croupier.errors import Refused
from croupier.model.release import Release
from croupier.model.view import RunView


def rolling(digest: str = HEALTHY, **changes: object) -> Release:
    return release(digest, strategy="rolling", **changes)


async def started(asked: Release) -> tuple[World, Desk, str]:
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    return world, desk, await desk.start(asked, who="ann")


async def play(world: World, desk: Desk, run: str, counts: list[dict[str, int]]) -> RunView:
    """Rounds until the end; ``counts`` gets how many pods of each version there were after each."""
    for _ in range(400):
        await desk.round()
        counts.append({each.digest: each.desired for each in await world.workloads.observe(PAYMENTS.name)})
        view = await desk.run_view(run)
        if view.outcome is not None:
            return view
        await world.pass_time(2.5)
    raise AssertionError(f"{run} waits for {(await desk.run_view(run)).waiting_for}")


@pytest.mark.parametrize(("surge", "unavailable", "fewest"), [(1, 0, 4), (1, 1, 3), (2, 1, 3)])
async def test_old_pods_make_way_in_batches_within_bounds(surge: int, unavailable: int, fewest: int) -> None:
    world, desk, run = await started(rolling(max_surge=surge, max_unavailable=unavailable))
    counts: list[dict[str, int]] = []
    view = await play(world, desk, run, counts)
    assert view.outcome == "promoted", view.reason
    assert counts[-1] == {HEALTHY: 4}
    totals = [sum(each.values()) for each in counts]
    assert max(totals) <= 4 + surge
    assert min(totals) >= fewest
    assert world.serves() == {HEALTHY: 100}
    assert {entry.body["code"] for entry in world.entries("step.passed")} == {"baked", "gates"}


async def test_a_harmful_version_goes_back_and_all_old_pods_are_there_before_players_return() -> None:
    world, desk, run = await started(rolling(LOSSY))
    counts: list[dict[str, int]] = []
    view = await play(world, desk, run, counts)
    assert (view.outcome, view.code) == ("rolled-back", "worse")
    assert min(each[STABLE] for each in counts) < 4
    assert counts[-1] == {STABLE: 4}
    assert world.serves() == {STABLE: 100}
    calls = [call for call in world.tripwire.calls if call.startswith(("ensure", "set_split"))]
    back = next(at for at, call in enumerate(calls) if at > 2 and call == f"set_split {run} 0")
    assert "ensure 4" in calls[back - 2 : back]


async def test_a_service_that_would_move_in_one_batch_is_refused() -> None:
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    with pytest.raises(Refused, match="begins at 100 %"):
        await desk.start(rolling(max_surge=4), who="ann")


async def test_no_old_pod_ends_while_a_new_one_that_players_are_on_is_not_ready() -> None:
    world, desk, run = await started(rolling())
    await world.play(desk, run, until=lambda _: bool(world.splits_set))
    world.workloads.unready[HEALTHY] = "crashed"
    await world.rounds(desk, 4)
    assert not [call for call in world.tripwire.calls if call.startswith("reduce")]
    assert (await world.play(desk, run)).outcome == "rolled-back"
    assert world.serves() == {STABLE: 100}


async def test_no_old_pod_leaves_while_one_that_stays_is_not_ready() -> None:
    """Players would be left with fewer pods than maxUnavailable allows."""
    world, desk, run = await started(rolling())
    world.workloads.unready[STABLE] = "crashed"
    await world.rounds(desk, 4)
    assert not world.splits_set
    assert not [call for call in world.tripwire.calls if call.startswith("reduce")]
    del world.workloads.unready[STABLE]
    assert (await world.play(desk, run)).outcome == "promoted"


async def test_old_pods_that_never_become_ready_are_named() -> None:
    world, desk, run = await started(rolling())
    world.workloads.unready[STABLE] = "crashed"
    view = await world.play(desk, run)
    assert (view.outcome, view.code) == ("rolled-back", "not-settled")
    assert "no old pod leaves while one that stays is not ready (payments-api-" in view.reason
