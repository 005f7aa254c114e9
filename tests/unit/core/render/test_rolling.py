"""What ``render`` makes for a region that croupier's operator does not release in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from tests.support import quick_yaml
from tests.support.platforms import TRIGGERS, example, manifests, queued

from croupier.cli.root import cli
from croupier.model.service_spec import NamedPort, Rollout

RENDERED = manifests(example(released_by="kubernetes"))
OBJECTS: list[dict[str, Any]] = [each for text in RENDERED.values() for each in quick_yaml.load_all(text)]


def _of(kind: str) -> dict[str, dict[str, Any]]:
    """Objects of a kind by namespace and name."""
    found = (each for each in OBJECTS if each["kind"] == kind)
    return {f"{each['metadata'].get('namespace')}/{each['metadata']['name']}": each for each in found}


def test_nothing_of_the_operator_is_made() -> None:
    kinds = {each["apiVersion"] for each in OBJECTS}
    assert not any(each.startswith("croupier.dev") for each in kinds)
    assert "croupier.dev/version" not in "".join(RENDERED.values())


def test_a_count_of_pods_is_said_where_no_scaler_says_it() -> None:
    scaled = set(_of("HorizontalPodAutoscaler"))
    assert scaled
    counts = {name: each["spec"].get("replicas") for name, each in _of("Deployment").items()}
    assert {name for name, count in counts.items() if count is None} == scaled
    assert all(count is None or count > 0 for count in counts.values())


def test_a_new_pod_is_ready_before_an_old_one_ends() -> None:
    """S4.1."""
    for each in _of("Deployment").values():
        assert each["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": "25%", "maxUnavailable": 0}
        for spread in each["spec"]["template"]["spec"]["topologySpreadConstraints"]:
            assert spread["matchLabelKeys"] == ["pod-template-hash"]


def _rendered(**of_lobby: object) -> list[dict[str, Any]]:
    """Of the first cell, with other fields of lobby."""
    placed = example(released_by="kubernetes")[0]
    services = tuple(each.model_copy(update=of_lobby) if each.name == "lobby" else each for each in placed.services)
    made = manifests([placed.model_copy(update={"services": services})])
    return [each for text in made.values() for each in quick_yaml.load_all(text)]


def _one(objects: list[dict[str, Any]], kind: str, name: str) -> dict[str, Any]:
    (found,) = (each for each in objects if (each["kind"], each["metadata"]["name"]) == (kind, name))
    return found


def test_how_many_pods_may_be_missing_or_more_is_settable() -> None:
    """S4.2."""
    made = _one(_rendered(rollout=Rollout(max_surge=0, max_unavailable="10%")), "Deployment", "lobby")
    assert made["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": "10%"}


def test_callers_reach_ports_beside_http_by_the_service_and_through_both_walls() -> None:
    """Players do not."""
    placed = example(released_by="kubernetes")[0]
    wallet = next(each for each in placed.services if each.name == "wallet")
    ports = (*wallet.ports, NamedPort(name="grpc", port=9000))
    services = tuple(
        each.model_copy(update={"ports": ports}) if each.name == "wallet" else each for each in placed.services
    )
    made = manifests([placed.model_copy(update={"services": services})])
    objects = [each for text in made.values() for each in quick_yaml.load_all(text)]
    assert {"name": "grpc", "port": 9000, "targetPort": "grpc", "protocol": "TCP"} in _one(
        objects, "Service", "wallet"
    )["spec"]["ports"]
    (asked,) = (
        each["ports"]
        for each in _one(objects, "NetworkPolicy", "wallet")["spec"]["ingress"]
        if "podSelector" in each["from"][0] and "namespaceSelector" not in each["from"][0]
    )
    (asks,) = (
        each["ports"]
        for each in _one(objects, "NetworkPolicy", "lobby")["spec"]["egress"]
        if each["to"] == [{"podSelector": {"matchLabels": {"app.kubernetes.io/name": "wallet"}}}]
    )
    assert [each["port"] for each in asked] == [each["port"] for each in asks] == [wallet.port, 9000]


def test_callers_find_every_service_and_players_what_is_theirs() -> None:
    services, routes = _of("Service"), _of("HTTPRoute")
    assert services.keys() == _of("Deployment").keys()
    assert routes.keys() == {f"lucky-{market}/{name}" for market in ("mt", "se") for name in ("lobby", "payments-api")}
    for name, route in routes.items():
        (rule,) = route["spec"]["rules"]
        assert rule["timeouts"] == {"request": "15s"}
        assert rule["backendRefs"] == [{"name": name.split("/")[1], "port": 80}]
        assert services[name]["spec"]["selector"] == {"app.kubernetes.io/name": name.split("/")[1]}


def test_only_who_scrapes_comes_in_beside_callers() -> None:
    text = "".join(RENDERED.values())
    assert "kubernetes.io/metadata.name: monitoring" in text
    assert "kubernetes.io/metadata.name: croupier" not in text


@pytest.mark.parametrize("region", ["eu-north", "eu-south"])
def test_what_is_made_breaks_no_rule(region: str, tmp_path: Path) -> None:
    """Those of the operator's kind are held to the same in ``test_manifests``."""
    for name, text in RENDERED.items():
        if name.split("/")[1].endswith(region):
            (tmp_path / name.replace("/", "-")).write_text(text)
    checked = CliRunner().invoke(cli, ["policy", "check", str(tmp_path)])
    assert checked.exit_code == 0, checked.output


QUEUED = manifests(queued())


def test_a_queue_scales_by_keda_and_by_nothing_else() -> None:
    """S6.2; what each scaler is asked is of the reference of KEDA 2.21."""
    made = [each for text in QUEUED.values() for each in quick_yaml.load_all(text)]
    scalers = [each for each in made if each["kind"] == "ScaledObject"]
    deployments = [each for each in made if each["kind"] == "Deployment"]
    assert "HorizontalPodAutoscaler" not in {each["kind"] for each in made}
    assert not any("replicas" in each["spec"] for each in deployments)
    assert len(scalers) == len(deployments)
    asked = {each["type"]: each["metadata"] for scaler in scalers for each in scaler["spec"]["triggers"]}
    assert asked == {
        "kafka": {
            "bootstrapServers": "kafka.streams:9092",
            "consumerGroup": "settlement",
            "topic": "bets",
            "lagThreshold": "500",
        },
        "rabbitmq": {"queueName": "payouts", "mode": "QueueLength", "value": "20"},
        "redis": {"address": "redis.streams:6379", "listName": "mails", "listLength": "100"},
        "prometheus": {
            "serverAddress": "http://prometheus.monitoring:9090",
            "query": "sum(queued)",
            "threshold": "12.5",
        },
    }
    assert asked.keys() == {each["kind"] for each in TRIGGERS}


def test_a_password_of_a_queue_is_named_and_not_written() -> None:
    made = [each for text in QUEUED.values() for each in quick_yaml.load_all(text)]
    owners = {each["metadata"]["name"] for each in made if each["kind"] == "TriggerAuthentication"}
    for each in made:
        if each["kind"] == "ScaledObject":
            (trigger,) = each["spec"]["triggers"]
            named = trigger.get("authenticationRef", {}).get("name")
            assert (named in owners) == (trigger["type"] in ("kafka", "rabbitmq"))
            assert each["spec"]["fallback"]["replicas"] == each["spec"]["minReplicaCount"] == 2


def test_a_queue_that_does_not_answer_takes_no_pod_away(tmp_path: Path) -> None:
    for name, text in QUEUED.items():
        if "eu-north" in name:
            (tmp_path / name.replace("/", "-")).write_text(text)
    checked = CliRunner().invoke(cli, ["policy", "check", str(tmp_path), "--fail-on", "note"])
    assert checked.exit_code == 0, checked.output
