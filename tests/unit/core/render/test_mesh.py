"""A mesh: who is in it, that nobody speaks in the clear, how callers reach a service, who is outside (S8.5-S8.9)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

import pytest
import yaml
from tests.support import quick_yaml
from tests.support.platforms import manifests, meshed

from croupier.core.policy.catalogue import RULES
from croupier.core.policy.check import check
from croupier.core.render.cell import objects
from croupier.engine.schemas import checked
from croupier.model.edge import BackendTls, RouteBreaker, RouteRetries
from croupier.model.mesh import Calls, Mesh
from croupier.model.platform import PlacedCell
from croupier.model.release_policy import MetricsSource, PodMetrics
from croupier.model.schemas import NEWEST
from croupier.model.service_spec import ReleaseSettings, ServiceSpec
from croupier.spec.manifests import read_text
from croupier.spec.mesh import mesh_flaws, mesh_notes

Mode = Literal["ambient", "sidecar"]
MODES: tuple[Mode, ...] = ("ambient", "sidecar")
BOTH = [(mode, by) for mode in MODES for by in ("croupier", "kubernetes")]


def _objects(cells: Iterable[PlacedCell]) -> list[dict[str, Any]]:
    return [each for text in manifests(cells).values() for each in quick_yaml.load_all(text)]


def _all(objects: Iterable[dict[str, Any]], kind: str, name: str | None = None) -> list[dict[str, Any]]:
    return [each for each in objects if each["kind"] == kind and name in (None, each["metadata"]["name"])]


def _one(objects: Iterable[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = _all(objects, kind, name)
    return found


def _cell(mode: Mode, released_by: str = "croupier") -> list[dict[str, Any]]:
    return _objects(meshed(mode, released_by=released_by)[:1])


@pytest.mark.parametrize(("mode", "released_by"), BOTH)
def test_what_is_rendered_for_a_mesh_passes_every_rule_and_schema(mode: Mode, released_by: str) -> None:
    cells = meshed(mode, released_by=released_by)
    held = [each for name, text in manifests(cells).items() for each in read_text(text, name).manifests]
    # What routes do for players is asked of the gateway, by the same rules (test_gateway.py).
    asked = [each for each in RULES.values() if each.usual and not each.id.startswith("gateway-")]
    found = {each.rule.id for each in check(held, asked)}
    # A note: which hosts the services of the example call, only their code says.
    assert found == ({"egress-unused"} if mode == "sidecar" else set())
    checked(objects(cells), NEWEST)


@pytest.mark.parametrize("mode", MODES)
def test_nobody_speaks_in_the_clear_but_who_reads_counters(mode: Mode) -> None:
    """S8.8: TLS by default inside the cluster."""
    made = _cell(mode)
    spaces = {each["metadata"]["namespace"] for each in _all(made, "PeerAuthentication", "default")}
    assert spaces == {"lucky-mt", "psp-egress"}
    for each in _all(made, "PeerAuthentication"):
        assert each["spec"]["mtls"] == {"mode": "STRICT"}
    counted = _one(made, "PeerAuthentication", "wallet")["spec"]
    assert counted["portLevelMtls"] == {"9090": {"mode": "PERMISSIVE"}}
    assert counted["selector"] == {"matchLabels": {"app.kubernetes.io/name": "wallet"}}


@pytest.mark.parametrize(
    ("mode", "label"),
    [("ambient", ("istio.io/dataplane-mode", "ambient")), ("sidecar", ("istio-injection", "enabled"))],
)
def test_namespaces_of_cells_and_of_egress_gateways_are_in_the_mesh(mode: Mode, label: tuple[str, str]) -> None:
    for name in ("lucky-mt", "psp-egress"):
        labels = _one(_cell(mode), "Namespace", name)["metadata"]["labels"]
        assert label in labels.items()
        assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_one_of_several_control_planes_injects() -> None:
    assert Mesh(mode="sidecar", revision="canary").labels == {"istio.io/rev": "canary"}


def _ports(policy: dict[str, Any], direction: str) -> list[set[int]]:
    return [{port["port"] for port in each.get("ports", ())} for each in policy["spec"][direction]]


def test_walls_let_the_tunnel_of_ambient_mode_through_both_ways_and_probes_in() -> None:
    """A network policy sees port 15008, whatever port is meant."""
    made = _cell("ambient")
    for name in ("lobby", "wallet", "payments-api"):
        policy = _one([each for each in made if each["metadata"].get("namespace") == "lucky-mt"], "NetworkPolicy", name)
        assert all(15008 in ports for ports in _ports(policy, "ingress"))
    lobby = _one(made, "NetworkPolicy", "lobby")
    assert all(15008 in ports for ports in _ports(lobby, "egress"))
    for wall in _all(made, "NetworkPolicy", "allow-mesh"):
        assert wall["spec"]["ingress"] == [{"from": [{"ipBlock": {"cidr": "169.254.7.127/32"}}]}]


def test_walls_let_sidecars_ask_for_their_certificates() -> None:
    made = _cell("sidecar")
    for wall in _all(made, "NetworkPolicy", "allow-mesh"):
        (rule,) = wall["spec"]["egress"]
        assert rule["ports"] == [{"port": 15012, "protocol": "TCP"}]
        assert rule["to"][0]["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": "istio-system"}}
    assert "15008" not in yaml.safe_dump_all(_all(made, "NetworkPolicy"))


def test_a_quota_has_room_for_sidecars_which_say_what_they_ask_for() -> None:
    """Without it pods of a full cell are refused: a sidecar counts like any container."""
    plain, mesh = (
        _one(_objects(cells), "ResourceQuota", "demand")["spec"]["hard"]
        for cells in (meshed("ambient")[:1], meshed("sidecar")[:1])
    )
    pods = int(plain["pods"])
    assert int(mesh["requests.cpu"][:-1]) - int(plain["requests.cpu"][:-1]) == 100 * pods
    assert int(mesh["requests.memory"][:-2]) - int(plain["requests.memory"][:-2]) == 128 * pods
    template = _one(_cell("sidecar"), "Deployment", "lobby")["spec"]["template"]["metadata"]["annotations"]
    assert template["sidecar.istio.io/proxyCPU"] == "100m"
    assert template["sidecar.istio.io/proxyMemoryLimit"] == "128Mi"


def test_callers_give_up_in_time_and_ask_again_only_where_that_is_declared() -> None:
    """S8.6, S7.5: Istio asks again by itself, after 503, too. Where retries are declared, callers are not split."""
    made = _cell("sidecar")
    assert "mesh" not in _one(made, "ReleasePolicy", "wallet")["spec"]
    (wallet,) = _one(made, "VirtualService", "wallet-calls")["spec"]["http"]
    assert (wallet["timeout"], wallet["retries"]["attempts"], wallet["retries"]["perTryTimeout"]) == ("5s", 1, "2s")
    assert wallet["route"][0]["destination"]["host"] == "wallet.lucky-mt.svc.cluster.local"
    cells = _with(meshed("sidecar", released_by="kubernetes")[:1], "wallet", calls=None)
    (wallet,) = _one(_objects(cells), "VirtualService", "wallet-calls")["spec"]["http"]
    assert (wallet["timeout"], wallet["retries"]) == ("15s", {"attempts": 0})
    assert not _all(made, "VirtualService", "lobby-calls")  # nobody in the cell asks it


def test_callers_are_split_where_croupier_releases_and_told_once() -> None:
    """S8.5. Istio takes one route a host from its mesh: a VirtualService beside it would win, or lose, by its age."""
    cells = _with(meshed("sidecar")[:1], "wallet", calls=Calls(timeout_seconds=5.0))
    made = _objects(cells)
    policy = _one(made, "ReleasePolicy", "wallet")["spec"]
    assert policy["mesh"] == {"timeoutSeconds": 5.0}
    assert policy.get("strategy", {}).get("steps") != [100]  # callers alone are enough for a canary
    assert not _all(made, "VirtualService", "wallet-calls")
    assert _one(made, "DestinationRule", "wallet")
    made = _objects(_with(meshed("sidecar")[:1], "wallet", calls=None))
    assert _one(made, "ReleasePolicy", "wallet")["spec"]["mesh"] == {"timeoutSeconds": 15.0}


@pytest.mark.parametrize("mode", MODES)
def test_nobody_is_split_whom_no_proxy_carries_or_nobody_calls(mode: Mode) -> None:
    made = _cell(mode)
    assert "mesh" not in _one(made, "ReleasePolicy", "lobby")["spec"]  # nobody in the cell asks it
    if mode == "ambient":
        assert not [each for each in _all(made, "ReleasePolicy") if "mesh" in each["spec"]]


def test_what_a_split_of_callers_costs_is_noted() -> None:
    """S7.5: what is not said, Istio does."""
    (placed,) = meshed("sidecar")[:1]
    (note,) = mesh_notes("north", placed.region, "x.yaml:1:1", [placed])
    assert "callers of wallet in region north move all at once" in note
    (note,) = mesh_notes("north", placed.region, "x.yaml:1:1", _with([placed], "wallet", calls=None))
    assert "defaultHttpRetryPolicy.attempts: 0, for wallet moves money" in note
    (placed,) = meshed("sidecar", released_by="kubernetes")[:1]
    assert not list(mesh_notes("north", placed.region, "x.yaml:1:1", [placed]))


def _with(cells: Iterable[PlacedCell], name: str, **fields: object) -> list[PlacedCell]:
    return [
        placed.model_copy(
            update={
                "services": tuple(
                    each.model_copy(update=fields) if each.name == name else each for each in placed.services
                )
            }
        )
        for placed in cells
    ]


@pytest.mark.parametrize(
    ("fields", "to_a_pod"),
    [
        ({}, 1024),
        ({"sockets": 5000}, 5000),
        ({"sockets": 5000, "calls": Calls(breaker=RouteBreaker(per_pod=70))}, 70),
    ],
)
def test_breakers_of_callers_are_sized_by_what_pods_hold(fields: dict[str, object], to_a_pod: int) -> None:
    """S8.7."""
    (placed,) = cells = _with(meshed("sidecar")[:1], "wallet", **{"calls": None, **fields})
    wallet = next(each for each in placed.services if each.name == "wallet")
    policy = _one(_objects(cells), "DestinationRule", "wallet")["spec"]["trafficPolicy"]
    assert policy["connectionPool"]["tcp"]["maxConnections"] == to_a_pod * wallet.most_pods
    assert policy["outlierDetection"]["consecutive5xxErrors"] == 5
    assert policy["tls"] == {"mode": "ISTIO_MUTUAL"}


def test_what_a_gateway_and_callers_are_told_of_a_service_is_one_rule() -> None:
    """Istio takes one DestinationRule a host."""
    cells = _with(meshed("sidecar", released_by="kubernetes")[:1], "lobby", depends_on=("payments-api",))
    edge = {"edge": cells[0].services[0].edge.model_copy(update={"breaker": RouteBreaker(per_pod=9)})}
    made = _objects(_with(cells, "payments-api", **edge))
    policy = _one(made, "DestinationRule", "payments-api")["spec"]["trafficPolicy"]
    assert policy["tls"] == {"mode": "ISTIO_MUTUAL"}
    assert policy["connectionPool"]["tcp"]["maxConnections"] == 9 * 60


def test_in_ambient_mode_nothing_is_told_that_nobody_reads() -> None:
    made = _cell("ambient")
    assert not _all(made, "VirtualService") + _all(made, "DestinationRule") + _all(made, "ServiceEntry")
    template = _one(made, "Deployment", "lobby")["spec"]["template"]["metadata"]["annotations"]
    assert not [key for key in template if "istio" in key]


def test_only_the_egress_gateway_knows_who_is_outside() -> None:
    """S8.9: of each class, and how much each provider takes."""
    made = _cell("sidecar")
    for entry in _all(made, "ServiceEntry"):
        assert entry["metadata"]["namespace"] == "psp-egress"
        assert (entry["spec"]["exportTo"], entry["spec"]["location"]) == (["."], "MESH_EXTERNAL")
    psp = _one(made, "ServiceEntry", "psp-a")["spec"]
    assert psp["hosts"] == ["api.psp-a.example"]
    assert psp["ports"] == [{"number": 443, "name": "tls-443", "protocol": "TLS"}]
    rule = _one(made, "DestinationRule", "psp-a")["spec"]
    assert rule["trafficPolicy"]["connectionPool"] == {"tcp": {"maxConnections": 512}}
    gateway = _one([each for each in made if each["metadata"].get("namespace") == "psp-egress"], "Service", "gateway")
    assert gateway["spec"]["ports"][0]["appProtocol"] == "tcp"  # CONNECT is not for a sidecar to answer


def _said(mode: Mode | None, **fields: object) -> list[str]:
    placed = meshed(mode or "ambient")[0]
    region = placed.region if mode else placed.region.model_copy(update={"mesh": None})
    wallet: ServiceSpec = next(each for each in placed.services if each.name == "wallet")
    return [each.message for each in mesh_flaws(wallet.model_copy(update=fields), region, "north")]


def test_what_a_mesh_cannot_do_is_refused() -> None:
    again = RouteRetries(attempts=1, per_try_seconds=2.0)
    assert _said("sidecar") == []
    assert _said("ambient") == []
    for mode in (None, "ambient"):
        assert "nobody stands between" in _said(mode, calls=Calls())[0]
    assert "user 1337" in _said("sidecar", user=1337)[0]
    assert (
        "TLS of the mesh at every port"
        in _said(
            "sidecar", edge=meshed("sidecar")[0].services[0].edge.model_copy(update={"backend_tls": BackendTls()})
        )[0]
    )
    shared = ReleaseSettings(metrics=MetricsSource(pods=PodMetrics()))
    assert "nobody has a sidecar in croupier and monitoring" in _said("sidecar", release=shared)[0]
    assert "orders of money" in _said("sidecar", calls=Calls(retries=again))[0]
    assert "do not fit" in _said("sidecar", tier="standard", calls=Calls(timeout_seconds=3, retries=again))[0]


def test_who_else_has_to_be_in_an_ambient_mesh_is_noted() -> None:
    placed = meshed("ambient")[0]
    (note,) = mesh_notes("north", placed.region, "x.yaml:1:1", [placed])
    assert "label the namespaces envoy-gateway-system istio.io/dataplane-mode: ambient" in note
    shared = _with([placed], "lobby", release=ReleaseSettings())
    (note,) = mesh_notes("north", placed.region, "x.yaml:1:1", shared)
    assert "croupier, envoy-gateway-system, monitoring" in note
    (placed,) = meshed("sidecar", released_by="kubernetes")[:1]
    assert not list(mesh_notes("north", placed.region, "x.yaml:1:1", [placed]))
