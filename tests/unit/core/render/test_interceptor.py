"""Pods by the requests that KEDA's HTTP add-on counts: what it is told, and that requests go by it (S6.2)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from tests.support.platforms import eventful, intercepted, manifests

from croupier.cli.root import cli
from croupier.core.render.cell import objects
from croupier.model.gateway import Target
from croupier.model.interceptor import Http
from croupier.model.platform import PlacedCell
from croupier.model.service_spec import Scaling, ServiceSpec
from croupier.spec.interceptor import http_flaws

CELL = "lucky-se-eu-north"


def _made(cells: list[PlacedCell], file: str = f"cells/{CELL}/lobby.yaml") -> dict[str, dict[str, Any]]:
    return {each["kind"]: each for each in objects(cells)[file]}


def _with(**changes: object) -> list[PlacedCell]:
    """The cells with other settings of the trigger of lobby."""

    def changed(service: ServiceSpec) -> ServiceSpec:
        if service.intercepted is None or service.scaling is None:
            return service
        http = service.intercepted.model_copy(update=changes)
        return service.model_copy(update={"scaling": service.scaling.model_copy(update={"trigger": http})})

    return [placed.model_copy(update={"services": tuple(map(changed, placed.services))}) for placed in intercepted()]


def test_the_add_on_is_told_whose_requests_go_where() -> None:
    """Field names and forms are those of the definition of version 0.12; Go reads the durations."""
    (placed,) = (each for each in intercepted() if each.cell.name == CELL)
    told = _made(intercepted())["HTTPScaledObject"]
    lobby = next(each for each in placed.services if each.name == "lobby")
    assert told["spec"] == {
        "hosts": list(placed.cell.hostnames),
        "pathPrefixes": [route.rstrip("/") or "/" for route in lobby.routes],
        "scaleTargetRef": {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "name": "lobby",
            "service": "lobby",
            "port": 80,
        },
        "replicas": {"min": 0, "max": 9},
        "scaledownPeriod": 300,
        "scalingMetric": {"requestRate": {"targetValue": 50, "window": "60s", "granularity": "1s"}},
        "timeouts": {"conditionWait": "40s", "responseHeader": "15s"},
        "coldStartTimeoutFailoverRef": {"service": "sorry", "port": 80, "timeoutSeconds": 40},
    }


def test_one_scaler_scales_and_it_is_the_one_that_asks_the_add_on() -> None:
    """The add-on makes none of its own; how fast pods go and what holds without an answer is said."""
    made = _made(intercepted())
    assert made["HTTPScaledObject"]["metadata"]["annotations"] == {
        "httpscaledobject.keda.sh/skip-scaledobject-creation": "true"
    }
    assert "HorizontalPodAutoscaler" not in made
    assert "replicas" not in made["Deployment"]["spec"]
    scaled = made["ScaledObject"]["spec"]
    assert scaled["triggers"] == [
        {
            "type": "external-push",
            "metricType": "AverageValue",
            "metadata": {
                "scalerAddress": "keda-add-ons-http-external-scaler.keda:9090",
                "httpScaledObject": made["HTTPScaledObject"]["metadata"]["name"],
            },
        }
    ]
    assert (scaled["minReplicaCount"], scaled["maxReplicaCount"]) == (0, 9)
    assert scaled["fallback"] == {"failureThreshold": 3, "replicas": 0, "behavior": "currentReplicasIfHigher"}
    assert scaled["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]


@pytest.mark.parametrize(
    ("changes", "counted"),
    [
        ({"window_seconds": 30}, {"requestRate": {"targetValue": 50, "window": "30s", "granularity": "1s"}}),
        ({"request_rate": None, "concurrency": 20}, {"concurrency": {"targetValue": 20}}),
    ],
)
def test_requests_are_counted_a_second_or_at_a_time(changes: dict[str, object], counted: object) -> None:
    assert _made(_with(**changes))["HTTPScaledObject"]["spec"]["scalingMetric"] == counted


def test_who_names_nobody_to_answer_instead_has_no_other_service() -> None:
    assert "coldStartTimeoutFailoverRef" not in _made(_with(fallback=None))["HTTPScaledObject"]["spec"]


def test_without_a_cold_start_requests_wait_a_second_and_no_default_of_the_add_on_holds() -> None:
    cells = _with(cold_start_seconds=None)
    made = _made(cells)
    assert made["HTTPScaledObject"]["spec"]["timeouts"]["conditionWait"] == "1s"
    assert made["HTTPRoute"]["spec"]["rules"][0]["timeouts"] == {"request": "16s"}


@pytest.mark.parametrize("target", ["gatewayApi", "envoyGateway", "istioGateway"])
def test_players_come_by_the_interceptor_and_the_gateway_waits_while_they_are_held(target: Target) -> None:
    made = _made(intercepted(target))
    (rule,) = made["HTTPRoute"]["spec"]["rules"]
    assert rule["backendRefs"] == [{"name": "keda-add-ons-http-interceptor-proxy", "namespace": "keda", "port": 8080}]
    assert rule["timeouts"] == {"request": "55s"}
    other = _made(intercepted(target), f"cells/{CELL}/payments-api.yaml")["HTTPRoute"]
    assert other["spec"]["rules"][0]["backendRefs"] == [{"name": "payments-api", "port": 80}]


def test_routes_of_cells_with_such_services_may_name_the_interceptor_and_nothing_else() -> None:
    (grant,) = objects(intercepted())["regions/eu-north/interceptor.yaml"]
    here = sorted({each.cell.namespace for each in intercepted() if each.cell.region == "eu-north"})
    assert grant["metadata"]["namespace"] == "keda"
    group = "gateway.networking.k8s.io"
    assert grant["spec"] == {
        "from": [{"group": group, "kind": "HTTPRoute", "namespace": each} for each in here],
        "to": [{"group": "", "kind": "Service", "name": "keda-add-ons-http-interceptor-proxy"}],
    }


def test_more_cells_than_a_grant_names_have_several() -> None:
    first = next(each for each in intercepted() if each.cell.name == CELL)
    many = [
        first.model_copy(update={"cell": first.cell.model_copy(update={"brand": f"b{number}"})}) for number in range(17)
    ]
    grants = objects(many)["regions/eu-north/interceptor.yaml"]
    assert [len(each["spec"]["from"]) for each in grants] == [16, 1]
    assert len({each["metadata"]["name"] for each in grants}) == 2


@pytest.mark.parametrize(("service", "comes"), [("lobby", True), ("sorry", True), ("payments-api", False)])
def test_the_interceptor_comes_to_pods_of_those_it_passes_requests_on_to(service: str, comes: bool) -> None:
    door = _made(intercepted(), f"cells/{CELL}/{service}.yaml")["NetworkPolicy"]
    rule = {
        "from": [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "keda"}}}],
        "ports": [{"port": 8080, "protocol": "TCP"}],
    }
    assert (rule in door["spec"]["ingress"]) == comes


def test_an_event_has_pods_ready_beside_what_is_counted() -> None:
    """S6.4."""
    first, second = _made(eventful(intercepted()))["ScaledObject"]["spec"]["triggers"]
    assert (first["type"], second["type"]) == ("external-push", "cron")
    assert second["metadata"]["desiredReplicas"] == "9"


def test_what_is_made_breaks_no_rule(tmp_path: Path) -> None:
    for name, text in manifests(intercepted()).items():
        if "eu-north" in name:
            (tmp_path / name.replace("/", "-")).write_text(text)
    checked = CliRunner().invoke(cli, ["policy", "check", str(tmp_path)])
    assert checked.exit_code == 0, checked.output


def test_no_flaw_is_found_in_what_is_right() -> None:
    assert [flaw for placed in intercepted() for _, flaw in http_flaws(placed)] == []


@pytest.mark.parametrize(
    ("scaling", "said"),
    [
        ({"min": 0, "max": 9}, "min 0 needs trigger: {kind: http}"),
        ({"min": 0, "max": 9, "trigger": {"kind": "http", "concurrency": 5}}, "needs trigger.coldStartSeconds"),
        ({"min": 1, "max": 9, "trigger": {"kind": "http"}}, "requestRate or concurrency"),
        ({"min": 1, "max": 9, "trigger": {"kind": "http", "concurrency": 5, "requestRate": 5}}, "and not both"),
        ({"min": 1, "max": 9, "trigger": {"kind": "http", "concurrency": 5, "windowSeconds": 9}}, "is of requestRate"),
    ],
)
def test_what_cannot_be_meant_is_refused(scaling: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said.replace("{", r"\{")):
        Scaling.model_validate_json(json.dumps(scaling))


def test_what_one_pod_carries_is_what_is_counted() -> None:
    assert Http(kind="http", request_rate=50).average == 50
    assert Http(kind="http", concurrency=20).average == 20


def test_durations_are_text_that_yaml_keeps() -> None:
    text = manifests(intercepted())[f"cells/{CELL}/lobby.yaml"]
    told = next(each for each in yaml.safe_load_all(text) if each["kind"] == "HTTPScaledObject")
    assert told["spec"]["timeouts"]["conditionWait"] == "40s"
