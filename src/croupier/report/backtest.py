"""Past releases under other gates, as text."""

from __future__ import annotations

from croupier.model.backtest import Backtest, BacktestRun
from croupier.report.format import UNKNOWN, count, duration, readable, table

_WORDS = {
    "promoted": "promoted",
    "rolled-back": "rolled back",
    "held": "held",
    "running": "running",
    "unknown": UNKNOWN,
}


def backtest_text(backtest: Backtest) -> str:
    """A table, one release a line, then the reasons of those that end otherwise, then the sum."""
    if not backtest.runs:
        return "Nothing was counted on any canary: there is nothing to judge."
    rows: list[tuple[str, ...]] = [
        ("RUN", "SERVICE", "WAS", "WOULD BE", "AFTER", "AT", "FAILURES SERVED", "OF THESE ABOVE STABLE")
    ]
    rows += [_row(run) for run in backtest.runs]
    lines = table(rows, right=(4, 5), indent="")
    changed = [run for run in backtest.runs if run.is_otherwise]
    if changed:
        lines += ["", "Otherwise than it was:"]
        lines += [f"  {run.run}: {_WORDS[run.told]}, {run.code}: {readable(run.reason)}" for run in changed]
    lines += [
        "",
        f"Gates {backtest.policy}: {backtest.promoted} promoted, {backtest.rolled_back} rolled back, "
        f"{backtest.held} held; {backtest.otherwise} of {len(backtest.runs)} otherwise than it was",
        "Judged on the traffic as it was; failures are those served to players of the canary until then.",
    ]
    return "\n".join(lines)


def _row(run: BacktestRun) -> tuple[str, ...]:
    told = _WORDS[run.told] + (f" at step {run.steps[-1].weight} %" if run.told == "held" and run.steps else "")
    was = _WORDS[run.was] + (f" ({run.was_code})" if run.was == "rolled-back" else "")
    bad = ", ".join(f"{count(each.bad)} {each.gate}" for each in run.harm if each.bad) or "none"
    excess = ", ".join(f"{count(each.excess)} {each.gate}" for each in run.harm if each.excess >= 0.5) or "none"
    return run.run, run.service, was, told, duration(run.seconds), f"{run.weight} %", bad, excess
