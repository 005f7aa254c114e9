"""Who is called about a provider, and by which counters (S8.9, S9.4, S15.7)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support import quick_yaml
from tests.support.platforms import LARGE, described, gated, manifests
from tests.support.promtool import fires, needs_promtool

from croupier.core.render.cell import objects, prometheus_files
from croupier.core.render.egress_watch import gateway_rules, gateway_watch
from croupier.core.render.provider_watch import provider_groups, provider_rules
from croupier.model.monitoring import Monitoring, OnCall
from croupier.model.platform import PlacedCell
from croupier.model.providers import ProviderObjective

CELLS = described(LARGE).cells
EAST = [each for each in CELLS if each.cell.region == "eu-east"]
HOUR = 60

OF_PSP_A = 'namespace="psp-egress",provider="psp-a",pod="gateway-0"'
OPENED = f"envoy_cluster_upstream_cx_total{{{OF_PSP_A}}}"
UNREACHED = f"envoy_cluster_upstream_cx_connect_fail{{{OF_PSP_A}}}"
FULL = f"envoy_cluster_upstream_cx_overflow{{{OF_PSP_A}}}"
UP = 'up{namespace="psp-egress",app_kubernetes_io_name="gateway"}'
_ARM = 'service="payments-api.nova-mt",run="",version="v1",pod="p",signal="deposits:provider=psp-a"'
ATTEMPTS = f"croupier_signal_attempts_total{{{_ARM}}}"
FAILURES = f"croupier_signal_failures_total{{{_ARM}}}"


def _of(signal: str) -> list[Any]:
    return [each for each in provider_groups("eu-east", EAST) if each["name"] == f"eu-east/providers/psp-a/{signal}"]


FAST, SLOW = "ProviderErrorBudgetBurnsFast page", "ProviderErrorBudgetBurnsSlowly ticket"


@needs_promtool
@pytest.mark.parametrize(
    ("signal", "every", "failed"), [("connections", OPENED, UNREACHED), ("deposits", ATTEMPTS, FAILURES)]
)
def test_a_provider_that_fails_calls_and_one_that_keeps_its_promise_does_not(
    tmp_path: Path, signal: str, every: str, failed: str
) -> None:
    """1 % of connections and 3 % of deposits may fail: all of them is more than both, two in a thousand less."""
    fires(tmp_path, _of(signal), {every: "0+1000x90", failed: "0+2x90"}, {HOUR: set()})
    fires(tmp_path, _of(signal), {every: "0+1000x90", failed: "0+1000x90"}, {30: {FAST, SLOW}})


@needs_promtool
def test_one_deposit_that_fails_in_a_quiet_hour_calls_nobody(tmp_path: Path) -> None:
    fires(tmp_path, _of("deposits"), {ATTEMPTS: "0+0.2x200", FAILURES: "0x100 1x100"}, {102: set(), 104: set()})


@needs_promtool
@pytest.mark.parametrize(
    ("series", "expected"),
    [
        pytest.param({OPENED: "0+60x30", UNREACHED: "0+20x30", UP: "1x30"}, {20: set()}, id="one-address-of-three"),
        pytest.param(
            {OPENED: "0+60x30", UNREACHED: "0+60x30", UP: "1x30"}, {20: {"ProviderUnreachable page"}}, id="away"
        ),
        pytest.param(
            {OPENED: "0+60x30", UNREACHED: "0x30", FULL: "0+1x30", UP: "1x30"}, {20: {"EgressFull ticket"}}, id="full"
        ),
        pytest.param({UP: "0x30"}, {20: {"EgressGatewayMissing page"}}, id="gone"),
    ],
)
def test_a_gateway_tells_who_cannot_be_reached_and_that_it_is_full_or_gone(
    tmp_path: Path, series: Mapping[str, str], expected: Mapping[int, set[str]]
) -> None:
    fires(tmp_path, gateway_rules("eu-east", ["psp"], EAST[0].region), series, expected)


def test_alerts_say_who_is_called_about_which_provider_and_where() -> None:
    (made,) = _of("deposits")
    alert = next(each for each in made["rules"] if each.get("alert") == "ProviderErrorBudgetBurnsFast")
    assert alert["labels"] == {
        "class": "psp",
        "provider": "psp-a",
        "region": "eu-east",
        "slo": "deposits",
        "severity": "page",
        "team": "payments",
    }
    assert alert["annotations"]["runbook_url"].endswith("#provider-error-budget-burns-fast")


def test_counters_of_a_gateway_bear_the_name_of_their_provider() -> None:
    """Envoy knows clusters; the part before the first underscore is the provider."""
    monitor, rules = gateway_watch("eu-east", "psp", EAST[0].region)
    assert (monitor["kind"], rules["kind"]) == ("PodMonitor", "PrometheusRule")
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"]) == ("metrics", "/stats/prometheus")
    (told,) = endpoint["metricRelabelings"]
    matched = re.fullmatch(told["regex"], "psp-a_api-psp-a-example_443")
    assert matched and matched[1] == "psp-a"
    assert not re.fullmatch(told["regex"], "itself")


def test_every_region_records_the_providers_that_its_own_cells_call() -> None:
    files = objects(CELLS)
    for region, providers in {"eu-east": {"psp-a", "psp-b"}, "ca-central": set()}.items():
        made = files.get(f"regions/{region}/providers.yaml", [])
        recorded = {
            rule["labels"]["provider"]
            for each in made
            for group in each["spec"]["groups"]
            for rule in group["rules"]
            if "alert" in rule
        }
        assert recorded == providers


def _by_files() -> list[PlacedCell]:
    called = OnCall(team="payments", runbook="https://runbooks.example/providers")
    objective = ProviderObjective(signal="connections", success_ratio=0.99)
    made = []
    for placed in gated(objectives=(objective,), alerts=called):
        egress = placed.region.egress
        assert egress is not None
        region = {"prometheus": Monitoring(form="files"), "egress": egress.model_copy(update={"alerts": called})}
        made.append(placed.model_copy(update={"region": placed.region.model_copy(update=region)}))
    return made


def test_a_prometheus_that_reads_files_has_the_same_rules_and_a_job() -> None:
    cells = _by_files()
    files = prometheus_files(cells)
    (region,) = {each.cell.region for each in cells if each.cell.region == "eu-north"}
    here = [each for each in cells if each.cell.region == region]
    rules = quick_yaml.load(files[f"prometheus/{region}/providers.rules"])
    assert rules["groups"] == [*gateway_rules(region, ["psp"], here[0].region), *provider_groups(region, here)]
    (job,) = (
        each
        for each in quick_yaml.load(files[f"prometheus/{region}/scrape.conf"])["scrape_configs"]
        if each["job_name"] == "croupier-egress"
    )
    assert job["metrics_path"] == "/stats/prometheus"
    assert job["metric_relabel_configs"][0]["target_label"] == "provider"
    assert provider_rules(region, here) == []
    assert not [
        each for text in manifests(cells).values() for each in quick_yaml.load_all(text) if each["kind"] == "PodMonitor"
    ]
