"""Visitors of somebody's own services: ``python -m croupier_stand.visitors``. They ask for pages at a steady rate.

An open loop: a service that slows down does not slow its visitors. Each visitor says who it is (``x-player``), so that
it stays with one version for a release and the gates count visitors, not requests. Nobody asks a second time: what
failed has failed, and is counted with its cause, as the players of the casino do.
"""

from __future__ import annotations

import argparse
import asyncio
import os
from collections.abc import Sequence
from itertools import cycle
from pathlib import Path
from random import Random
from typing import NamedTuple

import uvloop

from croupier.model.service import Platform
from croupier.spec.platform import load_platform
from croupier_kit import logs
from croupier_kit.clock import now
from croupier_stand.counts import Counts, attend, until
from croupier_stand.door import Door, GaveUp, client
from croupier_stand.load import Load

_MOST_WAITING = 500
"""A service that has stopped answering is not buried in requests: visitors beyond these turn away and are not sent."""


class Settings(NamedTuple):
    """Where to go, and where to write down what happened. ``paths`` is not empty."""

    url: str
    paths: tuple[str, ...]
    stats: Path
    load: Load


def visited_paths(platform: Platform, asked: str) -> tuple[str, ...]:
    """What is visited: ``asked``, with commas between, or the first route of every service that players reach."""
    if asked:
        return tuple(path.strip() for path in asked.split(","))
    return tuple(service.routes[0] for service in platform.services if service.routes and not service.internal)


class Visitors:
    """All of them, and the beat at which they come."""

    def __init__(self, load: Load, paths: Sequence[str], door: Door) -> None:
        """``paths``: not empty."""
        self._load = load
        self._paths = paths
        self._door = door
        self._random = Random(load.seed)
        self._names = [f"v-{number:05d}" for number in range(1, load.players + 1)]
        self.counts = Counts(now())

    async def come(self, told_to_leave: asyncio.Event) -> None:
        """Send requests until told to leave; those that are out may be answered first, as long as the door waits."""
        loop = asyncio.get_running_loop()
        paths = cycle(self._paths)
        waiting: set[asyncio.Task[None]] = set()
        async with asyncio.TaskGroup() as tasks:
            begin = loop.time()
            while not told_to_leave.is_set():
                begin += self._random.expovariate(self._load.requests_per_second)
                await until(told_to_leave, begin - loop.time())
                if len(waiting) < _MOST_WAITING:
                    task = tasks.create_task(self._visit(self._random.choice(self._names), next(paths)))
                    waiting.add(task)
                    task.add_done_callback(waiting.discard)

    async def _visit(self, name: str, path: str) -> None:
        self.counts.players.add(name)
        try:
            reply = await self._door.ask(path, "GET", path, player=name, tries=1)
        except GaveUp:
            self.counts.add(path, "failed")
        else:
            self.counts.add(path, "done" if reply.status < 400 else "declined")


async def run(settings: Settings) -> None:
    """Visit until SIGTERM."""
    async with client() as session:
        door = Door(session, settings.url, now, Random(settings.load.seed + 1))
        visitors = Visitors(settings.load, settings.paths, door)
        await attend(visitors.come, visitors.counts, door, settings.stats)


def main() -> None:
    """Settings from the environment: PUBLIC_URL, PLATFORM, PLAYERS_STATS."""
    parser = argparse.ArgumentParser(prog="python -m croupier_stand.visitors")
    Load.declare(parser)
    load = Load.read(parser.parse_args())
    logs.configure("visitors")
    told = os.environ
    paths = visited_paths(load_platform(Path(told["PLATFORM"])), load.paths)
    settings = Settings(told["PUBLIC_URL"], paths, Path(told["PLAYERS_STATS"]), load)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(run(settings))


if __name__ == "__main__":
    main()
