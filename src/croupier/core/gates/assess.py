"""From evidence to a verdict: pass, fail or inconclusive, with its numbers and its reason (S4.6, S9.7).

* Fail: the weighted mean of all gates' evidence against the canary reaches 1/alpha. The mean is the one way of
  merging that holds whatever the gates have in common (release-gates §1.7).
* Pass: every required gate has shown the canary to be no worse than its margin allows, nothing breaches its
  objective, and the numbers are fresh.
* Inconclusive: everything else. It never promotes.

A provider or market that a gate declares adds to the gate's evidence against the canary and has a reading of its own.
One that is too small to tell keeps nobody waiting, unless it is declared required; a pass names it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import inf, log
from typing import Literal, NamedTuple

from croupier.core.gates.evidence import (
    STRATA_PART,
    VANISHED_PART,
    VOLUME_PART,
    Evidence,
    GateEvidence,
    Stratum,
    stake,
)
from croupier.core.gates.likelihood import PointsNotWorse, log_sum_exp
from croupier.core.gates.running import Totals
from croupier.core.gates.series import SeriesEvidence
from croupier.model.service import BUSINESS, stratum_words
from croupier.model.verdict import ArmNumbers, GateReading, Outcome, StratumReading, Verdict

NATS_PER_BAN = log(10.0)
Unit = Literal["players", "requests", "events"]
NEARLY_ALL = 0.9
STALE_SCRAPES = 4
SILENT_SCRAPES = 3


@dataclass(frozen=True, slots=True)
class _Judged:
    """A gate's reading before the gates are merged; evidence in nats."""

    gate: GateEvidence
    lead: SeriesEvidence
    accused: Stratum | None
    """The stratum that what speaks against the canary comes from; None where it comes from all of them."""
    against: float
    against_bar: float
    parts: Mapping[str, float]
    """Code -> what the gate adds to the merged evidence: by failures, by attempts that vanished, by their volume."""
    favour: float
    favour_bar: float
    needs_seconds: float | None
    blocker: str
    """Code of what keeps the gate from passing, or ""."""
    alone: bool
    """The canary has all traffic, so there is nothing to compare it with."""


def fails(evidence: Evidence) -> bool:
    """Whether ``assess`` would say fail, without its numbers and reasons; weight and time make no difference to that.

    For who asks of very many releases and only wants to know which go back.
    """
    if evidence.ledger.broken:
        return True
    everything = sum(stake(gate.spec) for gate in evidence.gates)
    parts: list[float] = []
    for gate in evidence.gates:
        speaking = _speaking(gate, everything)
        if speaking.lead.broken_while_warm:
            return True
        parts += speaking.parts.values()
    return log_sum_exp(parts) >= log(1.0 / evidence.policy.alpha)


def assess(evidence: Evidence, *, weight: int, now: float) -> Verdict:
    """The verdict at ``now`` with ``weight`` percent of traffic on the canary. Changes nothing."""
    alarm = log(1.0 / evidence.policy.alpha)
    everything = sum(stake(gate.spec) for gate in evidence.gates)
    judged = [_judge(evidence, gate, everything, weight, now) for gate in evidence.gates]
    merged = log_sum_exp([part for item in judged for part in item.parts.values()])
    worst = max(judged, key=lambda item: max(item.parts.values()))
    broken = next((item for item in judged if item.lead.broken_while_warm), None)
    failed = broken or (worst if merged >= alarm else None)
    readings = tuple(_reading(evidence, item, failed=item is failed, now=now) for item in judged)

    ledger = _ledger(evidence)
    if ledger is not None and ledger.outcome is Outcome.FAIL:
        outcome, code, reason, needs = Outcome.FAIL, ledger.code, ledger.message, None
    elif failed is not None:
        reading = readings[judged.index(failed)]
        outcome, code, reason, needs = Outcome.FAIL, reading.code, reading.message, None
    else:
        outcome, code, reason, needs = _promotion(judged, readings)
    return Verdict(
        outcome=outcome,
        code=code,
        reason=reason,
        gates=readings if ledger is None else (*readings, ledger),
        against=_bans(merged),
        against_bar=_bans(alarm),
        needs_seconds=needs,
    )


def _promotion(judged: list[_Judged], readings: tuple[GateReading, ...]) -> tuple[Outcome, str, str, float | None]:
    held: list[GateReading | StratumReading] = []
    for item, reading in zip(judged, readings, strict=True):
        if _withholds(item) or (item.gate.spec.role == "required" and reading.outcome is not Outcome.PASS):
            held.append(reading)
        elif item.gate.spec.role == "veto":
            held += [each for each in reading.strata if each.required and each.outcome is not Outcome.PASS]
    if held:
        worst = max(held, key=lambda reading: inf if reading.needs_seconds is None else reading.needs_seconds)
        return Outcome.INCONCLUSIVE, worst.code, worst.message, worst.needs_seconds
    required = [reading.gate for reading in readings if reading.role == "required"]
    if not required:
        return Outcome.INCONCLUSIVE, "nothing-required", "no gate is required, so nothing can show a pass", None
    told = f"{', '.join(required)}: no worse than the margin allows"
    untold = [
        f"{reading.gate} {each.words}"
        for reading in readings
        for each in reading.strata
        if reading.role == "required" and each.outcome is Outcome.INCONCLUSIVE
    ]
    return Outcome.PASS, "not-worse", f"{told}; not known of {', '.join(untold)}" if untold else told, None


def _withholds(item: _Judged) -> bool:
    """Whether the gate keeps the others waiting, whatever its role. What it has against the canary does not end because
    nothing is heard of it any more."""
    return item.blocker in ("slo-breach", "shared-incident", "set-aside") or _is_breached(item.gate)


class _Speaking(NamedTuple):
    """What speaks against the canary in one gate; fields as in ``_Judged``."""

    lead: SeriesEvidence
    accused: Stratum | None
    against: float
    share: float
    """The gate's part of the stake."""
    parts: dict[str, float]


def _speaking(gate: GateEvidence, everything: float) -> _Speaking:
    share = log(gate.spec.importance / everything)
    against, lead, accused = _against(gate)
    parts = {"worse": against + share}
    if gate.spec.signal != "latency":
        code = "silent" if lead.silence.lasting else "vanished"
        parts[code] = lead.vanished.log_evidence + share + log(VANISHED_PART)
    if gate.spec.signal in BUSINESS:
        volume = lead.volume
        code = "fewer" if volume.log_fewer >= volume.log_more else "more"
        parts[code] = volume.log_evidence + share + log(VOLUME_PART)
    return _Speaking(lead, accused, against, share, parts)


def _judge(evidence: Evidence, gate: GateEvidence, everything: float, weight: int, now: float) -> _Judged:
    policy = evidence.policy
    favour_bar = log(1.0 / policy.beta)
    lead, accused, against, share, parts = _speaking(gate, everything)
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
        accused=accused,
        against=against,
        against_bar=log(1.0 / policy.alpha) - share,
        parts=parts,
        favour=favour,
        favour_bar=favour_bar,
        needs_seconds=None if needs is None or needs == inf else needs,
        blocker=blocker,
        alone=weight >= 100,
    )


def _against(gate: GateEvidence) -> tuple[float, SeriesEvidence, Stratum | None]:
    """The gate's evidence against the canary, the series that leads, and the stratum it comes from."""
    logs = [series.log_against for series in gate.series]
    lead = gate.series[logs.index(max(logs))]
    whole = log_sum_exp(logs) - log(len(logs))
    if not gate.strata:
        return whole, lead, None
    share = _stratum_share(gate)
    parts = [stratum.series.log_against + share for stratum in gate.strata]
    merged = log_sum_exp([whole + log(1.0 - STRATA_PART), *parts])
    loudest = max(gate.strata, key=lambda stratum: (stratum.series.log_against, stratum.name))
    return merged, lead, loudest if _is_all_of_it(loudest.series, lead) else None


def _is_all_of_it(stratum: SeriesEvidence, whole: SeriesEvidence) -> bool:
    """Whether the failures are the stratum's: nearly all of the evidence is, and it fails more than the whole does."""
    return (
        stratum.log_against >= NEARLY_ALL * whole.log_against
        and NEARLY_ALL * stratum.judged.canary_ratio >= whole.judged.canary_ratio
    )


def _stratum_share(gate: GateEvidence) -> float:
    return log(STRATA_PART / len(gate.strata))


def _blocker(evidence: Evidence, gate: GateEvidence, *, weight: int, now: float) -> str:
    """What keeps the gate from passing, worst first."""
    scrape = evidence.scrape_seconds
    if any(_is_stale(evidence, series, now) for series in gate.series):
        return "no-data"
    if _is_breached(gate):
        return "slo-breach"
    if any(series.set_aside.holding for series in gate.series):
        return "set-aside"
    if any(series.silent_seconds > SILENT_SCRAPES * scrape for series in gate.series):
        return "silent"
    if weight < 100 and gate.spec.signal != "latency" and any(series.incident.active for series in gate.series):
        return "shared-incident"
    if any(series.is_partial for series in gate.series):
        return "partial"
    if any(series.is_still for series in gate.series):
        return "still"
    if now < evidence.warm_until:
        return "warming-up"
    if not any(series.tells_favour for series in gate.series):
        return "not-telling"
    return ""


def _is_breached(gate: GateEvidence) -> bool:
    return any(series.guard is not None and series.guard.log_evidence >= series.guard.bar for series in gate.series)


def _is_stale(evidence: Evidence, series: SeriesEvidence, now: float) -> bool:
    """Also of a clock that was set back: what it says was counted in its future is as old as nobody knows."""
    scrape = evidence.scrape_seconds
    return series.last_at is None or abs(now - series.last_at) > max(STALE_SCRAPES * scrape, scrape + 10.0)


def _needs(series: SeriesEvidence, favour_bar: float) -> float:
    missing = favour_bar - series.favour.log_evidence
    if missing <= 0.0:
        return 0.0
    # A ratio lives on failures, which may be rare: their long-run figure. Points live on the present state.
    ratio = series.pace.stable_ratio if isinstance(series.favour, PointsNotWorse) else series.judged.stable_ratio
    growth = series.favour.growth(*series.pace.per_second, ratio)
    return missing / growth if growth > 0.0 else inf


def _reading(evidence: Evidence, item: _Judged, *, failed: bool, now: float) -> GateReading:
    spec, lead, unit = item.gate.spec, item.lead, _unit(item)
    needs = item.needs_seconds
    strata = tuple(_stratum_reading(evidence, item, each, failed=failed, now=now) for each in item.gate.strata)
    late = next((each for each in strata if each.required and each.outcome is Outcome.INCONCLUSIVE), None)
    if failed:
        outcome, code = Outcome.FAIL, _failure(item)
        accused = [each for each, of in zip(strata, item.gate.strata, strict=True) if of is item.accused]
        message = accused[0].message if accused and code == "worse" else _message(item, code, unit)
    elif item.blocker:
        outcome, code, message = Outcome.INCONCLUSIVE, item.blocker, _message(item, item.blocker, unit)
    elif late is not None:
        outcome, code, message, needs = Outcome.INCONCLUSIVE, late.code, late.message, late.needs_seconds
    else:
        outcome, code, message = Outcome.PASS, "not-worse", _message(item, "not-worse", unit)
    totals = lead.totals
    return GateReading(
        gate=spec.signal,
        role=spec.role,
        outcome=outcome,
        code=code,
        message=message,
        unit=unit,
        canary=ArmNumbers(bad=totals.canary_bad, total=totals.canary_total),
        stable=ArmNumbers(bad=totals.stable_bad, total=totals.stable_total),
        against=_bans(item.against),
        against_bar=_bans(item.against_bar),
        favour=_bans(item.favour),
        favour_bar=_bans(item.favour_bar),
        dispersion=lead.phi,
        needs_seconds=needs,
        strata=strata,
    )


def _stratum_reading(
    evidence: Evidence, item: _Judged, stratum: Stratum, *, failed: bool, now: float
) -> StratumReading:
    series = stratum.series
    against_bar = item.against_bar - _stratum_share(item.gate)
    is_accused = failed and stratum is item.accused and _failure(item) == "worse"
    outcome, code, needs = Outcome.INCONCLUSIVE, "", None
    if is_accused or series.log_against >= against_bar:
        outcome, code = Outcome.FAIL, "worse"
    elif _is_stale(evidence, series, now):
        code = "no-data"
    elif series.incident.active and not item.alone:
        code = "shared-incident"
    elif series.is_partial:
        code = "partial"
    elif now < evidence.warm_until:
        code = "warming-up"
    elif series.favour.log_evidence >= item.favour_bar:
        outcome, code = Outcome.PASS, "not-worse"
    else:
        needs = _needs(series, item.favour_bar)
        code, needs = ("too-few", None) if needs == inf else ("needs-time", needs)
    totals, what = series.totals, f"{_things(item.gate.spec.signal)} {stratum_words(stratum.by, stratum.name)}"
    tail = _needs_words(needs) if code == "needs-time" else _TAILS[code]
    return StratumReading(
        by=stratum.by,
        name=stratum.name,
        required=stratum.is_required,
        outcome=outcome,
        code=code,
        message=f"{what}: {_numbers(totals, _unit(item))}; {tail}",
        canary=ArmNumbers(bad=totals.canary_bad, total=totals.canary_total),
        stable=ArmNumbers(bad=totals.stable_bad, total=totals.stable_total),
        against=_bans(series.log_against),
        against_bar=_bans(against_bar),
        favour=_bans(series.favour.log_evidence),
        favour_bar=_bans(item.favour_bar),
        needs_seconds=needs,
    )


def _ledger(evidence: Evidence) -> GateReading | None:
    """The reading of the exact invariants; None where nobody watches them."""
    ledger = evidence.ledger
    if not ledger.is_watched:
        return None
    count = sum(ledger.broken.values())
    broken = ", ".join(f"{name} {times:,.0f} times" for name, times in sorted(ledger.broken.items()))
    return GateReading(
        gate="ledger",
        role="veto",
        outcome=Outcome.FAIL if count else Outcome.PASS,
        code="invariant" if count else "kept",
        message=f"ledger: {broken} under the canary; once is once too often" if count else "ledger: nothing amiss",
        unit="events",
        canary=ArmNumbers(bad=count, total=count),
        stable=ArmNumbers(bad=ledger.of_stable, total=ledger.of_stable),
    )


def _failure(item: _Judged) -> str:
    if item.lead.broken_while_warm:
        return "broken-while-warming"
    return max(item.parts, key=item.parts.__getitem__)


def _unit(item: _Judged) -> Unit:
    if item.lead.players:
        return "players"
    return "requests" if item.gate.spec.signal in ("errors", "latency") else "events"


_TAILS = {
    "worse": "worse than stable beyond chance",
    "broken-while-warming": "broken already while warming up",
    "fewer": "the canary's players attempt less per visit than stable's",
    "more": "the canary's players attempt far more per visit than stable's",
    "vanished": "the canary attempts far less than its share of the players would",
    "not-worse": "no worse than the margin allows",
    "no-data": "no fresh complete scrape of both arms, so nothing can be said",
    "slo-breach": "the canary breaches its objective while stable keeps it",
    "set-aside": "one canary pod fails most of its work; set aside until it has lasted 30 s",
    "partial": "not all of the canary's pods are counted, and what the others do nobody knows",
    "still": "nothing of the canary is counted at this weight yet, or nothing at all any more",
    "silent": "the canary gets traffic and nothing is heard of it",
    "shared-incident": "stable fails far more than usual too, so this is not held against or for the canary",
    "warming-up": "still warming up",
    "too-few": "too few to tell at this pace",
    "not-telling": "stable too rarely (or nearly always) exceeds these edges to compare",
}


def _message(item: _Judged, code: str, unit: Unit) -> str:
    numbers = _numbers(item.lead.totals, unit)
    if code in ("fewer", "more"):
        volume = item.lead.volume
        change = 100.0 * (volume.canary / volume.expected - 1.0)
        numbers = f"{volume.canary:,.0f} attempts under the canary, {volume.expected:,.0f} expected ({change:+.0f} %)"
    what = item.lead.name if item.gate.spec.signal == "latency" else _things(item.gate.spec.signal)
    if code == "needs-time":
        tail = _needs_words(item.needs_seconds)
    elif code == "slo-breach" and item.alone:
        tail = "the canary breaches its objective, and with all traffic on it there is nothing to compare it with"
    else:
        tail = _TAILS[code]
    return f"{what}: {numbers}; {tail}"


def _things(signal: str) -> str:
    return {"deposits": "failed deposits", "withdrawals": "failed withdrawals"}.get(signal, signal)


def _numbers(totals: Totals, unit: Unit) -> str:
    return (
        f"canary {totals.canary_bad:,.0f} of {totals.canary_total:,.0f} {unit} ({_percent(totals.canary_ratio)}), "
        f"stable {totals.stable_bad:,.0f} of {totals.stable_total:,.0f} ({_percent(totals.stable_ratio)})"
    )


def _needs_words(seconds: float | None) -> str:
    return f"about {seconds:,.0f} s more" if seconds is not None else "no end in sight at this pace"


def _percent(ratio: float) -> str:
    return f"{100.0 * ratio:.2f} %"


def _bans(nats: float) -> float:
    """Evidence in bans, rounded so that records of it are short and equal everywhere."""
    return round(nats / NATS_PER_BAN, 4) if nats > -inf else -99.0
