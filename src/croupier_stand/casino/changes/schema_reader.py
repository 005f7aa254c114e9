"""The first half of a change of the stored data: reads ``EUR/2`` (code and digits) too, and still writes ``EUR``."""

from __future__ import annotations

from dataclasses import replace

from croupier_stand.casino.cashier import Parts


def payments(parts: Parts) -> Parts:
    def read_currency(stored: str) -> str:
        return parts.read_currency(stored.removesuffix("/2"))

    return replace(parts, read_currency=read_currency)
