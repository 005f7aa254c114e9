"""Changes of YAML text: exactly what is asked, every other byte as it was; or refused."""

from __future__ import annotations

import pytest

from croupier.model.edit import Append, Edit, Put, Rename, Replace
from croupier.spec.yaml_edit import Unfit, edited

PUT = Put(("a", "b", "c"), False)


@pytest.mark.parametrize(
    ("before", "edit", "after"),
    [
        # block mappings: behind what is there, with its comment, at its column
        (
            "a:\n  b:\n    x: 1 # one\n    # two\nz: 1\n",
            PUT,
            "a:\n  b:\n    x: 1 # one\n    c: false\n    # two\nz: 1\n",
        ),
        ("a:\n  x: 1\n", PUT, "a:\n  x: 1\n  b:\n    c: false\n"),
        ("z: 1\n", PUT, "z: 1\na:\n  b:\n    c: false\n"),
        ("z: ü", PUT, "z: ü\na:\n  b:\n    c: false"),
        ("a:\n  b:\n      x: [1,\n  2]\n", PUT, "a:\n  b:\n      x: [1,\n  2]\n      c: false\n"),
        ("a:\n  b:\n    x: 'p\n      q'\n", PUT, "a:\n  b:\n    x: 'p\n      q'\n    c: false\n"),
        (
            "a:\n  b:\n    x:\n    - 1\n    - y: 2\nz: 1\n",
            PUT,
            "a:\n  b:\n    x:\n    - 1\n    - y: 2\n    c: false\nz: 1\n",
        ),
        ("a:\n  b:\n    x:\n", PUT, "a:\n  b:\n    x:\n    c: false\n"),
        # behind an entry that does not end in text of several lines
        (
            "a:\n  b:\n    x: 1\n    y: |\n      q\n\nz: 1\n",
            PUT,
            "a:\n  b:\n    x: 1\n    c: false\n    y: |\n      q\n\nz: 1\n",
        ),
        # lists: the item's own column
        ("a:\n- x: 1\n- y: 2\n", Put(("a", 0, "c"), True), "a:\n- x: 1\n  c: true\n- y: 2\n"),
        ("a:\n  -   x: 1\n", Put(("a", 0, "c"), ("ALL",)), "a:\n  -   x: 1\n      c: [ALL]\n"),
        # nothing and empty
        ("a:\n  b:\n  x: 1\n", PUT, "a:\n  b: {c: false}\n  x: 1\n"),
        ("a:\n  b: ~ # none\n", PUT, "a:\n  b: {c: false} # none\n"),
        ("a:\n  b: {} # none\n", PUT, "a:\n  b: {c: false} # none\n"),
        # flow and JSON
        ("a: {b: {x: 1}, y: 2}\n", PUT, "a: {b: {x: 1, c: false}, y: 2}\n"),
        ("a: { b: { x: 1 } }\n", PUT, "a: { b: { x: 1, c: false } }\n"),
        ('{"a": {\n  "x": "ü"\n}}', PUT, '{"a": {\n  "x": "ü", "b": {"c": false}\n}}'),
        ('{"a": {"b": {}}}', PUT, '{"a": {"b": {"c": false}}}'),
        # an anchor beside it is no matter
        ("q: &q 1\na:\n  b:\n    x: *q\n", PUT, "q: &q 1\na:\n  b:\n    x: *q\n    c: false\n"),
        ("q: &q 1\na: {b: {x: *q}}\n", PUT, "q: &q 1\na: {b: {c: false, x: *q}}\n"),
        # lists, strings, names
        ("a:\n- X # x\nz: 1\n", Append(("a",), "ALL"), "a:\n- X # x\n- ALL\nz: 1\n"),
        ("a:\n    - X", Append(("a",), "ALL"), "a:\n    - X\n    - ALL"),
        ("a: [ X ]\n", Append(("a",), "ALL"), "a: [ X, ALL ]\n"),
        ('{"a": ["X"]}', Append(("a",), "ALL"), '{"a": ["X", "ALL"]}'),
        ("a: v1 # old\n", Replace(("a",), "v2"), "a: v2 # old\n"),
        ("a: 'v1'\n", Replace(("a",), "v2"), "a: 'v2'\n"),
        ("a: [p, all]\n", Replace(("a", 1), "ALL"), "a: [p, ALL]\n"),
        ("a:\n  b: 1 # one\n  c: 2\n", Rename(("a", "b"), "d"), "a:\n  d: 1 # one\n  c: 2\n"),
        ('{"a": {"b": 1}}', Rename(("a", "b"), "d"), '{"a": {"d": 1}}'),
    ],
)
def test_exactly_what_is_asked_is_changed(before: str, edit: Edit, after: str) -> None:
    assert edited(before, [edit]) == after


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        ("q: &q {b: {x: 1}}\na: *q\n", PUT),
        ("q:\n  b: &q\n    x: 1\na:\n  b: *q\n", PUT),
        ("a:\n  b: &q\n    x: 1\nz: *q\n", PUT),
        ("q: &q {b: {x: 1}}\na:\n  <<: *q\n", PUT),
        ("q: &q {b: {}}\na:\n  <<: *q\n", PUT),
        ("a:\n  b:\n    c: true\n", PUT),
        ("a:\n  b: text\n", PUT),
        ("a:\n  b:\n    y: |\n      q\n", PUT),
        ('{"a":\t{"b":\n\t{"x": 1}}}', Rename(("a", "x"), "d")),
        ("a: |\n  v1\n", Replace(("a",), "v2")),
        ("a: {b}\n", PUT),
        ("a: []\n", Append(("a",), "ALL")),
    ],
)
def test_what_cannot_be_changed_alone_is_refused(text: str, edit: Edit) -> None:
    with pytest.raises(Unfit):
        edited(text, [edit])


def test_changes_follow_one_another() -> None:
    both = [Put(("s", "x", "type"), "R"), Put(("s", "z"), True)]
    assert edited("a: 1\n", both) == "a: 1\ns:\n  x:\n    type: R\n  z: true\n"
