"""The event loop's time as a clock: with the ``looptime`` marker it is virtual, and sleeping costs nothing."""

from __future__ import annotations

import asyncio

BEGINNING = 1_800_000_000.0


class LoopClock:
    """``offset``: seconds by which the clock was set, for tests of clocks that jump."""

    def __init__(self) -> None:
        self.offset = 0.0

    def now(self) -> float:
        return BEGINNING + self.steady() + self.offset

    def steady(self) -> float:
        """What nobody can set."""
        return asyncio.get_running_loop().time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
