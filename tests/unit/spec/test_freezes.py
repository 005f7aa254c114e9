"""Freeze windows of a file: local times to moments, whatever clocks do, and problems at their place."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.support.world import PLATFORM
from tests.unit.spec.test_settings import SETTINGS

from croupier.errors import SpecError
from croupier.model.freeze import FreezeWindow
from croupier.spec.documents import load_settings, refuse_unknown_services
from croupier.spec.freezes import freezes_of


def moments(starts: str, ends: str, zone: str = "Europe/Stockholm") -> tuple[str, str]:
    window = FreezeWindow(title="Cup final", starts=starts, ends=ends, zone=zone)
    (made,) = freezes_of({"cup-final": window})
    told = [datetime.fromtimestamp(at, UTC).strftime("%m-%d %H:%M") for at in (made.from_at, made.until_at)]
    return told[0], told[1]


@pytest.mark.parametrize(
    ("starts", "ends", "expected"),
    [
        ("2030-07-14T16:00", "2030-07-14T23:00", ("07-14 14:00", "07-14 21:00")),
        ("2030-01-14T16:00", "2030-01-14T23:00", ("01-14 15:00", "01-14 22:00")),
        # Put back at 03:00 on the 27th of October: 02:30 comes twice, and the longer window is meant.
        ("2030-10-27T02:30", "2030-10-27T02:30", ("10-27 00:30", "10-27 01:30")),
        # Put forward at 02:00 on the 31st of March: 02:30 never comes.
        ("2030-03-31T02:30", "2030-03-31T02:30", ("03-31 00:30", "03-31 01:30")),
    ],
)
def test_local_times_are_moments_also_when_clocks_are_changed(
    starts: str, ends: str, expected: tuple[str, str]
) -> None:
    assert moments(starts, ends) == expected


def test_a_window_may_be_meant_for_ever() -> None:
    assert moments("2030-01-01T00:00", "9999-12-31T23:59", "UTC")[1] == "12-31 23:59"
    window = FreezeWindow(title="Closed", starts="2030-01-01T00:00", ends="9999-12-31T23:59", zone="America/New_York")
    (made,) = freezes_of({"closed": window})
    assert made.until == "9999-12-31 23:59 America/New_York"


def test_the_end_is_told_in_the_zone_of_the_window() -> None:
    window = FreezeWindow(
        title="Cup final", starts="2030-07-14T16:00", ends="2030-07-15T01:00", zone="America/Sao_Paulo"
    )
    (made,) = freezes_of({"cup-final": window})
    assert made.words == "freeze cup-final (Cup final) until 2030-07-15 01:00 America/Sao_Paulo"


def write(folder: Path, window: str, source: str = "{}") -> Path:
    file = folder / "desk.yaml"
    file.write_text(SETTINGS % source + f"freezes:\n  cup-final: {window}\n")
    return file


@pytest.mark.parametrize(
    ("window", "words"),
    [
        ("{title: F, starts: 2030-07-14T16:00, ends: 2030-07-14T15:00, zone: UTC}", "it ends at 2030-07-14T15:00"),
        ("{title: F, starts: 2030-07-14T16:00, ends: 2030-07-14T16:00, zone: UTC}", "it ends at 2030-07-14T16:00"),
        ("{title: F, starts: 2030-02-30T16:00, ends: 2030-07-14T15:00, zone: UTC}", "there is no 2030-02-30T16:00"),
        ("{title: F, starts: 2030-07-14T16:00, ends: 2030-07-14T17:00, zone: Mars/Base}", "no time zone is called"),
        ("{title: F, starts: noon, ends: 2030-07-14T17:00, zone: UTC}", '"noon" is no time'),
    ],
)
def test_a_window_that_makes_no_sense_is_a_problem_with_a_place(tmp_path: Path, window: str, words: str) -> None:
    file = write(tmp_path, window)
    with pytest.raises(SpecError) as caught:
        load_settings(file)
    (problem,) = caught.value.problems
    assert (problem.file, problem.line) == (str(file), 10)
    assert words in problem.message


def test_a_service_that_nobody_declares_would_be_frozen_for_nothing(tmp_path: Path) -> None:
    window = "{title: F, starts: 2030-07-14T16:00, ends: 2030-07-14T17:00, zone: UTC, services: [payment-api]}"
    file = write(tmp_path, window)
    with pytest.raises(SpecError) as caught:
        refuse_unknown_services(file, load_settings(file), PLATFORM)
    (problem,) = caught.value.problems
    assert (problem.line, problem.code) == (10, "UNKNOWN_NAME")
    assert "did you mean payments-api" in problem.hint
