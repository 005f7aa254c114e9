"""Groups of releases as the desk carries them out: one move of each live group after every round.

Called by ``Desk`` under its lock. What is decided is ``core.group``; what a move needs of the desk comes in as
``begin``. A desk that is killed between two moves finds what was written, and goes on from there.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Literal

from pydantic import JsonValue

from croupier.core.group import Begin, End, GroupState, TakeBack, Wait, next_move, told
from croupier.core.run import RunState
from croupier.engine.register import Register
from croupier.errors import EnvironmentFault, IntegrityError, UserError
from croupier.model.journal import Draft
from croupier.model.release import Release
from croupier.model.view import GroupView, MemberView

AGAIN_SECONDS = 5.0
"""Until what could not be begun is tried again: it takes a whole forecast, and what is counted is no newer before."""

log = logging.getLogger(__name__)

BeginMember = Callable[[GroupState, Release], Awaitable[str]]
"""Starts the run of a member and gives its id. Raises as ``Desk.start`` does."""

RefuseFrozen = Callable[[Release], Awaitable[None]]
"""Raises ``Refused`` when a freeze keeps the release from starting now."""


class Groups:
    """Moves groups on. ``waiting``: group -> what it waits for, one sentence; not in the journal."""

    def __init__(self, register: Register, begin: BeginMember, refuse: RefuseFrozen, now: Callable[[], float]) -> None:
        self._register = register
        self._begin = begin
        self._refuse = refuse
        self._now = now
        self.waiting: dict[str, str] = {}
        self._tried_at: dict[str, float] = {}
        """Group -> when its next member could not be begun."""

    async def advance(self) -> bool:
        """At most one move of each live group; whether anything was begun, aborted or ended.

        What cannot be done now is tried again in a later round, a member that could not be begun after
        ``AGAIN_SECONDS``; nothing is done while the register is behind the journal. Raises what no desk can live with.
        """
        moved = False
        for state in self._register.live_groups():
            if self._register.is_behind:  # a run that is not known here would be started twice
                break
            try:
                moved = await self._move(state) or moved
            except (UserError, EnvironmentFault) as error:
                if self._is_new(state.group, error.message):
                    log.warning("%s waits: %s", state.group, error.message)
            except IntegrityError:
                raise
            except Exception as error:  # a back end's bug must not stop the way back of other releases
                if self._is_new(state.group, f"{type(error).__name__}: {error}"):
                    log.exception("%s waits", state.group)
        return moved

    def _is_new(self, group: str, what: str) -> bool:
        """Remember why the group cannot go on; whether it was another reason before."""
        before, self.waiting[group] = self.waiting.get(group), what
        return before != what

    async def _move(self, state: GroupState) -> bool:
        runs = self._register.live()
        in_the_way = {run.plan.service: run for run in runs.values()}
        members = await self._members(state)
        move = next_move(state, members, in_the_way)
        match move:
            case Begin():
                now = self._now()
                if 0.0 <= now - self._tried_at.get(state.group, float("-inf")) < AGAIN_SECONDS:
                    return False
                self._tried_at[state.group] = now
                await self._begin(state, move.release)
                del self._tried_at[state.group]
            case TakeBack():
                superseding = next(
                    (each for each in state.releases if self._is_in_the_way(state, each, move.run)), None
                )
                if superseding is not None and not state.override_freeze:
                    await self._refuse(superseding)  # or players are moved for a release that cannot start yet
                who = state.aborted_by or state.who
                body: dict[str, JsonValue] = {"command": "abort", "who": who, "reason": move.reason}
                await self._register.write([Draft("command", move.run, self._now(), body)], way_back=True)
            case End():
                said: dict[str, JsonValue] = {"outcome": move.outcome, "reason": move.reason, "runs": told(members)}
                await self._register.write([Draft("group.ended", state.group, self._now(), said)])
                self.waiting.pop(state.group, None)
                self._tried_at.pop(state.group, None)
                log.info("%s %s: %s", state.group, move.outcome, move.reason)
                return True
            case Wait():
                self.waiting[state.group] = move.what
                return False
        self.waiting.pop(state.group, None)
        return True

    def _is_in_the_way(self, state: GroupState, release: Release, run: str) -> bool:
        """Whether ``run`` is of the same service as a member that was not started."""
        live = self._register.live_run_of(release.service)
        return live is not None and live.plan.run == run and live.group != state.group

    async def _members(self, state: GroupState) -> dict[str, RunState]:
        """Service -> the run of it that a live group has started; absent: not started."""
        return {service: await self._register.run(run) for service, run in self._register.members(state.group).items()}

    async def view(self, group: str) -> GroupView:
        """Raises ``UnknownName``."""
        state = await self._register.group(group)
        runs = await self._members(state)
        return GroupView(
            group=state.group,
            members=tuple(_member(state, release, runs.get(release.service)) for release in state.releases),
            supersede=state.supersede,
            fix_forward=state.fix_forward,
            who=state.who,
            started_at=state.started_at,
            ended_at=state.ended_at,
            outcome=state.outcome,
            reason=state.why or state.reason,
            waiting_for=self.waiting.get(state.group, "") if state.is_live else "",
        )


def _member(state: GroupState, release: Release, run: RunState | None) -> MemberView:
    """``run``: of a live group, what was started for this member."""
    ended = state.runs.get(release.service)
    if ended is not None:
        return MemberView(service=release.service, digest=release.digest, run=ended.run, state=ended.outcome)
    return MemberView(
        service=release.service,
        digest=release.digest,
        run=None if run is None else run.plan.run,
        state=_stands(run, is_over=not state.is_live),
    )


def _stands(
    run: RunState | None, *, is_over: bool
) -> Literal["waiting", "live", "promoted", "rolled-back", "left-out"]:
    if run is None:
        return "left-out" if is_over else "waiting"
    if run.is_live:
        return "live"
    return "promoted" if run.phase == "promoted" else "rolled-back"
