"""What pods and collectors are told of traces (S9.1, S9.2)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support.platforms import example

from croupier.core.render.collector import RECEIVER, SAMPLER, collectors, tracing
from croupier.core.render.network import doors
from croupier.model.address import Endpoint
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.spec.platform import load_described

CELLS = load_described(Path(__file__).parents[4] / "examples" / "platform").cells
NORTH, EAST = "eu-north", "eu-east"


def _in(region: str) -> list[PlacedCell]:
    return [each for each in CELLS if each.cell.region == region]


def _config(objects: list[JsonObject], tier: str) -> dict[str, Any]:
    (found,) = (each for each in objects if each["kind"] == "ConfigMap" and each["metadata"]["name"].startswith(tier))
    config: dict[str, Any] = yaml.safe_load(found["data"]["collector.yaml"])
    return config


def test_a_region_without_collectors_tells_nobody_of_any() -> None:
    (placed, *_) = here = example(traces=None)
    assert collectors(here) == []
    assert tracing(placed, placed.services[0]) == {}


def test_a_pod_is_told_where_to_send_spans_and_what_to_call_itself() -> None:
    placed = next(each for each in CELLS if each.cell.name == "nova-mt-eu-east")
    service = next(each for each in placed.services if each.name == "payments-api")
    said = tracing(placed, service)
    assert said["OTEL_EXPORTER_OTLP_ENDPOINT"] == "http://receiver.telemetry:4318"
    assert said["OTEL_RESOURCE_ATTRIBUTES"].split(",") == [
        "service.version=$(CROUPIER_VERSION)",
        "service.namespace=nova-mt",
        "service.instance.id=$(POD_NAME)",
        "brand=nova",
        "market=mt",
        "cell=nova-mt-eu-east",
        "croupier.traces=eu-north",
    ]
    ports = [4317, 4318]
    egress = doors(placed, service)["spec"]["egress"]
    to = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "telemetry"}}}
    assert {"to": [to], "ports": [{"port": port, "protocol": "TCP"} for port in ports]} in egress


def test_what_the_services_own_configuration_says_stays() -> None:
    placed = CELLS[0]
    service = placed.services[0].model_copy(update={"config": {"OTEL_TRACES_SAMPLER": "always_off"}})
    assert "OTEL_TRACES_SAMPLER" not in tracing(placed, service)
    assert "OTEL_SERVICE_NAME" in tracing(placed, service)


def test_fields_are_taken_out_of_what_leaves_the_region_and_of_nothing_else() -> None:
    config = _config(collectors(_in(EAST)), SAMPLER)
    pipelines = config["service"]["pipelines"]
    assert pipelines["traces"]["exporters"] == ["forward/eu-east", "forward/eu-north"]
    assert pipelines["traces/eu-east"]["processors"] == ["filter/eu-east", "batch"]
    assert pipelines["traces/eu-north"]["processors"] == ["filter/eu-north", "transform/eu-north", "batch"]
    taken = config["processors"]["transform/eu-north"]["trace_statements"]
    assert [each["context"] for each in taken] == ["resource", "scope", "span", "spanevent"]
    assert taken[2]["statements"] == ['delete_key(span.attributes, "ip")', 'delete_key(span.attributes, "player.id")']
    north = _config(collectors(_in(NORTH)), SAMPLER)
    assert north["service"]["pipelines"]["traces/eu-north"]["processors"] == ["batch"]


def test_slow_is_what_an_objective_says_and_the_money_tier_is_kept_whole() -> None:
    policies = _config(collectors(_in(NORTH)), SAMPLER)["processors"]["tail_sampling"]["policies"]
    by_name = {each["name"]: each for each in policies}
    assert list(by_name) == ["failed", "slower-than-250ms", "slower-than-400ms", "money", "share"]
    through, late = by_name["slower-than-250ms"]["and"]["and_sub_policy"]
    assert late["latency"] == {"threshold_ms": 250}
    assert "wallet" in through["string_attribute"]["values"]
    assert "wallet" in by_name["money"]["string_attribute"]["values"]
    assert "lobby" not in by_name["money"]["string_attribute"]["values"]


@pytest.mark.parametrize(
    ("host", "label"),
    [
        ("tempo.monitoring.svc.cluster.local", {"kubernetes.io/metadata.name": "monitoring"}),
        ("traces.example.net", {"svc": "traces-egress"}),
        ("svc.traces.example.net", {"svc": "traces-egress"}),
    ],
)
def test_spans_leave_the_cluster_by_the_egress_gateway_only(host: str, label: dict[str, str]) -> None:
    here = [each.model_copy(update={"traces_kept": {NORTH: Endpoint(host=host, port=4317)}}) for each in _in(NORTH)]
    (wall,) = (
        each for each in collectors(here) if each["kind"] == "NetworkPolicy" and each["metadata"]["name"] == SAMPLER
    )
    (egress,) = wall["spec"]["egress"]
    assert egress == {
        "to": [{"namespaceSelector": {"matchLabels": label}}],
        "ports": [{"port": 4317, "protocol": "TCP"}],
    }


def test_spans_of_one_trace_meet_in_one_sampler() -> None:
    objects = collectors(_in(NORTH))
    balanced = _config(objects, RECEIVER)["exporters"]["loadbalancing"]
    assert balanced["routing_key"] == "traceID"
    host = balanced["resolver"]["dns"]["hostname"]
    (service,) = (each for each in objects if each["kind"] == "Service" and each["metadata"]["name"] == SAMPLER)
    assert host == f"{service['metadata']['name']}.{service['metadata']['namespace']}"
    assert service["spec"]["clusterIP"] == "None"


def test_samplers_hold_all_traces_that_they_wait_for() -> None:
    (placed, *_) = here = _in(NORTH)
    assert placed.region.traces is not None
    traces = placed.region.traces.model_copy(update={"per_second": 900, "wait_seconds": 20, "samplers": 4})
    region = placed.region.model_copy(update={"traces": traces})
    objects = collectors(each.model_copy(update={"region": region}) for each in here)
    assert _config(objects, SAMPLER)["processors"]["tail_sampling"]["num_traces"] == 9000
