from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from croupier.model.evidence import Sample
from croupier.model.journal import Draft, Entry


class Journal(Protocol):
    """The chain of decisions. One writer; a second one is refused with ``Conflict`` when it opens."""

    def append(self, drafts: Sequence[Draft], *, way_back: bool = False) -> Sequence[Entry]:
        """Write all drafts in one durable commit, in order, or none.

        ``way_back`` entries may use the preallocated emergency segment when the disk is full, so that a rollback never
        waits for space. Raises ``Unreachable`` when nothing could be written.
        """
        ...

    def read(self, *, after: int = 0, subject: str | None = None) -> Iterator[Entry]:
        """Entries with ``seq`` > ``after``, in order; of one subject, or all.

        Raises ``IntegrityError`` at the first that is not as it was written: nobody acts on what was changed.
        """
        ...

    def newest(self, kind: str, subject: str) -> Entry | None:
        """The newest entry of a kind and subject; None when there is none. Raises as ``read`` does."""
        ...

    def verify(self) -> int:
        """Check chain, checkpoints and snapshots; returns the number of entries. ``IntegrityError`` names the first bad
        one."""
        ...


class EvidenceStore(Protocol):
    """One append-only segment of samples per run, apart from the journal, chained into it by hash at each verdict."""

    def append(self, run: str, sample: Sample) -> str:
        """Write durably; returns the running SHA-256 (hex) over the segment so far. A sample not newer than the last
        one is ignored, so that a repeated round changes nothing."""
        ...

    def read(self, run: str) -> Sequence[Sample]:
        """All samples of a run, oldest first; empty for an unknown run. Raises ``IntegrityError`` for a torn middle; a
        torn last line (a crash while writing) is dropped."""
        ...

    def digest(self, run: str, *, count: int | None = None) -> str:
        """Running hash after ``count`` samples, or after all."""
        ...

    def digests(self, run: str) -> Sequence[str]:
        """Running hashes after 0, 1, 2, … samples; never empty. For checking many verdicts in one read."""
        ...
