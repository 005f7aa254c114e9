"""What pods and collectors are told of traces (S9.1, S9.2)."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from tests.support import quick_yaml
from tests.support.platforms import LARGE, described, example

from croupier.core.render.cell import objects, prometheus_files
from croupier.core.render.collector import RECEIVER, SAMPLER, collectors, tracing
from croupier.core.render.collector_watch import rule_groups
from croupier.core.render.network import doors
from croupier.engine.schemas import checked
from croupier.model.address import Endpoint
from croupier.model.monitoring import Monitoring, OnCall
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.schemas import NEWEST
from croupier.model.service_spec import Logging

CELLS = described(LARGE).cells
NORTH, EAST = "eu-north", "eu-east"
ON_CALL = OnCall(team="platform", runbook="https://runbooks.example/collectors")
ALONE = {"prometheus": None, "monitoring_namespace": None}


def _in(region: str) -> list[PlacedCell]:
    return [each for each in CELLS if each.cell.region == region]


def _config(made: list[JsonObject], tier: str) -> dict[str, Any]:
    (found,) = (each for each in made if each["kind"] == "ConfigMap" and each["metadata"]["name"].startswith(tier))
    config: dict[str, Any] = quick_yaml.load(found["data"]["collector.yaml"])
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
        "region=eu-east",
        "cell=nova-mt-eu-east",
        "croupier.traces=eu-north",
    ]
    ports = [4317, 4318]
    egress = doors(placed, service)["spec"]["egress"]
    to = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "telemetry"}}}
    assert {"to": [to], "ports": [{"port": port, "protocol": "TCP"} for port in ports]} in egress


def test_a_pod_is_told_how_to_write_logs_and_what_to_call_itself_in_them() -> None:
    """S9.5: JSON, with brand, market, region and service, also where nobody collects traces."""
    (placed, *_) = example(traces=None)
    service = placed.services[0].model_copy(update={"logging": Logging(level="warning"), "config": {}})
    said = tracing(placed, service)
    assert said.keys() == {"OTEL_SERVICE_NAME", "OTEL_RESOURCE_ATTRIBUTES", "LOG_FORMAT", "LOG_LEVEL"}
    assert (said["LOG_FORMAT"], said["LOG_LEVEL"]) == ("json", "warning")
    fields = dict(each.split("=") for each in said["OTEL_RESOURCE_ATTRIBUTES"].split(","))
    cell = placed.cell
    assert (fields["brand"], fields["market"], fields["region"]) == (cell.brand, cell.market, cell.region)
    louder = service.model_copy(update={"config": {"LOG_LEVEL": "debug"}})
    assert "LOG_LEVEL" not in tracing(placed, louder)


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


def _watched(form: Literal["operator", "files"] = "operator", *, alerts: OnCall | None = ON_CALL) -> list[PlacedCell]:
    """The cells of ``NORTH``, with a Prometheus in the namespace ``monitoring``."""
    prometheus = Monitoring(form=form, labels={"prometheus": "platform"} if form == "operator" else {})
    region = _in(NORTH)[0].region
    assert region.traces is not None
    traces = region.traces.model_copy(update={"alerts": alerts})
    changed = region.model_copy(update={"prometheus": prometheus, "traces": traces})
    return [each.model_copy(update={"region": changed}) for each in _in(NORTH)]


def test_what_collectors_count_of_themselves_is_scraped_and_its_door_is_open() -> None:
    """Prevents: collectors that drop spans, and nobody is told."""
    made = objects(_watched())[f"regions/{NORTH}/traces.yaml"]
    for tier in (RECEIVER, SAMPLER):
        (reader,) = _config(made, tier)["service"]["telemetry"]["metrics"]["readers"]
        told = reader["pull"]["exporter"]["prometheus"]
        assert (told["host"], told["port"]) == ("0.0.0.0", 8888)
        (pods,) = (each for each in made if each["kind"] == "Deployment" and each["metadata"]["name"] == tier)
        ports = pods["spec"]["template"]["spec"]["containers"][0]["ports"]
        assert {"name": "metrics", "containerPort": 8888, "protocol": "TCP"} in ports
        (wall,) = (each for each in made if each["kind"] == "NetworkPolicy" and each["metadata"]["name"] == tier)
        monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}
        assert wall["spec"]["ingress"][-1] == {"from": [monitoring], "ports": [{"port": 8888, "protocol": "TCP"}]}
    (monitor,) = (each for each in made if each["kind"] == "PodMonitor")
    assert monitor["metadata"]["namespace"] == "telemetry"
    assert monitor["metadata"]["labels"]["prometheus"] == "platform"
    (tiers,) = monitor["spec"]["selector"]["matchExpressions"]
    assert tiers["values"] == [RECEIVER, SAMPLER]
    assert monitor["spec"]["podMetricsEndpoints"] == [{"port": "metrics", "interval": "30s"}]
    assert {each.kind for each in checked({"x.yaml": made}, NEWEST).unknown} == set()


def test_a_prometheus_that_reads_files_gets_the_same_rules_and_a_job() -> None:
    files = prometheus_files(_watched("files"))
    rules = quick_yaml.load(files[f"prometheus/{NORTH}/collectors.rules"])["groups"]
    (rule,) = (each for each in objects(_watched())[f"regions/{NORTH}/traces.yaml"] if each["kind"] == "PrometheusRule")
    assert rule["spec"]["groups"] == rules
    jobs = {
        each["job_name"]: each for each in quick_yaml.load(files[f"prometheus/{NORTH}/scrape.conf"])["scrape_configs"]
    }
    job = jobs["croupier-collectors"]
    assert job["kubernetes_sd_configs"] == [{"role": "pod", "namespaces": {"names": ["telemetry"]}}]
    assert [each["regex"] for each in job["relabel_configs"] if "regex" in each] == ["receiver|sampler", "8888"]


def test_without_anybody_to_call_or_a_prometheus_nothing_is_made_for_one() -> None:
    assert rule_groups(NORTH, _watched(alerts=None)[0].region) == []
    assert f"prometheus/{NORTH}/collectors.rules" not in prometheus_files(_watched("files", alerts=None))
    alone = [each.model_copy(update={"region": each.region.model_copy(update=ALONE)}) for each in _watched(alerts=None)]
    made = objects(alone)[f"regions/{NORTH}/traces.yaml"]
    assert {"PodMonitor", "PrometheusRule"} & {each["kind"] for each in made} == set()
    walls = [each["spec"] for each in made if each["kind"] == "NetworkPolicy"]
    assert "8888" not in str(walls)


def test_spans_of_one_trace_meet_in_one_sampler() -> None:
    made = collectors(_in(NORTH))
    balanced = _config(made, RECEIVER)["exporters"]["loadbalancing"]
    assert balanced["routing_key"] == "traceID"
    host = balanced["resolver"]["dns"]["hostname"]
    (service,) = (each for each in made if each["kind"] == "Service" and each["metadata"]["name"] == SAMPLER)
    assert host == f"{service['metadata']['name']}.{service['metadata']['namespace']}"
    assert service["spec"]["clusterIP"] == "None"


def test_samplers_hold_all_traces_that_they_wait_for() -> None:
    (placed, *_) = here = _in(NORTH)
    assert placed.region.traces is not None
    traces = placed.region.traces.model_copy(update={"per_second": 900, "wait_seconds": 20, "samplers": 4})
    region = placed.region.model_copy(update={"traces": traces})
    made = collectors(each.model_copy(update={"region": region}) for each in here)
    assert _config(made, SAMPLER)["processors"]["tail_sampling"]["num_traces"] == 9000
