"""Quantities mean what Kubernetes means by them."""

from __future__ import annotations

import pytest

from croupier.model.quantity import size


@pytest.mark.parametrize(
    ("one", "other"),
    [("0.1", "100m"), ("123Mi", "128974848"), ("1e3", "1k"), ("1E", "1000P"), ("500n", ".0005m"), ("1Gi", "1024Mi")],
)
def test_one_amount_is_written_in_several_ways(one: str, other: str) -> None:
    assert size(one) == size(other)


@pytest.mark.parametrize("text", ["", "Mi", "1 Gi", "1mi", "1Gi\n", "1e999999999", "9" * 1000])
def test_what_is_no_quantity_is_refused_at_once(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        size(text)
