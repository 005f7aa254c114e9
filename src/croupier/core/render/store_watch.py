"""Rules by which somebody is called about a store that is rendered: ``kafka_watch.py``, ``mysql_watch.py`` and
``redis_watch.py`` say when."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from croupier.core.render.alerts import anchor
from croupier.core.render.slo import INTERVAL_SECONDS
from croupier.model.data import Engine
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.service_spec import ServiceSpec
from croupier.model.slo import Severity
from croupier.model.store import Store

POOL_USED = "croupier:pool_used:ratio"
"""Of the connections to a store that there may be."""
POOL_WAITING = "croupier:pool_waiting:clients"
"""Who waits for one, where something hands them out."""


class Alert(NamedTuple):
    """``called``: whose people; where that service names none, those of the owner of the store."""

    name: str
    severity: Severity
    expression: str
    summary: str
    description: str
    called: ServiceSpec


def group(
    placed: PlacedCell,
    store: Store[Engine],
    alerts: Iterable[Alert],
    lasting: str,
    recorded: Iterable[tuple[str, str]] = (),
) -> list[JsonObject]:
    """One group of rules; nothing where there are none.

    ``lasting``: how long it must be so, as ``5m``. ``recorded``: names and expressions, for alerts and dashboards.
    """
    labels = {"cell": placed.cell.name, "store": store.name}
    rules: list[JsonObject] = [{"record": name, "expr": each, "labels": labels} for name, each in recorded]
    rules += [rule for each in alerts if (rule := _rule(placed, store, each, lasting)) is not None]
    name = f"{placed.cell.name}/{store.name}/{store.engine.KEY}"
    return [{"name": name, "interval": f"{INTERVAL_SECONDS}s", "rules": rules}] if rules else []


def _rule(placed: PlacedCell, store: Store[Engine], alert: Alert, lasting: str) -> JsonObject | None:
    cell, called = placed.cell, alert.called
    said = called.alerts or store.owner.alerts
    if said is None:
        return None
    page = said.runbook.replace("{service}", called.name).replace("{cell}", cell.name)
    return {
        "alert": alert.name,
        "expr": alert.expression,
        "for": lasting,
        "labels": {
            "brand": cell.brand,
            "market": cell.market,
            "region": cell.region,
            "cell": cell.name,
            "service": called.name,
            "tier": called.tier,
            "store": store.name,
            "severity": alert.severity,
            "team": said.team,
        },
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": f"{page}#{anchor(alert.name)}",
        },
    }
