"""What a person may see of a service, a plan and a run: values that front ends show and never compute.

The engine makes them (``croupier.engine.views``); web, CLI and reports render them. Times are seconds since the epoch,
UTC. Ratios are 0-1, weights percent 0-100.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, JsonValue, model_validator

from croupier.model.base import Digest, ServiceName, Value
from croupier.model.checklist import Checklist, ChecklistAsk
from croupier.model.forecast import StratumForecast
from croupier.model.freeze import Freeze
from croupier.model.plan import Plan
from croupier.model.release import GatePolicy, Release
from croupier.model.service import Objective, Tier
from croupier.model.verdict import Verdict

Phase = Literal[
    "preparing", "settling", "holding", "held", "paused", "promoting", "promoted", "rolling-back", "rolled-back"
]
"""Where a run stands.

preparing     the canary's pods start; no player is on it yet
settling      a step's split is being set and is not confirmed yet
holding       the gates watch a confirmed split
held          a deadline passed without a verdict, or the objective is missed at 100 %: a person decides;
              or, with the code ``freeze``, a freeze window is open: it goes on by itself when that ends
paused        a person stopped the steps; gates still take the run back
promoting     the canary becomes the only version
promoted      the end: the canary is the stable version
rolling-back  traffic returns to stable
rolled-back   the end: stable serves everybody; ``code`` says why (``worse``, ``never-ready``, ``aborted``, …)
"""

CommandName = Literal["pause", "resume", "promote", "abort", "override"]
"""``override``: of the freeze that stands in its way now, for this run."""


class VersionView(Value):
    """One version of a service. ``label`` is for reading only: a version is chosen by its digest (S3.7)."""

    service: ServiceName
    digest: Digest
    label: str
    description: str = ""
    serving: bool = False
    """Whether the data plane sends it players now."""


class ServiceView(Value):
    """One declared service as it is now."""

    name: ServiceName
    tier: Tier
    internal: bool
    replicas: int
    stable: VersionView | None
    """What serves when no run is live; None when the data plane did not answer."""
    ready: int | None
    """Ready pods of the stable version; None when unknown."""
    live_run: str | None
    objectives: tuple[Objective, ...]
    default_policy: GatePolicy
    """The gates a release of this service gets unless it brings its own."""


class StepForecast(Value):
    """What a step is expected to take when the canary is as good as stable."""

    name: str
    weight: int
    seconds: float | None
    """From the step's start to its pass; None: not within the deadline at the present traffic."""
    waits_for: str = ""
    """The gate that takes longest, "dwell" or "bake"."""


class FaultForecast(Value):
    """How fast one reference fault would be taken back if it were there from the first step."""

    signal: str
    fault: str
    """The fault in words: ``3 % of deposits fail``."""
    seconds: float | None
    """Expected time from the first step's traffic to the fail verdict; None: not found within the plan's time."""
    bad_events: float | None
    """Expected failures served until then."""


class ForecastView(Value):
    """What to expect of a plan at the present traffic."""

    decidable: bool
    """Whether every required gate can pass before its deadline."""
    seconds: float | None
    """From the start to the promotion of a healthy version; None when not decidable."""
    steps: tuple[StepForecast, ...]
    faults: tuple[FaultForecast, ...]
    strata: tuple[StratumForecast, ...] = ()
    """What can be seen of each provider or market that a gate judges by itself."""
    problems: tuple[str, ...] = ()
    """Why it is not decidable, with the numbers."""
    options: tuple[str, ...] = ()
    """What would make it decidable, each complete in itself."""


class PlanPreview(Value):
    """A plan and its forecast; nothing has been started. ``plan.run`` is the id the next run would get."""

    plan: Plan
    stable: VersionView
    canary: VersionView
    forecast: ForecastView
    checklist: Checklist | None = None
    """The nine lines for this release; None: nobody asks for them."""
    asks: ChecklistAsk = "require"
    """Whether a red line keeps it from starting."""
    frozen: tuple[Freeze, ...] = ()
    """The freeze windows that would keep it from starting now, the one that ends last first."""


class WeightBand(Value):
    """The share of players expected at the set weight: 99.9 % of draws of ``players`` players lie in it."""

    low: float
    high: float
    players: int


class Moment(Value):
    """One line of a run's story."""

    at: float
    text: str


class GroupRequest(Value):
    """Several releases as one, or one that has to get past something: the body that starts a group."""

    releases: Annotated[tuple[Release, ...], Field(min_length=1, max_length=64)]
    supersede: bool = False
    """Take back a live release that stands in the way, then start."""
    fix_forward: bool = False
    """Stable itself is bad: everybody moves at once and no gate compares. Needs ``reason``, which is the approval."""
    override_freeze: bool = False
    """Start and go forward in spite of the freeze windows that are open when a member starts. Needs ``reason``."""
    reason: Annotated[str, Field(max_length=500)] = ""

    @model_validator(mode="after")
    def _approved(self) -> Self:
        asked = "fixForward" if self.fix_forward else "overrideFreeze" if self.override_freeze else ""
        if asked and not self.reason.strip():
            raise ValueError(f"{asked} needs a reason: it goes into the journal as the approval")
        return self


class MemberView(Value):
    """One release of a group."""

    service: ServiceName
    digest: Digest
    run: str | None
    """None: not started."""
    state: Literal["waiting", "live", "promoted", "rolled-back", "left-out"]
    """``left-out``: the group ended before its turn."""


class GroupView(Value):
    """Several releases as one, at one moment."""

    group: str
    members: tuple[MemberView, ...]
    """In the order they go: what others depend on first."""
    supersede: bool
    fix_forward: bool
    who: str
    started_at: float
    ended_at: float | None
    outcome: Literal["promoted", "rolled-back", "aborted"] | None
    """``rolled-back``: a member was taken back, and no further one was started."""
    reason: str
    waiting_for: str
    """What the group waits for now, one sentence, or ""."""


class RunView(Value):
    """One run at one moment."""

    run: str
    service: ServiceName
    tier: Tier
    stable: VersionView
    canary: VersionView
    phase: Phase
    step: int
    """Index into the plan's steps, from 0 (``prepare``)."""
    steps: int
    step_name: str
    weight: int
    """Percent of players the split is set to now; 0 before traffic and after a rollback, 100 after a promotion."""
    peak_weight: int
    """The highest weight the run ever set; 0: the canary never had a player."""
    observed_share: float | None
    """Share of players seen on the canary under the current split, 0-1; None while unknown."""
    band: WeightBand | None
    started_at: float
    step_at: float
    """When the present step was entered."""
    updated_at: float
    ended_at: float | None
    outcome: Literal["promoted", "rolled-back"] | None
    code: str
    """Stable reason code of the present phase or end (``worse``, ``never-ready``, ``aborted``, …), or ""."""
    reason: str
    """Why, one sentence with numbers, or ""."""
    verdict: Verdict | None
    verdict_at: float | None
    """When the gates first gave ``verdict`` its outcome."""
    zero_at: float | None
    """When the data plane confirmed that the canary gets no more players, on the way back; else None."""
    forecast: ForecastView | None
    waiting_for: str
    """What the run waits for now, one sentence, or "" at the end."""
    next: str
    """What croupier will do next, and what a person may safely do."""
    commands: tuple[CommandName, ...]
    """What would be accepted now."""
    timeline: tuple[Moment, ...]
    group: str = ""
    """The group it belongs to (``g-0001``), or ""."""
    fix_forward: bool = False
    """True: a person had everybody moved past the gates, because stable itself was bad."""
    open_sockets: int | None = None
    """Still open to a version that players have left and that waits for them; None while none does, or unknown."""
    cut_sockets: int | None = None
    """Open when the version that players had left was ended; None: none was waited for, or nobody could count."""


class JournalEntryView(Value):
    """One entry of the journal as JSON. ``hash`` chains it to ``previous``."""

    seq: int
    kind: str
    subject: str
    at: float
    body: dict[str, JsonValue]
    previous: str
    hash: str


class HealthView(Value):
    """Whether the desk can do its work. ``problems``: one sentence for each back end that does not answer."""

    ok: bool
    started_at: float
    last_round_at: float | None
    live_runs: int
    problems: tuple[str, ...]
