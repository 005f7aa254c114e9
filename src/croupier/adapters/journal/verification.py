"""One way to verify a journal, wherever it is kept: in SQLite, in memory or in an export. Pure but for the evidence.

A snapshot is checked against a fold of all entries before it, so nothing rests on one that only a desk has vouched for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from croupier.adapters.journal.chain import EMPTY, Head, Row, broken, canonical, entry_of, walk
from croupier.adapters.journal.checkpoint import PublicKey
from croupier.core.roll import KINDS, SNAPSHOT, Roll
from croupier.errors import IntegrityError
from croupier.ports.journal import EvidenceStore


@dataclass(slots=True)
class _Claims:
    """Evidence hashes that entries name: run -> {number of samples: (SHA-256, seq of the first entry naming it)}."""

    by_run: dict[str, dict[int, tuple[str, int]]] = field(default_factory=dict)

    def note(self, row: Row) -> None:
        if b'"evidence"' not in row.body:
            return
        evidence = entry_of(row).body.get("evidence")
        if not isinstance(evidence, dict):
            return
        samples, sha256 = evidence.get("samples"), evidence.get("sha256")
        if not isinstance(samples, int) or not isinstance(sha256, str):
            raise broken(row.seq, "names evidence without samples and sha256")
        before, _ = self.by_run.setdefault(row.subject, {}).setdefault(samples, (sha256, row.seq))
        if before != sha256:
            raise broken(row.seq, f"names another evidence hash for {samples} samples than an entry before it")

    def check(self, store: EvidenceStore) -> None:
        for run, claims in self.by_run.items():
            hashes = store.digests(run)
            for samples, (sha256, seq) in sorted(claims.items()):
                if samples >= len(hashes):
                    raise broken(seq, f"saw {samples} samples of {run}; the evidence has {len(hashes) - 1}")
                if hashes[samples] != sha256:
                    raise broken(seq, f"saw other evidence of {run}: its first {samples} samples were changed since")


def verify_rows(
    rows: Iterable[Row], notes: Iterable[str], key: PublicKey, evidence: EvidenceStore | None = None
) -> Head:
    """Check chain, signed notes and, where a store is given, evidence; returns where the chain ends.

    ``notes``: all that are kept, in any order; one of them must vouch for the very last entry. Raises
    ``IntegrityError`` naming the first bad entry and what is wrong with it.
    """
    signed = _signed(notes, key)
    claims, roll = _Claims(), Roll()
    head, sound = EMPTY, 0
    for row in walk(rows):
        head = Head(row.seq, row.hash)
        if head.size in signed:
            if signed[head.size] != head.hash:
                raise broken(
                    sound + 1, f"it, or one up to {head.size}, was rewritten: the checkpoint signed another history"
                )
            sound = head.size
        claims.note(row)
        _check_roll(roll, row)
    last = max(signed, default=0)
    if last > head.size:
        raise broken(head.size + 1, f"cut off: entries up to {last} were signed, {head.size} are left")
    if last < head.size:
        raise broken(last + 1, "not vouched for by the journal's key: it was added by somebody else")
    if evidence is not None:
        claims.check(evidence)
    return head


def _check_roll(roll: Roll, row: Row) -> None:
    """Take in one more entry, or compare it, if it is a snapshot."""
    if row.kind in KINDS:
        roll.take(entry_of(row))
    elif row.kind == SNAPSHOT and row.body != canonical(roll.snapshot(row.seq - 1)):
        raise broken(row.seq, "the snapshot says other than the entries that it stands for")


def _signed(notes: Iterable[str], key: PublicKey) -> Mapping[int, str]:
    """Size -> hash of everything the key signed. Raises ``IntegrityError`` for a note that is not the key's."""
    signed: dict[int, str] = {}
    for note in notes:
        head = key.open(note)
        if signed.setdefault(head.size, head.hash) != head.hash:
            raise IntegrityError(f"two checkpoints for {head.size} entries differ: the key signed two histories")
    return signed
