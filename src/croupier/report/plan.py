"""A plan and its forecast as text: what would happen, how long it takes, what harm it would find and at what price."""

from __future__ import annotations

from croupier.model.release import GateSpec, Margin
from croupier.model.view import ForecastView, PlanPreview
from croupier.report.checklist import STATES
from croupier.report.format import UNKNOWN, count, duration, readable, table, version


def plan_text(preview: PlanPreview) -> str:
    """The plan for a person, at most about 100 columns wide. Ends before the next command, which the CLI knows."""
    release = preview.plan.release
    lines = [
        f"{release.service}: {version(preview.stable)} → {version(preview.canary)}",
        *([f"  {readable(preview.canary.description)}"] if preview.canary.description else []),
        "",
        "Steps",
        *_steps(preview),
        f"  A step lasts {duration(release.dwell_seconds)} at least and {duration(release.deadline_seconds)} at most; "
        + _at_deadline(preview),
        "",
        "Gates",
        *_gates(release.policy.gates),
        f"  Together they take back a harmless release in at most {100 * release.policy.alpha:g} % of cases.",
        "",
        "If it were bad",
        *_faults(preview.forecast),
        *_strata(preview.forecast),
    ]
    lines += ["", *_checklist(preview), *_frozen(preview), "", *_conclusion(preview.forecast)]
    return "\n".join(lines)


def _steps(preview: PlanPreview) -> list[str]:
    rows = [("players", "expected", "waits for")]
    for step in preview.forecast.steps:
        seconds = duration(step.seconds) if step.seconds is not None else "not in time"
        rows.append((f"{step.weight} %", seconds, step.waits_for))
    return table(rows, right=(0,))


def _at_deadline(preview: PlanPreview) -> str:
    back = any(step.hold.at_deadline == "back" for step in preview.plan.steps)
    return "without a pass by then it goes back." if back else "without a pass by then it holds and calls a person."


def _gates(gates: tuple[GateSpec, ...]) -> list[str]:
    rows = [("", "", "still as good as stable means")]
    for gate in gates:
        role = "must pass" if gate.role == "required" else "may only take back"
        rows.append((gate.signal, role, margin_text(gate.margin)))
    return table(rows)


def margin_text(margin: Margin) -> str:
    """What a margin allows, in words."""
    if margin.ratio is not None:
        return f"at most {margin.ratio:g} times as many failures"
    return f"at most {margin.points:g} percentage point{'' if margin.points == 1 else 's'} more failures"


def _faults(forecast: ForecastView) -> list[str]:
    rows = [("", "taken back after", "failures served until then")]
    for fault in forecast.faults:
        bad = UNKNOWN if fault.bad_events is None else f"about {count(fault.bad_events)}"
        rows.append((fault.fault, duration(fault.seconds) if fault.seconds is not None else "not in time", bad))
    return table(rows)


def _strata(forecast: ForecastView) -> list[str]:
    """What can be seen of each provider or market by itself; nothing where none is declared."""
    if not forecast.strata:
        return []
    rows = [("", "", "a second", "taken back after", "failures until then", "passes by itself after")]
    for each in forecast.strata:
        rows.append(
            (
                f"{each.gate} {each.words}",
                "must pass" if each.required else "",
                f"{each.attempts_per_second:.1f}" if each.attempts_per_second else "none seen",
                duration(each.fault_seconds) if each.fault_seconds is not None else "not in time",
                UNKNOWN if each.bad is None else f"about {count(each.bad)}",
                duration(each.pass_seconds) if each.pass_seconds is not None else "not in time",
            )
        )
    return ["", f"Each by itself, if {forecast.strata[0].fault}", *table(rows, right=(2,))]


def _frozen(preview: PlanPreview) -> list[str]:
    return [
        f"  It would be refused now: {each.words}. croupier release start --override-freeze --reason says why not."
        for each in preview.frozen[:1]
    ]


def _checklist(preview: PlanPreview) -> list[str]:
    """What keeps the service from being ready, in a few lines."""
    found = preview.checklist
    if found is None:
        return ["Checklist of production", "  not checked: nobody asks for one of this service"]
    if preview.asks == "warn" and not found.ready:
        red = ", ".join(each.id for each in found.red)
        return [
            "Checklist of production",
            f"  {len(found.red)} of {len(found.lines)} lines are red ({red}); this desk only warns of it: "
            f"croupier release check {found.service} tells why.",
        ]
    return [
        "Checklist of production",
        *table([(each.id, STATES[each.state], each.title) for each in found.lines]),
        *([] if found.ready else ["  It would be refused while a line is red: croupier release check tells why."]),
    ]


def _conclusion(forecast: ForecastView) -> list[str]:
    if forecast.decidable:
        return [f"A healthy version is promoted in about {duration(forecast.seconds)} at the present traffic."]
    return [
        "This plan cannot be decided at the present traffic, so it would be refused:",
        *(f"  {problem}" for problem in forecast.problems),
        "What would make it decidable:",
        *(f"  - {option}" for option in forecast.options),
    ]
