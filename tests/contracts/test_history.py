"""What every store of histories keeps to."""

from __future__ import annotations

from pathlib import Path

import pytest

from croupier.adapters.history.files import FileHistory
from croupier.adapters.history.memory import MemoryHistory
from croupier.model.history import Chapter, HistoryRecord, SeriesRecord, Stretch
from croupier.ports.history import HistoryStore


@pytest.fixture(params=["memory", "files"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> HistoryStore:
    return MemoryHistory() if request.param == "memory" else FileHistory(tmp_path / "state" / "history")


def record(service: str = "payments-api", at: float = 1000.5) -> HistoryRecord:
    series = SeriesRecord(
        players=True,
        windows={"15": (Chapter(900.0, 0.1 + 0.2, 3.0, 7.0), Chapter(15.0, 0.0, 0.0, 0.0)), "900": ()},
        recent=(Stretch(970.0, 1000.0, 30.0, 1234.0, 5.0),),
    )
    return HistoryRecord(service=service, saved_at=at, series={"deposits:provider=psp-a": series})


def test_nothing_is_known_in_the_beginning(store: HistoryStore) -> None:
    assert list(store.services()) == []
    assert store.load("payments-api") is None


def test_records_come_back_as_they_were_by_service(store: HistoryStore) -> None:
    for service in ("payments-api", "identity.casino"):
        store.save(record(service))
    assert list(store.services()) == ["identity.casino", "payments-api"]
    assert store.load("payments-api") == record()


def test_a_record_takes_the_place_of_the_one_before(store: HistoryStore) -> None:
    store.save(record(at=1.0))
    store.save(record(at=2.0))
    assert store.load("payments-api") == record(at=2.0)


def test_what_is_forgotten_is_gone_and_forgetting_it_again_changes_nothing(store: HistoryStore) -> None:
    store.save(record("identity"))
    store.save(record())
    for _ in range(2):
        store.forget("identity")
    assert (store.load("identity"), list(store.services())) == (None, ["payments-api"])
