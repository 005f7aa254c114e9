"""A run as text: one run in full, many as a table, and what changed between two looks as single lines."""

from __future__ import annotations

from collections.abc import Sequence

from croupier.model.verdict import GateReading, StratumReading
from croupier.model.view import Moment, RunView
from croupier.report.format import (
    UNKNOWN,
    bad_of_total,
    bad_ratio,
    clock,
    duration,
    percent,
    readable,
    table,
    timestamp,
    version,
)

PHASE_WORDS = {
    "preparing": "preparing",
    "settling": "moving players",
    "holding": "watching",
    "held": "held: a person decides",
    "paused": "paused",
    "promoting": "promoting",
    "promoted": "promoted",
    "rolling-back": "going back",
    "rolled-back": "rolled back",
}
"""Phase -> the words people see for it; ``phase_words`` knows a freeze, too."""

REPEATED_FROM = 40
"""Reasons longer than this are told once; shorter ones do not tire."""


def phase_words(view: RunView) -> str:
    return "held by a freeze" if (view.phase, view.code) == ("held", "freeze") else PHASE_WORDS[view.phase]


def list_text(views: Sequence[RunView]) -> str:
    """A table, one run a line, in the order given."""
    if not views:
        return "No releases yet."
    rows = [("RUN", "SERVICE", "VERSION", "PHASE", "PLAYERS", "STARTED", "TOOK")]
    for view in views:
        last = view.ended_at if view.ended_at is not None else view.updated_at
        rows.append(
            (
                view.run,
                view.service,
                version(view.canary),
                phase_words(view),
                f"{view.weight} %",
                timestamp(view.started_at).removesuffix(" UTC"),
                duration(last - view.started_at),
            )
        )
    return "\n".join(table(rows, right=(4,), indent=""))


def status_text(view: RunView) -> str:
    """Everything about one run that a person at 03:00 needs: what happened, what was done, what is safe to do."""
    last = view.ended_at if view.ended_at is not None else view.updated_at
    lines = [
        f"{view.run}  {view.service}  {phase_words(view)}, {duration(last - view.started_at)}"
        + (" since the start" if view.ended_at is None else " from start to end"),
        f"  stable  {version(view.stable)}",
        f"  canary  {version(view.canary)}",
        f"  step    {view.step_name}; {players_text(view)}",
    ]
    if view.reason:
        lines.append(f"  why     {readable(view.reason)}")
    if view.verdict is not None and view.verdict.gates:
        lines += ["", *gate_lines(view.verdict.gates)]
        together = evidence(view.verdict.against, view.verdict.against_bar)
        lines.append(f"  All gates together against the canary: {together}")
    if view.waiting_for:
        lines += ["", f"Waits for {view.waiting_for}"]
    lines += [f"Next      {view.next}"] if view.next else []
    return "\n".join(lines)


def players_text(view: RunView) -> str:
    """Set and observed share in words."""
    if view.observed_share is None or view.band is None:
        return f"{view.weight} % of players set"
    return (
        f"{view.weight} % of players set, {percent(view.observed_share)} of {view.band.players:,} seen "
        f"({percent(view.band.low)} to {percent(view.band.high)} expected)"
    )


def gate_lines(gates: Sequence[GateReading]) -> list[str]:
    """One line a gate: failures of both arms, evidence against and in favour with their bars, time still needed.

    The providers and markets that a gate judges by themselves follow it, a line each.
    """
    rows = [("gate", "", "canary", "", "stable", "", "against", "in favour", "outcome")]
    for gate in gates:
        rows.append(
            (
                gate.gate,
                "must pass" if gate.role == "required" else "veto",
                bad_of_total(gate.canary),
                bad_ratio(gate.canary),
                bad_of_total(gate.stable),
                bad_ratio(gate.stable),
                evidence(gate.against, gate.against_bar),
                evidence(gate.favour, gate.favour_bar),
                outcome_text(gate),
            )
        )
        rows += [
            (
                f"  {each.words}",
                "must pass" if each.required else "",
                bad_of_total(each.canary),
                bad_ratio(each.canary),
                bad_of_total(each.stable),
                bad_ratio(each.stable),
                evidence(each.against, each.against_bar),
                evidence(each.favour, each.favour_bar),
                outcome_text(each),
            )
            for each in gate.strata
        ]
    return table(rows, right=(2, 3, 4, 5))


def evidence(value: float, bar: float) -> str:
    """``1.4/2.0`` in bans; a dash where there is no bar to reach. Less than none is shown as none."""
    return f"{max(value, 0.0):.1f}/{bar:.1f}" if bar > 0 else UNKNOWN


def outcome_text(gate: GateReading | StratumReading) -> str:
    if gate.outcome == "inconclusive" and gate.needs_seconds is not None:
        return f"needs {duration(gate.needs_seconds)}"
    if gate.outcome == "inconclusive":
        return gate.code.replace("-", " ")
    return gate.outcome.value


def change_lines(before: RunView | None, after: RunView) -> list[str]:
    """What happened between two looks, one line a change, oldest first; for logs and pipes.

    The first look gives where the run stands. Evidence that merely grows is no change; an outcome that turns, or data
    that no longer come, are.
    """
    if before is None:
        return [f"{clock(after.updated_at)} {after.run} {after.service}: {phase_words(after)}, {after.step_name}"]
    lines = []
    stamp = clock(after.updated_at)
    known = {gate.gate: gate for gate in before.verdict.gates} if before.verdict else {}
    for gate in after.verdict.gates if after.verdict else ():
        earlier = known.get(gate.gate)
        if earlier is not None and _turned(earlier, gate):
            lines.append(f"{stamp} {after.run} gate {gate.gate}: {outcome_text(gate)}; {gate.message}")
        if earlier is not None and len(earlier.strata) == len(gate.strata):
            lines += [
                f"{stamp} {after.run} gate {gate.gate} {now.words}: {outcome_text(now)}; {now.message}"
                for was, now in zip(earlier.strata, gate.strata, strict=True)
                if now.outcome not in {was.outcome, "fail"}
            ]
    told = story(after.timeline)
    lines += [f"{clock(moment.at)} {after.run} {moment.text}" for moment in told[_told(before, after) :]]
    if after.phase != before.phase and after.phase in ("paused", "held") and after.waiting_for:
        lines.append(f"{stamp} {after.run} {phase_words(after)}, waiting for {after.waiting_for}")
    return lines


def _turned(before: GateReading, after: GateReading) -> bool:
    """Whether a gate's answer is another one. A failing gate is part of the story and needs no line of its own."""
    if after.outcome == "fail":
        return False
    return before.outcome != after.outcome or before.code != after.code == "no-data"


def story(timeline: Sequence[Moment]) -> list[Moment]:
    """The same moments, made for reading: short digests, and a reason that was given before is not given again."""
    told: list[Moment] = []
    for moment in timeline:
        text = readable(moment.text)
        head, _, reason = text.partition(": ")
        if len(reason) > REPEATED_FROM and any(reason in earlier.text for earlier in told):
            text = head
        told.append(Moment(at=moment.at, text=text))
    return told


def _told(before: RunView, after: RunView) -> int:
    """How many moments of the later story were in the earlier one."""
    last = before.timeline[-1] if before.timeline else None
    return next((index + 1 for index, moment in enumerate(after.timeline) if moment == last), 0)


def ending_text(view: RunView) -> str:
    """The last word on a run that has ended: what happened, what croupier did, what is safe to do next."""
    took = duration((view.ended_at or view.updated_at) - view.started_at)
    if view.outcome == "promoted":
        head = f"{view.run} promoted after {took}: {version(view.canary)} serves everybody."
    else:
        head = f"{view.run} rolled back after {took}: {version(view.stable)} serves everybody."
    why = f"Why: {readable(view.reason)}" if view.reason and view.outcome != "promoted" else ""
    speed = ""
    if view.zero_at is not None and view.verdict_at is not None and view.verdict and view.verdict.outcome == "fail":
        speed = f"No player was left on the canary {view.zero_at - view.verdict_at:.1f} s after the verdict."
    cut = ""
    if view.cut_sockets:
        left = "old version" if view.outcome == "promoted" else "canary"
        sockets = "1 socket" if view.cut_sockets == 1 else f"{view.cut_sockets:,} sockets"
        cut = f"Cut: {sockets}, still open to the {left} when its time was over."
    return "\n".join(line for line in (head, speed, cut, why, view.next and f"Next: {view.next}") if line)
