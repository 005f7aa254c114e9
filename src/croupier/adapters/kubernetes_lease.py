"""One writer: a Lease (coordination.k8s.io/v1) with a fence, so that a process which lingers cannot write.

Who holds the lease renews it. Others take it over when it has not changed for its whole duration, by their own clocks,
so clocks need not agree. The holder counts from the moment it *sent* its last successful renewal and lets nothing be
written from a margin before the duration's end, which is longer than a write may take: what it wrote has ended before
anybody else can begin. Renewals are guarded by resourceVersion; one that succeeds after a long silence proves that
nobody came between, and opens the fence again. ``leaseTransitions`` tells two processes of one name apart.

Elapsed time is the greater of two clocks': the wall clock alone may be set back, the monotonic one alone stands still
while a machine sleeps.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime
from typing import NamedTuple, Protocol

from croupier.adapters.kubernetes_api import LEASES, Resource
from croupier.adapters.kubernetes_client import WRITE_SECONDS
from croupier.errors import Conflict, CroupierError, Missing, Unreachable
from croupier.model.objects import JsonObject
from croupier.ports.clock import Clock

DURATION_SECONDS = 20.0
MARGIN_SECONDS = WRITE_SECONDS + 3.0
"""A write may take its time and clocks may drift a little."""
RENEW_SECONDS = 4.0
RETRY_SECONDS = 2.0

log = logging.getLogger(__name__)


class Locks(Protocol):
    """The part of ``Kubernetes`` that a lease needs."""

    async def get(self, resource: Resource, name: str, *, namespace: str | None = None) -> JsonObject | None: ...

    async def create(self, obj: JsonObject) -> JsonObject: ...

    async def replace(self, obj: JsonObject) -> JsonObject: ...


class Moment(NamedTuple):
    """A point in time on both clocks, in seconds."""

    wall: float
    steady: float


class Observed(NamedTuple):
    """A lease as somebody else holds it, and since when it has looked like this."""

    version: str
    since: Moment


class Lease:
    """The right to write.

    Args:
        locks: the API server.
        clock: the wall clock; waits between attempts.
        namespace: of the lease.
        name: of the lease.
        holder: who we are, such as the uid of our pod. A process that starts only after the one before has ended, as
            containers of a pod do, may use the same: the lease is then its own at once.
        steady: seconds on a clock that is never set.
    """

    def __init__(
        self,
        locks: Locks,
        clock: Clock,
        *,
        namespace: str,
        name: str,
        holder: str,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._locks = locks
        self._clock = clock
        self._place = (namespace, name)
        self._holder = holder
        self._steady = steady
        self._held: JsonObject | None = None
        """The lease as we last wrote it; None: it is not ours."""
        self._sent = Moment(0.0, 0.0)
        """When the last successful renewal was sent."""
        self._observed: Observed | None = None

    def fence(self) -> None:
        """Raises ``Unreachable`` unless everything written now ends before anybody else may write."""
        if self._held is None:
            raise Unreachable(f"{self} is not ours: nothing is written")
        elapsed = max(self._elapsed(self._sent))
        if elapsed > DURATION_SECONDS - MARGIN_SECONDS:
            raise Unreachable(
                f"{self} was last renewed {elapsed:.0f} s ago and may be lost: nothing is written",
                hint="is the API server reachable?",
            )

    async def run(self, work: Callable[[], Awaitable[None]]) -> None:
        """Wait until the lease is ours, do ``work`` and renew the lease meanwhile, then give it up.

        An API server that does not answer is waited for, with the fence closed, while the work goes on. After ``work``
        was cancelled or has failed, the lease still runs for as long as a write that was cut off may be on its way.

        Raises:
            Conflict: somebody else has taken the lease, or somebody has deleted it; the work was cancelled. It must
                begin anew: others have written since.
        """
        await self._acquire()
        rest: dict[str, object] = {"leaseDurationSeconds": math.ceil(WRITE_SECONDS) + 1}
        try:
            async with asyncio.TaskGroup() as group:
                renewing = group.create_task(self._keep(), name=f"renew {self}")
                await work()
                renewing.cancel()
            rest = {"holderIdentity": ""}
        except BaseExceptionGroup as failed:
            if len(failed.exceptions) == 1:
                raise failed.exceptions[0] from None
            raise
        finally:
            await self._give_up(rest)

    def __str__(self) -> str:
        return f"the lease {'/'.join(self._place)}"

    async def _acquire(self) -> None:
        while True:
            try:
                if await self._try_acquire():
                    log.info("%s is ours", self)
                    return
            except CroupierError as error:
                log.warning("%s cannot be had yet: %s", self, error)
            await self._pause(RETRY_SECONDS)

    async def _try_acquire(self) -> bool:
        namespace, name = self._place
        lease = await self._locks.get(LEASES, name, namespace=namespace)
        if lease is not None and not self._is_free(lease):
            return False
        before = lease["spec"] if lease is not None else {}
        metadata = {"namespace": namespace, "name": name}
        if lease is not None:
            metadata |= {field: lease["metadata"][field] for field in ("uid", "resourceVersion")}
        now = self._time()
        wanted = {
            "apiVersion": LEASES.api_version,
            "kind": LEASES.kind,
            "metadata": metadata,
            "spec": {
                "holderIdentity": self._holder,
                "leaseDurationSeconds": int(DURATION_SECONDS),
                "leaseTransitions": before.get("leaseTransitions", 0) + 1,
                "acquireTime": now,
                "renewTime": now,
            },
        }
        sent = self._now()
        self._held = await (self._locks.create(wanted) if lease is None else self._locks.replace(wanted))
        self._sent = sent
        return True

    def _is_free(self, lease: JsonObject) -> bool:
        spec = lease.get("spec") or {}
        if spec.get("holderIdentity") in (None, "", self._holder):
            return True
        version = lease["metadata"]["resourceVersion"]
        if self._observed is None or self._observed.version != version:
            self._observed = Observed(version, self._now())
        # Of two clocks the slower one, here: nobody's lease is taken early because a clock was set.
        duration = float(spec.get("leaseDurationSeconds", DURATION_SECONDS))
        return min(self._elapsed(self._observed.since)) > duration

    async def _keep(self) -> None:
        """Renew until the lease is lost, which raises ``Conflict``."""
        while True:
            await self._pause(RENEW_SECONDS)
            while not await self._renewed():
                await self._pause(RETRY_SECONDS)

    async def _renewed(self) -> bool:
        try:
            await self._renew()
        except CroupierError as error:
            if self._held is None:
                raise
            log.warning("%s is not renewed: %s", self, error)
            return False
        return True

    async def _renew(self) -> None:
        try:
            await self._send_renewal()
        except (Conflict, Missing):  # or was it ours, and only its answer was lost?
            self._held = await self._still_ours(self._held)
            if self._held is None:
                raise Conflict(f"{self} was taken by somebody else, or deleted") from None
            await self._send_renewal()

    async def _send_renewal(self) -> None:
        assert self._held is not None
        renewed = self._held | {"spec": self._held["spec"] | {"renewTime": self._time()}}
        sent = self._now()
        self._held = await self._locks.replace(renewed)
        self._sent = sent

    async def _still_ours(self, held: JsonObject | None) -> JsonObject | None:
        """The lease as it is now, if it is still that of the term in which we held it."""
        namespace, name = self._place
        lease = await self._locks.get(LEASES, name, namespace=namespace)
        return lease if lease is not None and _term(lease) == _term(held or {}) else None

    async def _give_up(self, rest: Mapping[str, object]) -> None:
        """So that the next one need not wait longer than it must. The fence is closed first."""
        last, self._held = self._held, None
        if last is None:
            return
        try:
            held = await self._still_ours(last)  # a renewal that was cut off may have changed it
            if held is not None:
                await self._locks.replace(held | {"spec": held["spec"] | rest})
        except CroupierError as error:
            log.warning("%s is not given up, others will wait for its end: %s", self, error)

    async def _pause(self, seconds: float) -> None:
        await self._clock.sleep(random.uniform(0.8 * seconds, seconds))

    def _now(self) -> Moment:
        return Moment(self._clock.now(), self._steady())

    def _elapsed(self, since: Moment) -> tuple[float, float]:
        """Seconds on either clock."""
        return self._clock.now() - since.wall, self._steady() - since.steady

    def _time(self) -> str:
        return datetime.fromtimestamp(self._clock.now(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _term(lease: JsonObject) -> tuple[object, object]:
    """One time of holding it, by one process."""
    spec = lease.get("spec") or {}
    return spec.get("holderIdentity"), spec.get("leaseTransitions")
