"""Plain scalars by the core schema of YAML 1.2, and the places of nodes."""

from __future__ import annotations

import math

import pytest
from pydantic import JsonValue

from croupier.spec.yaml12 import Mark, parse, resolve


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("~", None),
        ("Null", None),
        ("nULL", "nULL"),
        ("true", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        *((word, word) for word in ("yes", "no", "on", "off", "y", "n", "Yes", "NO")),
        ("0", 0),
        ("-12", -12),
        ("+7", 7),
        ("012", 12),
        ("0o17", 15),
        ("0x1F", 31),
        ("-0x1F", "-0x1F"),
        ("0b11", "0b11"),
        ("1_000", "1_000"),
        ("190:20:30", "190:20:30"),
        ("1.", 1.0),
        (".5", 0.5),
        ("-1.5e-3", -0.0015),
        ("1e3", 1000.0),
        (".", "."),
        ("e3", "e3"),
        (".inf", math.inf),
        ("-.Inf", -math.inf),
        (".INF", math.inf),
        ("inf", "inf"),
        ("2026-03-01", "2026-03-01"),
        ("1.2.3", "1.2.3"),
        ("=", "="),
        ("<<", "<<"),
    ],
)
def test_a_plain_scalar_is_what_the_core_schema_says(text: str, value: JsonValue) -> None:
    found = resolve(text)
    assert found == value
    assert type(found) is type(value)


def test_nan_is_nan() -> None:
    value = resolve(".nan")
    assert isinstance(value, float)
    assert math.isnan(value)


def test_quoted_and_block_scalars_are_text() -> None:
    root, problems = parse("a: 'no'\nb: \"5\"\nc: |\n  true\nd: >-\n  ~\n", "x")
    assert (root.value, problems) == ({"a": "no", "b": "5", "c": "true\n", "d": "~"}, [])


def test_nodes_know_their_places() -> None:
    root, _ = parse("a:\n  - {b: 1, c: [x, y]}\n  - ü: z\n", "x")
    first, second = root.children["a"].children[0], root.children["a"].children[1]
    assert root.keys["a"] == Mark(1, 1)
    assert first.mark == Mark(2, 5)
    assert first.keys["c"] == Mark(2, 12)
    assert first.children["c"].children[1].mark == Mark(2, 19)
    assert second.children["ü"].mark == Mark(3, 8)
