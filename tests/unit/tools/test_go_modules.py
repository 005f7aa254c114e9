"""Definitions come from modules as they were published, or from none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tools.go_modules import PINNED, fetched

MODULE = next(iter(PINNED))


def _go(folder: Path, **said: str) -> str:
    """A program that answers as ``go mod download -json`` does, and keeps what it was told not to ask a database of."""
    program = folder / "go"
    answer = json.dumps({"Dir": str(folder), **said})
    program.write_text(f"#!/bin/sh\nprintf %s \"$GONOSUMDB\" > {folder}/unasked\ncat <<'END'\n{answer}\nEND\n")
    program.chmod(0o755)
    return str(program)


def test_what_is_not_what_was_published_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="pinned is h1:"):
        fetched(MODULE, _go(tmp_path, Sum="h1:another="))


def test_the_pin_stands_in_for_the_database_of_one_module_only(tmp_path: Path) -> None:
    assert fetched(MODULE, _go(tmp_path, Sum=PINNED[MODULE])) == tmp_path
    assert (tmp_path / "unasked").read_text() == MODULE.partition("@")[0]


def test_gos_own_database_is_asked_of_all_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GONOSUMDB", raising=False)
    assert fetched("example.net/a@v1.0.0", _go(tmp_path, Sum="h1:any=")) == tmp_path
    assert (tmp_path / "unasked").read_text() == ""
