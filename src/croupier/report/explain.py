"""A run explained in words: why it ended as it did, how sure the gates were and what would have been needed.

No statistics are asked of the reader: evidence is told as "in 1 of N releases", which is what it promises
(docs/explanation/gates.md). ``picture`` draws the same value.
"""

from __future__ import annotations

from collections.abc import Sequence

from croupier.model.explanation import Explanation, GateStory, StepSpan
from croupier.model.release import Margin
from croupier.model.verdict import GateReading
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

SPARKS = "▁▂▃▄▅▆▇█"
SPARK_CELLS = 24
_BIG = 1e6

THINGS = {
    "deposits": "failed deposits",
    "withdrawals": "failed withdrawals",
    "bets": "failed bets",
    "logins": "failed logins",
    "errors": "errors",
    "latency": "slow requests",
}
"""Signal -> what its failures are called."""


def one_of(bans: float) -> str:
    """Evidence as people read it: in how many releases luck alone would show as much. ``1 of 162``; "" for none."""
    if bans <= 0.0:
        return ""
    chance = 10.0**bans if bans < 18 else float("inf")
    if chance >= _BIG:
        return "fewer than 1 of a million"
    return f"1 of {count(chance)}" if chance >= 10 else f"1 of {chance:.1f}"


def explanation_text(told: Explanation) -> str:
    """For a terminal: what happened, why, how sure, and what would have been needed."""
    lines = [f"{told.run}  {told.service}: {headline(told)}"]
    lines += [f"  stable  {version(told.stable)}", f"  canary  {version(told.canary)}"]
    for title, sentences in (
        ("Why", why(told)),
        ("How sure", sure(told)),
        ("What would have been needed", needed(told)),
    ):
        if sentences:
            lines += ["", title, *(f"  {sentence}" for sentence in sentences)]
    if told.steps:
        lines += ["", "Steps", *table(_steps(told), right=(1, 2, 3))]
    if told.gates:
        lines += ["", f"Evidence, {_span(told)}: a full bar █ is the bar to reach", *table(_evidence(told))]
        lines += [
            "",
            "Failures of both while the canary had players",
            *table(_failures(told.gates), right=(1, 2, 3, 4)),
        ]
    return "\n".join(lines)


def headline(told: Explanation) -> str:
    """``rolled back after 1 min 12 s``."""
    last = told.ended_at
    if told.outcome == "running":
        return "still running"
    words = told.outcome.replace("-", " ")
    return words if last is None else f"{words} after {duration(last - told.started_at)}"


def why(told: Explanation) -> list[str]:
    """The reason, when it fell and at what weight."""
    if told.verdict is None and told.outcome == "running":
        return ["No verdict has fallen: the gates have not been asked yet."]
    sentences = [readable(told.reason)] if told.reason else []
    failed = told.verdict is not None and told.verdict.outcome == "fail"
    if told.outcome == "rolled-back" and not (told.by_gates and failed):
        sentences.append(f"The gates did not bring this about ({told.code}).")
        if told.verdict is not None and not failed:
            sentences.append(f"What they last said: {told.verdict.outcome}; {readable(told.verdict.reason)}")
    if told.verdict is not None and told.verdict_at is not None:
        first = told.first_players_at
        counted = "" if first is None else f", {duration(told.verdict_at - first)} after its players were first counted"
        step = _step_at(told.steps, told.verdict_at)
        place = "" if step is None else f", at {step.weight} % of players"
        word = {"fail": "They failed it", "pass": "They first passed it", "inconclusive": "They could not tell from"}
        sentences.append(f"{word[told.verdict.outcome]} {timestamp(told.verdict_at)}{counted}{place}.")
    return sentences


def sure(told: Explanation) -> list[str]:
    """How strong the evidence was, in releases, against the bars."""
    if told.verdict is None:
        return []
    sentences = []
    bar = f"{count(1 / told.alpha)}"
    if told.verdict.outcome == "fail":
        sentences.append(
            f"If the canary were no worse than stable, chance alone would show as much in "
            f"{one_of(told.verdict.against)} releases. The bar for going back is 1 of {bar}."
        )
    else:
        against = one_of(told.verdict.against)
        shown = f"would be seen in {against} releases by chance" if against else "is nothing"
        sentences.append(f"What speaks against the canary {shown}; the bar for going back is 1 of {bar}.")
    for gate in told.gates:
        if gate.role == "required" and gate.passed_at is not None and gate.failed_at is None:
            sentences.append(
                f"{gate.gate}: a canary that {too_bad(gate.margin)} would look as good in {one_of(gate.last.favour)} "
                f"releases. The bar for going on is 1 of {count(1 / told.beta)}."
            )
    return sentences


def needed(told: Explanation) -> list[str]:
    """What would have turned each gate that decided, or that kept a step waiting."""
    sentences = []
    for gate in told.gates:
        last = gate.last
        what = THINGS.get(gate.gate, gate.gate)
        if last.outcome == "fail" and gate.tolerated is not None:
            sentences.append(
                f"{gate.gate}: with at most {gate.tolerated} {what} of the canary's {count(last.canary.total)} "
                f"instead of {count(last.canary.bad)}, it would not have been taken back by then."
            )
        elif last.outcome == "fail" and last.code in ("vanished", "silent", "fewer"):
            sentences.append(f"{gate.gate}: as many attempts as the canary's share of players makes.")
        elif last.outcome == "inconclusive" and gate.role == "required":
            sentences.append(f"{gate.gate}: {_waited(gate, told)}")
        sentences += [
            f"{gate.gate} {each.words}: {each.message.partition('; ')[2]}; nobody waited for it."
            for each in last.strata
            if each.outcome == "inconclusive" and last.outcome == "pass" and gate.role == "required"
        ]
    return sentences


def _waited(gate: GateStory, told: Explanation) -> str:
    last = gate.last
    if last.needs_seconds is not None and last.code == "needs-time":
        return (
            f"about {duration(last.needs_seconds)} more like those before, until a canary that {too_bad(gate.margin)} "
            f"would look as good in only 1 of {count(1 / told.beta)} releases."
        )
    return readable(last.message.partition("; ")[2] or last.message)


def too_bad(margin: Margin) -> str:
    """What a canary at the margin does: ``fails 2 percentage points more``."""
    if margin.points is not None:
        return f"fails {margin.points:g} percentage point{'s' if margin.points != 1 else ''} more"
    return f"fails {margin.ratio:g} times as often"


def _span(told: Explanation) -> str:
    if not told.together:
        return "no scrape with players"
    first, last = told.together[0].at, told.together[-1].at
    return f"{len(told.together)} scrapes from {clock(first)} to {clock(last)} UTC"


def _steps(told: Explanation) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("step", "players", "entered", "watched", "")]
    for span, following in zip(told.steps, [*told.steps[1:], None], strict=True):
        end = span.passed_at or (following.entered_at if following else told.verdict_at or told.ended_at)
        watched = UNKNOWN if span.settled_at is None or end is None else duration(max(0.0, end - span.settled_at))
        outcome = "passed" if span.passed_at is not None else ""
        rows.append((span.name, f"{span.weight} %", clock(span.entered_at), watched, outcome))
    return rows


def _evidence(told: Explanation) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("gate", "against the canary", "", "in its favour", "")]
    for gate in told.gates:
        last = gate.last
        rows.append(
            (
                gate.gate,
                sparkline([point.against for point in gate.points], last.against_bar),
                _of_bar(last.against, last.against_bar),
                sparkline([point.favour for point in gate.points], last.favour_bar),
                _of_bar(last.favour, last.favour_bar),
            )
        )
        rows += [
            (
                f"  {each.last.words}",
                sparkline(each.against, each.last.against_bar),
                _of_bar(each.last.against, each.last.against_bar),
                sparkline(each.favour, each.last.favour_bar),
                _of_bar(each.last.favour, each.last.favour_bar),
            )
            for each in gate.strata
        ]
    if told.verdict is not None:
        merged = [point.against for point in told.together]
        bar = told.verdict.against_bar
        rows.append(("together", sparkline(merged, bar), _of_bar(told.verdict.against, bar), "", ""))
    return rows


def _of_bar(value: float, bar: float) -> str:
    """``reached`` or how much of the bar."""
    if bar <= 0.0:
        return UNKNOWN
    if value >= bar:
        return "reached"
    return f"{100 * max(0.0, value) / bar:.0f} % of the bar"


def sparkline(values: Sequence[float], bar: float) -> str:
    """Values over time, at most ``SPARK_CELLS`` of them; the highest block means the bar was reached."""
    if not values or bar <= 0.0:
        return UNKNOWN
    cells = min(SPARK_CELLS, len(values))
    # The last value of each cell: the line ends where the record does.
    shown = [values[(index + 1) * len(values) // cells - 1] for index in range(cells)]
    top = len(SPARKS) - 1
    return "".join(SPARKS[top if value >= bar else min(top - 1, int(max(0.0, value) / bar * top))] for value in shown)


def _failures(gates: Sequence[GateStory]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("gate", "canary", "", "stable", "")]
    for gate in gates:
        last: GateReading = gate.last
        rows.append(
            (
                gate.gate,
                bad_of_total(last.canary),
                bad_ratio(last.canary),
                bad_of_total(last.stable),
                bad_ratio(last.stable),
            )
        )
        rows += [
            (
                f"  {each.words}",
                bad_of_total(each.canary),
                bad_ratio(each.canary),
                bad_of_total(each.stable),
                bad_ratio(each.stable),
            )
            for each in last.strata
        ]
    return rows


def _step_at(steps: Sequence[StepSpan], at: float) -> StepSpan | None:
    return next((step for step in reversed(steps) if step.entered_at < at), None)
