"""What errors say stays readable, whatever somebody sent."""

from __future__ import annotations

from croupier.errors import UnknownName


def test_an_unknown_name_is_shown_with_those_that_are_known() -> None:
    error = UnknownName("service", "walet", ["wallet", "bets"])
    assert (error.message, error.hint) == ("unknown service 'walet'", "did you mean wallet? known: bets, wallet")


def test_a_name_is_never_shown_longer_than_eighty_characters() -> None:
    assert "x" * 80 in UnknownName("run", "x" * 80, []).message
    message = UnknownName("run", "x" * 81, []).message
    assert "x" * 79 + "…" in message
    assert "x" * 80 not in message


def test_of_many_known_names_the_last_are_listed() -> None:
    hint = UnknownName("run", "r-9999", [f"r-{number:04d}" for number in range(1000)]).hint
    assert "the last of 1000: r-0960, " in hint
    assert len(hint) < 500
