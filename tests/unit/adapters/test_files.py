"""Files are replaced whole, and readable by whom they are for."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from croupier.adapters.files import PRIVATE, PUBLIC, replace_file


@pytest.fixture(params=[0o022, 0o027, 0o077], ids=oct)
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def test_what_people_asked_for_has_the_mode_of_their_umask(tmp_path: Path, umask: int) -> None:
    replace_file(tmp_path / "asked.svg", b"x", mode=PUBLIC)
    assert (tmp_path / "asked.svg").stat().st_mode & 0o777 == 0o666 & ~umask


@pytest.mark.parametrize("durable", [True, False])
def test_what_croupier_keeps_is_its_own(tmp_path: Path, durable: bool) -> None:
    (tmp_path / "kept").write_text("old")
    (tmp_path / "kept").chmod(0o644)
    replace_file(tmp_path / "kept", b"new", durable=durable)
    assert (tmp_path / "kept").read_bytes() == b"new"
    assert (tmp_path / "kept").stat().st_mode & 0o777 == PRIVATE


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        replace_file(tmp_path / "folder", b"x")
    assert [each.name for each in tmp_path.iterdir()] == ["folder"]
