"""Several releases as one, superseding, retries, the limit on live runs, and fix-forward, on a desk in virtual time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from pydantic import ValidationError
from tests.support.world import BROKEN, HEALTHY, IDENTITY, LOSSY, PAYMENTS, PLATFORM, STABLE, World, release

from croupier.core.group import GroupState
from croupier.engine import gather
from croupier.engine.desk import Desk
from croupier.engine.groups import AGAIN_SECONDS
from croupier.errors import Refused, UnknownName, Unreachable
from croupier.model.journal import Draft, Entry
from croupier.model.release import Release
from croupier.model.service import Platform
from croupier.model.view import GroupRequest, GroupView

# payments-api calls identity, so identity goes first.
DEPENDENT = Platform(
    services=tuple(
        each.model_copy(update={"depends_on": ("identity",)}) if each == PAYMENTS else each
        for each in PLATFORM.services
    )
)


async def warmed() -> tuple[World, Desk]:
    world = await World.begin()
    desk = world.desk(DEPENDENT)
    await world.warm(desk)
    return world, desk


async def ended(world: World, desk: Desk, group: str, seconds: float = 2000.0) -> GroupView:
    deadline = world.clock.now() + seconds
    while world.clock.now() < deadline:
        await desk.round()
        view = await desk.group_view(group)
        if view.outcome is not None:
            return view
        await world.pass_time(2.5)
    raise AssertionError(f"{group} waits for {(await desk.group_view(group)).waiting_for}")


def both(**changes: object) -> GroupRequest:
    releases = [release(HEALTHY, PAYMENTS.name), release(HEALTHY, IDENTITY.name)]
    return GroupRequest.model_validate({"releases": releases} | changes)


async def test_a_group_releases_what_others_depend_on_first_and_one_at_a_time() -> None:
    world, desk = await warmed()
    group = await desk.start_group(both(), who="ann")
    view = await desk.group_view(group)
    assert [(member.service, member.state) for member in view.members] == [
        ("identity", "live"),
        ("payments-api", "waiting"),
    ]
    done = await ended(world, desk, group)
    assert done.outcome == "promoted"
    assert [(await desk.run_view(str(member.run))).outcome for member in done.members] == ["promoted", "promoted"]
    runs = [entry for entry in world.journal.read() if entry.kind in ("run.started", "run.ended")]
    assert [entry.kind for entry in runs] == ["run.started", "run.ended"] * 2
    assert world.serves(PAYMENTS.name) == world.serves(IDENTITY.name) == {HEALTHY: 100}


async def test_a_member_that_is_taken_back_stops_the_group() -> None:
    world, desk = await warmed()
    asked = GroupRequest(releases=(release(BROKEN, IDENTITY.name), release(HEALTHY, PAYMENTS.name)))
    done = await ended(world, desk, await desk.start_group(asked, who="ann"))
    assert done.outcome == "rolled-back"
    assert "not started: payments-api" in done.reason
    assert [member.state for member in done.members] == ["rolled-back", "left-out"]
    assert world.serves(PAYMENTS.name) == {STABLE: 100}


async def test_one_abort_takes_back_the_live_member_and_starts_no_other() -> None:
    world, desk = await warmed()
    group = await desk.start_group(both(), who="ann")
    await world.rounds(desk, 10)
    await desk.abort_group(group, "bob", "wrong evening")
    done = await ended(world, desk, group)
    assert (done.outcome, [member.state for member in done.members]) == ("aborted", ["rolled-back", "left-out"])
    assert (await desk.entries(run=group))[1].body == {"who": "bob", "reason": "wrong evening"}
    with pytest.raises(Refused, match="has ended"):
        await desk.abort_group(group, "bob")


async def test_a_desk_that_is_killed_between_members_goes_on_with_the_next() -> None:
    """A killed desk loses nothing: no member is started twice, none is forgotten."""
    world, desk = await warmed()
    group = await desk.start_group(both(), who="ann")
    while (await desk.group_view(group)).members[0].state == "live":
        await world.rounds(desk, 1)
    again = world.desk(DEPENDENT)
    await world.warm(again)
    done = await ended(world, again, group)
    assert done.outcome == "promoted"
    assert len(world.entries("run.started")) == 2


async def test_superseding_takes_the_live_release_back_before_the_newer_one_starts() -> None:
    """Players are never on three versions."""
    world, desk = await warmed()
    first = await desk.start(release(LOSSY), who="ann")
    await world.play(desk, first, until=lambda view: view.weight == 5)
    with pytest.raises(Refused, match="has a live run"):
        await desk.start_group(GroupRequest(releases=(release(HEALTHY),)), who="bob")
    group = await desk.start_group(GroupRequest(releases=(release(HEALTHY),), supersede=True), who="bob")
    done = await ended(world, desk, group)
    assert done.outcome == "promoted"
    old = await desk.run_view(first)
    assert (old.outcome, old.code) == ("rolled-back", "aborted")
    assert old.reason == f"superseded by {group}"
    kinds = [entry.kind for entry in world.journal.read() if entry.kind in ("run.started", "run.ended")]
    assert kinds == ["run.started", "run.ended", "run.started", "run.ended"]


async def test_nothing_is_superseded_for_a_release_that_could_not_start() -> None:
    """The live release would be gone, and the group would wait until some day its release can start."""
    world, desk = await warmed()
    first = await desk.start(release(), who="ann")
    await world.play(desk, first, until=lambda view: view.weight == 5)
    with pytest.raises(Refused, match="serves everybody already"):
        await desk.start_group(GroupRequest(releases=(release(STABLE),), supersede=True), who="bob")
    with pytest.raises(Refused, match="deadline"):
        hasty = release(LOSSY, deadline_seconds=11.0)
        await desk.start_group(GroupRequest(releases=(hasty,), supersede=True), who="bob")
    assert not await desk.groups()
    assert (await world.play(desk, first)).outcome == "promoted"


async def test_a_start_whose_answer_is_lost_is_not_written_twice_by_the_next_group(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world, desk = await warmed()
    runs = [await desk.start(release(service=service.name), who="ann") for service in (PAYMENTS, IDENTITY)]
    groups = [
        await desk.start_group(GroupRequest(releases=(release(LOSSY, service.name),), supersede=True), who="bob")
        for service in (PAYMENTS, IDENTITY)
    ]
    append, lost = world.journal.append, []

    def lose(drafts: Sequence[Draft], *, way_back: bool = False) -> Sequence[Entry]:
        entries = append(drafts, way_back=way_back)
        if drafts[0].kind == "run.planned" and not lost:
            lost.append(drafts[0].subject)
            raise Unreachable("the answer is lost")
        return entries

    monkeypatch.setattr(world.journal, "append", lose)
    for run in runs:
        await world.play(desk, run)
    await world.rounds(desk, 20)
    assert lost
    started = [entry.subject for entry in world.journal.read() if entry.kind == "run.started"]
    assert started == [*runs, "r-0003", "r-0004"]
    assert [(await desk.group_view(group)).members[0].run for group in groups] == ["r-0003", "r-0004"]


async def test_an_abort_of_a_group_on_a_desk_that_is_behind_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    world, desk = await warmed()
    group = await desk.start_group(both(), who="ann")
    append = world.journal.append

    def full(drafts: Sequence[Draft], *, way_back: bool = False) -> Sequence[Entry]:
        if drafts[0].kind == "run.planned":
            raise Unreachable("no space left on device")
        return append(drafts, way_back=way_back)

    with monkeypatch.context() as patch:
        patch.setattr(world.journal, "append", full)
        await world.play(desk, "r-0001")
    await desk.abort_group(group, "bob", "wrong evening")
    done = await ended(world, desk, group)
    assert (done.outcome, [member.state for member in done.members]) == ("aborted", ["promoted", "left-out"])


async def test_a_run_that_was_taken_back_can_be_tried_again_as_it_was_asked_for() -> None:
    world, desk = await warmed()
    first = await desk.start(release(steps=(25, 100)), who="ann")
    with pytest.raises(Refused, match="preparing"):
        await desk.retry(first, who="ann")
    await desk.command(first, "abort", "ann", "not now")
    await world.play(desk, first)
    second = await desk.retry(first, who="bob")
    view = await world.play(desk, second)
    assert (view.outcome, view.canary.digest, view.steps) == ("promoted", HEALTHY, 4)
    assert world.entries("run.started")[-1].body["reason"] == f"retry of {first}"
    with pytest.raises(Refused, match="promoted"):
        await desk.retry(second, who="bob")


async def test_a_desk_runs_no_more_releases_at_a_time_than_it_was_told() -> None:
    world, desk = await warmed()
    desk._most_live = 1
    first = await desk.start(release(), who="ann")
    with pytest.raises(Refused, match="1 releases are live, and this desk runs 1 at a time"):
        await desk.start(release(HEALTHY, IDENTITY.name), who="ann")
    group = await desk.start_group(GroupRequest(releases=(release(HEALTHY, IDENTITY.name),)), who="ann")
    assert "at a time" in (await desk.group_view(group)).waiting_for
    await world.play(desk, first)
    assert (await ended(world, desk, group)).outcome == "promoted"


async def test_fix_forward_moves_everybody_when_stable_has_no_pod_and_is_approved_in_the_journal() -> None:
    """Nothing to compare with and nobody to go back to: a gated release would wait for ever."""
    world, desk = await warmed()
    pods = (await world.workloads.observe(PAYMENTS.name))[0]
    world.workloads.unready[pods.digest] = "exit code 1"
    asked = GroupRequest(releases=(release(),), fix_forward=True, reason="stable crashes since 19:02")
    group = await desk.start_group(asked, who="ann")
    done = await ended(world, desk, group)
    assert done.outcome == "promoted"
    started = world.entries("run.started")[0].body
    assert (started["who"], started["reason"]) == ("ann", "stable crashes since 19:02")
    assert str(started["fixForward"]).startswith("0 of 4 stable pods ready")
    assert "without gates" in (await desk.run_view(str(done.members[0].run))).timeline[1].text


async def test_a_fix_forward_that_was_taken_back_is_tried_again_as_one_and_approved_by_who_tries_it() -> None:
    world, desk = await warmed()
    pods = (await world.workloads.observe(PAYMENTS.name))[0]
    world.workloads.unready[pods.digest] = "exit code 1"
    asked = GroupRequest(releases=(release(),), fix_forward=True, reason="stable crashes since 19:02")
    group = await desk.start_group(asked, who="ann")
    first = str((await desk.group_view(group)).members[0].run)
    await desk.command(first, "abort", "ann", "not this one")
    await world.play(desk, first)
    assert (await desk.run_view(first)).fix_forward
    with pytest.raises(Refused, match="WITHOUT GATES") as refused:
        await world.desk(DEPENDENT).retry(first, who="bob", reason=" ")
    assert "--reason" in refused.value.hint
    assert len(world.entries("run.started")) == 1
    second = await world.desk(DEPENDENT).retry(first, who="bob", reason="it was this one after all")
    view = await world.play(world.desk(DEPENDENT), second)
    assert (view.outcome, view.canary.digest) == ("promoted", HEALTHY)
    started = world.entries("run.started")[-1].body
    assert (started["who"], started["reason"]) == ("bob", "it was this one after all")
    assert str(started["fixForward"]).startswith("0 of 4 stable pods ready")
    assert "by bob without gates" in view.timeline[1].text


async def test_a_member_that_cannot_begin_is_not_forecast_in_every_round(monkeypatch: pytest.MonkeyPatch) -> None:
    world, desk = await warmed()
    desk._most_live = 1
    first = await desk.start(release(), who="ann")
    group = await desk.start_group(GroupRequest(releases=(release(HEALTHY, IDENTITY.name),)), who="ann")
    tried: list[float] = []
    begin = desk._groups._begin

    async def counted(state: GroupState, member: Release) -> str:
        tried.append(world.clock.now())
        return await begin(state, member)

    monkeypatch.setattr(desk._groups, "_begin", counted)
    began = world.clock.now()
    await world.rounds(desk, 60, seconds=0.5)
    assert len(tried) <= (world.clock.now() - began) / AGAIN_SECONDS + 1
    assert "at a time" in (await desk.group_view(group)).waiting_for
    await world.play(desk, first)
    ended_at = world.clock.now()
    while (await desk.group_view(group)).members[0].run is None:
        await world.rounds(desk, 1, seconds=0.5)
    assert world.clock.now() - ended_at <= AGAIN_SECONDS + 0.5
    assert (await ended(world, desk, group)).outcome == "promoted"


async def test_a_clock_that_was_set_back_keeps_no_member_waiting() -> None:
    world, desk = await warmed()
    desk._most_live = 1
    await desk.start(release(), who="ann")
    group = await desk.start_group(GroupRequest(releases=(release(HEALTHY, IDENTITY.name),)), who="ann")
    world.clock.time -= 3600.0
    desk._most_live = 2
    await desk.round()
    assert (await desk.group_view(group)).members[0].state == "live"


def test_fix_forward_without_a_reason_is_refused() -> None:
    with pytest.raises(ValidationError, match="needs a reason"):
        GroupRequest(releases=(release(),), fix_forward=True, reason=" ")


async def test_unknown_groups_and_versions_are_named() -> None:
    _, desk = await warmed()
    with pytest.raises(UnknownName):
        await desk.group_view("g-0009")
    with pytest.raises(UnknownName):
        await desk.start_group(GroupRequest(releases=(release("sha256:" + "9" * 64),)), who="ann")


async def test_a_back_end_that_fails_for_a_member_stops_no_other_release(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The desk ended with what its back end raised, and again whenever it was started."""
    world, desk = await warmed()
    run = await desk.start(release(LOSSY), who="ann")
    desk._most_live = 1
    group = await desk.start_group(GroupRequest(releases=(release(HEALTHY, IDENTITY.name),)), who="bob")
    desk._most_live = None

    async def stumble(_: str) -> None:
        raise KeyError("label")

    with monkeypatch.context() as patch:
        patch.setattr(world.workloads, "versions", stumble)
        assert (await world.play(desk, run)).outcome == "rolled-back"
        assert (await desk.group_view(group)).waiting_for == "KeyError: 'label'"
        await world.rounds(desk, 20)
    assert len([record for record in caplog.records if record.exc_info and group in record.message]) == 1, "said once"
    assert (await ended(world, desk, group)).outcome == "promoted"


async def test_a_start_that_nobody_answers_holds_up_no_round(monkeypatch: pytest.MonkeyPatch) -> None:
    world, desk = await warmed()
    run = await desk.start(release(LOSSY), who="ann")
    await world.play(desk, run, until=lambda view: view.weight == 5)
    monkeypatch.setattr(gather, "PATIENCE_SECONDS", 0.005)
    asked = asyncio.Event()

    async def hang(_: str) -> None:
        asked.set()
        await asyncio.Event().wait()

    monkeypatch.setattr(world.workloads, "versions", hang)
    starting = asyncio.ensure_future(desk.start(release(HEALTHY, IDENTITY.name), who="bob"))
    await asked.wait()
    async with asyncio.timeout(60):
        assert (await world.play(desk, run)).outcome == "rolled-back"
    with pytest.raises(Unreachable, match="no answer within"):
        await starting
