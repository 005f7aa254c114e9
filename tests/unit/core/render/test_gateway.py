"""What players come through: who can be told what, by which object, and what is refused (S8.1-S8.7, S14.6)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any, get_args

import pytest
from click.testing import CliRunner
from tests.support import quick_yaml
from tests.support.platforms import EDGE, GATEWAYS, example, fronted, manifests

from croupier.cli.root import cli
from croupier.core.policy.catalogue import RULES
from croupier.core.policy.check import check
from croupier.core.render.network import doors
from croupier.model.edge import Edge, RateLimit, RouteBreaker, Sticky
from croupier.model.gateway import GATEWAY_API, SAYS, Feature, Target, able
from croupier.model.platform import PlacedCell
from croupier.spec.edge import edge_flaws, gateway_flaw, gateway_notes
from croupier.spec.manifests import read_text

PAGE = Path(__file__).parents[4] / "docs" / "how-to" / "gateway.md"


def _objects(cells: Iterable[PlacedCell]) -> list[dict[str, Any]]:
    return [each for text in manifests(cells).values() for each in quick_yaml.load_all(text)]


def _all(objects: Iterable[dict[str, Any]], kind: str, name: str | None = None) -> list[dict[str, Any]]:
    return [each for each in objects if each["kind"] == kind and name in (None, each["metadata"]["name"])]


def _specs(target: Target, kind: str, name: str, **of_edge: Any) -> list[dict[str, Any]]:
    return [each["spec"] for each in _all(_objects(fronted(target, **of_edge)), kind, name)]


@pytest.mark.parametrize("target", get_args(Target))
def test_what_is_rendered_for_a_gateway_passes_every_rule(target: Target) -> None:
    """But for what the old Ingress and Istio's own kinds are not told unasked: TLS to what is behind them, and how
    large a request may be.
    """
    held = [each for name, text in manifests(fronted(target)).items() for each in read_text(text, name).manifests]
    usual = [each for each in RULES.values() if each.usual]
    family = {"nginxIngress": "ingress", "istio": "gateway"}.get(target)
    left = {f"{family}-backend-tls", f"{family}-body-size"} if family else set()
    assert {each.rule.id for each in check(held, usual)} == left


def test_a_gateway_of_somebody_else_is_told_nothing() -> None:
    plain = _objects(example())
    assert not _all(plain, "Gateway")
    assert not [each for each in plain if "envoyproxy" in each["apiVersion"] or "istio" in each["apiVersion"]]


@pytest.mark.parametrize("target", GATEWAY_API)
def test_only_routes_of_its_own_cell_hang_on_a_hostname(target: Target) -> None:
    """S1.4: another tenant cannot take over a hostname by a route of its own."""
    for each in fronted(target):
        (gateway,) = _all(_objects([each]), "Gateway")
        plain, *listeners = gateway["spec"]["listeners"]
        assert plain["allowedRoutes"] == {"namespaces": {"from": "Same"}}
        assert [listener["hostname"] for listener in listeners] == list(each.cell.hostnames)
        for listener in listeners:
            selector = listener["allowedRoutes"]["namespaces"]["selector"]["matchLabels"]
            assert selector == {"kubernetes.io/metadata.name": each.cell.namespace}
            assert [secret["name"] for secret in listener["tls"]["certificateRefs"]] == [f"{each.cell.name}-tls"]


def test_who_comes_in_the_clear_is_sent_to_tls() -> None:
    (route, *_) = _all(_objects(fronted("gatewayApi")), "HTTPRoute")
    assert route["spec"]["parentRefs"][0]["sectionName"] == "http"
    (redirect,) = route["spec"]["rules"][0]["filters"]
    assert redirect["requestRedirect"] == {"scheme": "https", "statusCode": 301}


def test_http2_and_http3_are_spoken_where_they_are_asked_for() -> None:
    """S8.2."""
    for spec in _specs("envoyGateway", "ClientTrafficPolicy", "web"):
        assert spec["http3"] == {}
        assert spec["tls"]["alpnProtocols"] == ["h2", "http/1.1"]


def test_the_gateway_shows_a_certificate_to_what_is_behind_it() -> None:
    """S8.1: mTLS."""
    for gateway in _specs("gatewayApi", "Gateway", "web"):
        assert gateway["tls"]["backend"]["clientCertificateRef"]["name"] == "gateway-client"


@pytest.mark.parametrize("released_by", ["croupier", "kubernetes"])
def test_browsers_are_told_of_tls_and_pods_asked_by_it(released_by: str) -> None:
    """S8.1, S8.3: the operator makes of the policy what is rendered where it is not."""
    objects = _objects(fronted("gatewayApi", released_by=released_by))
    if released_by == "croupier":
        for policy in _all(objects, "ReleasePolicy", "payments-api"):
            assert policy["spec"]["route"]["hsts"] == {"includeSubDomains": True}
            assert policy["spec"]["route"]["tls"] == {
                "port": 8443,
                "hostname": f"payments-api.{policy['metadata']['namespace']}.svc",
                "ca": "cell-ca",
            }
        assert not _all(objects, "BackendTLSPolicy")
        return
    for route in _all(objects, "HTTPRoute", "payments-api"):
        (rule,) = route["spec"]["rules"]
        (header,) = rule["filters"][0]["responseHeaderModifier"]["set"]
        assert header == {"name": "Strict-Transport-Security", "value": "max-age=31536000; includeSubDomains"}
        assert rule["backendRefs"] == [{"name": "payments-api", "port": 443}]
    for policy in _all(objects, "BackendTLSPolicy", "payments-api"):
        (target,) = policy["spec"]["targetRefs"]
        assert (target["name"], target["sectionName"]) == ("payments-api", "https")
    (service, *_) = _all(objects, "Service", "payments-api")
    assert {each["name"]: each["targetPort"] for each in service["spec"]["ports"]} == {"http": "http", "https": "https"}


@pytest.mark.parametrize(
    ("target", "namespace"),
    [("envoyGateway", "envoy-gateway-system"), ("gatewayApi", "gateway"), ("istio", "gateway")],
)
def test_the_door_is_open_to_the_pods_of_the_gateway_at_the_port_they_ask(target: Target, namespace: str) -> None:
    """Prevents: a wall between the gateway and the pods because its pods run elsewhere than the Gateway lies, or
    because the route changes to TLS, or back, a moment later than the wall."""
    placed = fronted(target)[0]
    payments = next(each for each in placed.services if each.name == "payments-api")
    first = doors(placed, payments)["spec"]["ingress"][0]
    assert first["from"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}]
    assert [each["port"] for each in first["ports"]] == [payments.port, 8443]


@pytest.mark.parametrize("released_by", ["croupier", "kubernetes"])
def test_a_breaker_lets_through_what_all_pods_together_hold(released_by: str) -> None:
    """S8.7; prevents the 1,025th WebSocket from waiting for nothing. 60 pods at most, 200 each."""
    (spec, *_) = _specs("envoyGateway", "BackendTrafficPolicy", "payments-api", released_by=released_by)
    assert spec["targetRefs"] == [{"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "payments-api"}]
    bounds = {spec["circuitBreaker"][key] for key in ("maxConnections", "maxParallelRequests", "maxPendingRequests")}
    assert bounds == {60 * 200}
    # A pod that is left out is not counted: gates must see what the new version does.
    assert ("healthCheck" in spec) == (released_by == "kubernetes")


def test_a_quiet_socket_lives_as_long_as_a_websocket_may() -> None:
    """S6.7: without it, five minutes without a word end a game."""
    cells = [
        each.model_copy(
            update={
                "services": tuple(
                    service.model_copy(update={"traffic": "websocket", "timeout_seconds": 3600.0, "edge": Edge()})
                    for service in each.services
                )
            }
        )
        for each in fronted("envoyGateway")
    ]
    (policy, *_) = _all(_objects(cells), "BackendTrafficPolicy", "payments-api")
    assert policy["spec"]["timeout"] == {"http": {"maxStreamDuration": "3600s", "streamIdleTimeout": "3600s"}}


@pytest.mark.parametrize("target", ["envoyGateway", "istio"])
def test_sockets_of_all_pods_come_through_where_nobody_says_how_many(target: Target) -> None:
    """S8.7: what a pod declares that it holds, times the most pods; else the 1,025th player waits for nothing."""
    held = {"traffic": "websocket", "sockets": 5000, "edge": Edge()}
    cells = [
        each.model_copy(update={"services": tuple(service.model_copy(update=held) for service in each.services)})
        for each in fronted(target)
    ]
    kind = "BackendTrafficPolicy" if target == "envoyGateway" else "DestinationRule"
    (made, *_) = _all(_objects(cells), kind, "payments-api")
    spec = made["spec"]
    bound = spec["circuitBreaker"] if target == "envoyGateway" else spec["trafficPolicy"]["connectionPool"]["tcp"]
    assert bound["maxConnections"] == 60 * 5000


def _held(target: Target, released_by: str | None = None) -> list[PlacedCell]:
    """With sockets, and nothing else asked of the gateway."""
    return [
        each.model_copy(
            update={
                "services": tuple(
                    service.model_copy(update={"traffic": "websocket", "edge": Edge(breaker=RouteBreaker(per_pod=50))})
                    for service in each.services
                )
            }
        )
        for each in fronted(target, released_by=released_by)
    ]


BY = {
    "cookie": Sticky(keep_seconds=600),
    "header": Sticky(by="header", name="X-Player"),
    "address": Sticky(by="address"),
}


@pytest.mark.parametrize(
    ("by", "wanted"),
    [
        ("cookie", {"type": "Cookie", "cookie": {"name": "croupier-pod", "ttl": "600s"}}),
        ("header", {"type": "Header", "header": {"name": "X-Player"}}),
        ("address", {"type": "SourceIP"}),
    ],
)
@pytest.mark.parametrize("released_by", ["croupier", "kubernetes"])
def test_envoy_gateway_sends_players_back_to_their_pod(by: str, wanted: Any, released_by: str) -> None:
    """S6.7: also where croupier moves weights, since it is told of the route and not of a version's Service."""
    (spec, *_) = _specs("envoyGateway", "BackendTrafficPolicy", "lobby", sticky=BY[by], released_by=released_by)
    assert spec["loadBalancer"] == {"type": "ConsistentHash", "consistentHash": wanted}


@pytest.mark.parametrize(
    ("by", "wanted"),
    [
        ("cookie", {"httpCookie": {"name": "croupier-pod", "path": "/", "ttl": "600s"}}),
        ("header", {"httpHeaderName": "X-Player"}),
        ("address", {"useSourceIp": True}),
    ],
)
def test_istio_sends_players_back_to_their_pod_by_tls_too(by: str, wanted: Any) -> None:
    """S6.7: a port with settings of its own has none of the others'."""
    (spec, *_) = _specs("istio", "DestinationRule", "lobby", sticky=BY[by])
    policy = spec["trafficPolicy"]
    assert policy["loadBalancer"] == {"consistentHash": wanted}
    assert policy["portLevelSettings"][0]["loadBalancer"] == policy["loadBalancer"]


@pytest.mark.parametrize(
    ("by", "wanted"),
    [
        ("cookie", {"affinity": "cookie", "session-cookie-name": "croupier-pod", "session-cookie-max-age": "600"}),
        ("header", {"upstream-hash-by": "$http_x_player"}),
        ("address", {"upstream-hash-by": "$binary_remote_addr"}),
    ],
)
def test_the_old_ingress_sends_players_back_to_their_pod(by: str, wanted: dict[str, str]) -> None:
    (ingress, *_) = _all(_objects(fronted("nginxIngress", sticky=BY[by])), "Ingress", "lobby")
    held = ingress["metadata"]["annotations"]
    assert {f"nginx.ingress.kubernetes.io/{key}": value for key, value in wanted.items()}.items() <= held.items()


@pytest.mark.parametrize("target", ["envoyGateway", "istioGateway", "istio", "nginxIngress"])
def test_players_with_sockets_stay_unasked_and_the_rules_see_it(target: Target) -> None:
    """S6.7: labels of pods say that players hold connections to them, and nothing is left to find for ``sticky``."""
    held = [
        each
        for name, text in manifests(_held(target, "kubernetes")).items()
        for each in read_text(text, name).manifests
    ]
    assert not list(check(held, [RULES["sticky"]]))
    bare = [each for each in held if each.kind not in ("BackendTrafficPolicy", "DestinationRule", "Ingress")]
    found = {bare[each.index].name.rpartition("/")[2] for each in check(bare, [RULES["sticky"]])}
    assert found == {"lobby", "payments-api"}  # what callers hold connections to has a Service that keeps them


def test_any_pod_will_do_where_that_is_said() -> None:
    held = Edge(sticky=Sticky(by="nothing"))
    assert _first("gatewayApi", "croupier", held) == []
    sockets = {"traffic": "websocket", "edge": Edge()}
    placed = example()[0]
    service = next(each for each in placed.services if each.name == "lobby").model_copy(update=sockets)
    (flaw,) = edge_flaws(service, placed.region, "north")
    assert (flaw.location, flaw.hint) == (
        ("traffic",),
        "envoyGateway can; where any pod will do, say edge.sticky: {by: nothing}",
    )
    assert not list(edge_flaws(service.model_copy(update={"edge": held}), placed.region, "north"))


@pytest.mark.parametrize(
    ("by", "selectors"),
    [("address", ["0.0.0.0/0", "::/0"]), ("everybody", [None])],
)
def test_a_rate_is_limited_by_address_or_for_everybody(by: Any, selectors: list[str | None]) -> None:
    """S8.4."""
    (spec, *_) = _specs("envoyGateway", "BackendTrafficPolicy", "lobby", rate_limit=RateLimit(requests=9, by=by))
    rules = spec["rateLimit"]["local"]["rules"]
    assert [each["limit"] for each in rules] == [{"requests": 9, "unit": "Second"}] * len(selectors)
    found = [each["clientSelectors"][0]["sourceCIDR"]["value"] if by == "address" else None for each in rules]
    assert found == selectors


def test_retries_have_a_budget_and_never_follow_what_was_heard() -> None:
    """S8.6."""
    (envoy, *_) = _specs("envoyGateway", "BackendTrafficPolicy", "payments-api")
    assert envoy["circuitBreaker"]["retryBudget"]["percent"] == {"numerator": 20}
    assert envoy["retry"]["retryOn"] == {"triggers": ["connect-failure", "refused-stream", "reset-before-request"]}
    (route, *_) = _specs("istio", "VirtualService", "payments-api")
    (destination, *_) = _specs("istio", "DestinationRule", "payments-api")
    assert route["http"][0]["retries"]["retryOn"] == "connect-failure,refused-stream,reset-before-request"
    assert destination["trafficPolicy"]["retryBudget"] == {"percent": 20, "minRetryConcurrency": 3}


def test_istio_repeats_nothing_where_nothing_is_declared() -> None:
    """S7.5: by itself it sends an order of money again after a 503."""
    for spec in _specs("istio", "VirtualService", "payments-api", retries=None):
        assert spec["http"][0]["retries"] == {"attempts": 0}


def test_istio_takes_whole_segments_and_only_hosts_of_the_cell() -> None:
    (spec, *_) = _specs("istio", "VirtualService", "payments-api")
    assert spec["http"][0]["match"] == [{"uri": {"exact": "/payments"}}, {"uri": {"prefix": "/payments/"}}]
    for gateway in _all(_objects(fronted("istio")), "Gateway"):
        assert all("/" in host for server in gateway["spec"]["servers"] for host in server["hosts"])


def test_a_limit_of_istio_is_of_one_route() -> None:
    """The name of the route in the VirtualService is where the filter finds it."""
    for cells in ([each] for each in fronted("istio")):
        objects = _objects(cells)
        names = {each["spec"]["http"][0]["name"] for each in _all(objects, "VirtualService")}
        every, *each_route = _all(objects, "EnvoyFilter")
        assert every["metadata"]["name"] == "rate-limits"
        patched = {
            each["spec"]["configPatches"][0]["match"]["routeConfiguration"]["vhost"]["route"]["name"]
            for each in each_route
        }
        assert patched == names == {each["metadata"]["name"] for each in each_route}


def test_the_old_ingress_has_its_canary_by_annotations(tmp_path: Path) -> None:
    """S14.6: the share of the first step, and a warning."""
    for path in (Path(__file__).parents[4] / "examples" / "reference").glob("*.yaml"):
        text = path.read_text().replace(
            "gateway: {name: web, namespace: gateway}",
            "releasedBy: kubernetes, gateway: {name: nginx, namespace: ingress-nginx, target: nginxIngress}"
            if "{zones" in path.read_text()
            else "gateway: {name: nginx, namespace: ingress-nginx, target: nginxIngress}\n    releasedBy: kubernetes",
        )
        (tmp_path / path.name).write_text(text)
    done = CliRunner().invoke(cli, ["template", "payments-api", "--platform", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "note: ingress-nginx was retired in March 2026" in done.stderr
    ingresses = _all(quick_yaml.load_all(done.stdout), "Ingress")
    first, canary = (each["metadata"] for each in ingresses)
    nginx = "nginx.ingress.kubernetes.io"
    assert (first["name"], canary["name"]) == ("payments-api", "payments-api-canary")
    assert f"{nginx}/canary" not in first["annotations"]
    assert canary["annotations"][f"{nginx}/canary"] == "true"
    assert canary["annotations"][f"{nginx}/canary-weight"] == "5"
    backend = ingresses[1]["spec"]["rules"][0]["http"]["paths"][0]["backend"]["service"]["name"]
    assert backend == "payments-api-canary"


def _first(target: Target, released_by: str, edge: Edge) -> list[str]:
    placed = fronted(target, released_by=released_by)[0]
    service = next(each for each in placed.services if each.name == "lobby").model_copy(update={"edge": edge})
    return [f"{each.message}; {each.hint}" for each in edge_flaws(service, placed.region, placed.cell.region)]


@pytest.mark.parametrize("released_by", ["croupier", "kubernetes"])
@pytest.mark.parametrize("target", get_args(Target))
def test_every_feature_is_rendered_or_refused_with_who_can(target: Target, released_by: str) -> None:
    """The table of ``model.gateway`` and what the check says agree, for every field of ``edge``."""
    if target not in able("releasedBy: croupier", "croupier") and released_by == "croupier":
        return
    asked: dict[Feature, dict[str, Any]] = {
        "edge.hsts": {"hsts": EDGE.hsts},
        "edge.rateLimit": {"rate_limit": RateLimit(requests=5, by="everybody")},
        "edge.rateLimit by address": {"rate_limit": RateLimit(requests=5)},
        "edge.retries": {"retries": EDGE.retries},
        "edge.breaker": {"breaker": RouteBreaker(per_pod=5)},
        "edge.backendTls": {"backend_tls": EDGE.backend_tls},
        "edge.sticky": {"sticky": EDGE.sticky},
    }
    for feature, fields in asked.items():
        can = able(feature, released_by)
        said = _first(target, released_by, Edge(**fields))
        assert (said == []) == (target in can), (feature, said)
        assert all(feature in each and each.endswith(f"{', '.join(can)} can") for each in said)
    assert {each for each in SAYS if each.startswith("edge.")} == asked.keys()


def test_more_hostnames_than_a_gateway_has_listeners_are_refused() -> None:
    (placed, *_) = fronted("gatewayApi")
    cell = placed.cell.model_copy(update={"hostnames": tuple(f"h{number}.example" for number in range(16))})
    many = [placed.model_copy(update={"cell": cell})] * 4
    assert gateway_flaw("north", placed.region.gateway, many[:3]) is None
    flaw = gateway_flaw("north", placed.region.gateway, many)
    assert flaw is not None and "65 listeners" in flaw.message


def test_who_makes_certificates_and_what_istio_does_unasked_is_noted() -> None:
    (placed, *_) = fronted("istioGateway", issuer=None)
    region = placed.region
    certificate, repeats = gateway_notes("north", region, "x.yaml:1:1", [placed])
    assert f"{placed.cell.name}-tls in gateway" in certificate
    assert "defaultHttpRetryPolicy" in repeats and "payments-api moves money" in repeats
    (placed, *_) = fronted("gatewayApi")
    assert list(gateway_notes("north", placed.region, "x.yaml:1:1", [placed])) == []


def test_the_page_has_every_feature_and_every_target() -> None:
    text = PAGE.read_text()
    for feature, targets in SAYS.items():
        row = next(line for line in text.splitlines() if line.startswith(f"| `{feature}` |"))
        cells = [each.strip() for each in row.strip("|").split("|")][1:]
        for target, cell in zip(get_args(Target), cells, strict=True):
            assert (cell not in ("", "–")) == (target in targets), (feature, target)
            if target in targets:
                assert targets[target].by.replace("nginx.ingress.kubernetes.io/", "…/") in cell.replace("`", "")


def test_every_target_has_a_platform_here() -> None:
    assert GATEWAYS.keys() == set(get_args(Target))
