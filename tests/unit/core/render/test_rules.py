"""What Prometheus does with the rules that are rendered: asked of ``promtool`` (S15.7).

Each case is a history of counters, a sample a minute, and which alerts must fire when.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.support import quick_yaml
from tests.support.platforms import REFERENCE, described
from tests.support.promtool import fires, needs_promtool, promtool

from croupier.core.render.cell import objects_of, render
from croupier.core.render.collector_watch import rule_groups
from croupier.core.render.monitor import pod_monitor, scrape_jobs, tally_scrapes
from croupier.core.render.prometheus import groups, rule_file
from croupier.core.render.slo import EXPECTED, RECENT, counted, recordings, slos
from croupier.model.address import Endpoint
from croupier.model.monitoring import Monitoring, OnCall
from croupier.model.platform import PlacedCell, Traces
from croupier.model.service import Objective
from croupier.model.service_spec import ServiceSpec
from croupier.model.slo import ALERTED, BURNS, RECORDED

ROOT = Path(__file__).parents[4]
(PLACED,) = described(REFERENCE).cells
(SERVICE,) = PLACED.services
HOUR, DAY = 60, 1440

PODS = 'namespace="lucky-mt",app_kubernetes_io_name="payments-api",pod="payments-api-0"'
OK = f'http_requests_total{{{PODS},code="200"}}'
BAD = f'http_requests_total{{{PODS},code="500"}}'
ALL = f'http_request_duration_seconds_bucket{{{PODS},le="+Inf"}}'
QUICK = f'http_request_duration_seconds_bucket{{{PODS},le="0.4"}}'
_ARM = 'job="tally",instance="tally:80",service="payments-api.lucky-mt",run="",version="v1",pod="p",signal="deposits"'
ATTEMPTS = f"croupier_signal_attempts_total{{{_ARM}}}"
FAILURES = f"croupier_signal_failures_total{{{_ARM}}}"
UPDATED = 'croupier_tally_updated_seconds{job="tally",instance="tally:80"}'


def _of(signal: str, service: ServiceSpec = SERVICE) -> list[dict[str, Any]]:
    """The rules of one objective."""
    return [each for each in groups(PLACED, service) if each["name"].endswith(f"/{signal}")]


FAST, SLOW = "ErrorBudgetBurnsFast page", "ErrorBudgetBurnsSlowly ticket"


@needs_promtool
@pytest.mark.parametrize(
    ("series", "expected"),
    [
        pytest.param({OK: "0+6000x99", BAD: "0+3x99"}, {10: set(), HOUR: set()}, id="half-the-budget"),
        pytest.param({OK: "0+6000x99"}, {HOUR: set()}, id="nothing-ever-failed"),
        pytest.param({OK: "0+5880x60", BAD: "0+120x60"}, {3: {FAST, SLOW}, 30: {FAST, SLOW}}, id="one-in-fifty"),
        pytest.param(
            {OK: "0+5880x30 176400+6000x600", BAD: "0+120x30 3600x600"},
            {30: {FAST, SLOW}, 70: {SLOW}, 3 * HOUR: {SLOW}},
            id="over-after-half-an-hour",
        ),
        pytest.param({OK: "0+5992x99", BAD: "0+8x99"}, {HOUR: {SLOW}}, id="a-little-too-much"),
    ],
)
def test_a_budget_that_burns_calls_and_one_that_lasts_does_not(
    tmp_path: Path, series: Mapping[str, str], expected: Mapping[int, set[str]]
) -> None:
    """0.1 % may fail: 2 % is twenty times that, and 0.133 % is too much only over days."""
    fires(tmp_path, _of("errors"), series, expected)


@needs_promtool
@pytest.mark.parametrize(
    ("series", "expected"),
    [
        pytest.param({ATTEMPTS: "0+0.2x200", FAILURES: "0x100 1x100"}, {102: set(), 104: set()}, id="one-of-twelve"),
        pytest.param({ATTEMPTS: "0+0.2x200", FAILURES: "0+0.2x200"}, {20: set(), 40: {FAST, SLOW}}, id="all-of-them"),
    ],
)
def test_few_events_call_when_they_all_fail_and_not_when_one_does(
    tmp_path: Path, series: Mapping[str, str], expected: Mapping[int, set[str]]
) -> None:
    """Twelve deposits an hour: one that fails is 8 %, fifty times the budget, and no reason to wake anybody."""
    fires(tmp_path, _of("deposits"), series, expected)


VANISHED, MISSING = "AttemptsVanished page", "CountersMissing page"


BLOCKS = 12 * 24
"""Five minutes each, in a day."""


@needs_promtool
@pytest.mark.parametrize(
    ("attempts", "alerts"),
    [
        pytest.param(f"150x{8 * BLOCKS} 0x12", {VANISHED}, id="nobody-deposits"),
        pytest.param(f"150x{8 * BLOCKS} 14x12", {VANISHED}, id="hardly-anybody"),
        pytest.param(f"150x{8 * BLOCKS} 16x12", set(), id="fewer"),
        pytest.param(f"150x{8 * BLOCKS} _x12", {VANISHED}, id="nothing-is-counted"),
        pytest.param(f"19x{8 * BLOCKS} 0x12", set(), id="a-quiet-hour"),
        pytest.param(f"15x{6 * BLOCKS} 150x{2 * BLOCKS} 0x12", set(), id="a-tournament-yesterday"),
        pytest.param(f"150x{3 * BLOCKS} 0x12", set(), id="in-its-first-week"),
    ],
)
def test_attempts_that_stay_away_call_though_nothing_fails(tmp_path: Path, attempts: str, alerts: set[str]) -> None:
    """Zero deposits in a busy hour are an outage, not a success of 100 %. Given: attempts a quarter of an hour."""
    (group,) = _of("deposits")
    rules = [
        each for each in group["rules"] if {each.get("record"), each.get("alert")} & {EXPECTED, "AttemptsVanished"}
    ]
    days = 3 if attempts.startswith(f"150x{3 * BLOCKS} ") else 8
    labels = 'cell="lucky-mt-eu-south",service="payments-api",slo="deposits",tier="money"'
    labels += ',brand="lucky",market="mt",region="eu-south"'
    expected = {days * DAY - 5: set[str](), days * DAY + 30: alerts}
    series = {f"{RECENT}{{{labels}}}": attempts}
    fires(tmp_path, [{**group, "rules": rules}], series, expected, minutes=5)


@needs_promtool
@pytest.mark.parametrize(
    ("series", "expected"),
    [
        pytest.param({ALL: "0+600x99", QUICK: "0+580x99"}, {HOUR: set()}, id="three-in-a-hundred"),
        pytest.param({ALL: "0+600x99", QUICK: "0+540x99"}, {HOUR: {SLOW}}, id="one-in-ten"),
        pytest.param({ALL: "0+600x99", QUICK: "0+120x99"}, {10: {FAST, SLOW}}, id="most"),
        pytest.param({ALL: "0+600x99"}, {4: set(), 20: {MISSING}}, id="no-such-bucket"),
        pytest.param({}, {4: set(), 20: {MISSING}}, id="no-histogram"),
    ],
)
def test_latency_is_counted_at_the_edge_of_its_objective(
    tmp_path: Path, series: Mapping[str, str], expected: Mapping[int, set[str]]
) -> None:
    """p95 at most 0.4 s: 5 % may be slower."""
    fires(tmp_path, _of("latency"), series, expected)


@needs_promtool
@pytest.mark.parametrize(
    ("quick", "expected"),
    [
        pytest.param("0+580x99", {HOUR: set()}, id="three-in-a-hundred"),
        pytest.param("0+120x99", {10: {FAST, SLOW}}, id="most-are-slower"),
        pytest.param(None, {20: {MISSING}}, id="no-bucket-at-the-bound"),
    ],
)
def test_round_trips_of_websockets_are_watched_as_what_takes_time(
    tmp_path: Path, quick: str | None, expected: Mapping[int, set[str]]
) -> None:
    """S1.8: p95 of round trips at most 120 ms, counted by pods at a bucket that ends there."""
    service = SERVICE.model_copy(update={"objectives": (Objective(signal="roundTrips", p95_seconds=0.12),)})
    bucket = f"websocket_round_trip_seconds_bucket{{{PODS},le="
    series = {f'{bucket}"+Inf"}}': "0+600x99"} | ({f'{bucket}"0.12"}}': quick} if quick is not None else {})
    fires(tmp_path, _of("roundTrips", service), series, expected)


@needs_promtool
@pytest.mark.parametrize("whole", ["1", "1.0"])
def test_a_bucket_of_a_whole_second_is_found_however_it_is_written(tmp_path: Path, whole: str) -> None:
    service = SERVICE.model_copy(update={"objectives": (Objective(signal="latency", p95_seconds=1.0),)})
    series = {ALL: "0+600x60", QUICK.replace('"0.4"', f'"{whole}"'): "0+120x60"}
    fires(tmp_path, _of("latency", service), series, {10: {FAST, SLOW}})


@needs_promtool
def test_a_tally_that_stands_still_calls(tmp_path: Path) -> None:
    series = {ATTEMPTS: "0+10x60", UPDATED: "0+60x20 1200x40"}
    fires(tmp_path, _of("tally"), series, {20: set(), 30: {"TallyStale page"}})


ON_CALL = OnCall(team="platform", runbook="https://runbooks.example/collectors")
COLLECTORS = PLACED.region.model_copy(
    update={
        "traces": Traces(
            image=f"registry.example/collector@sha256:{64 * 'c'}",
            endpoint=Endpoint(host="traces.example", port=4317),
            alerts=ON_CALL,
        )
    }
)
_POD = 'namespace="telemetry",pod="a"'
UP = {
    f'up{{namespace="telemetry",app_kubernetes_io_name="{tier}",pod="a"}}': "1x60" for tier in ("receiver", "sampler")
}
REFUSED = f'otelcol_receiver_refused_spans{{{_POD},receiver="otlp"}}'
UNSENT = f'otelcol_exporter_send_failed_spans{{{_POD},exporter="otlp/eu-north"}}'
UNQUEUED = f'otelcol_exporter_enqueue_failed_spans{{{_POD},exporter="otlp/eu-north"}}'
EARLY = f"otelcol_processor_tail_sampling_sampling_trace_dropped_too_early{{{_POD}}}"


@needs_promtool
@pytest.mark.parametrize(
    ("series", "expected"),
    [
        pytest.param({**UP, REFUSED: "7x60", UNSENT: "3x60", EARLY: "1x60"}, {30: set()}, id="what-is-long-over"),
        pytest.param(UP, {30: set()}, id="nothing-was-ever-lost"),
        pytest.param({**UP, REFUSED: "0x20 60x40"}, {22: set(), 24: set(), 40: set()}, id="once"),
        pytest.param({**UP, REFUSED: "0x20 0+60x40"}, {22: set(), 40: {"SpansRefused ticket"}}, id="refused"),
        pytest.param({**UP, UNSENT: "0x20 0+60x40"}, {22: set(), 40: {"SpansLost ticket"}}, id="not-sent"),
        pytest.param({**UP, UNQUEUED: "0+60x60", UNSENT: "0x60"}, {40: {"SpansLost ticket"}}, id="no-room-to-wait"),
        pytest.param({**UP, EARLY: "0+60x60"}, {40: {"TracesCutShort ticket"}}, id="more-traces-than-planned"),
        pytest.param({}, {3: set(), 40: {"CollectorsMissing ticket"}}, id="nobody-is-there"),
        pytest.param({**UP, min(UP): "1x20 0x40"}, {20: set(), 40: {"CollectorsMissing ticket"}}, id="a-tier-is-down"),
        pytest.param({**UP, min(UP).replace('"a"', '"b"'): "0x60"}, {40: set()}, id="one-pod-of-two-is-down"),
    ],
)
def test_collectors_that_lose_spans_call(
    tmp_path: Path, series: Mapping[str, str], expected: Mapping[int, set[str]]
) -> None:
    fires(tmp_path, rule_groups("eu-south", COLLECTORS), series, expected)


def test_alerts_on_collectors_say_whom_to_call_and_what_to_open() -> None:
    """S15.9."""
    (group,) = rule_groups("eu-south", COLLECTORS)
    for rule in group["rules"]:
        assert rule["labels"] == {"region": "eu-south", "severity": "ticket", "team": "platform"}
        anchor = re.sub("([A-Z])", r"-\1", rule["alert"]).lower().lstrip("-")
        assert rule["annotations"]["runbook_url"] == f"https://runbooks.example/collectors#{anchor}"


@needs_promtool
def test_batch_work_that_rests_calls_nobody(tmp_path: Path) -> None:
    service = SERVICE.model_copy(update={"traffic": "batch"})
    fires(tmp_path, _of("errors", service), {}, {HOUR: set()})


@needs_promtool
def test_a_service_that_is_not_of_the_money_tier_wakes_nobody_for_being_blind(tmp_path: Path) -> None:
    service = SERVICE.model_copy(update={"tier": "standard"})
    fires(tmp_path, _of("errors", service), {}, {20: {"CountersMissing ticket"}})


@needs_promtool
def test_prometheus_takes_every_file_that_is_rendered(tmp_path: Path) -> None:
    files = {name: text for name, text in render([PLACED]).items() if name.startswith("prometheus/")}
    assert sorted(files) == [
        "prometheus/eu-south/lucky-mt-eu-south.rules",
        "prometheus/eu-south/scrape.conf",
    ]
    for name, text in files.items():
        (tmp_path / Path(name).name).write_text(text)
    checked = promtool(tmp_path, "check", "rules", "lucky-mt-eu-south.rules")
    assert checked.returncode == 0, checked.stderr
    config = quick_yaml.load(files["prometheus/eu-south/scrape.conf"])
    pods = config["scrape_configs"][0]
    found = pods.pop("kubernetes_sd_configs")  # Debian's build of promtool knows nothing of Kubernetes
    assert found == [{"role": "pod", "namespaces": {"names": ["lucky-mt"]}}]
    (tmp_path / "prometheus.yml").write_text(yaml.safe_dump(config))
    checked = promtool(tmp_path, "check", "config", "prometheus.yml")
    assert checked.returncode == 0, checked.stderr


def _every_alert(placed: PlacedCell = PLACED) -> Iterator[dict[str, Any]]:
    for group in rule_file(placed)["groups"]:
        yield from (rule for rule in group["rules"] if "alert" in rule)


def test_every_alert_says_whom_to_call_and_what_to_open() -> None:
    """S15.9: whom to call at night."""
    names = set()
    for alert in _every_alert():
        names.add(alert["alert"])
        assert alert["labels"].items() >= {"team": "money", "cell": "lucky-mt-eu-south", "tier": "money"}.items()
        assert alert["labels"]["severity"] in ("page", "ticket")
        anchor = re.sub("([A-Z])", r"-\1", alert["alert"]).lower().lstrip("-")
        assert alert["annotations"]["runbook_url"] == f"https://runbooks.example/payments-api#{anchor}"
        assert alert["annotations"]["summary"]
    assert names == {
        "AttemptsVanished",
        "CountersMissing",
        "ErrorBudgetBurnsFast",
        "ErrorBudgetBurnsSlowly",
        "TallyStale",
    }


def test_windows_and_rates_are_those_of_the_sre_workbook() -> None:
    assert [each[:3] for each in BURNS] == [
        (14.4, "1h", "5m"),
        (6.0, "6h", "30m"),
        (3.0, "1d", "2h"),
        (1.0, "3d", "6h"),
    ]
    fast = next(each for each in _of("deposits")[0]["rules"] if each.get("alert") == "ErrorBudgetBurnsFast")
    assert re.findall(r"ratio_rate(\w+)\{[^}]*\} > (\S+)", fast["expr"]) == [
        ("1h", "0.0216"),
        ("5m", "0.0216"),
        ("6h", "0.009"),
        ("30m", "0.009"),
    ]


def test_an_objective_that_no_share_of_failures_could_burn_fast_calls_before_everything_fails() -> None:
    """14.4 times 10 % is more than all."""
    service = SERVICE.model_copy(update={"objectives": (Objective(signal="errors", success_ratio=0.9),)})
    fast = next(each for each in _of("errors", service)[0]["rules"] if each.get("alert") == "ErrorBudgetBurnsFast")
    assert "> 0.9\n" in fast["expr"]


def test_no_more_is_recorded_than_the_budget_of_series_counts() -> None:
    for slo in slos(PLACED, SERVICE):
        assert len(list(recordings(slo, *counted(slo)))) == RECORDED
    for group in groups(PLACED, SERVICE)[:-1]:
        assert len([rule for rule in group["rules"] if "alert" in rule]) <= ALERTED


def _with(prometheus: Monitoring | None) -> PlacedCell:
    return PLACED.model_copy(update={"region": PLACED.region.model_copy(update={"prometheus": prometheus})})


def test_both_forms_hold_the_same_rules() -> None:
    placed = _with(Monitoring(form="operator", labels={"prometheus": "platform"}))
    made = {each["kind"]: each for each in objects_of(placed, SERVICE)}
    assert made["PrometheusRule"]["spec"]["groups"] == rule_file(PLACED)["groups"]
    assert made["PrometheusRule"]["metadata"]["labels"]["prometheus"] == "platform"
    assert [name for name in render([placed]) if name.startswith("prometheus/")] == []


def test_without_a_prometheus_nothing_is_made_for_one() -> None:
    placed = _with(None)
    assert {"PodMonitor", "PrometheusRule"} & {each["kind"] for each in objects_of(placed, SERVICE)} == set()
    assert [name for name in render([placed]) if name.startswith("prometheus/")] == []


def test_pods_of_every_version_are_scraped_with_the_labels_that_rules_and_gates_read() -> None:
    """S9.3; docs/how-to/prometheus.md."""
    placed = _with(Monitoring(form="operator", labels={}))
    (monitor,) = pod_monitor(placed, SERVICE)
    assert monitor["spec"]["podTargetLabels"] == [
        "app.kubernetes.io/name",
        "croupier.dev/policy",
        "croupier.dev/version",
    ]
    (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
    assert (endpoint["port"], endpoint["path"], endpoint["interval"]) == ("http", "/metrics", "5s")
    assert monitor["spec"]["sampleLimit"] == SERVICE.metrics.series_per_pod
    (tally,) = tally_scrapes(placed.region, [placed])
    assert tally["metadata"]["namespace"] == "monitoring"
    assert tally["spec"]["honorLabels"] is True
    assert tally["spec"]["staticConfigs"] == [{"targets": ["tally.croupier.svc:80"]}]


@pytest.mark.parametrize(
    ("name", "le", "kept"),
    [
        ("http_request_duration_seconds_bucket", "0.4", True),
        ("http_request_duration_seconds_bucket", "1", True),
        ("http_request_duration_seconds_bucket", "1.0", True),
        ("http_request_duration_seconds_bucket", "+Inf", True),
        ("http_request_duration_seconds_bucket", "0.5", False),
        ("http_request_duration_seconds_bucket", "004", False),
        ("http_request_duration_seconds_count", "", True),
        ("rounds_seconds_bucket", "0.5", True),
    ],
)
def test_only_edges_that_somebody_reads_are_kept(name: str, le: str, kept: bool) -> None:
    """Relabelling as Prometheus does it: values joined by ``;``, expressions anchored."""
    (job, _) = scrape_jobs([PLACED])["scrape_configs"]
    labels = {"__name__": name, "le": le}
    dropped = False
    for step in job["metric_relabel_configs"]:
        joined = ";".join(labels.get(source, "") for source in step["source_labels"])
        if re.fullmatch(step["regex"], joined):
            if step.get("action") == "drop":
                dropped = True
            else:
                labels[step["target_label"]] = step["replacement"]
    assert dropped != kept
