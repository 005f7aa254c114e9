"""Callers inside the cluster are split by a mesh: an HTTPRoute that hangs on their Service (S8.5, GAMMA)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from tests.support.small_cluster import INTENT, NAMESPACE, POLICY_NAME, SERVICE, SmallCluster
from tests.unit.adapters.traffic.test_gateway_api import Stage, staged

from croupier.adapters.kubernetes_api import HTTP_ROUTES, SERVICES
from croupier.core.render.version import labels, object_name
from croupier.errors import Unconfirmed, Unreachable
from croupier.model.digest import short
from croupier.model.traffic import ArmBackend, Split

MESH_ROUTE = f"{POLICY_NAME}.mesh"
EDGE = {"parentRefs": [{"name": "public"}], "hostnames": ["pay.example"], "timeoutSeconds": 15}


@pytest.fixture
async def both() -> AsyncIterator[Stage]:
    """Players come by a gateway, callers by a mesh that waits two and a half seconds."""
    async with SmallCluster.begin() as world:
        yield await staged(world, route=EDGE, mesh={"timeoutSeconds": 2.5})


@pytest.fixture
async def inner() -> AsyncIterator[Stage]:
    """No player reaches it: only callers in the cluster do."""
    async with SmallCluster.begin() as world:
        yield await staged(world, route=None, mesh={})


def weights(stage: Stage, name: str = MESH_ROUTE) -> dict[str, int]:
    (rule,) = stage.world.find(HTTP_ROUTES, name)["spec"]["rules"]
    return {each["name"]: each["weight"] for each in rule["backendRefs"]}


async def test_callers_have_the_weights_of_players_and_a_timeout_of_their_own(both: Stage) -> None:
    await both.traffic.set_split(both.split(25, 3))
    spec = both.world.find(HTTP_ROUTES, MESH_ROUTE)["spec"]
    assert spec["parentRefs"] == [{"group": "", "kind": "Service", "name": POLICY_NAME}]
    assert "hostnames" not in spec
    (rule,) = spec["rules"]
    assert rule["timeouts"] == {"request": "2s500ms"}
    old, new = object_name(POLICY_NAME, both.old), object_name(POLICY_NAME, both.new)
    assert weights(both) == weights(both, POLICY_NAME) == {old: 75, new: 25}
    seen = await both.traffic.observe(SERVICE)
    assert (seen.run, seen.revision, seen.weights) == ("r-0001", 3, {both.old: 75, both.new: 25})


async def test_callers_past_the_mesh_stay_with_stable_until_everybody_has_moved(both: Stage) -> None:
    """Prevents: a caller without a sidecar that comes to a canary nobody counts it for."""
    for revision, (weight, follows) in enumerate(((5, both.old), (50, both.old), (100, both.new), (0, both.old))):
        await both.traffic.set_split(both.split(weight, revision))
        assert both.selector() == labels(POLICY_NAME, follows)


async def test_a_service_that_only_callers_reach_can_have_a_canary(inner: Stage) -> None:
    await inner.traffic.set_split(inner.split(10, 1))
    assert [each["metadata"]["name"] for each in inner.world.all(HTTP_ROUTES)] == [MESH_ROUTE]
    assert (await inner.traffic.observe(SERVICE)).weights == {inner.old: 90, inner.new: 10}
    await inner.traffic.set_split(inner.split(0, 2))
    assert (await inner.traffic.observe(SERVICE)).weights == {inner.old: 100}


async def test_the_service_is_there_before_a_route_hangs_on_it(inner: Stage) -> None:
    """Prevents: a first version that waits for a mesh, which waits for the Service, which waits for the version."""
    inner.world.writes.calls.clear()
    await inner.traffic.set_split(inner.split(None))
    calls = inner.world.writes.calls
    assert calls.index(f"apply Service {POLICY_NAME}") < calls.index(f"apply HTTPRoute {MESH_ROUTE}")
    assert (await inner.traffic.observe(SERVICE)).weights == {inner.old: 100}


async def test_while_nothing_is_ours_the_intent_serves(both: Stage) -> None:
    assert (await both.traffic.observe(SERVICE)).weights == {INTENT: 100}


async def test_a_change_may_be_repeated_and_costs_nothing_then(both: Stage) -> None:
    await both.traffic.set_split(both.split(25))
    before = both.world.server.revision
    await both.traffic.set_split(both.split(25))
    assert both.world.server.revision == before


async def test_a_mesh_that_does_not_answer_is_no_confirmation(both: Stage) -> None:
    """Prevents: gates that judge callers whom nobody has split."""
    both.world.mesh_says = ""
    with pytest.raises(Unreachable, match=r"payments-api\.mesh is not confirmed: no mesh .* take spec\.mesh out"):
        await both.traffic.set_split(both.split(25))
    with pytest.raises(Unreachable, match="no mesh has taken it up yet"):
        await both.traffic.observe(SERVICE)


async def test_a_mesh_that_refuses_is_told_in_its_own_words(both: Stage) -> None:
    await both.traffic.set_split(both.split(None))
    both.world.mesh_says = "False"
    with pytest.raises(Unreachable, match=r"mesh \(example.com/gateway\): Accepted is False: as the gateway says"):
        await both.traffic.set_split(both.split(25))


async def test_everybody_goes_back_whether_or_not_the_mesh_answers(both: Stage) -> None:
    """Prevents: players who wait on a bad version for a mesh that is down."""
    await both.traffic.set_split(both.split(100, 1))
    both.world.mesh_says = "False"
    with pytest.raises(Unreachable, match="not confirmed"):
        await both.traffic.set_split(both.split(0, 2))
    gone = object_name(POLICY_NAME, both.new)
    assert (weights(both)[gone], weights(both, POLICY_NAME)[gone]) == (0, 0)
    assert both.selector() == labels(POLICY_NAME, both.old)


@pytest.mark.parametrize("who", ["mesh_says", "gateway_says"])
async def test_who_goes_back_to_the_version_before_moves_callers_too_whoever_refuses(both: Stage, who: str) -> None:
    """Prevents: a Git revert whose callers wait on the bad version for a mesh that does not answer."""
    await both.traffic.set_split(both.split(None))
    setattr(both.world, who, "False")
    back = both.split(100, 1).model_copy(update={"returns": True})
    with pytest.raises(Unreachable, match="not confirmed"):
        await both.traffic.set_split(back)
    new = object_name(POLICY_NAME, both.new)
    assert (weights(both)[new], weights(both, POLICY_NAME)[new]) == (100, 100)
    assert both.selector() == labels(POLICY_NAME, both.new)
    with pytest.raises(Unconfirmed, match="Accepted is False") as caught:
        await both.traffic.observe(SERVICE)
    assert (caught.value.run, caught.value.revision, caught.value.weights) == ("r-0001", 1, {both.new: 100})


async def test_a_gateway_that_refuses_holds_callers_up_too(both: Stage) -> None:
    await both.traffic.set_split(both.split(50, 1))
    both.world.gateway_says = "False"
    with pytest.raises(Unreachable, match="payments-api is not confirmed"):
        await both.traffic.set_split(both.split(100, 2))
    assert both.selector() == labels(POLICY_NAME, both.old)


async def test_routes_that_do_not_split_alike_are_no_observation(both: Stage) -> None:
    """Prevents: a run that goes on from a change that ended between its two routes."""
    await both.traffic.set_split(both.split(25, 1))
    before = both.world.find(HTTP_ROUTES, MESH_ROUTE)
    await both.traffic.set_split(both.split(50, 2))
    await both.world.change(
        HTTP_ROUTES,
        MESH_ROUTE,
        lambda obj: obj.update(
            spec=before["spec"], metadata={**obj["metadata"], "annotations": before["metadata"]["annotations"]}
        ),
    )
    await both.world.settle()
    with pytest.raises(Unreachable, match=r"payments-api\.mesh does not split as casino/payments-api does"):
        await both.traffic.observe(SERVICE)


def other_weights(obj: dict[str, Any]) -> None:
    obj["spec"]["rules"][0]["backendRefs"][0]["weight"] = 7


def a_path_only(obj: dict[str, Any]) -> None:
    obj["spec"]["rules"][0]["matches"] = [{"path": {"type": "PathPrefix", "value": "/v2"}}]


def a_longer_wait(obj: dict[str, Any]) -> None:
    obj["spec"]["rules"][0]["timeouts"] = {"request": "60s"}


def another_service(obj: dict[str, Any]) -> None:
    obj["spec"]["parentRefs"][0]["name"] = "bets"


@pytest.mark.parametrize("change", [other_weights, a_path_only, a_longer_wait, another_service])
async def test_what_somebody_changed_of_the_route_is_put_back(both: Stage, change: Any) -> None:
    await both.traffic.set_split(both.split(None))
    await both.world.change(HTTP_ROUTES, MESH_ROUTE, change)
    await both.world.settle()
    (told,) = await both.traffic.put_back(SERVICE, both.old)
    assert MESH_ROUTE in told
    assert (await both.traffic.observe(SERVICE)).weights == {both.old: 100}
    assert await both.traffic.put_back(SERVICE, both.old) == []


async def test_a_policy_that_is_given_a_mesh_gets_its_route(both: Stage) -> None:
    """Also the way of a route that somebody deleted."""
    await both.traffic.set_split(both.split(None))
    await both.world.person.delete(HTTP_ROUTES, MESH_ROUTE, namespace=NAMESPACE)
    await both.world.settle()
    with pytest.raises(Unreachable, match="is not there"):
        await both.traffic.observe(SERVICE)
    assert await both.traffic.put_back(SERVICE, both.old) == [f"HTTPRoute {MESH_ROUTE} was not there"]
    assert (await both.traffic.observe(SERVICE)).weights == {both.old: 100}


@pytest.mark.parametrize(("gone", "left"), [("mesh", POLICY_NAME), ("route", MESH_ROUTE)])
async def test_a_route_goes_with_its_part_of_the_policy_and_the_other_stays(both: Stage, gone: str, left: str) -> None:
    await both.traffic.set_split(both.split(25, 1))
    await both.world.declare(**{"route": EDGE, "mesh": {"timeoutSeconds": 2.5}, gone: None})
    await both.world.settle()
    with pytest.raises(Unreachable, match="is left, and sends"):
        await both.traffic.observe(SERVICE)
    await both.traffic.set_split(both.split(25, 1))
    await both.world.settle()
    assert [each["metadata"]["name"] for each in both.world.all(HTTP_ROUTES)] == [left]
    assert (await both.traffic.observe(SERVICE)).weights == {both.old: 75, both.new: 25}


async def test_players_go_back_though_nobody_knows_what_becomes_of_the_other_route(both: Stage) -> None:
    """Prevents: players who stay on a bad version because a newer croupier's policy says ``mesh`` by another name."""
    await both.traffic.set_split(both.split(50, 1))
    await both.world.declare(route=EDGE, waypoint={})
    restarted = await both.world.operator()
    with pytest.raises(Unreachable, match=r"payments-api\.mesh stays"):
        await restarted.traffic.set_split(both.split(75, 2))
    new = object_name(POLICY_NAME, both.new)
    assert weights(both, POLICY_NAME)[new] == 50
    with pytest.raises(Unreachable, match=r"payments-api\.mesh stays"):
        await restarted.traffic.set_split(both.split(0, 3))
    assert (weights(both, POLICY_NAME)[new], weights(both)[new]) == (0, 50)
    assert both.selector() == labels(POLICY_NAME, both.old)


async def test_outside_of_a_run_a_route_that_is_left_is_put_back_too(both: Stage) -> None:
    await both.traffic.set_split(both.split(None))
    await both.world.declare(route=EDGE)
    await both.world.settle()
    (told,) = await both.traffic.put_back(SERVICE, both.old)
    assert told == f"HTTPRoute {MESH_ROUTE} was left of what the policy had once"
    await both.world.settle()
    assert [each["metadata"]["name"] for each in both.world.all(HTTP_ROUTES)] == [POLICY_NAME]


async def test_who_leaves_keeps_routes_that_outlive_the_policy(both: Stage) -> None:
    backend = ArmBackend(digest=INTENT, weight=100, endpoints=())
    await both.traffic.set_split(Split(service=SERVICE, run="-", revision=0, stable=backend))
    for name in (POLICY_NAME, MESH_ROUTE):
        assert "ownerReferences" not in both.world.find(HTTP_ROUTES, name)["metadata"]
    assert "ownerReferences" not in both.world.find(SERVICES, object_name(POLICY_NAME, INTENT))["metadata"]
    assert (await both.traffic.observe(SERVICE)).weights == {INTENT: 100}


async def test_people_are_told_of_both_routes(both: Stage) -> None:
    owner = both.operator.cluster.owner(SERVICE)
    assert [each.message for each in both.traffic.told(owner)] == ["it is not there", "it is not there"]
    both.world.mesh_says = "False"
    with pytest.raises(Unreachable, match="not confirmed"):
        await both.traffic.set_split(both.split(25))
    players, callers = both.traffic.told(owner)
    split = {f"{short(both.old)} 75 %", f"{short(both.new)} 25 %"}
    assert (players.name, players.moves, players.accepted, players.message) == (POLICY_NAME, "players", True, "")
    assert set(players.split.split(", ")) == set(callers.split.split(", ")) == split
    assert (callers.name, callers.moves, callers.accepted) == (MESH_ROUTE, "callers", False)
    assert "Accepted is False" in callers.message
