"""How often a schedule of five fields comes round (``base.Cron``), as programs in Go read it: robfig/cron."""

from __future__ import annotations

from datetime import date
from functools import cache
from itertools import accumulate
from typing import NamedTuple

_BOUNDS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))
_WEEK = 7
_LEAP_CYCLE = 4 * 366
_FIRST = date(2001, 1, 1)
"""A Monday."""


class _Days(NamedTuple):
    of_month: frozenset[int]
    months: frozenset[int]
    of_week: frozenset[int]
    """0 is Sunday."""
    is_either: bool
    """Both are named, so that one is enough."""

    @property
    def is_weekly(self) -> bool:
        return len(self.months) == 12 and len(self.of_month) == 31

    def has(self, day: date) -> bool:
        by_month, by_week = day.day in self.of_month, day.isoweekday() % _WEEK in self.of_week
        return day.month in self.months and (by_month or by_week if self.is_either else by_month and by_week)


@cache
def most_runs(schedule: str, days: int) -> int:
    """The most runs that ``days`` days in a row have; 0: it never runs."""
    minute, hour, *rest = (_values(field, *bounds) for field, bounds in zip(schedule.split(), _BOUNDS, strict=True))
    of_month, months, of_week = rest
    _, _, *words = schedule.split()
    is_either = not words[0].startswith("*") and not words[2].startswith("*")
    held = _Days(of_month, months, frozenset(day % _WEEK for day in of_week), is_either)
    span = days + (_WEEK if held.is_weekly else _LEAP_CYCLE)
    first = _FIRST.toordinal()
    summed = [0, *accumulate(held.has(date.fromordinal(first + number)) for number in range(span))]
    most = max(summed[start + days] - summed[start] for start in range(span - days + 1))
    return most * len(minute) * len(hour)


def _values(field: str, least: int, most: int) -> frozenset[int]:
    """What a field names, within its bounds; of what is no field, nothing."""
    found: set[int] = set()
    for part in field.split(","):
        span, _, step = part.partition("/")
        begin, dash, end = span.partition("-")
        if span == "*":
            low, high = least, most
        elif begin.isdigit() and (end.isdigit() or not dash):
            low, high = int(begin), int(end) if dash else most if step else int(begin)
        else:
            continue
        every = int(step) if step.isdigit() and int(step) else 1
        found.update(each for each in range(low, min(high, most) + 1, every) if each >= least)
    return frozenset(found)
