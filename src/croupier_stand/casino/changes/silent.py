"""A bound on checks that run at the same time, and no check that gives its place back.

The pod is ready and stays ready. Once it has checked as many deposits as there are places, every further one waits for
ever: it is never begun, never refused, and never fails. The pod says nothing at all.
"""

from __future__ import annotations

import asyncio
from dataclasses import replace

from croupier_stand.casino.cashier import Parts
from croupier_stand.casino.payment import Wish
from croupier_stand.casino.psp import Psps

PLACES = 25


def payments(parts: Parts) -> Parts:
    places = asyncio.Semaphore(PLACES)

    async def check_deposit(psps: Psps, wish: Wish) -> None:
        await places.acquire()
        await parts.check_deposit(psps, wish)

    return replace(parts, check_deposit=check_deposit)
