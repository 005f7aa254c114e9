"""How often a schedule comes round: what copies are kept for, and how far back they reach (S7.2)."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from croupier.model.cron import most_runs, reached_days


@pytest.mark.parametrize(
    ("schedule", "days", "runs"),
    [
        ("0 0 29 2 *", 366, 1),
        ("0 0 13 * 5", 7, 2),
        ("5,10 */12 1-3 1 *", 40, 12),
        ("0 0 */10 * *", 31, 5),
        ("0 0 30 feb *", 3000, 0),
        ("61 0 * * *", 30, 0),
    ],
)
def test_schedules_are_read_as_cron_reads_them(schedule: str, days: int, runs: int) -> None:
    assert most_runs(schedule, days) == runs


@pytest.mark.parametrize(
    ("schedule", "count", "days"),
    [
        ("0 2 * * *", 31, 30),
        ("0 */6 * * *", 30, 7),  # four a day: thirty are a week, and no month
        ("0 0 2 * * *", 8, 7),
        ("@weekly", 5, 28),
        ("0 2 * * 7", 5, 28),
        ("0 2 * * mon,THU", 8, 24),
        ("0 2 * * 1,2", 8, 22),
        ("0 2 1 * *", 4, 89),
        ("0 2 1,15 * ?", 4, 42),
        ("0 2 1 1 *", 3, 730),
        ("0 2 13 * 5", 4, 14),
        ("@daily", 1, 0),
        ("@daily", 0, 0),
        ("0 2 * * *", 10**9, 3660),
        ("0 2 * * L", 3, None),
        ("0 2 * * */0", 3, None),
        ("0 2 5-3 * *", 3, None),
        ("now and then", 3, None),
        ("", 3, None),
    ],
)
def test_the_last_copies_reach_so_far_back_whenever_one_looks(schedule: str, count: int, days: int | None) -> None:
    assert reached_days(schedule, count) == days


@given(st.sets(st.integers(0, 6), min_size=1), st.sets(st.integers(0, 23), min_size=1), st.integers(1, 60))
def test_no_moment_that_far_back_is_without_a_copy_before_it(weekdays: set[int], hours: set[int], count: int) -> None:
    """Counted by hand over half a year of runs, at every hour."""
    schedule = f"0 {','.join(map(str, sorted(hours)))} * * {','.join(map(str, sorted(weekdays)))}"
    reach = reached_days(schedule, count)
    assert reach is not None
    runs = [
        24 * number + hour
        for number in range(500)
        if (date(2026, 1, 1) + timedelta(number)).isoweekday() % 7 in weekdays
        for hour in sorted(hours)
    ]
    oldest = [runs[index + 1] - runs[index + 1 - count] for index in range(count - 1, len(runs) - 1)]
    # The moment before the next run the oldest kept is that old; a copy counts from the moment it is made.
    least = min(oldest, default=None)
    assert least is None or reach <= least // 24 if count > 1 else reach == 0
