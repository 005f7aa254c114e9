"""What the engine remembers of a run between rounds."""

from __future__ import annotations

from tests.unit.core.test_decide import holding, pods

from croupier.adapters.journal.memory import MemoryEvidence
from croupier.engine.watch import Watch


async def test_a_clock_that_is_set_back_makes_nobody_wait_until_it_has_caught_up() -> None:
    """Prevents: an hour on a version that is down, or on a way back that nobody confirms, after an hour set back."""
    state, well = holding(5)
    assert well.pods is not None
    down = {**well.pods, state.plan.canary: pods(state.plan.canary, 0)}
    watch = await Watch.open(state.plan, MemoryEvidence(), 0.0)
    for now in (7200.0, 3600.0, 3610.0):
        watch.note_split(None, well.split, now)
        watch.note_pods(state, down, now)
    assert (watch.unconfirmed_seconds(3610.0), watch.down_seconds(3610.0)) == (10.0, 10.0)
    assert (watch.asked_seconds(3610.0), watch.stable_down_seconds(3610.0)) == (10.0, 0.0)
    gone = {state.plan.canary: pods(state.plan.canary, 0, desired=0)}
    for now in (3612.0, 3614.0):
        watch.note_pods(state, gone, now)
    watch.note_pods(state, None, 3616.0)
    assert (watch.asked_seconds(3616.0), watch.stable_down_seconds(3616.0)) == (0.0, 4.0)
    watch.note_split(well.split, None, 3620.0)
    watch.note_pods(state, well.pods, 3620.0)
    assert watch.stable_down_seconds(3620.0) == 0.0
    assert (watch.unconfirmed_seconds(3620.0), watch.down_seconds(3620.0)) == (0.0, 0.0)
