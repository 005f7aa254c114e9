"""``kill -9`` of a desk in the middle of an append leaves a prefix that verifies, and nothing acknowledged is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from croupier.adapters.journal.evidence import FileEvidence
from croupier.adapters.journal.sqlite import SqliteJournal

WRITER = """
import itertools, sys
from pathlib import Path
from croupier.adapters.journal.evidence import FileEvidence
from croupier.adapters.journal.sqlite import SqliteJournal
from croupier.model.evidence import Sample
from croupier.model.journal import Draft

home, full = Path(sys.argv[1]), sys.argv[2] == "full"
journal, store = SqliteJournal(home / "journal.sqlite"), FileEvidence(home / "evidence")
count = len(store.read("r-0001"))
if full:
    journal._connection.execute("PRAGMA max_page_count = 1")
for number in itertools.count(count + 1):
    sha256 = store.append("r-0001", Sample(float(number), 5, None, None))
    body = {"evidence": {"samples": number, "sha256": sha256}, "padding": "x" * 500}
    drafts = [Draft("verdict", "r-0001", float(number), body), Draft("intent", "r-0001", float(number), {})]
    print(journal.append(drafts, way_back=full)[-1].seq, flush=True)
"""


@pytest.mark.parametrize("disk", ["free", "full"])
def test_a_killed_writer_leaves_a_journal_that_verifies_with_all_it_acknowledged(tmp_path: Path, disk: str) -> None:
    seeded = random.Random(11)
    acknowledged = 0
    for _ in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, tmp_path, disk], stdout=subprocess.PIPE, text=True
        ) as writer:
            assert writer.stdout is not None
            for _ in range(seeded.randrange(1, 25)):
                acknowledged = int(writer.stdout.readline())
            os.kill(writer.pid, signal.SIGKILL)
            rest = writer.stdout.read().split("\n")[:-1]
            acknowledged = int(rest[-1]) if rest else acknowledged
        evidence = FileEvidence(tmp_path / "evidence")
        with SqliteJournal(tmp_path / "journal.sqlite") as journal:
            kept = journal.verify(evidence=evidence)
            assert kept in (acknowledged, acknowledged + 2)  # written, but killed before it could say so
            assert [entry.seq for entry in journal.read()] == list(range(1, kept + 1))
            acknowledged = kept
