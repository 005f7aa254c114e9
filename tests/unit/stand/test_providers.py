"""Partners: books that survive a crash, fates that hang on seed and id only, and the ratios they are set to."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from aiohttp.test_utils import make_mocked_request

from croupier_stand.casino import passwords
from croupier_stand.casino.session import Sessions
from croupier_stand.casino.wallet import KINDS, sides
from croupier_stand.providers import game, psp
from croupier_stand.providers.books import Books


def test_books_survive_a_restart_and_a_torn_last_line(tmp_path: Path) -> None:
    path = tmp_path / "books.jsonl"
    books = Books(path, lambda: 1.5)
    books.add("intent", "a", "p1", 100, webhook="http://x")
    books.add("captured", "a", "p1", 100)
    books.close()
    with path.open("a") as file:
        file.write('{"seq": 3, "at"')
    again = Books(path, lambda: 2.5)
    assert [(entry.seq, entry.kind) for entry in again.after(0)] == [(1, "intent"), (2, "captured")]
    assert again.add("delivered", "a", "p1", 100).seq == 3
    again.close()
    third = Books(path, lambda: 3.5)
    assert [entry.at for entry in third.after(1)] == [1.5, 2.5]
    third.close()


async def test_a_page_of_the_books_begins_after_a_number_or_at_a_time() -> None:
    moments = iter(range(100, 200))
    books = Books(None, lambda: float(next(moments)))
    for number in range(5):
        books.add("intent", f"d{number}", "p1", 100)

    async def ids(query: str) -> list[str]:
        page = await books.show(make_mocked_request("GET", f"/books{query}"))
        return [entry["id"] for entry in json.loads(page.text or "")["entries"]]

    assert await ids("") == ["d0", "d1", "d2", "d3", "d4"]
    assert await ids("?after=3") == ["d3", "d4"]
    assert await ids("?since=102.0") == ["d2", "d3", "d4"]
    assert await ids("?after=4&since=102.0") == ["d4"]
    assert await ids("?since=1000") == []


def fates(temper: psp.Temper, kind: str, count: int = 20_000) -> list[psp.Fate]:
    return [psp.fate(7, temper, kind, f"id-{number}") for number in range(count)]


def test_psp_b_tells_six_percent_of_its_captures_by_a_type_of_its_own() -> None:
    """Half of all deposits go to psp-b: a version that does not know the type loses 3 % of deposits."""
    types = Counter(fate.event_type for fate in fates(psp.TEMPERS["psp-b"], "intent"))
    captured = types["payment.captured"] + types["payment.settled"]
    assert 0.055 < types["payment.settled"] / captured < 0.065
    assert 0.025 < types["payment.declined"] / types.total() < 0.035
    assert "payment.settled" not in {fate.event_type for fate in fates(psp.TEMPERS["psp-a"], "intent")}


def test_late_news_is_rare_and_comes_after_a_minute() -> None:
    told = Counter(fate.told_after_seconds for fate in fates(psp.TEMPERS["psp-a"], "intent"))
    assert set(told) == {0.0, 60.0}
    assert 0 < told[60.0] < 30


def test_a_fate_hangs_on_seed_and_id_only() -> None:
    assert fates(psp.TEMPERS["psp-b"], "payout", 50) == fates(psp.TEMPERS["psp-b"], "payout", 50)
    assert {fate.event_type for fate in fates(psp.TEMPERS["psp-b"], "payout")} == {"payout.paid", "payout.failed"}


def test_the_game_returns_about_ninety_six_percent() -> None:
    rounds = 30_000
    returned = sum(game.win(3, f"round-{number}", 100) for number in range(rounds)) / (100 * rounds)
    assert 0.90 < returned < 1.02
    assert game.win(3, "round-1", 100) == game.win(3, "round-1", 100)


def test_a_password_is_salted_per_player() -> None:
    stored = passwords.hashed(passwords.of("p1"), "p1")
    assert passwords.matches(passwords.of("p1"), "p1", stored)
    assert not passwords.matches(passwords.of("p2"), "p1", stored)
    assert passwords.hashed("same", "p1") != passwords.hashed("same", "p2")


@pytest.mark.parametrize("token", ["", "x", "p1.9.sig", "p1..", "p1.999.é", "..", "p2.1800000600."])
def test_a_forged_token_does_not_hold(token: str) -> None:
    assert not Sessions(b"key").holds(token, "p1", 1_800_000_000.0)


def test_a_token_holds_for_its_player_until_it_expires() -> None:
    sessions = Sessions(b"key")
    token = sessions.issue("p1", 1_800_000_000.0)
    assert sessions.holds(token, "p1", 1_800_000_001.0)
    assert not sessions.holds(token, "p2", 1_800_000_001.0)
    assert not sessions.holds(token, "p1", 1_800_100_000.0)
    assert not Sessions(b"other").holds(token, "p1", 1_800_000_001.0)


def test_every_transfer_has_two_sides_and_house_accounts_are_sharded() -> None:
    for kind in KINDS:
        debit, credit = sides(kind, "p1", "psp-a", "ref")
        assert debit != credit
    assert len({sides("deposit", "p1", "psp-a", f"ref-{number}").debit for number in range(2000)}) == 64
