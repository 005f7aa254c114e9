"""Room that is kept free on warm nodes, and by whom (S6.4, S15.5)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from tests.support.platforms import manifests, warmed

from croupier.core.policy.catalogue import RULES
from croupier.core.policy.check import check
from croupier.core.policy.facts import ROOM
from croupier.core.render.cell import PRIORITIES, objects_of
from croupier.core.render.warm import PRIORITY, warm_nodes
from croupier.model.nodes import NodePool
from croupier.model.platform import PlacedCell, Region
from croupier.spec.manifests import read_text
from croupier.spec.platform import load_described

(PLACED, *_) = load_described(Path(__file__).parents[4] / "examples" / "platform").cells


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
    """What raises it for an event changes one number."""
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
        for each in yaml.safe_load_all(text) if name.endswith("/warm.yaml") else ():
            if each["kind"] == "Deployment":
                (spread,) = each["spec"]["template"]["spec"]["topologySpreadConstraints"]
                assert (spread["topologyKey"], spread["whenUnsatisfiable"], spread["maxSkew"]) == (
                    "topology.kubernetes.io/zone",
                    "DoNotSchedule",
                    1,
                )
