"""What people may ask of a run, and what is refused."""

from __future__ import annotations

import pytest
from pydantic import JsonValue
from tests.support.world import HEALTHY, IDENTITY, LOSSY, PAYMENTS, STABLE, World, release

from croupier.engine.desk import Desk
from croupier.errors import Refused, UnknownName
from croupier.model.journal import Draft
from croupier.model.view import CommandName, RunView


async def started(**changes: object) -> tuple[World, Desk, str]:
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    return world, desk, await desk.start(release(**changes), who="ann")


async def test_a_paused_run_stays_where_it_is_until_a_person_resumes() -> None:
    world, desk, run = await started()
    await world.play(desk, run, until=lambda view: view.phase == "holding" and view.weight == 5)
    await desk.command(run, "pause", "ann", "lunch")
    await world.rounds(desk, 200)
    view = await desk.run_view(run)
    assert (view.phase, view.weight) == ("paused", 5)
    await desk.command(run, "resume", "ann", "back")
    assert (await world.play(desk, run)).outcome == "promoted"


async def test_a_paused_run_is_still_taken_back_by_its_gates() -> None:
    world, desk, run = await started(digest=LOSSY)
    await world.play(desk, run, until=lambda view: view.weight == 5)
    await desk.command(run, "pause", "ann", "lunch")
    assert (await world.play(desk, run)).code == "worse"


async def test_a_run_paused_before_its_first_player_gets_none_until_resumed() -> None:
    world, desk, run = await started()
    await desk.command(run, "pause", "ann", "not yet")
    await world.rounds(desk, 20)
    view = await desk.run_view(run)
    assert (view.phase, view.weight, world.serves()) == ("paused", 0, {STABLE: 100})
    await desk.command(run, "resume", "ann", "now")
    assert (await world.play(desk, run)).outcome == "promoted"


async def test_an_aborted_run_gives_all_players_back_at_once() -> None:
    world, desk, run = await started()
    await world.play(desk, run, until=lambda view: view.weight == 25)
    await desk.command(run, "abort", "bob", "wrong build")
    await desk.round()
    assert world.serves() == {STABLE: 100}
    view = await world.play(desk, run)
    assert (view.outcome, view.code, view.reason) == ("rolled-back", "aborted", "wrong build")


async def test_an_outage_is_refused_while_it_lasts_and_forgotten_soon_after() -> None:
    """S4.6: sixty seconds of it kept a desk from planning for more than six minutes."""
    world = await World.begin()
    desk = world.desk()
    await world.rounds(desk, 120, seconds=5.0)
    world.failures[STABLE, "deposits"] = 0.5
    await world.rounds(desk, 12, seconds=5.0)
    with pytest.raises(Refused, match=r"stable fails [34]\d\.?\d* % since \d\d:\d\d:\d\d UTC \(.* before\)") as refused:
        await desk.plan(release())
    assert "wait until" in refused.value.hint
    del world.failures[STABLE, "deposits"]
    await world.rounds(desk, 20, seconds=5.0)
    assert (await desk.plan(release())).forecast.decidable


async def test_a_person_promotes_over_an_undecided_gate_and_is_named_for_it() -> None:
    world, desk, run = await started(dwell_seconds=100.0)
    await world.play(desk, run, until=lambda view: view.phase == "holding")
    await desk.command(run, "promote", "ann", "checked by hand")
    view = await world.play(desk, run, until=lambda view: view.weight == 10)
    passed = world.entries("step.passed")[0]
    assert (passed.body["code"], passed.body["who"]) == ("person", "ann")
    await world.rounds(desk, 8)
    assert (await desk.run_view(run)).weight == 10, "one promote is one step"
    assert view.outcome is None


async def test_nobody_promotes_over_a_failing_gate() -> None:
    world, desk, run = await started(digest=LOSSY, service=IDENTITY.name)

    def failing(view: RunView) -> bool:
        return view.verdict is not None and view.verdict.outcome == "fail"

    world.workloads.unready[STABLE] = "database gone"
    await world.play(desk, run, until=failing)
    with pytest.raises(Refused, match="failing gate"):
        await desk.command(run, "promote", "ann", "I insist")


async def test_commands_that_make_no_sense_are_refused_and_say_what_would_be_accepted() -> None:
    world, desk, run = await started()
    with pytest.raises(Refused) as refused:
        await desk.command(run, "resume", "ann", "")
    assert "pause, abort" in refused.value.hint
    with pytest.raises(UnknownName) as unknown:
        await desk.command("r-0009", "abort", "ann", "")
    assert "r-0001" in unknown.value.hint
    await world.play(desk, run)
    with pytest.raises(Refused, match="has ended: promoted"):
        await desk.command(run, "abort", "ann", "")


async def test_what_is_unknown_or_makes_no_sense_is_refused_and_starts_nothing() -> None:
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    for wrong, error, words in (
        (release(service="payment-api"), UnknownName, "did you mean payments-api"),
        (release(digest="sha256:" + "f" * 64), UnknownName, HEALTHY),
        (release(digest=STABLE), Refused, "choose another version"),
        (release(deadline_seconds=11.0), Refused, "widen"),
    ):
        with pytest.raises(error) as raised:
            await desk.start(wrong, who="ann")
        assert words in raised.value.hint
    assert not await desk.runs()


async def test_a_service_has_one_live_run_and_other_services_their_own() -> None:
    world, desk, run = await started()
    with pytest.raises(Refused, match=f"has a live run, {run}"):
        await desk.start(release(LOSSY), who="bob")
    other = await desk.start(release(service=IDENTITY.name), who="bob")
    assert (await world.play(desk, run)).outcome == "promoted"
    assert (await world.play(desk, other)).outcome == "promoted"
    again = await desk.start(release(STABLE), who="ann")
    assert again == "r-0003"
    assert (await world.play(desk, again)).outcome == "promoted"
    offsets = {split.run: split.offset for split in world.splits_set if split.canary}
    assert len(set(offsets.values())) == 3, "other players are the first each time"


async def test_a_plan_is_shown_and_starts_nothing() -> None:
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    shown = await desk.plan(release())
    assert (shown.stable.label, shown.canary.label) == ("first", "healthy")
    assert shown.forecast.decidable
    assert shown.forecast.seconds is not None
    await world.rounds(desk, 3)
    assert not await desk.runs()
    assert {pods.digest for pods in await world.workloads.observe(PAYMENTS.name)} == {STABLE}


async def test_services_and_versions_are_shown_as_they_are() -> None:
    world, desk, run = await started()
    await world.play(desk, run, until=lambda view: view.phase == "holding")
    services = {service.name: service for service in await desk.services()}
    assert services[PAYMENTS.name].live_run == run
    assert services[PAYMENTS.name].ready == 4
    stable = services[PAYMENTS.name].stable
    assert stable is not None
    assert stable.digest == STABLE
    serving = {version.digest for version in await desk.versions(PAYMENTS.name) if version.serving}
    assert serving == {STABLE, HEALTHY}
    with pytest.raises(UnknownName):
        await desk.versions("nothing")


@pytest.mark.parametrize("second", ["pause", "promote", "resume"])
async def test_no_later_command_takes_the_place_of_an_abort(second: CommandName) -> None:
    """Two people may speak before a round comes: who asked for the way back was told that it is written down."""
    world, desk, run = await started()
    await world.play(desk, run, until=lambda view: view.phase == "holding" and view.weight == 5)
    if second == "resume":
        await desk.command(run, "pause", "ann", "lunch")
        await world.rounds(desk, 1)
    await desk.command(run, "abort", "ann", "deposits look wrong")
    assert (await desk.run_view(run)).commands == ("abort",)
    with pytest.raises(Refused, match=f"{run} is being aborted"):
        await desk.command(run, second, "bob")
    said: dict[str, JsonValue] = {"command": second, "who": "bob", "reason": ""}
    world.journal.append([Draft("command", run, world.clock.now(), said)])
    view = await world.play(world.desk(), run)
    assert (view.outcome, view.code, view.reason) == ("rolled-back", "aborted", "deposits look wrong")


async def test_a_split_that_never_landed_does_not_land_in_a_pause() -> None:
    world, desk, run = await started()
    await world.play(desk, run, until=lambda view: view.phase == "holding" and view.weight == 5)
    world.traffic.refusal = "busy"
    await world.play(desk, run, until=lambda view: view.step_name == "10 %")
    await world.rounds(desk, 1)
    await desk.command(run, "pause", "ann", "lunch")
    await world.rounds(desk, 3)
    world.traffic.refusal = ""
    await world.rounds(desk, 3)
    assert (await desk.run_view(run)).phase == "paused"
    assert world.serves() == {STABLE: 95, HEALTHY: 5}
    foreign = world.splits_set[-1].model_copy(update={"revision": 99})
    await world.traffic.set_split(foreign)
    await world.rounds(desk, 3)
    assert (await world.traffic.observe(PAYMENTS.name)).revision == 1, "what has been in force is put right"
    await desk.command(run, "resume", "ann", "back again")
    assert (await world.play(world.desk(), run)).outcome == "promoted"
