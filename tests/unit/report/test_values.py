"""Plain dataclasses as JSON: what is written is what json.md promises, and can be read by anybody."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from croupier.model.policy import ExportReport, NotExported, SchemaView, UnknownKindView
from croupier.report.values import as_json, in_json, json_text


@dataclass(frozen=True)
class _Any:
    some_value: object


@pytest.mark.parametrize(("name", "shown"), [("rule", "rule"), ("api_version", "apiVersion"), ("a_b_c", "aBC")])
def test_fields_are_called_in_json_as_they_are_everywhere_else(name: str, shown: str) -> None:
    assert in_json(name) == shown


VIEWS = [
    SchemaView(kubernetes="1.37", objects=3, unknown=(UnknownKindView(api_version="a/v1", kind="Ä", objects=1),)),
    SchemaView(kubernetes="1.37", objects=0, unknown=()),
    ExportReport(
        exported=("a",),
        left=(NotExported(rule="b", why='"quoted"\n'),),
        objects=({"kind": "X", "empty": {}, "n": None, "f": 1.5, "list": [True, False, {"a": [1]}]},),
    ),
]


@pytest.mark.parametrize("view", VIEWS)
def test_a_view_is_written_as_the_standard_library_writes_it(view: object) -> None:
    assert json_text(view) == json.dumps(as_json(view), ensure_ascii=False, indent=2)


def test_a_mapping_of_views_is_written_too() -> None:
    assert json.loads(json_text({"schemas": [VIEWS[0]]})) == {"schemas": [as_json(VIEWS[0])]}


def test_what_is_no_text_can_still_be_printed() -> None:
    said = json_text(_Any("a file called \udcff, and ä"))
    assert json.loads(said.encode()) == {"someValue": "a file called \udcff, and ä"}
