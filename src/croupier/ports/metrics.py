from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Protocol

from croupier.model.evidence import ArmSample


class Target(NamedTuple):
    """An arm to read: ``run`` is "-" for what serves outside any release."""

    service: str
    run: str
    digest: str


class Metrics(Protocol):
    """Raw cumulative counters. One batched read for all targets of a round."""

    async def read(self, targets: Sequence[Target]) -> Mapping[Target, ArmSample]:
        """Counters of each target as of now.

        A target without any data is missing from the answer; it never comes back as zeros. Values that are not
        finite numbers are passed on as NaN. Raises ``Unreachable`` when the source does not answer, answers
        nonsense, or is older than it may be.
        """
        ...
