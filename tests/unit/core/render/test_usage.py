"""What pods and pools use, recorded and watched (S9.3, USE): asked of ``promtool``."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from tests.support.platforms import REFERENCE, described, stored
from tests.support.promtool import fires, needs_promtool

from croupier.core.render.cell import render
from croupier.core.render.dashboard import dashboards
from croupier.core.render.postgres_watch import postgres_rules
from croupier.core.render.prometheus import groups
from croupier.core.render.usage_watch import usage_rules
from croupier.model.monitoring import Monitoring
from croupier.model.platform import PlacedCell
from croupier.model.service_spec import Alerts
from croupier.model.slo import OF_RESOURCES
from croupier.spec.watched import budget_flaw, series_of, stores_series

ROOT = Path(__file__).parents[4]
MONITORING = Monitoring(form="files", resources=True, dashboards=None)


def _watched(placed: PlacedCell, **of_prometheus: Any) -> PlacedCell:
    """``placed`` in a region whose Prometheus scrapes kubelets, with somebody to call about each service."""
    prometheus = MONITORING.model_copy(update=of_prometheus)
    region = placed.region.model_copy(update={"prometheus": prometheus, "monitoring_namespace": "monitoring"})
    called = Alerts(team="money", runbook="https://runbooks.example/{service}")
    services = tuple(each.model_copy(update={"alerts": called}) for each in placed.services)
    return placed.model_copy(update={"region": region, "services": services})


PLACED = _watched(described(REFERENCE).cells[0])
(SERVICE,) = PLACED.services
_POD = 'namespace="lucky-mt",container="app",pod="payments-api-5d5f8c7b9f-abcde"'
MEMORY = f"container_memory_working_set_bytes{{{_POD}}}"
RESTARTS = f'kube_pod_container_status_restarts_total{{{_POD},uid="1"}}'
KILLED = f'kube_pod_container_status_last_terminated_reason{{{_POD},uid="1",reason="OOMKilled"}}'
PERIODS, THROTTLED = (f"container_cpu_cfs_{name}periods_total{{{_POD}}}" for name in ("", "throttled_"))
HALF = f"{2**29}x60"
"""Of a limit of 1 GiB."""
QUIET = {MEMORY: HALF, RESTARTS: "0x60"}


@needs_promtool
@pytest.mark.parametrize(
    ("series", "expected"),
    [
        pytest.param({}, {}, id="half-of-what-there-is"),
        pytest.param({MEMORY: f"{95 * 2**30 // 100}x60"}, {50: {"MemoryNearlyFull ticket"}}, id="memory-nearly-full"),
        pytest.param(
            {RESTARTS: "0x30 1x30", KILLED: "_x30 1x30"},
            {35: {"PodsKilledForMemory page"}, 50: set()},
            id="killed-once",
        ),
        pytest.param({RESTARTS: "7x60", KILLED: "1x60"}, {50: set()}, id="killed-last-week"),
        pytest.param({RESTARTS: "0x30 2x30"}, {35: set()}, id="two-restarts-call-nobody"),
        pytest.param({RESTARTS: "0x30 1 2 3 4 4x30"}, {36: {"PodsRestart page"}}, id="again-and-again"),
        pytest.param({PERIODS: "0+600x60", THROTTLED: "0+60x60"}, {50: set()}, id="seldom-refused"),
        pytest.param({PERIODS: "0+600x60", THROTTLED: "0+300x60"}, {50: {"CpuRefused ticket"}}, id="often-refused"),
        pytest.param({RESTARTS: None}, {10: set(), 50: {"ResourcesUncounted ticket"}}, id="no-kube-state-metrics"),
        pytest.param({MEMORY: None}, {10: set(), 50: {"ResourcesUncounted ticket"}}, id="no-kubelets"),
    ],
)
def test_a_person_is_called_when_pods_run_out_and_not_before(
    tmp_path: Path, series: Mapping[str, str | None], expected: Mapping[int, set[str]]
) -> None:
    given = {name: values for name, values in {**QUIET, **series}.items() if values is not None}
    fires(tmp_path, usage_rules(PLACED, SERVICE), given, expected or {50: set()})


def test_nothing_is_recorded_of_what_nobody_scrapes() -> None:
    assert usage_rules(_watched(PLACED, resources=False), SERVICE) == []


def test_a_service_without_objectives_is_watched_all_the_same() -> None:
    """Prevents: pods that are killed where nothing is promised."""
    bare = SERVICE.model_copy(update={"objectives": ()})
    assert [each["name"] for each in groups(PLACED, bare)] == ["lucky-mt-eu-south/payments-api/resources"]


def test_the_budget_of_series_holds_what_is_recorded() -> None:
    (group,) = usage_rules(PLACED, SERVICE)
    assert len(group["rules"]) == OF_RESOURCES
    assert series_of(SERVICE, with_resources=True) - series_of(SERVICE) == OF_RESOURCES


STORED = _watched(stored()[0])
_AT = f'namespace="{STORED.cell.data_namespace}"'
_POOLER = f'{_AT},cnpg_io_poolerName="ledger-pooler",pod="ledger-pooler-1",database="ledger",user="wallet"'
ACTIVE, WAITING, LONGEST = (
    f"cnpg_pgbouncer_pools_{name}{{{_POOLER}}}" for name in ("sv_active", "cl_waiting", "maxwait")
)
BACKENDS = f'cnpg_backends_total{{{_AT},cnpg_io_cluster="ledger",pod="ledger-1"}}'
BUSY = {ACTIVE: "20x60", WAITING: "0x60", LONGEST: "0x60", BACKENDS: "20x60"}


@needs_promtool
@pytest.mark.parametrize(
    ("series", "expected"),
    [
        pytest.param({}, set(), id="half-of-the-connections"),
        pytest.param({ACTIVE: "40x60"}, {"PostgresConnectionsFull ticket"}, id="every-connection-is-busy"),
        pytest.param({WAITING: "9x60", LONGEST: "4x60"}, {"PoolWaits page"}, id="clients-wait"),
        pytest.param({WAITING: None}, {"PostgresCountersMissing ticket"}, id="poolers-are-not-scraped"),
        pytest.param({BACKENDS: None}, {"PostgresCountersMissing ticket"}, id="instances-are-not-scraped"),
    ],
)
def test_a_person_is_called_when_a_pool_is_used_up(
    tmp_path: Path, series: Mapping[str, str | None], expected: set[str]
) -> None:
    """S13.6, S13.7. The pooler of the ledger keeps 40 connections an instance."""
    given = {name: values for name, values in {**BUSY, **series}.items() if values is not None}
    fires(tmp_path, postgres_rules(STORED), given, {30: expected})


def test_rules_on_a_database_come_beside_it_or_in_the_file_of_its_cell() -> None:
    of_operator = render([_watched(STORED, form="operator")])
    assert "PoolWaits" in of_operator[f"stores/{STORED.cell.region}/{STORED.cell.name}.yaml"]
    of_files = render([STORED])
    assert "PoolWaits" in of_files[f"prometheus/{STORED.cell.region}/{STORED.cell.name}.rules"]
    assert "PoolWaits" not in of_files[f"stores/{STORED.cell.region}/{STORED.cell.name}.yaml"]


def test_dashboards_show_pools_and_pods_by_what_is_recorded() -> None:
    shown = _watched(STORED, form="operator", dashboards={"grafana_dashboard": "1"})
    wallet = next(each for each in shown.services if each.name == "wallet")
    (made,) = dashboards(shown, wallet)
    panels = json.loads(next(iter(made["data"].values())))["panels"]
    assert "Waiting for ledger" in [each["title"] for each in panels]
    every = [*groups(shown, wallet), *postgres_rules(shown)]
    recorded = {rule["record"] for group in every for rule in group["rules"] if "record" in rule}
    asked = {target["expr"] for each in panels for target in each.get("targets", ())}
    names = {name for each in asked for name in re.findall(r"(croupier:\w+:\w+)\{", each)}
    assert names
    assert names <= recorded


def test_the_budget_counts_stores_and_says_which_is_the_largest() -> None:
    ((count, whose),) = stores_series(STORED)
    assert (count, whose) == (3 * 1000 + 2 * 300, f"store ledger in {STORED.cell.name}")
    flaw = budget_flaw("eu-north", Monitoring(form="files", series_budget=1000), [STORED])
    assert flaw is not None
    assert f"{count:,} of {whose}" in flaw.message
