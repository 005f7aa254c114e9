"""What a gate answers: pass, fail or inconclusive, with its numbers (S9.7). Inconclusive never promotes."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from croupier.model.base import Value


class Outcome(StrEnum):
    PASS = "pass"
    FAIL = "fail"
    INCONCLUSIVE = "inconclusive"


class ArmNumbers(Value):
    """Totals since the run began: ``bad`` of ``total`` in ``unit``s."""

    bad: float
    total: float


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
