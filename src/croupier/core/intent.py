"""From what Git asks for to what happens next: nothing, a release, or the end of one. Pure.

Called by the operator for every policy, again and again: level-based, so a missed event costs nothing and a repeated
one changes nothing. What serves is the journal's word, never what somebody wrote into the cluster.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import date
from typing import Literal

from croupier.model.checklist import ChecklistAsk, ChecklistResult
from croupier.model.digest import short
from croupier.model.view import RunView

_ENDING = frozenset({"promoting", "rolling-back"})


@dataclass(frozen=True, slots=True)
class LiveRun:
    """``phase``: as in a run's view. ``aborting``: an abort was written down and is not carried out yet.
    ``turns_back``: an abort would be accepted, also of one that promotes and waits for sockets to the old version."""

    run: str
    canary: str
    phase: str
    aborting: bool = False
    turns_back: bool = False


@dataclass(frozen=True, slots=True)
class LastRun:
    """The newest run that has ended, of the service."""

    run: str
    canary: str
    outcome: Literal["promoted", "rolled-back"]
    reason: str
    before: str = ""
    """Digest of what served before what serves now; "": not known."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the operator sees of one service.

    ``wanted``: digest of what Git asks for; None: there is no Deployment. ``stable``: what serves, by the journal;
    None: croupier has not taken the service over yet. ``intent_runs``: the intent Deployment has pods of its own.
    ``retry``: the run after whose rollback a person wants the same version tried again.
    """

    wanted: str | None
    stable: str | None
    intent_runs: bool = False
    live: LiveRun | None = None
    last: LastRun | None = None
    suspended: bool = False
    leaving: bool = False
    intent: str = ""
    """Digest of the intent's own pods."""
    retry: str = ""
    checklist: ChecklistAsk = "warn"
    """Whether a new version waits for its checklist."""
    lacking: str = ""
    """Why the checklist of what is wanted does not count; "": it does."""
    frozen: str = ""
    """The freeze that is on, in words; "": none."""
    override: str = ""
    """Who lets what is wanted start in spite of it, and why; "": nobody does."""


@dataclass(frozen=True, slots=True)
class Move:
    """What is next. ``code`` is the reason of a condition, CamelCase; ``text`` says it to people.

    ``kind``: rest (nothing to do), start (a gated release of ``digest``), switch (all at once), abort (the live run).
    """

    kind: Literal["rest", "start", "switch", "abort"]
    code: str
    text: str
    digest: str = ""
    overrides: bool = False
    """Whether it goes on in spite of a freeze."""
    returns: bool = False
    """Whether it goes back to the version before: nothing that somebody does not confirm keeps it from starting."""


@dataclass(frozen=True, slots=True)
class Shortfall:
    """``replicas``: what the version must have; ``text``: what was found instead."""

    replicas: int
    text: str


def serving(run: RunView | None, intent: str, *, leaving: bool) -> str | None:
    """What serves by the journal: the last run's canary once promoted, else its stable one; None: not ours yet.

    Args:
        run: the live run of the service, or the last one.
        intent: digest of the intent's own pods.
        leaving: whether the service is to be its Deployment's own again.
    """
    if run is None:
        return None
    digest = run.canary.digest if run.outcome == "promoted" else run.stable.digest
    return None if digest == intent and not leaving else digest


def keeps_its_pods(s: Standing) -> str | None:
    """The version that must keep its pods now: stable, or the canary that takes its place; None: not one of ours."""
    keeper = s.live.canary if s.live is not None and s.live.phase == "promoting" else s.stable
    return None if s.stable in (None, s.intent) or keeper == s.intent else keeper


def shortfall(digest: str, desired: int | None, *, before: int, replicas: int, is_scaled: bool) -> Shortfall | None:
    """What such a version lacks: a way back never waits for pods, so those of before the release are kept.

    Args:
        digest: of the version.
        desired: pods that its Deployment asks for; None: none, or there is no such Deployment.
        before: pods that it had before the live release; 0 without one.
        replicas: what the policy asks for.
        is_scaled: whether an autoscaler says how many pods there are, and not the policy.
    """
    if desired is None:
        return Shortfall(
            max(before, replicas), f"{short(digest)} has no pods: its Deployment was deleted, or scaled to zero"
        )
    least = before if is_scaled else max(before, replicas)
    if desired < least:
        return Shortfall(least, f"{short(digest)} was scaled to {desired} of {least} pods")
    return None


def lacking(shown: ChecklistResult | None, digest: str, today: date) -> str:
    """Why what was shown is no checklist of this version that counts today, in words; "" when it is one."""
    if shown is None:
        return "no checklist was shown for it"
    if shown.version != short(digest):
        return f"the checklist that was shown is of {shown.version}"
    if shown.until < today:
        return f"its checklist counted until {shown.until}"
    return "" if shown.ready else f"its checklist was not ready: {shown.said}"


def next_move(s: Standing) -> Move:
    """The one thing to do now."""
    move = _unless_frozen(s)
    if move.kind not in ("start", "switch"):
        return move
    if s.last is not None and s.last.before == move.digest:
        return replace(move, returns=True)
    if not s.frozen:
        return move
    if s.override:
        return replace(move, text=f"{move.text}; in spite of the {s.frozen}: {s.override}", overrides=True)
    return Move(
        "rest",
        "Freeze",
        f"{short(move.digest)} waits for the end of the {s.frozen}, or for a person who decides otherwise: "
        "kubectl croupier override NAME --reason WHY; going back to the version before is always possible",
    )


def _unless_frozen(s: Standing) -> Move:
    """What would be next if no freeze were on."""
    if s.live is not None:
        return _during(s, s.live)
    target = s.intent if s.leaving else s.wanted
    if target is None or (s.leaving and s.wanted is None):
        return Move("rest", "NoDeployment", "the Deployment that spec.deployment names does not exist")
    if target == s.stable:
        return Move("rest", *(("Left", "the Deployment serves by itself again") if s.leaving else _up_to_date(s)))
    failed = s.last is not None and s.last.outcome == "rolled-back" and s.last.canary == target
    if failed and s.last is not None and s.retry != s.last.run:
        return Move(
            "rest",
            "RolledBack",
            f"{short(target)} was taken back by {s.last.run}: {s.last.reason}; commit a better one, "
            "or try it again: kubectl croupier retry",
        )
    if s.leaving:
        return Move("switch", "Leaving", "players move back to the Deployment's own pods", target)
    if s.suspended:
        return Move("rest", "Suspended", f"{short(target)} waits: spec.suspend is true")
    if s.stable is None:
        how = ("Adopting", "what runs is adopted") if s.intent_runs else ("FirstVersion", "the first version starts")
        return Move("switch", *how, target)
    goes_back = s.last is not None and s.last.before == target
    if s.checklist == "require" and s.lacking and not goes_back:
        return Move(
            "rest",
            "Checklist",
            f"{short(target)} waits: {s.lacking}; croupier release check … -o json > result.json, then "
            "kubectl croupier checklist NAME --result result.json --until DATE",
        )
    warned = f"; {s.lacking}" if s.lacking and not goes_back else ""
    return Move("start", "Releasing", f"Git asks for {short(target)}{warned}", target)


def _during(s: Standing, live: LiveRun) -> Move:
    target = s.intent if s.leaving else s.wanted
    is_ending = live.phase in _ENDING and not (live.turns_back and target == s.stable)
    if target == live.canary or is_ending or live.aborting:
        return Move("rest", "Releasing", f"{live.run} releases {short(live.canary)}")
    if target is None:
        why = "the Deployment is gone from Git"
    elif target == s.stable:
        why = f"Git went back to {short(target)}, which serves"
    else:
        why = f"Git asks for {short(target)} now"
    return Move("abort", "Superseded", why)


def _up_to_date(s: Standing) -> tuple[str, str]:
    return "UpToDate", f"{short(s.stable or '')} serves everybody"
