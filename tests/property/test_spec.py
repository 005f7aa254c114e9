"""Whatever stands in a file, a loader gives a value or ``SpecError`` with places inside the file."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from croupier.errors import SpecError
from croupier.spec.documents import load_descriptor, load_release, load_settings
from croupier.spec.platform import load_described, load_platform

LOADERS = [load_descriptor, load_platform, load_release, load_settings]
KEYS = (
    *("service", "digest", "steps", "policy", "gates", "signal", "margin", "ratio", "points", "services", "name"),
    *("replicas", "routes", "dependsOn", "objectives", "kind", "traffic", "workloads", "metrics", "urls", "state"),
    *("platform", "label", "build", "brands", "markets", "regions", "cells", "layers", "at", "set", "unset", "presets"),
    *(
        "defaults",
        "when",
        "tier",
        "market",
        "config",
        "scaling",
        "min",
        "egress",
        "add",
        "remove",
        "residency",
        "locks",
    ),
)
VALUES = ("envoy", "deposits", "latency", "sha256:", "5", "100", "101", "-1", "1e999", ".nan", "no", "true", "~")
SIGNS = [*"*&!|>-?:,[]{}#%@`'\"\t\n\u2028\x85\ufeff", "\r\n", "---", "...", "<<", "&a", "*a", "!!x", "é", "😀", ""]
WORDS = [*KEYS, *VALUES, *SIGNS]

fragments = st.lists(st.sampled_from([*WORDS, " ", "\n", "\n  ", ": ", "- "]), max_size=40).map("".join)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(WORDS) | st.text(max_size=6)
trees = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=4), inner, max_size=5)
    ),
    max_leaves=15,
)
contents = (
    st.binary(max_size=200)
    | st.text(max_size=200).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | fragments.map(str.encode)
    | trees.map(lambda tree: json.dumps(tree).encode())
)


@pytest.mark.parametrize("load", LOADERS, ids=lambda load: load.__name__)
@given(contents)
def test_any_file_gives_a_value_or_problems_with_places(load: Callable[[Path], Any], content: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "file.yaml"
        path.write_bytes(content)
        try:
            load(path)
        except SpecError as error:
            assert error.problems
            for problem in error.problems:
                assert problem.file == str(path)
                assert problem.line >= 1
                assert problem.column >= 1
                assert problem.message


@given(contents, contents)
def test_any_platform_gives_cells_or_problems_in_its_files(one: bytes, other: bytes) -> None:
    with tempfile.TemporaryDirectory() as directory:
        Path(directory, "a.yaml").write_bytes(one)
        Path(directory, "b.yaml").write_bytes(other)
        try:
            load_described(Path(directory))
        except SpecError as error:
            assert {problem.file for problem in error.problems} <= {f"{directory}/a.yaml", f"{directory}/b.yaml"}
            assert all(problem.line >= 1 for problem in error.problems)
