"""Answers are found again under all they hang on, and do not fill the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from croupier.adapters import cache


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "croupier" / "kind"


def test_an_answer_comes_back_under_its_key_alone() -> None:
    cache.remember("kind", cache.key("a", "b"), {"n": 1})
    assert cache.recall("kind", cache.key("a", "b")) == {"n": 1}
    assert cache.recall("kind", cache.key("ab", "")) is None
    assert cache.recall("other", cache.key("a", "b")) is None


def test_an_answer_of_another_croupier_is_not_found(monkeypatch: pytest.MonkeyPatch) -> None:
    cache.remember("kind", cache.key("a"), 1)
    monkeypatch.setattr("croupier.__version__", "0.0.0")
    assert cache.recall("kind", cache.key("a")) is None


def test_the_newest_are_kept(folder: Path) -> None:
    for number in range(80):
        cache.remember("kind", f"{number}", number)
    assert len(list(folder.iterdir())) == 64
    assert cache.recall("kind", "79") == 79


def test_who_has_no_home_keeps_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents: a fault of croupier in a container that runs as a user of no name."""

    def nowhere() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", nowhere)
    cache.remember("check", "name", {"cells": 2})
    assert cache.recall("check", "name") is None
