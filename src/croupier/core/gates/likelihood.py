"""The bets: running evidence for and against a canary, in natural logarithms.

Every class here is an e-process. Under the hypothesis it bets against, its expected value never exceeds 1, at any
time anybody looks; so it exceeds 1/alpha with probability at most alpha over the whole release (Ville). Evidence is
the capital of a gambler who starts with 1 and bets that the hypothesis is false (docs/explanation/gates.md).

``phi`` tempers: the log-likelihood ratio is divided by the dispersion of the counts, so that ten errors that come as
one burst count as one (release-gates §1.3).

Sources: release-gates §1.2 (rate ratio), §1.5 (objective), §1.6 (non-inferiority), §1.12 (players, decidability).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from math import exp, inf, log, log1p, sqrt

STAKES = (
    (1.25, 0.05),
    (1.5, 0.11),
    (2.0, 0.18),
    (3.0, 0.12),
    (5.0, 0.10),
    (8.0, 0.09),
    (15.0, 0.12),
    (30.0, 0.09),
    (60.0, 0.05),
    (125.0, 0.04),
    (250.0, 0.03),
    (500.0, 0.01),
    (1000.0, 0.01),
)
"""How many times worse the canary may be, and how much is staked on it. A doubling, and a fifteenfold rise at low
traffic, need the larger stakes; a great rise at high traffic shows within a block whatever the stake (a doubling then
costs a tenth fewer failures than with equal stakes; measured)."""

LATE_SHARE = 0.1
"""Part of the stake kept for faults that start later; spent evenly over the horizon. Costs 0.1 nats at the start."""

LATE_EVERY_SECONDS = 60.0
HORIZON_SECONDS = 3600.0
LATE_ONSET_PHI = 1.5
"""Above this dispersion late stakes break the promise (1.42 % instead of 1 %, measured in §1.2): not used then."""

NOT_WORSE_RATIOS = (0.25, 0.5, 0.75, 0.9, 1.0)
"""Bets of the ratio non-inferiority test: how bad the canary is, in multiples of stable."""

NOT_WORSE_POINTS = ((0.02, 0.8), (0.2, 0.12), (0.5, 0.08))
"""Bets of the points test: (how much of the margin the canary uses up, stake)."""

OBJECTIVE_BREACH = (1.5, 2.0, 4.0, 10.0)

CARRY_NATS = 3.0
"""Evidence in favour stops growing this far above its bar. Capped capital is still a fair bet, and a canary that
turns bad at a later step loses its pass quickly."""


def log_sum_exp(values: Sequence[float]) -> float:
    """log of the sum of exponentials, without overflow; -inf for an empty or all -inf sequence."""
    top = max(values, default=-inf)
    if top == -inf:
        return -inf
    return top + log(sum([exp(value - top) for value in values]))


@lru_cache(maxsize=256)
def _ratios(rho: float) -> tuple[tuple[float, float, float], ...]:
    """What all gates with one ``rho`` share: there are thousands, and each would keep its own."""
    return tuple((log(multiple), rho * multiple, log(stake)) for multiple, stake in STAKES)


@lru_cache(maxsize=256)
def _bets(margin: float) -> tuple[tuple[float, float], ...]:
    return tuple((ratio, log(ratio / margin)) for ratio in NOT_WORSE_RATIOS)


class RatioRise:
    """Against "the canary fails at most ``rho`` times as often as stable".

    Conditional on the failures of both arms together, only the canary's share of them is used: a baseline that moves,
    for whatever reason, cancels block by block, and so does a weight that changes between blocks.
    """

    __slots__ = ("_late_due", "_late_seconds", "_late_stake", "_logs", "_ratios", "phi", "rho")

    def __init__(self, phi: float, *, rho: float = 1.0, horizon_seconds: float = HORIZON_SECONDS) -> None:
        self.phi = phi
        self.rho = rho
        self._ratios = _ratios(rho)
        late = phi <= LATE_ONSET_PHI
        self._logs = [log(stake) + (log(1.0 - LATE_SHARE) if late else 0.0) for _, stake in STAKES]
        self._late_seconds = horizon_seconds if late else 0.0
        self._late_due = 0.0
        self._late_stake = LATE_SHARE / horizon_seconds

    def update(
        self, canary_total: float, canary_bad: float, stable_total: float, stable_bad: float, seconds: float
    ) -> None:
        """Fold one block. Nothing is learnt from a block in which one arm had no exposure or nothing failed."""
        if canary_total <= 0.0 or stable_total <= 0.0:
            return
        if self._late_seconds > 0.0:
            self._late_due += seconds
            if self._late_due >= LATE_EVERY_SECONDS:
                self._place_late_stakes()
        bad = canary_bad + stable_bad
        if bad <= 0.0:
            return
        logs, phi = self._logs, self.phi
        null = log(self.rho * canary_total + stable_total)
        for index, (log_multiple, ratio, _) in enumerate(self._ratios):
            shift = canary_bad * log_multiple - bad * (log(ratio * canary_total + stable_total) - null)
            logs[index] += shift / phi

    def _place_late_stakes(self) -> None:
        """Stake what has come due on faults that begin with this block; decided before looking into it."""
        spent = min(self._late_due, self._late_seconds)
        self._late_seconds -= spent
        self._late_due = 0.0
        late = log(spent * self._late_stake)
        for index, (_, _, stake) in enumerate(self._ratios):
            high, low = max(self._logs[index], stake + late), min(self._logs[index], stake + late)
            self._logs[index] = high + log1p(exp(low - high))

    @property
    def log_evidence(self) -> float:
        return log_sum_exp(self._logs)


class RatioNotWorse:
    """Against "the canary fails at least ``margin`` times as often as stable"."""

    __slots__ = ("_bets", "_ceiling", "_logs", "margin", "phi")

    def __init__(self, phi: float, margin: float, beta: float) -> None:
        self.phi = phi
        self.margin = margin
        self._bets = _bets(margin)
        self._logs = [-log(len(self._bets))] * len(self._bets)
        self._ceiling = log(1.0 / beta) + CARRY_NATS

    def update(self, canary_total: float, canary_bad: float, stable_total: float, stable_bad: float) -> None:
        bad = canary_bad + stable_bad
        if canary_total <= 0.0 or stable_total <= 0.0 or bad <= 0.0:
            return
        for index, gain in enumerate(self._gains(canary_total, canary_bad, stable_total, bad)):
            moved = self._logs[index] + gain
            self._logs[index] = moved if moved < self._ceiling else self._ceiling

    def _gains(self, canary_total: float, canary_bad: float, stable_total: float, bad: float) -> Sequence[float]:
        null = log(self.margin * canary_total + stable_total)
        return [
            (canary_bad * per_bad - bad * (log(ratio * canary_total + stable_total) - null)) / self.phi
            for ratio, per_bad in self._bets
        ]

    @property
    def log_evidence(self) -> float:
        return log_sum_exp(self._logs)

    def growth(self, canary_total: float, stable_total: float, failure_ratio: float) -> float:
        """Expected gain in nats from that much exposure, if the canary is exactly as good as stable."""
        if canary_total <= 0.0 or stable_total <= 0.0:
            return 0.0
        bad = (canary_total + stable_total) * failure_ratio
        return max(self._gains(canary_total, canary_total * failure_ratio, stable_total, bad))


class PointsNotWorse:
    """Against "the canary's failure ratio exceeds stable's by at least ``margin``" (a ratio: 2 points = 0.02).

    Works where stable hardly ever fails, which a ratio of rates cannot. Stable's own ratio is read from the same
    block and the blocks just before, as many as its precision needs; its uncertainty is paid for by dividing the
    evidence once more by ``1 + (n_c / n_s) * p / (p + margin)``, the variance of the difference over that of the
    canary alone. A block in which stable fails less than its recent past uses the lower figure.
    """

    __slots__ = ("_bad", "_ceiling", "_logs", "_recent", "_total", "margin", "phi")

    def __init__(self, phi: float, margin: float, beta: float) -> None:
        self.phi = phi
        self.margin = margin
        self._logs = [log(stake) for _, stake in NOT_WORSE_POINTS]
        self._ceiling = log(1.0 / beta) + CARRY_NATS
        self._recent: deque[tuple[float, float]] = deque()
        self._total = 0.0
        self._bad = 0.0

    def update(self, canary_total: float, canary_bad: float, stable_total: float, stable_bad: float) -> None:
        if stable_total <= 0.0:
            return
        baseline = self._baseline(stable_total, stable_bad)
        if canary_total <= 0.0:
            return
        for index, gain in enumerate(self._gains(canary_total, canary_bad, stable_total, baseline)):
            self._logs[index] = min(self._logs[index] + gain, self._ceiling)

    def _baseline(self, total: float, bad: float) -> float:
        recent = self._recent
        usual = total * self._bad / self._total if self._total > 0.0 else 0.0
        if usual - bad > 2.5 * sqrt(usual + 0.5):
            # An outage is over. What it did to stable must not excuse what the canary does from now on.
            recent.clear()
            self._total = self._bad = 0.0
        recent.append((total, bad))
        self._total += total
        self._bad += bad
        enough = 10.0 / self.margin
        while len(recent) > 1 and (self._total - recent[0][0] >= enough or len(recent) > 60):
            old_total, old_bad = recent.popleft()
            self._total -= old_total
            self._bad -= old_bad
        highest_now = (bad + 1.0 + 2.0 * sqrt(bad + 1.0)) / total
        return min(max(self._bad, 0.0) / self._total, highest_now)

    def _gains(self, canary_total: float, canary_bad: float, stable_total: float, baseline: float) -> Sequence[float]:
        null = min(baseline + self.margin, 0.999)
        temper = self.phi * (1.0 + canary_total / stable_total * baseline / null)
        good = canary_total - canary_bad
        gains = []
        for used, _ in NOT_WORSE_POINTS:
            bet = min(baseline + used * self.margin, null)
            gains.append((canary_bad * log(bet / null) + good * log((1.0 - bet) / (1.0 - null))) / temper)
        return gains

    @property
    def log_evidence(self) -> float:
        return log_sum_exp(self._logs)

    def growth(self, canary_total: float, stable_total: float, failure_ratio: float) -> float:
        """Expected gain in nats from that much exposure, if the canary is exactly as good as stable."""
        if canary_total <= 0.0 or stable_total <= 0.0:
            return 0.0
        return max(self._gains(canary_total, canary_total * failure_ratio, stable_total, failure_ratio))


NotWorse = RatioNotWorse | PointsNotWorse


class Vanished:
    """Against "the canary's attempts are at least a quarter of its share". Every ratio needs this partner: a version
    that drops deposits before they are attempted has nothing that fails.

    The null leaves much room, because a sticky split is a draw of players, and few of them may sit in the canary;
    attempts of one player come in rows, hence the temper. One block adds at most ``MOST_A_BLOCK``, because a restart
    may lose one. Evidence never falls below its start: a version may fall silent after a long good time.
    """

    LEAST_SHARE, BET, TEMPER, MOST_A_BLOCK = 0.25, 0.02, 2.0, 2.0

    __slots__ = ("log_evidence",)

    def __init__(self) -> None:
        self.log_evidence = 0.0

    def update(self, canary_total: float, stable_total: float, share: float) -> None:
        """``share``: players, or visits, of the canary for one of stable."""
        if stable_total <= 0.0:
            return
        null, bet = self.LEAST_SHARE * share, self.BET * share
        everything = canary_total + stable_total
        gain = canary_total * log(self.BET / self.LEAST_SHARE) - everything * (log1p(bet) - log1p(null))
        self.log_evidence = max(0.0, self.log_evidence + min(gain / self.TEMPER, self.MOST_A_BLOCK))


class ObjectiveBreach:
    """Against "the canary keeps its objective" (failure ratio at most ``allowed``).

    A guard: it withholds promotion and never takes back. It may therefore forget, which an e-process may not: it is
    held between ``FLOOR`` and ``bar + CARRY_NATS``, so that a long good past does not hide a breach that begins now,
    and a breach that has ended does not hold the release for hours.
    """

    FLOOR = -2.0

    __slots__ = ("_logs", "_steps", "allowed", "bar", "phi")

    def __init__(self, phi: float, allowed: float, alpha: float) -> None:
        self.phi = phi
        self.allowed = allowed
        self.bar = log(1.0 / alpha)
        bets = [min(allowed * multiple, 0.5 + allowed / 2.0) for multiple in OBJECTIVE_BREACH]
        self._steps = tuple((log(bet / allowed), log((1.0 - bet) / (1.0 - allowed))) for bet in bets)
        self._logs = [0.0] * len(bets)

    def update(self, total: float, bad: float) -> None:
        good = total - bad
        ceiling = self.bar + CARRY_NATS
        for index, (per_bad, per_good) in enumerate(self._steps):
            moved = self._logs[index] + (bad * per_bad + good * per_good) / self.phi
            self._logs[index] = max(self.FLOOR, min(moved, ceiling))

    @property
    def log_evidence(self) -> float:
        return log_sum_exp(self._logs) - log(len(self._logs))
