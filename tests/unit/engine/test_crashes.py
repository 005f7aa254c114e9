"""The desk is killed before and after everything it changes: journal, evidence, split, pods (DESIGN §2).

A canary is killed everywhere; the other ways that a release can go, after each change but those of the evidence.

Given the same observations the end is the same; no step is passed twice, nothing is promoted twice, and nothing is
promoted without evidence. Every verdict in the journal comes out again, to the last digit, from the samples it names.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from tests.support.world import HEALTHY, IDENTITY, LOSSY, PAYMENTS, PLATFORM, STABLE, Killed, World, release

from croupier.core.replay import replay
from croupier.engine import register
from croupier.engine.desk import Desk
from croupier.model.freeze import Freeze
from croupier.model.journal import Entry
from croupier.model.release import Release
from croupier.model.service import Platform
from croupier.model.verdict import Outcome, Verdict
from croupier.model.view import CommandName, GroupRequest, RunView

RUN = "r-0001"


async def play_killed(digest: str, kill_at: int | None) -> tuple[World, RunView]:
    """One release; the desk is killed once, and a new one goes on from what was left."""
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    world.tripwire.calls.clear()
    world.tripwire.kill_at = kill_at
    try:
        await desk.start(release(digest), who="ann")
        view = await world.play(desk, RUN)
    except (Killed, BaseExceptionGroup) as killed:
        assert isinstance(killed, Killed) or not killed.split(Killed)[1]
        desk = world.desk()
        await desk.round()
        if not await desk.runs():  # the start was never written, and the person who asked was told so
            await world.warm(desk)
            await desk.start(release(digest), who="ann")
        view = await world.play(desk, RUN)
    return world, view


def written(entry: Entry) -> Verdict:
    return Verdict.model_validate(entry.body["verdict"])


def check_promises(world: World) -> None:
    passed = world.entries("step.passed")
    steps = [entry.body["step"] for entry in passed]
    assert steps == sorted(set(steps)), "a step is passed once, in order"
    assert len(world.entries("run.promoting")) <= 1
    assert len(world.entries("run.rolling-back")) <= 1
    assert len(world.entries("run.ended")) == 1
    assert len(world.entries("run.started")) == 1
    replayed = replay(list(world.journal.read(subject=RUN)), world.evidence.read(RUN), world.evidence.digests(RUN))
    assert (replayed.differences, replayed.unstored) == ((), 0)
    gated = [entry for entry in passed if entry.body["code"] == "gates"]
    assert replayed.verdicts >= len(world.entries("verdict")) + len(gated) > 0
    went_back = [entry.body["code"] for entry in world.entries("run.rolling-back")]
    if "worse" in went_back:
        assert Outcome.FAIL in [written(entry).outcome for entry in world.entries("verdict")]
    weights = [split.canary.weight for split in world.splits_set if split.canary]
    assert all(weight in (0, 5, 10, 25, 50, 100) for weight in weights)
    rises = [weight for before, weight in zip([0, *weights], weights, strict=False) if weight > before]
    assert len(rises) <= 5, "weights are not climbed twice"
    assert world.journal.verify(evidence=world.evidence) > 0


@pytest.mark.parametrize("snapshot_every", [register.SNAPSHOT_EVERY, 4])
@pytest.mark.parametrize(
    ("digest", "outcome", "code"), [(HEALTHY, "promoted", "promoted"), (LOSSY, "rolled-back", "worse")]
)
async def test_a_desk_killed_anywhere_comes_to_the_same_end(
    digest: str, outcome: str, code: str, snapshot_every: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(register, "SNAPSHOT_EVERY", snapshot_every)
    world, view = await play_killed(digest, None)
    check_promises(world)
    assert bool(world.entries("desk.snapshot")) == (snapshot_every == 4)
    points = 2 * len(world.tripwire.calls)
    whole = list(world.tripwire.calls)
    assert points > 30
    for kill_at in range(points):
        world, view = await play_killed(digest, kill_at)
        where = f"killed {'after' if kill_at % 2 else 'before'} {whole[kill_at // 2]} ({kill_at})"
        assert (view.outcome, view.code) == (outcome, code), where
        assert world.serves() == {HEALTHY if outcome == "promoted" else STABLE: 100}, where
        running = {pods.digest for pods in await world.workloads.observe(PAYMENTS.name)}
        assert running == {HEALTHY if outcome == "promoted" else STABLE}, where
        check_promises(world)


def quick(digest: str = HEALTHY, service: str = PAYMENTS.name, **changes: object) -> Release:
    return release(digest, service, **{"steps": (25, 100), "dwell_seconds": 5.0, "bake_seconds": 5.0} | changes)


@dataclass(frozen=True)
class Plot:
    """What people want of one desk. ``live``: a release that goes before ``asked``; ``frozen``: seconds from now."""

    asked: Release | GroupRequest
    live: Release | None = None
    command: CommandName | None = None
    when: Callable[[RunView], bool] = lambda _: False
    frozen: tuple[float, float] | None = None
    platform: Platform = PLATFORM

    async def play(self, kill_at: int | None) -> World:
        """Everything that is wanted, by people who ask again where nothing was written."""
        world = await World.begin()
        world.traffic.sockets = {(PAYMENTS.name, STABLE): 3, (PAYMENTS.name, HEALTHY): 3}
        now = world.clock.now()
        frozen = []
        if self.frozen is not None:
            from_at, until_at = now + self.frozen[0], now + self.frozen[1]
            frozen.append(Freeze(name="final", title="Final", from_at=from_at, until_at=until_at, until="later"))
        desk = world.desk(self.platform)
        await world.warm(desk)
        await desk.declare(self.platform, frozen)
        world.tripwire.calls.clear()
        world.tripwire.kill_at = kill_at
        for _ in range(400):
            try:
                await desk.round()
                if await self._is_over(world, desk):
                    return world
                await world.pass_time(2.5)
            except (Killed, BaseExceptionGroup) as killed:
                assert isinstance(killed, Killed) or not killed.split(Killed)[1]
                desk = world.desk(self.platform)
                await desk.declare(self.platform, frozen)
                if not world.entries("run.started"):
                    await world.warm(desk)
        raise AssertionError([(each.run, each.waiting_for) for each in await desk.runs()])

    async def _is_over(self, world: World, desk: Desk) -> bool:
        runs, groups = await desk.runs(), await desk.groups()
        if self.live is not None and not runs:
            await desk.start(self.live, who="ann")
        elif isinstance(self.asked, GroupRequest):
            if not groups and (self.live is None or runs[0].weight > 0):
                await desk.start_group(self.asked, who="bob")
            return bool(groups) and groups[0].outcome is not None
        elif not runs:
            await desk.start(self.asked, who="ann")
        elif self.command is not None and self.when(runs[0]) and not world.entries("command"):
            await desk.command(runs[0].run, self.command, "ann", "enough")
        return bool(runs) and all(each.outcome for each in runs)


async def told(world: World) -> object:
    """What there is in the end: outcomes, players, pods."""
    ends = [(entry.subject, entry.body["outcome"], entry.body["code"]) for entry in world.entries("run.ended")]
    serves = [world.serves(service.name) for service in PLATFORM.services]
    pods = [await world.workloads.observe(service.name) for service in PLATFORM.services]
    groups = [entry.body["outcome"] for entry in world.entries("group.ended")]
    return ends, groups, serves, [[(each.digest, each.desired) for each in versions] for versions in pods]


def check_runs(world: World) -> None:
    """Nothing is begun, passed or ended twice; weights never rise again; no version serves that nobody planned."""
    assert world.journal.verify(evidence=world.evidence) > 0
    for planned in world.entries("run.planned"):
        run = planned.subject
        entries = list(world.journal.read(subject=run))
        kinds = [entry.kind for entry in entries]
        assert all(kinds.count(kind) <= 1 for kind in ("run.started", "run.promoting", "run.rolling-back", "run.ended"))
        steps = [entry.body["step"] for entry in entries if entry.kind == "step.passed"]
        assert steps == sorted(set(steps))
        replayed = replay(entries, world.evidence.read(run), world.evidence.digests(run))
        assert (replayed.differences, replayed.unstored) == ((), 0)
        plan = planned.body["plan"]
        assert isinstance(plan, dict)
        splits = [split for split in world.splits_set if split.run == run]
        assert {split.stable.digest for split in splits} <= {plan["stable"]}
        assert {split.canary.digest for split in splits if split.canary} <= {plan["canary"]}
        weights = [split.canary.weight if split.canary else 0 for split in splits]
        top = weights.index(max(weights)) if weights else 0
        assert weights[: top + 1] == sorted(weights[: top + 1])
        assert weights[top:] == sorted(weights[top:], reverse=True)


TABLES = Platform(
    services=(PAYMENTS.model_copy(update={"traffic": "websocket", "drain_seconds": 15.0}), IDENTITY),
)


ROLLING = {"strategy": "rolling", "max_surge": 2, "max_unavailable": 1}


@pytest.mark.parametrize(
    "plot",
    [
        pytest.param(Plot(quick(**ROLLING), frozen=(60.0, 120.0)), id="rolling"),
        pytest.param(
            Plot(quick(**ROLLING), command="abort", when=lambda view: view.weight > 40),
            id="rolling back",
        ),
        pytest.param(
            Plot(
                quick(hold_back_percent=1), command="abort", when=lambda view: bool(view.open_sockets), platform=TABLES
            ),
            id="sockets",
        ),
        pytest.param(Plot(GroupRequest(releases=(quick(),), supersede=True), live=quick(LOSSY)), id="superseded"),
        pytest.param(Plot(GroupRequest(releases=(quick(), quick(service=IDENTITY.name)))), id="group"),
    ],
)
async def test_whatever_people_want_a_desk_killed_anywhere_comes_to_the_same_end(plot: Plot) -> None:
    world = await plot.play(None)
    check_runs(world)
    whole, end = list(world.tripwire.calls), await told(world)
    for number, call in enumerate(whole):
        if call != "evidence":
            world = await plot.play(2 * number + 1)
            assert await told(world) == end, f"killed after {call} ({number})"
            check_runs(world)
