"""Rows are kept in few bytes."""

from __future__ import annotations

import hashlib
import sqlite3
import zlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.records import rows_of, write_journal

from croupier.adapters.journal.packing import DICTIONARY, LARGEST_BODY, pack, unpack
from croupier.adapters.journal.reading import open_for_reading
from croupier.adapters.journal.sqlite import SqliteJournal
from croupier.errors import UsageError
from croupier.model.journal import Draft

HASH = hashlib.sha256(b"anything").hexdigest()


@given(st.binary(max_size=2000))
def test_what_is_packed_comes_back_to_the_last_byte(body: bytes) -> None:
    assert unpack(pack(HASH, body)) == (HASH, body)


def test_the_dictionary_is_the_one_that_journals_were_written_with() -> None:
    """Another one would make every journal unreadable: a better one needs a format of its own."""
    assert hashlib.sha256(DICTIONARY).hexdigest() == "86a224fb9bf790c0a34781a9aae7e5647be8080016c986ad3275194cffb99256"


def test_a_body_that_would_fill_the_memory_is_not_unpacked() -> None:
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=DICTIONARY)
    bomb = deflate.compress(bytes(LARGEST_BODY + 1)) + deflate.flush()
    with pytest.raises(ValueError, match="cannot be unpacked"):
        unpack(bytes.fromhex(HASH) + bomb)


@pytest.mark.parametrize("version", [1, 2, 4])
def test_a_journal_of_another_format_is_not_opened(tmp_path: Path, version: int) -> None:
    path = tmp_path / "journal.sqlite"
    write_journal(path, 1)
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {version}")
    connection.close()
    with pytest.raises(UsageError, match=f"has format {version}"):
        SqliteJournal(path)
    with open_for_reading(path) as reader, pytest.raises(UsageError, match=f"has format {version}"):
        reader.verify()


def test_what_the_hint_says_begins_a_new_journal_with_the_same_key(tmp_path: Path) -> None:
    path, old = tmp_path / "journal.sqlite", tmp_path / "old"
    write_journal(path, 3)
    key = (tmp_path / "key.pub").read_text()
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 2")
    connection.close()
    with pytest.raises(UsageError) as refused:
        SqliteJournal(path)
    assert "move journal.sqlite*, checkpoints and evidence out of the desk's folder" in refused.value.hint
    old.mkdir()
    for file in (*tmp_path.glob("journal.sqlite*"), tmp_path / "checkpoints"):
        file.rename(old / file.name)
    with SqliteJournal(path) as journal:
        (entry,) = journal.append([Draft("desk.started", "desk", 1.0, {})])
        assert entry.seq == 1
        assert journal.verify() == 1
    assert (tmp_path / "key.pub").read_text() == key


def test_a_journal_of_a_newer_croupier_is_left_to_it(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    write_journal(path, 1)
    connection = sqlite3.connect(path)
    connection.execute("PRAGMA user_version = 4")
    connection.close()
    with pytest.raises(UsageError) as refused:
        SqliteJournal(path)
    assert refused.value.hint == "a newer croupier wrote it: start that one"


def test_the_entries_of_a_release_take_a_fraction_of_what_they_say(tmp_path: Path) -> None:
    """A thousand live releases stay below 1 GB a day (docs/reference/measurements.md)."""
    verdict = {
        "against": -0.2467,
        "againstBar": 2,
        "code": "needs-time",
        "gates": [
            {
                "against": -0.2431,
                "againstBar": 2.301,
                "canary": {"bad": 0.135, "total": 135},
                "code": "needs-time",
                "dispersion": 1.05,
                "favour": 0.9155,
                "favourBar": 1.9031,
                "gate": gate,
                "message": f"{gate}: canary 0 of 135 players (0.10 %), stable 3 of 2,565 (0.10 %); about 140 s more",
                "needsSeconds": 140.01816326914349,
                "outcome": "inconclusive",
                "role": "required",
                "stable": {"bad": 2.565, "total": 2565},
                "unit": "players",
            }
            for gate in ("deposits", "errors", "latency")
        ],
        "needsSeconds": 140.01816326914349,
        "outcome": "inconclusive",
        "reason": "failed deposits: canary 0 of 135 players (0.10 %), stable 3 of 2,565 (0.10 %); about 140 s more",
    }
    body = {"evidence": {"samples": 10, "sha256": HASH}, "verdict": verdict, "weight": 5}
    path = tmp_path / "journal.sqlite"
    with SqliteJournal(path) as journal:
        journal.append([Draft("verdict", "r-0001", 1.0, body)])  # type: ignore[arg-type]
    (row,) = rows_of(path)
    connection = sqlite3.connect(path)
    ((kept,),) = connection.execute("SELECT length(packed) FROM entries").fetchall()
    connection.close()
    assert kept * 4 < len(row.body)
