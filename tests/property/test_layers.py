"""No order of files, sections or layers changes what a platform comes to: specificity decides, or nobody does."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from croupier.errors import SpecError
from croupier.spec.form import PlatformFile
from croupier.spec.layers import BASES, layers_of
from croupier.spec.merge import merge
from croupier.spec.names import File
from croupier.spec.platform import load_described
from croupier.spec.yaml12 import parse

CELLS = [
    {"brand": b, "market": m, "region": r, "hostnames": [f"{b}.{m}.example"]}
    for b, m, r in ("axp", "axq", "bxp", "byq")
]
HEAD: list[dict[str, Any]] = [
    {"brands": {"a": {"title": "A"}, "b": {"title": "B"}}},
    {"markets": {"x": {"title": "X"}, "y": {"title": "Y", "locks": [{"path": "replicas", "atLeast": 3, "why": "w"}]}}},
    {"regions": {name: {"zones": ["z"], "gateway": {"name": "web"}} for name in "pq"}},
    {
        "providers": {
            n: {"kind": "psp", "region": "EU", "timeoutSeconds": 1, "endpoints": [{"host": "a.example"}]} for n in "kl"
        }
    },
    {"cells": CELLS},
    {
        "presets": [
            {"when": {"egress": name}, "set": {"drainSeconds": 10, "replicas": n}} for n, name in ((3, "k"), (4, "l"))
        ]
    },
    {
        "defaults": {
            "replicas": 3,
            "routes": [],
            "resources": {"cpu": "1", "memory": "1Gi"},
            "image": "i@sha256:" + "a" * 64,
        }
    },
    {
        "services": [
            {"name": "s", "layer": "api", "tier": "money"},
            {"name": "t", "layer": "service", "dependsOn": ["s"]},
        ]
    },
]
axes = st.fixed_dictionaries(
    {},
    optional={
        "brand": st.sampled_from("ab"),
        "market": st.sampled_from("xy"),
        "region": st.sampled_from("pq"),
        "service": st.sampled_from("st"),
    },
).filter(bool)
providers = st.lists(st.sampled_from("kl"), max_size=2, unique=True)
change = st.fixed_dictionaries({}, optional={"add": providers, "remove": providers}).filter(lambda of: any(of.values()))
objectives = st.lists(
    st.builds(lambda ratio: {"signal": "errors", "successRatio": ratio}, st.sampled_from([0.9, 0.99])),
    min_size=1,
    max_size=1,
)
parts = st.fixed_dictionaries(
    {},
    optional={
        "replicas": st.integers(2, 4),
        "drainSeconds": st.sampled_from([5, 10]),
        "config": st.dictionaries(st.sampled_from("AB"), st.sampled_from("12"), max_size=2),
        "egress": providers | change,
        "objectives": objectives | st.builds(lambda each: {"add": each}, objectives),
        "scaling": st.fixed_dictionaries(
            {"min": st.integers(1, 2), "max": st.integers(2, 3), "metric": st.just({"name": "m", "average": 1})}
        ),
    },
)
unset = st.lists(st.sampled_from(["config", "config.A", "egress", "scaling", "drainSeconds"]), max_size=2, unique=True)
layers = st.lists(
    st.builds(lambda at, part, gone: {"at": at, "set": part, "unset": gone}, axes, parts, unset), max_size=6
)


@given(layers, st.randoms(use_true_random=False))
def test_no_order_of_layers_changes_what_a_service_comes_to(given_layers: list[dict[str, Any]], random: Any) -> None:
    """All layers as if they applied to one service: values, and about which paths nobody decides."""
    shuffled = list(given_layers)
    random.shuffle(shuffled)
    assert _merged(given_layers) == _merged(shuffled)


def _merged(given_layers: list[dict[str, Any]]) -> tuple[object, set[tuple[str, ...]]]:
    root, _ = parse(json.dumps({"layers": given_layers}), "x.yaml")
    file = File("x.yaml", root, PlatformFile.model_validate(root.value))
    merged = merge([layer for _, layer in layers_of(file)], BASES)
    undecided = {conflict.other.path for conflict in merged.conflicts}
    return {path: value for path, value in merged.values.items() if path not in undecided}, undecided


@given(layers, st.randoms(use_true_random=False))
def test_no_order_of_files_changes_what_a_platform_comes_to(given_layers: list[dict[str, Any]], random: Any) -> None:
    sections = [*HEAD, *({"layers": [each]} for each in given_layers)]
    shuffled = list(sections)
    random.shuffle(shuffled)
    assert _result(sections) == _result(shuffled)


def _result(sections: Sequence[dict[str, Any]]) -> object:
    """Every service of every cell; or what is wrong, without the places, which tell of the order."""
    with tempfile.TemporaryDirectory() as folder:
        for number, section in enumerate(sections):
            Path(folder, f"{number:02}.yaml").write_text(json.dumps(section))
        try:
            described = load_described(Path(folder))
        except SpecError as error:
            return sorted({problem.code for problem in error.problems})
    return [cell.model_dump() for cell in described.cells]
