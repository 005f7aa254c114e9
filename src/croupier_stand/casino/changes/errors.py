"""Risk references taken from blocks of fifty, of which only forty-nine were filled: every fiftieth call fails.

2 % of deposit calls answer 500. A retry gets the next reference, so hardly a deposit is lost: only the error ratio and
the players who see an error tell.
"""

from __future__ import annotations

from dataclasses import replace

from croupier_stand.casino.cashier import Parts
from croupier_stand.casino.payment import Wish
from croupier_stand.casino.psp import Psps

_BLOCK = 50


class _References:
    """Hands out one reference a call, block after block."""

    def __init__(self) -> None:
        self._given = 0
        self._block: list[str] = []

    def take(self) -> str:
        place = self._given % _BLOCK
        if place == 0:
            self._block = [f"risk-{self._given + number}" for number in range(1, _BLOCK)]
        self._given += 1
        return self._block[place]


def payments(parts: Parts) -> Parts:
    references = _References()

    async def check_deposit(psps: Psps, wish: Wish) -> None:
        await parts.check_deposit(psps, wish)
        references.take()

    return replace(parts, check_deposit=check_deposit)
