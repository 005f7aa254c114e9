"""The webhook parser, rewritten as a closed list, without ``payment.settled``.

psp-b sends that type for instant methods. The new parser answers 200 to a type it does not know and drops it: no error,
no 5xx, and the captured money is never credited.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from croupier_stand.casino.cashier import Parts
from croupier_stand.casino.psp import Fact, PspEvent


def _parse_event(message: Mapping[str, Any]) -> PspEvent | None:
    data = message["data"]
    match message["type"].split("."):
        case ["payment", "captured"]:
            return PspEvent(Fact.CAPTURED, data["id"], data["amount"])
        case ["payment", "declined"]:
            return PspEvent(Fact.DECLINED, data["id"], data["amount"])
        case ["payout", "paid"]:
            return PspEvent(Fact.PAID, data["id"], data["amount"])
        case ["payout", "failed"]:
            return PspEvent(Fact.PAYOUT_FAILED, data["id"], data["amount"])
        case _:
            return None


def payments(parts: Parts) -> Parts:
    return replace(parts, parse_event=_parse_event)
