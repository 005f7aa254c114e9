"""Evidence on disk: what a crash leaves, what a hand changes, and how the hash can be checked without us."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from tests.support.records import sample

from croupier.adapters.journal.codec import decode_sample, header
from croupier.adapters.journal.evidence import FileEvidence
from croupier.errors import IntegrityError


def _written(directory: Path, count: int) -> tuple[Path, list[str]]:
    store = FileEvidence(directory)
    return directory / "r-0001.jsonl", [store.append("r-0001", sample(float(at))) for at in range(count)]


def test_the_hash_is_that_of_the_first_lines_of_the_file(tmp_path: Path) -> None:
    path, hashes = _written(tmp_path, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    assert [hashlib.sha256(b"".join(lines[: n + 2])).hexdigest() for n in range(3)] == hashes


def test_every_cut_of_the_last_line_drops_that_sample_and_the_next_append_mends_it(tmp_path: Path) -> None:
    path, hashes = _written(tmp_path, 3)
    whole = path.read_bytes()
    last = len(whole.splitlines(keepends=True)[-1])
    for cut in (1, 2, last // 2, last - 1, last):
        path.write_bytes(whole[:-cut])
        store = FileEvidence(tmp_path)
        assert [each.at for each in store.read("r-0001")] == [0.0, 1.0]
        assert store.digest("r-0001") == hashes[1]
        assert store.append("r-0001", sample(2.0)) == hashes[2]
        assert path.read_bytes() == whole


def test_a_last_line_the_file_system_never_filled_is_dropped(tmp_path: Path) -> None:
    path, hashes = _written(tmp_path, 2)
    path.write_bytes(path.read_bytes() + b"\0" * 40 + b"]}}\n")
    assert FileEvidence(tmp_path).digest("r-0001") == hashes[1]


@pytest.mark.parametrize("left", [b"", b"{", header("r-0001")[:-1]])
def test_a_torn_header_is_written_again(tmp_path: Path, left: bytes) -> None:
    path, hashes = _written(tmp_path / "whole", 1)
    torn = tmp_path / "torn" / "r-0001.jsonl"
    torn.parent.mkdir()
    torn.write_bytes(left)
    store = FileEvidence(torn.parent)
    assert list(store.read("r-0001")) == []
    assert store.append("r-0001", sample(0.0)) == hashes[0]
    assert torn.read_bytes() == path.read_bytes()


def test_a_torn_middle_is_an_error_that_names_the_line(tmp_path: Path) -> None:
    path, _ = _written(tmp_path, 3)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([lines[0], lines[1], lines[2][:-10] + b"\n", lines[3]]))
    with pytest.raises(IntegrityError, match="evidence of r-0001, line 3"):
        FileEvidence(tmp_path).read("r-0001")
    with pytest.raises(IntegrityError, match="line 3"):
        FileEvidence(tmp_path).append("r-0001", sample(9.0))


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    path, _ = _written(tmp_path / "evidence", 1)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("run", ["", "..", "../x", "a/b", ".hidden", "x" * 200, "a\nb"])
def test_a_run_cannot_name_a_path(tmp_path: Path, run: str) -> None:
    with pytest.raises(ValueError, match="cannot name a run"):
        FileEvidence(tmp_path).append(run, sample(1.0))


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"[]",
        b"{}",
        b'{"at":1}',
        b'{"at":"x","weight":1,"canary":null,"stable":null}',
        b'{"at":1,"weight":1,"canary":{},"stable":null}',
        b'{"at":1,"weight":1,"canary":{"seen":1,"series":{"a":{"e":{"p":[1]}}}},"stable":null}',
        b"[" * 100_000,
        b"\xff",
    ],
)
def test_what_is_no_sample_is_a_value_error(line: bytes) -> None:
    with pytest.raises(ValueError):
        decode_sample(line)
