from __future__ import annotations

from typing import Protocol


class Clock(Protocol):
    """Time for the engine. Tests run on virtual time."""

    def now(self) -> float:
        """Seconds since the epoch, UTC."""
        ...

    async def sleep(self, seconds: float) -> None: ...
