"""A bonus for each deposit, booked with a kind of transfer that only the next version of the wallet will know.

Released in the wrong order: the wallet answers 400 to each. payments-api notes it and goes on; its own answers are all
200, deposits are credited, and only the bonus never comes. The failures are to be seen at the wallet, which is sound.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from croupier_kit import logs
from croupier_stand.casino.cashier import Parts
from croupier_stand.casino.payment import Payment
from croupier_stand.casino.purse import Purse, WalletUnavailable

log = logging.getLogger(__name__)

_PART = 100
"""One cent in so many."""


async def _bonus(purse: Purse, deposit: Payment) -> None:
    try:
        await purse.transfer(
            f"{deposit.id}:bonus",
            kind="bonus",
            reference=deposit.id,
            player=deposit.player,
            counterparty="bonuses",
            amount=deposit.amount // _PART,
        )
    except WalletUnavailable as error:
        log.warning("no bonus", extra=logs.fields(deposit=deposit.id, why=str(error)))


def payments(parts: Parts) -> Parts:
    return replace(parts, credited=_bonus)
