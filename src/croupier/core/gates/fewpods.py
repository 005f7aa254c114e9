"""Evidence against a canary where stable has one pod or two, and bursts do not show as pods that differ (§1.3, §1.8).

Half of the stake is bet as everywhere, tempered by a dispersion that one pod's neighbouring minutes give: shared shocks
are in it too, so it errs on the careful side. The other half needs no dispersion at all. It bets on the canary's share
of the failures of a whole minute, and a burst is as likely to hit either arm as players are. However large a burst is,
it wins no more than the inverse of that share once. Where too little has failed before to tell how bursty failures
are, the prior has to do, as it does beside many pods: to wait for minutes there would let a bad version pass.
"""

from __future__ import annotations

from math import log, log1p

from croupier.core.gates.likelihood import HORIZON_SECONDS, STAKES, RatioRise, log_sum_exp

BLOCK_SECONDS = 60.0
"""A burst that is cut in two wins twice: a block has to be two to four bursts long (measured in §1.3)."""


class LinearRise:
    """Against "the canary fails at most ``rho`` times as often as stable", whatever failures have in common.

    ``e(r) = (1 + (r - 1) K) / (1 + (r - 1) S)`` for each block, K the canary's failures and S its share of all: an
    expected value of 1 is all that is asked of K. The share is summed over the scrapes of a block, each with its own
    weight and traffic, so that a baseline that moves cancels here, too.
    """

    __slots__ = ("_bad", "_expected", "_logs", "_seconds", "rho")

    def __init__(self, *, rho: float = 1.0) -> None:
        self.rho = rho
        self._logs = [log(stake) for _, stake in STAKES]
        self._bad = self._expected = self._seconds = 0.0

    def update(
        self, canary_total: float, canary_bad: float, stable_total: float, stable_bad: float, seconds: float
    ) -> None:
        """Fold one scrape; evidence moves when it completes a block."""
        if canary_total <= 0.0 or stable_total <= 0.0:
            return
        exposed = self.rho * canary_total
        self._bad += canary_bad
        self._expected += (canary_bad + stable_bad) * exposed / (exposed + stable_total)
        self._seconds += seconds
        if self._seconds < BLOCK_SECONDS * 0.999:
            return
        for index, (multiple, _) in enumerate(STAKES):
            self._logs[index] += log1p((multiple - 1.0) * self._bad) - log1p((multiple - 1.0) * self._expected)
        self._bad = self._expected = self._seconds = 0.0

    @property
    def log_evidence(self) -> float:
        return log_sum_exp(self._logs)


class FewPodsRise:
    """The same hypothesis, by both bets. ``phi``: of the tempered one."""

    __slots__ = ("_linear", "_tempered")

    def __init__(self, phi: float, *, rho: float = 1.0, horizon_seconds: float = HORIZON_SECONDS) -> None:
        self._linear = LinearRise(rho=rho)
        self._tempered = RatioRise(phi, rho=rho, horizon_seconds=horizon_seconds)

    def update(
        self, canary_total: float, canary_bad: float, stable_total: float, stable_bad: float, seconds: float
    ) -> None:
        self._linear.update(canary_total, canary_bad, stable_total, stable_bad, seconds)
        self._tempered.update(canary_total, canary_bad, stable_total, stable_bad, seconds)

    @property
    def log_evidence(self) -> float:
        return log_sum_exp([self._linear.log_evidence, self._tempered.log_evidence]) - log(2.0)


Rise = RatioRise | FewPodsRise


def rise(phi: float, *, has_few_pods: bool, rho: float = 1.0, horizon_seconds: float = HORIZON_SECONDS) -> Rise:
    """The bet against a canary. ``phi``: dispersion of stable's failures, or the prior."""
    bet = FewPodsRise if has_few_pods else RatioRise
    return bet(phi, rho=rho, horizon_seconds=horizon_seconds)
