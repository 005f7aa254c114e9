from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from croupier.model.history import HistoryRecord


class HistoryStore(Protocol):
    """How services usually do, one record each, kept over the end of the process. Nothing that a verdict was reached
    on: that is in the journal. May block."""

    def services(self) -> Sequence[str]:
        """Of which services something is kept, by name. Raises ``Unreachable`` when that cannot be read."""
        ...

    def load(self, service: str) -> HistoryRecord | None:
        """None where nothing is kept, and where it is not sound, which is said in the log: a history can be learned
        again. Raises ``Unreachable`` when it cannot be read."""
        ...

    def save(self, record: HistoryRecord) -> None:
        """Take the place of the service's record, whole or not at all. Raises ``Unreachable``; the old one stands."""
        ...

    def forget(self, service: str) -> None:
        """Nothing is kept of the service any more; one that is not known changes nothing. Raises ``Unreachable``."""
        ...
