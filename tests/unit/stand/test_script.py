from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from croupier_stand.load import Load
from croupier_stand.script import PSPS, Rates, sitting


def test_the_same_seed_gives_the_same_sittings() -> None:
    one, other = Random("1/p00042"), Random("1/p00042")
    assert [sitting(one, 2.0) for _ in range(20)] == [sitting(other, 2.0) for _ in range(20)]


def test_sittings_add_up_to_the_rates_that_were_asked_for() -> None:
    load = Load(seed=1, players=1, deposits_per_second=30.0, bets_per_second=45.0)
    rates = Rates.of(load)
    random = Random(7)
    kinds = Counter(move.kind for _ in range(20_000) for move in sitting(random, rates.bets_per_sitting))
    seconds = 20_000 / rates.sittings_per_second
    assert kinds["deposit"] / seconds == pytest.approx(30.0, rel=0.03)
    assert kinds["bet"] / seconds == pytest.approx(45.0, rel=0.03)


def test_payments_go_to_both_providers_and_pauses_are_bounded() -> None:
    random = Random(3)
    moves = [move for _ in range(500) for move in sitting(random, 1.5)]
    assert {move.with_ for move in moves if move.kind == "deposit"} == set(PSPS)
    assert all(0 <= move.pause_seconds <= 6.0 for move in moves)
    assert all(move.amount > 0 for move in moves if move.kind != "login")
