"""Guarded plans: ordered steps of actions, what must be observed, what is watched, and the way back.

Everything that changes production is a plan. A planner (``croupier.core.plans``) writes it, the engine carries it out,
``croupier.core.run.decide`` says what is next.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from croupier.model.base import Digest, ServiceName, Value
from croupier.model.release import Release

# --- actions: typed, each safe to repeat; the engine has one handler per type, which calls one port ---------------


class EnsureVersion(Value):
    """At least ``replicas`` pods of the version exist. Never scales down."""

    kind: Literal["ensure-version"] = "ensure-version"
    service: ServiceName
    digest: Digest
    replicas: int


class Reduce(Value):
    """At most ``replicas`` pods of the version; the last ones of the order in which they are observed leave first."""

    kind: Literal["reduce"] = "reduce"
    service: ServiceName
    digest: Digest
    replicas: int


class SetSplit(Value):
    """``weight`` percent of players go to the canary, the others to stable. 0 sends everybody to stable."""

    kind: Literal["set-split"] = "set-split"
    service: ServiceName
    stable: Digest
    canary: Digest
    weight: int
    offset: int
    revision: int
    stable_pods: int | None = None
    """Only so many pods of stable get players, the first of the order in which they are observed; None: all."""


class Settle(Value):
    """The split ends: ``digest`` is the one version that serves, and requests are stamped without a run."""

    kind: Literal["settle"] = "settle"
    service: ServiceName
    digest: Digest


class Retire(Value):
    """The version's pods drain and end."""

    kind: Literal["retire"] = "retire"
    service: ServiceName
    digest: Digest


Action = Annotated[EnsureVersion | Reduce | SetSplit | Settle | Retire, Field(discriminator="kind")]

# --- what must be observed before a step counts as done -----------------------------------------------------------


class ReplicasReady(Value):
    kind: Literal["replicas-ready"] = "replicas-ready"
    service: ServiceName
    digest: Digest
    replicas: int


class SplitConfirmed(Value):
    """The data plane serves this revision, and the observed share of players lies in the 99.9 % band."""

    kind: Literal["split-confirmed"] = "split-confirmed"
    service: ServiceName
    revision: int
    canary: Digest
    weight: int


class Settled(Value):
    """Only ``digest`` serves."""

    kind: Literal["settled"] = "settled"
    service: ServiceName
    digest: Digest


Condition = Annotated[ReplicasReady | SplitConfirmed | Settled, Field(discriminator="kind")]


class Hold(Value):
    """What is watched once the step has settled, and how long."""

    gates: bool
    """True: required gates must pass before the next step. Gates can take the run back at any step with traffic."""
    dwell_seconds: float
    deadline_seconds: float
    at_deadline: Literal["hold", "back"]


class Step(Value):
    """One step of a plan. ``way_back`` restores the step before: capacity first, then traffic."""

    name: str
    weight: int
    """Percent of players on the canary while the step holds."""
    actions: tuple[Action, ...]
    settled: tuple[Condition, ...]
    settle_seconds: float
    """Longest time until ``settled`` is observed; after it the run goes back."""
    hold: Hold
    way_back: tuple[Action, ...]


class Plan(Value):
    """A plan is complete: it can be carried out, and taken back, from itself alone."""

    run: str
    service: ServiceName
    stable: Digest
    canary: Digest
    release: Release
    tier: Literal["money", "standard"]
    steps: tuple[Step, ...]
    drain_seconds: float = 5.0
    """On the way back: time between the last player leaving the canary and its removal, for what is in flight. With
    sockets: the longest time until a version that players have left is ended, both ways."""
    waits_for_sockets: bool = False
    """A version that players have left ends once none of its sockets is open, ``drain_seconds`` later at most."""
    dispersion: dict[str, float]
    """Series -> dispersion of the stable arm when the plan was made, at least 1.0; fixed for the run."""
    few_pods: tuple[str, ...] = ()
    """Series counted in events of which stable had one pod or two: its failures show too little of how bursty they are,
    so the gates bet on whole minutes, too."""
