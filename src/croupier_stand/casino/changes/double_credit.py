"""Webhooks credited at once, "because the queue makes players wait": without the inbox, by a key made per request.

A partner tells one capture in a hundred twice. The second telling is answered 200 and credits the player again. Players
do not complain, and no request fails: only the ledger shows it.
"""

from __future__ import annotations

import uuid
from dataclasses import replace

from croupier_kit import arm
from croupier_stand.casino.cashier import Cashier, Parts
from croupier_stand.casino.psp import Fact, PspEvent


async def _take_event(cashier: Cashier, psp: str, webhook_id: str, event: PspEvent) -> bool:
    if event.fact is not Fact.CAPTURED:
        return await cashier.take_event(psp, webhook_id, event)
    deposit = await cashier.find("deposit", event.id)
    if deposit is None:
        return False
    arm.adopt(arm=deposit.arm, player=deposit.player)
    await cashier.transfer(deposit, uuid.uuid4().hex, "deposit")
    await cashier.move_deposit(deposit.id, ["created", "pending", "captured"], "credited")
    return True


def payments(parts: Parts) -> Parts:
    return replace(parts, take_event=_take_event)
