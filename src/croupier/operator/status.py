"""What people see of a service and of a run with ``kubectl``: values and conditions. Pure.

Conditions follow kstatus, so that ``kubectl wait``, Argo CD and Flux understand them: Ready says whether what Git asks
for serves everybody; Reconciling that croupier is at it; Stalled that it is not, and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Literal, NamedTuple

from croupier.core.intent import Move
from croupier.model.digest import short
from croupier.model.objects import JsonObject
from croupier.model.release_object import (
    CommandAnswer,
    Condition,
    GateStatus,
    PolicyStatus,
    ReleaseStatus,
    RouteStatus,
)
from croupier.model.verdict import GateReading
from croupier.model.view import RunView


class Word(NamedTuple):
    """The three conditions in one: which of them holds, and why."""

    state: Literal["ready", "reconciling", "stalled"]
    reason: str
    message: str


def rfc3339(at: float | None) -> str:
    """Seconds since the epoch as Kubernetes writes times; "" for None."""
    return "" if at is None else datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def conditions(word: Word, generation: int, now: float, before: Iterable[Mapping[str, Any]]) -> tuple[Condition, ...]:
    """Ready, Reconciling and Stalled; a condition whose status is as before keeps the time of its last change."""
    since = {(each.get("type"), each.get("status")): each.get("lastTransitionTime", "") for each in before}
    found = []
    for kind in ("Ready", "Reconciling", "Stalled"):
        holds: Literal["True", "False"] = "True" if kind.lower() == word.state else "False"
        found.append(
            Condition(
                type=kind,
                status=holds,
                reason=word.reason,
                message=word.message,
                observed_generation=generation,
                last_transition_time=since.get((kind, holds)) or rfc3339(now),
            )
        )
    return tuple(found)


def word_of(move: Move, run: RunView | None, fault: str, refused: str = "") -> Word:
    """The state of a service in one word.

    Args:
        move: what is next.
        run: the live run, or the last one.
        fault: what keeps the operator from looking after the service.
        refused: why the desk does not begin the release that is next.
    """
    if fault:
        return Word("stalled", "Fault", fault)
    if run is not None and run.ended_at is None:
        return word_of_run(run)
    if refused:
        return Word("stalled", "Refused", refused)
    if move.code in ("UpToDate", "Left", "Suspended"):
        return Word("ready", move.code, move.text)
    goes_on = move.kind != "rest" or move.code == "Freeze"  # the end of a freeze needs nobody
    return Word("reconciling" if goes_on else "stalled", move.code, move.text)


def word_of_run(run: RunView) -> Word:
    """The state of a run in one word."""
    if run.outcome == "promoted":
        return Word("ready", "Promoted", run.reason)
    if run.outcome is not None:
        return Word("stalled", "RolledBack", run.reason)
    if (run.phase, run.code) == ("held", "freeze"):
        return Word("reconciling", "Freeze", f"{run.run} waits for {run.waiting_for}; {run.next}")
    if run.phase in ("held", "paused"):
        return Word("stalled", run.phase.capitalize(), run.reason or run.waiting_for)
    return Word("reconciling", "Releasing", run.waiting_for or run.next)


def policy_status(
    *,
    stable: str | None,
    wanted: str | None,
    run: RunView | None,
    word: Word,
    routes: tuple[RouteStatus, ...],
    generation: int,
    now: float,
    before: Mapping[str, Any],
) -> PolicyStatus:
    """Status of a ``ReleasePolicy``. ``before``: the status as it is stored."""
    is_live = run is not None and run.ended_at is None
    return PolicyStatus(
        observed_generation=generation,
        stable=short(stable or ""),
        wanted=short(wanted or ""),
        run=run.run if run is not None else "",
        phase=run.phase if run is not None else "",
        step=run.step_name if run is not None and is_live else "",
        weight=run.weight if run is not None and is_live else 0,
        gate=_gate(run),
        routes=routes,
        conditions=conditions(word, generation, now, before.get("conditions") or ()),
    )


def release_status(
    run: RunView, *, generation: int, now: float, command: CommandAnswer | None, before: Mapping[str, Any]
) -> ReleaseStatus:
    """Status of a ``Release``."""
    gates = run.verdict.gates if run.verdict is not None else ()
    return ReleaseStatus(
        observed_generation=generation,
        phase=run.phase,
        step=run.step_name,
        weight=run.weight,
        gate=_gate(run),
        outcome=run.outcome or "",
        code=run.code,
        reason=run.reason,
        waiting_for=run.waiting_for,
        next=run.next,
        stable=short(run.stable.digest),
        canary=short(run.canary.digest),
        started_at=rfc3339(run.started_at),
        ended_at=rfc3339(run.ended_at),
        gates=tuple(_gate_statuses(gates)),
        command=command,
        conditions=conditions(word_of_run(run), generation, now, before.get("conditions") or ()),
    )


def _gate_statuses(gates: Iterable[GateReading]) -> Iterator[GateStatus]:
    """Each gate, followed by the providers and markets that it judges by themselves."""
    for gate in gates:
        yield GateStatus(name=gate.gate, outcome=gate.outcome, message=gate.message)
        for each in gate.strata:
            yield GateStatus(name=f"{gate.gate} {each.words}", outcome=each.outcome, message=each.message)


def stored(status: PolicyStatus | ReleaseStatus) -> JsonObject:
    """As it is written into the object."""
    return status.model_dump(mode="json", by_alias=True, exclude_none=True)


def differs(status: JsonObject, before: Mapping[str, Any], *, but_in_words: bool = False) -> bool:
    """Whether it is worth a write: the times of unchanged conditions do not count, and neither does order.

    ``but_in_words``: sentences do not count either.
    """
    return _comparable(status, but_in_words) != _comparable(before, but_in_words)


_WORDS = frozenset({"message", "waitingFor"})


def _comparable(value: Any, without_words: bool) -> object:
    if isinstance(value, Mapping):
        left_out = _WORDS if without_words else ()
        return {key: _comparable(each, without_words) for key, each in value.items() if key not in left_out}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return sorted((_comparable(each, without_words) for each in value), key=repr)
    return value


def _gate(run: RunView | None) -> str:
    return run.verdict.outcome if run is not None and run.verdict is not None else ""
