"""What others would have done with the same canary, emulated from their documented semantics, and the known limit.

* Flagger, documented example (fluxcd/flagger, 2026-07): request success rate at least 99 %, interval 1m, threshold 5.
  Failed checks add up and are never reset; the limit is tested when the next interval begins. No data is a failure.
* SPRT oracle: a one-sided likelihood ratio that is told both failure ratios. Nobody can be told; it is the limit.
"""

from __future__ import annotations

from math import log


class FlaggerExample:
    INTERVAL, LEAST_SUCCESS, THRESHOLD = 60.0, 0.99, 5

    def __init__(self) -> None:
        self._served = 0
        self._failed = 0
        self._next = self.INTERVAL
        self._failures = 0

    def observe(self, t: float, served: int, failed: int) -> bool:
        self._served += served
        self._failed += failed
        if t < self._next:
            return False
        self._next += self.INTERVAL
        if self._failures >= self.THRESHOLD:
            return True
        good = self._served > 0 and 1.0 - self._failed / self._served >= self.LEAST_SUCCESS
        self._failures += not good
        self._served = self._failed = 0
        return False


class SprtOracle:
    def __init__(self, baseline: float, canary: float, alpha: float) -> None:
        self._per_bad = log(canary / baseline)
        self._per_good = log((1.0 - canary) / (1.0 - baseline))
        self._bar = log(1.0 / alpha)
        self._evidence = 0.0

    def observe(self, served: int, failed: int) -> bool:
        self._evidence += failed * self._per_bad + (served - failed) * self._per_good
        return self._evidence >= self._bar
