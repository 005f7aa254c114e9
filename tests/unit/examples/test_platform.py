"""The large example is sound, and what is rendered from it holds together in every cell."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from croupier.core.render.cell import render
from croupier.spec.cells import Described
from croupier.spec.platform import load_described

EXAMPLE = Path(__file__).parents[3] / "examples" / "platform"


@pytest.fixture(scope="module")
def described() -> Described:
    return load_described(EXAMPLE)


@pytest.fixture(scope="module")
def objects(described: Described) -> list[tuple[str, dict[str, Any]]]:
    """Each object with the region it goes to."""
    return [
        (_region(described, name) if name.startswith("cells/") else name.split("/")[1], each)
        for name, text in render(described.cells).items()
        for each in yaml.load_all(text, Loader=yaml.CSafeLoader)
    ]


def _region(described: Described, file: str) -> str:
    return described.cell(file.split("/")[1]).cell.region


def test_it_is_as_large_as_it_says(described: Described, objects: list[tuple[str, dict[str, Any]]]) -> None:
    cells = [each.cell for each in described.cells]
    assert (len({each.brand for each in cells}), len({each.market for each in cells})) == (3, 6)
    assert len({each.region for each in cells}) == 3
    assert {len(each.services) for each in described.cells} == {25}
    assert len(objects) > 3000


def test_markets_that_other_readers_take_for_booleans_keep_their_names(described: Described) -> None:
    assert {"no", "on"} <= {each.cell.market for each in described.cells}


def test_its_values_say_that_nobody_has_reviewed_them(described: Described) -> None:
    assert sum("is not reviewed" in each for each in described.notes) == 6


def test_no_object_is_there_twice_in_a_cluster(objects: list[tuple[str, dict[str, Any]]]) -> None:
    keys = Counter(
        (region, each["kind"], each["metadata"].get("namespace"), each["metadata"]["name"]) for region, each in objects
    )
    assert [key for key, count in keys.items() if count > 1] == []


def test_every_name_and_label_is_one_that_kubernetes_takes(objects: list[tuple[str, dict[str, Any]]]) -> None:
    for _, each in objects:
        assert len(each["metadata"]["name"]) <= 63
        for value in each["metadata"].get("labels", {}).values():
            assert isinstance(value, str)
            assert len(value) <= 63


def test_data_of_a_market_stays_where_the_market_lets_it(described: Described) -> None:
    """S10.14: Romania and Ontario keep everything at home; Sweden moves the ledger, and nothing else, in a disaster."""
    named: dict[str, set[str]] = {}
    for placed in described.cells:
        for service in placed.services:
            for use in service.data.values():
                places = {use.region, use.dr, use.backup, use.keys, *use.replicas} - {None}
                named.setdefault(placed.cell.market, set()).update(f"{service.name} {place}" for place in places)
    assert named["ro"] == named["on"] == set()
    assert named["se"] == {"wallet eu-east"}
