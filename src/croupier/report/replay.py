"""What came of judging recorded evidence again, as text."""

from __future__ import annotations

from croupier.model.replay import Replay, RunReplay
from croupier.report.format import readable, table


def replay_text(replay: Replay) -> str:
    """One line a run, then every difference with its entry, then the answer."""
    if not replay.runs:
        return "No releases yet: there is no verdict to judge again."
    rows = [(run.run, f"{run.verdicts} verdicts", _outcome(run)) for run in replay.runs]
    lines = table(rows, right=(1,), indent="")
    found = [(run.run, difference) for run in replay.runs for difference in run.differences]
    if found:
        lines += ["", *(f"{run}, entry {each.entry}: {readable(each.problem)}" for run, each in found)]
    verdicts = sum(run.verdicts for run in replay.runs)
    answer = "all came out as they were written" if replay.ok else f"{len(found)} came out otherwise"
    return "\n".join([*lines, "", f"{verdicts} verdicts of {len(replay.runs)} runs judged again: {answer}"])


def _outcome(run: RunReplay) -> str:
    differences = f"{len(run.differences)} DIFFERENT" if run.differences else "as written"
    return differences + (f"; evidence of {run.unstored} could not be stored then" if run.unstored else "")
