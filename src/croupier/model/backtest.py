"""What the gates would have said of past releases, on the traffic as it was."""

from __future__ import annotations

from typing import Literal

from croupier.model.base import Value

Told = Literal["promoted", "rolled-back", "held"]
Was = Literal["promoted", "rolled-back", "running", "unknown"]


class HarmCount(Value):
    """Failures of one gate's signal that were served to players of the canary."""

    gate: str
    bad: float
    """All of them until the gates' end."""
    excess: float
    """Those above what stable's rate makes of as many attempts."""


class StepTime(Value):
    """One step under the gates."""

    weight: int
    seconds: float | None
    """From its first scrape until it passes; None: it does not."""


class BacktestRun(Value):
    """One past release under the given gates."""

    run: str
    service: str
    was: Was
    """How it ended then."""
    was_code: str
    told: Told
    """``rolled-back``: a gate fails. ``promoted``: every step that was taken passes. ``held``: a step does not pass
    before its deadline, or before the record of it ends."""
    code: str
    """The failing gate's code, ``promoted``, ``deadline``, ``not-passed`` (it went on, or the record ends, before these
    gates let it) or ``record-ends`` (it passed so far)."""
    reason: str
    began_at: float
    """First count of players on the canary."""
    at: float
    """When it would have been decided."""
    seconds: float
    """From ``began_at`` to ``at``."""
    weight: int
    """Percent of players on the canary then."""
    steps: tuple[StepTime, ...]
    """Each step before the bake that was taken until then."""
    harm: tuple[HarmCount, ...]

    @property
    def is_otherwise(self) -> bool:
        """Whether it would have ended otherwise. What still runs, or whose end is not known, has no end to differ."""
        return self.was in ("promoted", "rolled-back") and self.was != self.told


class Backtest(Value):
    """All past releases asked for, oldest first."""

    policy: str
    """The file of the gates, or "as they were"."""
    promoted: int
    rolled_back: int
    held: int
    otherwise: int
    """Runs that would have ended otherwise than they did."""
    runs: tuple[BacktestRun, ...]
