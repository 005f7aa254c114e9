"""The wall clock, in one place, so that everything else can take time as an argument."""

from __future__ import annotations

import time


def now() -> float:
    """Seconds since the epoch, UTC."""
    return time.time()  # noqa: TID251 - the one place that reads it
