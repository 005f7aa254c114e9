"""Which split is in force after a crash, and what must stay reachable while the next one is set."""

from __future__ import annotations

import pytest

from croupier.adapters.traffic.envoy_change import plan_change
from croupier.adapters.traffic.envoy_files import Record
from croupier.core.plans.release import ROTATION
from croupier.model.digest import short
from croupier.model.traffic import WHOLE, ArmBackend, Endpoint, ObservedSplit, Split

A, B, C = ("sha256:" + letter * 64 for letter in "abc")


def split_of(
    service: str, stable: str, canary: str | None = None, weight: int = 0, revision: int = 1, *, offset: int = 9_900
) -> Split:
    host = (Endpoint(host="127.0.0.1", port=8_001),)
    return Split(
        service=service,
        run="r-0001",
        revision=revision,
        stable=ArmBackend(digest=stable, weight=100 - weight, endpoints=host),
        canary=canary and ArmBackend(digest=canary, weight=weight, endpoints=host),
        offset=offset,
    )


def loaded(split: Split, *listeners: str) -> dict[str, dict[str, ObservedSplit]]:
    """What Envoy reports when these listeners run ``split``."""
    backends = (split.stable, split.canary) if split.canary else (split.stable,)
    weights = {short(backend.digest): backend.weight for backend in backends if backend.weight}
    seen = ObservedSplit(split.service, split.run, split.revision, weights)
    return {listener: {split.service: seen} for listener in listeners}


BEFORE, WANTED = split_of("bets", A, B, 5, 1), split_of("bets", A, B, 25, 2)
OTHER = split_of("payments-api", A)


def test_other_services_stay_as_they_are() -> None:
    change = plan_change(OTHER, {"bets": Record(confirmed=BEFORE)}, {})
    assert change.before == {"bets": BEFORE}
    assert change.after == {"bets": BEFORE, "payments-api": OTHER}
    assert change.replaced is None
    assert change.settled == {"payments-api": Record(confirmed=OTHER)}


def test_a_change_that_had_taken_effect_is_not_undone_by_the_next_one() -> None:
    records = {"bets": Record(confirmed=BEFORE, wanted=WANTED)}
    change = plan_change(OTHER, records, loaded(WANTED, "public", "mesh"))
    assert change.after["bets"] == WANTED
    assert change.settled["bets"] == Record(confirmed=WANTED)


@pytest.mark.parametrize("weight", [1, 5, 50, 99, 100])
@pytest.mark.parametrize("ordinal", [0, 1, 2, 3])
def test_what_had_taken_effect_is_known_wherever_the_window_of_the_canary_lies(ordinal: int, weight: int) -> None:
    """Most windows cut stable's slots in two parts, neither of which is a whole percent."""
    wanted = split_of("bets", A, B, weight, 2, offset=ordinal * ROTATION % WHOLE)
    change = plan_change(OTHER, {"bets": Record(confirmed=BEFORE, wanted=wanted)}, loaded(wanted, "public", "mesh"))
    assert change.after["bets"] == wanted


def test_a_change_that_only_one_listener_took_is_taken_back() -> None:
    records = {"bets": Record(confirmed=BEFORE, wanted=WANTED)}
    half = loaded(WANTED, "mesh") | loaded(BEFORE, "public")
    change = plan_change(OTHER, records, half)
    assert change.after["bets"] == BEFORE
    assert change.settled["bets"] == Record(confirmed=BEFORE)


def test_an_internal_service_is_known_to_the_mesh_alone() -> None:
    records = {"bets": Record(confirmed=BEFORE, wanted=WANTED)}
    change = plan_change(OTHER, records, loaded(WANTED, "mesh") | {"public": {}})
    assert change.after["bets"] == WANTED


def test_versions_of_a_half_done_change_stay_reachable_until_the_next_is_confirmed() -> None:
    wanted = split_of("bets", A, C, 5, 3)
    change = plan_change(split_of("bets", A), {"bets": Record(confirmed=BEFORE, wanted=wanted)}, {})
    digests = {backend.digest for each in change.reachable for backend in (each.stable, each.canary) if backend}
    assert digests == {A, B, C}


def test_only_a_version_that_had_no_traffic_must_prove_its_health() -> None:
    records = {"bets": Record(confirmed=BEFORE)}
    assert plan_change(split_of("bets", A, B, 0, 2), records, {}).fresh == set()
    assert plan_change(split_of("bets", A, C, 5, 2), records, {}).fresh == {f"bets~{short(C)}"}
