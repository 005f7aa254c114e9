"""The desk is killed before and after everything it changes: journal, evidence, split, pods (DESIGN §2).

Given the same observations the end is the same; no step is passed twice, nothing is promoted twice, and nothing is
promoted without evidence.
"""

from __future__ import annotations

import pytest
from tests.support.world import HEALTHY, LOSSY, PAYMENTS, POLICY, STABLE, Killed, World, release

from croupier.core.gates import assess, fold, new_evidence
from croupier.core.run import begin
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
        if not desk.runs():  # the start was never written, and the person who asked was told so
            await world.warm(desk)
            await desk.start(release(digest), who="ann")
        view = await world.play(desk, RUN)
    return world, view


def check_promises(world: World) -> None:
    passed = world.entries("step.passed")
    steps = [entry.body["step"] for entry in passed]
    assert steps == sorted(set(steps)), "a step is passed once, in order"
    assert len(world.entries("run.promoting")) <= 1
    assert len(world.entries("run.rolling-back")) <= 1
    assert len(world.entries("run.ended")) == 1
    assert len(world.entries("run.started")) == 1
    plan = begin(next(world.journal.read(subject=RUN))).plan
    samples = world.evidence.read(RUN)
    for entry in passed:
        if entry.body["code"] != "gates":
            continue
        mark = entry.body["evidence"]
        assert isinstance(mark, dict)
        count = mark["samples"]
        assert isinstance(count, int)
        assert world.evidence.digest(RUN, count=count) == mark["sha256"]
        evidence = new_evidence(POLICY, plan.release.scrape_seconds, plan.dispersion)
        for sample in samples[:count]:
            evidence = fold(evidence, sample)
        assert assess(evidence, weight=plan.steps[int(str(entry.body["step"]))].weight, now=entry.at).outcome == "pass"
    weights = [split.canary.weight for split in world.splits_set if split.canary]
    assert all(weight in (0, 5, 10, 25, 50, 100) for weight in weights)
    rises = [weight for before, weight in zip([0, *weights], weights, strict=False) if weight > before]
    assert len(rises) <= 5, "weights are not climbed twice"
    assert world.journal.verify(evidence=world.evidence) > 0


@pytest.mark.parametrize(
    ("digest", "outcome", "code"), [(HEALTHY, "promoted", "promoted"), (LOSSY, "rolled-back", "worse")]
)
async def test_a_desk_killed_anywhere_comes_to_the_same_end(digest: str, outcome: str, code: str) -> None:
    world, view = await play_killed(digest, None)
    check_promises(world)
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
