"""Files of histories: what is broken costs that history only, and what cannot be written leaves the old one."""

from __future__ import annotations

import errno
import json
from pathlib import Path

import pytest

from croupier.adapters.history import files
from croupier.adapters.history.files import FileHistory
from croupier.errors import Unreachable
from croupier.model.history import HistoryRecord


@pytest.fixture
def store(tmp_path: Path) -> FileHistory:
    store = FileHistory(tmp_path / "history")
    for service in ("identity", "payments-api"):
        store.save(HistoryRecord(service=service, saved_at=1.0, series={}))
    return store


BROKEN = {
    "not JSON": '{"format": 1, "serv',
    "of another format": json.dumps({"format": 2, "service": "identity", "savedAt": 1.0, "series": {}}),
    "with a figure that is none": json.dumps({"format": 1, "service": "identity", "savedAt": "NaN", "series": {}}),
    "of another service": json.dumps({"format": 1, "service": "other", "savedAt": 1.0, "series": {}}),
    "with a negative count": json.dumps(
        {
            "format": 1,
            "service": "identity",
            "savedAt": 1.0,
            "series": {"errors": {"players": False, "windows": {"15": [[900, -1, 0, 0]]}, "recent": []}},
        }
    ),
}


@pytest.mark.parametrize("text", BROKEN.values(), ids=list(BROKEN))
def test_a_broken_file_is_left_out_and_named(
    store: FileHistory, tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "history" / "identity.json").write_text(text)
    assert store.load("identity") is None
    assert store.load("payments-api") is not None
    assert "identity.json is not used" in caplog.text
    store.save(HistoryRecord(service="identity", saved_at=2.0, series={}))
    assert store.load("identity") is not None


def test_a_full_disk_leaves_the_old_record(store: FileHistory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(files, "replace_file", full)
        with pytest.raises(Unreachable, match="identity cannot be written: No space left on device"):
            store.save(HistoryRecord(service="identity", saved_at=2.0, series={}))
    kept = store.load("identity")
    assert kept is not None
    assert kept.saved_at == 1.0


def test_a_folder_that_is_a_file_is_unreachable(tmp_path: Path) -> None:
    (tmp_path / "history").write_text("")
    with pytest.raises(Unreachable, match="cannot be written"):
        FileHistory(tmp_path / "history").save(HistoryRecord(service="identity", saved_at=2.0, series={}))


def test_files_are_for_the_user_only(store: FileHistory, tmp_path: Path) -> None:
    folder = tmp_path / "history"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
