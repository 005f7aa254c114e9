"""The report of a finished run: a value made from the run's last view and its journal, then text or Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from croupier.model.base import Value
from croupier.model.verdict import GateReading
from croupier.model.view import JournalEntryView, Moment, RunView, VersionView
from croupier.report.format import (
    UNKNOWN,
    bad_of_total,
    bad_ratio,
    clock,
    count,
    duration,
    readable,
    table,
    timestamp,
    version,
)
from croupier.report.run import gate_lines, story


class Deed(Value):
    """What a person did to the run."""

    at: float
    who: str
    command: str
    reason: str


class GateTotal(Value):
    """Failures of one gate's signal while the run lasted. ``excess``: those of the canary above stable's rate."""

    gate: str
    unit: str
    canary_bad: float
    canary_total: float
    stable_bad: float
    stable_total: float
    excess: float


class ForecastCheck(Value):
    """Forecast and fact of one figure; None where there was no forecast or the figure does not apply."""

    figure: Literal["promotion", "verdict"]
    """``promotion``: from the start to the end. ``verdict``: from the first step with players to the fail verdict."""
    forecast_seconds: float | None
    actual_seconds: float | None


class RunReport(Value):
    """One finished (or running) run, complete enough to be filed."""

    run: str
    service: str
    stable: VersionView
    canary: VersionView
    outcome: Literal["promoted", "rolled-back", "running"]
    code: str
    reason: str
    started_at: float
    ended_at: float | None
    peak_weight: int
    """Highest percent of players the canary ever had."""
    verdict_to_zero_seconds: float | None
    """From the fail verdict to the moment the data plane sent the canary no more players; None for other ends."""
    totals: tuple[GateTotal, ...]
    gates: tuple[GateReading, ...]
    forecast: tuple[ForecastCheck, ...]
    deeds: tuple[Deed, ...]
    timeline: tuple[Moment, ...]


def report_of(view: RunView, entries: Sequence[JournalEntryView]) -> RunReport:
    """Put a report together. ``entries``: the journal entries of this run, in order."""
    gates = view.verdict.gates if view.verdict else ()
    back_by_gates = view.outcome == "rolled-back" and view.verdict is not None and view.verdict.outcome == "fail"
    to_zero = view.zero_at - view.verdict_at if back_by_gates and view.zero_at and view.verdict_at else None
    return RunReport(
        run=view.run,
        service=view.service,
        stable=view.stable,
        canary=view.canary,
        outcome=view.outcome or "running",
        code=view.code,
        reason=view.reason,
        started_at=view.started_at,
        ended_at=view.ended_at,
        peak_weight=view.peak_weight,
        verdict_to_zero_seconds=to_zero,
        totals=tuple(_total(gate) for gate in gates),
        gates=gates,
        forecast=_checks(view, back_by_gates, entries),
        deeds=tuple(deed for entry in entries if (deed := _deed(entry)) is not None),
        timeline=view.timeline,
    )


def _total(gate: GateReading) -> GateTotal:
    return GateTotal(
        gate=gate.gate,
        unit=gate.unit,
        canary_bad=gate.canary.bad,
        canary_total=gate.canary.total,
        stable_bad=gate.stable.bad,
        stable_total=gate.stable.total,
        excess=gate.excess,
    )


def _checks(view: RunView, back_by_gates: bool, entries: Sequence[JournalEntryView]) -> tuple[ForecastCheck, ...]:
    if view.outcome == "promoted" and view.ended_at is not None:
        expected = view.forecast.seconds if view.forecast else None
        return (
            ForecastCheck(
                figure="promotion", forecast_seconds=expected, actual_seconds=view.ended_at - view.started_at
            ),
        )
    if back_by_gates and view.verdict is not None and view.verdict_at is not None:
        failed = next((gate.gate for gate in view.verdict.gates if gate.outcome == "fail"), None)
        faults = view.forecast.faults if view.forecast else ()
        expected = next((fault.seconds for fault in faults if fault.signal == failed), None)
        began = next((entry.at for entry in entries if entry.kind == "step.entered"), view.started_at)
        return (ForecastCheck(figure="verdict", forecast_seconds=expected, actual_seconds=view.verdict_at - began),)
    return ()


def _deed(entry: JournalEntryView) -> Deed | None:
    who, reason = entry.body.get("who"), entry.body.get("reason", "")
    command = entry.body.get("command", entry.kind.removeprefix("run."))
    if not isinstance(who, str) or entry.kind not in ("command", "run.planned", "run.started"):
        return None
    return Deed(at=entry.at, who=who, command=str(command), reason=str(reason or ""))


def report_text(report: RunReport) -> str:
    """For a terminal."""
    lines = [f"{report.run}  {report.service}: {_headline(report)}"]
    lines += [f"  why       {readable(report.reason)}"] if report.reason else []
    lines += [f"  {name:<9} {value}" for name, value in _facts(report)]
    if report.gates:
        lines += ["", "Gates at the end", *gate_lines(report.gates)]
        lines += ["", "Failures while the canary had players", *table(_totals(report), right=(1, 2, 3, 4))]
    if report.forecast:
        lines += ["", "Forecast", *table(_forecast(report), right=(1, 2))]
    if report.deeds:
        lines += [
            "",
            "Who did what",
            *table([(clock(d.at), d.who, d.command, readable(d.reason)) for d in report.deeds]),
        ]
    lines += [
        "",
        "Timeline (UTC)",
        *table([(clock(moment.at), moment.text) for moment in story(report.timeline)] or [("", "")]),
    ]
    return "\n".join(lines)


def report_markdown(report: RunReport) -> str:
    """For a change record or a chat: the same facts as ``report_text``."""
    lines = [f"# {report.run}: {report.service} {_headline(report)}", ""]
    lines += [f"**Why:** {_escape(readable(report.reason))}", ""] if report.reason else []
    lines += [f"- {name}: {_escape(value)}" for name, value in _facts(report)]
    if report.gates:
        lines += ["", "## Failures while the canary had players", "", *_grid(_totals(report))]
    if report.forecast:
        lines += ["", "## Forecast", "", *_grid(_forecast(report))]
    if report.deeds:
        rows = [("time (UTC)", "who", "what", "reason")]
        rows += [(clock(deed.at), deed.who, deed.command, readable(deed.reason)) for deed in report.deeds]
        lines += ["", "## Who did what", "", *_grid(rows)]
    lines += ["", "## Timeline (UTC)", ""]
    lines += [f"- {clock(moment.at)} {_escape(moment.text)}" for moment in story(report.timeline)]
    return "\n".join(lines)


def _headline(report: RunReport) -> str:
    if report.ended_at is None:
        return "still running"
    return f"{report.outcome.replace('-', ' ')} after {duration(report.ended_at - report.started_at)}"


def _facts(report: RunReport) -> list[tuple[str, str]]:
    facts = [
        ("stable", version(report.stable)),
        ("canary", version(report.canary)),
        ("started", timestamp(report.started_at)),
        ("reached", f"{report.peak_weight} % of players"),
    ]
    if report.verdict_to_zero_seconds is not None:
        facts.append(("back", f"{report.verdict_to_zero_seconds:.1f} s from the verdict to no player on the canary"))
    return facts


def _totals(report: RunReport) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("", "canary", "stable", "canary rate", "more than stable's rate gives")]
    for gate, total in zip(report.gates, report.totals, strict=True):
        rows.append(
            (
                f"{gate.gate} ({gate.unit})",
                bad_of_total(gate.canary),
                bad_of_total(gate.stable),
                bad_ratio(gate.canary),
                count(total.excess),
            )
        )
        rows += [
            (
                f"  {each.words}",
                bad_of_total(each.canary),
                bad_of_total(each.stable),
                bad_ratio(each.canary),
                count(each.excess),
            )
            for each in gate.strata
        ]
    return rows


def _forecast(report: RunReport) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("", "forecast", "actual", "")]
    for check in report.forecast:
        name = "time to promotion" if check.figure == "promotion" else "time to verdict"
        ratio = UNKNOWN
        if check.forecast_seconds and check.actual_seconds is not None:
            ratio = f"{check.actual_seconds / check.forecast_seconds:.2f} times the forecast"
        rows.append((name, duration(check.forecast_seconds), duration(check.actual_seconds), ratio))
    return rows


def _grid(rows: Sequence[Sequence[str]]) -> list[str]:
    head, *body = ([_escape(cell) for cell in row] for row in rows)
    return [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *body)]


def _escape(text: str) -> str:
    """Text as Markdown shows it literally in a table cell or a line."""
    for mark in "\\|*_`<[":
        text = text.replace(mark, f"\\{mark}")
    return text.replace("\n", " ")
