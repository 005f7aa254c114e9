"""Keeps one process as it is wanted: runs it, asks whether it is ready, starts it again when it ends, lets it drain.

A keeper is a small state machine that is stepped by its owner (agent or supervisor); it never waits. Time is an
argument, monotonic seconds.

    resting ──wanted──▶ starting ──answers──▶ running
       ▲                   │   ends              │  ends
       │                   ▼                     ▼
    draining ◀──unwanted── backing-off (each time longer, counted when started again)
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import aiohttp

from croupier.errors import EnvironmentFault
from croupier_stand.process import ChildProcess

STEP_SECONDS = 0.2
_PROBE_SECONDS = 1.0
_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 10.0
_STEADY_SECONDS = 30.0
"""A process that ran this long was sound: its end counts as the first."""
_FAILED_PROBES = 2
"""What was ready is unready after this many failed probes in a row."""

Phase = Literal["resting", "starting", "running", "backing-off", "draining"]


class Answer(NamedTuple):
    """Of a readiness probe; ``detail`` says why not."""

    good: bool
    detail: str = ""


Probe = Callable[[aiohttp.ClientSession], Awaitable[Answer]]


def http_probe(url: str) -> Probe:
    """Ready when ``url`` answers 200."""

    async def ask(client: aiohttp.ClientSession) -> Answer:
        try:
            async with client.get(url) as response:
                return Answer(response.status == 200, f"readiness answers {response.status}")
        except (aiohttp.ClientError, TimeoutError) as error:
            return Answer(False, f"readiness does not answer ({type(error).__name__})")

    return ask


@dataclass(slots=True)
class Keeper:
    """One process. ``probe`` None: ready as soon as it runs."""

    child: ChildProcess
    probe: Probe | None
    drain_seconds: float
    """How long it may take to end once told to; then it is killed."""
    phase: Phase = "resting"
    ready: bool = False
    restarts: int = 0
    """Starts after an end that nobody asked for."""
    reason: str = "not started"
    """Why it is not ready, or ""."""
    is_frozen: bool = False
    """Whether it stands still because it was told to. It is not asked meanwhile: it would not answer."""
    _ends_in_a_row: int = 0
    _started_at: float = 0.0
    _start_after: float = 0.0
    _drain_until: float = 0.0
    _probe_after: float = 0.0
    _failed_probes: int = 0

    def step(self, wanted: bool, now: float) -> None:
        """Move on by what is seen now. A program that cannot be started at all is tried again, as one that ends."""
        if self.phase == "draining":
            self._drain(now)
        if self.phase in ("starting", "running") and not self.child.is_running:
            self._has_ended(now)
        if not wanted:
            if self.phase not in ("resting", "draining"):
                self._let_go(now)
        elif self.phase in ("resting", "backing-off") and now >= self._start_after:
            self.restarts += self.phase == "backing-off"
            self._start(now)

    def put_off(self, until: float) -> None:
        """Do not start it before."""
        self._start_after = until

    def kill(self, until: float) -> None:
        """End its process from one moment to the next. It is started again as after any other end, but not before."""
        self.child.kill()
        self._start_after = until

    def freeze(self) -> None:
        """Let its process stand still, until ``thaw`` or its end."""
        self.child.freeze()
        self.is_frozen = True

    def thaw(self) -> None:
        self.child.thaw()
        self.is_frozen = False

    def probed(self, answer: Answer, now: float) -> None:
        """Take in the answer of one readiness probe."""
        if self.phase not in ("starting", "running"):
            return
        if answer.good:
            self.phase, self.ready, self.reason, self._failed_probes = "running", True, "", 0
        else:
            self._failed_probes += 1
            if not self.ready or self._failed_probes >= _FAILED_PROBES:
                self.ready, self.reason = False, answer.detail
        self._probe_after = now + (_PROBE_SECONDS if self.ready else STEP_SECONDS)

    def is_probe_due(self, now: float) -> bool:
        return self.phase in ("starting", "running") and now >= self._probe_after

    def _start(self, now: float) -> None:
        self._started_at, self._probe_after, self._failed_probes, self.is_frozen = now, now, 0, False
        try:
            self.child.start()
        except EnvironmentFault as error:
            self._back_off(str(error), now)
        else:
            self.phase, self.reason = "starting", "not ready yet"

    def _let_go(self, now: float) -> None:
        self.thaw()
        self.phase, self.ready, self.reason = "draining", False, "draining"
        self._drain_until = now + self.drain_seconds
        self.child.terminate()
        self._drain(now)

    def _drain(self, now: float) -> None:
        if not self.child.is_running:
            self.phase, self.reason, self._ends_in_a_row = "resting", "not wanted", 0
        elif now > self._drain_until:
            self.child.kill()

    def _has_ended(self, now: float) -> None:
        code = self.child.exit_code
        self._back_off(f"signal {-code}" if code is not None and code < 0 else f"exit code {code}", now)

    def _back_off(self, why: str, now: float) -> None:
        self._ends_in_a_row = 1 if now - self._started_at > _STEADY_SECONDS else self._ends_in_a_row + 1
        delay = min(_LONGEST_DELAY_SECONDS, _FIRST_DELAY_SECONDS * 2 ** (self._ends_in_a_row - 1))
        self.phase, self.ready = "backing-off", False
        self._start_after = max(self._start_after, now + delay)
        self.reason = f"{why}, restart in {round(self._start_after - now, 1):g} s"


async def probe_all(client: aiohttp.ClientSession, keepers: Iterable[Keeper], clock: Callable[[], float]) -> None:
    """Ask every keeper's process that is due, all at once, and hand each its answer."""

    async def ask(keeper: Keeper) -> None:
        if keeper.is_frozen:
            answer = Answer(False, "stopped")
        else:
            answer = Answer(True) if keeper.probe is None else await keeper.probe(client)
        keeper.probed(answer, clock())

    async with asyncio.TaskGroup() as tasks:
        for keeper in keepers:
            if keeper.is_probe_due(clock()):
                tasks.create_task(ask(keeper))
