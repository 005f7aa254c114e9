"""Rules of a service as groups, in the two forms: PrometheusRule objects, and a rule file a cell."""

from __future__ import annotations

from croupier.core.render.alerts import alerts, tally_alert
from croupier.core.render.kafka_watch import kafka_rules
from croupier.core.render.mysql_watch import mysql_rules
from croupier.core.render.names import of_service
from croupier.core.render.postgres_watch import postgres_rules
from croupier.core.render.redis_watch import redis_rules
from croupier.core.render.slo import INTERVAL_SECONDS, counted, recordings, slos
from croupier.core.render.usage_watch import usage_rules
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.service import OF_PODS
from croupier.model.service_spec import ServiceSpec

INTERVAL = f"{INTERVAL_SECONDS}s"


def groups(placed: PlacedCell, service: ServiceSpec) -> list[JsonObject]:
    """One group an objective, and one of what pods use: rules of a group see what those before them have recorded at
    the same moment."""
    made = []
    every = list(slos(placed, service))
    for slo in every:
        rules = [*recordings(slo, *counted(slo)), *alerts(slo)]
        name = f"{placed.cell.name}/{service.name}/{slo.signal}"
        made.append({"name": name, "interval": INTERVAL, "rules": rules})
    if tallied := [slo for slo in every if slo.signal not in OF_PODS]:
        stale = [tally_alert(tallied[0])]
        made.append({"name": f"{placed.cell.name}/{service.name}/tally", "interval": INTERVAL, "rules": stale})
    return [*made, *usage_rules(placed, service)]


def prometheus_rule(placed: PlacedCell, service: ServiceSpec) -> list[JsonObject]:
    """Nothing where there is nothing to watch, or the region's Prometheus is not an operator's."""
    prometheus = placed.region.prometheus
    if prometheus is None or prometheus.form != "operator" or not (held := groups(placed, service)):
        return []
    body = {"spec": {"groups": held}}
    rule = of_service(placed.cell, service, "monitoring.coreos.com/v1", "PrometheusRule", body)
    rule["metadata"]["labels"] |= prometheus.labels
    return [rule]


def rule_file(placed: PlacedCell) -> JsonObject:
    """All rules of a cell, as a file for ``rule_files``."""
    of_services = (group for service in placed.services for group in groups(placed, service))
    return {
        "groups": [
            *of_services,
            *kafka_rules(placed),
            *mysql_rules(placed),
            *postgres_rules(placed),
            *redis_rules(placed),
        ]
    }
