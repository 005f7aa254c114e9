"""What a gate answers: pass, fail or inconclusive, with its numbers (S9.7). Inconclusive never promotes."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from croupier.model.base import Value
from croupier.model.service import By, stratum_words


class Outcome(StrEnum):
    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class ArmNumbers(Value):
    """Totals since the run began: ``bad`` of ``total`` in ``unit``s."""

    bad: float
    total: float


class StratumReading(Value):
    """One provider or market of one gate at one moment, judged by itself. Evidence as in ``GateReading``."""

    by: By
    name: str
    required: bool
    """Whether a step waits for it."""
    outcome: Outcome
    code: str
    """``worse``, ``not-worse``, ``needs-time``, ``too-few`` (nothing can be said at this pace), ``no-data``, …"""
    message: str
    canary: ArmNumbers
    stable: ArmNumbers
    against: float
    against_bar: float
    """Where it takes the release back by itself."""
    favour: float
    favour_bar: float
    needs_seconds: float | None

    @property
    def words(self) -> str:
        return stratum_words(self.by, self.name)

    @property
    def excess(self) -> float:
        """As in ``GateReading``."""
        return _excess(self.canary, self.stable)


class GateReading(Value):
    """One gate at one moment.

    Evidence is in bans (log10), so that people can read it: ``against`` rises to ``against_bar`` when the canary is
    worse, ``favour`` rises to ``favour_bar`` when it is shown not to be worse than the margin allows.
    """

    gate: str
    role: Literal["required", "veto"]
    outcome: Outcome
    code: str
    """Stable reason code: ``worse``, ``not-worse``, ``needs-time``, ``no-data``, ``slo-breach``, ``restarts``, …"""
    message: str
    """One sentence with the numbers, for a person."""
    unit: Literal["players", "requests", "events", "pods"]
    canary: ArmNumbers
    stable: ArmNumbers
    against: float = 0.0
    against_bar: float = 0.0
    favour: float = 0.0
    favour_bar: float = 0.0
    dispersion: float = 1.0
    needs_seconds: float | None = None
    """Time still needed for a pass at the present pace; None when decided, or when it cannot be told."""
    strata: tuple[StratumReading, ...] = ()
    """Declared providers and markets, each by itself; ``canary`` and ``stable`` count all attempts together."""

    @property
    def excess(self) -> float:
        """Failures of the canary above what stable's rate makes of as many attempts."""
        return _excess(self.canary, self.stable)


def _excess(canary: ArmNumbers, stable: ArmNumbers) -> float:
    rate = stable.bad / stable.total if stable.total else 0.0
    return max(0.0, canary.bad - rate * canary.total)


class Verdict(Value):
    """All gates at one moment. ``reason`` names the gate that decided and its numbers."""

    outcome: Outcome
    code: str
    reason: str
    gates: tuple[GateReading, ...]
    against: float = 0.0
    """Merged evidence for rollback, in bans."""
    against_bar: float = 2.0
    needs_seconds: float | None = None
