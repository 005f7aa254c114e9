"""Server-side apply as a rule on values: what is put comes back, what is removed leaves nothing behind."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from croupier.adapters.kubernetes_merge import get, leaves_of, put, remove, spell

SCALARS = st.none() | st.booleans() | st.integers(0, 9) | st.sampled_from(["", "a"])
NAMES = st.sampled_from(["a", "b", "spec", "selector", "args"])


def keyed(key: str, inner: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Items of a list that are told apart by ``key``."""
    items = st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2)
    return st.dictionaries(st.sampled_from(["x", "y", "z"]), items, min_size=1, max_size=3).map(
        lambda found: [{key: name, **item} for name, item in found.items()]
    )


VALUES = st.recursive(
    SCALARS | st.lists(SCALARS, max_size=3),
    lambda inner: (
        st.dictionaries(NAMES, inner, max_size=3)
        | st.builds(lambda items: {"containers": items}, keyed("name", inner))
        | st.builds(lambda items: {"conditions": items}, keyed("type", inner))
    ),
    max_leaves=12,
)
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=4)


@given(OBJECTS)
def test_an_object_is_the_sum_of_its_leaves(obj: dict[str, Any]) -> None:
    made: dict[str, Any] = {}
    for path, value in leaves_of(obj).items():
        if path:  # an empty object has one leaf: itself
            put(made, path, value)
            assert get(made, path) == value
    assert made == obj


@given(OBJECTS, OBJECTS)
def test_what_one_applies_and_removes_leaves_the_other_as_it_was(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """As long as they hold different fields."""
    base = {"theirs": theirs} if theirs else {}
    obj = copy.deepcopy(base)
    leaves = leaves_of({"ours": ours})
    for path, value in leaves.items():
        put(obj, path, value)
    remove(obj, leaves)
    assert obj == base


def test_ports_are_told_apart_by_number_and_protocol() -> None:
    obj: dict[str, Any] = {"spec": {"ports": [{"port": 53, "protocol": "UDP", "name": "u"}, {"port": 53, "name": "t"}]}}
    paths = leaves_of(obj)
    assert len({path[:3] for path in paths}) == 2
    remove(obj, [path for path in paths if path[2].key[1] == ("protocol", "UDP")])  # type: ignore[union-attr]
    assert obj == {"spec": {"ports": [{"port": 53, "name": "t"}]}}


def test_paths_are_spelled_as_api_servers_do() -> None:
    obj = {"spec": {"containers": [{"name": "api", "image": "api:1"}]}}
    assert [spell(path) for path in leaves_of(obj)] == [
        '.spec.containers[name="api"].name',
        '.spec.containers[name="api"].image',
    ]
