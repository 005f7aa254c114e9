"""The definitions of Strimzi, made by its own generator where that runs, and by the trimmed schema elsewhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support import crds
from tools import strimzi
from tools.kubernetes_schemas import DATA

from croupier.core.schemas.definitions import from_definitions


def _java(folder: Path, version: str) -> Path:
    made = folder / "bin" / "java"
    made.parent.mkdir(parents=True)
    made.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\"' >&2\n")
    made.chmod(0o755)
    return made


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setattr(strimzi, "_JVMS", tmp_path)
    monkeypatch.setattr(strimzi.shutil, "which", lambda name: None)
    strimzi.java.cache_clear()
    yield tmp_path
    strimzi.java.cache_clear()


def test_a_java_that_is_too_old_is_passed_over(machine: Path) -> None:
    _java(machine / "jdk-17", "17.0.15")
    new = _java(machine / "jdk-25", "25.0.1")
    assert strimzi.java() == new


def test_without_one_that_is_new_enough_it_says_what_is_missing(machine: Path) -> None:
    _java(machine / "jdk-17", "17.0.15")
    assert not strimzi.is_there()
    with pytest.raises(RuntimeError, match="Java 21"):
        strimzi.definitions()


def test_trimmed_definitions_say_what_the_schemas_say(machine: Path) -> None:
    """Where the generator does not run, a test on a cluster applies these."""
    crds.strimzi.cache_clear()
    known = json.loads((DATA / "operators.json").read_text())["kinds"]
    made = from_definitions(crds.strimzi())
    crds.strimzi.cache_clear()
    assert {f"{version} {kind}": schema for (version, kind), schema in made.items()} == {
        name: schema for name, schema in known.items() if name.startswith("kafka.strimzi.io/")
    }
