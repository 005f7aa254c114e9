"""What a person reads who is called at three in the morning: what happened, what croupier did, what is safe next."""

from __future__ import annotations

from tests.support.world import BROKEN, HEALTHY, IDENTITY, LOSSY, STABLE, World, release

from croupier.engine.desk import Desk
from croupier.model.digest import short
from croupier.model.view import RunView


async def started(digest: str = HEALTHY, **changes: object) -> tuple[World, Desk, str]:
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    return world, desk, await desk.start(release(digest, **changes), who="ann")


def holding(view: RunView) -> bool:
    return view.phase == "holding"


async def test_pods_that_do_not_start_are_named_while_they_are_waited_for() -> None:
    world, desk, run = await started(BROKEN)
    await world.rounds(desk, 2)
    view = await desk.run_view(run)
    assert "0 of 2 canary pods ready" in view.waiting_for
    assert "exit code 1, restart in 2 s" in view.waiting_for
    assert "aborting r-0001 harms nobody" in view.next


async def test_a_pause_that_waits_for_the_pods_is_said() -> None:
    world, desk, run = await started(BROKEN)
    await desk.command(run, "pause", "ann", "not yet")
    await world.rounds(desk, 2)
    assert "pauses when the pods are ready, before any player" in (await desk.run_view(run)).next


async def test_pods_that_are_missing_for_a_step_are_told_apart_from_a_split_that_does_not_land() -> None:
    world, desk, run = await started()
    await world.play(desk, run, until=holding)
    world.traffic.unreachable = True
    await desk.command(run, "promote", "ann", "go on")
    await world.rounds(desk, 2)
    world.traffic.unreachable = False
    await world.play(desk, run, until=lambda view: view.weight == 50 and view.phase == "settling")
    assert "the data plane to confirm 50 %" in (await desk.run_view(run)).waiting_for

    world, desk, run = await started()
    await world.play(desk, run, until=lambda view: view.weight == 25 and view.phase == "holding")
    world.workloads.unready[HEALTHY] = "ImagePullBackOff"
    view = await world.play(desk, run, until=lambda view: view.phase == "rolling-back")
    assert view.code == "canary-down"
    assert "ImagePullBackOff" in view.reason


async def test_a_run_that_is_held_says_what_each_answer_does() -> None:
    world, desk, run = await started(service=IDENTITY.name)
    await world.play(desk, run, until=holding)
    world.metrics.unreachable = True
    view = await world.play(desk, run, until=lambda view: view.phase == "held")
    assert view.reason.startswith("5 % did not pass within 120 s: no counters of canary and stable")
    for said in (
        "players stay as they are, 5 % on the canary",
        "resume waits as long again",
        "promote goes to 10 %",
        "abort is always safe",
    ):
        assert said in view.next
    await desk.command(run, "abort", "bob", "later")
    view = await world.play(desk, run)
    assert f"nothing was shown against {short(HEALTHY)}" in view.next
    assert "retry it" in view.next


async def test_while_stable_has_no_pods_it_is_said_that_players_stay_and_why() -> None:
    world, desk, run = await started(LOSSY)
    await world.play(desk, run, until=holding)
    world.workloads.unready[STABLE] = "database gone"
    view = await world.play(desk, run, until=lambda view: view.phase == "held")
    assert view.code == "stable-down"
    assert "stable has no ready pod to go back to" in view.reason
    assert "croupier goes back by itself if the canary still fails" in view.next
    await desk.command(run, "abort", "bob", "enough")
    await world.rounds(desk, 2)
    view = await desk.run_view(run)
    assert (view.phase, view.weight) == ("rolling-back", 5)
    assert "cannot carry everybody yet (0 stable pods ready" in view.waiting_for
    assert "database gone" in view.waiting_for
    assert "players stay where they are" in view.waiting_for
    del world.workloads.unready[STABLE]
    assert (await world.play(desk, run)).outcome == "rolled-back"


async def test_a_version_that_failed_is_to_be_mended_and_not_tried_again() -> None:
    world, desk, run = await started(LOSSY)
    view = await world.play(desk, run)
    assert view.code == "worse"
    assert "mend the version" in view.next
