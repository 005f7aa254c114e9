"""``croupier stand logs``: text to read along, JSON for programs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from croupier.cli.root import cli
from croupier_stand import cli as stand_cli
from croupier_stand import process
from croupier_stand.home import Home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("CROUPIER_HOME", str(tmp_path))
    home = Home.of("one")
    home.logs.mkdir(parents=True)
    home.log("wallet").write_text("one\ntwo\nthree\n")
    home.log("wallet").with_name("wallet.log.1").write_text("moved away\n")
    home.supervisor_log.write_text("up\n")
    return home


def run(*words: str) -> Result:
    return CliRunner().invoke(cli, ["stand", "logs", "--name", "one", *words])


def test_lists_the_logs_there_are(home: Home) -> None:
    done = run("-o", "json")
    assert json.loads(done.stdout) == [
        {"process": "wallet", "file": str(home.log("wallet")), "bytes": 14},
        {"process": "supervisor", "file": str(home.supervisor_log), "bytes": 3},
    ]
    assert run().stdout.split() == ["wallet", "14", "bytes", "supervisor", "3", "bytes"]


def test_gives_the_last_lines_of_one(home: Home) -> None:
    assert json.loads(run("wallet", "-n", "2", "-o", "json").stdout) == {
        "process": "wallet",
        "file": str(home.log("wallet")),
        "lines": ["two", "three"],
    }
    assert run("wallet", "-n", "2").stdout == "two\nthree\n"


def test_json_that_never_ends_is_refused(home: Home) -> None:
    assert run("wallet", "-f", "-o", "json").exit_code == 2


def test_following_goes_on_when_the_log_is_cut(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    log = home.log("wallet")

    def cut(*_: Any, **__: Any) -> bool:
        log.write_text("four\n")
        return True

    monkeypatch.setattr(process, "wait_for", cut)
    followed = stand_cli._tail(log, 1, follow=True)
    assert [next(followed), next(followed)] == ["three", "four"]
