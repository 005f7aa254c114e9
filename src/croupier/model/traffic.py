"""How traffic is split over versions of one service."""

from __future__ import annotations

from dataclasses import dataclass

from croupier.model.base import Digest, ServiceName, Value

WHOLE = 10_000
"""The hash ring has this many slots; a weight of 1 % is 100 slots."""


class Endpoint(Value):
    host: str
    port: int


class ArmBackend(Value):
    """One version's part of a split. ``weight`` is percent, 0-100."""

    digest: Digest
    weight: int
    endpoints: tuple[Endpoint, ...]


class Split(Value):
    """What the edge is to do with one service.

    The canary owns the ring slots ``[offset, offset + canary.weight * 100)`` modulo ``WHOLE``. A step up only adds
    slots, so a player never moves back while a release rises; ``offset`` differs from release to release, so the
    same players are not always the first.
    """

    service: ServiceName
    run: str
    """Run id, or "-" when no release is live."""
    revision: int
    """Rises with every split a run sets; stamped on requests, so that the data plane itself tells which split it
    serves. 0 when no release is live."""
    stable: ArmBackend
    canary: ArmBackend | None = None
    offset: int = 0
    returns: bool = False
    """Whether the canary is the version that served before: nobody waits on the worse one for who only confirms."""

    @property
    def goes_back(self) -> bool:
        """Whether it leads to what served before."""
        return self.stable.weight == 100 or self.returns


@dataclass(frozen=True, slots=True)
class ObservedSplit:
    """What the data plane confirms it is doing, not what it was told.

    ``weights``: digest -> percent, of the configuration the proxy reports as loaded. ``run`` and ``revision`` as in
    ``Split``, read from the loaded configuration.
    """

    service: str
    run: str
    revision: int
    weights: dict[str, int]


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a traffic back end can do. Callers ask this, never for its name."""

    sticky: bool
    mirroring: bool
    verifies: bool
