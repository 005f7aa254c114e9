"""What the players counted themselves: the stand's measured rates, and every request that failed, when and why.

Written by the players once a second as a whole file, read by ``stand status``, the demo and the tests.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

NO_ANSWER = "no answer"
"""How the cause of a request begins that was given up waiting for."""


class Failure(NamedTuple):
    """One request that a player sent at ``sent_at`` and saw fail at ``at``. ``cause``: ``500 from a pod``, ``no answer
    within 8 s``, …"""

    at: float
    operation: str
    cause: str
    by_edge: bool
    """True: no pod answered; the edge did, or nobody."""
    sent_at: float


class Tally(BaseModel):
    """One kind of operation. ``declined`` is a clean no (a card, an empty purse); ``failed``: given up, or never
    confirmed."""

    model_config = ConfigDict(frozen=True)

    done: int = 0
    declined: int = 0
    failed: int = 0
    recent: int = 0
    """Ended in the last window."""


class PlayersStats(BaseModel):
    """``seconds``: since the players began. ``window_seconds``: length of the last window, for rates."""

    model_config = ConfigDict(frozen=True)

    at: float
    seconds: float
    window_seconds: float
    distinct_players: int
    requests: int
    requests_per_second: float
    operations: Mapping[str, Tally]
    failed_requests: Mapping[str, int]
    """Cause -> count, of all failed requests, retried or not."""
    failures: tuple[Failure, ...]
    """The last few thousand of them, oldest first."""
    forgotten_until: float = 0.0
    """Of failures until then, seconds since the epoch, some are not among ``failures``; 0 when all are."""
    cpu_seconds: float

    def rate(self, operation: str) -> float:
        """Operations ended per second in the last window."""
        tally = self.operations.get(operation)
        return tally.recent / self.window_seconds if tally is not None and self.window_seconds else 0.0


def read_stats(path: Path) -> PlayersStats | None:
    """None until the players have written the first."""
    try:
        return PlayersStats.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
