"""Several releases as one: a plan of plans. State is a fold over the journal, ``next_move`` says what is next. Pure.

Members go one after another, what others depend on first: when something turns bad there is one suspect, and what is
called was released and watched before its callers are. The group goes no further when a member was taken back, and an
abort goes down to the member that is live. Members that were promoted stay: their old version has been retired, so
going back is a release of it. ``supersede`` takes back a live release that stands in a member's way, whole, before the
member starts: players are never on three versions. Kinds and bodies of the journal (subject ``g-0001``, keys
camelCase):

    group.planned     releases, supersede, fixForward, overrideFreeze, who, reason
    group.aborted     who, reason
    group.ended       outcome, reason, runs {service: {run, outcome}} of the members that were started

Which runs belong to a group is said by the runs: ``run.started`` has ``group``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, cast

from pydantic import JsonValue, TypeAdapter

from croupier.core.drain import may_turn_back
from croupier.core.phases import TABLE, Event, Phase
from croupier.core.run import RunState
from croupier.errors import IntegrityError, Refused
from croupier.model.journal import Draft, Entry
from croupier.model.release import Release
from croupier.model.service import Platform

PREFIX = "g-"
"""Of the ids of groups; runs begin with ``r-``."""

Outcome = Literal["promoted", "rolled-back", "aborted"]

_RELEASES: TypeAdapter[tuple[Release, ...]] = TypeAdapter(tuple[Release, ...])


@dataclass(frozen=True, slots=True)
class Member:
    """One run of a group that has ended."""

    run: str
    outcome: Literal["promoted", "rolled-back"]


@dataclass(frozen=True, slots=True)
class GroupState:
    """One group as its journal tells it. ``releases``: in the order they go."""

    group: str
    releases: tuple[Release, ...]
    supersede: bool
    fix_forward: bool
    who: str
    reason: str
    started_at: float
    override_freeze: bool = False
    """Whether its members start in spite of freeze windows."""
    aborted_by: str | None = None
    """Who wants it to stop; None: nobody."""
    abort_reason: str = ""
    ended_at: float | None = None
    outcome: Outcome | None = None
    why: str = ""
    runs: Mapping[str, Member] = field(default_factory=dict)
    """Service -> what became of it, of the members that were started; empty while the group is live."""

    @property
    def is_live(self) -> bool:
        return self.ended_at is None


@dataclass(frozen=True, slots=True)
class Begin:
    """Start this member now."""

    release: Release


@dataclass(frozen=True, slots=True)
class TakeBack:
    """Abort this run, of the group or in its way."""

    run: str
    reason: str


@dataclass(frozen=True, slots=True)
class End:
    outcome: Outcome
    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to do now; ``what`` for is one sentence."""

    what: str


Move = Begin | TakeBack | End | Wait


_MEMBERS: TypeAdapter[dict[str, Member]] = TypeAdapter(dict[str, Member])


def begin(record: Entry | Draft) -> GroupState:
    """The state after ``group.planned``."""
    if record.kind != "group.planned":
        raise IntegrityError(f"group {record.subject} begins with {record.kind}, not with group.planned")
    body = record.body
    return GroupState(
        group=record.subject,
        releases=_RELEASES.validate_python(body["releases"]),
        supersede=body["supersede"] is True,
        fix_forward=body["fixForward"] is True,
        override_freeze=body.get("overrideFreeze") is True,
        who=str(body["who"]),
        reason=str(body["reason"]),
        started_at=record.at,
    )


def apply(state: GroupState, record: Entry | Draft) -> GroupState:
    """The state after one more entry. Raises ``IntegrityError`` for a kind that does not exist."""
    body = record.body
    match record.kind:
        case "group.aborted":
            return replace(state, aborted_by=str(body["who"]), abort_reason=str(body["reason"]))
        case "group.ended":
            outcome = cast(Outcome, body["outcome"])
            runs = _MEMBERS.validate_python(body["runs"])
            return replace(state, ended_at=record.at, outcome=outcome, why=str(body["reason"]), runs=runs)
        case _:
            raise IntegrityError(f"group {record.subject}: unknown kind of entry {record.kind!r}")


def fold(records: Iterable[Entry | Draft]) -> GroupState | None:
    """The state after all entries of one group, oldest first; None when there are none."""
    state: GroupState | None = None
    for record in records:
        state = begin(record) if state is None else apply(state, record)
    return state


def told(members: Mapping[str, RunState]) -> JsonValue:
    """``runs`` of ``group.ended``. ``members``: service -> its run, all of them ended."""
    return {
        service: {"run": run.plan.run, "outcome": "promoted" if run.phase is Phase.PROMOTED else "rolled-back"}
        for service, run in members.items()
    }


def in_order(releases: Sequence[Release], platform: Platform) -> tuple[Release, ...]:
    """What others depend on first, over services between them too; else as given.

    Raises ``Refused`` for a service that is released twice, or services that depend on each other in a ring.
    """
    by_service = {release.service: release for release in releases}
    if len(by_service) < len(releases):
        raise Refused("a service stands in the group twice", hint="one version a service")
    needs = {name: _dependencies(name, platform) & by_service.keys() for name in by_service}
    left, ordered = dict(by_service), []
    while left:
        ready = next((name for name in left if not needs[name] & left.keys()), None)
        if ready is None:
            raise Refused(f"{', '.join(sorted(left))} depend on each other in a ring", hint="release them one by one")
        ordered.append(left.pop(ready))
    return tuple(ordered)


def _dependencies(name: str, platform: Platform) -> set[str]:
    """All that a service depends on, however far away."""
    found: set[str] = set()
    to_look_at = [name]
    while to_look_at:
        service = platform.service(to_look_at.pop())
        new = set(service.depends_on) - found if service is not None else set()
        found |= new
        to_look_at += new
    return found - {name}


def next_move(state: GroupState, members: Mapping[str, RunState], in_the_way: Mapping[str, RunState]) -> Move:
    """What the group does next.

    Args:
        state: a live group.
        members: service -> the group's own run of it, live or ended; absent: not started.
        in_the_way: service -> its live run, whoever's.
    """
    for place, release in enumerate(state.releases):
        run = members.get(release.service)
        if run is not None and run.phase is Phase.PROMOTED:
            continue
        unstarted = ", ".join(each.service for each in state.releases[place + (run is not None) :])
        rest = f"; not started: {unstarted}" if unstarted else ""
        if run is not None and run.is_live:
            if state.aborted_by is not None:
                return _take_back(run, state.abort_reason or f"{state.group} aborted")
            return Wait(f"{run.plan.run} of {release.service}")
        if state.aborted_by is not None:
            return End("aborted", f"{state.abort_reason or f'aborted by {state.aborted_by}'}{rest}")
        if run is not None:
            return End("rolled-back", f"{run.plan.run} of {release.service} was taken back: {run.reason}{rest}")
        other = in_the_way.get(release.service)
        if other is not None and state.supersede:
            return _take_back(other, f"superseded by {state.group}")
        if other is not None:
            return Wait(f"{other.plan.run} of {release.service} to end")
        return Begin(release)
    return End("promoted", f"{', '.join(release.service for release in state.releases)}: all promoted")


def _take_back(run: RunState, reason: str) -> Move:
    """Abort a run, unless that was said already, or it is beyond."""
    is_beyond = run.phase is Phase.PROMOTING and not may_turn_back(run)
    if run.is_aborted or is_beyond or Event.ROLLING_BACK not in TABLE[run.phase]:
        return Wait(f"{run.plan.run} of {run.plan.service} to end: it is {run.phase}")
    return TakeBack(run.plan.run, reason)
