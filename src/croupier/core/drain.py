"""How long the sockets of a version that leaves are waited for: until none is open, or its time is over (S4.5, S6.7).

A split moves new connections only: who holds a socket stays with its version. So a version whose players have gone to
another one ends once the data plane counts no socket to it, or ``drainSeconds`` after the last player was sent to it;
what is open then is cut with its pods, and told. Pure; called by ``decide``, ``due`` and who gathers.
"""

from __future__ import annotations

from dataclasses import dataclass

from croupier.core.phases import Phase
from croupier.core.run import RunState
from croupier.core.snapshot import Snapshot
from croupier.model.plan import Plan

HEARD_SECONDS = 5.0
"""By then all proxies know of a change of the split."""

COUNT_SECONDS = 5.0
"""Open sockets are counted so often while they are waited for; each count asks every pod."""
COUNT_SHARE = 0.2
"""Sooner at the beginning: after so much of the time that was waited, which is all that a wait gets longer by."""


@dataclass(frozen=True, slots=True)
class Drained:
    """The end of the wait. ``sockets``: still open, and cut by it; None: nobody could count them."""

    sockets: int | None
    seconds: float


def has_moved(state: RunState, s: Snapshot) -> bool:
    """Whether the data plane confirms, for the first time, that the old version gets no more players."""
    if not state.plan.waits_for_sockets or state.phase is not Phase.PROMOTING or state.moved_at is not None:
        return False
    return s.split is not None and s.split.weights.get(state.plan.stable, 0) == 0


def leaving(state: RunState) -> str | None:
    """Digest of the version whose sockets are waited for now; None: of none."""
    if not state.plan.waits_for_sockets or state.drained_at is not None:
        return None
    match state.phase:
        case Phase.ROLLING_BACK if state.zero_at is not None:
            return state.plan.canary
        case Phase.PROMOTING if state.moved_at is not None:
            return state.plan.stable
        case _:
            return None


def may_turn_back(state: RunState) -> bool:
    """Whether a run that promotes may be taken back: while sockets to the old version are waited for, its pods are
    there; and it must not last until somebody confirms that the old version is left."""
    if state.phase is not Phase.PROMOTING or not state.current.way_back:
        return False
    return "traffic" in state.faults or (state.plan.waits_for_sockets and state.drained_at is None)


def seconds_left(state: RunState, now: float) -> float:
    """How long sockets of the version that leaves may stay open yet."""
    return max(0.0, state.plan.drain_seconds - (now - _since(state, now)))


def is_count_due(state: RunState, now: float, counted_at: float) -> bool:
    """Whether the sockets of the version that leaves are to be counted again: not in every round, but at the end of the
    wait, so that what is told of those that are cut is true. ``counted_at``: the last time, -inf for none."""
    waited = now - _since(state, now)
    is_over = waited >= state.plan.drain_seconds
    return is_over or not 0.0 <= now - counted_at < min(COUNT_SECONDS, COUNT_SHARE * waited)


def retire_seconds(plan: Plan) -> float:
    """How long pods of a version of this plan have once they are told to end. Sockets have been waited for by then:
    proxies are yet to hear that nobody is sent there."""
    return min(plan.drain_seconds, HEARD_SECONDS) if plan.waits_for_sockets else plan.drain_seconds


def assess_drain(state: RunState, s: Snapshot) -> Drained | None:
    """The end of the wait, once it has come. A count of the look at which players left is none yet: what was on its
    way to the version may not have been opened."""
    seconds = s.now - _since(state, s.now)
    if leaving(state) is None or seconds <= 0.0:
        return None
    is_over = s.open_sockets == 0 or seconds >= state.plan.drain_seconds
    return Drained(s.open_sockets, seconds) if is_over else None


def _since(state: RunState, now: float) -> float:
    since = state.zero_at if state.phase is Phase.ROLLING_BACK else state.moved_at
    return now if since is None else since
