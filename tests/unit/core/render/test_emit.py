"""What is written is read back as what it was, by whoever reads it."""

from __future__ import annotations

import math

import pytest
import yaml
from tests.support.nasty import NASTY

from croupier.core.render.emit import document, documents


@pytest.mark.parametrize("text", NASTY, ids=ascii)
def test_no_nasty_string_is_misread_by_yaml_1_1(text: str) -> None:
    """Prevents: Norway as a boolean, a build id as a number (REQUIREMENTS S14.11)."""
    value = {"plain": text, "list": [text], "deep": {"list": [{"key": text}]}}
    assert yaml.load(document(value), Loader=yaml.CSafeLoader) == value
    if text and len(text) < 100:
        assert yaml.load(document({text: 1}), Loader=yaml.CSafeLoader) == {text: 1}


def test_a_change_of_one_value_changes_one_line() -> None:
    before = document({"a": {"b": [1, {"c": "x", "d": 2}]}, "e": "f"}).splitlines()
    after = document({"a": {"b": [1, {"c": "y", "d": 2}]}, "e": "f"}).splitlines()
    assert [one for one, other in zip(before, after, strict=True) if one != other] == ["  - c: x"]


def test_lists_of_lists_and_empty_things_keep_their_form() -> None:
    assert document({"a": [[1, [2]], [], {}, {"b": []}]}) == "a:\n- - 1\n  - - 2\n- []\n- {}\n- b: []\n"


def test_a_text_of_several_lines_is_a_block() -> None:
    assert document({"a": "one\n\n  two\n", "b": "one\ntwo"}) == "a: |\n  one\n\n    two\nb: |-\n  one\n  two\n"


def test_documents_are_told_apart() -> None:
    assert documents([{"a": 1}, {"b": 2}]) == "---\na: 1\n---\nb: 2\n"


@pytest.mark.parametrize("value", [math.nan, math.inf, b"", "\ud800"], ids=ascii)
def test_what_yaml_cannot_say_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"not a|half a"):
        document({"a": value})
