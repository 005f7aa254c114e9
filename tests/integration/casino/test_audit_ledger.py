"""The audit finds what was planted in the ledger: a test that cannot fail proves nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg
import pytest

from croupier_stand.audit import AuditSettings, audit

pytestmark = pytest.mark.stand

PLANTS = {
    "a balance edited": ("update wallet.account set balance = balance + 1 where id = 'player:p00001'", "ledger-sum"),
    "an entry edited": (
        "update wallet.entry set amount = amount + 1 where account = 'player:p00001' and version = 1",
        "transfer-unbalanced",
    ),
    "an entry lost in the middle": (
        "delete from wallet.entry where account = 'player:p00001' and version = 2",
        "chain-broken",
    ),
    "the last entry lost": (
        "delete from wallet.entry where account = 'player:p00001' and version = 3",
        "chain-tail-differs",
    ),
    "a player overdrawn": (
        "alter table wallet.account drop constraint account_check;"
        "update wallet.account set balance = -1 where id = 'player:p00002'",
        "overdrawn",
    ),
}


@pytest.mark.parametrize("plant", PLANTS)
async def test_the_audit_finds(plant: str, casino: Any, tmp_path: Path) -> None:
    statement, kind = PLANTS[plant]
    for number in range(3):
        body = {"kind": "win", "reference": f"r{number}", "player": "p00001", "counterparty": "games", "amount": 100}
        headers = {"idempotency-key": str(number), "x-caller": "test"}
        url = f"{casino.urls['wallet']}/wallet/transfers"
        async with casino.client.post(url, json=body, headers=headers) as response:
            assert response.status == 200
    settings = AuditSettings(casino.database, {"provider": casino.urls["games"]}, tmp_path / "none.jsonl")
    assert (await audit(settings)).is_clean
    with psycopg.connect(casino.database) as connection:
        connection.execute(statement.encode())
    assert kind in (await audit(settings)).by_kind
