"""What a platform consists of: services, their objectives, and the versions that exist of them."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol, Self, TypeVar

from pydantic import AfterValidator, Field, JsonValue, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from croupier.model.base import Digest, LongName, ServiceName, Value

Signal = Literal["errors", "latency", "calls", "deposits", "withdrawals", "bets", "logins"]
"""What a gate watches. ``errors`` and ``latency`` are counted at the edge, ``calls`` are what a service asks of others,
counted where they arrive; the others are business outcomes (S9.4)."""

BUSINESS: frozenset[Signal] = frozenset({"deposits", "withdrawals", "bets", "logins"})
"""What players come for; the others are counted per request."""

Promised = Literal["errors", "latency", "calls", "deposits", "withdrawals", "bets", "logins", "roundTrips"]
"""What an objective is about: a signal, or round trips of WebSockets, which pods count and no gate judges (S1.8)."""

Tier = Literal["money", "standard"]

Traffic = Literal["http", "websocket", "batch"]

StratumName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$", max_length=40)]
"""A provider or a market as the services name it."""

By = Literal["provider", "market"]

Path = Annotated[str, StringConstraints(pattern=r"^/[!-~]*$", max_length=2000)]
"""What is asked of a pod over HTTP."""


class _OnSignal(Protocol):
    @property
    def signal(self) -> Promised: ...


_EachOnSignal = TypeVar("_EachOnSignal", bound=_OnSignal)


def one_a_signal(values: tuple[_EachOnSignal, ...]) -> tuple[_EachOnSignal, ...]:
    """``values`` themselves. Raises what pydantic expects of a validator when two are on one signal."""
    signals = [value.signal for value in values]
    for at, signal in enumerate(signals):
        if signal in signals[:at]:
            raise PydanticCustomError("twice", f"{signal} stands here twice", {"at": at})
    return values


class Strata(Value):
    """Parts of a signal's attempts that get a verdict of their own: by provider, or by market (S9.4)."""

    by: By
    of: Annotated[tuple[StratumName, ...], Field(min_length=1, max_length=12)]
    """The names. What bears another one is judged together with all the rest only; ``other`` is what the tally has no
    room for."""
    required: Annotated[tuple[StratumName, ...], Field(max_length=12)] = ()
    """Those that must pass before a step up; the rest may only take a release back, and nobody waits for them."""

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        if twice := [name for index, name in enumerate(self.of) if name in self.of[:index]]:
            raise ValueError(f"{self.by} {twice[0]} is named twice")
        if unknown := [name for name in self.required if name not in self.of]:
            raise ValueError(f"{self.by} {unknown[0]} is required but not declared: of has {', '.join(self.of)}")
        return self


def stratum_words(by: str, name: str) -> str:
    """How people say it: ``through psp-b``, ``in MT``."""
    return f"{'through' if by == 'provider' else 'in'} {name}"


def refuse_unknown_strata(signal: Promised, strata: tuple[Strata, ...]) -> None:
    """Raises ``ValueError`` for strata that nobody counts, or that are declared twice."""
    if strata and signal not in BUSINESS:
        raise ValueError(f"{signal} has no strata: only {', '.join(sorted(BUSINESS))} know provider and market")
    if len({each.by for each in strata}) < len(strata):
        raise ValueError(f"strata by {strata[0].by} are given twice")


LATENCY_EDGES = (0.1, 0.25, 0.4, 1.0)
"""Seconds; the edges every service is counted at."""


class Objective(Value):
    """A service level objective: at least ``success_ratio`` good, or p95 of what takes time at most ``p95_seconds``."""

    signal: Promised
    """``roundTrips``: of messages over WebSockets, which pods count in a histogram; no gate judges them."""
    success_ratio: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Share of good events, 0-1 (S1.5, S1.6). None for ``latency`` and ``roundTrips``."""
    p95_seconds: Annotated[float, Field(gt=0.0)] | None = None
    """Upper bound of the 95th percentile (S1.7, S1.8). None for anything but ``latency`` and ``roundTrips``."""
    why: LongName | None = None
    """Why it is looser than what croupier promises by itself: the money tier has to say."""
    strata: Annotated[tuple[Strata, ...], Field(max_length=2)] = ()
    """Providers and markets that the gate on this signal judges by themselves too."""

    @model_validator(mode="after")
    def _strata_are_counted(self) -> Self:
        refuse_unknown_strata(self.signal, self.strata)
        return self


Objectives = Annotated[tuple[Objective, ...], Field(max_length=8), AfterValidator(one_a_signal)]
"""At most one a signal."""


class GatedObjective(Objective):
    """An objective that a release is held against."""

    signal: Signal


GatedObjectives = Annotated[tuple[GatedObjective, ...], Field(max_length=7), AfterValidator(one_a_signal)]

OF_PODS: frozenset[Promised] = frozenset({"errors", "latency", "roundTrips"})
"""What pods count of themselves; a tally counts the others."""
TIMED: frozenset[Promised] = frozenset({"latency", "roundTrips"})
"""What takes time, so an objective is a bound of p95."""


class Service(Value):
    """One service as declared in the platform file."""

    name: ServiceName
    tier: Tier = "standard"
    """At a deadline without a verdict the money tier goes back, others hold and call a person."""
    replicas: Annotated[int, Field(ge=1, le=64)]
    """Pods of the stable version."""
    routes: Annotated[tuple[str, ...], Field(max_length=16)]
    """Path prefixes under which the edge serves it, each starting and ending with "/"."""
    internal: bool = False
    """True: reached only by other services, never by players."""
    traffic: Traffic = "http"
    """``websocket``: players hold connections to it. What stands before it hands upgrades through."""
    timeout_seconds: Annotated[float, Field(ge=0.1, le=86_400.0)] = 15.0
    """How long the gateway waits for an answer, longer than for any provider. A websocket may be silent for as long;
    behind some gateways it lives no longer."""
    sockets: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """Connections that players hold to one pod at most; it refuses more. Its node has to have room for them (S6.5).
    None: not said."""
    readiness_path: Path = "/readyz"
    drain_seconds: Annotated[float, Field(ge=0.0, le=600.0)] = 5.0
    """How long a version that leaves may finish what is in flight, or wait for its websockets to close."""
    objectives: Objectives = ()
    depends_on: tuple[ServiceName, ...] = ()


class Platform(Value):
    """All declared services. Names are unique."""

    services: tuple[Service, ...]

    def service(self, name: str) -> Service | None:
        return next((service for service in self.services if service.name == name), None)


class DataFormats(Value):
    """What a version writes into storage that it shares with the version before and after it, and what it can read."""

    writes: Annotated[int, Field(ge=1)] = 1
    """Number of the format it writes."""
    reads: Annotated[tuple[int, ...], Field(min_length=1)] = (1,)
    """Numbers of the formats it can read."""


class Version(Value):
    """One immutable build of a service, named by the digest of its descriptor (S3.7)."""

    service: ServiceName
    digest: Digest
    label: str
    """What people call it (``healthy``). Never used to choose a version."""
    description: str = ""
    data: DataFormats = DataFormats()


class BuildDescriptor(Value):
    """A build descriptor file. The digest over its content is the version's name; ``build`` is for who starts pods."""

    service: ServiceName
    label: Annotated[str, Field(min_length=1, max_length=63)]
    description: str = ""
    module: str = ""
    """What to start; "" where the runtime knows by itself."""
    data: DataFormats = DataFormats()
    """Stored formats, where a version changes them: going back needs a version that reads what was written."""
    build: Annotated[dict[str, JsonValue], Field(default_factory=dict)]
