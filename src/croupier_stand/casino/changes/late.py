"""A list of who may deposit much, read at the start, good for a minute, and never read again.

For a minute nothing is wrong. Then every deposit of 100 or more, one in four, is answered with 500, and a retry does
not help.
"""

from __future__ import annotations

from dataclasses import replace

from croupier_kit.clock import now
from croupier_stand.casino.cashier import Parts
from croupier_stand.casino.payment import Wish
from croupier_stand.casino.psp import Psps

GOOD_SECONDS = 60.0
MUCH = 10_000


def payments(parts: Parts) -> Parts:
    good_until = now() + GOOD_SECONDS

    async def check_deposit(psps: Psps, wish: Wish) -> None:
        await parts.check_deposit(psps, wish)
        if wish.amount >= MUCH and now() > good_until:
            raise LookupError("the list of limits is out of date")

    return replace(parts, check_deposit=check_deposit)
