"""Which actions are due, and what of a step is observed. Called by ``decide``, and by who counts players; pure.

An action is done when it is observed in force, never because somebody called for it (docs/adr/0002). Invariants: ready
capacity is never below a new weight; on the way back capacity comes before traffic, and traffic before the end of the
canary's pods.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from croupier.core.freeze import freeze_of
from croupier.core.phases import Phase
from croupier.core.run import RunState
from croupier.core.snapshot import Snapshot
from croupier.model.plan import Action, EnsureVersion, Reduce, ReplicasReady, Retire, SetSplit, Settle, SplitConfirmed
from croupier.model.traffic import ObservedSplit
from croupier.model.workload import VersionPods

UNCONFIRMED_SECONDS = 10.0
"""Who goes back waits no longer for a gateway or a mesh that refuses, or says nothing."""


def due(state: RunState, s: Snapshot) -> tuple[Action, ...]:
    """The actions of the present phase that are not observed in force and whose turn has come."""
    is_frozen = freeze_of(state, s) is not None
    match state.phase:
        case Phase.PREPARING:
            return _forward(state, s)
        case Phase.SETTLING | Phase.HOLDING | Phase.HELD if not is_frozen:
            return _forward(state, s)
        case Phase.PAUSED | Phase.SETTLING | Phase.HOLDING | Phase.HELD:
            if state.split is None:
                return ()
            pods = [action for action in state.current.actions if isinstance(action, EnsureVersion)]
            kept: list[Action] = [*pods, *_split_kept(state, s)]
            return tuple(action for action in kept if not in_force(state, s, action))
        case Phase.PROMOTING:
            return _in_turn(state, s, state.current.actions)
        case Phase.ROLLING_BACK:
            return _in_turn(state, s, state.current.way_back)
        case _:
            return ()


def _forward(state: RunState, s: Snapshot) -> tuple[Action, ...]:
    """Pods first; the split only once they are ready, so that ready capacity is never below the weight."""
    actions: list[Action] = []
    for action in state.current.actions:
        if in_force(state, s, action):
            continue
        is_new_split = isinstance(action, SetSplit) and action != state.split
        if is_new_split and (not pods_ready(state, s) or unready_kept(state, s)):
            break
        is_left = split_confirmed(state, s) and not is_unconfirmed(state, s)
        if isinstance(action, Reduce) and not (is_left and pods_ready(state, s)):
            break  # a pod leaves the split before it ends, and stays while a new one is missing
        actions.append(action)
    return tuple(actions)


def _split_kept(state: RunState, s: Snapshot) -> tuple[SetSplit, ...]:
    """The split that stays while nothing goes forward: the one that has been in force, not one that never landed.

    Where another one was asked for since, it may have landed unseen: nothing is set until that can be told.
    """
    is_newest = state.landed == state.split
    return () if state.landed is None or (s.split is None and not is_newest) else (state.landed,)


def _in_turn(state: RunState, s: Snapshot, actions: Sequence[Action]) -> tuple[Action, ...]:
    """Each action once the one before it is observed in force."""
    found: list[Action] = []
    is_settled = any(isinstance(action, Settle) and in_force(state, s, action) for action in actions)
    for action in actions:
        if is_settled and isinstance(action, SetSplit | Settle):
            continue  # a settled service has no split any more: setting it again would undo the end
        if isinstance(action, SetSplit) and state.phase is Phase.ROLLING_BACK and not may_return(state, s):
            break
        if isinstance(action, Settle) and not _drained(state, s):
            break
        if in_force(state, s, action):
            continue
        found.append(action)
        if not isinstance(action, EnsureVersion):
            break
    return tuple(found)


def may_return(state: RunState, s: Snapshot) -> bool:
    """Whether stable can carry everybody, as far as is known. A way back never waits for what cannot be known."""
    if s.pods is None:
        return True
    stable = s.pods.get(state.plan.stable)
    canary = s.pods.get(state.plan.canary)
    ready = 0 if stable is None else stable.ready
    wanted = max(action.replicas for action in state.current.way_back if isinstance(action, EnsureVersion))
    if ready * 2 >= wanted or canary is None or canary.ready == 0:
        return True
    waited = state.back_at is not None and s.now - state.back_at >= state.current.settle_seconds
    return ready > 0 and waited


def _drained(state: RunState, s: Snapshot) -> bool:
    if state.phase is Phase.ROLLING_BACK and state.peak_weight == 0:
        return True
    if state.plan.waits_for_sockets:
        return state.drained_at is not None
    if state.phase is not Phase.ROLLING_BACK:
        return True
    return state.zero_at is not None and s.now - state.zero_at >= state.plan.drain_seconds


def in_force(state: RunState, s: Snapshot, action: Action) -> bool:
    match action:
        case EnsureVersion():
            pods = None if s.pods is None else s.pods.get(action.digest)
            return pods is not None and pods.desired >= action.replicas
        case Reduce():
            pods = None if s.pods is None else s.pods.get(action.digest)
            return s.pods is not None and (pods is None or pods.desired <= action.replicas)
        case SetSplit():
            split = seen_split(state, s)
            return (
                split is not None
                and (split.run, split.revision) == (state.plan.run, action.revision)
                and split.weights.get(action.canary, 0) == action.weight
            )
        case Settle():
            return s.split is not None and s.split.run == "-" and s.split.weights.get(action.digest, 0) == 100
        case Retire():
            return s.pods is not None and (action.digest not in s.pods or s.pods[action.digest].desired == 0)


def seen_split(state: RunState, s: Snapshot) -> ObservedSplit | None:
    """The split that the data plane confirms. A run that goes back takes what is written for it after a while."""
    return s.written if is_unconfirmed(state, s) else s.split


def is_unconfirmed(state: RunState, s: Snapshot) -> bool:
    """Whether the run goes back, and goes on without who has to confirm its split. Its end does not: pods that players
    may still be sent to stay."""
    return state.returns and s.written is not None and s.unconfirmed_seconds >= UNCONFIRMED_SECONDS


def leaves_the_dead(state: RunState, s: Snapshot) -> bool:
    """Whether the run goes back from a version that has had no pod ready for a while: whom it does not move gets
    nothing, and there is nothing to compare with."""
    return state.returns and state.weight < 100 and s.stable_down_seconds >= UNCONFIRMED_SECONDS


def asks_no_proof(state: RunState) -> bool:
    """Whether the run goes back to the version before and no gate of its has to pass: what cannot be told keeps nobody
    waiting then."""
    return state.returns and not state.plan.release.policy.needs_pass


def weight_counted(state: RunState, split: ObservedSplit | None) -> int:
    """Percent of players that the canary has, as gates are to see it. ``split``: the one in force; None: nobody says.

    Not what was asked for: until a slow gateway sends players to the canary, their attempts have not vanished. A run
    that goes back goes on without that, and nobody may be sent to it yet: 100 then, at which no gate holds against a
    version that its players have stayed away.
    """
    if split is not None:
        return split.weights.get(state.plan.canary, 0)
    return 100 if state.returns else state.weight


def split_confirmed(state: RunState, s: Snapshot) -> bool:
    for condition in state.current.settled:
        if isinstance(condition, SplitConfirmed):
            split = seen_split(state, s)
            if split is None or (split.run, split.revision) != (state.plan.run, condition.revision):
                return False
            if split.weights.get(condition.canary, 0) != condition.weight:
                return False
    return True


def pods_ready(state: RunState, s: Snapshot) -> bool:
    if s.pods is None:
        return False
    wanted = [condition for condition in state.current.settled if isinstance(condition, ReplicasReady)]
    pods = s.pods
    return all(each.digest in pods and pods[each.digest].ready >= each.replicas for each in wanted)


def unready_kept(state: RunState, s: Snapshot) -> list[str]:
    """Names of stable's pods that are to go on serving while the others leave (rolling), and are not ready now."""
    kept = next((each.stable_pods for each in state.current.actions if isinstance(each, SetSplit)), None)
    if not kept or s.pods is None:
        return []
    stable = s.pods.get(state.plan.stable)
    return [] if stable is None else [pod.name for pod in stable.pods[:kept] if not pod.ready]


def pods_missing(state: RunState, s: Snapshot) -> str:
    """Which pods of the present step are still missing, in words (``1 of 3 canary pods ready: pod-2 OOMKilled``); ""
    when none is, or nobody knows."""
    for condition in state.current.settled:
        if not isinstance(condition, ReplicasReady) or s.pods is None:
            continue
        found = s.pods.get(condition.digest)
        ready = 0 if found is None else found.ready
        if ready < condition.replicas:
            arm = "canary" if condition.digest == state.plan.canary else "stable"
            return f"{ready} of {condition.replicas} {arm} pods ready" + _named(unready(found))
    return ""


def stable_missing(state: RunState, s: Snapshot) -> str:
    """How many pods stable has ready, and why not the others, in words; "" when nobody knows."""
    if s.pods is None:
        return ""
    found = s.pods.get(state.plan.stable)
    return f"{0 if found is None else found.ready} stable pods ready" + _named(unready(found))


def unready(pods: VersionPods | None) -> list[str]:
    """Names of pods that are not ready, each with why, as far as the platform says."""
    return [] if pods is None else [f"{pod.name} {pod.reason or 'not ready'}" for pod in pods.pods if not pod.ready]


def _named(pods: Sequence[str]) -> str:
    return f": {', '.join(pods)}" if pods else ""


def stable_down(state: RunState, s: Snapshot) -> bool:
    if s.pods is None:
        return False
    stable = s.pods.get(state.plan.stable)
    return stable is None or stable.ready == 0


def restarts_since_start(state: RunState, pods: Mapping[str, VersionPods], digest: str) -> int:
    now = pods[digest].restarts if digest in pods else 0
    return max(0, now - state.restarts.get(digest, 0))
