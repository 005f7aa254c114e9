"""What is being carried out of earlier decisions, beside the rounds. Each errand is owned here; at most one a service.

A round sends what is due and waits a moment for it. What takes longer goes on while later rounds look after the other
runs, and wakes the desk when it has ended:

- While an errand is out, nothing else is begun for its service; one that ended after the round had looked counts as
  out. Nothing is lost by that: actions stay due until they are observed in force.
- Nobody decides to go back, or that a run has come back, on what was seen before a change forward has landed or failed.
  Such a round gives the errand up instead, and the next one, at once, looks and decides anew. A change that is given up
  is one whose desk was killed in the middle: every back end goes on from there.
- No errand outlives ``close``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from croupier.core.phases import Phase
from croupier.core.run import RunState
from croupier.engine.handlers import Handlers
from croupier.engine.watch import Watch
from croupier.errors import CroupierError
from croupier.model.plan import Action, EnsureVersion, Reduce, Retire

PROMPT_SECONDS = 0.5
"""How long a round waits for what it has begun; most changes take less."""

LONGEST_SECONDS = 15.0
"""After this an action is given up. Ports promise an answer within ten seconds."""

CAPACITY_SECONDS = 4.0
"""After this, on the way back, capacity is: players wait for it."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Errand:
    task: asyncio.Task[None]
    goes_back: bool
    is_new: bool = True
    """Sent in the present round."""
    is_given_up: bool = False

    def give_up(self) -> None:
        """Cancel it, once: a second time would interrupt what it does to end in good order."""
        if not self.is_given_up:
            self.is_given_up = True
            self.task.cancel()


class Errands:
    """``on_late``: called when an errand ends that outlasted its round."""

    def __init__(self, handlers: Handlers, on_late: Callable[[], None]) -> None:
        self._handlers = handlers
        self._on_late = on_late
        self._out: dict[str, _Errand] = {}
        """By service."""

    def is_out(self, service: str) -> bool:
        return service in self._out

    def leads_forward(self, service: str) -> bool:
        """Whether an errand of the service is out that does not lead back."""
        return service in self._out and not self._out[service].goes_back

    def give_up(self, service: str) -> None:
        """Cancel what is out for the service. It stays out until it has ended."""
        self._out[service].give_up()

    def send(self, state: RunState, actions: Sequence[Action], watch: Watch) -> None:
        """Carry the actions of a run out, unless an errand of its service is out. ``watch`` is told what failed."""
        service = state.plan.service
        if service not in self._out:
            # No group can own a task that outlasts the round which begins it: ``close`` ends it.
            task = asyncio.create_task(  # noqa: TID251
                self._go(state, actions, watch), name=f"actions of {state.plan.run}"
            )
            self._out[service] = _Errand(task, _goes_back(state))

    async def settle(self) -> None:
        """At the end of a round: wait a moment for what was sent or given up in it. Raises as ``note_ended`` does."""
        ending = [errand for errand in self._out.values() if errand.is_new or errand.is_given_up]
        if ending:
            await asyncio.wait([errand.task for errand in ending], timeout=PROMPT_SECONDS)
        self.note_ended()
        for errand in self._out.values():
            if errand.is_new:
                errand.is_new = False
                errand.task.add_done_callback(lambda _: self._on_late())

    def note_ended(self) -> None:
        """Before a round looks: what has ended by now is no longer out. Raises what no desk may live through."""
        for service, errand in list(self._out.items()):
            if errand.task.done():
                del self._out[service]
                if not errand.task.cancelled():
                    errand.task.result()

    async def close(self) -> None:
        """Cancel what is out, and wait until it has ended."""
        errands = list(self._out.values())
        self._out.clear()
        for errand in errands:
            errand.give_up()
        await asyncio.gather(*(errand.task for errand in errands), return_exceptions=True)

    async def _go(self, state: RunState, actions: Sequence[Action], watch: Watch) -> None:
        """Carry the actions out, in order, stopping at the first that fails: the next may rest on it.

        On the way back traffic does not wait for capacity that cannot be asked for.
        """
        known, faults = watch.action_faults, dict[str, str]()
        for action in actions:
            may_fail = _goes_back(state) and isinstance(action, EnsureVersion)
            seconds = CAPACITY_SECONDS if may_fail and action is not actions[-1] else LONGEST_SECONDS
            if fault := await self._try(state, action, seconds, known.get(_port(action), "")):
                faults[_port(action)] = fault
            if faults and not may_fail:
                break
        watch.action_faults = faults

    async def _try(self, state: RunState, action: Action, seconds: float, known: str) -> str:
        """Why the action failed, or "". ``known``: why the one before did; a bug is logged once."""
        try:
            async with asyncio.timeout(seconds):
                await self._handlers.carry_out(state, action)
        except TimeoutError:
            return f"{action.kind}: no answer within {seconds:g} s"
        except CroupierError as error:
            return f"{action.kind}: {error.message}"
        except Exception as error:  # a back end's bug must not stop the way back of other runs
            fault = f"{action.kind}: {type(error).__name__}: {error}"
            if fault != known:
                log.exception("%s of %s", action.kind, state.plan.run)
            return fault
        return ""


def _goes_back(state: RunState) -> bool:
    return state.phase is Phase.ROLLING_BACK


def _port(action: Action) -> str:
    return "workloads" if isinstance(action, EnsureVersion | Reduce | Retire) else "traffic"
