from __future__ import annotations

import errno
from pathlib import Path

import pytest

from croupier.adapters import files
from croupier.adapters.traffic import envoy_files
from croupier.adapters.traffic.envoy_files import EnvoyFiles, Record
from croupier.errors import Unreachable


@pytest.fixture
def edge(tmp_path: Path) -> EnvoyFiles:
    edge = EnvoyFiles(tmp_path)
    edge.prepare()
    return edge


def test_an_equal_file_is_not_written_again(edge: EnvoyFiles) -> None:
    assert edge.put("cds.json", {"version_info": "1"})
    before = (edge.watched / "cds.json").stat().st_ino
    assert not edge.put("cds.json", {"version_info": "1"})
    assert (edge.watched / "cds.json").stat().st_ino == before


def test_files_are_for_their_owner_only(edge: EnvoyFiles) -> None:
    edge.put("cds.json", {})
    edge.save("bets", Record())
    assert {path.stat().st_mode & 0o777 for path in edge.watched.parent.rglob("*.json")} == {0o600}


def test_a_failed_write_leaves_the_old_file_and_no_rest(edge: EnvoyFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    edge.put("cds.json", {"version_info": "1"})

    def fail(source: str, target: Path) -> None:
        raise OSError(errno.EIO, "the disk is broken")

    monkeypatch.setattr(files.os, "rename", fail)
    with pytest.raises(Unreachable, match="the disk is broken"):
        edge.put("cds.json", {"version_info": "2"})
    assert [path.name for path in edge.watched.iterdir()] == ["cds.json"]
    assert b'"1"' in (edge.watched / "cds.json").read_bytes()


def test_records_outlast_a_power_cut_and_nobody_waits_for_the_disk_before_envoy_gets_a_file(
    edge: EnvoyFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    monkeypatch.setattr(files.os, "fsync", synced.append)
    edge.put("rds-public.json", {"version_info": "1"})
    assert not synced
    edge.save("bets", Record())
    assert len(synced) == 2, "the file, and its name in the directory"


def test_on_a_full_disk_the_reserve_pays_for_the_way_back(edge: EnvoyFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    reserve = edge.watched.parent / "reserve"
    real = envoy_files.replace_file

    def full_while_the_reserve_lies_there(path: Path, data: bytes, *, durable: bool) -> None:
        if reserve.exists():
            raise OSError(errno.ENOSPC, "No space left on device")
        real(path, data, durable=durable)

    monkeypatch.setattr(envoy_files, "replace_file", full_while_the_reserve_lies_there)
    assert edge.put("rds-public.json", {"version_info": "back"})
    monkeypatch.undo()
    edge.prepare()
    assert reserve.stat().st_size == envoy_files.RESERVE_BYTES


def test_a_record_that_somebody_wrote_over_is_named(edge: EnvoyFiles) -> None:
    (edge.watched.parent / "splits" / "bets.json").write_text("{}x")
    with pytest.raises(Unreachable, match=r"splits/bets\.json is not what we wrote"):
        edge.records()
