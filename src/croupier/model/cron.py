"""How often a cron schedule comes round, as programs in Go read it: robfig/cron, which Kubernetes and the operators of
databases use. Five fields, six with seconds before them, or a word such as ``@daily``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from datetime import date
from functools import cache, lru_cache
from itertools import accumulate
from math import prod
from operator import sub
from typing import NamedTuple

_WORDS: Mapping[str, str] = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_BOUNDS: Sequence[tuple[int, int, Mapping[str, int]]] = (
    (0, 59, {}),
    (0, 59, {}),
    (0, 23, {}),
    (1, 31, {}),
    (1, 12, {name: number for number, name in enumerate(_MONTHS, 1)}),
    (0, 7, {name: number for number, name in enumerate(_WEEKDAYS)}),
)
_EVERY = ("*", "?")
_WEEK = 7
_LEAP_CYCLE = 4 * 366
_MOST_DAYS = 3660
_FIRST = date(2001, 1, 1).toordinal()
"""A Monday."""


class _Schedule(NamedTuple):
    runs: int
    """On each of its days."""
    of_month: frozenset[int]
    months: frozenset[int]
    of_week: frozenset[int]
    """0 is Sunday."""
    is_either: bool
    """Both kinds of days are named, so that one is enough."""

    @property
    def cycle_days(self) -> int:
        """After which all that can happen has happened."""
        return _WEEK if len(self.months) == 12 and len(self.of_month) == 31 else _LEAP_CYCLE

    def has(self, day: int, month: int, weekday: int) -> bool:
        by_month, by_week = day in self.of_month, weekday in self.of_week
        return month in self.months and (by_month or by_week if self.is_either else by_month and by_week)

    def most(self, longest: int) -> Callable[[int], int]:
        """Days in a row, ``longest`` at most -> the most runs that so many have."""
        cycle = self.cycle_days
        summed = [0, *accumulate(self.has(*day) for day in _days()[: longest + cycle])]
        return lambda days: self.runs * max(map(sub, summed[days : days + cycle], summed[:cycle]))


@cache
def _days() -> Sequence[tuple[int, int, int]]:
    """Day, month and day of the week of all days that are ever looked at."""
    dates = (date.fromordinal(_FIRST + number) for number in range(_MOST_DAYS + _LEAP_CYCLE))
    return [(each.day, each.month, each.isoweekday() % _WEEK) for each in dates]


@lru_cache(maxsize=256)
def most_runs(schedule: str, days: int) -> int:
    """The most runs that ``days`` days in a row have, ten years at most; 0: it never runs, or is no schedule."""
    held = _read(schedule)
    return held.most(days)(days) if held is not None else 0


@lru_cache(maxsize=256)
def reached_days(schedule: str, count: int) -> int | None:
    """Days back that the last ``count`` runs always reach, ten years at most; None for what is no schedule.

    The oldest of them is left out when a new one is there, so fewer than ``count`` runs may come in that time.
    """
    held = _read(schedule)
    if held is None:
        return None
    return max(0, bisect_right(range(_MOST_DAYS + 1), count - 1, key=held.most(_MOST_DAYS)) - 1)


def _read(schedule: str) -> _Schedule | None:
    words = _WORDS.get(schedule, schedule).split()
    if len(words) == 5:
        words = ["0", *words]
    if len(words) != len(_BOUNDS):
        return None
    fields = [_values(word, *bounds) for word, bounds in zip(words, _BOUNDS, strict=True)]
    if not all(fields):
        return None
    *times, of_month, months, of_week = fields
    is_either = not words[3].startswith(_EVERY) and not words[5].startswith(_EVERY)
    return _Schedule(prod(map(len, times)), of_month, months, frozenset(day % _WEEK for day in of_week), is_either)


def _values(field: str, least: int, most: int, names: Mapping[str, int]) -> frozenset[int]:
    """What a field names; of what is no field, nothing."""
    found: set[int] = set()
    for part in field.split(","):
        span, slash, step = part.partition("/")
        begin, dash, end = span.partition("-")
        low = least if span in _EVERY else _number(begin, names)
        high = most if span in _EVERY or (slash and not dash) else _number(end if dash else begin, names)
        every = _number(step, {}) if slash else 1
        if low is None or high is None or not every or not least <= low <= high <= most:
            return frozenset()
        found.update(range(low, high + 1, every))
    return frozenset(found)


def _number(word: str, names: Mapping[str, int]) -> int | None:
    return int(word) if word.isascii() and word.isdigit() and len(word) < 10 else names.get(word.lower())
