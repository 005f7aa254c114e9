"""Why a run's verdict fell: what the gates saw, scrape by scrape, and what would have changed their mind.

Evidence is in bans (see ``croupier.model.verdict``), times are seconds since the epoch.
"""

from __future__ import annotations

from typing import Literal

from croupier.model.base import ServiceName, Value
from croupier.model.release import Margin
from croupier.model.verdict import ArmNumbers, GateReading, StratumReading, Verdict
from croupier.model.view import VersionView


class StepSpan(Value):
    """One step of the run as it went."""

    name: str
    weight: int
    entered_at: float
    settled_at: float | None
    """When the data plane had confirmed the split, later by what nobody watched since; None: never."""
    passed_at: float | None
    """When the step was passed; None: it was not."""


class EvidencePoint(Value):
    """One gate after one scrape. Failures are totals since the run began."""

    at: float
    weight: int
    against: float
    favour: float
    canary: ArmNumbers
    stable: ArmNumbers


class MergedPoint(Value):
    """All gates together after one scrape."""

    at: float
    weight: int
    against: float


class StratumStory(Value):
    """One provider or market of a gate, from the first scrape with players on."""

    last: StratumReading
    """Its reading when the verdict fell, else at the end."""
    against: tuple[float, ...]
    """Evidence after each scrape, as ``points`` of the gate."""
    favour: tuple[float, ...]


class GateStory(Value):
    """One gate from the first scrape with players to the end of the record or the way back."""

    gate: str
    role: Literal["required", "veto"]
    margin: Margin
    last: GateReading
    """Its reading when the verdict fell, else at the end."""
    points: tuple[EvidencePoint, ...]
    failed_at: float | None
    """When it first failed; None: never."""
    passed_at: float | None
    """When its evidence in favour first reached the bar; None: never."""
    tolerated: int | None
    """Most failures of the canary, evenly fewer over the whole time, that would not have been a fail. None: the gate
    did not fail, or failures are not what it failed for."""
    strata: tuple[StratumStory, ...] = ()


class Explanation(Value):
    """One run explained."""

    run: str
    service: ServiceName
    stable: VersionView
    canary: VersionView
    outcome: Literal["promoted", "rolled-back", "running"]
    code: str
    """Stable reason code of the end, or of where the run stands."""
    reason: str
    by_gates: bool
    """Whether the gates brought the end about. False: a person, a deadline, pods that crash, …"""
    started_at: float
    first_players_at: float | None
    """When the first scrape with players on the canary was made; None: there never was one."""
    verdict: Verdict | None
    """The verdict that decided, else the last one written."""
    verdict_at: float | None
    """When it fell."""
    ended_at: float | None
    steps: tuple[StepSpan, ...]
    together: tuple[MergedPoint, ...]
    gates: tuple[GateStory, ...]
    alpha: float
    beta: float
