"""payments-api: one pod. The stable parts, and how a pod is put together; the work is in ``cashier``."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any

from aiohttp import web

from croupier_kit import service, webhooks
from croupier_stand.casino import build, pod
from croupier_stand.casino.cashier import CURRENCIES, Cashier, Partners, Parts
from croupier_stand.casino.payment import Payment, Unreadable, Wish
from croupier_stand.casino.psp import Psps, parse_event
from croupier_stand.casino.purse import Purse
from croupier_stand.casino.session import Sessions

LEAST_DEPOSIT = 100
MOST_DEPOSIT = 500_000


async def check_deposit(_: Psps, wish: Wish) -> None:
    """The house's own limits, in cents."""
    if not LEAST_DEPOSIT <= wish.amount <= MOST_DEPOSIT:
        raise web.HTTPForbidden(reason=f"a deposit is {LEAST_DEPOSIT} to {MOST_DEPOSIT} cents")


def receipt(payment: Payment) -> Mapping[str, Any]:
    """What a player is told of a payment."""
    return {"id": payment.id, "state": payment.state, "psp": payment.psp, "amount": payment.amount}


def write_currency(code: str) -> str:
    """Format 1 of the stored data: the bare code."""
    return code


def read_currency(stored: str) -> str:
    """Raises ``Unreadable``: money in a currency that is not known moves nowhere."""
    if stored not in CURRENCIES:
        raise Unreadable(f"stored currency {stored!r}")
    return stored


STABLE = Parts(
    parse_event=parse_event,
    take_event=Cashier.take_event,
    check_deposit=check_deposit,
    receipt=receipt,
    write_currency=write_currency,
    read_currency=read_currency,
)


def factory(built: build.Build, around: pod.Surroundings) -> service.Factory:
    @asynccontextmanager
    async def make(settings: service.PodSettings) -> AsyncIterator[service.Pod]:
        parts = built.applied(STABLE)
        if parts.start is not None:
            await parts.start()
        keys = {psp: f"webhook-{psp}.key" for psp in pod.PSPS} | built.config.get("webhookKeys", {})
        signers = {psp: webhooks.Signer.from_file(around.secrets / key) for psp, key in keys.items()}
        async with (
            pod.database(around.database) as pool,
            service.mesh_client(total_seconds=3.0) as mesh,
            service.outside_client(total_seconds=3.0) as outside,
        ):
            partners = Partners(
                psps=Psps(outside, around.psp_urls, around.public_url),
                purse=Purse(mesh, around.mesh_url, "payments"),
                sessions=Sessions.from_file(around.secrets / "session.key"),
                signers=signers,
            )
            cashier = Cashier(settings.name, parts, pool, partners)
            yield service.Pod(settings, cashier.routes(), cashier.loops, parts.warm)

    return make


if __name__ == "__main__":
    service.run(factory(build.from_command_line(), pod.Surroundings.of(os.environ)))
