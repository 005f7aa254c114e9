"""What a rendered ReleasePolicy says of itself."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.support.platforms import REFERENCE, described

from croupier.core.policy.strategies import DECIDED
from croupier.core.render.release import release_policy

ROOT = Path(__file__).parents[4]
(PLACED,) = described(REFERENCE).cells
(SERVICE,) = PLACED.services


@pytest.mark.parametrize(
    ("steps", "told"), [((5, 25, 100), "5, 25, 100"), ((5, 10, 25, 50, 100), None), ((100,), None)]
)
def test_steps_of_ones_own_are_named_as_decided_on(steps: tuple[int, ...], told: str | None) -> None:
    strategy = SERVICE.release.strategy.model_copy(update={"steps": steps})
    release = SERVICE.release.model_copy(update={"strategy": strategy})
    policy = release_policy(PLACED, SERVICE.model_copy(update={"release": release}))
    assert policy["metadata"].get("annotations", {}).get(DECIDED) == told
