"""How much the players do: the settings that `stand up`, the supervisor and the players share."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from typing import NamedTuple


class Load(NamedTuple):
    """``seed`` decides who does what and when; ``players`` is how many there are.

    Deposits and bets are for the casino. A platform of one's own is visited: ``requests_per_second`` in all, over
    ``paths`` (with commas between; "": the first route of every service that players reach).
    """

    seed: int = 1
    players: int = 4000
    deposits_per_second: float = 40.0
    bets_per_second: float = 35.0
    requests_per_second: float = 60.0
    paths: str = ""

    def options(self) -> tuple[str, ...]:
        """As command line options; ``read`` reads them back."""
        return tuple(f"--{name.replace('_', '-')}={value}" for name, value in self._asdict().items())

    @classmethod
    def declare(cls, parser: ArgumentParser) -> None:
        for name, default in cls._field_defaults.items():
            parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)

    @classmethod
    def read(cls, parsed: Namespace) -> Load:
        return cls(**{name: getattr(parsed, name) for name in cls._fields})
