"""The live view as text: it fits the terminal, says what matters, and means the same without colour."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from croupier.cli.screen import Screen, meter
from croupier.model.verdict import ArmNumbers, Outcome, StratumReading
from croupier.model.view import RunView
from croupier.report import example


def with_providers(view: RunView) -> RunView:
    """Deposits judged through two providers too; one of them failed, of the other nothing is known."""
    assert view.verdict is not None
    deposits, *others = view.verdict.gates
    strata = tuple(
        StratumReading(
            by="provider",
            name=name,
            required=required,
            outcome=outcome,
            code=code,
            message="",
            canary=ArmNumbers(bad=bad, total=118),
            stable=ArmNumbers(bad=1, total=402),
            against=against,
            against_bar=3.1,
            favour=0.1,
            favour_bar=1.9,
            needs_seconds=None,
        )
        for name, required, outcome, code, bad, against in (
            ("psp-a", True, Outcome.INCONCLUSIVE, "too-few", 0, -0.1),
            ("psp-b", False, Outcome.FAIL, "worse", 11, 3.4),
        )
    )
    gates = (deposits.model_copy(update={"strata": strata}), *others)
    return view.model_copy(update={"verdict": view.verdict.model_copy(update={"gates": gates})})


ROOT = Path(__file__).parent.parent.parent.parent
VIEWS = {
    "watched": example.WATCHED,
    "taken back": example.TAKEN_BACK,
    "rolled back": example.ROLLED_BACK,
    "promoted": example.PROMOTED,
    "providers": with_providers(example.TAKEN_BACK),
    "not judged yet": example.WATCHED.model_copy(update={"verdict": None, "observed_share": None, "band": None}),
    "no forecast": example.WATCHED.model_copy(update={"forecast": None}),
    "long story": example.WATCHED.model_copy(update={"timeline": example.WATCHED.timeline * 20}),
}


def drawn(
    view: RunView, *, width: int = 80, height: int = 24, age_seconds: float = 3.0, lost: bool = False
) -> list[str]:
    console = Console(
        width=width, height=height, file=io.StringIO(), color_system=None, force_terminal=True, _environ={}
    )
    with console.capture() as capture:
        console.print(Screen(view, age_seconds=age_seconds, lost=lost))
    return capture.get().splitlines()


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize(("width", "height"), [(80, 24), (100, 24), (104, 30), (200, 60)])
def test_every_state_fits_the_terminal(name: str, width: int, height: int) -> None:
    lines = drawn(VIEWS[name], width=width, height=height)
    assert len(lines) <= height
    assert max(map(len, lines)) <= width


def test_numbers_of_both_arms_and_evidence_with_its_bar_are_shown() -> None:
    text = "\n".join(drawn(example.WATCHED, width=110))
    for part in (
        "9/1,214 0.74 %",
        "4/3,702 0.11 %",
        "1.4/2.3",
        "0.7/1.9",
        "35 s",
        "1.3/2.0",
        "25 % set",
        "24.7 % seen",
    ):
        assert part in text


@pytest.mark.parametrize("width", [80, 110])
def test_no_number_of_a_gate_is_cut_off(width: int) -> None:
    lines = drawn(example.WATCHED, width=width)
    assert not [line for line in lines[6:12] if "…" in line.replace("… ", "")]


def test_the_gate_that_failed_is_named_in_words() -> None:
    (deposits,) = [line for line in drawn(example.TAKEN_BACK) if "deposits" in line and "●" in line]
    assert "✗ fail" in deposits
    (errors,) = [line for line in drawn(example.TAKEN_BACK) if "● errors" in line]
    assert "✓ pass" in errors


def test_providers_follow_their_gate_and_the_one_that_failed_stands_out() -> None:
    lines = drawn(VIEWS["providers"])
    place = next(index for index, line in enumerate(lines) if "deposits" in line and "●" in line)
    one, other = lines[place + 1 : place + 3]
    assert "● psp-a" in one
    assert "too few" in one
    assert "psp-b" in other
    assert "11/118" in other
    assert "✗ fail" in other


def test_missing_data_stand_out_and_are_never_a_pass() -> None:
    """O4: given gate data are missing, the verdict is inconclusive and says so."""
    verdict = example.WATCHED.verdict
    assert verdict is not None
    silent = verdict.gates[1].model_copy(update={"outcome": "inconclusive", "code": "no-data"})
    view = example.WATCHED.model_copy(
        update={"verdict": verdict.model_copy(update={"gates": (verdict.gates[0], silent)})}
    )
    (errors,) = [line for line in drawn(view) if "● errors" in line]
    assert "? data" in errors


def test_a_lost_desk_is_said_and_what_it_means_for_players() -> None:
    assert "Players stay where they are" in drawn(example.WATCHED, lost=True)[-1]


def test_the_story_ends_with_the_latest_line() -> None:
    assert "settled, 24.7%" in drawn(VIEWS["long story"])[-2]


def test_text_from_outside_cannot_steer_the_terminal() -> None:
    view = example.WATCHED.model_copy(update={"waiting_for": "a\x1b[2Jb [red]c[/red]"})
    text = "\n".join(drawn(view))
    assert "\x1b" not in text
    assert "[red]c[/red]" in text


@pytest.mark.parametrize(
    ("value", "filled"), [(-1.0, "────"), (0.0, "────"), (1.0, "╸───"), (4.0, "━━──"), (8.0, "━━━━"), (99.0, "━━━━")]
)
def test_a_meter_fills_in_proportion_and_never_overflows(value: float, filled: str) -> None:
    assert meter(value, 8.0, 4, "red").plain == filled


def test_the_picture_in_the_docs_is_what_the_code_draws() -> None:
    command = [sys.executable, "tools/pictures.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_picture_names_no_other_host() -> None:
    picture = (ROOT / "docs" / "images" / "watch.svg").read_text(encoding="utf-8")
    assert picture.count("http") == picture.count("http://www.w3.org/2000/svg") == 1
    assert "@font-face" not in picture
