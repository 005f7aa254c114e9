"""Gather: read the world through the ports once a round. What does not answer becomes a fact, never an exception.

Everything is asked at the same time, and each question has a time limit, so that one dead back end neither stops a
round nor delays the way back of other runs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from croupier.errors import CroupierError, Unconfirmed, Unreachable
from croupier.model.evidence import ArmSample
from croupier.model.traffic import ObservedSplit
from croupier.model.workload import VersionPods
from croupier.ports.metrics import Metrics, Target
from croupier.ports.traffic import Traffic
from croupier.ports.workloads import Workloads

PATIENCE_SECONDS = 4.0
"""Longest a port may take to answer one question of a round; adapters give up sooner, and say why."""

log = logging.getLogger(__name__)

_Answer = TypeVar("_Answer")


@dataclass(slots=True)
class World:
    """What one round saw. A service that is absent from a mapping did not answer; ``faults`` says why.

    ``faults``: service -> port -> message. ``counters`` is None when nothing was asked or the source failed;
    ``metrics_fault`` tells the two apart.
    """

    splits: dict[str, ObservedSplit] = field(default_factory=dict)
    written: dict[str, ObservedSplit] = field(default_factory=dict)
    """Service -> a split that is written and not confirmed; ``faults`` says by whom."""
    pods: dict[str, Sequence[VersionPods]] = field(default_factory=dict)
    sockets: dict[str, Mapping[str, int]] = field(default_factory=dict)
    """Service -> digest -> open sockets, of those that were asked for."""
    counters: Mapping[Target, ArmSample] | None = None
    metrics_fault: str = ""
    metrics_complaint: str = ""
    """``metrics_fault`` of the last round that asked."""
    faults: dict[str, dict[str, str]] = field(default_factory=dict)

    def keep(self, before: World, services: Iterable[str]) -> None:
        """What was seen of ``services`` in an earlier round stands: they were not asked in this one."""
        for service in services:
            if service in before.splits:
                self.splits[service] = before.splits[service]
            if service in before.written:
                self.written[service] = before.written[service]
            if service in before.pods:
                self.pods[service] = before.pods[service]
            if service in before.faults:
                self.faults[service] = before.faults[service]


async def gather(
    traffic: Traffic,
    workloads: Workloads,
    metrics: Metrics,
    services: Iterable[str],
    targets: Sequence[Target],
    *,
    before: World,
    draining: Iterable[str] = (),
) -> World:
    """Look at split and pods of each service, and read the counters of ``targets`` (none: metrics are not asked).

    ``before``: what the last round saw; a bug that it met is not logged again. ``draining``: services whose sockets are
    counted, too.
    """
    world = World(metrics_complaint=before.metrics_complaint)

    def known(service: str, port: str) -> str:
        return before.faults.get(service, {}).get(port, "")

    async def sockets(service: str) -> None:
        answer = await ask(traffic.open_sockets(service), known(service, "traffic"))
        if isinstance(answer, str):
            world.faults.setdefault(service, {})["traffic"] = answer
        else:
            world.sockets[service] = answer

    async def splits(service: str) -> None:
        answer = await ask(observed(traffic, service), known(service, "traffic"))
        if isinstance(answer, str):
            world.faults.setdefault(service, {})["traffic"] = answer
            return
        split, why_not = answer
        if why_not is not None:
            world.written[service] = split
            world.faults.setdefault(service, {})["traffic"] = why_not.message
        else:
            world.splits[service] = split

    async def pods(service: str) -> None:
        answer = await ask(workloads.observe(service), known(service, "workloads"))
        if isinstance(answer, str):
            world.faults.setdefault(service, {})["workloads"] = answer
        else:
            world.pods[service] = answer

    async def counters() -> None:
        answer = await ask(metrics.read(targets), before.metrics_complaint)
        world.metrics_fault = world.metrics_complaint = answer if isinstance(answer, str) else ""
        if not isinstance(answer, str):
            world.counters = answer

    async with asyncio.TaskGroup() as group:
        for service in services:
            group.create_task(splits(service), name=f"observe split of {service}")
            group.create_task(pods(service), name=f"observe pods of {service}")
        for service in draining:
            group.create_task(sockets(service), name=f"count sockets of {service}")
        if targets:
            group.create_task(counters(), name="read counters")
    return world


async def observed(traffic: Traffic, service: str) -> tuple[ObservedSplit, Unconfirmed | None]:
    """The split of a service as it is written, and why it is not confirmed; None: it is."""
    try:
        return await traffic.observe(service), None
    except Unconfirmed as error:
        return ObservedSplit(service, error.run, error.revision, dict(error.weights)), error


async def answered(question: Awaitable[_Answer]) -> _Answer:
    """The answer. Raises what the port raises, and ``Unreachable`` when it takes too long: rounds wait meanwhile."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await question
    except TimeoutError:
        raise Unreachable(f"no answer within {PATIENCE_SECONDS:g} s") from None


async def ask(question: Awaitable[_Answer], known: str) -> _Answer | str:
    """The answer, or the complaint. ``known``: the one before, which was logged."""
    try:
        return await answered(question)
    except CroupierError as error:
        return error.message
    except Exception as error:  # a back end's bug is one more way of not answering, no reason to stop the desk
        complaint = f"{type(error).__name__}: {error}"
        if complaint != known:
            log.exception("a back end failed")
        return complaint
