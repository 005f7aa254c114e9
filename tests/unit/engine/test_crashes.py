"""The desk is killed before and after everything it changes: journal, evidence, split, pods (DESIGN §2).

Given the same observations the end is the same; no step is passed twice, nothing is promoted twice, and nothing is
promoted without evidence. Every verdict in the journal comes out again, to the last digit, from the samples it names.
"""

from __future__ import annotations

import pytest
from tests.support.world import HEALTHY, LOSSY, PAYMENTS, STABLE, Killed, World, release

from croupier.core.replay import replay
from croupier.engine import register
from croupier.model.journal import Entry
from croupier.model.verdict import Outcome, Verdict
from croupier.model.view import RunView

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
