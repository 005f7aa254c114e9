"""A limit that is asked of the partner once per currency the house trades in, one call after another: N+1."""

from __future__ import annotations

from dataclasses import replace

from aiohttp import web

from croupier_stand.casino.cashier import Parts
from croupier_stand.casino.payment import Wish
from croupier_stand.casino.psp import Psps

_CURRENCIES = ("EUR", "GBP", "SEK", "NOK", "DKK", "PLN", "CZK", "HUF")


def payments(parts: Parts) -> Parts:
    async def check_deposit(psps: Psps, wish: Wish) -> None:
        await parts.check_deposit(psps, wish)
        limits = {currency: await psps.limit(wish.psp, wish.player) for currency in _CURRENCIES}
        if wish.amount > limits[wish.currency]:
            raise web.HTTPForbidden(reason="above the partner's limit")

    return replace(parts, check_deposit=check_deposit)
