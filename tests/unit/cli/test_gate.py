"""``croupier gate`` on the files of a stand: what is printed and drawn, how it exits."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from tests.support.judged import SETTINGS
from tests.support.recorded import played, write_files
from tests.support.world import HEALTHY, LOSSY

from croupier.cli.root import cli


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_files(played(LOSSY, HEALTHY), tmp_path_factory.mktemp("desk"))


def _run(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, ["gate", *map(str, words)])


def test_explain_tells_and_draws(home: Path, tmp_path: Path) -> None:
    picture = tmp_path / "why.svg"
    result = _run("explain", "r-0001", "--home", home, "--picture", picture)
    assert result.exit_code == 0, result.output
    assert "r-0001  payments-api: rolled back after" in result.stdout
    assert picture.read_text().startswith("<svg ")


def test_explain_as_json_has_every_point(home: Path) -> None:
    told = json.loads(_run("explain", "r-0002", "--home", home, "-o", "json").stdout)
    assert (told["outcome"], told["byGates"]) == ("promoted", True)
    assert [gate["gate"] for gate in told["gates"]] == ["deposits", "errors"]
    assert len(told["gates"][0]["points"]) == len(told["together"]) > 5


def test_explain_of_a_run_that_is_not_there_lists_those_that_are(home: Path) -> None:
    result = _run("explain", "r-0009", "--home", home)
    assert result.exit_code == 2
    assert "known: r-0001, r-0002" in result.stderr


def test_a_picture_in_a_folder_that_is_not_there_is_refused_before_anything_is_read(home: Path) -> None:
    result = _run("explain", "r-0001", "--home", home, "--picture", "/nowhere/at/all.svg")
    assert result.exit_code == 2
    assert "there is no folder /nowhere/at" in result.stderr


def test_backtest_under_the_gates_as_they_were_changes_nothing(home: Path) -> None:
    result = _run("backtest", "--home", home)
    assert result.exit_code == 0, result.output
    assert "1 promoted, 1 rolled back, 0 held; 0 of 2 otherwise than it was" in result.stdout


def test_backtest_with_other_gates_exits_1_and_says_which_would_have_ended_otherwise(
    home: Path, tmp_path: Path
) -> None:
    policy = tmp_path / "gates.yaml"
    policy.write_text("gates: [{signal: errors, role: required, margin: {points: 1.0}}]\n")
    result = _run("backtest", "r-0001", "--policy", policy, "--home", home, "-o", "json")
    answer = json.loads(result.stdout)
    assert (result.exit_code, answer["otherwise"], answer["rolledBack"]) == (1, 1, 0)
    assert answer["runs"][0]["was"] == "rolled-back"


def test_backtest_of_a_range_needs_all_of_it(home: Path, tmp_path: Path) -> None:
    settings = tmp_path / "judge.yaml"
    settings.write_text(SETTINGS)
    assert _run("backtest", "--judge", settings).exit_code == 2
    assert _run("backtest", "--service", "a.b", "--home", home).exit_code == 2
    whole = ("--service", "other.test", "--since", "2026-03-01T03:00:00Z", "--until", "2026-03-01T03:30:00Z")
    result = _run("backtest", "--judge", settings, *whole)
    assert (result.exit_code, "known: podinfo.test" in result.stderr) == (2, True)
    assert _run("backtest", "--judge", settings, "--since", "yesterday").exit_code == 2
    itself = _run("backtest", "--judge", settings, *whole, "--canary", "a1", "--stable-revision", "a1")
    assert (itself.exit_code, "are both a1" in itself.stderr) == (2, True)
