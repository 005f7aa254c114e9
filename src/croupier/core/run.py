"""The state of one run: a fold over its journal entries, and nothing else.

``begin`` takes the ``run.planned`` entry, ``apply`` every later one, a written ``Entry`` or a ``Draft`` about to be
written. A desk that was killed folds the same entries to the same state. ``croupier.core.decide`` reads the state;
only the engine writes entries. Kinds and bodies (all keys camelCase):

    run.planned       plan, forecast | null, stable {label}, canary {label}
    run.started       restarts {digest: count}, who, reason, owner | absent, group | absent, fixForward | absent,
                      overridden [freeze] | absent, returns | absent, before | absent
    step.entered      step, name, weight
    step.settled      step
    step.passed       step, code, reason, who | absent, share | null, players, evidence {sha256, samples} | null
    step.held         step, code, reason, freeze | absent
    run.paused        who, reason          run.resumed   who, reason
    run.promoting     code, reason
    run.rolling-back  code, reason, who | absent, evidence | null
    run.ended         outcome, code, reason
    command           command, who, reason, request | absent, overridden [freeze] | absent
    verdict           verdict, weight, evidence {sha256, samples}
    intent            actions              outcome       actions (those now observed in force)
    traffic.returned  –                    (the data plane confirmed that the canary gets no more players)
    traffic.moved     –                    (while promoting: the data plane confirmed that the old version gets none)
    sockets.drained   version, sockets | null, seconds   (still open when a version that left had been waited for)
    fault             port, message        ("" when the port answers again)
    unwatched         seconds              (that count towards no time of the present step; below 0: do count again)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from pydantic import JsonValue, TypeAdapter

from croupier.core.once import once
from croupier.core.phases import ENDS, Event, Phase, next_phase
from croupier.errors import IntegrityError
from croupier.model.journal import Draft, Entry
from croupier.model.plan import Action, Plan, SetSplit, Step
from croupier.model.verdict import Verdict
from croupier.model.view import CommandName, ForecastView, Moment

ACTIONS: TypeAdapter[tuple[Action, ...]] = TypeAdapter(tuple[Action, ...])

STORY_LENGTH = 200
"""Moments kept for people; the journal keeps all."""

_EVENTS = frozenset(Event)


@dataclass(frozen=True, slots=True)
class Command:
    """What a person asked for and croupier has not done yet."""

    name: CommandName
    who: str
    reason: str


@dataclass(frozen=True, slots=True)
class RunState:
    """One run as its journal tells it. Times are seconds since the epoch."""

    plan: Plan
    phase: Phase
    stable_label: str
    canary_label: str
    started_at: float
    step_at: float
    """When the present step was entered, or last resumed; later by what nobody watched of it."""
    updated_at: float
    forecast: ForecastView | None = None
    group: str = ""
    """The group of releases it belongs to; "": none."""
    owner: str = ""
    """What the run was started for, where services come and go; "": nobody."""
    fix_forward: str = ""
    """What was seen of stable when a person approved a start without gates; "": nobody did."""
    returns: bool = False
    """Whether it goes back to what served before its stable version: no freeze bars that."""
    before: str = ""
    """Digest of the version that served before its stable one; "": not known."""
    overridden: tuple[str, ...] = ()
    """Keys of the freeze windows that a person has overridden for it (``Freeze.key``)."""
    request: str = ""
    """Name of the newest command that had one."""
    step: int = 0
    settled_at: float | None = None
    """When the present step's split was confirmed, later by what nobody watched since; None while settling."""
    unwatched_seconds: float = 0.0
    """Of the present step, left out of the two times above."""
    split: SetSplit | None = None
    """The split last intended; None before the first one."""
    landed: SetSplit | None = None
    """The split last observed in force; None before the first one."""
    peak_weight: int = 0
    intended: tuple[Action, ...] = ()
    """Actions written down and not yet observed in force."""
    command: Command | None = None
    restarts: Mapping[str, int] = field(default_factory=dict)
    """Digest -> restarts of its pods when the run began."""
    faults: Mapping[str, str] = field(default_factory=dict)
    """Port -> what it last complained of; ports that answer are absent."""
    faults_at: Mapping[str, float] = field(default_factory=dict)
    """Port -> when it began to fail, of those that do."""
    verdict: Verdict | None = None
    """The verdict last written, not the newest one."""
    verdict_at: float | None = None
    """When the gates first gave this outcome."""
    code: str = ""
    reason: str = ""
    back_at: float | None = None
    """When the way back began."""
    zero_at: float | None = None
    """When the data plane confirmed on the way back that the canary gets no more players."""
    moved_at: float | None = None
    """When the data plane confirmed, while promoting, that the old version gets no more players; with sockets only."""
    drained_at: float | None = None
    """When the sockets of the version that leaves had been waited for."""
    cut_sockets: int | None = None
    """How many of them were still open then; None: none was waited for, or nobody could count."""
    ended_at: float | None = None
    story: tuple[Moment, ...] = ()

    @property
    def current(self) -> Step:
        return self.plan.steps[self.step]

    @property
    def weight(self) -> int:
        """Percent of players the split is set to."""
        if self.phase is Phase.PROMOTED:
            return 100
        if self.phase is Phase.ROLLED_BACK or self.zero_at is not None or self.split is None:
            return 0
        return self.split.weight

    @property
    def is_live(self) -> bool:
        return self.phase not in ENDS

    @property
    def is_aborted(self) -> bool:
        """Whether a person wants it back, and croupier has not begun to."""
        return self.command is not None and self.command.name == "abort"


def begin(record: Entry | Draft) -> RunState:
    """The state after ``run.planned``."""
    if record.kind != "run.planned":
        raise IntegrityError(f"run {record.subject} begins with {record.kind}, not with run.planned")
    body = record.body
    plan = once(Plan.model_validate(body["plan"]))
    forecast = body.get("forecast")
    return RunState(
        plan=plan,
        phase=Phase.PLANNED,
        stable_label=_text(body, "stable"),
        canary_label=_text(body, "canary"),
        started_at=record.at,
        step_at=record.at,
        updated_at=record.at,
        forecast=None if forecast is None else once(ForecastView.model_validate(forecast)),
        story=(once(Moment(at=record.at, text="planned")),),
    )


def apply(state: RunState, record: Entry | Draft) -> RunState:
    """The state after one more entry. Raises ``IntegrityError`` for a kind or a transition that does not exist."""
    body = record.body
    state = replace(state, updated_at=record.at)
    text = story_line(record)
    if text:
        state = replace(state, story=(*state.story[-STORY_LENGTH:], once(Moment(at=record.at, text=text))))
    if record.kind in _EVENTS:
        return _move(replace(state, phase=next_phase(state.phase, Event(record.kind))), Event(record.kind), record)
    match record.kind:
        case "command":
            name = cast(CommandName, _text(body, "command"))
            state = replace(state, request=_text(body, "request") or state.request)
            if name == "override":  # it opens the way, and takes no other command's place
                return replace(state, overridden=(*state.overridden, *_names(body, "overridden")))
            if state.is_aborted:  # nobody's later word takes an abort back
                return state
            command = Command(name, _text(body, "who"), _text(body, "reason"))
            return replace(state, command=command)
        case "verdict":
            verdict = once(Verdict.model_validate(body["verdict"]))
            same = state.verdict is not None and state.verdict.outcome is verdict.outcome
            return replace(state, verdict=verdict, verdict_at=state.verdict_at if same else record.at)
        case "intent":
            actions = tuple(map(once, ACTIONS.validate_python(body["actions"])))
            splits = [action for action in actions if isinstance(action, SetSplit)]
            split = splits[-1] if splits else state.split
            peak = max([state.peak_weight, *(each.weight for each in splits)])
            return replace(state, intended=actions, split=split, peak_weight=peak)
        case "outcome":
            done = tuple(map(once, ACTIONS.validate_python(body["actions"])))
            splits = [action for action in done if isinstance(action, SetSplit)]
            left = tuple(action for action in state.intended if action not in done)
            return replace(state, intended=left, landed=splits[-1] if splits else state.landed)
        case "traffic.returned":
            return replace(state, zero_at=record.at)
        case "traffic.moved":
            return replace(state, moved_at=record.at)
        case "sockets.drained":
            return replace(state, drained_at=record.at, cut_sockets=cast("int | None", body["sockets"]))
        case "fault":
            faults, faults_at = dict(state.faults), dict(state.faults_at)
            faults.pop(_text(body, "port"), None)
            faults_at.pop(_text(body, "port"), None)
            if body["message"]:
                faults[_text(body, "port")] = _text(body, "message")
                faults_at[_text(body, "port")] = record.at
            return replace(state, faults=faults, faults_at=faults_at)
        case "unwatched":
            seconds = cast(float, body["seconds"])
            return replace(
                state,
                step_at=state.step_at + seconds,
                settled_at=None if state.settled_at is None else state.settled_at + seconds,
                unwatched_seconds=max(0.0, state.unwatched_seconds + seconds),
            )
        case _:
            raise IntegrityError(f"run {record.subject}: unknown kind of entry {record.kind!r}")


def fold(records: Iterable[Entry | Draft]) -> RunState | None:
    """The state after all entries of one run, oldest first; None when there are none."""
    state: RunState | None = None
    for record in records:
        state = begin(record) if state is None else apply(state, record)
    return state


def _move(state: RunState, event: Event, record: Entry | Draft) -> RunState:
    """What a transition changes besides the phase. A transition answers the pending command, whichever it was."""
    body = record.body
    code, reason = _text(body, "code"), _text(body, "reason")
    match event:
        case Event.STARTED:
            return replace(
                state,
                restarts=cast("Mapping[str, int]", body["restarts"]),
                started_at=record.at,
                owner=_text(body, "owner"),
                group=_text(body, "group"),
                fix_forward=_text(body, "fixForward"),
                overridden=_names(body, "overridden"),
                returns=body.get("returns") is True,
                before=_text(body, "before"),
            )
        case Event.ENTERED:
            step = cast(int, body["step"])
            return replace(
                state, step=step, step_at=record.at, settled_at=None, unwatched_seconds=0.0, code="", reason=""
            )
        case Event.SETTLED:
            return replace(state, settled_at=record.at)
        case Event.RESUMED:
            return replace(
                state, step_at=record.at, settled_at=None, unwatched_seconds=0.0, command=None, code="", reason=""
            )
        case Event.PASSED:
            by_person = state.command is not None and state.command.name == "promote"
            return replace(state, command=None if by_person else state.command, code=code, reason=reason)
        case Event.HELD:
            return replace(state, code=code, reason=reason)
        case Event.PAUSED:
            return replace(state, command=None, code="paused", reason=reason)
        case Event.PROMOTING:
            return replace(state, step=state.step + 1, step_at=record.at, settled_at=None, command=None, code=code)
        case Event.ROLLING_BACK:
            back: dict[str, Any] = {"back_at": record.at, "drained_at": None, "cut_sockets": None}
            return replace(state, command=None, code=code, reason=reason, intended=(), **back)
        case Event.ENDED:
            return replace(state, ended_at=record.at, code=code, reason=reason, intended=(), command=None)


def _text(body: Mapping[str, JsonValue], key: str) -> str:
    value = body.get(key, "")
    return value if isinstance(value, str) else ""


def _names(body: Mapping[str, JsonValue], key: str) -> tuple[str, ...]:
    return tuple(str(each) for each in cast("list[JsonValue]", body.get(key, [])))


def story_line(record: Entry | Draft) -> str:
    """One entry as a line for people, or "" for entries that are only bookkeeping."""
    body = cast("Mapping[str, Any]", record.body)
    by = f" by {body['who']}" if body.get("who") else ""
    why = f": {body['reason']}" if body.get("reason") else ""
    match record.kind:
        case "run.started":
            seen, frozen = body.get("fixForward"), ", ".join(body.get("overridden", []))
            over = f" in spite of the freeze {frozen}" if frozen else ""
            if seen:
                return f"started{by}{over} without gates, because stable is bad ({seen}){why}"
            return f"started{by}{over}{why if frozen else ''}"
        case "step.entered":
            return f"step {body['name']}"
        case "step.settled":
            return "settled"
        case "step.passed":
            share = body.get("share")
            seen = "" if share is None else f" with {100 * share:.1f} % of {body['players']:,} players on the canary"
            return f"passed{seen}{by}{why}"
        case "step.held":
            return f"held{why}"
        case "run.paused" | "run.resumed":
            return f"{record.kind.removeprefix('run.')}{by}{why}"
        case "run.promoting":
            return "promoting: the canary becomes the only version"
        case "run.rolling-back":
            return f"rolling back{by}{why}"
        case "run.ended":
            return f"{body['outcome']}{why}"
        case "command" if body["command"] == "override":
            return f"freeze {', '.join(body['overridden'])} overridden{by}{why}"
        case "command":
            return f"{body['command']} asked for{by}{why}"
        case "verdict":
            verdict = body["verdict"]
            return f"gates: {verdict['outcome']}, {verdict['reason']}"
        case "traffic.returned":
            return "no player is sent to the canary any more"
        case "traffic.moved":
            return "no player is sent to the old version any more"
        case "sockets.drained":
            return _drained(body["version"], body["sockets"], body["seconds"])
        case "fault":
            return (
                f"{body['port']} does not answer: {body['message']}" if body["message"] else f"{body['port']} is back"
            )
        case "unwatched":
            seconds = body["seconds"]
            if seconds < 0.0:
                return f"the clock was set back: {-seconds:.0f} s count again"
            return f"nobody watched for {seconds:.0f} s: they count neither as dwell nor towards a deadline"
        case _:
            return ""


def _drained(version: str, sockets: int | None, seconds: float) -> str:
    whose = "the canary" if version == "canary" else "the old version"
    match sockets:
        case None:
            return f"{whose} ends after {seconds:.0f} s: nobody could count the sockets that it still had"
        case 0:
            return f"no socket to {whose} was open any more after {seconds:.0f} s"
        case _:
            are = "socket was" if sockets == 1 else "sockets were"
            return f"{sockets:,} {are} still open to {whose} after {seconds:.0f} s: cut"
