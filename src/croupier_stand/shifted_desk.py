"""The product's desk on a clock that is wrong for a while: ``python -m croupier_stand.shifted_desk``.

For a drill of the soak. The desk itself has no hook for this: what its ``SystemClock`` says is changed here, around it.
FILE holds ``Shifts`` as JSON and is read whenever the clock is; while there is none, the clock is right.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from croupier.adapters.clock import SystemClock
from croupier.model.base import Value


class Shift(Value):
    """``seconds``: added to the clock until ``until``, the right time in seconds since the epoch."""

    until: float
    seconds: float


class Shifts(Value):
    """One after the other; after the last the clock is right."""

    shifts: tuple[Shift, ...]

    def at(self, now: float) -> float:
        """Seconds that the clock is ahead at ``now``."""
        return next((shift.seconds for shift in self.shifts if now < shift.until), 0.0)


def shift_clock(file: Path) -> None:
    """From now on ``SystemClock`` says what ``file`` makes of the time."""
    right = SystemClock.now

    def now(self: SystemClock) -> float:
        told = right(self)
        try:
            return told + Shifts.model_validate_json(file.read_bytes()).at(told)
        except FileNotFoundError:
            return told

    SystemClock.now = now  # type: ignore[method-assign]


def main() -> None:
    from croupier.cli.root import cli

    parser = argparse.ArgumentParser(prog="python -m croupier_stand.shifted_desk")
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--shifts", type=Path, required=True)
    given = parser.parse_args()
    shift_clock(given.shifts)
    cli(["desk", "--home", str(given.home)])


if __name__ == "__main__":
    main()
