"""The casino's money paths on a real PostgreSQL."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

pytestmark = pytest.mark.stand


async def until(condition: Any, seconds: float = 10.0) -> Any:
    """Poll an async or plain condition until it gives something true."""
    async with asyncio.timeout(seconds):
        while True:
            value = condition()
            if asyncio.iscoroutine(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(0.02)


async def credited(casino: Any, player: str, id_: str) -> Any:
    async def look() -> bool:
        return bool((await casino.call(player, "GET", f"/payments/deposits/{id_}"))[1]["state"] == "credited")

    return await until(look)


async def test_a_deposit_is_credited_once_and_a_bet_booked(casino: Any) -> None:
    status, receipt = await casino.deposit("p00001", 10_000)
    assert (status, receipt["state"]) == (201, "pending")
    await credited(casino, "p00001", receipt["id"])
    assert casino.rows("select balance from wallet.account where id = 'player:p00001'") == [(10_000,)]
    status, slip = await casino.bet("p00001", 500)
    assert (status, slip["state"]) == (200, "settled")
    assert slip["balance"] == 9_500 + slip["win"]
    assert casino.rows("select sum(balance) from wallet.account") == [(0,)]
