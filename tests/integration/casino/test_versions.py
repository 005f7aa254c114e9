"""Each version does what its descriptor says: defects are real code paths, and `healthy` differs harmlessly."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import yaml

from croupier.model.service import Platform
from croupier_kit import service
from croupier_stand.audit import AuditSettings, audit
from croupier_stand.casino import build, payments, schema
from croupier_stand.providers.psp import Temper
from croupier_stand.reconciler import ReconcilerSettings, reconcile_once

pytestmark = pytest.mark.stand

INSTANT = Temper(declined_ratio=0.0, late_ratio=0.0, instant_ratio=1.0, capture_seconds=(0.0, 0.02))
PLATFORM = files("croupier_stand") / "platform"


def settings_of(casino: Any, directory: Path) -> tuple[ReconcilerSettings, AuditSettings]:
    psps = {name: casino.urls[name] for name in ("psp-a", "psp-b")}
    books = psps | {"provider": casino.urls["games"]}
    return (
        ReconcilerSettings(casino.database, casino.urls["wallet"], psps),
        AuditSettings(casino.database, books, directory / "players.jsonl"),
    )


async def test_deposit_loss_answers_200_and_credits_nothing_until_reconciled(open_with: Any, tmp_path: Path) -> None:
    async with open_with(changes=("deposit-loss",), temper=INSTANT) as casino:
        status, receipt = await casino.deposit("p00001", 5_000, "psp-b")
        assert status == 201

        async def is_delivered() -> bool:
            async with casino.client.get(f"{casino.urls['psp-b']}/books") as response:
                return any(entry["kind"] == "delivered" for entry in (await response.json())["entries"])

        await casino.until(is_delivered)
        assert casino.rows("select state from payments.deposit") == [("pending",)]
        reconciling, auditing = settings_of(casino, tmp_path)
        before = await audit(auditing, grace_seconds=0.0)
        assert before.by_kind == {"capture-not-credited": 1}
        assert await reconcile_once(reconciling) == {"credited": 1}
        after = await audit(auditing, grace_seconds=0.0)
        assert (after.is_clean, after.corrections) == (True, {"credited": 1})
        assert (await casino.call("p00001", "GET", f"/payments/deposits/{receipt['id']}"))[1]["state"] == "credited"


async def test_the_stable_version_knows_instant_captures(open_with: Any) -> None:
    async with open_with(temper=INSTANT) as casino:
        await casino.deposit("p00001", 5_000, "psp-b")
        await casino.until(lambda: casino.rows("select state from payments.deposit") == [("credited",)])


async def test_errors_fails_one_deposit_call_in_fifty_and_a_retry_helps(open_with: Any) -> None:
    async with open_with(changes=("errors",)) as casino:
        statuses = [(await casino.deposit("p00001", key=f"key-{number}"))[0] for number in range(50)]
        assert statuses == [201] * 49 + [500]
        assert (await casino.deposit("p00001", key="key-49"))[0] == 201


async def test_slow_asks_the_partner_eight_times_before_it_begins(open_with: Any) -> None:
    async with open_with(changes=("slow",)) as casino:
        assert (await casino.deposit("p00001"))[0] == 201
        async with casino.client.get(f"{casino.urls['psp-a']}/metrics") as response:
            page = await response.text()
        assert 'http_requests_total{code="200",route="/limits",service="psp-a"} 8.0' in page


async def test_crash_loop_ends_while_it_starts(casino: Any) -> None:
    built = build.Build("payments-api", "crash-loop", "payments", ("crash-loop",))
    with pytest.raises(KeyError, match="PAYMENTS_RISK_URL"):
        async with payments.factory(built, casino.around)(service.PodSettings("p", "payments-api", "", 0)):
            pass


async def test_never_ready_runs_and_is_not_ready(open_with: Any) -> None:
    async with (
        open_with(changes=("never-ready",)) as casino,
        casino.client.get(f"{casino.urls['payments']}/readyz") as response,
    ):
        assert response.status == 503


async def test_healthy_differs_only_in_a_field_more(open_with: Any) -> None:
    async with open_with(changes=("healthy",)) as casino:
        status, receipt = await casino.deposit("p00001")
        assert (status, receipt.pop("schema")) == (201, "2")
        assert set(receipt) == {"id", "state", "psp", "amount"}


async def test_double_credits_are_reversed_and_what_was_spent_written_off(casino: Any, tmp_path: Path) -> None:
    reconciling, auditing = settings_of(casino, tmp_path)
    for player in ("p00001", "p00002"):
        await casino.deposit(player, 5_000)
    await casino.until(lambda: casino.rows("select count(*) from payments.deposit where state = 'credited'") == [(2,)])
    for id_, player in casino.rows("select id, player from payments.deposit"):
        body = {"kind": "deposit", "reference": id_, "player": player, "counterparty": "psp-a", "amount": 5_000}
        headers = {"idempotency-key": f"bug-{id_}", "x-caller": "bug"}
        await casino.client.post(f"{casino.urls['wallet']}/wallet/transfers", json=body, headers=headers)
    body = {"amount": 8_000, "currency": "EUR", "psp": "psp-a"}
    await casino.call("p00002", "POST", "/payments/withdrawals", body, "w")
    await casino.until(lambda: casino.rows("select state from payments.withdrawal") == [("settled",)])
    assert (await audit(auditing, grace_seconds=0.0)).by_kind == {"capture-credited-twice": 2}
    assert await reconcile_once(reconciling) == {"reversed": 1, "written-off": 1}
    assert await reconcile_once(reconciling) == {}
    assert (await audit(auditing, grace_seconds=0.0)).is_clean


def test_the_schema_may_be_installed_twice(database: str) -> None:
    schema.install(database)
    schema.add_players(database, schema.player_ids(2))


def test_descriptors_name_modules_and_changes_that_exist() -> None:
    platform = Platform.model_validate(yaml.safe_load((PLATFORM / "platform.yaml").read_text()))
    seen = set()
    for file in (PLATFORM / "versions").iterdir():
        built = build.load(Path(str(file)))
        module = __import__(f"croupier_stand.casino.{built.module}", fromlist=["STABLE"])
        assert built.applied(module.STABLE) != module.STABLE or not built.changes
        assert platform.service(built.service) is not None
        seen.add((built.service, built.label))
    assert {(service.name, "stable") for service in platform.services} <= seen
    assert {(service.name, "healthy") for service in platform.services} <= seen
