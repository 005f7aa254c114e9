"""A desk wired from its files: the durable journal, one writer, and back ends that do not answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from croupier.bootstrap import wire
from croupier.errors import Conflict, SpecError, UnknownName

PLATFORM = """
services:
  - name: payments-api
    tier: money
    replicas: 4
    routes: [/payments/]
"""

SETTINGS = """
platform: platform.yaml
traffic: {kind: envoy, directory: edge, admin: "http://127.0.0.1:9"}
workloads: {kind: processes, directory: workloads, versions: versions}
metrics: {kind: scrape, urls: ["http://127.0.0.1:9/metrics"]}
state: desk
"""


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "platform.yaml").write_text(PLATFORM)
    (tmp_path / "desk.yaml").write_text(SETTINGS)
    for folder in ("edge", "workloads", "versions", "desk"):
        (tmp_path / folder).mkdir()
    return tmp_path


async def test_a_second_desk_on_the_same_journal_is_refused_until_the_first_is_closed(home: Path) -> None:
    first = wire(home / "desk.yaml")
    with pytest.raises(Conflict):
        wire(home)
    await first.close()
    second = wire(home)
    await second.close()


async def test_a_desk_whose_back_ends_are_all_gone_lives_on_and_says_so(home: Path) -> None:
    desk = wire(home)
    for _ in range(3):
        await desk.round()
    health = desk.health()
    assert not health.ok
    assert {problem.split(":")[0] for problem in health.problems} == {"traffic", "workloads"}
    kinds = [entry.kind for entry in await desk.entries()]
    assert kinds == ["desk.started"], "rounds that decide nothing write nothing"
    await desk.close()


async def test_the_journal_outlives_the_desk(home: Path) -> None:
    for starts in (1, 2, 3):
        desk = wire(home)
        await desk.open()
        assert len(await desk.entries()) == starts
        await desk.close()


async def test_unknown_services_are_refused_with_those_that_exist(home: Path) -> None:
    desk = wire(home)
    with pytest.raises(UnknownName) as unknown:
        await desk.versions("wallet")
    assert "payments-api" in unknown.value.hint
    await desk.close()


def test_settings_with_problems_wire_nothing_and_leave_no_journal(home: Path) -> None:
    (home / "desk.yaml").write_text(SETTINGS.replace("kind: envoy", "kind: nginx"))
    with pytest.raises(SpecError):
        wire(home)
    assert not list((home / "desk").iterdir())
