"""What somebody changes by hand is put back, told once, and never gets players (S5.1)."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from tests.support.small_cluster import (
    NAMESPACE,
    POLICY_NAME,
    Operator,
    SmallCluster,
    condition,
    is_stalled,
)
from tests.support.world import Killed

from croupier.adapters.kubernetes_api import CONFIG_MAPS, DEPLOYMENTS, HTTP_ROUTES, SERVICES
from croupier.core.render.version import VERSION_LABEL
from croupier.errors import Unreachable


@pytest.fixture
async def world() -> AsyncIterator[SmallCluster]:
    async with SmallCluster.begin() as world:
        yield world


async def other_selector(world: SmallCluster, stable: str) -> None:
    await world.change(SERVICES, POLICY_NAME, lambda obj: obj["spec"]["selector"].update({VERSION_LABEL: "0" * 12}))


async def other_weight(world: SmallCluster, stable: str) -> None:
    def change(obj: dict[str, Any]) -> None:
        obj["spec"]["rules"][0]["backendRefs"].append({"name": "elsewhere", "port": 80, "weight": 50})

    await world.change(HTTP_ROUTES, POLICY_NAME, change)


async def filtered(world: SmallCluster, stable: str) -> None:
    def change(obj: dict[str, Any]) -> None:
        obj["spec"]["rules"][0]["filters"] = [{"type": "RequestRedirect"}]

    await world.change(HTTP_ROUTES, POLICY_NAME, change)


async def relabelled_as_a_run(world: SmallCluster, stable: str) -> None:
    def change(obj: dict[str, Any]) -> None:
        obj["metadata"]["annotations"]["croupier.dev/run"] = "r-9999"

    await world.change(HTTP_ROUTES, POLICY_NAME, change)


async def fewer_pods(world: SmallCluster, stable: str) -> None:
    await world.change(DEPLOYMENTS, f"{POLICY_NAME}-{stable}", lambda obj: obj["spec"].update(replicas=1))


async def no_route(world: SmallCluster, stable: str) -> None:
    await world.person.delete(HTTP_ROUTES, POLICY_NAME, namespace=NAMESPACE)


async def no_service(world: SmallCluster, stable: str) -> None:
    await world.person.delete(SERVICES, POLICY_NAME, namespace=NAMESPACE)


async def no_version_service(world: SmallCluster, stable: str) -> None:
    await world.person.delete(SERVICES, f"{POLICY_NAME}-{stable}", namespace=NAMESPACE)


async def no_deployment(world: SmallCluster, stable: str) -> None:
    await world.person.delete(DEPLOYMENTS, f"{POLICY_NAME}-{stable}", namespace=NAMESPACE)


async def intent_runs(world: SmallCluster, stable: str) -> None:
    await world.change(DEPLOYMENTS, POLICY_NAME, lambda obj: obj["spec"].update(replicas=3))


Hand = Callable[[SmallCluster, str], Awaitable[None]]
HANDS: tuple[Hand, ...] = (
    other_selector,
    other_weight,
    filtered,
    relabelled_as_a_run,
    fewer_pods,
    no_route,
    no_service,
    no_version_service,
    no_deployment,
    intent_runs,
)


def as_it_was(world: SmallCluster, stable: str) -> None:
    assert world.weights() == {stable: 100}
    assert world.running() == {stable: 4}
    assert world.find(SERVICES, POLICY_NAME)["spec"]["selector"][VERSION_LABEL] == stable
    route = world.find(HTTP_ROUTES, POLICY_NAME)
    assert "filters" not in route["spec"]["rules"][0]
    assert route["metadata"]["annotations"]["croupier.dev/run"] == "-"
    assert condition(world.status(), "Ready")["reason"] == "UpToDate"


@pytest.mark.parametrize("hand", HANDS)
async def test_what_was_changed_by_hand_is_put_back_and_told_once(world: SmallCluster, hand: Hand) -> None:
    operator = await world.operator()
    stable = await world.open(operator)
    await hand(world, stable)
    for _ in range(6):
        await world.tick(operator)
    as_it_was(world, stable)
    assert len(world.entries("drift")) == 1
    (told,) = world.events("PutBack")
    assert told["type"] == "Warning"


@pytest.mark.parametrize("hand", HANDS)
async def test_a_hand_and_a_new_template_at_the_same_time_lead_to_a_gated_release(
    world: SmallCluster, hand: Hand
) -> None:
    """Prevents: a release that is compared with nothing, or that no gate sees, because what serves was taken away."""
    operator = await world.operator()
    stable = await world.open(operator)
    await hand(world, stable)
    await world.commit(BUILD="2")
    if hand is no_deployment:  # nothing can make the version that serves again but its own template
        await world.tick(operator)
        assert f"commit the template of {stable} again" in condition(world.status(), "Stalled")["message"]
        await world.commit(BUILD="1")
        await world.until_ready(operator)
        assert world.running() == {stable: 4}
        return
    await world.until(operator, lambda status: status.get("stable", "") not in ("", stable))
    release = next(entry for entry in world.entries("run.planned") if entry.subject == "r-0002")
    assert stable in str(release.body["plan"]["stable"])  # type: ignore[index, call-overload]
    weights = [entry.body["weight"] for entry in world.entries("step.entered") if entry.subject == "r-0002"]
    assert weights == [5, 10, 25, 50, 99]


@pytest.mark.parametrize("hand", [other_selector, other_weight, fewer_pods, no_route, no_service, no_version_service])
async def test_a_hand_in_mid_release_does_not_keep_the_release_from_its_end(world: SmallCluster, hand: Hand) -> None:
    operator = await world.operator()
    stable = await world.open(operator)
    await world.commit(BUILD="2")
    await world.until(operator, lambda status: status["weight"] == 10)
    await hand(world, stable)
    await world.until(operator, lambda status: status.get("stable", "") not in ("", stable))
    assert (await operator.desk.run_view("r-0002")).outcome == "promoted"


@pytest.mark.parametrize("weight", [5, 50, 99])
@pytest.mark.parametrize("is_paused", [False, True])
async def test_pods_that_a_hand_takes_from_either_version_in_mid_release_come_back(
    world: SmallCluster, weight: int, is_paused: bool
) -> None:
    """S5.1. Prevents: players who crowd on what a hand has left of the pods that their share of traffic needs."""
    operator = await world.operator()
    stable = await world.open(operator)
    await world.commit(BUILD="2")
    await world.until(operator, lambda status: (status["phase"], status["weight"]) == ("holding", weight))
    if is_paused:
        await ask(world, operator, "pause")
        await world.until(operator, lambda status: status["phase"] == "paused")
    before = world.running()
    canary = next(digest for digest in before if digest != stable)
    assert before[stable] == 4, "the old version keeps its pods until the release is over"
    for digest in (stable, canary):
        await world.change(DEPLOYMENTS, f"{POLICY_NAME}-{digest}", lambda obj: obj["spec"].update(replicas=1))
    for _ in range(2):
        await world.tick(operator, 0.5)
    after = world.running()
    assert all(after[digest] >= replicas for digest, replicas in before.items()), (before, after)


async def test_a_controller_that_fights_is_put_back_every_time_and_told_once_a_minute(world: SmallCluster) -> None:
    """Prevents: a journal and a cluster full of the same sentence."""
    operator = await world.operator()
    stable = await world.open(operator)
    for _ in range(20):
        await other_selector(world, stable)
        await world.tick(operator)
        assert world.find(SERVICES, POLICY_NAME)["spec"]["selector"][VERSION_LABEL] == stable
    assert len(world.entries("drift")) == 1


async def test_a_gitops_loop_that_applies_intent_and_policy_again_changes_nothing(world: SmallCluster) -> None:
    operator = await world.operator()
    stable = await world.open(operator)
    before = world.server.revision
    for _ in range(10):
        await world.commit(BUILD="1")
        await world.declare()
        await world.configure(COLOUR="green")
        await world.tick(operator)
    assert world.server.revision == before
    assert world.weights() == {stable: 100}
    assert world.entries("drift") == []


async def test_an_idle_service_costs_no_write(world: SmallCluster) -> None:
    operator = await world.operator()
    await world.open(operator)
    world.writes.calls.clear()
    for _ in range(20):
        await world.tick(operator)
    assert world.writes.calls == []


async def test_a_live_run_is_shown_anew_every_few_seconds_not_in_every_round(world: SmallCluster) -> None:
    operator = await world.operator()
    await world.open(operator, strategy={"dwellSeconds": 60.0, "deadlineSeconds": 300.0})
    await world.commit(BUILD="2")
    await world.until(operator, lambda status: status["weight"] == 5)
    world.writes.calls.clear()
    for _ in range(30):
        await world.tick(operator, 0.5)
    shown = [call for call in world.writes.calls if call.startswith("status")]
    assert len(shown) <= 2 * (15 / 5 + 1)


async def test_a_missing_config_map_stops_no_command_and_no_putting_back(world: SmallCluster) -> None:
    operator = await world.operator()
    stable = await world.open(operator)
    await world.commit(BUILD="2")
    await world.until(operator, lambda status: status["weight"] == 10)
    await world.person.delete(CONFIG_MAPS, f"{POLICY_NAME}-config", namespace=NAMESPACE)
    await fewer_pods(world, stable)
    await world.tick(operator)
    assert world.running()[stable] == 4
    status = world.status()
    assert status["stable"] == stable
    assert "does not exist" in condition(status, "Stalled")["message"]
    await ask(world, operator, "abort")
    await world.until(operator, lambda status: status["phase"] == "rolled-back")


async def ask(world: SmallCluster, operator: Operator, name: str, *, id_: str = "1", run: str = "r-0002") -> None:
    kind = {"apiVersion": "croupier.dev/v1alpha1", "kind": "Release"}
    place = {"name": f"{POLICY_NAME}-{run}", "namespace": NAMESPACE}
    command = {"id": id_, "name": name, "reason": "because", "who": "ann"}
    await world.person.apply({**kind, "metadata": place, "spec": {"command": command}})
    await world.tick(operator)


async def test_a_person_steers_a_run_by_its_release_and_is_answered_once(world: SmallCluster) -> None:
    operator = await world.operator()
    await world.open(operator)
    await world.commit(BUILD="2")
    await world.until(operator, lambda status: status["weight"] == 10)
    await ask(world, operator, "pause")
    for _ in range(4):
        await world.tick(operator)
    shown = world.release("r-0002")
    assert shown["phase"] == "paused"
    assert shown["command"] == {"id": "1", "accepted": True, "message": "pause is written down"}
    await ask(world, operator, "promote", id_="2")
    assert world.release("r-0002")["command"]["accepted"] is False
    await ask(world, operator, "resume", id_="3")
    await world.until(operator, lambda status: status["phase"] == "promoted")
    asked = [entry.body["command"] for entry in world.entries("command")]
    assert asked == ["pause", "resume"]


async def test_a_command_that_a_killed_operator_has_written_down_is_not_carried_out_twice(world: SmallCluster) -> None:
    """Prevents: one ``promote`` that skips the dwell of two steps."""
    operator = await world.operator()
    await world.open(operator)
    await world.commit(BUILD="2")
    await world.until(operator, lambda status: status["weight"] == 10)
    world.writes.calls.clear()
    world.writes.kill_at = 0
    with pytest.raises(Killed):
        await ask(world, operator, "pause")
    assert world.writes.calls == ["journal command"]
    await operator.stop()
    world.writes.is_dead, world.writes.kill_at = False, None
    operator = await world.operator()
    for _ in range(3):
        await world.tick(operator)
    assert len(world.entries("command")) == 1
    assert world.release("r-0002")["command"]["accepted"] is True
    assert world.release("r-0002")["phase"] == "paused"


async def test_a_command_does_not_take_the_place_of_an_abort_by_git(world: SmallCluster) -> None:
    operator = await world.operator()
    stable = await world.open(operator)
    await world.commit(BUILD="2")
    await world.until(operator, lambda status: status["weight"] == 10)
    await world.commit(BUILD="1")
    await ask(world, operator, "pause")
    await world.until_ready(operator)
    assert world.weights() == {stable: 100}
    assert world.release("r-0002")["command"]["accepted"] is False


async def test_a_gateway_that_refuses_the_route_is_quoted(world: SmallCluster) -> None:
    operator = await world.operator()
    world.gateway_says = "False"
    await world.configure(COLOUR="green")
    await world.commit(BUILD="1")
    await world.declare()
    await world.until(operator, is_stalled)
    assert "as the gateway says" in str(world.entries("fault")[0].body["message"])


async def test_an_api_server_that_fails_now_and_then_only_costs_time(world: SmallCluster) -> None:
    operator = await world.operator()
    stable = await world.open(operator)
    await world.commit(BUILD="2")
    for _ in range(60):
        world.server.fail(Unreachable("the API server is overloaded"), verbs=("apply", "patch_status"))
        await world.tick(operator)
    world.server.recover()
    await world.until(operator, lambda status: status.get("stable", "") not in ("", stable))
