"""The memory of a tally: whole lines, bounded, and never a reason to stop counting."""

from __future__ import annotations

from pathlib import Path

import pytest

from croupier_kit.tally_fold import Affected
from croupier_kit.tally_memory import TallyMemory

ANN = Affected("payments-api", "r-0001", "errors", "p1", 0.0)
BOB = Affected("payments-api", "-", "latency:0.4", "p2", 3_000_000.0)


def test_what_was_appended_is_read_by_the_next_life(tmp_path: Path) -> None:
    path = tmp_path / "tally.jsonl"
    TallyMemory(path).append([ANN])
    TallyMemory(path).append([])
    TallyMemory(path).append([BOB])
    assert list(TallyMemory(path).read()) == [ANN, BOB]


def test_a_line_torn_by_a_crash_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "tally.jsonl"
    TallyMemory(path).append([ANN, BOB])
    path.write_bytes(path.read_bytes()[:-9])
    assert list(TallyMemory(path).read()) == [ANN]


def test_written_anew_it_holds_nothing_else(tmp_path: Path) -> None:
    memory = TallyMemory(tmp_path / "tally.jsonl")
    memory.append([ANN, BOB])
    memory.rewrite([BOB])
    assert list(memory.read()) == [BOB]
    assert [each.name for each in tmp_path.iterdir()] == ["tally.jsonl"]


def test_without_a_place_nothing_is_remembered() -> None:
    memory = TallyMemory(None)
    memory.append([ANN])
    memory.rewrite([ANN])
    assert list(memory.read()) == []


def test_a_disk_that_takes_nothing_is_said_and_ends_nothing(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    memory = TallyMemory(tmp_path / "gone" / "tally.jsonl")
    memory.append([ANN])
    memory.rewrite([ANN])
    assert caplog.text.count("cannot remember") == 2
