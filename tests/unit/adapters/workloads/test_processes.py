"""An agent that has died is noticed, whatever the clock does."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.support.world import VirtualClock

from croupier.adapters.workloads.processes import STALE_SECONDS, ProcessWorkloads
from croupier.errors import Unreachable


@pytest.mark.parametrize(
    ("age", "said"),
    [(STALE_SECONDS + 1, "nobody has looked at the pods for 6.0 s"), (-3600.0, "since the clock was set back")],
)
async def test_what_an_agent_saw_at_another_time_is_no_observation(tmp_path: Path, age: float, said: str) -> None:
    """A clock that was set back kept the pods of a dead agent ready for as long."""
    clock = VirtualClock()
    pod = {"name": "bets-0", "service": "bets", "digest": "sha256:" + "a" * 64, "ready": True, "restarts": 0}
    observed = tmp_path / "observed.json"
    observed.write_text(json.dumps({"at": clock.now(), "pods": [pod]}))
    workloads = ProcessWorkloads(tmp_path, tmp_path, clock)
    (seen,) = await workloads.observe("bets")
    assert seen.ready == 1
    clock.time += age
    with pytest.raises(Unreachable, match=said):
        await workloads.observe("bets")
