"""From evidence to a verdict: pass, fail or inconclusive, with its numbers and its reason (S4.6, S9.7).

* Fail: the weighted mean of all gates' evidence against the canary reaches 1/alpha. The mean is the one way of
  merging that holds whatever the gates have in common (release-gates §1.7).
* Pass: every required gate has shown the canary to be no worse than its margin allows, nothing breaches its
  objective, and the numbers are fresh.
* Inconclusive: everything else. It never promotes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, log
from typing import Literal

from croupier.core.gates.evidence import VANISHED_PART, Evidence, GateEvidence, stake
from croupier.core.gates.likelihood import PointsNotWorse, log_sum_exp
from croupier.core.gates.series import SeriesEvidence
from croupier.model.verdict import ArmNumbers, GateReading, Outcome, Verdict

NATS_PER_BAN = log(10.0)
Unit = Literal["players", "requests", "events"]
STALE_SCRAPES = 4
SILENT_SCRAPES = 3


@dataclass(frozen=True, slots=True)
class _Judged:
    """A gate's reading before the gates are merged; evidence in nats."""

    gate: GateEvidence
    lead: SeriesEvidence
    against: float
    against_bar: float
    parts: tuple[float, ...]
    """What the gate adds to the merged evidence: by failures, and by attempts that vanished."""
    favour: float
    favour_bar: float
    needs_seconds: float | None
    blocker: str
    """Code of what keeps the gate from passing, or ""."""
    alone: bool
    """The canary has all traffic, so there is nothing to compare it with."""


def assess(evidence: Evidence, *, weight: int, now: float) -> Verdict:
    """The verdict at ``now`` with ``weight`` percent of traffic on the canary. Changes nothing."""
    alarm = log(1.0 / evidence.policy.alpha)
    everything = sum(stake(gate.spec) for gate in evidence.gates)
    judged = [_judge(evidence, gate, everything, weight, now) for gate in evidence.gates]
    merged = log_sum_exp([part for item in judged for part in item.parts])
    worst = max(judged, key=lambda item: max(item.parts))
    broken = next((item for item in judged if item.lead.broken_while_warm), None)
    failed = broken or (worst if merged >= alarm else None)
    readings = tuple(_reading(item, failed=item is failed) for item in judged)

    if failed is not None:
        reading = readings[judged.index(failed)]
        outcome, code, reason, needs = Outcome.FAIL, reading.code, reading.message, None
    else:
        outcome, code, reason, needs = _promotion(judged, readings)
    return Verdict(
        outcome=outcome,
        code=code,
        reason=reason,
        gates=readings,
        against=_bans(merged),
        against_bar=_bans(alarm),
        needs_seconds=needs,
    )


def _promotion(judged: list[_Judged], readings: tuple[GateReading, ...]) -> tuple[Outcome, str, str, float | None]:
    held = []
    for item, reading in zip(judged, readings, strict=True):
        vetoes = item.blocker in ("slo-breach", "shared-incident", "set-aside")
        if vetoes or (item.gate.spec.role == "required" and reading.outcome is not Outcome.PASS):
            held.append((item, reading))
    if held:
        worst = max(held, key=lambda pair: inf if pair[0].needs_seconds is None else pair[0].needs_seconds)
        return Outcome.INCONCLUSIVE, worst[1].code, worst[1].message, worst[0].needs_seconds
    required = [reading.gate for reading in readings if reading.role == "required"]
    if not required:
        return Outcome.INCONCLUSIVE, "nothing-required", "no gate is required, so nothing can show a pass", None
    return Outcome.PASS, "not-worse", f"{', '.join(required)}: no worse than the margin allows", None


def _judge(evidence: Evidence, gate: GateEvidence, everything: float, weight: int, now: float) -> _Judged:
    policy = evidence.policy
    favour_bar = log(1.0 / policy.beta)
    share = log(gate.spec.importance / everything)
    against, lead = _against(gate)
    parts = [against + share]
    if gate.spec.signal != "latency":
        parts.append(lead.vanished.log_evidence + share + log(VANISHED_PART))
    telling = [series for series in gate.series if series.tells_favour]
    slowest = min(telling, key=lambda series: series.favour.log_evidence, default=None)
    favour = slowest.favour.log_evidence if slowest is not None else 0.0
    if slowest is not None and against <= 0.0:
        lead = slowest
    blocker = _blocker(evidence, gate, weight=weight, now=now)
    needs = None
    if not blocker and favour < favour_bar:
        blocker = "needs-time"
        needs = max(_needs(series, favour_bar) for series in telling)
    return _Judged(
        gate=gate,
        lead=lead,
        against=against,
        against_bar=log(1.0 / policy.alpha) - share,
        parts=tuple(parts),
        favour=favour,
        favour_bar=favour_bar,
        needs_seconds=None if needs is None or needs == inf else needs,
        blocker=blocker,
        alone=weight >= 100,
    )


def _against(gate: GateEvidence) -> tuple[float, SeriesEvidence]:
    lead = max(gate.series, key=lambda series: series.log_against)
    return log_sum_exp([series.log_against for series in gate.series]) - log(len(gate.series)), lead


def _blocker(evidence: Evidence, gate: GateEvidence, *, weight: int, now: float) -> str:
    """What keeps the gate from passing, worst first."""
    scrape = evidence.scrape_seconds
    if any(
        series.last_at is None or now - series.last_at > max(STALE_SCRAPES * scrape, scrape + 10.0)
        for series in gate.series
    ):
        return "no-data"
    if any(series.guard is not None and series.guard.log_evidence >= series.guard.bar for series in gate.series):
        return "slo-breach"
    if any(series.set_aside.holding for series in gate.series):
        return "set-aside"
    if any(series.silent_seconds > SILENT_SCRAPES * scrape for series in gate.series):
        return "silent"
    if weight < 100 and gate.spec.signal != "latency" and any(series.incident.active for series in gate.series):
        return "shared-incident"
    if now < evidence.warm_until:
        return "warming-up"
    if not any(series.tells_favour for series in gate.series):
        return "not-telling"
    return ""


def _needs(series: SeriesEvidence, favour_bar: float) -> float:
    missing = favour_bar - series.favour.log_evidence
    if missing <= 0.0:
        return 0.0
    # A ratio lives on failures, which may be rare: their long-run figure. Points live on the present state.
    ratio = series.pace.stable_ratio if isinstance(series.favour, PointsNotWorse) else series.judged.stable_ratio
    growth = series.favour.growth(*series.pace.per_second, ratio)
    return missing / growth if growth > 0.0 else inf


def _reading(item: _Judged, *, failed: bool) -> GateReading:
    spec, lead = item.gate.spec, item.lead
    if failed:
        outcome, code = Outcome.FAIL, _failure(item)
    elif item.blocker:
        outcome, code = Outcome.INCONCLUSIVE, item.blocker
    else:
        outcome, code = Outcome.PASS, "not-worse"
    unit = _unit(item)
    totals = lead.totals
    return GateReading(
        gate=spec.signal,
        role=spec.role,
        outcome=outcome,
        code=code,
        message=_message(item, code, unit),
        unit=unit,
        canary=ArmNumbers(bad=totals.canary_bad, total=totals.canary_total),
        stable=ArmNumbers(bad=totals.stable_bad, total=totals.stable_total),
        against=_bans(item.against),
        against_bar=_bans(item.against_bar),
        favour=_bans(item.favour),
        favour_bar=_bans(item.favour_bar),
        dispersion=lead.phi,
        needs_seconds=item.needs_seconds,
    )


def _failure(item: _Judged) -> str:
    if item.lead.broken_while_warm:
        return "broken-while-warming"
    return "worse" if item.parts[0] == max(item.parts) else "vanished"


def _unit(item: _Judged) -> Unit:
    if item.lead.players:
        return "players"
    return "requests" if item.gate.spec.signal in ("errors", "latency") else "events"


_TAILS = {
    "worse": "worse than stable beyond chance",
    "broken-while-warming": "broken already while warming up",
    "vanished": "the canary attempts far less than its share of the players would",
    "not-worse": "no worse than the margin allows",
    "no-data": "no fresh complete scrape of both arms, so nothing can be said",
    "slo-breach": "the canary breaches its objective while stable keeps it",
    "set-aside": "one canary pod fails most of its work; set aside until it has lasted 30 s",
    "silent": "the canary gets traffic but decides nothing",
    "shared-incident": "stable fails far more than usual too, so this is not held against or for the canary",
    "warming-up": "still warming up",
    "not-telling": "stable too rarely (or nearly always) exceeds these edges to compare",
}


def _message(item: _Judged, code: str, unit: Unit) -> str:
    totals = item.lead.totals
    done = {"deposits": "failed deposits", "withdrawals": "failed withdrawals"}.get(item.gate.spec.signal, "")
    numbers = (
        f"canary {totals.canary_bad:,.0f} of {totals.canary_total:,.0f} {unit} ({_percent(totals.canary_ratio)}), "
        f"stable {totals.stable_bad:,.0f} of {totals.stable_total:,.0f} ({_percent(totals.stable_ratio)})"
    )
    what = item.lead.name if item.gate.spec.signal == "latency" else done or item.gate.spec.signal
    if code == "needs-time":
        seconds = item.needs_seconds
        tail = f"about {seconds:,.0f} s more" if seconds is not None else "no end in sight at this pace"
    elif code == "slo-breach" and item.alone:
        tail = "the canary breaches its objective, and with all traffic on it there is nothing to compare it with"
    else:
        tail = _TAILS[code]
    return f"{what}: {numbers}; {tail}"


def _percent(ratio: float) -> str:
    return f"{100.0 * ratio:.2f} %"


def _bans(nats: float) -> float:
    """Evidence in bans, rounded so that records of it are short and equal everywhere."""
    return round(nats / NATS_PER_BAN, 4) if nats > -inf else -99.0
