"""What commands share."""

from __future__ import annotations

import gc
from pathlib import Path

import pytest
from click.testing import CliRunner

from croupier.cli.options import ends_soon
from croupier.cli.root import cli


def test_garbage_is_looked_for_again_when_a_command_has_ended() -> None:
    @ends_soon
    def command(fail: bool) -> str:
        assert not gc.isenabled()
        if fail:
            raise ValueError("no")
        return "done"

    assert command(False) == "done"
    assert gc.isenabled()
    with pytest.raises(ValueError, match="no"):
        command(True)
    assert gc.isenabled()


def test_a_command_leaves_garbage_alone_where_nobody_looked_for_it_before() -> None:
    gc.disable()
    try:
        ends_soon(lambda: None)()
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_a_user_without_a_home_is_told_how_to_name_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    for name in ("CROUPIER_HOME", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    answer = CliRunner().invoke(cli, ["release", "list"])
    assert (answer.exit_code, "CROUPIER_HOME=…" in answer.stderr) == (2, True)
