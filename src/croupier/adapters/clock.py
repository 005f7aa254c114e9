"""The machine's clock: the one place that reads it."""

from __future__ import annotations

import time


class SystemClock:
    def now(self) -> float:
        return time.time()  # noqa: TID251 this is the adapter of the Clock port

    async def sleep(self, seconds: float) -> None:
        import asyncio  # noqa: PLC0415 commands that only ask for the time start without it

        await asyncio.sleep(seconds)
