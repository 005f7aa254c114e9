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


class Alert(NamedTuple):
    """``called``: whose people; where that service names none, those of the owner of the store."""

    name: str
    severity: Severity
    expression: str
    summary: str
    description: str
    called: ServiceSpec


def group(placed: PlacedCell, store: Store[Engine], alerts: Iterable[Alert], lasting: str) -> list[JsonObject]:
    """One group of rules; nothing where nobody is to be called. ``lasting``: how long it must be so, as ``5m``."""
    rules = [rule for each in alerts if (rule := _rule(placed, store, each, lasting)) is not None]
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
