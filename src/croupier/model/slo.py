"""How fast an error budget may burn before somebody is called: windows, rates, and what is recorded for them.

The windows and rates are those of the Google SRE workbook, chapter 5, for a budget of thirty days: 14.4 spends 2 % of
it in an hour, 6 spends 5 % in six hours, 3 spends 10 % in a day, 1 spends all of it in thirty.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

Severity = Literal["page", "ticket"]
Form = Literal["operator", "files"]
"""How a Prometheus gets what it shall do: objects of the Prometheus operator, or files of its own."""

LATENCY_QUANTILE = 0.95
"""An objective on latency is about p95 (S1.7): 5 % of requests may be slower."""

BASE = "5m"
"""Window that is counted from raw counters; the longer ones are averages of what was recorded of it."""
WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


class Burn(NamedTuple):
    """Both windows must burn at ``rate`` times the even pace: the long one says it matters, the short one it lasts."""

    rate: float
    long: str
    short: str
    severity: Severity


BURNS = (
    Burn(14.4, "1h", "5m", "page"),
    Burn(6.0, "6h", "30m", "page"),
    Burn(3.0, "1d", "2h", "ticket"),
    Burn(1.0, "3d", "6h", "ticket"),
)

RECORDED = len(WINDOWS) + 5
"""Series that are recorded of an objective: failures a window, and events, failures, recent and expected events, and
the objective itself."""
OF_RESOURCES = 6 + 5
"""Series at most of what pods of a service use: recorded, and alerts while they fire."""
ALERTED = 4
"""Series at most that alerts of an objective make while they fire."""
