"""What a platform consists of: services, their objectives, and the versions that exist of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, JsonValue

from croupier.model.base import Digest, Name, Value

Signal = Literal["errors", "latency", "deposits", "withdrawals", "bets", "logins"]
"""What a gate watches. ``errors`` and ``latency`` are counted at the edge, the others are business outcomes (S9.4)."""

Tier = Literal["money", "standard"]


class Objective(Value):
    """A service level objective: at least ``success_ratio`` good, or for latency: p95 at most ``p95_seconds``."""

    signal: Signal
    success_ratio: Annotated[float, Field(gt=0.0, lt=1.0)] | None = None
    """Share of good events, 0-1 (S1.5, S1.6). None for latency."""
    p95_seconds: Annotated[float, Field(gt=0.0)] | None = None
    """Upper bound of the 95th percentile (S1.7). None for anything but latency."""


class Service(Value):
    """One service as declared in the platform file."""

    name: Name
    tier: Tier = "standard"
    """At a deadline without a verdict the money tier goes back, others hold and call a person."""
    replicas: Annotated[int, Field(ge=1, le=64)]
    """Pods of the stable version."""
    routes: tuple[str, ...]
    """Path prefixes under which the edge serves it, each starting and ending with "/"."""
    internal: bool = False
    """True: reached only by other services, never by players."""
    readiness_path: str = "/readyz"
    drain_seconds: Annotated[float, Field(ge=0.0, le=600.0)] = 5.0
    objectives: tuple[Objective, ...] = ()
    depends_on: tuple[Name, ...] = ()


class Platform(Value):
    """All declared services. Names are unique."""

    services: tuple[Service, ...]

    def service(self, name: str) -> Service | None:
        return next((service for service in self.services if service.name == name), None)


class Version(Value):
    """One immutable build of a service, named by the digest of its descriptor (S3.7)."""

    service: Name
    digest: Digest
    label: str
    """What people call it (``healthy``). Never used to choose a version."""
    description: str = ""


class BuildDescriptor(Value):
    """A build descriptor file. The digest over its content is the version's name; ``build`` is for who starts pods."""

    service: Name
    label: Annotated[str, Field(min_length=1, max_length=63)]
    description: str = ""
    module: str = ""
    """What to start; "" where the runtime knows by itself."""
    build: Annotated[dict[str, JsonValue], Field(default_factory=dict)]
