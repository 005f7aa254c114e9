"""Histories in memory: they live as long as whoever holds the store."""

from __future__ import annotations

from collections.abc import Sequence

from croupier.model.history import HistoryRecord


class MemoryHistory:
    def __init__(self) -> None:
        self.records: dict[str, HistoryRecord] = {}

    def services(self) -> Sequence[str]:
        return sorted(self.records)

    def load(self, service: str) -> HistoryRecord | None:
        return self.records.get(service)

    def save(self, record: HistoryRecord) -> None:
        self.records[record.service] = record

    def forget(self, service: str) -> None:
        self.records.pop(service, None)
