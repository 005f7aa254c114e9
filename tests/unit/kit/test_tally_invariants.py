"""What the ledger must never show, and what it may."""

from __future__ import annotations

import pytest

from croupier_kit.outbox import Cursor, Event
from croupier_kit.tally_fold import Fold
from croupier_kit.tally_invariants import ArmName, Invariants
from croupier_kit.tally_page import render
from croupier_kit.tally_sources import RULES, take_event

CANARY = ArmName("payments-api", "r-0001", "aaaaaaaaaaaa")
STABLE = ArmName("payments-api", "r-0001", "bbbbbbbbbbbb")
T = 1_800_000_000.0


@pytest.fixture
def ledger() -> Invariants:
    return Invariants(T)


def test_a_clean_ledger_has_no_violations(ledger: Invariants) -> None:
    ledger.ask("d1", 500, T)
    for kind, reference in (("deposit", "d1"), ("deposit", "d2"), ("bet", "r1"), ("win", "r1"), ("rollback", "r1")):
        ledger.post(kind, reference, 500, CANARY, T + 1)
    assert not ledger.violations


def test_a_credit_booked_twice_is_charged_to_who_booked_it_again(ledger: Invariants) -> None:
    ledger.post("deposit", "d1", 500, STABLE, T + 1)
    ledger.post("deposit", "d1", 500, CANARY, T + 60)
    assert ledger.violations == {(CANARY, "posted-twice"): 1}


@pytest.mark.parametrize("order", [("settle", "release"), ("release", "settle")])
def test_a_withdrawal_is_not_paid_and_returned(ledger: Invariants, order: tuple[str, str]) -> None:
    for kind in order:
        ledger.post(f"withdrawal-{kind}", "w1", 900, CANARY, T + 1)
    assert ledger.violations == {(CANARY, "paid-and-returned"): 1}


@pytest.mark.parametrize("asked_first", [True, False])
def test_a_credit_is_what_the_player_asked_for(ledger: Invariants, asked_first: bool) -> None:
    if asked_first:
        ledger.ask("d1", 500, T)
    ledger.post("deposit", "d1", 5000, CANARY, T + 1)
    if not asked_first:
        ledger.ask("d1", 500, T)
    assert ledger.violations == {(CANARY, "amount-differs"): 1}


def test_what_an_earlier_life_has_counted_is_not_counted_again(ledger: Invariants) -> None:
    ledger.post("deposit", "d1", 500, CANARY, T - 20)
    ledger.post("deposit", "d1", 500, CANARY, T - 10)
    assert not ledger.violations


def test_corrections_are_no_violations(ledger: Invariants) -> None:
    for kind in ("reversal", "reversal", "write-off"):
        ledger.post(kind, "d1", 500, CANARY, T + 1)
    assert not ledger.violations


def test_memory_is_bounded_and_runs_that_are_over_are_dropped(ledger: Invariants) -> None:
    for _ in range(2):
        ledger.post("deposit", "d1", 500, CANARY, T + 1)
    ledger.forget(T + 100)
    ledger.drop({("payments-api", "r-0001", "")})
    ledger.post("deposit", "d1", 500, CANARY, T + 101)
    assert not ledger.violations


def event(kind: str, reference: str, at: float, arm: str) -> Event:
    payload = {"arm": arm, "player": "p1", "pod": "pod-0", "data": {"kind": kind, "amount": 500}}
    return Event(Cursor(), f"e-{reference}-{at}", "transfer.posted", reference, at, payload)


def test_the_page_shows_them_for_every_arm_that_is_counted() -> None:
    fold = Fold(RULES, since=T)
    arm = "payments-api/r-0001/aaaaaaaaaaaa/1"
    take_event(
        fold,
        Event(
            Cursor(),
            "e0",
            "deposit.created",
            "d1",
            T,
            {"arm": arm, "player": "p1", "pod": "pod-0"} | {"data": {"amount": 500}},
        ),
    )
    for at in (T + 1, T + 2):
        take_event(fold, event("deposit", "d1", at, arm))
    fold.advance(T + 10)
    labels = 'service="payments-api",run="r-0001",version="aaaaaaaaaaaa"'
    lines = render(fold, T).splitlines()
    assert f'croupier_invariant_violations_total{{{labels},invariant="posted-twice"}} 1' in lines
    assert f'croupier_invariant_violations_total{{{labels},invariant="amount-differs"}} 0' in lines
