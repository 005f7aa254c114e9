"""A setting that became mandatory in code and was never rolled out: the process ends while it starts."""

from __future__ import annotations

import os
from dataclasses import replace

from croupier_stand.casino.cashier import Parts


def payments(parts: Parts) -> Parts:
    async def start() -> None:
        if parts.start is not None:
            await parts.start()
        os.environ["PAYMENTS_RISK_URL"]

    return replace(parts, start=start)
