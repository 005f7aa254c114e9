"""What layers come to where two of the same weight disagree."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.spec.bad_cases import HERE

from croupier.errors import SpecError
from croupier.model.service_spec import ServiceSpec
from croupier.spec.platform import load_described


def _lobby(folder: Path, layers: str) -> ServiceSpec:
    """The lobby of acme in Malta, with more layers."""
    (folder / "base.yaml").write_text((HERE / "base" / "base.yaml").read_text())
    (folder / "layers.yaml").write_text(f"layers:\n{layers}")
    placed = load_described(folder).cell("acme-mt-west")
    return next(each for each in placed.services if each.name == "lobby")


RPS = "metric: {name: rps_per_pod, average: 100}"
TWO = """\
  - at: {market: mt}
    set: {startSeconds: 40, writable: [/a]}
  - at: {region: west}
    set: {startSeconds: 50, writable: [/b]}
"""


def test_a_heavier_layer_decides_between_two_that_disagree(tmp_path: Path) -> None:
    lobby = _lobby(tmp_path, TWO + "  - at: {brand: acme, market: mt}\n    set: {startSeconds: 45, writable: [/c]}\n")
    assert (lobby.start_seconds, lobby.writable) == (45, ("/c",))


def test_a_heavier_layer_that_takes_away_decides_too(tmp_path: Path) -> None:
    lobby = _lobby(tmp_path, TWO + "  - at: {brand: acme, market: mt}\n    unset: [startSeconds, writable]\n")
    assert (lobby.start_seconds, lobby.writable) == (30, ("/tmp",))


def test_what_is_added_to_a_list_that_nobody_can_tell_decides_nothing(tmp_path: Path) -> None:
    more = "  - at: {brand: acme, market: mt}\n    set: {startSeconds: 45, writable: {add: [/c]}}\n"
    with pytest.raises(SpecError, match="disagree about writable"):
        _lobby(tmp_path, TWO + more)


def test_a_preset_goes_by_the_providers_that_a_service_calls_in_a_cell(tmp_path: Path) -> None:
    """In whichever way it comes to call them, and where it calls them only."""
    (tmp_path / "presets.yaml").write_text(
        "presets:\n"
        "  - {when: {egress: psp-a}, set: {startSeconds: 41}}\n"
        "  - {when: {egress: psp-a, tier: money}, set: {startSeconds: 42}}\n"
    )
    assert _lobby(tmp_path, "  - at: {market: no}\n    set: {egress: [psp-a]}\n").start_seconds == 30
    assert _lobby(tmp_path, "  - at: {market: mt}\n    set: {egress: [psp-a]}\n").start_seconds == 41
    cells = load_described(tmp_path).cells
    started = {
        (each.name, placed.cell.market): each.start_seconds
        for placed in cells
        for each in placed.services
        if each.tier == "money"
    }
    assert started == {
        ("payments", "mt"): 42,
        ("payments", "no"): 42,
        ("payments", "ro"): 42,
        ("wallet", "mt"): 42,
        ("wallet", "no"): 30,
        ("wallet", "ro"): 30,
    }


def test_what_is_added_is_added_to_the_default(tmp_path: Path) -> None:
    assert _lobby(tmp_path, "  - at: {service: lobby}\n    set: {writable: {add: [/c]}}\n").writable == ("/tmp", "/c")


def test_a_layer_may_take_a_part_away_and_give_it_anew(tmp_path: Path) -> None:
    lobby = _lobby(
        tmp_path,
        f"  - at: {{service: lobby}}\n    set: {{scaling: {{{RPS}, min: 1, max: 5, cpuPercent: 50}}}}\n"
        "  - at: {service: lobby, market: mt}\n    unset: [scaling]\n"
        f"    set: {{scaling: {{{RPS}, min: 2, max: 3}}}}\n",
    )
    assert lobby.scaling is not None
    assert (lobby.scaling.min, lobby.scaling.max, lobby.scaling.cpu_percent) == (2, 3, None)


def test_what_is_wrong_with_a_part_stands_where_it_is_given_and_not_where_some_of_it_is_taken_away(
    tmp_path: Path,
) -> None:
    _lobby(
        tmp_path,
        f"  - at: {{service: lobby}}\n    set: {{scaling: {{{RPS}, min: 1, max: 5, cpuPercent: 50}}}}\n"
        "  - at: {service: lobby, market: mt}\n    unset: [scaling.cpuPercent]\n",
    )
    said = load_described(tmp_path).merged["acme-mt-west", "lobby"].winner(["scaling", "trigger"])
    assert said is not None
    assert (said.path, said.verb) == (("scaling", "max"), "set")


def test_items_with_a_name_replace_those_of_the_same_name(tmp_path: Path) -> None:
    lobby = _lobby(
        tmp_path,
        "  - at: {market: mt, service: lobby}\n"
        "    set: {objectives: {add: [{signal: errors, successRatio: 0.9}, {signal: latency, p95Seconds: 0.2}]}}\n",
    )
    assert [(each.signal, each.success_ratio) for each in lobby.objectives] == [("errors", 0.9), ("latency", None)]


def test_an_empty_part_wants_the_part_with_its_defaults(tmp_path: Path) -> None:
    """``release: {}`` says nothing that is not so anyway; ``scaling: {}`` lacks what scaling needs."""
    _lobby(tmp_path, "  - at: {service: lobby}\n    set: {release: {}}\n")
    with pytest.raises(SpecError, match=r"'scaling\.min' is missing"):
        _lobby(tmp_path, "  - at: {service: lobby}\n    set: {scaling: {}}\n")


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("unset: [startSeconds]", "unset: [startSeconds]\n    set: {startSeconds: 40}"),
        ("set: {writable: {remove: [/tmp]}}", "set: {writable: {add: [/tmp], remove: [/tmp]}}"),
    ],
)
def test_who_takes_away_and_gives_anew_disagrees_with_who_takes_away(
    tmp_path: Path, one: str, other: str, turned: bool
) -> None:
    """Whichever of the two comes first."""
    (tmp_path / "defaults.yaml").write_text("layers:\n  - at: {service: lobby}\n    set: {startSeconds: 35}\n")
    both = [f"  - at: {{market: mt, service: lobby}}\n    {said}\n" for said in (one, other)]
    with pytest.raises(SpecError, match="disagree about"):
        _lobby(tmp_path, "".join(reversed(both) if turned else both))
