"""Journal and evidence in memory: for tests and dry runs. They pass the same contract tests as the durable ones."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator, Sequence

from croupier.adapters.journal.chain import EMPTY, Head, Row, entry_of, genuine, seal, walk
from croupier.adapters.journal.checkpoint import new_signer
from croupier.adapters.journal.codec import decode_sample, encode_sample, header
from croupier.adapters.journal.verification import verify_rows
from croupier.errors import IntegrityError, Unreachable
from croupier.model.evidence import Sample
from croupier.model.journal import Draft, Entry
from croupier.ports.journal import EvidenceStore


class MemoryJournal:
    """A journal that lasts as long as the object. A test that "kills" the desk keeps it for the next one."""

    def __init__(self) -> None:
        self.full = False
        """True: the disk is full. Appends raise ``Unreachable``, entries for the way back excepted."""
        self._lock = threading.Lock()
        """Two threads that read the same head would make the chain fork."""
        self._rows: list[Row] = []
        self._signer = new_signer()
        self._notes: tuple[str, ...] = ()

    def append(self, drafts: Sequence[Draft], *, way_back: bool = False) -> Sequence[Entry]:
        """See ``Journal.append``."""
        if not drafts:
            return ()
        if self.full and not way_back:
            raise Unreachable("the journal cannot be written: disk full")
        with self._lock:
            rows = seal(drafts, _head(self._rows))
            self._rows.extend(rows)
            self._notes = (self._signer.sign(Head(rows[-1].seq, rows[-1].hash)),)
        return tuple(map(entry_of, rows))

    def read(self, *, after: int = 0, subject: str | None = None) -> Iterator[Entry]:
        """See ``Journal.read``."""
        for row in walk(tuple(self._rows[after:]), _head(self._rows[max(after - 1, 0) : after])):
            if subject is None or row.subject == subject:
                yield entry_of(row)

    def newest(self, kind: str, subject: str) -> Entry | None:
        """See ``Journal.newest``."""
        found = [row for row in self._rows if (row.kind, row.subject) == (kind, subject)]
        return entry_of(genuine(found[-1])) if found else None

    def verify(self, *, evidence: EvidenceStore | None = None) -> int:
        """See ``Journal.verify``; with ``evidence``, the hashes that verdicts name are checked as well."""
        return verify_rows(self._rows, self._notes, self._signer.public_key, evidence).size


def _head(rows: Sequence[Row]) -> Head:
    return Head(rows[-1].seq, rows[-1].hash) if rows else EMPTY


class MemoryEvidence:
    """Evidence as encoded lines, so that what comes back is what a file would give back."""

    def __init__(self) -> None:
        self._lines: dict[str, list[bytes]] = {}

    def append(self, run: str, sample: Sample) -> str:
        """See ``EvidenceStore.append``."""
        lines = self._lines.setdefault(run, [header(run)])
        if len(lines) == 1 or sample.at > decode_sample(lines[-1]).at:
            lines.append(encode_sample(sample))
        return self.digest(run)

    def read(self, run: str) -> Sequence[Sample]:
        """See ``EvidenceStore.read``."""
        return [decode_sample(line) for line in self._lines.get(run, [])[1:]]

    def digest(self, run: str, *, count: int | None = None) -> str:
        """See ``EvidenceStore.digest``."""
        hashes = self.digests(run)
        if count is not None and count >= len(hashes):
            raise IntegrityError(f"evidence of {run} has {len(hashes) - 1} samples, not {count}")
        return hashes[-1 if count is None else count]

    def digests(self, run: str) -> Sequence[str]:
        """See ``EvidenceStore.digests``."""
        running = hashlib.sha256()
        hashes: list[str] = []
        for line in self._lines.get(run, [header(run)]):
            running.update(line)
            hashes.append(running.hexdigest())
        return hashes
