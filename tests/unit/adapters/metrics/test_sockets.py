"""Open sockets as pods count them: who does not say is never taken for one without any (S6.7)."""

from __future__ import annotations

import pytest
from tests.support.small_cluster import INTENT, SERVICE
from tests.unit.adapters.metrics.test_pods import NEW, OLD, page, running

from croupier.adapters.metrics.sockets import PodSockets, read_sockets
from croupier.errors import Unreachable


def counting(sockets: int) -> str:
    return f"{page(10, 0)}# TYPE croupier_open_sockets gauge\ncroupier_open_sockets {sockets}\n"


async def test_all_pods_of_a_version_count_and_one_without_an_address_has_none() -> None:
    async with running() as (town, metrics, _):
        town.pages = {"127.0.0.1": counting(3), "127.0.0.2": counting(4), "127.0.0.3": counting(0)}
        sockets = PodSockets(metrics._cluster, town.fleet)
        assert await sockets.count(SERVICE) == {OLD: 7, NEW: 0, INTENT: 0}
        await sockets.aclose()


@pytest.mark.parametrize("silent", [{}, {"127.0.0.2": page(10, 0)}, {"127.0.0.2": "<html>sign in</html>"}])
async def test_a_version_of_which_one_pod_does_not_say_is_not_counted(silent: dict[str, str]) -> None:
    async with running() as (town, metrics, _):
        town.pages = {"127.0.0.1": counting(0), "127.0.0.3": counting(5), **silent}
        sockets = PodSockets(metrics._cluster, town.fleet)
        assert await sockets.count(SERVICE) == {NEW: 5, INTENT: 0}
        await sockets.aclose()


async def test_nobody_counts_where_no_page_answers_or_nobody_knows_the_pods() -> None:
    async with running() as (town, metrics, _):
        sockets = PodSockets(metrics._cluster, town.fleet)
        assert await sockets.count(SERVICE) == {INTENT: 0}, "the intent rests: it has no pods"
        await sockets.aclose()
    async with running() as (town, metrics, _):
        town.fleet.unreachable = True
        sockets = PodSockets(metrics._cluster, town.fleet)
        with pytest.raises(Unreachable):
            await sockets.count(SERVICE)
        await sockets.aclose()


def test_sockets_of_all_labels_are_added_up_and_what_is_no_number_is_none() -> None:
    assert read_sockets('croupier_open_sockets{path="/a"} 2\ncroupier_open_sockets{path="/b"} 3\n') == 5
    assert read_sockets("croupier_open_sockets NaN\n") is None
    assert read_sockets("croupier_open_sockets{ 3\n") is None
