"""Platforms that tests render."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from croupier.model.platform import PlacedCell
from croupier.spec.platform import load_described

EXAMPLE = Path(str(files("croupier.cli").joinpath("example")))
"""What ``init`` writes."""


def example(**of_region: object) -> list[PlacedCell]:
    """The cells of the example; ``of_region``: fields that every region has instead."""
    return [
        placed.model_copy(update={"region": placed.region.model_copy(update=of_region)})
        for placed in load_described(EXAMPLE).cells
    ]
