"""What a run does next: a pure function of its state and one snapshot of the world.

``decide`` answers with journal drafts (facts, then moves, then the intent) and the actions due now. It waits for
nothing and remembers nothing: repeated with the same arguments it answers the same, and after a crash the next round
decides anew from what is observed. Called once a round and run by ``croupier.engine.loop``.

Rules (DESIGN §2, S9.7):

- Inconclusive never promotes. Missing data, an unconfirmed split, a share of players outside its band hold the step.
- A failing gate, a crashing canary, or a split that does not land take the run back; so does the deadline of the money
  tier. Others are held at the deadline, and a person decides. What nobody watched counts towards no deadline, once a
  step, nor as dwell or bake.
- A person's ``promote`` skips the dwell of one step. Once croupier has held the run and called a person, it also
  overrules gates that cannot decide, also because stable has no ready pod and nothing is counted of it; never a failing
  gate, other missing data, missing pods or an unconfirmed split.
- In a freeze window nothing goes forward: the run is held (code ``freeze``) and goes on by itself when the window ends,
  or a person overrides it. It counts towards no deadline. Gates still take the run back.
- A run that goes back to the version before waits for nobody who only confirms: what is written counts, without gates
  and dwell, and the end waits, so that the pods of both stay (``due.is_unconfirmed``). A split that does not land does
  not take it back; a gate that fails, and pods that crash, do, until it is confirmed. Nor does it wait for gates where
  the version that it leaves has no pod ready. Where no gate is required, it waits for nothing that gates cannot tell,
  nor for players or counters (``due.asks_no_proof``).
- The way back asks nobody: capacity, traffic, then the canary is retired. Players are never sent back to a stable
  version that has no pod ready. A version that players hold sockets to is waited for, both ways (``drain``), and a
  person may go back until then.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from croupier.core.drain import assess_drain, has_moved, may_turn_back
from croupier.core.due import (
    asks_no_proof,
    due,
    in_force,
    is_unconfirmed,
    leaves_the_dead,
    pods_missing,
    pods_ready,
    restarts_since_start,
    split_confirmed,
    stable_down,
    unready,
    unready_kept,
)
from croupier.core.freeze import freeze_of
from croupier.core.phases import Event, Phase
from croupier.core.run import ACTIONS, RunState, apply
from croupier.core.share import share_band
from croupier.core.snapshot import AWAY_SECONDS, Snapshot
from croupier.model.digest import short
from croupier.model.journal import Draft
from croupier.model.plan import Action, EnsureVersion, SetSplit
from croupier.model.verdict import Outcome, Verdict

RESTARTS_TOLERATED = 2
"""Restarts the canary's pods may have more than stable's. One killed pod is bad luck, three are a crash loop."""

FAULT_SECONDS = 5.0
"""A fault is told of for as long at least: a port that answers now and then would fill the journal."""

MOVES = 6
"""Most transitions of one round: passed, entered, settled, … A bound, never reached."""


@dataclass(frozen=True, slots=True)
class Decision:
    """``drafts`` in the order they are to be written, in one commit; then ``actions`` in the order to be done."""

    drafts: tuple[Draft, ...]
    actions: tuple[Action, ...]
    state: RunState
    """The state once the drafts are written."""


class Skip(Enum):
    """When a person may skip what keeps a step from passing."""

    NEVER = auto()
    ONCE_HELD = auto()
    ANY_TIME = auto()


@dataclass(frozen=True, slots=True)
class Blocker:
    """One thing that keeps a step from passing."""

    code: str
    text: str
    skip: Skip
    """When a person's ``promote`` gets past it."""


def decide(state: RunState, snapshot: Snapshot) -> Decision:
    drafts: list[Draft] = []

    def write(draft: Draft) -> None:
        nonlocal state
        drafts.append(draft)
        state = apply(state, draft)

    if not state.is_live:
        return Decision((), (), state)
    if seconds := _unwatched(state, snapshot):
        write(_draft(state, snapshot, "unwatched", seconds=seconds))
    for draft in _facts(state, snapshot):
        write(draft)
    for _ in range(MOVES):
        move = _next_move(state, snapshot)
        if move is None:
            break
        write(move)
    for draft in _facts(state, snapshot):
        write(draft)  # a move may have opened the eyes for more
    actions = due(state, snapshot)
    if actions and actions != state.intended:
        write(_draft(state, snapshot, "intent", actions=_dump(actions)))
    return Decision(tuple(drafts), actions, state)


# --- facts: what changed in the world, written once per change --------------------------------------------------------


def _facts(state: RunState, s: Snapshot) -> list[Draft]:
    drafts = [
        _draft(state, s, "fault", port=port, message=message)
        for port, message in s.faults.items()
        if port not in state.faults
    ]
    drafts += [
        _draft(state, s, "fault", port=port, message="")
        for port in state.faults
        if port not in s.faults and not 0.0 <= s.now - state.faults_at[port] < FAULT_SECONDS
    ]
    done = [action for action in state.intended if in_force(state, s, action)]
    if done:
        drafts.append(_draft(state, s, "outcome", actions=_dump(done)))
    watching = state.phase in (Phase.SETTLING, Phase.HOLDING, Phase.HELD, Phase.PAUSED)
    if watching and s.verdict is not None and _gist(s.verdict) != _gist(state.verdict):
        verdict = s.verdict.model_dump(mode="json", by_alias=True)
        drafts.append(_draft(state, s, "verdict", verdict=verdict, weight=state.weight, evidence=_evidence(s)))
    if state.phase is Phase.ROLLING_BACK and state.zero_at is None and state.peak_weight > 0 and _is_zero(state, s):
        drafts.append(_draft(state, s, "traffic.returned"))
    if has_moved(state, s):
        drafts.append(_draft(state, s, "traffic.moved"))
    if (drained := assess_drain(state, s)) is not None:
        version = "canary" if state.phase is Phase.ROLLING_BACK else "stable"
        facts = {"version": version, "sockets": drained.sockets, "seconds": drained.seconds}
        drafts.append(_draft(state, s, "sockets.drained", **facts))
    return drafts


def _unwatched(state: RunState, s: Snapshot) -> float:
    """Seconds that the present step is given back, because nobody watched it: the desk was away, or its clock jumped.

    Once a step, so that a desk that comes and goes meets the deadline all the same. Below 0: the clock that had jumped
    was set back, and so much of what was given is taken again, but no more: the rest nobody has watched still. What
    looks that were some time apart leave of it does not count as given. No time of the step stays in the future: its
    deadline would be as far away.
    """
    if state.phase not in (Phase.PREPARING, Phase.SETTLING, Phase.HOLDING):
        return 0.0
    if s.unwatched_seconds < 0.0:
        ahead = (state.step_at if state.settled_at is None else state.settled_at) - s.now
        return -max(min(state.unwatched_seconds, -s.unwatched_seconds), ahead)
    was_entered = state.step_at <= s.now - s.unwatched_seconds
    return s.unwatched_seconds if was_entered and state.unwatched_seconds < AWAY_SECONDS else 0.0


def _gist(verdict: Verdict | None) -> tuple[object, ...] | None:
    """What makes a verdict new to the journal. Numbers alone do not: they change at every scrape."""
    if verdict is None:
        return None
    return (verdict.outcome, verdict.code, tuple((gate.gate, gate.outcome, gate.code) for gate in verdict.gates))


def _is_zero(state: RunState, s: Snapshot) -> bool:
    return s.split is not None and s.split.weights.get(state.plan.canary, 0) == 0


# --- moves: the first rule of the phase that answers ------------------------------------------------------------------

Rule = Callable[[RunState, Snapshot], Draft | None]


def _next_move(state: RunState, s: Snapshot) -> Draft | None:
    for rule in _RULES[state.phase]:
        draft = rule(state, s)
        if draft is not None:
            return draft
    return None


def _abort(state: RunState, s: Snapshot) -> Draft | None:
    command = state.command
    if command is None or command.name != "abort":
        return None
    return _back(state, s, "aborted", command.reason or "aborted by a person", who=command.who)


def _turned_back(state: RunState, s: Snapshot) -> Draft | None:
    return _abort(state, s) if may_turn_back(state) else None


def _crashing(state: RunState, s: Snapshot) -> Draft | None:
    if s.pods is None:
        return None
    canary = restarts_since_start(state, s.pods, state.plan.canary)
    stable = restarts_since_start(state, s.pods, state.plan.stable)
    if canary - stable <= RESTARTS_TOLERATED:
        return None
    why = f"canary pods restarted {canary} times, stable pods {stable}; {RESTARTS_TOLERATED} more are tolerated"
    if ended := "; ".join(unready(s.pods.get(state.plan.canary))):
        why += f" ({ended})"  # what the platform says of it, such as OOMKilled
    return _back_or_hold(state, s, "restarts", why)


def _canary_down(state: RunState, s: Snapshot) -> Draft | None:
    """For one scrape at least: less can be a blip of the readiness check, or pods that are being restarted."""
    if state.weight == 0 or s.down_seconds < state.plan.release.scrape_seconds:
        return None
    why = f"no canary pod was ready for {s.down_seconds:.0f} s"
    if s.pods is not None and (found := ", ".join(unready(s.pods.get(state.plan.canary)))):
        why += f" ({found})"
    return _back_or_hold(state, s, "canary-down", why)


def _never_ready(state: RunState, s: Snapshot) -> Draft | None:
    step = state.current
    since = max(state.step_at, s.thawed_at)  # in a freeze they may have been ready, and be so again: nobody is on them
    if s.now - since < step.settle_seconds or pods_ready(state, s) or freeze_of(state, s) is not None:
        return None
    if state.returns and s.asked_seconds < step.settle_seconds:
        return None  # as long as nobody took the order for its pods, nothing speaks against them
    pods = "unknown" if s.pods is None else ", ".join(unready(s.pods.get(state.plan.canary))) or "none exists"
    why = f"canary not ready within {step.settle_seconds:g} s: {pods}"
    return _back(state, s, "never-ready", why)


def _gates_fail(state: RunState, s: Snapshot) -> Draft | None:
    verdict = s.verdict
    if verdict is None or verdict.outcome is not Outcome.FAIL:
        return None
    return _back_or_hold(state, s, verdict.code, verdict.reason)


def _objective_missed(state: RunState, s: Snapshot) -> Draft | None:
    """During the bake. With a hold-back, stable keeps the objective that the canary misses: back. At 100 % there is no
    control, so nobody can tell whether the release is to blame: a person decides."""
    breach = _breach(s.verdict)
    if not breach or state.step != len(state.plan.steps) - 2:
        return None
    move = _hold if state.current.weight == 100 else _back_or_hold
    return move(state, s, "slo-breach", breach)


def _pause(state: RunState, s: Snapshot) -> Draft | None:
    command = state.command
    if command is None or command.name != "pause":
        return None
    return _draft(state, s, Event.PAUSED, who=command.who, reason=command.reason)


def _resume(state: RunState, s: Snapshot) -> Draft | None:
    command = state.command
    if command is None or command.name != "resume":
        return None
    return _draft(state, s, Event.RESUMED, who=command.who, reason=command.reason)


def _frozen(state: RunState, s: Snapshot) -> Draft | None:
    freeze = freeze_of(state, s)
    if freeze is None:
        return None
    body = freeze.model_dump(mode="json", by_alias=True)
    return _draft(state, s, Event.HELD, step=state.step, code="freeze", reason=freeze.words, freeze=body)


def _thawed(state: RunState, s: Snapshot) -> Draft | None:
    if state.code != "freeze" or freeze_of(state, s) is not None:
        return None
    return _draft(state, s, Event.RESUMED, who="", reason="no freeze stands in its way")


def _prepared(state: RunState, s: Snapshot) -> Draft | None:
    if not pods_ready(state, s) or freeze_of(state, s) is not None:
        return None
    return _draft(state, s, Event.SETTLED, step=state.step)


def _settled(state: RunState, s: Snapshot) -> Draft | None:
    if not (pods_ready(state, s) and split_confirmed(state, s)) or _share_blocker(state, s) is not None:
        return None
    return _draft(state, s, Event.SETTLED, step=state.step)


def _never_settled(state: RunState, s: Snapshot) -> Draft | None:
    step = state.current
    if s.now - state.step_at < step.settle_seconds:
        return None
    if state.returns and pods_ready(state, s) and not split_confirmed(state, s):
        return None  # giving a way back up would only be one more split that nobody takes up
    share = _share_blocker(state, s)
    if pods_ready(state, s) and split_confirmed(state, s) and share is not None:
        # The data plane does what it was told; the players drawn are unusual. That is no proof of a bad split.
        return _overdue(state, s, share.code, share.text)
    within = f"within {step.settle_seconds:g} s"
    if pods_ready(state, s):
        why = f"the data plane did not confirm {step.name} {within}"
        if "traffic" in s.faults:
            why += f" ({s.faults['traffic']})"
    else:
        why = f"not all pods for {step.name} were ready {within} ({pods_missing(state, s) or 'nobody knows of any'})"
    if kept := unready_kept(state, s):
        why += f": no old pod leaves while one that stays is not ready ({', '.join(kept)})"
    return _back_or_hold(state, s, "not-settled", why)


def _promote(state: RunState, s: Snapshot) -> Draft | None:
    command = state.command
    if command is None or command.name != "promote":
        return None
    called = state.phase is Phase.HELD and state.code != "freeze"
    skipped = (Skip.ANY_TIME, Skip.ONCE_HELD) if called else (Skip.ANY_TIME,)
    if any(blocker.skip not in skipped for blocker in blockers(state, s)):
        return None
    return _pass(state, s, "person", command.reason or "promoted by a person", who=command.who)


def _passed(state: RunState, s: Snapshot) -> Draft | None:
    if blockers(state, s):
        return None
    if is_unconfirmed(state, s):
        why = s.faults.get("traffic", "the data plane does not confirm the split")
        return _pass(state, s, "unconfirmed", f"a way back waits for no confirmation: {why}")
    if leaves_the_dead(state, s):
        why = f"{short(state.plan.stable)} has had no ready pod for {s.stable_down_seconds:.0f} s"
        return _pass(state, s, "stable-down", f"a way back waits for no gate: {why}")
    if state.current.hold.gates and asks_no_proof(state):
        return _pass(state, s, "returns", "a way back waits for no proof, and no gate speaks against it")
    if state.current.hold.gates and s.verdict is not None:
        return _pass(state, s, "gates", s.verdict.reason)
    return _pass(state, s, "baked", "the bake is over")


def _passed_in_need(state: RunState, s: Snapshot) -> Draft | None:
    return _passed(state, s) if leaves_the_dead(state, s) else None


def _deadline(state: RunState, s: Snapshot) -> Draft | None:
    hold = state.current.hold
    if state.settled_at is None or s.now - state.settled_at < hold.deadline_seconds:
        return None
    missing = blockers(state, s)[0]
    why = f"{state.current.name} did not pass within {hold.deadline_seconds:g} s: {missing.text}"
    return _overdue(state, s, "deadline", why)


def _enter_next(state: RunState, s: Snapshot) -> Draft | None:
    step = state.step + 1
    following = state.plan.steps[step]
    if step == len(state.plan.steps) - 1:
        return _draft(state, s, Event.PROMOTING, code=state.code, reason=state.reason)
    return _draft(state, s, Event.ENTERED, step=step, name=following.name, weight=following.weight)


def _harm_unconfirmed(state: RunState, s: Snapshot) -> Draft | None:
    """A run that goes back and is not confirmed has passed its steps without gates: what they see later, and its pods,
    take it back until it is. Not to a version that has no pod ready."""
    if not (is_unconfirmed(state, s) and may_turn_back(state)) or stable_down(state, s):
        return None
    return next(filter(None, (rule(state, s) for rule in (_gates_fail, _crashing, _canary_down))), None)


def _promoted(state: RunState, s: Snapshot) -> Draft | None:
    aims = [action for action in state.current.actions if not isinstance(action, SetSplit)]
    if not all(in_force(state, s, action) for action in aims):
        return None
    why = f"{short(state.plan.canary)} serves everybody"
    return _draft(state, s, Event.ENDED, outcome="promoted", code="promoted", reason=why)


def _rolled_back(state: RunState, s: Snapshot) -> Draft | None:
    # Capacity is a step of the way, not its aim: stable pods that crash later do not keep the run open.
    aims = [action for action in state.current.way_back if not isinstance(action, EnsureVersion | SetSplit)]
    if not all(in_force(state, s, action) for action in aims):
        return None
    return _draft(state, s, Event.ENDED, outcome="rolled-back", code=state.code, reason=state.reason)


_TAKE_BACK: tuple[Rule, ...] = (_abort, _gates_fail, _crashing, _canary_down)

_RULES: Mapping[Phase, Sequence[Rule]] = {
    Phase.PLANNED: (),
    Phase.PREPARING: (_abort, _crashing, _prepared, _never_ready),
    Phase.SETTLING: (*_TAKE_BACK, _pause, _frozen, _settled, _never_settled),
    Phase.HOLDING: (*_TAKE_BACK, _pause, _frozen, _promote, _objective_missed, _passed, _deadline),
    Phase.HELD: (*_TAKE_BACK, _resume, _promote, _passed_in_need, _objective_missed, _thawed),
    Phase.PAUSED: (*_TAKE_BACK, _resume, _objective_missed),
    Phase.PASSED: (_enter_next,),
    Phase.PROMOTING: (_turned_back, _harm_unconfirmed, _promoted),
    Phase.ROLLING_BACK: (_rolled_back,),
    Phase.PROMOTED: (),
    Phase.ROLLED_BACK: (),
}


def _pass(state: RunState, s: Snapshot, code: str, reason: str, **extra: Any) -> Draft:
    seen = 0 if s.players is None else sum(s.players)
    share = s.players[0] / seen if s.players is not None and seen else None
    facts = {"share": share, "players": seen, "evidence": _evidence(s)}
    return _draft(state, s, Event.PASSED, step=state.step, code=code, reason=reason, **facts, **extra)


def _back(state: RunState, s: Snapshot, code: str, reason: str, **extra: Any) -> Draft:
    return _draft(state, s, Event.ROLLING_BACK, code=code, reason=reason, evidence=_evidence(s), **extra)


def _back_or_hold(state: RunState, s: Snapshot, code: str, reason: str) -> Draft | None:
    """Back, unless nobody is there to go back to: then hold where we are and call a person."""
    if state.weight > 0 and stable_down(state, s):
        return _hold(state, s, "stable-down", f"{reason}; stable has no ready pod to go back to")
    return _back(state, s, code, reason)


def _overdue(state: RunState, s: Snapshot, code: str, reason: str) -> Draft | None:
    if state.current.hold.at_deadline == "back":
        return _back_or_hold(state, s, code, reason)
    return _hold(state, s, code, reason)


def _hold(state: RunState, s: Snapshot, code: str, reason: str) -> Draft | None:
    if state.phase in (Phase.HELD, Phase.PAUSED):
        return None
    return _draft(state, s, Event.HELD, step=state.step, code=code, reason=reason)


def _breach(verdict: Verdict | None) -> str:
    """The message of the first gate whose objective the canary misses, or ""."""
    readings = () if verdict is None else verdict.gates
    return next((reading.message for reading in readings if reading.code == "slo-breach"), "")


# --- what keeps a step from passing -----------------------------------------------------------------------------------


def blockers(state: RunState, s: Snapshot) -> list[Blocker]:
    """Everything that keeps a settled step from passing now, the gravest first; empty: it passes."""
    hold = state.current.hold
    release = state.plan.release
    found: list[Blocker] = []
    verdict = s.verdict
    if verdict is not None and verdict.outcome is Outcome.FAIL:
        found.append(Blocker(verdict.code, verdict.reason, Skip.NEVER))
    if (is_unconfirmed(state, s) or leaves_the_dead(state, s)) and split_confirmed(state, s):
        if not pods_ready(state, s):
            found.append(Blocker("canary-pods", "not all canary pods are ready", Skip.NEVER))
        return found  # nobody vouches for what gates and dwell would judge, or there is nothing to compare with
    if (freeze := freeze_of(state, s)) is not None:
        found.append(Blocker("freeze", f"the end of {freeze.words}", Skip.NEVER))
    if not split_confirmed(state, s):
        found.append(Blocker("split", f"the data plane does not confirm {state.current.name}", Skip.NEVER))
    if not pods_ready(state, s):
        found.append(Blocker("canary-pods", "not all canary pods are ready", Skip.NEVER))
    # Two scrapes at least, so that a pass rests on data of this step.
    dwell = max(hold.dwell_seconds, 2 * release.scrape_seconds)
    since = 0.0 if state.settled_at is None else s.now - state.settled_at
    if wants_proof := not asks_no_proof(state):
        found += _unproven(state, s)
    if since < dwell:
        found.append(
            Blocker("dwell", f"{dwell - since:.0f} s of {dwell:g} s at {state.current.name} left", Skip.ANY_TIME)
        )
    if wants_proof and s.canary_age >= s.now - (state.step_at if state.settled_at is None else state.settled_at):
        found.append(Blocker("no-data", f"nothing was counted yet at {state.current.name}", Skip.NEVER))
    return found


def _unproven(state: RunState, s: Snapshot) -> list[Blocker]:
    """What keeps anybody from saying that the step does no harm."""
    hold, verdict = state.current.hold, s.verdict
    found: list[Blocker] = []
    if hold.gates and stable_down(state, s):
        found.append(Blocker("stable-down", "stable has no ready pod: nothing to compare with", Skip.ONCE_HELD))
    if (share := _share_blocker(state, s)) is not None:
        found.append(share)
    if (missing := _data_blocker(state, s)) is not None:
        found.append(missing)
    if verdict is not None and s.evidence is None:
        # What nobody can read again proves nothing. A rollback does not wait for it.
        found.append(Blocker("evidence", "part of the evidence is not stored", Skip.NEVER))
    if hold.gates and (verdict is None or verdict.outcome is Outcome.INCONCLUSIVE):
        code, text = ("no-data", "no evidence yet") if verdict is None else (verdict.code, verdict.reason)
        is_blind = code == "no-data" and not stable_down(state, s)
        found.append(Blocker(code, text, Skip.NEVER if is_blind else Skip.ONCE_HELD))
    return found


def _data_blocker(state: RunState, s: Snapshot) -> Blocker | None:
    oldest = 3 * state.plan.release.scrape_seconds
    ages = {"canary": s.canary_age}
    if state.current.hold.gates:
        ages["stable"] = s.stable_age
    missing = [arm for arm, age in ages.items() if age > oldest]
    if not missing:
        return None
    skip = Skip.ONCE_HELD if missing == ["stable"] and stable_down(state, s) else Skip.NEVER
    return Blocker("no-data", f"no counters of {' and '.join(missing)} for more than {oldest:g} s", skip)


def _share_blocker(state: RunState, s: Snapshot) -> Blocker | None:
    is_waited_for = not (asks_no_proof(state) or is_unconfirmed(state, s) or leaves_the_dead(state, s))
    if s.players is None or state.weight == 0 or not is_waited_for:
        return None
    players = sum(s.players)
    low, high = share_band(players, state.weight)
    share = s.players[0] / players if players else 0.0
    if players == 0 or low <= share <= high:
        return None
    text = f"{share:.1%} of {players} players are on the canary, {low:.1%} to {high:.1%} are expected"
    return Blocker("share", text, Skip.ONCE_HELD)


# --- drafts -----------------------------------------------------------------------------------------------------------


def _draft(state: RunState, s: Snapshot, kind: str, **body: Any) -> Draft:
    return Draft(kind=str(kind), subject=state.plan.run, at=s.now, body=body)


def _dump(actions: Sequence[Action]) -> list[Any]:
    return list(ACTIONS.dump_python(tuple(actions), mode="json", by_alias=True))


def _evidence(s: Snapshot) -> dict[str, Any] | None:
    return None if s.evidence is None else {"sha256": s.evidence.sha256, "samples": s.evidence.samples}
