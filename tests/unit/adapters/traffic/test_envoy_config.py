"""Envoy's configuration as values. Envoy itself reads it in tests/contracts."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from croupier.adapters.traffic import envoy_config
from croupier.adapters.traffic.envoy_config import MESH, PUBLIC, windows
from croupier.model.service import Platform, Service
from croupier.model.traffic import WHOLE, ArmBackend, Endpoint, Split

STABLE = "sha256:" + "a" * 64
CANARY = "sha256:" + "b" * 64
HOST = Endpoint(host="127.0.0.1", port=8_001)


def split_of(weight: int, offset: int, *, service: str = "payments-api") -> Split:
    return Split(
        service=service,
        run="r-0001",
        revision=2,
        stable=ArmBackend(digest=STABLE, weight=100 - weight, endpoints=(HOST,)),
        canary=ArmBackend(digest=CANARY, weight=weight, endpoints=(HOST,)),
        offset=offset,
    )


def canary_slots(split: Split) -> set[int]:
    slots: set[int] = set()
    begin = 0
    for backend, size in windows(split):
        if backend.digest == CANARY:
            slots |= set(range(begin, begin + size))
        begin += size
    return slots


@given(weight=st.integers(0, 100), offset=st.integers(0, 3 * WHOLE))
def test_the_ring_is_always_whole_and_the_window_is_where_it_is_promised(weight: int, offset: int) -> None:
    split = split_of(weight, offset)
    assert sum(size for _, size in windows(split)) == WHOLE
    assert all(size > 0 for _, size in windows(split))
    assert canary_slots(split) == {(offset + i) % WHOLE for i in range(weight * 100)}


@given(lower=st.integers(0, 100), higher=st.integers(0, 100), offset=st.integers(0, WHOLE - 1))
def test_a_step_up_only_adds_slots(lower: int, higher: int, offset: int) -> None:
    """S4.5."""
    lower, higher = sorted((lower, higher))
    assert canary_slots(split_of(lower, offset)) <= canary_slots(split_of(higher, offset))


def routes_of(listener: str, *services: Service) -> list[tuple[str, str]]:
    """(prefix, name) in the order in which Envoy tries them."""
    table = {service.name: (service, split_of(5, 0, service=service.name)) for service in services}
    document = json.loads(json.dumps(envoy_config.routes(listener, table)))
    (configuration,) = document["resources"]
    return [(route["match"]["prefix"], route["name"]) for route in configuration["virtual_hosts"][0]["routes"]]


def test_the_longest_prefix_comes_first_and_webhooks_have_their_own_name() -> None:
    casino = Service(name="casino", replicas=1, routes=("/",))
    payments = Service(name="payments-api", replicas=1, routes=("/payments/",))
    assert routes_of(PUBLIC, casino, payments) == [
        ("/payments/webhooks/", "payments-api:webhook"),
        ("/payments/", "payments-api"),
        ("/webhooks/", "casino:webhook"),
        ("/", "casino"),
    ]


def test_upgrades_of_a_websocket_service_have_a_route_of_their_own_before_the_plain_one() -> None:
    """S6.7: the same ring for both, so that a player's sockets and requests are with one version."""
    tables = Service(name="tables", replicas=2, routes=("/tables/",), traffic="websocket", timeout_seconds=3600.0)
    table = {"tables": (tables, split_of(5, 0, service="tables"))}
    (configuration,) = json.loads(json.dumps(envoy_config.routes(PUBLIC, table)))["resources"]
    hook, socket, plain = configuration["virtual_hosts"][0]["routes"]
    assert [route["name"] for route in (hook, socket, plain)] == ["tables:webhook", "tables:socket", "tables"]
    for key in ("weighted_clusters", "hash_policy"):
        assert socket["route"][key] == plain["route"][key]
    assert socket["route"]["idle_timeout"] == "3600s"
    assert plain["route"]["timeout"] == "15s", "what may be silent for an hour is no reason to wait an hour"


def test_breakers_let_through_what_pods_are_declared_to_hold() -> None:
    """S8.7: Envoy's own limit of 1,024 would stop the 1,025th WebSocket."""
    tables = Service(name="tables", replicas=3, routes=("/tables/",), traffic="websocket", sockets=10_000)
    (cluster,) = json.loads(json.dumps(envoy_config.clusters(Path("/edge/d"), [(tables, STABLE)])))["resources"]
    (limits,) = cluster["circuit_breakers"]["thresholds"]
    assert min(limits["max_connections"], limits["max_requests"]) >= 3 * 10_000
    assert envoy_config.declared_sockets(Platform(services=(tables,))) == 30_000


def test_a_declared_webhook_route_is_taken_as_it_is() -> None:
    hooks = Service(name="hooks", replicas=1, routes=("/psp/webhooks/",))
    assert routes_of(PUBLIC, hooks) == [("/psp/webhooks/", "hooks:webhook")]


def test_internal_services_are_on_the_mesh_only() -> None:
    wallet = Service(name="wallet", replicas=1, routes=("/wallet/",), internal=True)
    assert routes_of(PUBLIC, wallet) == []
    assert ("/wallet/", "wallet") in routes_of(MESH, wallet)


def test_equal_content_has_an_equal_version(tmp_path: Path) -> None:
    service = Service(name="bets", replicas=2, routes=("/bets/",))
    once = envoy_config.clusters(tmp_path, [(service, STABLE), (service, CANARY)])
    again = envoy_config.clusters(tmp_path, [(service, CANARY), (service, STABLE), (service, STABLE)])
    assert once == again
    assert once["version_info"] != envoy_config.clusters(tmp_path, [(service, STABLE)])["version_info"]


def test_weights_and_endpoints_are_no_part_of_a_cluster() -> None:
    """A cluster that changed would be warmed again in the middle of a release."""
    service = Service(name="bets", replicas=2, routes=("/bets/",))
    text = json.dumps(envoy_config.clusters(Path("/edge/d"), [(service, STABLE)]))
    assert "weight" not in text
    assert str(HOST.port) not in text


def test_a_service_for_webhooks_gets_them_whatever_it_is_called() -> None:
    """Not the site, because its name comes first and its own webhooks would be there: PSPs' callbacks would be lost."""
    site = Service(name="a-site", replicas=1, routes=("/", "/psp/"))
    hooks = Service(name="hooks", replicas=1, routes=("/webhooks/", "/psp/webhooks/"))
    for services in ((site, hooks), (hooks, site)):
        found = routes_of(PUBLIC, *services)
        assert found == [
            ("/psp/webhooks/", "hooks:webhook"),
            ("/webhooks/", "hooks:webhook"),
            ("/psp/", "a-site"),
            ("/", "a-site"),
        ]
