"""Which shares of players are to be expected under a split, and which show that the split did not land."""

from __future__ import annotations

from math import exp, lgamma, log, log1p, sqrt

_TAIL = 0.0005
"""Probability of each side outside the band: 99.9 % inside."""
_Z = 3.2905
"""Normal quantile for ``_TAIL``."""


def share_band(players: int, weight: int) -> tuple[float, float]:
    """The 99.9 % binomial band of the canary's share when ``players`` distinct players were seen at ``weight`` percent.

    Under a sticky split the share is one draw of players, so a fixed tolerance is wrong at any number of players. With
    nobody seen the band is (0, 1). At 0 and 100 % one in a hundred is allowed to be late.
    """
    if players <= 0:
        return 0.0, 1.0
    if weight <= 0:
        return 0.0, 0.01
    if weight >= 100:
        return 0.99, 1.0
    p = weight / 100
    variance = players * p * (1 - p)
    if variance > 100:
        half = _Z * sqrt(variance) / players
        return max(0.0, p - half), min(1.0, p + half)
    low, high = _quantiles(players, p)
    return low / players, high / players


def _quantiles(n: int, p: float) -> tuple[int, int]:
    """Smallest and largest count inside the band. Few steps: it is only called while the variance is small.

    Summed up from so far below the mean that what is left out is nothing (1e-15 at most), each probability from the one
    before it.
    """
    odds = log(p) - log1p(-p)
    k = max(0, int(n * p - 10 * sqrt(n * p * (1 - p)) - 20))
    log_mass = lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1) + k * log(p) + (n - k) * log1p(-p)
    below, low = 0.0, -1
    while k < n:
        below += exp(log_mass)
        if low < 0 and below > _TAIL:
            low = k
        if below >= 1 - _TAIL:
            break
        log_mass += log((n - k) / (k + 1)) + odds
        k += 1
    return (low if low >= 0 else n), k
