"""Metrics in memory, for tests: what the test puts there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from croupier.errors import Unreachable
from croupier.model.evidence import ArmSample
from croupier.ports.metrics import Target


class MemoryMetrics:
    """The metrics port, with knobs.

    Attributes:
        arms: target -> counters; tests write to it.
        unreachable: every read raises ``Unreachable``.
    """

    def __init__(self) -> None:
        self.arms: dict[Target, ArmSample] = {}
        self.unreachable = False

    async def read(self, targets: Sequence[Target]) -> Mapping[Target, ArmSample]:
        if self.unreachable:
            raise Unreachable("the source of metrics does not answer")
        return {target: self.arms[target] for target in targets if target in self.arms}
