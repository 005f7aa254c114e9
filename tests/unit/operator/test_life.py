"""The life of a service on a cluster, played in virtual time (DESIGN §7, progressive-delivery §2.1)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest
from tests.support.small_cluster import (
    INTENT,
    LABELS,
    NAMESPACE,
    POLICY_NAME,
    SERVICE,
    Operator,
    SmallCluster,
    condition,
    config_map_copies,
    is_ready,
    is_stalled,
)
from tests.unit.adapters.traffic.test_version_rules import declare, refuse_rules
from tests.unit.operator.test_drift import ask

from croupier.adapters.kubernetes_api import (
    CONFIG_MAPS,
    DEPLOYMENTS,
    HTTP_ROUTES,
    PODS,
    RELEASE_POLICIES,
    RELEASES,
    SERVICES,
)
from croupier.core.render.version import DIGEST, VERSION_LABEL
from croupier.errors import Unreachable
from croupier.model.checklist import ChecklistResult
from croupier.model.digest import short


@pytest.fixture
async def world() -> AsyncIterator[SmallCluster]:
    async with SmallCluster.begin() as world:
        yield world


# --- versions come and go ---------------------------------------------------------------------------------------------


async def test_the_first_version_serves_everybody_and_the_intent_rests(world: SmallCluster) -> None:
    operator = await world.operator()
    stable = await world.open(operator)
    assert world.weights() == {stable: 100}
    assert world.running() == {stable: 4}
    service = world.find(SERVICES, POLICY_NAME)
    assert service["spec"]["selector"][VERSION_LABEL] == stable


async def test_a_healthy_release_is_promoted_and_the_old_version_ends(world: SmallCluster) -> None:
    operator = await world.operator()
    first = await world.open(operator)
    await world.commit(BUILD="2")
    status = await world.until(operator, lambda status: status["stable"] != first and is_ready(status))
    second = status["stable"]
    assert status["phase"] == "promoted"
    assert world.weights() == {second: 100}
    for _ in range(4):
        await world.tick(operator)
    assert world.running() == {second: 4}
    weights = [entry.body["weight"] for entry in world.entries("step.entered")]
    assert weights == [100, 5, 10, 25, 50, 99]


async def baking(world: SmallCluster, **strategy: Any) -> tuple[Operator, str, str]:
    """The operator, the old version and the new one, which has begun to bake for five minutes."""
    operator = await world.operator()
    usual = {"dwellSeconds": 10.0, "bakeSeconds": 300.0, "deadlineSeconds": 400.0}
    first = await world.open(operator, strategy={**usual, **strategy})
    await world.commit(BUILD="2")
    status = await world.until(operator, lambda status: status["phase"] == "holding" and status["weight"] >= 95)
    return operator, first, status["wanted"]


async def test_the_old_version_of_the_money_tier_keeps_one_percent_and_all_its_pods_through_the_bake(
    world: SmallCluster,
) -> None:
    operator, first, second = await baking(world)
    for _ in range(100):
        assert world.weights() == {second: 99, first: 1}
        assert world.running() == {second: 4, first: 4}
        assert world.find(SERVICES, POLICY_NAME)["spec"]["selector"][VERSION_LABEL] == second
        await world.tick(operator)
    assert world.status()["weight"] == 99
    assert "left" in world.release("r-0002")["waitingFor"]
    await world.until(operator, lambda status: status["stable"] == second and is_ready(status))
    assert world.weights() == {second: 100}
    for _ in range(4):
        await world.tick(operator)
    assert world.running() == {second: 4}


async def test_a_version_that_begins_to_lose_deposits_in_the_bake_is_taken_back(world: SmallCluster) -> None:
    """S4.6. Prevents: a bake in which nobody is left to compare with, so that a person has to be called."""
    operator, first, second = await baking(world)
    world.losing.add(second)
    status = await world.until(operator, is_stalled)
    assert (status["phase"], status["stable"]) == ("rolled-back", first)
    assert "deposits" in condition(status, "Stalled")["message"]
    assert world.weights() == {first: 100}
    assert world.find(SERVICES, POLICY_NAME)["spec"]["selector"][VERSION_LABEL] == first


async def waiting_for_sockets(world: SmallCluster) -> tuple[Operator, str, str]:
    """The operator, the old version, to which three sockets are open, and the new one, which everybody else is on."""
    operator = await world.operator()
    first = await world.open(operator, traffic="websocket", drainSeconds=300.0)
    world.sockets[first] = 3
    await world.commit(BUILD="2")
    status = await world.until(operator, lambda status: status["phase"] == "promoting")
    for _ in range(20):
        await world.tick(operator)
    assert world.status()["phase"] == "promoting"
    assert world.weights() == {status["wanted"]: 100}
    assert world.running() == {first: 4, status["wanted"]: 4}
    assert "3 sockets to the old version" in world.release("r-0002")["waitingFor"]
    return operator, first, status["wanted"]


async def test_a_version_to_which_sockets_are_open_ends_when_its_pods_count_none(world: SmallCluster) -> None:
    """S6.7."""
    operator, first, second = await waiting_for_sockets(world)
    world.sockets[first] = 0
    await world.until(operator, lambda status: status["stable"] == second and is_ready(status), 20.0)
    for _ in range(4):
        await world.tick(operator)
    assert world.running() == {second: 4}
    assert [each.body["sockets"] for each in world.entries("sockets.drained")] == [0, 0]


async def test_sockets_that_stay_open_are_cut_after_the_drain_seconds_and_told(world: SmallCluster) -> None:
    operator, _, second = await waiting_for_sockets(world)
    await world.until(operator, lambda status: status["stable"] == second and is_ready(status))
    assert [each.body["sockets"] for each in world.entries("sockets.drained")] == [0, 3]
    assert any("3 sockets were still open to the old version" in each["note"] for each in world.events())


async def test_a_person_goes_back_while_sockets_are_waited_for(world: SmallCluster) -> None:
    operator, first, _ = await waiting_for_sockets(world)
    await ask(world, operator, "abort")
    await world.until(operator, lambda status: status["phase"] == "rolled-back")
    assert world.weights() == {first: 100}
    assert world.status()["stable"] == first


async def test_a_revert_in_git_goes_back_while_sockets_are_waited_for(world: SmallCluster) -> None:
    operator, first, second = await waiting_for_sockets(world)
    world.sockets[second] = 0
    await world.commit(BUILD="1")
    status = await world.until(operator, lambda status: status["phase"] == "rolled-back", 60.0)
    assert (status["stable"], world.weights()) == (first, {first: 100})


@pytest.mark.parametrize(("asked", "weight"), [(0, 100), (3, 97)])
async def test_a_policy_says_how_many_are_held_back(world: SmallCluster, asked: int, weight: int) -> None:
    await baking(world, holdBackPercent=asked)
    assert world.status()["weight"] == weight


async def test_a_version_waits_for_its_checklist_until_it_is_shown(world: SmallCluster) -> None:
    """S15: a release does not start until the nine lines have evidence."""
    operator = await world.operator()
    first = await world.open(operator, checklist="require")
    await world.commit(BUILD="2")
    status = await world.until(operator, is_stalled)
    stalled = condition(status, "Stalled")
    assert stalled["reason"] == "Checklist"
    assert f"{status['wanted']} waits: no checklist was shown for it" in stalled["message"]
    assert (status["run"], world.weights()) == ("r-0001", {first: 100})
    await world.annotate(checklist="{}")
    await world.until(operator, lambda status: "no result of a check" in condition(status, "Stalled")["message"])
    today = datetime.fromtimestamp(world.clock.now(), UTC).date()
    said = "2 of 9 lines are green; waived: S15.1 until 2030-01-01 by ann"
    shown = ChecklistResult(version=status["wanted"], ready=True, said=said, until=today, who="ann")
    await world.annotate(checklist=shown.model_dump_json(by_alias=True))
    status = await world.until(operator, lambda status: status["stable"] != first and is_ready(status))
    assert status["phase"] == "promoted"


async def test_a_version_that_loses_deposits_is_taken_back_and_not_tried_again(world: SmallCluster) -> None:
    """S4.6."""
    operator = await world.operator()
    first = await world.open(operator)
    await world.commit(BUILD="2", DEFECT="deposit-loss")
    status = await world.until(operator, is_stalled)
    assert status["phase"] == "rolled-back"
    assert world.weights() == {first: 100}
    for _ in range(40):
        await world.tick(operator)
    assert [run.run for run in await operator.desk.runs()] == ["r-0002", "r-0001"]
    assert world.running() == {first: 4}
    stalled = condition(world.status(), "Stalled")
    assert stalled["reason"] == "RolledBack"
    assert "deposits" in stalled["message"]


async def test_a_person_may_have_the_same_version_tried_again_once(world: SmallCluster) -> None:
    operator = await world.operator()
    await world.open(operator)
    await world.commit(BUILD="2", DEFECT="deposit-loss")
    await world.until(operator, is_stalled)
    await world.annotate(retry="r-0002")
    await world.until(operator, lambda status: status["run"] == "r-0003")
    await world.until(operator, is_stalled)
    for _ in range(20):
        await world.tick(operator)
    assert len(await operator.desk.runs()) == 3


async def test_another_template_is_released_after_a_rollback(world: SmallCluster) -> None:
    operator = await world.operator()
    first = await world.open(operator)
    await world.commit(BUILD="2", DEFECT="deposit-loss")
    await world.until(operator, is_stalled)
    await world.commit(BUILD="3")
    status = await world.until(operator, lambda status: status["stable"] != first)
    assert status["run"] == "r-0003"


async def test_a_template_of_before_is_released_by_the_version_that_still_stands(world: SmallCluster) -> None:
    operator = await world.operator()
    first = await world.open(operator)
    await world.commit(BUILD="2")
    await world.until(operator, lambda status: status["stable"] != first)
    await world.commit(BUILD="1")
    await world.until(operator, lambda status: status["stable"] == first)
    assert world.weights() == {first: 100}
    assert len(world.all(DEPLOYMENTS)) == 3


async def test_a_version_that_never_becomes_ready_gets_no_player(world: SmallCluster) -> None:
    operator = await world.operator()
    first = await world.open(operator)
    await world.commit(BUILD="2", DEFECT="never-ready")
    status = await world.until(operator, is_stalled)
    assert "CrashLoopBackOff" in condition(status, "Stalled")["message"]
    assert world.weights() == {first: 100}
    assert (await operator.desk.run_view("r-0002")).peak_weight == 0


async def test_a_quota_that_forbids_the_canary_is_named(world: SmallCluster) -> None:
    """progressive-delivery §2.1 row 18."""
    operator = await world.operator()
    await world.open(operator)
    world.quota = 'pods "payments-api" is forbidden: exceeded quota: compute'
    await world.commit(BUILD="2")
    status = await world.until(operator, is_stalled)
    assert status["phase"] == "rolled-back"
    assert "exceeded quota: compute" in world.release("r-0002")["reason"]


async def test_a_config_map_alone_is_a_release_and_stable_keeps_the_old_content(world: SmallCluster) -> None:
    """S12.2."""
    operator = await world.operator()
    first = await world.open(operator)
    await world.configure(COLOUR="blue")
    status = await world.until(operator, lambda status: status["stable"] != first)
    copies = {each["metadata"]["name"]: each for each in config_map_copies(world.all(CONFIG_MAPS))}
    assert copies[f"{POLICY_NAME}-config-{first}"]["data"] == {"COLOUR": "green"}
    assert copies[f"{POLICY_NAME}-config-{status['stable']}"]["data"] == {"COLOUR": "blue"}
    assert all(each["immutable"] for each in copies.values())


async def test_old_versions_go_with_all_they_had_and_the_limit_of_them_stays(world: SmallCluster) -> None:
    operator = await world.operator()
    await world.open(operator, historyLimit=2, strategy={"steps": [50, 100], "dwellSeconds": 0.0, "bakeSeconds": 0.0})
    digests = [world.status()["stable"]]
    for build in ("2", "3", "4", "5"):
        before = digests[-1]
        await world.commit(BUILD=build)
        status = await world.until(operator, lambda status, before=before: status["stable"] != before)
        digests.append(status["stable"])
    for _ in range(4):
        await world.tick(operator)
    kept = set(digests[-3:])
    for resource in (DEPLOYMENTS, SERVICES, CONFIG_MAPS):
        labels = [(each["metadata"].get("labels") or {}).get(VERSION_LABEL) for each in world.all(resource)]
        assert {label for label in labels if label} == kept, resource.kind


async def test_only_the_newest_runs_are_kept_as_objects(world: SmallCluster) -> None:
    operator = await world.operator()
    await world.open(operator)
    for number in range(2, 14):
        await world.commit(BUILD=str(number), DEFECT="never-ready")
        await world.until(operator, lambda status, run=f"r-{number:04d}": status["run"] == run)
    assert len(world.all(RELEASES)) <= 11


# --- Git changes its mind ---------------------------------------------------------------------------------------------


async def test_a_revert_in_git_ends_the_release_under_way(world: SmallCluster) -> None:
    """progressive-delivery §2.1 row 8."""
    operator = await world.operator()
    first = await world.open(operator)
    await world.commit(BUILD="2")
    await world.until(operator, lambda status: status["weight"] == 10)
    await world.commit(BUILD="1")
    status = await world.until_ready(operator)
    assert status["stable"] == first
    assert world.weights() == {first: 100}
    run = await operator.desk.run_view("r-0002")
    assert (run.outcome, run.code) == ("rolled-back", "aborted")
    assert f"Git went back to {first}" in run.reason
    assert len([entry for entry in world.entries("command") if entry.body["command"] == "abort"]) == 1


async def answer(world: SmallCluster, **says: str) -> None:
    """What gateway and mesh say from now on, also of routes that stand."""
    for who, word in says.items():
        setattr(world, who, word)
    for route in [each["metadata"]["name"] for each in world.all(HTTP_ROUTES)]:
        await world.change(HTTP_ROUTES, route, lambda obj: obj["metadata"]["annotations"].update(said=str(says)))
    await world.settle()


async def second_version(world: SmallCluster, operator: Operator) -> tuple[str, str]:
    """The version before, and the one that has taken its place; players come by a gateway, callers by a mesh."""
    first = await world.open(operator, mesh={})
    await world.commit(BUILD="2")
    status = await world.until(operator, lambda status: status["stable"] != first and is_ready(status))
    return first, status["stable"]


async def test_a_revert_in_git_goes_back_in_two_steps_although_nothing_is_counted(world: SmallCluster) -> None:
    """Prevents: a revert that is refused, or held, for lack of counters, while players stay on a bad version."""
    operator = await world.operator()
    first, _ = await second_version(world, operator)
    world.metrics.unreachable = True
    await world.commit(BUILD="1")
    await world.until(operator, lambda _: world.weights() == {first: 100}, 120.0)
    await world.until(operator, lambda status: status["stable"] == first and is_ready(status))
    run = world.entries("run.started")[-1].subject
    weights = [entry.body["weight"] for entry in world.entries("step.entered") if entry.subject == run]
    assert weights[-1] == 100
    assert len(weights) <= 3


@pytest.mark.parametrize("who", ["mesh_says", "gateway_says"])
async def test_a_revert_in_git_does_not_wait_for_who_refuses_its_route_at_rest(world: SmallCluster, who: str) -> None:
    """Prevents: players who stay on a bad version until somebody takes spec.mesh out."""
    operator = await world.operator()
    first, second = await second_version(world, operator)
    await answer(world, **{who: "False"})
    await world.commit(BUILD="3")
    status = await world.until(operator, is_stalled)
    assert "as the gateway says" in condition(status, "Stalled")["message"], "nothing new starts"
    await world.commit(BUILD="1")
    await world.until(operator, lambda _: world.weights() == {first: 100}, 120.0)
    for _ in range(12):
        await world.tick(operator)
    status = world.status()
    assert (status["phase"], status["stable"]) == ("promoting", second)
    assert {each["split"] for each in status["routes"]} == {f"{first} 100 %"}
    assert world.find(SERVICES, POLICY_NAME)["spec"]["selector"][VERSION_LABEL] == first
    assert world.running() == {first: 4, second: 4}, "pods that somebody may still be sent to stay"
    assert "as the gateway says" in condition(status, "Reconciling")["message"]
    assert any("a way back waits for no confirmation" in each["note"] for each in world.events("StepPassed"))
    await answer(world, **{who: "True"})
    await world.until(operator, lambda status: status["stable"] == first and is_ready(status))
    for _ in range(16):
        await world.tick(operator)
    assert world.running() == {first: 4}


async def test_a_revert_in_git_does_not_wait_for_a_copy_of_a_rule_that_is_refused_at_rest(world: SmallCluster) -> None:
    """Prevents: players who stay on a bad version because Istio's webhook is down."""
    await declare(world, POLICY_NAME)
    operator = await world.operator()
    first, second = await second_version(world, operator)
    refuse_rules(world)
    await declare(world, POLICY_NAME, most=80)
    status = await world.until(operator, is_stalled)
    assert "webhook" in condition(status, "Stalled")["message"]
    assert (status["stable"], world.weights()) == (second, {second: 100})
    await world.commit(BUILD="1")
    status = await world.until(operator, lambda status: status["stable"] == first)
    assert world.weights() == {first: 100}
    status = await world.until(operator, is_stalled)
    assert "webhook" in condition(status, "Stalled")["message"]


async def test_a_revert_does_not_wait_for_a_route_that_the_policy_no_longer_asks_for(world: SmallCluster) -> None:
    """Prevents: who takes spec.mesh out, because the mesh is down, and finds no way back while the gateway is, too."""
    operator = await world.operator()
    first, second = await second_version(world, operator)
    await answer(world, mesh_says="False", gateway_says="False")
    await world.declare(mesh=None)
    await world.commit(BUILD="1")
    await world.until(operator, lambda _: world.weights() == {first: 100}, 120.0)
    for _ in range(300):
        await world.tick(operator)
    status = world.status()
    assert (status["phase"], status["stable"]) == ("promoting", second)
    assert world.weights() == {first: 100}
    assert world.running() == {first: 4, second: 4}
    await answer(world, gateway_says="True")
    await world.until(operator, lambda status: status["stable"] == first and is_ready(status))
    assert [each["metadata"]["name"] for each in world.all(HTTP_ROUTES)] == [POLICY_NAME]


async def test_a_revert_is_not_given_up_because_players_do_not_come_where_nobody_took_it_up(
    world: SmallCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents: gates that take a way back for a version whose players have vanished, while the gateway is down."""
    operator = await world.operator()
    first, second = await second_version(world, operator)
    await world.commit(BUILD="1")
    await world.until(operator, lambda status: status["phase"] == "holding" and status["weight"] == 5)
    stays = world._split(world.find(RELEASE_POLICIES, POLICY_NAME))
    monkeypatch.setattr(world, "_split", lambda _policy: stays)  # the data plane goes on with what it knows
    await answer(world, gateway_says="False")
    for _ in range(200):
        await world.tick(operator)
    assert (world.status()["phase"], world.status()["stable"]) == ("promoting", second)
    assert world.running() == {first: 4, second: 4}
    monkeypatch.undo()
    await answer(world, gateway_says="True")
    await world.until(operator, lambda status: status["stable"] == first and is_ready(status))


@pytest.mark.parametrize("is_deleted", [False, True])
async def test_a_revert_leaves_a_version_without_a_ready_pod_at_once(world: SmallCluster, is_deleted: bool) -> None:
    """Prevents: a revert that moves 5 % and waits, while everybody else is sent to pods that are not there."""
    operator = await world.operator()
    first, second = await second_version(world, operator)
    name = f"{POLICY_NAME}-{second}"
    for pod in [each["metadata"]["name"] for each in world.pods(name)]:
        await world.change(PODS, pod, lambda obj: obj["status"]["conditions"][0].update(status="False"))
    await world.tick(operator)
    await world.commit(BUILD="1")
    if is_deleted:
        await world.person.delete(DEPLOYMENTS, name, namespace=NAMESPACE)
        for pod in [each["metadata"]["name"] for each in world.pods(name)]:
            await world.person.delete(PODS, pod, namespace=NAMESPACE)
    await world.until(operator, lambda _: world.weights() == {first: 100}, 30.0)
    await world.until(operator, lambda status: status["stable"] == first and is_ready(status))


async def test_a_revert_in_git_goes_back_while_nobody_confirms_that_the_old_version_is_left(
    world: SmallCluster,
) -> None:
    """Prevents: a run that is about to end, and holds the way back up until a gateway answers."""
    operator, first, second = await baking(world, bakeSeconds=20.0)
    world.gateway_says = "False"
    await world.until(operator, lambda status: status["phase"] == "promoting")
    for _ in range(8):
        await world.tick(operator)
    assert world.running() == {first: 4, second: 4}
    assert "as the gateway says" in condition(world.status(), "Reconciling")["message"]
    await world.commit(BUILD="1")
    await world.until(operator, lambda _: world.weights() == {first: 100}, 60.0)
    await answer(world, gateway_says="True")
    status = await world.until(operator, lambda status: status["phase"] == "rolled-back")
    assert status["stable"] == first


async def test_a_newer_template_ends_the_release_under_way_and_is_released_in_its_place(world: SmallCluster) -> None:
    """progressive-delivery §2.1 row 9."""
    operator = await world.operator()
    first = await world.open(operator)
    await world.commit(BUILD="2")
    await world.until(operator, lambda status: status["weight"] == 10)
    await world.commit(BUILD="3")
    status = await world.until(operator, lambda status: status["stable"] != first)
    assert status["run"] == "r-0003"
    assert (await operator.desk.run_view("r-0002")).outcome == "rolled-back"


async def test_a_suspended_policy_starts_nothing_and_says_what_waits(world: SmallCluster) -> None:
    operator = await world.operator()
    first = await world.open(operator)
    await world.declare(suspend=True)
    await world.commit(BUILD="2")
    for _ in range(10):
        await world.tick(operator)
    assert len(await operator.desk.runs()) == 1
    assert condition(world.status(), "Ready")["reason"] == "Suspended"
    await world.declare()
    await world.until(operator, lambda status: status["stable"] != first)


async def test_a_suspended_policy_takes_nothing_over(world: SmallCluster) -> None:
    operator = await world.operator()
    await world.configure(COLOUR="green")
    await world.commit(replicas=4, BUILD="1")
    await world.declare(suspend=True)
    for _ in range(6):
        await world.tick(operator)
    assert (await operator.desk.runs()) == []
    assert world.running() == {"intent": 4}


async def test_what_nobody_can_release_yet_says_what_is_missing(world: SmallCluster) -> None:
    operator = await world.operator()
    await world.declare()
    for _ in range(3):
        await world.tick(operator)
    assert condition(world.status(), "Stalled")["reason"] == "NoDeployment"
    await world.commit(BUILD="1")
    for _ in range(3):
        await world.tick(operator)
    assert "ConfigMap casino/payments-api-config does not exist" in condition(world.status(), "Stalled")["message"]
    await world.configure(COLOUR="green")
    await world.until_ready(operator)


# --- adoption and leaving ---------------------------------------------------------------------------------------------


async def adopted(world: SmallCluster) -> tuple[str, Operator]:
    operator = await world.operator()
    await world.configure(COLOUR="green")
    await world.commit(replicas=4, BUILD="1")
    kind = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": POLICY_NAME, "namespace": NAMESPACE}}
    ports = [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"}]
    await world.git.apply({**kind, "spec": {"selector": LABELS, "ports": ports}})
    await world.declare()
    status = await world.until_ready(operator)
    for _ in range(16):
        await world.tick(operator)
    return status["stable"], operator


async def test_a_running_deployment_is_adopted_without_a_moment_without_pods(world: SmallCluster) -> None:
    operator = await world.operator()
    await world.configure(COLOUR="green")
    await world.commit(replicas=4, BUILD="1")
    await world.declare()
    counts = []
    for _ in range(30):
        await world.tick(operator)
        counts.append(sum(world.running().values()))
    stable = world.status()["stable"]
    assert min(counts) == 4
    assert world.running() == {stable: 4}
    assert world.weights() == {stable: 100}


async def test_resting_an_adopted_deployment_is_no_drift(world: SmallCluster) -> None:
    await adopted(world)
    assert world.entries("drift") == []
    assert world.events("PutBack") == []


async def test_a_service_that_leaves_is_served_by_its_deployment_again(world: SmallCluster) -> None:
    stable, operator = await adopted(world)
    await world.annotate(leave="true")
    await world.until(operator, lambda status: condition(status, "Ready").get("reason") == "Left")
    for _ in range(6):
        await world.tick(operator)
    assert world.running() == {"intent": 4}
    assert world.find(SERVICES, POLICY_NAME)["spec"]["selector"] == LABELS
    assert world.weights() == {short(INTENT): 100}
    assert world.entries("drift") == []
    await world.commit(replicas=4, BUILD="2")
    for _ in range(6):
        await world.tick(operator)
    assert len(await operator.desk.runs()) == 2, "a service that has left is Kubernetes' own again"
    assert stable not in world.weights()


async def test_players_of_a_service_that_has_left_do_not_notice_that_its_policy_is_deleted(world: SmallCluster) -> None:
    _, operator = await adopted(world)
    await world.annotate(leave="true")
    await world.until(operator, lambda status: condition(status, "Ready").get("reason") == "Left")
    await world.tick(operator)
    await world.person.delete(RELEASE_POLICIES, POLICY_NAME, namespace=NAMESPACE)
    for _ in range(3):
        await world.tick(operator)
    (backend,) = world.find(HTTP_ROUTES, POLICY_NAME)["spec"]["rules"][0]["backendRefs"]
    assert backend["weight"] == 100
    for name in (backend["name"], POLICY_NAME):
        assert world.find(SERVICES, name)["spec"]["selector"] == LABELS
    assert world.running() == {"intent": 4}


async def test_a_service_that_left_is_adopted_again_once_the_annotation_is_gone(world: SmallCluster) -> None:
    stable, operator = await adopted(world)
    await world.annotate(leave="true")
    await world.until(operator, lambda status: condition(status, "Ready").get("reason") == "Left")
    await world.annotate(leave="false")
    await world.until(operator, lambda status: condition(status, "Ready").get("reason") == "UpToDate")
    assert world.weights() == {stable: 100}
    assert [entry.body["weight"] for entry in world.entries("step.entered")] == [100, 100, 100]


# --- without Gateway API ----------------------------------------------------------------------------------------------


async def test_without_a_route_the_service_is_switched_as_a_whole_behind_nothing_but_readiness(
    world: SmallCluster,
) -> None:
    operator = await world.operator(has_gateway=False)
    await world.configure(COLOUR="green")
    await world.commit(BUILD="1")
    await world.declare(route=None, strategy={"steps": [100], "bakeSeconds": 10.0, "dwellSeconds": 10.0})
    status = await world.until_ready(operator)
    assert world.find(SERVICES, POLICY_NAME)["spec"]["selector"][VERSION_LABEL] == status["stable"]
    assert world.all(HTTP_ROUTES) == []
    await world.commit(BUILD="2")
    second = await world.until(operator, lambda told: told["stable"] != status["stable"] and is_ready(told))
    assert world.find(SERVICES, POLICY_NAME)["spec"]["selector"][VERSION_LABEL] == second["stable"]
    await world.commit(BUILD="3", DEFECT="never-ready")
    await world.until(operator, is_stalled)
    assert world.find(SERVICES, POLICY_NAME)["spec"]["selector"][VERSION_LABEL] == second["stable"]


async def test_callers_of_a_mesh_are_released_step_by_step_and_go_back_too(world: SmallCluster) -> None:
    """S8.5. Prevents: a bad version of a service that no player reaches, in front of all its callers at once."""
    operator = await world.operator()
    await world.open(operator, route=None, mesh={})
    stable = world.status()["stable"]
    await world.commit(BUILD="2")
    await world.until(operator, lambda status: 0 < status.get("weight", 0) < 100)
    (route,) = world.status()["routes"]
    assert (route["name"], route["moves"], route["accepted"]) == (f"{POLICY_NAME}.mesh", "callers", True)
    await world.until_ready(operator)
    good = world.status()["stable"]
    assert good != stable
    await world.commit(BUILD="3", DEFECT="deposit-loss")
    await world.until(operator, is_stalled)
    assert world.weights() == {good: 100}
    assert world.status()["stable"] == good


async def test_a_route_on_a_cluster_without_gateway_api_is_refused_in_words(world: SmallCluster) -> None:
    operator = await world.operator(has_gateway=False)
    await world.configure(COLOUR="green")
    await world.commit(BUILD="1")
    await world.declare()
    for _ in range(6):
        await world.tick(operator)
    assert "no httproutes" in condition(world.status(), "Stalled")["message"]


async def test_a_route_that_is_taken_away_goes(world: SmallCluster) -> None:
    """It stayed, and named a version that ends with the next release."""
    operator = await world.operator()
    stable = await world.open(operator)
    await world.declare(route=None)
    for _ in range(3):
        await world.tick(operator)
    assert world.all(HTTP_ROUTES) == []
    assert world.find(SERVICES, POLICY_NAME)["spec"]["selector"][VERSION_LABEL] == short(stable)


async def test_a_route_of_somebody_else_stays_when_the_policy_has_none(world: SmallCluster) -> None:
    operator = await world.operator()
    await world.open(operator)
    await world.change(HTTP_ROUTES, POLICY_NAME, lambda obj: obj["metadata"].pop("ownerReferences"))
    await world.declare(route=None)
    for _ in range(3):
        await world.tick(operator)
    assert len(world.all(HTTP_ROUTES)) == 1


async def test_a_route_that_somebody_made_of_ours_stays_when_the_policy_has_none(world: SmallCluster) -> None:
    """Who moves the route to Git under its old name must not lose it with ``spec.route``."""
    operator = await world.operator()
    await world.open(operator)

    def take(route: Any) -> None:
        route["spec"]["rules"] = [{"backendRefs": [{"name": POLICY_NAME, "port": 80, "weight": 1}]}]

    await world.declare(route=None)
    await world.change(HTTP_ROUTES, POLICY_NAME, take)
    for _ in range(3):
        await world.tick(operator)
    assert len(world.all(HTTP_ROUTES)) == 1
    assert is_ready(world.status())


async def test_fewer_replicas_in_git_end_pods_and_a_hand_that_gave_more_is_left_alone(world: SmallCluster) -> None:
    operator = await world.operator()
    stable = await world.open(operator)
    await world.change(DEPLOYMENTS, f"{POLICY_NAME}-{stable}", lambda obj: obj["spec"].update(replicas=6))
    for _ in range(3):
        await world.tick(operator)
    assert world.running() == {stable: 6}
    await world.declare(replicas=3)
    for _ in range(3):
        await world.tick(operator)
    assert world.running() == {stable: 3}
    await world.declare(replicas=5)
    for _ in range(3):
        await world.tick(operator)
    assert world.running() == {stable: 5}


async def test_fewer_replicas_in_git_wait_for_the_end_of_a_release(world: SmallCluster) -> None:
    """A way back never waits for pods."""
    operator = await world.operator()
    first = await world.open(operator)
    await world.commit(BUILD="2")
    await world.until(operator, lambda status: status["phase"] == "holding")
    await world.declare(replicas=2)
    for _ in range(3):
        await world.tick(operator)
    assert world.running()[first] == 4
    status = await world.until(operator, lambda status: status["stable"] != first and is_ready(status))
    for _ in range(6):
        await world.tick(operator)
    assert world.running() == {status["stable"]: 2}


# --- what must not stop the others ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spec",
    [
        {"replicas": 0},
        {"strategy": {"steps": [50, 10, 100]}},
        {"gates": [{"signal": "bets", "margin": {}}]},
        {"metrics": {"tally": "not a url"}},
        {"surprise": True},
    ],
)
async def test_a_policy_that_cannot_be_used_says_why_and_touches_nobody(
    world: SmallCluster, spec: dict[str, Any]
) -> None:
    operator = await world.operator()
    await world.configure("bets-config", COLOUR="green")
    await world.commit(name="bets", BUILD="1")
    await world.declare(name="bets", **spec)
    await world.open(operator)
    status = world.status("bets")
    assert condition(status, "Stalled")["reason"] == "InvalidSpec"
    assert next(iter(spec)) in condition(status, "Stalled")["message"]


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_a_run_goes_on_and_back_while_its_policy_cannot_be_used(world: SmallCluster, is_restarted: bool) -> None:
    """A field that the operator does not know kept players on a bad version until somebody mended it."""
    operator = await world.operator()
    first = await world.open(operator)
    await world.commit(BUILD="2", DEFECT="deposit-loss")
    await world.until(operator, lambda status: status["phase"] == "holding")
    await world.declare(surprise=True)
    if is_restarted:
        operator = await world.operator()
    await world.until(operator, lambda status: status["phase"] == "rolled-back")
    assert world.weights() == {first: 100}
    assert condition(world.status(), "Stalled")["reason"] == "InvalidSpec"


@pytest.mark.parametrize("name", ["1bets", "bets.old", "b" * 70])
async def test_a_policy_whose_name_is_no_label_says_so_and_touches_nobody(world: SmallCluster, name: str) -> None:
    operator = await world.operator()
    kind = {"apiVersion": RELEASE_POLICIES.api_version, "kind": RELEASE_POLICIES.kind}
    spec = {"deployment": "bets", "service": {"name": "bets"}}
    await world.git.apply({**kind, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": spec})
    await world.open(operator)
    assert "metadata.name" in condition(world.status(name), "Stalled")["message"]


async def test_a_policy_made_anew_begins_anew(world: SmallCluster) -> None:
    """The versions of the one before went with it, so what its last run promoted serves nobody."""
    operator = await world.operator()
    first = await world.open(operator)
    await world.person.delete(RELEASE_POLICIES, POLICY_NAME, namespace=NAMESPACE)
    for _ in range(3):
        await world.tick(operator)
    assert world.running() == {}
    await world.commit(BUILD="2")
    await world.declare()
    status = await world.until_ready(operator)
    assert status["stable"] != first
    assert world.weights() == {status["stable"]: 100}


async def test_a_policy_deleted_in_mid_release_ends_the_run_and_may_come_back(world: SmallCluster) -> None:
    operator = await world.operator()
    await world.open(operator)
    await world.commit(BUILD="2")
    await world.until(operator, lambda status: status["weight"] == 10)
    await world.person.delete(RELEASE_POLICIES, POLICY_NAME, namespace=NAMESPACE)
    for _ in range(10):
        await world.tick(operator)
    assert (await operator.desk.last_run(SERVICE)).outcome == "rolled-back"
    await world.declare()
    status = await world.until_ready(operator)
    assert world.weights() == {status["stable"]: 100}


async def test_nothing_is_decided_on_caches_that_are_stale(world: SmallCluster) -> None:
    operator = await world.operator()
    await world.open(operator)
    world.server.silence()
    await world.commit(BUILD="2")
    world.clock.time += 100.0
    before = world.server.revision
    with pytest.raises(Unreachable, match="nothing is decided"):
        await operator.round()
    assert world.server.revision == before
    assert len(await operator.desk.runs()) == 1


async def test_nothing_is_written_without_the_lease(world: SmallCluster) -> None:
    operator = await world.operator()
    await world.open(operator)
    await world.commit(BUILD="2")
    await world.until(operator, lambda status: status["weight"] == 10)

    def closed() -> None:
        raise Unreachable("the lease croupier/croupier may be lost: nothing is written")

    world.writes.fence = closed
    before = world.server.revision
    for _ in range(10):
        await world.tick(operator)
    assert world.server.revision == before


async def test_a_digest_stands_on_every_version(world: SmallCluster) -> None:
    """S3.7."""
    operator = await world.operator()
    stable = await world.open(operator)
    deployment = world.find(DEPLOYMENTS, f"{POLICY_NAME}-{stable}")
    assert short(deployment["metadata"]["annotations"][DIGEST]) == stable
