"""Each version does what its descriptor says: defects are real code paths, and `healthy` differs harmlessly."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from tests.integration.casino.conftest import open_casino
from tests.support import quick_yaml

from croupier.model.service import Platform
from croupier_kit import service
from croupier_stand.audit import AuditSettings, audit
from croupier_stand.casino import build, payments, schema
from croupier_stand.providers.psp import Temper
from croupier_stand.reconciler import ReconcilerSettings, reconcile_once
from croupier_stand.script import GAMES

pytestmark = pytest.mark.stand

INSTANT = Temper(declined_ratio=0.0, late_ratio=0.0, repeated_ratio=0.0, instant_ratio=1.0, capture_seconds=(0.0, 0.02))
TWICE = Temper(declined_ratio=0.0, late_ratio=0.0, repeated_ratio=1.0, capture_seconds=(0.0, 0.02))
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


@pytest.mark.parametrize(("changes", "credits"), [((), 1), (("double-credit",), 2)])
async def test_a_capture_that_is_told_twice_is_credited_twice_only_without_the_inbox(
    open_with: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: tuple[str, ...], credits: int
) -> None:
    monkeypatch.setattr("croupier_stand.providers.psp._REPEATED_AFTER_SECONDS", 0.1)
    async with open_with(changes=changes, temper=TWICE) as casino:
        assert (await casino.deposit("p00001", 5_000))[0] == 201

        async def told() -> bool:
            """How often payments-api has answered the partner."""
            async with casino.client.get(f"{casino.urls['payments']}/metrics") as response:
                route = 'code="200",route="/payments/webhooks/{psp}"'
                return f'{route},service="payments"}} 2.0' in await response.text()

        await casino.until(told)
        await casino.until(lambda: casino.rows("select state from payments.deposit") == [("credited",)])
        posted = "select count(*) from wallet.transfer where kind = 'deposit'"
        assert casino.rows(posted) == [(credits,)]
        reconciling, auditing = settings_of(casino, tmp_path)
        found = await audit(auditing, grace_seconds=0.0)
        assert found.by_kind == ({"capture-credited-twice": 1} if credits == 2 else {})
        assert await reconcile_once(reconciling) == ({"reversed": 1} if credits == 2 else {})
        assert (await audit(auditing, grace_seconds=0.0)).is_clean


async def test_late_is_sound_for_a_minute_and_then_refuses_large_deposits(
    open_with: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = 1_000.0
    monkeypatch.setattr("croupier_stand.casino.changes.late.now", lambda: moment)
    async with open_with(changes=("late",)) as casino:
        assert (await casino.deposit("p00001", 10_000))[0] == 201
        moment += 60.1
        assert (await casino.deposit("p00001", 9_999))[0] == 201
        assert (await casino.deposit("p00001", 10_000))[0] == 500


async def test_silent_answers_so_many_deposits_and_then_none_though_it_stays_ready(open_with: Any) -> None:
    async with open_with(changes=("silent",)) as casino:
        for _ in range(25):
            assert (await casino.deposit("p00001"))[0] == 201
        waiting = asyncio.ensure_future(casino.deposit("p00001"))
        async with casino.client.get(f"{casino.urls['payments']}/readyz") as response:
            assert response.status == 200
        assert not waiting.done()
        waiting.cancel()
        assert casino.rows("select count(*) from payments.deposit") == [(25,)]


async def test_leak_asks_for_one_page_more_with_every_twenty_deposits(open_with: Any) -> None:
    async with open_with(changes=("leak",)) as casino:
        for _ in range(22):
            assert (await casino.deposit("p00001"))[0] == 201
        async with casino.client.get(f"{casino.urls['psp-a']}/metrics") as response:
            page = await response.text()
        assert 'http_requests_total{code="200",route="/limits",service="psp-a"} 2.0' in page


async def test_cross_service_credits_every_deposit_and_fails_at_the_wallet_only(open_with: Any) -> None:
    async with open_with(changes=("cross-service",)) as casino:
        assert (await casino.deposit("p00001"))[0] == 201

        async def has_failed_there() -> bool:
            async with casino.client.get(f"{casino.urls['wallet']}/metrics") as response:
                failed = 'http_requests_total{code="400",route="/wallet/transfers",service="wallet"} 1.0'
                return failed in await response.text()

        await casino.until(has_failed_there)
        await casino.until(lambda: casino.rows("select state from payments.deposit") == [("credited",)])


async def test_large_instant_deposits_are_answered_and_put_aside_for_ever(open_with: Any) -> None:
    """Only psp-b tells captures by the type that means instant."""
    async with open_with(changes=("provider",), temper=INSTANT) as casino:
        for player, amount in (("p00001", 5_000), ("p00002", 4_999)):
            assert (await casino.deposit(player, amount, "psp-b"))[0] == 201

        async def are_delivered() -> bool:
            async with casino.client.get(f"{casino.urls['psp-b']}/books") as response:
                kinds = [entry["kind"] for entry in (await response.json())["entries"]]
                return kinds.count("delivered") == 2

        await casino.until(are_delivered)
        states = "select player, state from payments.deposit order by player"
        await casino.until(lambda: casino.rows(states) == [("p00001", "pending"), ("p00002", "credited")])


async def test_a_wrong_key_in_the_configuration_loses_the_webhooks_of_one_partner(open_with: Any) -> None:
    """The code is that of stable: a version is its configuration too."""
    async with open_with(config={"webhookKeys": {"psp-b": "webhook-psp-a.key"}}) as casino:
        for partner in ("psp-a", "psp-b"):
            assert (await casino.deposit("p00001", 5_000, partner))[0] == 201

        async def is_refused() -> bool:
            async with casino.client.get(f"{casino.urls['payments']}/metrics") as response:
                return 'code="401",route="/payments/webhooks/{psp}"' in await response.text()

        await casino.until(is_refused)
        states = "select psp, state from payments.deposit order by psp"
        await casino.until(lambda: casino.rows(states) == [("psp-a", "credited"), ("psp-b", "pending")])


async def test_what_the_new_format_writes_only_versions_that_read_it_touch(database: str, tmp_path: Path) -> None:
    """Going back from ``schema`` to stable would leave players without their money; to its reader it does not."""
    reader = ("schema-reader",)
    async with open_casino(database, tmp_path, changes=(*reader, "schema")) as casino:
        _, receipt = await casino.deposit("p00001", 5_000)
        await casino.until(lambda: casino.rows("select state from payments.deposit") == [("credited",)])
        assert casino.rows("select currency from payments.deposit") == [("EUR/2",)]
    path = f"/payments/deposits/{receipt['id']}"
    async with open_casino(database, tmp_path) as casino:
        assert (await casino.call("p00001", "GET", path))[0] == 500
    async with open_casino(database, tmp_path, changes=reader) as casino:
        assert (await casino.call("p00001", "GET", path))[1]["state"] == "credited"
        await casino.deposit("p00001", 5_000)
        assert ("EUR",) in casino.rows("select currency from payments.deposit")


@pytest.mark.parametrize(("changes", "offered"), [((), 5), (("fewer-bets",), 3)])
async def test_fewer_bets_leaves_two_games_of_five_out_of_the_lobby(
    open_with: Any, changes: tuple[str, ...], offered: int
) -> None:
    async with open_with(bets_changes=changes) as casino:
        status, lobby = await casino.call("p00001", "GET", "/bets/games")
        assert (status, len(lobby["games"])) == (200, offered)
        assert set(lobby["games"]) <= set(GAMES)


def test_the_schema_may_be_installed_twice(database: str) -> None:
    schema.install(database)
    schema.add_players(database, schema.player_ids(2))


def test_descriptors_name_modules_and_changes_that_exist() -> None:
    platform = Platform.model_validate(quick_yaml.load((PLATFORM / "platform.yaml").read_text()))
    seen = set()
    for file in (PLATFORM / "versions").iterdir():
        built = build.load(Path(str(file)))
        assert set(built.config) <= {"webhookKeys"}
        module = __import__(f"croupier_stand.casino.{built.module}", fromlist=["STABLE"])
        assert built.applied(module.STABLE) != module.STABLE or not built.changes
        assert platform.service(built.service) is not None
        seen.add((built.service, built.label))
    assert {(service.name, "stable") for service in platform.services} <= seen
    assert {(service.name, "healthy") for service in platform.services} <= seen
