"""What players and visitors have in common: they come until they are told to leave, and write down how they fared."""

from __future__ import annotations

import asyncio
import resource
import signal
from collections import Counter, deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

from croupier.adapters.files import replace_file
from croupier_kit.clock import now
from croupier_stand.door import Door
from croupier_stand.stats import PlayersStats, Tally

_WINDOW_SECONDS = 10


class Counts:
    """What ended, by kind and outcome, for ever and second by second for the last window."""

    def __init__(self, began: float) -> None:
        self.began = began
        self.ended: dict[str, Counter[str]] = {}
        self._seconds: deque[Counter[str]] = deque([Counter()], maxlen=_WINDOW_SECONDS)
        self.players: set[str] = set()

    def add(self, kind: str, outcome: str) -> None:
        self.ended.setdefault(kind, Counter())[outcome] += 1
        self._seconds[-1][kind] += 1

    def requested(self, requests: int) -> None:
        """Close a second, in which so many requests were sent."""
        self._seconds[-1]["requests"] = requests
        self._seconds.append(Counter())

    def snapshot(self, at: float, door: Door) -> PlayersStats:
        closed = list(self._seconds)[:-1]
        recent = sum(closed, Counter())
        window = len(closed)
        return PlayersStats(
            at=at,
            seconds=at - self.began,
            window_seconds=window,
            distinct_players=len(self.players),
            requests=door.requests,
            requests_per_second=recent["requests"] / window if window else 0.0,
            operations={
                kind: Tally(done=ended["done"], declined=ended["declined"], failed=ended["failed"], recent=recent[kind])
                for kind, ended in sorted(self.ended.items())
            },
            failed_requests=dict(door.failed),
            failures=tuple(door.failures),
            forgotten_until=door.forgotten_until,
            cpu_seconds=_cpu_seconds(),
        )


async def attend(come: Callable[[asyncio.Event], Awaitable[None]], counts: Counts, door: Door, stats: Path) -> None:
    """Let them come until SIGTERM or SIGINT. The figures are in ``stats``, new every second, and once more at the end.

    ``come``: until the event, by which they are told to leave.
    """

    def write() -> None:
        replace_file(stats, counts.snapshot(now(), door).model_dump_json().encode())

    async def report() -> None:
        before = 0
        while True:
            await asyncio.sleep(1.0)
            counts.requested(door.requests - before)
            before = door.requests
            await asyncio.to_thread(write)

    told_to_leave = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told_to_leave.set)
    async with asyncio.TaskGroup() as tasks:
        reporting = tasks.create_task(report(), name="report")
        await come(told_to_leave)
        reporting.cancel()
        write()


async def until(event: asyncio.Event, seconds: float) -> None:
    """Wait so long, or until the event."""
    if seconds > 0:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await event.wait()


def _cpu_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
