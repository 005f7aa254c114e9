"""docs/reference/journal.md names every kind of entry and every field that the code writes."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path

import pytest

from croupier.core import group, run
from croupier.core.phases import Event
from croupier.model.journal import Entry

PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "journal.md").read_text()
KINDS = {
    *re.findall(r"^    ([a-z]+(?:\.[a-z-]+)?) {2,}", f"{run.__doc__}{group.__doc__}", re.MULTILINE),
    *map(str, Event),
    "desk.started",
}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_every_kind_of_entry_is_explained(kind: str) -> None:
    assert f"`{kind}`" in PAGE


@pytest.mark.parametrize("name", [field.name for field in fields(Entry)])
def test_every_field_of_an_entry_is_explained(name: str) -> None:
    assert f"| `{name}` |" in PAGE
