"""What the engine relies on from whoever runs pods. Run on memory, and on files with a small agent behind them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Protocol

import pytest
import yaml

from croupier.adapters.workloads.descriptors import digest_of
from croupier.adapters.workloads.memory import MemoryWorkloads
from croupier.adapters.workloads.processes import ProcessWorkloads
from croupier.errors import UnknownName, Unreachable
from croupier.model.base import short
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
HEALTHY, ERRORS, BETS = (digest_of(DESCRIPTORS[label]) for label in ("healthy", "errors", "plain"))


class Fleet(Protocol):
    """Workloads under test, and a hand that moves the pods."""

    workloads: Workloads

    def act(self) -> None:
        """Whoever runs the pods does what is wanted."""
        ...

    def crash(self, pod: str) -> None: ...

    def break_down(self) -> None:
        """From now on nobody runs the pods."""
        ...


class MemoryFleet:
    def __init__(self) -> None:
        self.workloads = MemoryWorkloads(
            Version(service=str(each["service"]), label=label, digest=digest_of(each), description=f"{label} build")
            for label, each in DESCRIPTORS.items()
        )

    def act(self) -> None:
        """Pods of the memory twin are there as soon as they are wanted."""

    def crash(self, pod: str) -> None:
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
        self.act()

    def act(self) -> None:
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

    def crash(self, pod: str) -> None:
        self.restarts[pod] = self.restarts.get(pod, 0) + 1

    def break_down(self) -> None:
        self.clock.time += 6


@pytest.fixture(params=["memory", "processes"])
def fleet(request: pytest.FixtureRequest, tmp_path: Path) -> Fleet:
    return MemoryFleet() if request.param == "memory" else FileFleet(tmp_path)


async def the_only(fleet: Fleet, service: str = "payments-api") -> VersionPods:
    (found,) = await fleet.workloads.observe(service)
    return found


async def test_versions_are_named_by_digest_and_sorted_by_label(fleet: Fleet) -> None:
    """S3.7."""
    versions = await fleet.workloads.versions("payments-api")
    assert [(each.label, each.digest) for each in versions] == [("errors", ERRORS), ("healthy", HEALTHY)]
    assert versions[0].description == "errors build"
    assert await fleet.workloads.versions("nothing") == []


async def test_wanted_pods_come_up_with_addresses(fleet: Fleet) -> None:
    await fleet.workloads.ensure("payments-api", HEALTHY, 3)
    fleet.act()
    found = await the_only(fleet)
    assert (found.digest, found.desired, found.ready, found.restarts) == (HEALTHY, 3, 3, 0)
    assert len({pod.endpoint for pod in found.pods}) == 3
    assert None not in {pod.endpoint for pod in found.pods}


async def test_a_wish_never_scales_down(fleet: Fleet) -> None:
    for replicas in (3, 1):
        await fleet.workloads.ensure("payments-api", HEALTHY, replicas)
    fleet.act()
    assert (await the_only(fleet)).desired == 3


async def test_versions_stand_side_by_side_and_services_apart(fleet: Fleet) -> None:
    await fleet.workloads.ensure("payments-api", HEALTHY, 2)
    await fleet.workloads.ensure("payments-api", ERRORS, 1)
    await fleet.workloads.ensure("bets", BETS, 1)
    fleet.act()
    found = await fleet.workloads.observe("payments-api")
    assert {each.digest: each.ready for each in found} == {HEALTHY: 2, ERRORS: 1}
    assert [each.digest for each in await fleet.workloads.observe("bets")] == [BETS]


async def test_a_retired_version_goes_away_and_may_be_retired_again(fleet: Fleet) -> None:
    await fleet.workloads.ensure("payments-api", HEALTHY, 2)
    fleet.act()
    for _ in range(2):
        await fleet.workloads.retire("payments-api", HEALTHY)
    fleet.act()
    assert await fleet.workloads.observe("payments-api") == []
    await fleet.workloads.retire("payments-api", ERRORS)


async def test_a_pod_keeps_its_address_over_a_restart_that_is_counted(fleet: Fleet) -> None:
    await fleet.workloads.ensure("payments-api", HEALTHY, 2)
    fleet.act()
    before = await the_only(fleet)
    fleet.crash(before.pods[0].name)
    fleet.act()
    after = await the_only(fleet)
    assert after.restarts == 1
    assert [pod.endpoint for pod in after.pods] == [pod.endpoint for pod in before.pods]


async def test_an_unknown_version_is_an_error_that_lists_those_known(fleet: Fleet) -> None:
    with pytest.raises(UnknownName) as caught:
        await fleet.workloads.ensure("payments-api", BETS, 1)
    assert HEALTHY in caught.value.hint
    fleet.act()
    assert await fleet.workloads.observe("payments-api") == []


async def test_pods_that_nobody_looks_after_are_no_observation(fleet: Fleet) -> None:
    await fleet.workloads.ensure("payments-api", HEALTHY, 2)
    fleet.act()
    fleet.break_down()
    with pytest.raises(Unreachable):
        await fleet.workloads.observe("payments-api")
