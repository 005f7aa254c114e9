"""A sick pod is not a bad version: one incident on one canary pod is set aside until it has lasted.

A burst of thousands of failures on a single canary pod looks exactly like a broken release, and no statistic over
sums can tell them apart (release-gates §2.9). Two things can: the other canary pods, and a little time. So a block in
which one canary pod fails more than a third of its work, while the rest of the canary does not, is set aside; the
rest is judged as usual. If it goes on for more than 30 seconds it counts in full from then on. A canary whose pods
all fail is judged at once. Once per run and series: a release that is sick now and then is a sick release.
"""

from __future__ import annotations

from dataclasses import replace

from croupier.core.gates.counters import Block, PodDelta

SICK_RATIO = 1.0 / 3.0
SICK_FAILURES = 50.0
"""Fewer failures than this in a block are judged at once: they are what a release that fails a tenth looks like."""

PATIENCE_SECONDS = 30.0


class SickPod:
    """Sifts the blocks of one series. ``holding`` tells people that something is set aside now."""

    __slots__ = ("_since", "_spent")

    def __init__(self) -> None:
        self._since: float | None = None
        self._spent = False

    @property
    def holding(self) -> bool:
        return self._since is not None and not self._spent

    def sift(self, block: Block, at: float) -> Block | None:
        """The part of the block that ends at ``at`` to be judged; None when nothing is left of it."""
        if self._spent:
            return block
        sick = _sick_pod(block)
        if sick is None:
            self._spent = self._since is not None
            return block
        if self._since is None:
            self._since = at - block.seconds
        if at - self._since > PATIENCE_SECONDS * 1.001:
            self._spent = True
            return block
        if len(block.canary_pods) == 1:
            return None
        total, bad = sick
        return replace(
            block, canary_total=block.canary_total - total, canary_bad=block.canary_bad - bad, canary_pods=()
        )


def _sick_pod(block: Block) -> PodDelta | None:
    if block.canary_bad < SICK_FAILURES or not block.canary_pods:
        return None
    total, bad = worst = max(block.canary_pods, key=lambda pod: pod[1])
    if bad < SICK_FAILURES or bad < total * SICK_RATIO:
        return None
    stable_ratio = block.stable_bad / block.stable_total if block.stable_total > 0.0 else 0.0
    if bad < 3.0 * stable_ratio * total:
        return None
    others_total, others_bad = block.canary_total - total, block.canary_bad - bad
    return None if others_bad > others_total * max(3.0 * stable_ratio, 0.02) else worst
