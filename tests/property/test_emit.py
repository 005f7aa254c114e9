"""Whatever is written, both readers of YAML read back."""

from __future__ import annotations

import yaml
from hypothesis import given
from hypothesis import strategies as st
from tests.support.nasty import NASTY

from croupier.core.render.emit import document
from croupier.spec.yaml12 import parse

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30) | st.sampled_from(NASTY)
keys = texts.filter(lambda text: len(text) < 20)
leaves = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts
trees = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(keys, inner, max_size=4), max_leaves=12
)


@given(st.dictionaries(keys, trees, max_size=5))
def test_any_value_is_read_back_by_both_readers(value: dict[str, object]) -> None:
    written = document(value)
    assert yaml.load(written, Loader=yaml.CSafeLoader) == value
    if value:
        assert parse(written, "x")[0].value == value
