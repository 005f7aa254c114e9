"""Do the canary's players attempt as much per visit as stable's? Fewer, or many more, is harm (release-gates §1.1 c).

A version may answer every request and lose a part of what players came for: nothing fails, there is only less of it.
Attempts come in rows, and a sticky split leaves a player in one arm for the whole release: counting attempts as if they
were independent takes back most healthy releases (§2.6). So attempts are compared per *visit*, and the log-likelihood
ratio of the sums is divided by how much players differ in it: ``phi`` = (sum over players of (attempts - usual attempts
per visit x visits) squared) / attempts, the variance of a ratio estimator whose units are players, over that of single
attempts. It is known from the run itself, and it grows with the run as long as the same players play on.

Not symmetrical, because stable's own troubles look like a busy canary: a twentieth fewer is no harm, three quarters
more is none either, and a block in which stable itself is far from its usual volume tells nothing.
"""

from __future__ import annotations

from math import exp, log, sqrt

from croupier.core.gates.likelihood import log_sum_exp
from croupier.model.evidence import Spread

FEWER_NULL, MORE_NULL = 1.0 / 1.05, 1.75
"""No harm between these multiples of stable's attempts per visit."""

FEWER = ((0.75, 0.25), (0.5, 0.3), (0.2, 0.15), (0.02, 0.1))
MORE = ((2.5, 0.1), (5.0, 0.1))
"""Bets: attempts per visit of the canary, in multiples of stable's, and what is staked on it."""

MORE_ALLOWANCE = 3.0
"""A few players who play most of the time can always sit in the canary, but never be missed in it as much."""

LEAST_VISITS = 20.0
"""With fewer visits to an arm its attempts per visit are not known well enough."""

USUAL_SECONDS = 300.0
USUAL_LOW, USUAL_HIGH = 0.6, 1.6
"""Stable's volume outside these multiples of its last minutes tells nothing about the canary."""


class _Arm:
    """One arm's spread over several lives of its counters."""

    __slots__ = ("_last", "_lives")

    def __init__(self) -> None:
        self._last: Spread | None = None
        self._lives: list[Spread] = []

    def read(self, spread: Spread) -> float:
        """Take the newest reading; returns the visits since the last one."""
        last, self._last = self._last, spread
        if last is None:
            return 0.0
        if spread.visits < last.visits or spread.squares < last.squares:
            self._lives.append(last)
            return spread.visits
        return spread.visits - last.visits

    def lives(self) -> list[Spread]:
        return self._lives if self._last is None else [*self._lives, self._last]


class VolumeShift:
    """Against "the canary's players attempt about as much per visit as stable's". Two-sided."""

    __slots__ = ("_arms", "_attempts", "_periods", "_usual", "_usual_seconds", "_visits", "_waiting")

    def __init__(self) -> None:
        self._arms = {"canary": _Arm(), "stable": _Arm()}
        self._attempts = 0.0
        self._visits = 0.0
        self._waiting = (0.0, 0.0)
        self._periods: dict[int, list[float]] = {}
        """Weight -> attempts of canary and stable, visits of canary and stable."""
        self._usual = 0.0
        self._usual_seconds = 0.0

    def read(self, canary: Spread, stable: Spread) -> None:
        """Take the newest figures of both arms, of one scrape; ``update`` folds the block that ends with it."""
        n, m = (self._arms[name].read(spread) for name, spread in (("canary", canary), ("stable", stable)))
        self._waiting = (self._waiting[0] + n, self._waiting[1] + m)

    def skip(self) -> None:
        """No block ends with what was read last: its visits belong to none."""
        self._waiting = (0.0, 0.0)

    def update(self, canary: float, stable: float, *, weight: int, seconds: float, telling: bool) -> None:
        """Fold one block of attempts.

        Args:
            canary: attempts of the canary's players.
            stable: attempts of the others.
            weight: percent of players on the canary, 1-99.
            seconds: length of the block.
            telling: False for a block that must not count (settling, an incident); it still tells what is usual.
        """
        (n, m), self._waiting = self._waiting, (0.0, 0.0)
        self._attempts += canary + stable
        self._visits += n + m
        is_usual = self._is_usual(
            stable / (100.0 - weight), seconds, sqrt(self.phi * (stable + 1.0)) / (100.0 - weight)
        )
        if telling and is_usual:
            period = self._periods.setdefault(weight, [0.0, 0.0, 0.0, 0.0])
            for index, moved in enumerate((canary, stable, n, m)):
                period[index] += moved

    def _is_usual(self, rate: float, seconds: float, deviation: float) -> bool:
        usual = self._usual / self._usual_seconds * seconds if self._usual_seconds > 0.0 else rate
        keep = exp(-seconds / USUAL_SECONDS)
        self._usual = self._usual * keep + rate
        self._usual_seconds = self._usual_seconds * keep + seconds
        return USUAL_LOW * usual - 4.0 * deviation <= rate <= USUAL_HIGH * usual + 4.0 * deviation

    def odds(self, weight: int) -> float:
        """Visits to the canary for one to stable at this weight; the weight's own odds where visits are not known.

        Never more than those: few players, and among them few who come often, make little of what was expected.
        """
        drawn = weight / (100.0 - weight)
        if self._visits <= 0.0:
            return drawn
        _, _, n, m = self._periods.get(weight, (0.0, 0.0, 0.0, 0.0))
        return min(drawn, n / m) if m > 0.0 else 0.0

    @property
    def phi(self) -> float:
        """At least 1. After a restart of the counters, a bound: a norm of sums is at most the sum of norms."""
        if self._attempts <= 0.0 or self._visits <= 0.0:
            return 1.0
        usual = self._attempts / self._visits
        lives = [arm.lives() for arm in self._arms.values()]
        norm = 0.0
        for number in range(max(map(len, lives))):
            # Both arms together: the arms of one player belong together, and so do those of one life of the counters.
            parts = [each[number] for each in lives if number < len(each)]
            norm += sqrt(max(0.0, sum(_residual(part, usual) for part in parts)))
        return max(1.0, norm * norm / self._attempts)

    @property
    def log_evidence(self) -> float:
        """In nats. At most 0 while too few visits are known."""
        return log_sum_exp([self.log_fewer, self.log_more])

    @property
    def log_fewer(self) -> float:
        return self._bets(FEWER, FEWER_NULL, self.phi)

    @property
    def log_more(self) -> float:
        return self._bets(MORE, MORE_NULL, self.phi * MORE_ALLOWANCE)

    def _bets(self, bets: tuple[tuple[float, float], ...], null: float, phi: float) -> float:
        known = self._known()
        logs = []
        for bet, stake in bets:
            gain = sum(
                canary * log(bet / null) - (canary + stable) * log((bet * n + m) / (null * n + m))
                for canary, stable, n, m in known
            )
            logs.append(log(stake) + gain / phi)
        return log_sum_exp(logs)

    def _known(self) -> list[list[float]]:
        return [each for each in self._periods.values() if each[2] >= LEAST_VISITS and each[3] >= LEAST_VISITS]

    @property
    def canary(self) -> float:
        """Attempts of the canary's players that were compared."""
        return sum(each[0] for each in self._known())

    @property
    def expected(self) -> float:
        """What they would have attempted in as many visits of stable's players."""
        return sum(stable * n / m for _, stable, n, m in self._known())


def _residual(spread: Spread, usual: float) -> float:
    return spread.squares - 2.0 * usual * spread.products + usual * usual * spread.visit_squares
