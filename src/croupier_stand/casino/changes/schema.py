"""The second half of a change of the stored data: a currency is stored as ``EUR/2``, with its digits.

A version that knows the bare code only does nothing to such a payment: it cannot be credited, shown or paid out there.
"""

from __future__ import annotations

from dataclasses import replace

from croupier_stand.casino.cashier import Parts


def payments(parts: Parts) -> Parts:
    return replace(parts, write_currency=lambda code: f"{code}/2")
