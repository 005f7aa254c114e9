"""Drafts, samples and journals for tests of the records."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Iterable
from pathlib import Path

from croupier.adapters.journal.chain import Row
from croupier.adapters.journal.packing import pack
from croupier.adapters.journal.reading import open_for_reading
from croupier.adapters.journal.sqlite import SqliteJournal
from croupier.model.evidence import ArmSample, Count, Sample, SeriesCounts, Spread
from croupier.model.journal import Draft


def draft(number: int, *, kind: str = "step.entered", subject: str = "r-0001") -> Draft:
    return Draft(kind, subject, 1_700_000_000.0 + number / 8, {"step": number, "name": f"step {number}"})


def sample(at: float, *, bad: float = 0.0) -> Sample:
    """Both arms at ``at``: the canary has a pod that is absent from this scrape, the stable arm no players."""
    canary = ArmSample(
        {
            "deposits": SeriesCounts(
                events={"pod-0": Count(100.0, bad), "pod-1": Count(math.nan, math.nan)},
                players={"pod-0": Count(40.0, bad)},
                spread=Spread(30.0, 120.0, 55.0, 31.0),
            )
        },
        players_seen=12,
        players_revision=3,
        violations={"posted-twice": bad},
    )
    stable = ArmSample({"latency:0.25": SeriesCounts(events={"pod-9": Count(1e6 + 0.1, 3.0)})})
    return Sample(at=at, weight=5, canary=canary, stable=stable)


def write_journal(path: Path, count: int) -> None:
    """A closed journal of ``count`` entries, one append each."""
    with SqliteJournal(path) as journal:
        for number in range(1, count + 1):
            journal.append([draft(number)])


def raw(path: Path) -> sqlite3.Connection:
    """The journal's database as somebody with the file and no scruples opens it: the triggers are gone."""
    connection = sqlite3.connect(path)
    triggers = connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for (name,) in triggers:
        connection.execute(f"DROP TRIGGER {name}")
    connection.commit()
    return connection


def rows_of(path: Path) -> list[Row]:
    with open_for_reading(path) as reader, reader.snapshot() as (rows, _):
        return list(rows)


def insert_rows(connection: sqlite3.Connection, rows: Iterable[Row]) -> None:
    """As the format of the file has them."""
    connection.executemany(
        "INSERT INTO entries VALUES (?, ?, ?, ?, ?)", [(*row[:4], pack(row.hash, row.body)) for row in rows]
    )
