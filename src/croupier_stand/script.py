"""What a player does in one sitting, decided beforehand from a seed. Pure.

A sitting is a list of moves with pauses between them. Sittings begin at random moments at a steady rate, whatever the
casino does (an open loop: a slow casino does not slow its players down, it only makes them wait). What a player came
for is decided here; whether the lobby offers that game is for the casino to say.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from typing import Literal, NamedTuple

from croupier_stand.load import Load

PSPS = ("psp-a", "psp-b")
GAMES = ("roulette", "blackjack", "baccarat", "slots", "crash")
_DEPOSITS = ((1, 0.6), (2, 0.3), (3, 0.1))
"""How many deposits a sitting has, and how often."""
DEPOSITS_PER_SITTING = sum(count * share for count, share in _DEPOSITS)
_WITHDRAWAL_SHARE = 0.12
_LOGIN_SHARE = 0.4
"""Of the sittings of players who still hold a token."""
_MOST_BETS = 12
_LONGEST_PAUSE_SECONDS = 6.0


class Move(NamedTuple):
    """``amount`` in cents; ``with_``: the PSP of a payment, the game of a bet, or ""."""

    kind: Literal["login", "deposit", "bet", "withdrawal"]
    pause_seconds: float
    amount: int = 0
    with_: str = ""


@dataclass(frozen=True, slots=True)
class Rates:
    """Sittings per second, and bets in a sitting on average, that give the wanted rates."""

    sittings_per_second: float
    bets_per_sitting: float

    @classmethod
    def of(cls, load: Load) -> Rates:
        sittings = max(load.deposits_per_second / DEPOSITS_PER_SITTING, 0.1)
        return cls(sittings, load.bets_per_second / sittings)


def sitting(random: Random, bets: float) -> list[Move]:
    """One sitting: a login, deposits with bets after each, now and then a withdrawal at the end.

    Args:
        random: the player's own source of chance.
        bets: how many bets on average.
    """
    moves = []
    if random.random() < _LOGIN_SHARE:
        moves.append(Move("login", 0.0))
    deposits = random.choices([count for count, _ in _DEPOSITS], [share for _, share in _DEPOSITS])[0]
    for number in range(deposits):
        psp = PSPS[random.random() < 0.5]
        moves.append(Move("deposit", _pause(random) * (number > 0), random.choice((1000, 2000, 5000, 10_000)), psp))
        for _ in range(_about(random, bets / deposits)):
            moves.append(Move("bet", _pause(random), random.choice((50, 100, 200, 500)), random.choice(GAMES)))
    if random.random() < _WITHDRAWAL_SHARE:
        moves.append(Move("withdrawal", _pause(random), random.choice((500, 1000, 2000)), random.choice(PSPS)))
    return moves


def _pause(random: Random) -> float:
    return min(random.expovariate(1 / 1.5), _LONGEST_PAUSE_SECONDS)


def _about(random: Random, mean: float) -> int:
    """A whole number with this mean: its floor, or one more."""
    whole = int(mean)
    return min(whole + (random.random() < mean - whole), _MOST_BETS)
