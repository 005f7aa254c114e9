"""Which nodes pods go to, and who goes first where room is short (S2.3, S13.1, S13.2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.platforms import LARGE, described, example

from croupier.core.render.cell import objects_of, priorities
from croupier.model.platform import PlacedCell
from croupier.model.service_spec import ServiceSpec

POOL = "nodes.example.net/pool"
(PLACED, *_) = described(LARGE).cells


def _pod(placed: PlacedCell, service: ServiceSpec) -> dict[str, Any]:
    (found,) = (each for each in objects_of(placed, service) if each["kind"] == "Deployment")
    template: dict[str, Any] = found["spec"]["template"]
    return template


def _pods() -> Iterator[tuple[ServiceSpec, dict[str, Any]]]:
    return ((service, _pod(PLACED, service)) for service in PLACED.services)


@pytest.mark.parametrize(
    ("name", "pool"), [("payments-api", "api"), ("live-tables", "live"), ("reports", "batch"), ("wallet", "wallet")]
)
def test_a_service_runs_on_the_nodes_of_its_traffic_or_of_the_pool_that_it_names(name: str, pool: str) -> None:
    found = {service.name: pod["spec"] for service, pod in _pods()}
    assert found[name]["nodeSelector"] == {POOL: pool}


def test_pods_tolerate_the_taints_of_their_own_pool_and_of_no_other() -> None:
    for service, pod in _pods():
        tolerated = {each["value"] for each in pod["spec"].get("tolerations", ())}
        assert tolerated == {pod["spec"]["nodeSelector"][POOL]} - {"api"}, service.name


def test_only_batch_work_is_sent_to_spot_capacity() -> None:
    spot = {name for name, pool in PLACED.region.pools.items() if pool.spot}
    there = {service.name for service, pod in _pods() if pod["spec"]["nodeSelector"][POOL] in spot}
    assert there == {service.name for service in PLACED.services if service.traffic == "batch"} != set()


def test_batch_work_ranks_below_everything_that_players_wait_for() -> None:
    values = {each["metadata"]["name"]: each["value"] for each in priorities()}
    ranks = {service.name: values[pod["spec"]["priorityClassName"]] for service, pod in _pods()}
    batch = {service.name for service in PLACED.services if service.traffic == "batch"}
    assert max(ranks[name] for name in batch) < min(ranks[name] for name in ranks.keys() - batch)


def test_without_pools_pods_go_where_there_is_room() -> None:
    for placed in example():
        for service in placed.services:
            assert not {"nodeSelector", "tolerations"} & _pod(placed, service)["spec"].keys()
