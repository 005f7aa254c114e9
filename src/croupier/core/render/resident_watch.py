"""Who sees what becomes of programs that a region has once: what its Prometheus scrapes, and rules that call somebody.

The programs say what is counted and when that is too much (``collector_watch.py``, ``egress_watch.py``); that they are
there at all is asked for each of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from croupier.core.render.alerts import anchor
from croupier.core.render.names import APP, MANAGED_BY
from croupier.core.render.slo import INTERVAL_SECONDS, SERVICE_LABEL
from croupier.model.monitoring import OnCall
from croupier.model.objects import JsonObject
from croupier.model.slo import Severity

MONITORING = "monitoring.coreos.com/v1"
SCRAPED = "30s"
LASTING = "5m"
WINDOW = "5m"
_META = "__meta_kubernetes"


class Alert(NamedTuple):
    """``summary``: whole. ``severity``: whom it may wake. ``lasting``: how long it must be so; "": at once."""

    name: str
    expression: str
    summary: str
    description: str
    severity: Severity = "ticket"
    lasting: str = LASTING


class Scraped(NamedTuple):
    """Programs that count. ``names``: of their pods. ``relabelled``: of what they show, as Prometheus writes it."""

    job: str
    namespaces: Sequence[str]
    names: Sequence[str]
    port: int
    path: str = "/metrics"
    relabelled: Sequence[JsonObject] = ()


def rule(called: OnCall, alert: Alert, labels: Mapping[str, str]) -> JsonObject:
    return {
        "alert": alert.name,
        "expr": alert.expression,
        **({"for": alert.lasting} if alert.lasting else {}),
        "labels": {**labels, "severity": alert.severity, "team": called.team},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": f"{called.runbook}#{anchor(alert.name)}",
        },
    }


def group(name: str, rules: Iterable[JsonObject]) -> list[JsonObject]:
    """Rules that are asked one after the other; nothing where there are none."""
    held = list(rules)
    return [{"name": name, "interval": f"{INTERVAL_SECONDS}s", "rules": held}] if held else []


def missing(namespace: str, name: str) -> str:
    """Whether no pod called so answers a scrape."""
    return f'absent(up{{namespace="{namespace}",{SERVICE_LABEL}="{name}"}} == 1)'


def rules_object(name: str, namespace: str, groups: Sequence[JsonObject], labels: Mapping[str, str]) -> JsonObject:
    return _object("PrometheusRule", name, namespace, {"groups": list(groups)}, labels)


def pod_monitor(name: str, namespace: str, held: Scraped, labels: Mapping[str, str]) -> JsonObject:
    """Of pods in ``namespace`` whose port for that is called ``metrics``."""
    endpoint = {
        "port": "metrics",
        "interval": SCRAPED,
        **({"path": held.path} if held.path != "/metrics" else {}),
        **({"metricRelabelings": [_camel(each) for each in held.relabelled]} if held.relabelled else {}),
    }
    spec = {
        "selector": {"matchExpressions": [{"key": APP, "operator": "In", "values": list(held.names)}]},
        "podTargetLabels": [APP],
        "podMetricsEndpoints": [endpoint],
    }
    return _object("PodMonitor", name, namespace, spec, labels)


def scrape_job(held: Scraped) -> JsonObject:
    """The same for a Prometheus that reads files."""
    copied = {
        f"{_META}_namespace": "namespace",
        f"{_META}_pod_name": "pod",
        f"{_META}_pod_label_{SERVICE_LABEL}": SERVICE_LABEL,
    }
    pods = {"source_labels": [f"{_META}_pod_label_{SERVICE_LABEL}"], "regex": "|".join(held.names)}
    port = {"source_labels": [f"{_META}_pod_container_port_number"], "regex": str(held.port)}
    return {
        "job_name": held.job,
        "scrape_interval": SCRAPED,
        **({"metrics_path": held.path} if held.path != "/metrics" else {}),
        "kubernetes_sd_configs": [{"role": "pod", "namespaces": {"names": list(held.namespaces)}}],
        "relabel_configs": [
            {**pods, "action": "keep"},
            {**port, "action": "keep"},
            *({"source_labels": [source], "target_label": target} for source, target in copied.items()),
        ],
        **({"metric_relabel_configs": list(held.relabelled)} if held.relabelled else {}),
    }


def _object(kind: str, name: str, namespace: str, spec: JsonObject, labels: Mapping[str, str]) -> JsonObject:
    metadata = {"name": name, "namespace": namespace, "labels": {**MANAGED_BY, **labels}}
    return {"apiVersion": MONITORING, "kind": kind, "metadata": metadata, "spec": spec}


def _camel(relabelled: JsonObject) -> JsonObject:
    """As the Prometheus operator writes it."""
    names = {"source_labels": "sourceLabels", "target_label": "targetLabel"}
    return {names.get(key, key): value for key, value in relabelled.items()}
