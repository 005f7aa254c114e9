from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from croupier_kit.tail import Tail


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "log"


@pytest.fixture
def tail(path: Path) -> Iterator[Tail]:
    tail = Tail(path)
    yield tail
    tail.close()


def append(path: Path, text: str) -> None:
    with path.open("a") as file:
        file.write(text)


def test_gives_whole_lines_once(path: Path, tail: Tail) -> None:
    assert tail.read() == ((), True)
    append(path, "one\ntw")
    assert tail.read() == ([b"one"], True)
    append(path, "o\nthree\n")
    assert tail.read() == ([b"two", b"three"], True)
    assert tail.read() == ([], True)


def test_reads_a_file_moved_away_to_its_end_then_the_new_one(path: Path, tail: Tail) -> None:
    append(path, "one\n")
    assert tail.read() == ([b"one"], True)
    append(path, "two\n")
    path.rename(path.with_suffix(".1"))
    append(path, "three\n")
    assert tail.read() == ([b"two"], True)
    assert tail.read() == ([b"three"], True)


def test_begins_a_file_that_became_shorter_anew(path: Path, tail: Tail) -> None:
    append(path, "one\ntwo\n")
    assert tail.read() == ([b"one", b"two"], True)
    path.write_text("x\n")
    assert tail.read() == ([b"x"], True)


def test_says_when_there_is_more(path: Path, tail: Tail) -> None:
    count = 3000
    path.write_bytes((b"x" * 1023 + b"\n") * count)
    pages = [tail.read()]
    while not pages[-1][1]:
        pages.append(tail.read())
    assert len(pages) > 2
    assert sum(len(lines) for lines, _ in pages) == count


def test_reads_what_was_written_while_the_file_was_being_moved(path: Path, tail: Tail) -> None:
    """The last lines come after the end was reached, and before there is a new file."""
    append(path, "one\n")
    assert tail.read() == ([b"one"], True)
    old = path.with_suffix(".1")
    path.rename(old)
    assert tail.read() == ([], True)
    append(old, "two\n")
    append(path, "three\n")
    assert tail.read() == ([b"two"], True)
    assert tail.read() == ([b"three"], True)


def test_from_its_end_on_it_gives_only_what_comes(path: Path) -> None:
    append(path, "old\nhal")
    with closing(Tail(path, from_end=True)) as tail:
        assert tail.read() == ([], True)
        append(path, "f\nnew\n")
        assert tail.read() == ([b"f", b"new"], True)
        path.rename(path.with_suffix(".1"))
        append(path, "whole\n")
        assert tail.read() == ([b"whole"], True)


def test_from_its_end_on_a_file_that_comes_later_is_read_whole(path: Path) -> None:
    with closing(Tail(path, from_end=True)) as tail:
        assert tail.read() == ((), True)
        append(path, "first\n")
        assert tail.read() == ([b"first"], True)
