"""What a person asks for: a release of one version of one service, and how it is gated."""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, field_validator, model_validator
from pydantic_core import PydanticCustomError

from croupier.model.base import Digest, ServiceName, Value
from croupier.model.service import Signal, Strata, Tier, one_a_signal, refuse_unknown_strata

Percent = Annotated[int, Field(ge=1, le=100)]


def rising(steps: tuple[int, ...]) -> tuple[int, ...]:
    """``steps`` themselves. Raises what pydantic expects of a validator, unless they rise to 100."""
    for at, (earlier, later) in enumerate(pairwise(steps), start=1):
        if later <= earlier:
            raise PydanticCustomError("steps_rise", f"steps must rise, got {later} after {earlier}", {"at": at})
    if steps[-1] != 100:
        last = len(steps) - 1
        raise PydanticCustomError("steps_end", f"the last step must be 100, got {steps[-1]}", {"at": last})
    return steps


def refuse_short_deadline(dwell_seconds: float, deadline_seconds: float, scrape_seconds: float) -> None:
    """Raises what pydantic expects of a validator when a step could not pass before its deadline, whatever is seen."""
    least = max(dwell_seconds, 2 * scrape_seconds)
    if least > deadline_seconds:
        why = "dwellSeconds" if least == dwell_seconds else "two scrapes"
        raise PydanticCustomError(
            "deadline",
            f"no step can pass: it lasts {least:g} s at least ({why}), deadlineSeconds is {deadline_seconds:g}",
        )


class BakeSeconds(Value):
    """How long the old version is kept after 100 % where a release does not say, by the tier of its service."""

    money: Annotated[float, Field(ge=0.0, le=86_400.0)] = 300.0
    standard: Annotated[float, Field(ge=0.0, le=86_400.0)] = 60.0

    def of(self, tier: Tier) -> float:
        return self.money if tier == "money" else self.standard


class Margin(Value):
    """How much worse still counts as not worse: a ratio of failure rates, or percentage points. Exactly one."""

    ratio: Annotated[float, Field(gt=1.0, le=100.0)] | None = None
    points: Annotated[float, Field(gt=0.0, le=50.0)] | None = None

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.ratio is None) == (self.points is None):
            raise ValueError("give either ratio or points")
        return self


class GateSpec(Value):
    """One gate of a release."""

    signal: Signal
    role: Literal["required", "veto"] = "veto"
    """``required`` must pass before a step up; ``veto`` may only take the release back."""
    importance: Annotated[float, Field(gt=0.0, le=100.0)] = 1.0
    """Weight in the merged rollback evidence, relative to the other gates."""
    margin: Margin
    objective_ratio: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Absolute success objective, 0-1; None: no absolute test."""
    strata: Annotated[tuple[Strata, ...], Field(max_length=2)] = ()
    """Providers and markets that are judged by themselves too. Half of what the gate stakes against the canary is on
    them, evenly, so they cost no alpha; the other half is on all attempts together."""

    @model_validator(mode="after")
    def _strata_are_counted(self) -> Self:
        refuse_unknown_strata(self.signal, self.strata)
        return self


Gates = Annotated[tuple[GateSpec, ...], Field(max_length=12), AfterValidator(one_a_signal)]
"""At most one a signal."""


class GatePolicy(Value):
    """The gates and their error budget. alpha and beta are per release, not per look."""

    gates: Annotated[Gates, Field(min_length=1)]
    alpha: Annotated[float, Field(gt=0.0, le=0.2)] = 0.01
    """Chance, at most, that a release no worse than stable is taken back by the gates."""
    beta: Annotated[float, Field(gt=0.0, le=0.5)] = 0.0125
    """Chance, at most, that a required gate passes while the canary is worse than its margin."""
    warmup_seconds: Annotated[float, Field(ge=0.0, le=3600.0)] = 0.0
    latency_edges: Annotated[tuple[Annotated[float, Field(gt=0.0, le=3600.0)], ...], Field(max_length=16)] = ()
    """Bucket edges in seconds; a latency gate averages its evidence over them."""

    @property
    def needs_pass(self) -> bool:
        """Whether anything must pass before a step up: a gate, or one of its strata."""
        return any(gate.role == "required" or any(each.required for each in gate.strata) for gate in self.gates)


class ReleaseFile(Value):
    """A release as a person writes it: all but service and digest may be left out."""

    service: ServiceName
    digest: Digest
    strategy: Literal["canary", "rolling"] = "canary"
    """``canary``: a second set of pods beside stable, kept until the end. ``rolling``: old pods make way for new ones
    in batches; ``steps`` follows from the batches then, whatever is given."""
    max_surge: Annotated[int, Field(ge=1, le=64)] = 1
    """Rolling: pods there may be more than the service's replicas."""
    max_unavailable: Annotated[int, Field(ge=0, le=63)] = 0
    """Rolling: pods that may be missing from the service's replicas while a batch begins."""
    steps: Annotated[tuple[Percent, ...], Field(min_length=1)] = (5, 10, 25, 50, 100)
    """Percent of players at each step, rising, the last one 100 (S4.5)."""
    dwell_seconds: Annotated[float, Field(ge=0.0, le=86_400.0)] = 15.0
    """Least time at each step."""
    deadline_seconds: Annotated[float, Field(gt=0.0, le=604_800.0)] = 900.0
    """Longest time at one step without a pass."""
    ready_seconds: Annotated[float, Field(gt=0.0, le=3600.0)] = 60.0
    """Longest time for the new pods to become ready."""
    bake_seconds: Annotated[float, Field(ge=0.0, le=86_400.0)] | None = None
    """How long the old version is kept after 100 %. None: what the desk says for the tier, 300 for money and 60 for
    others where it says nothing."""
    hold_back_percent: Annotated[int, Field(ge=0, le=5)] | None = None
    """Percent of players the old version keeps through the bake, so that there is still somebody to compare with.
    None: 1 for the money tier, 0 for others. At most 99 less the step before."""
    scrape_seconds: Annotated[float, Field(ge=1.0, le=60.0)] = 5.0
    policy: GatePolicy | None = None
    """None: the default policy of the service."""

    @field_validator("steps")
    @classmethod
    def _steps_rise(cls, steps: tuple[int, ...]) -> tuple[int, ...]:
        return rising(steps)

    @model_validator(mode="after")
    def _steps_can_pass(self) -> Self:
        refuse_short_deadline(self.dwell_seconds, self.deadline_seconds, self.scrape_seconds)
        return self

    def complete(self, default_policy: GatePolicy) -> Release:
        """The release this asks for, with ``default_policy`` where the file names none."""
        return Release.model_validate({**dict(self), "policy": self.policy or default_policy})


class Release(ReleaseFile):
    """A release as asked for, complete: defaults are filled in before a plan is made."""

    policy: GatePolicy
