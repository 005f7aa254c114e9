"""Drills with real desk processes, on a folder like a stand's in which nothing but the desk runs."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import pytest
from tests.support.records import draft

from croupier.adapters.clock import SystemClock
from croupier.adapters.journal.reading import open_for_reading
from croupier.adapters.journal.sqlite import SqliteJournal
from croupier.cli.client import DeskClient
from croupier.core.roll import SNAPSHOT
from croupier.errors import CroupierError, IntegrityError
from croupier_stand import drills
from croupier_stand.home import Home
from croupier_stand.parts import PORTS
from croupier_stand.process import wait_for
from croupier_stand.shifted_desk import Shift, Shifts
from croupier_stand.supervisor import settings

DESK = (sys.executable, "-m", "croupier.cli", "desk")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("CROUPIER_HOME", str(tmp_path))
    home = Home.of("drilled")
    home.clear()
    with resources.as_file(resources.files("croupier_stand") / "platform") as directory:
        shutil.copyfile(directory / "platform.yaml", home.platform)
        shutil.copytree(directory / "versions", home.versions, dirs_exist_ok=True)
    home.settings.write_text(settings(dict.fromkeys(PORTS, 1)))  # nobody listens there
    return home


@contextmanager
def desk(home: Home, *command: str) -> Iterator[None]:
    """A desk that answers for as long as the block lasts."""
    with subprocess.Popen([*command, "--home", str(home.root)], stderr=subprocess.DEVNULL) as process:

        def answers() -> bool:
            try:
                with DeskClient.of(home.name) as client:
                    return client.health().started_at > 0
            except CroupierError:
                return False

        try:
            assert wait_for(answers, 60, pause_seconds=0.1)
            yield
        finally:
            process.terminate()


def test_a_second_desk_on_the_same_journal_is_refused(home: Home) -> None:
    with desk(home, *DESK):
        assert drills.drill(home, "second desk", print) == drills.DrillResult(
            label="second desk", said="refused with exit code 4"
        )


def test_a_drill_says_so_when_nobody_refuses(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a first desk the second one is the first, and does not end."""
    monkeypatch.setattr(drills, "_DESK_SECONDS", 3.0)
    (problem,) = drills.drill(home, "second desk", print).problems
    assert "timed out" in problem


def test_nobody_acts_on_a_poisoned_journal_and_verify_names_the_entry(home: Home) -> None:
    with SqliteJournal(home.desk / "journal.sqlite") as journal:
        journal.append([draft(number, kind="drift", subject="desk") for number in range(1, 41)])
    with desk(home, *DESK):
        told = drills.drill(home, "poisoned journal", print)
    assert told.problems == ()
    assert told.said == "entry 21: verify names it, and a desk ends with exit code 1"
    assert not (home.root / "poisoned").exists()
    with open_for_reading(home.desk / "journal.sqlite") as reader:
        assert reader.verify() == 41, "the stand's own journal was not touched"


def test_a_poisoned_entry_can_still_be_read(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with SqliteJournal(path) as journal:
        journal.append([draft(number) for number in range(1, 10)])
    assert drills.poison(path) == 5
    with open_for_reading(path) as reader:
        assert len(list(reader.read())) == 9
        with pytest.raises(IntegrityError, match="entry 5: its content does not give its hash"):
            reader.verify()


def test_what_is_poisoned_is_what_a_desk_reads_when_it_opens(tmp_path: Path) -> None:
    """What came before the newest snapshot is for ``journal verify``."""
    path = tmp_path / "journal.sqlite"
    with SqliteJournal(path) as journal:
        journal.append([draft(number, kind=SNAPSHOT if number == 6 else "drift") for number in range(1, 10)])
    assert drills.poison(path) == 8


def test_a_desk_is_told_a_wrong_time_and_the_right_one_again(home: Home, tmp_path: Path) -> None:
    now, file = SystemClock().now(), tmp_path / "shifts.json"
    file.write_text(Shifts(shifts=(Shift(until=now + 600.0, seconds=3600.0),)).model_dump_json())
    shifted = (sys.executable, "-m", "croupier_stand.shifted_desk", "--shifts", str(file))
    with desk(home, *shifted), DeskClient.of(home.name) as client:
        assert 3599.0 < client.health().started_at - now < 3700.0
        file.unlink()
        assert wait_for(lambda: abs((client.health().last_round_at or 0.0) - SystemClock().now()) < 60.0, 30)
    with open_for_reading(home.desk / "journal.sqlite") as reader:
        assert next(reader.read()).at > now + 3599.0


def test_shifts_follow_one_another_and_end() -> None:
    both = Shifts(shifts=(Shift(until=20.0, seconds=3600.0), Shift(until=40.0, seconds=-3600.0)))
    assert [both.at(now) for now in (0.0, 19.9, 20.0, 39.9, 40.0)] == [3600.0, 3600.0, -3600.0, -3600.0, 0.0]
    assert json.loads(both.model_dump_json(by_alias=True))["shifts"][0] == {"until": 20.0, "seconds": 3600.0}


def test_a_full_disk_is_not_tried_where_nothing_may_be_mounted(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drills, "may_mount", lambda: False)
    told = drills.drill(home, "full disk", print)
    assert (told.is_skipped, told.is_right) == (True, True)
    assert told.said == "not tried: it needs root and the right to mount a small tmpfs"
