"""Each audit rule finds its planted violation, and nothing in a sound story."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from croupier_stand.audit_rules import Snapshot, Transfer, Violation, check
from croupier_stand.memory import Memory, Note, read
from croupier_stand.providers.books import Entry

T = 1_800_000_000.0


def entry(seq: int, kind: str, id_: str, amount: int = 500, at: float = T, **more: object) -> Entry:
    return Entry(seq, at, kind, id_, "p1", amount, more)


def transfer(kind: str, reference: str, amount: int = 500, at: float = T, id_: int = 1) -> Transfer:
    return Transfer(id_, kind, reference, "p1", amount, at)


def note(event: str, id_: str, **more: object) -> Note:
    return Note(at=T, event=event, player="p1", key=f"key of {id_}", id=id_, **more)  # type: ignore[arg-type]


PSP = (
    entry(1, "intent", "d1"),
    entry(2, "captured", "d1"),
    entry(3, "payout", "w1"),
    entry(4, "payout-paid", "w1"),
    entry(5, "payout", "w2"),
    entry(6, "payout-failed", "w2"),
)
GAMES = (entry(1, "round", "b1", 100, win=0), entry(2, "round", "b2", 100, win=300), entry(3, "void", "b3", 0))
LEDGER = (
    transfer("deposit", "d1"),
    transfer("withdrawal-reserve", "w1"),
    transfer("withdrawal-settle", "w1"),
    transfer("withdrawal-reserve", "w2"),
    transfer("withdrawal-release", "w2"),
    transfer("bet", "b1", 100),
    transfer("bet", "b2", 100),
    transfer("win", "b2", 300),
    transfer("bet", "b3", 100),
    transfer("rollback", "b3", 100),
)
NOTES = (
    note("deposit-accepted", "d1", amount=500),
    note("deposit-seen", "d1", state="credited"),
    note("withdrawal-accepted", "w1", amount=500),
    note("bet-answered", "b1", amount=100, state="settled"),
    note("bet-answered", "b2", amount=100, state="settled", win=300),
    note("bet-answered", "b3", amount=100, state="rolled-back"),
    note("bet-answered", "b4", amount=100, state="refused"),
)
SOUND = Snapshot(T + 1, NOTES, {"psp-a": PSP, "provider": GAMES}, LEDGER)


def without(kind: str, reference: str) -> Sequence[Transfer]:
    return [each for each in LEDGER if (each.kind, each.reference) != (kind, reference)]


def books(psp: Sequence[Entry] = PSP, games: Sequence[Entry] = GAMES) -> dict[str, Sequence[Entry]]:
    return {"psp-a": psp, "provider": games}


def test_a_sound_story_has_no_violation() -> None:
    assert check(SOUND) == []


PLANTED = {
    "a capture never credited": (replace(SOUND, transfers=without("deposit", "d1")), "capture-not-credited"),
    "a capture credited twice": (
        replace(SOUND, transfers=(*LEDGER, transfer("deposit", "d1"))),
        "capture-credited-twice",
    ),
    "a credit of another amount": (
        replace(SOUND, transfers=(*without("deposit", "d1"), transfer("deposit", "d1", 501))),
        "credit-differs",
    ),
    "a credit from nowhere": (replace(SOUND, transfers=(*LEDGER, transfer("deposit", "dx"))), "credit-without-capture"),
    "a deposit the PSP never heard of": (
        replace(SOUND, notes=(*NOTES, note("deposit-accepted", "dx", amount=5))),
        "deposit-unknown-to-psp",
    ),
    "a credit told and not booked": (
        replace(SOUND, transfers=without("deposit", "d1")),
        "credit-told-not-booked",
    ),
    "a payout not booked": (replace(SOUND, transfers=without("withdrawal-settle", "w1")), "payout-not-booked-once"),
    "a failed payout kept": (replace(SOUND, transfers=without("withdrawal-release", "w2")), "payout-not-booked-once"),
    "a payout booked twice": (
        replace(SOUND, transfers=(*LEDGER, transfer("withdrawal-settle", "w1"))),
        "payout-not-booked-once",
    ),
    "a payout booked and never made": (
        replace(SOUND, transfers=(*LEDGER, transfer("withdrawal-settle", "wx"))),
        "payout-booked-not-made",
    ),
    "a withdrawal stuck": (
        replace(SOUND, transfers=(*LEDGER, transfer("withdrawal-reserve", "wx"))),
        "withdrawal-stuck",
    ),
    "a withdrawal the PSP never heard of": (
        replace(SOUND, notes=(*NOTES, note("withdrawal-accepted", "wx"))),
        "withdrawal-unknown-to-psp",
    ),
    "an acknowledged bet not booked": (replace(SOUND, transfers=without("bet", "b1")), "bet-not-as-told"),
    "a bet booked twice": (replace(SOUND, transfers=(*LEDGER, transfer("bet", "b1", 100))), "bet-not-as-told"),
    "a win told and not paid": (replace(SOUND, transfers=without("win", "b2")), "bet-not-as-told"),
    "a refused bet booked": (replace(SOUND, transfers=(*LEDGER, transfer("bet", "b4", 100))), "bet-not-as-told"),
    "a stake not given back": (replace(SOUND, transfers=without("rollback", "b3")), "bet-not-as-told"),
    "a round not booked": (replace(SOUND, transfers=without("bet", "b1")), "round-not-as-played"),
    "a void round paid": (
        replace(SOUND, books=books(games=(*GAMES, entry(4, "void", "b2", 0)))),
        "round-not-as-played",
    ),
    "a stake without a round": (replace(SOUND, transfers=(*LEDGER, transfer("bet", "bx", 100))), "stake-without-round"),
    "two answers to one key": (
        replace(SOUND, notes=(*NOTES, replace(note("deposit-accepted", "d1", amount=500), id="d2"))),
        "key-answered-differently",
    ),
    "what the ledger itself shows": (replace(SOUND, ledger=(Violation("ledger-sum", "wallet", "1"),)), "ledger-sum"),
}


@pytest.mark.parametrize("plant", PLANTED)
def test_each_planted_violation_is_found(plant: str) -> None:
    snapshot, kind = PLANTED[plant]
    assert kind in {violation.kind for violation in check(snapshot)}


def test_a_corrected_double_credit_is_no_violation() -> None:
    twice = (*LEDGER, transfer("deposit", "d1"), transfer("write-off", "d1"))
    assert check(replace(SOUND, transfers=twice)) == []


def test_what_is_still_under_way_is_not_held_against_anybody() -> None:
    young = T + 5
    psp = (*PSP, entry(7, "intent", "d9", at=young), entry(8, "captured", "d9", at=young))
    kinds = ("deposit", "bet", "withdrawal-reserve", "withdrawal-settle")
    ledger = (*LEDGER, *(transfer(kind, f"young {kind}", at=young) for kind in kinds))
    games = (*GAMES, entry(4, "round", "b8", 100, at=young, win=0))
    assert check(replace(SOUND, books=books(psp, games), transfers=ledger)) == []


def test_memory_is_read_back_and_a_torn_last_line_left_out(tmp_path: Path) -> None:
    path = tmp_path / "players.jsonl"
    assert read(path) == ()
    with Memory(path) as memory:
        memory.note("bet-answered", player="p1", key="k", id="b", amount=5, state="settled", win=7)
    with path.open("a") as file:
        file.write('{"at": 1.0, "event": "bet-as')
    (found,) = read(path)
    assert (found.event, found.player, found.id, found.win) == ("bet-answered", "p1", "b", 7)


def test_a_line_in_the_middle_that_is_no_note_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "players.jsonl"
    path.write_text('{"surprise": 1}\n{"at": 1.0, "event": "x", "player": "p"}\n')
    with pytest.raises(ValueError, match="no note"):
        read(path)
