"""The phases of a run and what leads from one to the next. What is not in the table is an error.

Events are journal entries of the same kind. The page ``docs/reference/run-phases.md`` is made from the table by
``page()``; a test holds them together.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

from croupier.errors import IntegrityError


class Phase(StrEnum):
    PLANNED = "planned"
    PREPARING = "preparing"
    SETTLING = "settling"
    HOLDING = "holding"
    HELD = "held"
    PAUSED = "paused"
    PASSED = "passed"
    PROMOTING = "promoting"
    PROMOTED = "promoted"
    ROLLING_BACK = "rolling-back"
    ROLLED_BACK = "rolled-back"


class Event(StrEnum):
    """Kinds of journal entries that move a run."""

    STARTED = "run.started"
    ENTERED = "step.entered"
    SETTLED = "step.settled"
    PASSED = "step.passed"
    HELD = "step.held"
    PAUSED = "run.paused"
    RESUMED = "run.resumed"
    PROMOTING = "run.promoting"
    ROLLING_BACK = "run.rolling-back"
    ENDED = "run.ended"


TABLE: Mapping[Phase, Mapping[Event, Phase]] = {
    Phase.PLANNED: {Event.STARTED: Phase.PREPARING},
    Phase.PREPARING: {Event.SETTLED: Phase.PASSED, Event.ROLLING_BACK: Phase.ROLLING_BACK},
    Phase.SETTLING: {
        Event.SETTLED: Phase.HOLDING,
        Event.HELD: Phase.HELD,
        Event.PAUSED: Phase.PAUSED,
        Event.ROLLING_BACK: Phase.ROLLING_BACK,
    },
    Phase.HOLDING: {
        Event.PASSED: Phase.PASSED,
        Event.HELD: Phase.HELD,
        Event.PAUSED: Phase.PAUSED,
        Event.ROLLING_BACK: Phase.ROLLING_BACK,
    },
    Phase.HELD: {
        Event.PASSED: Phase.PASSED,
        Event.RESUMED: Phase.SETTLING,
        Event.ROLLING_BACK: Phase.ROLLING_BACK,
    },
    Phase.PAUSED: {Event.RESUMED: Phase.SETTLING, Event.ROLLING_BACK: Phase.ROLLING_BACK},
    # Written in the same commit as what follows: nobody ever sees a run rest here.
    Phase.PASSED: {Event.ENTERED: Phase.SETTLING, Event.PROMOTING: Phase.PROMOTING},
    Phase.PROMOTING: {Event.ENDED: Phase.PROMOTED, Event.ROLLING_BACK: Phase.ROLLING_BACK},
    Phase.ROLLING_BACK: {Event.ENDED: Phase.ROLLED_BACK},
    Phase.PROMOTED: {},
    Phase.ROLLED_BACK: {},
}

ENDS = frozenset({Phase.PROMOTED, Phase.ROLLED_BACK})

_MEANING = {
    Phase.PLANNED: "written down, nothing done",
    Phase.PREPARING: "the canary's pods start; no player is on it",
    Phase.SETTLING: "a step's pods and split are being set and are not confirmed",
    Phase.HOLDING: "the gates watch a confirmed split",
    Phase.HELD: "no verdict by the deadline, or the objective is missed at 100 %: a person decides; or a freeze lasts",
    Phase.PAUSED: "a person stopped the steps; gates still take the run back",
    Phase.PASSED: "a step is done; the next begins in the same commit",
    Phase.PROMOTING: "the canary becomes the only version; going back is open while nobody confirms, or sockets stay",
    Phase.PROMOTED: "the end: the canary is the stable version",
    Phase.ROLLING_BACK: "capacity, then traffic, then the canary is retired",
    Phase.ROLLED_BACK: "the end: stable serves everybody",
}


def next_phase(phase: Phase, event: Event) -> Phase:
    """The phase after ``event``. Raises ``IntegrityError`` when the table has no such way."""
    after = TABLE[phase].get(event)
    if after is None:
        known = ", ".join(TABLE[phase]) or "nothing"
        raise IntegrityError(f"{event} cannot follow while a run is {phase}; known: {known}")
    return after


def page() -> str:
    """The reference page: a diagram and a table, as Markdown."""
    lines = [
        "# The phases of a run",
        "",
        "Made from the transition table in `croupier.core.phases`; do not edit. Each arrow is a journal entry of that",
        "kind. Anything else is refused.",
        "",
        "```mermaid",
        "stateDiagram-v2",
        f"    [*] --> {_node(Phase.PLANNED)}",
    ]
    for phase, ways in TABLE.items():
        lines += [f"    {_node(phase)} --> {_node(after)}: {event}" for event, after in ways.items()]
        if not ways:
            lines.append(f"    {_node(phase)} --> [*]")
    lines += ["```", "", "| phase | what it means | leaves by |", "|---|---|---|"]
    for phase, ways in TABLE.items():
        leaves = ", ".join(f"`{event}` → {after}" for event, after in ways.items()) or "–"
        lines.append(f"| {phase} | {_MEANING[phase]} | {leaves} |")
    return "\n".join(lines) + "\n"


def _node(phase: Phase) -> str:
    return phase.replace("-", "_")
