"""How far apart two base backups are (policy N24)."""

from __future__ import annotations

import pytest

from croupier.core.policy.backups import gap_days


@pytest.mark.parametrize(
    ("schedule", "days"),
    [
        ("0 2 * * *", 1),
        ("0 */6 * * *", 1),
        ("0 0 2 * * *", 1),
        ("@weekly", 7),
        ("0 2 * * 0", 7),
        ("0 2 * * 7", 7),
        ("0 2 * * mon,thu", 4),
        ("0 2 * * 1-5", 3),
        ("0 2 */2 * *", 2),
        ("0 2 1 * *", 31),
        ("0 2 1,15 * ?", 17),
        ("0 2 1 1 *", None),
        ("0 2 13 * 5", None),
        ("0 2 * * L", None),
        ("0 2 * * */0", None),
        ("now and then", None),
        ("", None),
    ],
)
def test_the_longest_time_between_two_backups_is_read_off_the_schedule(schedule: str, days: float | None) -> None:
    assert gap_days(schedule) == days
