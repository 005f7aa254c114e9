"""What the engine relies on from whoever runs pods. Run on memory, on files with a small agent behind them, and on the
twin of an API server with a small kubelet behind it."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest
import yaml
from tests.support.small_cluster import NAMESPACE, POLICY_NAME, SERVICE, Operator, SmallCluster

from croupier.adapters.workloads.descriptors import digest_of
from croupier.adapters.workloads.memory import MemoryWorkloads
from croupier.adapters.workloads.processes import ProcessWorkloads
from croupier.errors import Refused, UnknownName, Unreachable
from croupier.model.digest import short
from croupier.model.service import Version
from croupier.model.workload import VersionPods
from croupier.ports.workloads import Workloads

DESCRIPTORS = {
    label: {"service": service, "label": label, "description": f"{label} build", "module": "payments", "build": build}
    for service, label, build in (
        ("payments-api", "healthy", {}),
        ("payments-api", "errors", {"defect": "errors"}),
        ("bets", "plain", {}),
    )
}


class Fleet(Protocol):
    """Workloads under test, and a hand that moves the pods.

    ``payments``, ``bets``: names of the services. Of payments-api there are two versions, of bets one.
    """

    workloads: Workloads
    payments: str
    bets: str

    async def version(self, label: str) -> str:
        """The digest of a version, which can be made from now on."""
        ...

    async def act(self) -> None:
        """Whoever runs the pods does what is wanted."""
        ...

    async def crash(self, pod: str) -> None: ...

    def break_down(self) -> None:
        """From now on nobody runs the pods."""
        ...


class MemoryFleet:
    payments, bets = "payments-api", "bets"

    def __init__(self) -> None:
        self.workloads = MemoryWorkloads(
            Version(service=str(each["service"]), label=label, digest=digest_of(each), description=f"{label} build")
            for label, each in DESCRIPTORS.items()
        )

    async def version(self, label: str) -> str:
        return digest_of(DESCRIPTORS[label])

    async def act(self) -> None:
        """Pods of the memory twin are there as soon as they are wanted."""

    async def crash(self, pod: str) -> None:
        self.workloads.crash(pod)

    def break_down(self) -> None:
        self.workloads.unreachable = True


class StillClock:
    def __init__(self) -> None:
        self.time = 1_000.0

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class FileFleet:
    """An agent as small as the protocol of files allows."""

    payments, bets = "payments-api", "bets"

    def __init__(self, directory: Path) -> None:
        self.clock = StillClock()
        self.directory = directory / "workloads"
        self.versions = directory / "versions"
        self.versions.mkdir()
        for label, each in DESCRIPTORS.items():
            (self.versions / f"{each['service']}-{label}.yaml").write_text(yaml.safe_dump(each))
        self.workloads = ProcessWorkloads(self.directory, self.versions, self.clock)
        self.restarts: dict[str, int] = {}
        self.directory.mkdir()
        self._write()

    async def version(self, label: str) -> str:
        return digest_of(DESCRIPTORS[label])

    async def act(self) -> None:
        self._write()

    def _write(self) -> None:
        wishes = [json.loads(path.read_text()) for path in sorted((self.directory / "desired").glob("*.json"))]
        pods = [
            {
                "name": (name := f"{wish['service']}-{short(wish['digest'])}-{ordinal}"),
                "service": wish["service"],
                "digest": wish["digest"],
                "host": "127.0.0.1",
                "port": 20_000 + number * 64 + ordinal,
                "ready": True,
                "restarts": self.restarts.get(name, 0),
                "phase": "running",
                "reason": "",
            }
            for number, wish in enumerate(wishes)
            for ordinal in range(wish["replicas"])
        ]
        (self.directory / "observed.json").write_text(json.dumps({"at": self.clock.time, "pods": pods}))

    async def crash(self, pod: str) -> None:
        self.restarts[pod] = self.restarts.get(pod, 0) + 1

    def break_down(self) -> None:
        self.clock.time += 6


class KubernetesFleet:
    """A version is what Git holds, and what was made from it."""

    payments, bets = SERVICE, f"bets.{NAMESPACE}"

    def __init__(self, world: SmallCluster, operator: Operator) -> None:
        self._world = world
        self._operator = operator
        self.workloads = operator.workloads

    @classmethod
    @asynccontextmanager
    async def begin(cls) -> AsyncIterator[KubernetesFleet]:
        async with SmallCluster.begin() as world:
            for name in (POLICY_NAME, "bets"):
                await world.configure(f"{name}-config", COLOUR="green")
                await world.declare(name=name)
            yield cls(world, await world.operator())

    async def version(self, label: str) -> str:
        name = str(DESCRIPTORS[label]["service"])
        await self._world.commit(name=name, BUILD=label)
        await self._world.settle()
        digest = self.workloads.wanted(f"{name}.{NAMESPACE}")
        assert digest is not None
        return digest

    async def act(self) -> None:
        await self._world.settle()
        self._world.clock.time += 6.0  # what was retired has drained
        for service in (self.payments, self.bets):
            await self.workloads.tidy(service, frozenset())
        await self._world.settle()

    async def crash(self, pod: str) -> None:
        await self._world.restart(pod)
        await self._world.settle()

    def break_down(self) -> None:
        self._world.server.silence()
        self._world.clock.time += 100.0


@pytest.fixture(params=["memory", "processes", "kubernetes"])
async def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Fleet]:
    match request.param:
        case "memory":
            yield MemoryFleet()
        case "processes":
            yield FileFleet(tmp_path)
        case _:
            async with KubernetesFleet.begin() as fleet:
                yield fleet


async def the_only(fleet: Fleet) -> VersionPods:
    (found,) = await fleet.workloads.observe(fleet.payments)
    return found


async def test_versions_are_named_by_digest_and_sorted_by_label(fleet: Fleet) -> None:
    """S3.7."""
    digests = {}
    for label in ("healthy", "errors"):
        digests[label] = await fleet.version(label)
        await fleet.workloads.ensure(fleet.payments, digests[label], 1)
    await fleet.act()
    versions = await fleet.workloads.versions(fleet.payments)
    labels = [each.label for each in versions]
    assert labels == sorted(labels)
    found = {each.digest: each.label.rpartition(":")[2] for each in versions}
    assert {digests[label]: label for label in digests}.items() <= found.items()


async def test_wanted_pods_come_up_with_addresses(fleet: Fleet) -> None:
    healthy = await fleet.version("healthy")
    await fleet.workloads.ensure(fleet.payments, healthy, 3)
    await fleet.act()
    found = await the_only(fleet)
    assert (found.digest, found.desired, found.ready, found.restarts) == (healthy, 3, 3, 0)
    assert len({pod.endpoint for pod in found.pods}) == 3
    assert None not in {pod.endpoint for pod in found.pods}


async def test_a_version_is_made_smaller_by_its_last_pods_and_never_larger(fleet: Fleet) -> None:
    errors, healthy = await fleet.version("errors"), await fleet.version("healthy")
    await fleet.workloads.ensure(fleet.payments, healthy, 12)
    await fleet.act()
    before = [pod.name for pod in (await the_only(fleet)).pods]
    if isinstance(fleet, KubernetesFleet):
        with pytest.raises(Refused):
            await fleet.workloads.reduce(fleet.payments, healthy, 2)
        return
    for replicas in (2, 5):
        await fleet.workloads.reduce(fleet.payments, healthy, replicas)
        await fleet.act()
        found = await the_only(fleet)
        assert (found.desired, [pod.name for pod in found.pods]) == (2, before[:2])
    await fleet.workloads.reduce(fleet.payments, errors, 1)  # not there: nothing to do
    assert len(await fleet.workloads.observe(fleet.payments)) == 1


async def test_a_wish_never_scales_down(fleet: Fleet) -> None:
    healthy = await fleet.version("healthy")
    for replicas in (3, 1):
        await fleet.workloads.ensure(fleet.payments, healthy, replicas)
    await fleet.act()
    assert (await the_only(fleet)).desired == 3


async def test_versions_stand_side_by_side_and_services_apart(fleet: Fleet) -> None:
    digests = {}
    for label, replicas in (("healthy", 2), ("errors", 1), ("plain", 1)):
        digests[label] = await fleet.version(label)
        service = fleet.bets if label == "plain" else fleet.payments
        await fleet.workloads.ensure(service, digests[label], replicas)
    await fleet.act()
    found = await fleet.workloads.observe(fleet.payments)
    assert {each.digest: each.ready for each in found} == {digests["healthy"]: 2, digests["errors"]: 1}
    assert [each.digest for each in await fleet.workloads.observe(fleet.bets)] == [digests["plain"]]


async def test_a_retired_version_goes_away_and_may_be_retired_again(fleet: Fleet) -> None:
    healthy, unmade = await fleet.version("healthy"), "sha256:" + "0" * 64
    await fleet.workloads.ensure(fleet.payments, healthy, 2)
    await fleet.act()
    for _ in range(2):
        await fleet.workloads.retire(fleet.payments, healthy)
    await fleet.act()
    assert await fleet.workloads.observe(fleet.payments) == []
    await fleet.workloads.retire(fleet.payments, unmade)


async def test_a_pod_keeps_its_address_over_a_restart_that_is_counted(fleet: Fleet) -> None:
    await fleet.workloads.ensure(fleet.payments, await fleet.version("healthy"), 2)
    await fleet.act()
    before = await the_only(fleet)
    await fleet.crash(before.pods[0].name)
    await fleet.act()
    after = await the_only(fleet)
    assert after.restarts == 1
    assert [pod.endpoint for pod in after.pods] == [pod.endpoint for pod in before.pods]


async def test_an_unknown_version_is_an_error_that_lists_those_known(fleet: Fleet) -> None:
    healthy = await fleet.version("healthy")
    await fleet.workloads.ensure(fleet.payments, healthy, 1)
    with pytest.raises(UnknownName) as caught:
        await fleet.workloads.ensure(fleet.payments, await fleet.version("plain"), 1)
    assert healthy in caught.value.hint
    await fleet.act()
    assert (await the_only(fleet)).digest == healthy


async def test_pods_that_nobody_looks_after_are_no_observation(fleet: Fleet) -> None:
    await fleet.workloads.ensure(fleet.payments, await fleet.version("healthy"), 2)
    await fleet.act()
    fleet.break_down()
    with pytest.raises(Unreachable):
        await fleet.workloads.observe(fleet.payments)
