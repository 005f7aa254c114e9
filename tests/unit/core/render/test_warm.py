"""Room that is kept free on warm nodes, and by whom (S6.4, S15.5)."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import yaml
from tests.support import quick_yaml
from tests.support.platforms import LARGE, described, manifests, warmed

from croupier.core.policy.catalogue import RULES
from croupier.core.policy.check import check
from croupier.core.policy.facts import ROOM
from croupier.core.render.cell import PRIORITIES, objects_of
from croupier.core.render.warm import PRIORITY, warm_nodes
from croupier.model.events import Warm
from croupier.model.nodes import Node, NodePool
from croupier.model.platform import PlacedCell, Region
from croupier.model.quantity import size
from croupier.spec.manifests import read_text

(PLACED, *_) = described(LARGE).cells


def _region(**pools: NodePool) -> Region:
    return PLACED.region.model_copy(update={"pools": {**PLACED.region.pools, **pools}})


def _of(region: Region, kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in warm_nodes(region) if each["kind"] == kind}


def test_a_pod_a_warm_node_asks_for_all_of_it() -> None:
    pool = PLACED.region.pools["live"]
    deployment = _of(PLACED.region, "Deployment")["live"]
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    assert deployment["spec"]["replicas"] == pool.warm_nodes == 2
    assert pool.node is not None
    assert container["resources"]["requests"] == {"cpu": pool.node.cpu, "memory": pool.node.memory}


def test_it_waits_where_the_pods_go_that_it_keeps_room_for() -> None:
    """A placeholder on other nodes keeps no room: selector and tolerations are those of the services of the pool."""
    (tables,) = (each for each in PLACED.services if each.name == "live-tables")
    (served,) = (each for each in objects_of(PLACED, tables) if each["kind"] == "Deployment")
    pods = [each["spec"]["template"]["spec"] for each in (_of(PLACED.region, "Deployment")["live"], served)]
    for key in ("nodeSelector", "tolerations"):
        assert pods[0][key] == pods[1][key]


def test_it_makes_way_for_whatever_does_something_at_once() -> None:
    (priority,) = _of(PLACED.region, "PriorityClass").values()
    assert priority["value"] == PRIORITY < min(PRIORITIES.values())
    assert PRIORITY >= -10, "below, the cluster autoscaler adds no node"
    for deployment in _of(PLACED.region, "Deployment").values():
        pod = deployment["spec"]["template"]["spec"]
        assert pod["priorityClassName"] == priority["metadata"]["name"] == ROOM
        assert pod["terminationGracePeriodSeconds"] == 0
    assert not _of(PLACED.region, "PodDisruptionBudget"), "a budget would keep nodes from being drained"


def test_more_warm_nodes_are_more_pods_and_nothing_else() -> None:
    live = PLACED.region.pools["live"]
    before = _of(PLACED.region, "Deployment")["live"]
    after = _of(_region(live=live.model_copy(update={"warm_nodes": 9})), "Deployment")["live"]
    assert after["spec"].pop("replicas") == 9
    before["spec"].pop("replicas")
    assert after == before


def test_a_region_without_warm_nodes_has_nothing_that_keeps_room() -> None:
    cold = {name: pool.model_copy(update={"warm_nodes": 0}) for name, pool in PLACED.region.pools.items()}
    assert warm_nodes(_region(**cold)) == []


def test_no_rule_takes_exception_to_what_keeps_room() -> None:
    (text,) = (text for name, text in manifests(warmed()).items() if name == "regions/eu-north/warm.yaml")
    usual = [rule for rule in RULES.values() if rule.usual]
    assert [str(each) for each in check(read_text(text, "warm.yaml").manifests, usual)] == []


def test_a_zone_that_fails_takes_its_share_of_the_room_only() -> None:
    placed: list[PlacedCell] = warmed()
    for name, text in manifests(placed).items():
        for each in quick_yaml.load_all(text) if name.endswith("/warm.yaml") else ():
            if each["kind"] == "Deployment":
                (spread,) = each["spec"]["template"]["spec"]["topologySpreadConstraints"]
                assert (spread["topologyKey"], spread["whenUnsatisfiable"], spread["maxSkew"]) == (
                    "topology.kubernetes.io/zone",
                    "DoNotSchedule",
                    1,
                )


_BEGINS = datetime(2030, 7, 14, 15, 15, tzinfo=UTC)


def _awaited(ahead: int | None, *pods: tuple[int, datetime], **of_pool: object) -> list[dict[str, Any]]:
    """What keeps room where events ask for so many pods of bet-placement at these times."""
    assert PLACED.region.warm is not None
    api = PLACED.region.pools["api"].model_copy(update=of_pool)
    warm = PLACED.region.warm.model_copy(update={"ahead_minutes": ahead})
    region = _region(api=api).model_copy(update={"warm": warm})
    due = tuple(
        Warm(
            event=f"event-{number}",
            service="bet-placement",
            pods=count,
            from_at=begins,
            until_at=begins + timedelta(hours=2),
        )
        for number, (count, begins) in enumerate(pods)
    )
    return warm_nodes(region, [PLACED.model_copy(update={"region": region, "warm": due})])


def _raised(made: list[dict[str, Any]]) -> dict[tuple[str, str, str], int]:
    """Pool, begin and end -> nodes."""
    return {
        (each["metadata"]["name"], cron["start"], cron["end"]): int(cron["desiredReplicas"])
        for each in made
        if each["kind"] == "ScaledObject"
        for cron in (trigger["metadata"] for trigger in each["spec"]["triggers"])
    }


def _least_and_cpu() -> tuple[int, Fraction]:
    (bets,) = (each for each in PLACED.services if each.name == "bet-placement")
    assert bets.scaling is not None
    return bets.scaling.min, size(bets.resources.cpu)


def test_nodes_of_an_event_are_there_before_its_pods_and_give_way_to_them() -> None:
    """S6.4: ahead of promotions and tournaments."""
    least, cpu = _least_and_cpu()
    node = Node(cpu=f"{int(cpu * 2000)}m", memory="1Ti")
    made = _awaited(10, (least + 5, _BEGINS), node=node, warm_nodes=1, max_nodes=50)
    assert _raised(made) == {("api", "5 15 14 7 *", "15 15 14 7 *"): 1 + 3}, "two pods fit on a node"
    (scaled,) = (each for each in made if each["kind"] == "ScaledObject")
    assert (scaled["spec"]["minReplicaCount"], scaled["spec"]["maxReplicaCount"]) == (1, 4)
    counts = {each["metadata"]["name"]: each["spec"].get("replicas") for each in made if each["kind"] == "Deployment"}
    assert counts["api"] is None, "who scales it says how many"
    assert counts["live"] == 2


def test_events_near_each_other_have_nodes_for_both_and_no_more_than_there_may_be() -> None:
    least, cpu = _least_and_cpu()
    near, far = _BEGINS + timedelta(minutes=5), _BEGINS + timedelta(hours=1)
    events = ((least + 2, _BEGINS), (least + 6, near), (least + 4, far))
    node = Node(cpu=f"{int(cpu * 1000)}m", memory="1Ti")
    assert list(_raised(_awaited(10, *events, node=node, warm_nodes=0)).values()) == [6, 6, 4]
    assert list(_raised(_awaited(10, *events, node=node, warm_nodes=1, max_nodes=5)).values()) == [5, 5, 5]


def test_who_does_not_say_how_long_nodes_take_asks_for_none_beforehand() -> None:
    assert _raised(_awaited(None, (64, _BEGINS))) == {}
    assert _raised(_awaited(10, (1, _BEGINS))) == {}, "pods that are there anyway need no more nodes"
    assert _raised(_awaited(10, (64, _BEGINS), spot=True)) == {}


def test_what_keeps_one_node_warm_is_no_service_on_one_pod() -> None:
    """Prevents: findings on what croupier itself renders where ``warmNodes`` is 1."""
    made = warm_nodes(_region(live=PLACED.region.pools["live"].model_copy(update={"warm_nodes": 1})))
    read = read_text(yaml.safe_dump_all(made), "warm.yaml")
    assert [each.message for each in check(read.manifests, [RULES["one-replica"]])] == []


def test_two_regions_that_call_their_pools_alike_are_two() -> None:
    """Prevents: findings on one region, because events in another scale what keeps room there."""
    node = Node(cpu="8", memory="32Gi")
    scaled = _awaited(10, (64, _BEGINS), node=node, warm_nodes=1, max_nodes=50)
    elsewhere = PLACED.model_copy(update={"cell": PLACED.cell.model_copy(update={"region": "elsewhere"})})
    fixed = warm_nodes(_region(api=PLACED.region.pools["api"].model_copy(update={"warm_nodes": 1})), [elsewhere])
    read = read_text(yaml.safe_dump_all([*scaled, *fixed]), "warm.yaml")
    assert [each.message for each in check(read.manifests, [RULES["hpa-replicas"]])] == []
