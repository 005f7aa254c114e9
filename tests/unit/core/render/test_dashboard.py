"""Dashboards: valid JSON, found by label, of series that somebody records or shows (S9.3, S9.4)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.support.platforms import REFERENCE, described
from tests.support.promtool import needs_promtool, promtool

from croupier.core.render.cell import objects_of
from croupier.core.render.dashboard import SCHEMA_VERSION, dashboards
from croupier.core.render.slo import counted, recordings, slos
from croupier.model.monitoring import Monitoring
from croupier.model.platform import PlacedCell
from croupier.model.release_policy import MetricsSource
from croupier.model.service_spec import ServiceSpec
from croupier_kit import tally_page
from croupier_kit.tally_fold import Fold

ROOT = Path(__file__).parents[4]
(PLACED,) = described(REFERENCE).cells
(SERVICE,) = PLACED.services
LABELS = {"grafana_dashboard": "1"}


def _shown(labels: dict[str, str] | None = LABELS) -> PlacedCell:
    monitoring = Monitoring(form="operator", dashboards=labels)
    region = PLACED.region.model_copy(update={"prometheus": monitoring, "monitoring_namespace": "monitoring"})
    return PLACED.model_copy(update={"region": region})


def _dashboard(service: ServiceSpec = SERVICE) -> Any:
    (made,) = dashboards(_shown(), service)
    (text,) = made["data"].values()
    return json.loads(text)


def _queries(dashboard: Any) -> Iterator[str]:
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]


def _rows(dashboard: Any) -> list[str]:
    return [panel["title"] for panel in dashboard["panels"] if panel["type"] == "row"]


def test_a_dashboard_is_a_config_map_that_the_sidecar_finds() -> None:
    (made,) = [each for each in objects_of(_shown(), SERVICE) if each["metadata"]["name"].endswith("-dashboard")]
    assert made["kind"] == "ConfigMap"
    assert made["metadata"]["labels"].items() >= LABELS.items()
    assert _dashboard()["schemaVersion"] == SCHEMA_VERSION
    assert re.fullmatch(r"[a-z0-9-]{1,40}", _dashboard()["uid"])


def test_no_region_gets_dashboards_unasked() -> None:
    assert dashboards(_shown(None), SERVICE) == []


def test_it_shows_money_objectives_requests_and_versions() -> None:
    assert _rows(_dashboard()) == ["Money and players", "Objectives", "Requests", "Releases", "Resources"]
    titles = [panel["title"] for panel in _dashboard()["panels"]]
    assert {"Deposits that fail, by version", "Budget of deposits burns", "Latency", "Requests by version"} <= set(
        titles
    )


def test_every_series_it_asks_for_is_recorded_or_shown_by_somebody() -> None:
    """Prevents: a panel that stays empty because a rule or a counter is called otherwise."""
    recorded = {rule["record"] for slo in slos(_shown(), SERVICE) for rule in recordings(slo, *counted(slo))}
    page = tally_page.render(Fold({}), 0.0)
    tallied = set(re.findall(r"^# TYPE (\S+)", page, re.MULTILINE))
    of_pods = {"http_requests_total", "http_request_duration_seconds_bucket"}
    of_kubelets = {
        "container_cpu_usage_seconds_total",
        "container_cpu_cfs_periods_total",
        "container_cpu_cfs_throttled_periods_total",
        "container_memory_working_set_bytes",
    }
    asked = {name for query in _queries(_dashboard()) for name in re.findall(r"([a-z_][\w:]*)\{", query)}
    assert asked
    assert asked <= recorded | tallied | of_pods | of_kubelets
    assert asked & recorded
    assert asked & tallied


def test_panels_are_there_only_where_something_counts_for_them() -> None:
    nobody = SERVICE.model_copy(
        update={"release": SERVICE.release.model_copy(update={"metrics": MetricsSource(pods=None, tally=None)})}
    )
    assert _rows(_dashboard(nobody)) == ["Objectives", "Resources"]
    silent = nobody.model_copy(update={"objectives": ()})
    assert dashboards(_shown(), silent) == []


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    panels = _dashboard()["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells


def test_latency_is_counted_at_the_edges_that_are_kept_and_never_estimated() -> None:
    queries = list(_queries(_dashboard()))
    assert not any("quantile" in query for query in queries)
    (panel,) = [panel for panel in _dashboard()["panels"] if panel["title"] == "Latency"]
    assert len(panel["targets"]) == len(SERVICE.metrics.latency_buckets)


def test_resources_are_of_the_pods_of_the_service_alone_whoever_makes_them() -> None:
    """S9.3, USE. Prevents: the CPU of payments-api-mirror on the panel of payments-api."""
    (panel,) = [panel for panel in _dashboard()["panels"] if panel["title"].startswith("CPU used")]
    (pattern,) = {found for each in panel["targets"] for found in re.findall(r'pod=~"([^"]*)"', each["expr"])}
    name = SERVICE.name
    ours = (f"{name}-5d9c7b6f8-x2x4z", f"{name}-0123456789ab-5d9c7b6f8-x2x4z", f"{name}-0")
    others = (f"{name}-mirror-5d9c7b6f8-x2x4z", f"{name}-mirror-0123456789ab-5d9c7b6f8-x2x4z", f"{name}-mirror-0")
    assert all(re.fullmatch(pattern, each) for each in ours)
    assert not any(re.fullmatch(pattern, each) for each in others)


@needs_promtool
def test_prometheus_reads_every_query(tmp_path: Path) -> None:
    queries = [query.replace("$__rate_interval", "5m") for query in _queries(_dashboard())]
    rules = [{"record": f"q{number}", "expr": query} for number, query in enumerate(queries)]
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "all", "rules": rules}]}))
    said = promtool(tmp_path, "check", "rules", "rules.yml")
    assert said.returncode == 0, said.stderr
