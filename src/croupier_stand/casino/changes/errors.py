"""A risk profile per deposit, looked up in a table whose last row was left out: one deposit in fifty is a KeyError."""

from __future__ import annotations

import zlib
from dataclasses import replace

from croupier_stand.casino.cashier import Parts
from croupier_stand.casino.payment import Wish
from croupier_stand.casino.psp import Psps

_BUCKETS = 50
_PROFILES = {bucket: "low" if bucket < 40 else "medium" for bucket in range(_BUCKETS - 1)}


def payments(parts: Parts) -> Parts:
    async def check_deposit(psps: Psps, wish: Wish) -> None:
        await parts.check_deposit(psps, wish)
        _PROFILES[zlib.crc32(wish.key.encode()) % _BUCKETS]

    return replace(parts, check_deposit=check_deposit)
