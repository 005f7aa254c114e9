"""Runs, services and versions as values for people. Pure: computes nothing that decides anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from croupier.core.decide import blockers
from croupier.core.drain import leaving, may_turn_back, seconds_left
from croupier.core.due import may_return, pods_missing, pods_ready, stable_missing, unready_kept
from croupier.core.freeze import freeze_of
from croupier.core.phases import Phase
from croupier.core.plans.defaults import default_policy
from croupier.core.run import RunState
from croupier.core.share import share_band
from croupier.core.snapshot import Snapshot
from croupier.model.digest import short
from croupier.model.freeze import Freeze
from croupier.model.service import Service, Version
from croupier.model.verdict import Outcome, Verdict
from croupier.model.view import CommandName, RunView, ServiceView, VersionView, WeightBand
from croupier.model.view import Phase as PhaseName
from croupier.model.workload import VersionPods

_PHASES: Mapping[Phase, PhaseName] = {
    Phase.PLANNED: "preparing",
    Phase.PREPARING: "preparing",
    Phase.SETTLING: "settling",
    Phase.HOLDING: "holding",
    Phase.HELD: "held",
    Phase.PAUSED: "paused",
    Phase.PASSED: "holding",
    Phase.PROMOTING: "promoting",
    Phase.PROMOTED: "promoted",
    Phase.ROLLING_BACK: "rolling-back",
    Phase.ROLLED_BACK: "rolled-back",
}

_OUTCOMES: Mapping[Phase, Literal["promoted", "rolled-back"]] = {
    Phase.PROMOTED: "promoted",
    Phase.ROLLED_BACK: "rolled-back",
}

_COMMANDS: Mapping[Phase, tuple[CommandName, ...]] = {
    Phase.PREPARING: ("pause", "abort"),
    Phase.SETTLING: ("pause", "promote", "abort"),
    Phase.HOLDING: ("pause", "promote", "abort"),
    Phase.HELD: ("resume", "promote", "abort"),
    Phase.PAUSED: ("resume", "abort"),
}
"""What each phase accepts; absent phases accept nothing."""


def accepted(state: RunState, verdict: Verdict | None, freeze: Freeze | None = None) -> tuple[CommandName, ...]:
    """The commands that would be accepted now. ``promote`` never while a gate fails, nor what goes forward in a freeze:
    that is overridden first. Nothing else once an abort was."""
    if may_turn_back(state):
        return ("abort",)
    found = _COMMANDS.get(state.phase, ())
    if state.is_aborted and found:
        return ("abort",)
    if verdict is not None and verdict.outcome is Outcome.FAIL:
        found = tuple(name for name in found if name != "promote")
    if freeze is not None and found:
        found = (*(name for name in found if name not in ("promote", "resume")), "override")
    return found


def run_view(state: RunState, snapshot: Snapshot | None) -> RunView:
    """One run; ``snapshot`` is what the last round saw of it, None when it has ended or no round was made yet."""
    plan = state.plan
    verdict, verdict_at = state.verdict, state.verdict_at
    is_watched = state.phase in (Phase.SETTLING, Phase.HOLDING, Phase.HELD, Phase.PAUSED)
    if snapshot is not None and snapshot.verdict is not None and is_watched:
        verdict = snapshot.verdict
    share, band = _share(state, snapshot)
    return RunView(
        run=plan.run,
        service=plan.service,
        tier=plan.tier,
        stable=VersionView(service=plan.service, digest=plan.stable, label=state.stable_label),
        canary=VersionView(service=plan.service, digest=plan.canary, label=state.canary_label),
        phase=_PHASES[state.phase],
        step=state.step,
        steps=len(plan.steps),
        step_name=state.current.name,
        weight=state.weight,
        peak_weight=state.peak_weight,
        observed_share=share,
        band=band,
        started_at=state.started_at,
        step_at=state.step_at,
        updated_at=state.updated_at if snapshot is None else max(snapshot.now, state.updated_at),
        ended_at=state.ended_at,
        outcome=_OUTCOMES.get(state.phase),
        code=state.code or _waiting_code(state, snapshot),
        reason=state.reason,
        verdict=verdict,
        verdict_at=verdict_at,
        zero_at=state.zero_at,
        forecast=state.forecast,
        waiting_for=waiting_for(state, snapshot),
        next=_next(state),
        commands=accepted(state, verdict, None if snapshot is None else freeze_of(state, snapshot)),
        timeline=state.story,
        group=state.group,
        fix_forward=bool(state.fix_forward),
        open_sockets=None if snapshot is None else snapshot.open_sockets,
        cut_sockets=state.cut_sockets,
    )


def waiting_for(state: RunState, snapshot: Snapshot | None) -> str:
    """What the run waits for now, and which port keeps it waiting; one sentence, or "" at the end."""
    sentence = _waits_for(state, snapshot)
    faults = "; ".join(f"{port}: {message}" for port, message in sorted(state.faults.items()))
    return f"{sentence} ({faults})" if sentence and faults else sentence


def _waits_for(state: RunState, snapshot: Snapshot | None) -> str:
    match state.phase:
        case Phase.PREPARING | Phase.PLANNED:
            missing = "" if snapshot is None else pods_missing(state, snapshot)
            if snapshot is not None and not missing and (freeze := freeze_of(state, snapshot)) is not None:
                return f"the end of {freeze.words}"
            return f"{short(state.plan.canary)} to have its pods ready" + (f" ({missing})" if missing else "")
        case Phase.SETTLING:
            return _unsettled(state, snapshot)
        case Phase.HOLDING | Phase.PASSED:
            found = [] if snapshot is None else blockers(state, snapshot)
            return found[0].text if found else "the next round"
        case Phase.HELD if state.code == "freeze":
            freeze = None if snapshot is None else freeze_of(state, snapshot)
            return f"the end of {state.reason if freeze is None else freeze.words}"
        case Phase.HELD:
            return f"a person: {state.reason}"
        case Phase.PAUSED:
            return "a person to resume"
        case Phase.PROMOTING | Phase.ROLLING_BACK if snapshot is not None and leaving(state) is not None:
            return _sockets_left(state, snapshot)
        case Phase.PROMOTING:
            return f"the data plane to serve {short(state.plan.canary)} only, then for the old pods to end"
        case Phase.ROLLING_BACK if state.zero_at is None and state.peak_weight > 0:
            if snapshot is not None and not may_return(state, snapshot):
                missing = stable_missing(state, snapshot)
                return f"stable's pods, which cannot carry everybody yet ({missing}); players stay where they are"
            return "the data plane to send everybody to stable"
        case Phase.ROLLING_BACK:
            return "the canary's pods to drain and end"
        case _:
            return ""


def _sockets_left(state: RunState, snapshot: Snapshot) -> str:
    whose = "the canary" if state.phase is Phase.ROLLING_BACK else "the old version"
    count = "the" if snapshot.open_sockets is None else f"{snapshot.open_sockets:,}"
    return f"{count} sockets to {whose} to close, {seconds_left(state, snapshot.now):.0f} s at most"


def _unsettled(state: RunState, snapshot: Snapshot | None) -> str:
    """What a step needs before its gates watch it."""
    name = state.current.name
    if snapshot is not None:
        if missing := pods_missing(state, snapshot):
            return f"the pods for {name} ({missing})"
        if kept := unready_kept(state, snapshot):
            return f"old pods that stay and are not ready ({', '.join(kept)})"
        found = {each.code: each.text for each in blockers(state, snapshot)}
        if "split" not in found and "share" in found:
            return f"the share of players at {name}: {found['share']}"
    return f"the data plane to confirm {name}"


_NOTHING_SHOWN = frozenset({"aborted", "deadline", "gone", "not-settled", "share"})
"""Codes of a way back that say nothing against the version."""


def _next(state: RunState) -> str:
    """What croupier does next by itself, and what is safe for a person."""
    run, wish = state.plan.run, None if state.command is None else state.command.name
    following = state.plan.steps[state.step + 1].name if state.step + 1 < len(state.plan.steps) else ""
    if state.step + 2 == len(state.plan.steps):
        following = "the end: everybody on the canary for good"
    match state.phase:
        case Phase.PREPARING | Phase.PLANNED if wish == "pause":
            return f"croupier pauses when the pods are ready, before any player is on them; aborting {run} harms nobody"
        case Phase.PREPARING | Phase.PLANNED:
            return f"croupier goes to {following} when the pods are ready; aborting {run} harms nobody"
        case Phase.SETTLING | Phase.HOLDING | Phase.PASSED:
            return f"croupier goes to {following} by itself, or back when a gate fails; pause and abort are always safe"
        case Phase.HELD:
            return _next_when_held(state, following)
        case Phase.PAUSED:
            return (
                f"players stay as they are, {state.weight} % on the canary; croupier goes back when a gate fails, else "
                "it stays until a person resumes or aborts"
            )
        case Phase.PROMOTING if may_turn_back(state) and "traffic" in state.faults:
            return "croupier ends the old version once that is confirmed; until then an abort goes back to it"
        case Phase.PROMOTING if may_turn_back(state):
            return "croupier ends the old version once nobody holds a socket to it; until then an abort goes back to it"
        case Phase.PROMOTING:
            return "croupier ends the old version; the way back is a release of it"
        case Phase.ROLLING_BACK:
            return "croupier ends the canary by itself; there is nothing to do"
        case Phase.PROMOTED:
            return f"{short(state.plan.canary)} is the stable version; the next release may start"
        case Phase.ROLLED_BACK if state.code in _NOTHING_SHOWN:
            return (
                f"{short(state.plan.stable)} serves everybody; nothing was shown against {short(state.plan.canary)}: "
                "retry it once what stopped it is over"
            )
        case Phase.ROLLED_BACK:
            return f"{short(state.plan.stable)} serves everybody; mend the version and release it anew"


def _next_when_held(state: RunState, following: str) -> str:
    match state.code:
        case "freeze":
            return (
                f"players stay as they are, {state.weight} % on the canary; croupier goes on by itself when the freeze "
                "ends, and back when a gate fails. abort is always safe, override with a reason goes on now"
            )
        case "stable-down":
            return (
                "see to stable's pods; croupier goes back by itself if the canary still fails when they are ready. "
                "abort starts them, and moves players as soon as they can carry them"
            )
        case "slo-breach":
            return (
                "everybody is on the canary, so nothing tells whether it is to blame: abort goes back to "
                f"{short(state.plan.stable)}, promote keeps it, resume watches for longer"
            )
        case _:
            return (
                f"players stay as they are, {state.weight} % on the canary; croupier goes back when a gate fails. "
                f"resume waits as long again, promote goes to {following} without an answer, abort is always safe"
            )


def _share(state: RunState, snapshot: Snapshot | None) -> tuple[float | None, WeightBand | None]:
    if snapshot is None or snapshot.players is None or sum(snapshot.players) == 0:
        return None, None
    players = sum(snapshot.players)
    low, high = share_band(players, state.weight)
    return snapshot.players[0] / players, WeightBand(low=low, high=high, players=players)


def _waiting_code(state: RunState, snapshot: Snapshot | None) -> str:
    if snapshot is None:
        return ""
    if state.phase is Phase.PREPARING and pods_ready(state, snapshot) and freeze_of(state, snapshot) is not None:
        return "freeze"
    if state.phase is not Phase.HOLDING:
        return ""
    found = blockers(state, snapshot)
    return found[0].code if found else ""


def version_view(service: str, digest: str, versions: Sequence[Version], *, serving: bool) -> VersionView:
    """A version by its digest; its label is "" when nobody knows the digest."""
    known = next((version for version in versions if version.digest == digest), None)
    return VersionView(
        service=service,
        digest=digest,
        label="" if known is None else known.label,
        description="" if known is None else known.description,
        serving=serving,
    )


def service_view(
    service: Service, stable: VersionView | None, pods: Sequence[VersionPods] | None, live_run: str | None
) -> ServiceView:
    ready = None
    if stable is not None and pods is not None:
        ready = sum(version.ready for version in pods if version.digest == stable.digest)
    return ServiceView(
        name=service.name,
        tier=service.tier,
        internal=service.internal,
        replicas=service.replicas,
        stable=stable,
        ready=ready,
        live_run=live_run,
        objectives=service.objectives,
        default_policy=default_policy(service),
    )
