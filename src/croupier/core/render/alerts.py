"""When somebody is called about an objective (S15.7), and when because nobody could tell.

A budget that burns is no outage while a handful of events failed: each alert on it wants a minimum of failures. What
vanishes does not fail: attempts that stay away, and counters that are not there, have alerts of their own.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache
from typing import NamedTuple

from croupier.core.render.slo import EXPECTED, FAILURES, HISTOGRAMS, RECENT, Series, Slo
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.service import TIMED
from croupier.model.service_spec import ServiceSpec
from croupier.model.slo import BURNS, Burn, Severity

LARGEST_SHARE = 0.9
"""A budget so large that no share of failures could burn it as fast calls when nine of ten fail."""
FEWER = 0.1
"""Of what was there yesterday and a week ago: less is an outage that no share of failures shows."""
TALLY_SECONDS = 120
"""How old the tally's counts may be."""
_PACES: tuple[tuple[Severity, str, str], ...] = (
    ("page", "ErrorBudgetBurnsFast", "the budget of a month lasts five days at most"),
    ("ticket", "ErrorBudgetBurnsSlowly", "the budget of a month does not last one"),
)
_NOUNS = {
    "bets": "bets",
    "calls": "calls of others",
    "deposits": "deposits",
    "errors": "requests",
    "latency": "requests",
    "logins": "logins",
    "roundTrips": "messages over WebSockets",
    "withdrawals": "withdrawals",
}


class Alert(NamedTuple):
    """``severity``: whom it may wake."""

    name: str
    severity: Severity
    expression: str
    summary: str
    description: str
    lasting: str = ""
    """How long it must be so; "": at once."""


def alerts(slo: Slo) -> list[JsonObject]:
    """All alerts of one objective, as rules. The service has somebody to call."""
    guards = () if slo.service.traffic == "batch" else _guards(slo)
    return [_rule(slo, each) for each in (*_burning(slo), *guards)]


def tally_alert(slo: Slo) -> JsonObject:
    """Of a service that a tally counts: its counts are old, so outcomes look as they were."""
    service, cell = slo.service.name, slo.placed.cell
    arms = f'croupier_signal_attempts_total{{service="{service}.{cell.namespace}"}}'
    alert = Alert(
        "TallyStale",
        called_about(slo.service),
        f"max((time() - croupier_tally_updated_seconds) and on (job, instance) {arms}) > {TALLY_SECONDS}",
        f"The tally that counts {service} in {cell.name} stands still",
        "What it has counted last is {{ $value | humanizeDuration }} old.",
        lasting="1m",
    )
    return _rule(slo, alert)


def burning(slo: Series, minimum: int) -> Iterator[tuple[Severity, str, str, str]]:
    """When a budget burns: severity, name, how fast in words, expression. ``minimum``: failures in the long window."""
    for severity, name, pace in _PACES:
        burns = [_burn(slo, each, minimum) for each in BURNS if each.severity == severity]
        yield severity, name, pace, "\nor\n".join(burns)


def _burning(slo: Slo) -> Iterator[Alert]:
    assert slo.service.alerts is not None
    failed = f"slower than {slo.slow_seconds:g} s" if slo.slow_seconds is not None else "failed"
    noun = _NOUNS[slo.signal]
    for severity, name, pace, expression in burning(slo, slo.service.alerts.minimum_failures):
        yield Alert(
            name,
            severity,
            expression,
            f"{noun.capitalize()} {_where(slo)}: so many {failed} that {pace}",
            f"{{{{ $value | humanizePercentage }}}} of {noun} {failed} over the longer window; "
            f"{slo.budget * 100:.4g} % may be.",
        )


def _burn(slo: Series, burn: Burn, minimum: int) -> str:
    bound = f"{min(burn.rate * slo.budget, LARGEST_SHARE):.6g}"
    failures = slo.summed(FAILURES, burn.long)
    return f"({slo.share(burn.long)} > {bound}\nand {slo.share(burn.short)} > {bound}\nand {failures} >= {minimum})"


def _guards(slo: Slo) -> Iterator[Alert]:
    assert slo.service.alerts is not None
    noun, where = _NOUNS[slo.signal], _where(slo)
    if slo.signal not in TIMED:  # of latency: the same requests as those of errors
        expected = slo.recorded(EXPECTED)
        yield Alert(
            "AttemptsVanished",
            called_about(slo.service),
            f"{expected} >= {slo.service.alerts.busy_events}\nunless {slo.recorded(RECENT)} >= {FEWER:g} * {expected}",
            f"{noun.capitalize()} {where} stay away",
            "Less than a tenth of the {{ $value | humanize }} of yesterday and a week ago at this time.",
            lasting="5m",
        )
    yield Alert(
        "CountersMissing",
        called_about(slo.service),
        f"absent_over_time({slo.recorded(FAILURES, '10m')})",
        f"Nobody counts {noun} {where}",
        f"{_source(slo)} not there: no alert on {slo.signal} can tell anything.",
        lasting="5m",
    )


def _source(slo: Slo) -> str:
    if slo.signal in TIMED:
        return f"{HISTOGRAMS[slo.signal]}_bucket with an edge at {slo.slow_seconds:g} s is"
    return "http_requests_total is" if slo.signal == "errors" else "croupier_signal_*_total of the tally are"


def _where(slo: Slo) -> str:
    return f"of {slo.service.name} in {slo.placed.cell.name}"


def called_about(service: ServiceSpec) -> Severity:
    """Blindness in the money tier wakes somebody, and so do pods that go there."""
    return "page" if service.tier == "money" else "ticket"


def _rule(slo: Slo, alert: Alert) -> JsonObject:
    return rule_of(slo.placed, slo.service, slo.labels, alert)


def rule_of(placed: PlacedCell, service: ServiceSpec, labels: Mapping[str, str], alert: Alert) -> JsonObject:
    """``alert`` as a rule that calls the people of ``service``, who are named."""
    said = service.alerts
    assert said is not None
    page = said.runbook.replace("{service}", service.name).replace("{cell}", placed.cell.name)
    return {
        "alert": alert.name,
        "expr": alert.expression,
        **({"for": alert.lasting} if alert.lasting else {}),
        "labels": {**labels, "severity": alert.severity, "team": said.team},
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": f"{page}#{anchor(alert.name)}",
        },
    }


@cache
def anchor(name: str) -> str:
    """Of an alert in the runbook: ``attempts-vanished``."""
    return re.sub(r"(?<!^)(?=[A-Z])", "-", name).lower()
