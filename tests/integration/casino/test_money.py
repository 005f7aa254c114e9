"""The casino's money paths on a real PostgreSQL (S7.5, S7.6, S10.9, S10.10)."""

from __future__ import annotations

import asyncio
import json
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from croupier_kit import arm, webhooks
from croupier_kit.clock import now
from croupier_stand.audit import AuditSettings, audit
from croupier_stand.casino.psp import Psps, PspUnavailable
from croupier_stand.casino.purse import Purse, WalletUnavailable
from croupier_stand.providers import game
from croupier_stand.providers.psp import Temper

pytestmark = pytest.mark.stand

QUICK = {"declined_ratio": 0.0, "late_ratio": 0.0, "capture_seconds": (0.0, 0.02)}


async def state_of(casino: Any, player: str, kind: str, id_: str, *, is_: str) -> None:
    async def look() -> bool:
        return bool((await casino.call(player, "GET", f"/payments/{kind}/{id_}"))[1]["state"] == is_)

    await casino.until(look)


async def funded(casino: Any, player: str, amount: int = 10_000) -> str:
    _, receipt = await casino.deposit(player, amount)
    await state_of(casino, player, "deposits", receipt["id"], is_="credited")
    return str(receipt["id"])


def balance(casino: Any, player: str) -> int:
    return int(casino.rows("select balance from wallet.account where id = %s", f"player:{player}")[0][0])


async def transfer(casino: Any, key: str, caller: str = "test", **body: Any) -> tuple[int, Any]:
    told = {"kind": "deposit", "reference": "r", "player": "p00001", "counterparty": "psp-a", "amount": 100} | body
    headers = {"idempotency-key": key, "x-caller": caller}
    async with casino.client.post(f"{casino.urls['wallet']}/wallet/transfers", json=told, headers=headers) as response:
        return response.status, await response.json()


def settings_of(casino: Any, tmp_path: Path) -> AuditSettings:
    books = {name: casino.urls[name] for name in ("psp-a", "psp-b", "games")}
    return AuditSettings(casino.database, books, tmp_path / "players.jsonl")


async def test_a_deposit_is_credited_once_and_a_bet_booked(casino: Any) -> None:
    await funded(casino, "p00001")
    assert balance(casino, "p00001") == 10_000
    status, slip = await casino.bet("p00001", 500)
    assert (status, slip["state"]) == (200, "settled")
    assert slip["balance"] == 9_500 + slip["win"]
    assert casino.rows("select sum(balance) from wallet.account") == [(0,)]


async def test_thirty_keys_by_sixteen_callers_each_move_money_once(casino: Any) -> None:
    answers = await asyncio.gather(
        *(transfer(casino, f"key-{number}", reference=f"ref-{number}") for number in range(30) for _ in range(16))
    )
    assert {status for status, _ in answers} == {200}
    assert len({answer["transfer"] for _, answer in answers}) == 30
    for number in range(30):
        mine = answers[number * 16 : (number + 1) * 16]
        assert len({json.dumps(answer) for _, answer in mine}) == 1
    assert balance(casino, "p00001") == 3_000


async def test_a_key_belongs_to_its_caller_and_its_request(casino: Any) -> None:
    assert (await transfer(casino, "one"))[0] == 200
    assert (await transfer(casino, "one", amount=200))[0] == 422
    assert (await transfer(casino, "one", caller="another"))[0] == 200
    assert (await casino.call("p00001", "POST", "/payments/deposits", {"amount": 1}))[0] == 400
    body = {"amount": 5_000, "currency": "EUR", "psp": "psp-a"}
    first = await casino.call("p00001", "POST", "/payments/deposits", body, "k")
    assert first[0] == 201
    assert await casino.call("p00001", "POST", "/payments/deposits", body, "k") == first
    assert (await casino.call("p00001", "POST", "/payments/deposits", body | {"amount": 6_000}, "k"))[0] == 422


async def test_a_rollback_before_its_bet_refuses_that_bet(casino: Any) -> None:
    await funded(casino, "p00001")
    told = {"reference": "round-1", "counterparty": "games"}
    assert (await transfer(casino, "a", kind="rollback", **told))[1]["outcome"] == "nothing"
    assert (await transfer(casino, "b", kind="bet", **told))[1]["outcome"] == "tombstoned"
    assert balance(casino, "p00001") == 10_000


async def test_a_rollback_gives_the_stake_back_once(casino: Any) -> None:
    await funded(casino, "p00001")
    told = {"reference": "round-1", "counterparty": "games", "amount": 700}
    assert (await transfer(casino, "a", kind="bet", **told))[1]["outcome"] == "posted"
    assert (await transfer(casino, "b", kind="rollback", **told))[1]["outcome"] == "posted"
    assert (await transfer(casino, "c", kind="rollback", **told))[1]["outcome"] == "nothing"
    assert balance(casino, "p00001") == 10_000


async def test_a_player_cannot_stake_or_withdraw_what_is_not_there(casino: Any) -> None:
    await funded(casino, "p00001", 1_000)
    assert (await casino.bet("p00001", 1_001))[1]["state"] == "refused"
    body = {"amount": 1_001, "currency": "EUR", "psp": "psp-a"}
    status, receipt = await casino.call("p00001", "POST", "/payments/withdrawals", body, "w")
    assert (status, receipt["state"]) == (201, "refused")
    assert balance(casino, "p00001") == 1_000


async def test_a_webhook_told_twice_credits_once(casino: Any) -> None:
    deposit = await funded(casino, "p00001")
    signer = webhooks.Signer.from_file(casino.around.secrets / "webhook-psp-a.key")
    message = {"type": "payment.captured", "timestamp": "now", "data": {"id": deposit, "amount": 10_000}}
    body = json.dumps(message).encode()
    for webhook_id in ("again", "again", "another"):
        headers = signer.sign(webhook_id, datetime.fromtimestamp(now(), UTC), body)
        url = f"{casino.urls['payments']}/payments/webhooks/psp-a?player=p00001"
        async with casino.client.post(url, data=body, headers=headers) as response:
            assert response.status == 200
    assert balance(casino, "p00001") == 10_000


async def test_a_webhook_that_is_not_signed_by_the_psp_is_refused(casino: Any) -> None:
    url = f"{casino.urls['payments']}/payments/webhooks/psp-a"
    async with casino.client.post(url, data=b"\xff{}", headers={"webhook-id": "x"}) as response:
        assert response.status == 401


async def test_a_capture_left_behind_by_a_dead_pod_is_credited(casino: Any) -> None:
    """The pod died between inbox and credit: another one finds the row and goes on."""
    insert = """insert into payments.deposit (id, player, arm, pod, psp, amount, currency, state, touched_at)
    values ('left', 'p00001', 'arm', 'dead', 'psp-a', 4000, 'EUR', 'captured', now() - interval '1 minute')
    returning 1"""
    casino.rows(insert)
    await casino.until(lambda: casino.rows("select 1 from payments.deposit where id = 'left' and state = 'credited'"))
    assert balance(casino, "p00001") == 4_000


async def test_a_round_left_behind_by_a_dead_pod_is_finished(casino: Any) -> None:
    await funded(casino, "p00001")
    insert = """insert into bets.round (id, player, arm, pod, game, stake, touched_at)
    values ('left', 'p00001', 'arm', 'dead', 'owls', 700, now() - interval '1 minute') returning 1"""
    casino.rows(insert)
    await casino.until(lambda: casino.rows("select 1 from bets.round where id = 'left' and state = 'settled'"))
    assert balance(casino, "p00001") == 9_300 + game.win(7, "left", 700)


async def test_a_retry_is_told_what_became_of_a_round_that_was_finished_meanwhile(casino: Any) -> None:
    """The first try died after the round was opened, the sweep finished it, and then the player came again."""
    await funded(casino, "p00001")
    key = "same-key"
    _, first = await casino.bet("p00001", 500, key)
    casino.rows("update bets.idempotency set status = null, body = null, leased_until = now() returning 1")
    status, again = await casino.bet("p00001", 500, key)
    assert status == 200
    assert {**again, "balance": first["balance"]} == first
    assert balance(casino, "p00001") == first["balance"]


@pytest.mark.parametrize(
    ("kind", "path", "call"),
    [("deposit", "/payments/deposits", "intend"), ("withdrawal", "/payments/withdrawals", "pay_out")],
)
async def test_what_a_retry_does_for_a_payment_is_done_for_the_arm_that_began_it(
    kind: str, path: str, call: str, casino: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await funded(casino, "p00001")
    body = {"amount": 700, "currency": "EUR", "psp": "psp-a"}
    asked: list[Any] = []
    real = getattr(Psps, call)

    async def once_silent(psps: Psps, payment: Any) -> str:
        asked.append(payment)
        if len(asked) == 1:
            raise PspUnavailable("no answer")
        return str(await real(psps, payment))

    monkeypatch.setattr(Psps, call, once_silent)
    status, _ = await casino.call("p00001", "POST", path, body, "key", arm="payments-api/r-0001/aaaaaaaaaaaa/3")
    assert status == 503
    status, receipt = await casino.call("p00001", "POST", path, body, "key", arm="payments-api/r-0001/bbbbbbbbbbbb/3")
    assert status == 201
    assert [each.arm for each in asked] == ["payments-api/r-0001/aaaaaaaaaaaa/3"] * 2
    told = "select count(*), min(arm), max(arm) from wallet.transfer where reference = %s"
    await casino.until(lambda: casino.rows(told, receipt["id"])[0][0])
    assert casino.rows(told, receipt["id"])[0][1:] == ("payments-api/r-0001/aaaaaaaaaaaa/3",) * 2


async def test_what_a_retry_does_for_a_round_is_done_for_the_arm_that_began_it(
    casino: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    await funded(casino, "p00001")
    real = Purse.transfer
    asked: list[str] = []

    async def once_silent(purse: Purse, key: str, **told: Any) -> Any:
        asked.append(arm.current().arm)
        if len(asked) == 1:
            raise WalletUnavailable("no answer")
        return await real(purse, key, **told)

    monkeypatch.setattr(Purse, "transfer", once_silent)
    body = {"game": "book-of-owls", "stake": 500}
    status, _ = await casino.call("p00001", "POST", "/bets/rounds", body, "key", arm="bets/r-0001/aaaaaaaaaaaa/3")
    assert status == 503
    status, _ = await casino.call("p00001", "POST", "/bets/rounds", body, "key", arm="bets/r-0001/bbbbbbbbbbbb/3")
    assert status == 200
    assert set(asked) == {"bets/r-0001/aaaaaaaaaaaa/3"}


async def test_a_signed_webhook_that_says_nothing_is_refused(casino: Any) -> None:
    signer = webhooks.Signer.from_file(casino.around.secrets / "webhook-psp-a.key")
    for body in (b"{}", b'{"type": "payment.captured"}', b'{"type": "payment.captured", "data": 5}'):
        headers = signer.sign("m", datetime.fromtimestamp(now(), UTC), body)
        url = f"{casino.urls['payments']}/payments/webhooks/psp-a"
        async with casino.client.post(url, data=body, headers=headers) as response:
            assert response.status == 400


async def test_a_withdrawal_is_paid_and_a_failed_one_comes_back(open_with: Any) -> None:
    body = {"amount": 4_000, "currency": "EUR", "psp": "psp-a"}
    async with open_with(temper=Temper(payout_failed_ratio=0.5, **QUICK)) as casino:
        await funded(casino, "p00001", 40_000)
        ids = []
        for number in range(10):
            status, receipt = await casino.call("p00001", "POST", "/payments/withdrawals", body, f"w{number}")
            assert status == 201
            ids.append(receipt["id"])
        ended = "select state from payments.withdrawal where state in ('settled', 'released')"
        await casino.until(lambda: len(casino.rows(ended)) == 10)
        states = [state for (state,) in casino.rows(ended)]
        assert {"settled", "released"} == set(states)
        assert balance(casino, "p00001") == 40_000 - 4_000 * states.count("settled")


async def test_a_round_the_provider_cannot_play_is_rolled_back(open_with: Any) -> None:
    async with open_with(failed_rounds=1.0) as casino:
        await funded(casino, "p00001")
        status, slip = await casino.bet("p00001", 500)
        assert (status, slip["state"], slip["balance"]) == (200, "rolled-back", 10_000)


async def test_a_wrong_or_foreign_token_is_refused(casino: Any) -> None:
    await casino.login("p00001")
    casino.tokens["p00002"] = casino.tokens["p00001"]
    assert (await casino.deposit("p00002"))[0] == 401
    casino.tokens["p00003"] = "p00003.99999999999.é"
    assert (await casino.call("p00003", "GET", "/payments/deposits/x"))[0] == 401


async def test_sums_and_chains_hold_when_everybody_plays_at_once(casino: Any, tmp_path: Path) -> None:
    """S10.10: the audit finds nothing after a crowd of deposits, bets and withdrawals, retried and in parallel."""

    async def play(player: str) -> None:
        await funded(casino, player)
        for _ in range(5):
            key = uuid.uuid4().hex
            await asyncio.gather(*(casino.bet(player, 300, key) for _ in range(3)))
        body = {"amount": 1_000, "currency": "EUR", "psp": "psp-b"}
        await casino.call(player, "POST", "/payments/withdrawals", body, "w")

    await asyncio.gather(*(play(f"p{number:05d}") for number in range(20)))
    paid = "select count(*) from payments.withdrawal where state = 'settled'"
    await casino.until(lambda: casino.rows(paid) == [(20,)], seconds=60.0)
    ended = "select count(*) from bets.round where state in ('settled', 'rolled-back')"
    await casino.until(lambda: casino.rows(ended) == [(100,)], seconds=60.0)
    report = await audit(settings_of(casino, tmp_path), grace_seconds=0.0)
    assert report.violations == []
    # On a slow machine a provider that answers too late has its round rolled back: that is no error.
    [(settled,)] = casino.rows("select count(*) from bets.round where state = 'settled'")
    assert 0 < settled <= report.checked["rounds"] <= 100
