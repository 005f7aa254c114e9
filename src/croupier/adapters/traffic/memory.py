"""Traffic in memory, for tests: a hash ring as the edge has it, without an edge.

The engine's tests run on it in virtual time: ``lag_seconds`` is how long a split takes to be confirmed, ``refusal``
makes every change fail, ``unreachable`` every call; what is ``unconfirmed`` is written all the same.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

from croupier.adapters.traffic.checks import check_split, service_of
from croupier.errors import Unconfirmed, UnknownName, Unreachable
from croupier.model.digest import short
from croupier.model.service import Platform
from croupier.model.traffic import WHOLE, ArmBackend, Capabilities, ObservedSplit, Split
from croupier.ports.clock import Clock

_CONFIRM_SECONDS = 10.0


class Served(NamedTuple):
    """Where a player's request goes, and what it is stamped with."""

    digest: str
    arm: str


class MemoryTraffic:
    """The traffic port, with knobs.

    Attributes:
        lag_seconds: time until a split is confirmed; above ten seconds the change is not made and the call raises.
        refusal: reason for which every change is refused, or "".
        unconfirmed: why nobody confirms what is written, or "".
        unreachable: every call raises ``Unreachable``.
        counts_sockets: False: like a data plane that cannot.
        sockets: (service, digest) -> how many are open to it; none where nothing is said.
    """

    def __init__(self, platform: Platform, clock: Clock) -> None:
        self.lag_seconds = 0.0
        self.refusal = ""
        self.unconfirmed = ""
        self.unreachable = False
        self.counts_sockets = True
        self.sockets: dict[tuple[str, str], int] = {}
        self._platform = platform
        self._clock = clock
        self._splits: dict[str, Split] = {}

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(sticky=True, mirroring=False, verifies=True)

    async def set_split(self, split: Split) -> None:
        check_split(self._platform, split)
        self._answer()
        if any(not backend.endpoints for backend in (split.stable, split.canary) if backend and backend.weight):
            raise Unreachable("a version without endpoints cannot be sent to")
        await self._clock.sleep(min(self.lag_seconds, _CONFIRM_SECONDS))
        if self.refusal or self.lag_seconds > _CONFIRM_SECONDS:
            raise Unreachable(self.refusal or "not confirmed in time")
        self._splits[split.service] = split
        if self.unconfirmed:
            raise Unreachable(self.unconfirmed)

    async def observe(self, service: str) -> ObservedSplit:
        self._answer()
        split = self._split(service)
        backends = (split.stable, split.canary) if split.canary else (split.stable,)
        weights = {backend.digest: backend.weight for backend in backends if backend.weight}
        if self.unconfirmed:
            raise Unconfirmed(self.unconfirmed, run=split.run, revision=split.revision, weights=weights)
        return ObservedSplit(service=service, run=split.run, revision=split.revision, weights=weights)

    async def open_sockets(self, service: str) -> dict[str, int]:
        self._answer()
        service_of(self._platform, service)
        split = self._splits.get(service) if self.counts_sockets else None
        backends = () if split is None else (split.stable, *((split.canary,) if split.canary else ()))
        return {each.digest: self.sockets.get((service, each.digest), 0) for each in backends}

    def serve(self, service: str, player: str) -> Served:
        """Send a request of a player."""
        split = self._split(service)
        slot = int.from_bytes(hashlib.sha256(player.encode()).digest()[:8], "big") % WHOLE
        backend: ArmBackend = split.stable
        if split.canary and (slot - split.offset) % WHOLE < split.canary.weight * WHOLE // 100:
            backend = split.canary
        return Served(backend.digest, f"{service}/{split.run}/{short(backend.digest)}/{split.revision}")

    def _split(self, service: str) -> Split:
        service_of(self._platform, service)
        if service not in self._splits:
            raise UnknownName("service at the edge", service, sorted(self._splits))
        return self._splits[service]

    def _answer(self) -> None:
        if self.unreachable:
            raise Unreachable("the data plane does not answer")
