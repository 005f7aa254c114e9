"""Freeze windows on a cluster: nothing new starts and nothing goes forward in one; going back is always possible."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from math import inf
from typing import Any

import pytest
from tests.support.small_cluster import NAMESPACE, POLICY_NAME, SERVICE, SmallCluster, condition, is_ready
from tests.unit.operator.test_drift import ask

from croupier.adapters.kubernetes_api import DESTINATION_RULES, RELEASE_CALENDARS, Resource
from croupier.model.release_calendar import FreezeOverride
from croupier.operator.calendar import NEVER, freezes_of_cluster

FINAL = {"name": "cup-final", "title": "Cup final", "zone": "UTC"}


@pytest.fixture
async def world() -> AsyncIterator[SmallCluster]:
    async with SmallCluster.begin() as world:
        yield world


def clock(world: SmallCluster, minutes: int) -> str:
    return datetime.fromtimestamp(world.clock.now() + 60 * minutes, UTC).strftime("%Y-%m-%dT%H:%M")


async def freeze(world: SmallCluster, *, namespace: str = NAMESPACE, calendar: str = "football", **fields: Any) -> None:
    """A calendar in Git with one window, from now on for 20 minutes."""
    window = {**FINAL, "starts": clock(world, -1), "ends": clock(world, 20), **fields}
    kind = {"apiVersion": RELEASE_CALENDARS.api_version, "kind": RELEASE_CALENDARS.kind}
    metadata = {"name": calendar, "namespace": namespace}
    await world.git.apply({**kind, "metadata": metadata, "spec": {"freezes": [window]}})


def is_frozen(status: dict[str, Any]) -> bool:
    return condition(status, "Reconciling").get("reason") == "Freeze"


async def test_a_new_version_waits_for_the_end_of_a_freeze_and_starts_by_itself(world: SmallCluster) -> None:
    """S12.3."""
    operator = await world.operator()
    first = await world.open(operator)
    await freeze(world)
    await world.commit(BUILD="2")
    status = await world.until(operator, is_frozen)
    said = condition(status, "Reconciling")["message"]
    assert f"{status['wanted']} waits for the end of the freeze football/cup-final (Cup final) until " in said
    assert "kubectl croupier override" in said
    for _ in range(40):
        await world.tick(operator)
    assert (world.status()["run"], world.weights()) == ("r-0001", {first: 100})
    status = await world.until(operator, lambda status: status["stable"] != first and is_ready(status), 2000.0)
    assert status["phase"] == "promoted"


async def test_a_live_run_is_held_until_the_freeze_is_over_and_says_what_to_do(world: SmallCluster) -> None:
    operator = await world.operator()
    first = await world.open(operator)
    await world.commit(BUILD="2")
    await world.until(operator, lambda status: status["weight"] == 10)
    await freeze(world)
    status = await world.until(operator, is_frozen)
    said = condition(status, "Reconciling")["message"]
    assert "r-0002 waits for the end of freeze football/cup-final (Cup final) until" in said
    assert "abort is always safe" in said
    for _ in range(40):
        await world.tick(operator)
    assert world.status()["weight"] == 10
    await world.until(operator, lambda status: status["stable"] != first and is_ready(status), 2000.0)


async def test_a_revert_in_git_goes_back_in_a_freeze_in_mid_release_and_after_it(world: SmallCluster) -> None:
    operator = await world.operator()
    first = await world.open(operator)
    await world.commit(BUILD="2")
    await world.until(operator, lambda status: status["weight"] == 10)
    await freeze(world)
    await world.until(operator, is_frozen)
    await world.commit(BUILD="1")
    await world.until(operator, lambda status: is_ready(status) and world.weights() == {first: 100})
    await world.git.delete(RELEASE_CALENDARS, "football", namespace=NAMESPACE)
    await world.annotate(retry="r-0002")
    await world.commit(BUILD="2")
    await world.until(operator, lambda status: status["stable"] != first and is_ready(status))
    await freeze(world)
    await world.commit(BUILD="1")
    await world.until(operator, lambda status: status["stable"] == first and is_ready(status))


async def test_a_new_operator_knows_of_the_freeze_before_it_decides_anything(world: SmallCluster) -> None:
    """Prevents: a restart in the middle of a match that moves players one step on."""
    operator = await world.operator()
    await world.open(operator)
    await world.commit(BUILD="2")
    await world.until(operator, lambda status: status["weight"] == 10)
    await freeze(world)
    await world.until(operator, is_frozen)
    await operator.stop()
    await (await world.operator()).desk.round()
    assert world.entries("run.resumed") == []


@pytest.mark.parametrize("kind", [RELEASE_CALENDARS, DESTINATION_RULES])
async def test_who_cannot_follow_calendars_or_rules_of_a_mesh_goes_back_all_the_same(
    world: SmallCluster, monkeypatch: pytest.MonkeyPatch, kind: Resource
) -> None:
    """Prevents: an abort that waits until somebody gives the operator a right back, or Istio its definitions."""
    operator = await world.operator()
    first = await world.open(operator)
    await world.commit(BUILD="2")
    await world.until(operator, lambda status: status["weight"] == 10)
    monkeypatch.setattr(operator.cluster._caches[kind], "age", lambda _now: inf)
    if kind == RELEASE_CALENDARS:
        status = await world.until(operator, is_frozen)
        assert "does not let the operator follow ReleaseCalendars" in condition(status, "Reconciling")["message"]
    await ask(world, operator, "abort")
    await world.until(operator, lambda status: status["phase"] == "rolled-back")
    assert world.weights() == {first: 100}


async def test_a_person_lets_a_live_run_go_on_in_a_freeze(world: SmallCluster) -> None:
    operator = await world.operator()
    first = await world.open(operator)
    await world.commit(BUILD="2")
    await world.until(operator, lambda status: status["weight"] == 10)
    await freeze(world)
    await world.until(operator, is_frozen)
    await ask(world, operator, "override")
    await world.until(operator, lambda status: status["stable"] != first and is_ready(status))
    (entry,) = [each for each in world.entries("command") if each.body["command"] == "override"]
    assert entry.body["overridden"] == ["football/cup-final"]


async def test_an_override_is_for_a_window_of_one_calendar_and_not_for_its_namesake(world: SmallCluster) -> None:
    """Prevents: a decision on one match that lets the release go on through another, which bears the same name."""
    operator = await world.operator()
    first = await world.open(operator)
    await world.commit(BUILD="2")
    await world.until(operator, lambda status: status["weight"] == 10)
    await freeze(world)
    await world.until(operator, is_frozen)
    await ask(world, operator, "override")
    await world.until(operator, lambda status: not is_frozen(status))
    await freeze(world, calendar="hockey")
    status = await world.until(operator, is_frozen)
    assert "hockey/cup-final (Cup final)" in condition(status, "Reconciling")["message"]
    await ask(world, operator, "override", id_="2")
    await world.until(operator, lambda status: status["stable"] != first and is_ready(status))
    told = [each.body["overridden"] for each in world.entries("command") if each.body["command"] == "override"]
    assert told == [["football/cup-final"], ["hockey/cup-final"]]


async def test_a_person_lets_the_version_that_waits_start_and_no_other(world: SmallCluster) -> None:
    operator = await world.operator()
    first = await world.open(operator)
    await freeze(world)
    await world.commit(BUILD="2")
    waits = await world.until(operator, is_frozen)
    said = FreezeOverride(version=waits["wanted"], who="ann", reason="deposits fail without it")
    await world.annotate(**{"override-freeze": said.model_dump_json(by_alias=True)})
    status = await world.until(operator, lambda status: status["stable"] != first and is_ready(status))
    assert status["stable"] == waits["wanted"]
    started = world.entries("run.started")[-1]
    assert started.body["overridden"] == ["football/cup-final"]
    assert "ann: deposits fail without it" in str(started.body["reason"])
    await world.commit(BUILD="3")
    await world.until(operator, is_frozen)
    assert world.status()["run"] == "r-0002"


async def test_a_calendar_freezes_its_own_namespace_and_the_policies_that_it_names(world: SmallCluster) -> None:
    operator = await world.operator()
    first = await world.open(operator)
    await freeze(world, namespace="other")
    await freeze(world, policies=["wallet"])
    await world.commit(BUILD="2")
    await world.until(operator, lambda status: status["stable"] != first and is_ready(status))


def calendar(*freezes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"metadata": {"name": "football", "namespace": NAMESPACE}, "spec": {"freezes": list(freezes)}}]


@pytest.mark.parametrize(
    ("fields", "name", "why"),
    [
        ({"zone": "Mars/Olympus"}, "cup-final", "no time zone is called 'Mars/Olympus'"),
        ({"ends": "2030-07-14T15:00"}, "cup-final", "it ends at 2030-07-14T15:00"),
        ({"starts": "soon"}, "football", "spec.freezes.0.starts: "),
        ({"repeats": "weekly"}, "football", "spec.freezes.0.repeats: "),
    ],
)
def test_what_cannot_be_read_freezes_until_it_is_mended(fields: dict[str, str], name: str, why: str) -> None:
    """Prevents: a slip in a calendar that lets releases go on during the match."""
    window = {**FINAL, "starts": "2030-07-14T16:00", "ends": "2030-07-14T23:00", **fields}
    (found,) = freezes_of_cluster(calendar(window), {NAMESPACE: [POLICY_NAME]})
    assert (found.name, found.services, found.from_at, found.until_at) == (name, (SERVICE,), 0.0, NEVER)
    assert why in found.title
    assert found.words.endswith("until it is mended")


def test_a_calendar_that_cannot_be_read_may_have_any_name() -> None:
    """Prevents: an operator that ends because of a dot in a name, and every way back with it."""
    (broken,) = calendar({**FINAL, "starts": "soon", "ends": "2030-07-14T23:00"})
    broken["metadata"]["name"] = "2030.cup"
    (found,) = freezes_of_cluster([broken], {NAMESPACE: [POLICY_NAME]})
    assert found.name == "calendar"
    assert "ReleaseCalendar 2030.cup cannot be read" in found.title


def test_a_window_without_policies_freezes_those_of_its_namespace_only() -> None:
    window = {**FINAL, "zone": "Europe/Stockholm", "starts": "2030-07-14T16:00", "ends": "2030-07-14T23:00"}
    policies = {NAMESPACE: [POLICY_NAME, "wallet"], "other": ["bets"]}
    (found,) = freezes_of_cluster(calendar(window), policies)
    assert found.services == (SERVICE, f"wallet.{NAMESPACE}")
    assert found.until == "2030-07-14 23:00 Europe/Stockholm"
    assert (found.from_at, found.until_at) == (1910268000.0, 1910293200.0)
    assert freezes_of_cluster(calendar(window), {"other": ["bets"]}) == ()
