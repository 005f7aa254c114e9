"""Players whose limit is watched are put on a list, and nobody takes them off.

Each deposit asks the partner anew about the whole list, in pages of twenty. It begins as quick as ever; after a hundred
deposits a pod needs a third of a second more for each, and it goes on growing.
"""

from __future__ import annotations

from dataclasses import replace

from croupier_stand.casino.cashier import Parts
from croupier_stand.casino.payment import Wish
from croupier_stand.casino.psp import Psps

_PAGE = 20


def payments(parts: Parts) -> Parts:
    watched: list[str] = []

    async def check_deposit(psps: Psps, wish: Wish) -> None:
        await parts.check_deposit(psps, wish)
        watched.append(wish.player)
        for first in range(_PAGE, len(watched), _PAGE):
            await psps.limit(wish.psp, watched[first])

    return replace(parts, check_deposit=check_deposit)
