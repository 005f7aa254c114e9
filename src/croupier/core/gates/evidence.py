"""What is known about a running release: one fold per scrape, from counters to evidence.

``Evidence`` is mutable and small (a few dozen floats a series). ``fold`` changes it in place and returns it; folding
the same samples in the same order always gives the same evidence, so the engine rebuilds it from the evidence segment
after a restart and journal replay gets the same verdicts. A sample that is not newer than the last one is ignored.
"""

from __future__ import annotations

from collections.abc import Mapping

from croupier.core.gates.likelihood import HORIZON_SECONDS
from croupier.core.gates.running import Pace
from croupier.core.gates.series import SeriesEvidence
from croupier.errors import UsageError
from croupier.model.evidence import ArmSample, Sample, SeriesCounts
from croupier.model.release import GatePolicy, GateSpec

VANISHED_PART = 0.1
"""What the bet that attempts vanish adds to a gate's stake. It needs little: such evidence grows fast."""

SETTLE_SECONDS = 15.0
"""Attempts decided right after a change of weight began before it."""


class GateEvidence:
    """One gate: its declaration and its series (one, or one per latency edge)."""

    __slots__ = ("series", "spec")

    def __init__(self, spec: GateSpec, series: tuple[SeriesEvidence, ...]) -> None:
        self.spec = spec
        self.series = series


class Evidence:
    """Everything folded so far. Made by ``new_evidence``, changed by ``fold``, read by ``assess``."""

    __slots__ = (
        "began_at",
        "gates",
        "last_at",
        "policy",
        "scrape_seconds",
        "settled_at",
        "warm_until",
        "weight",
    )

    def __init__(self, policy: GatePolicy, scrape_seconds: float, gates: tuple[GateEvidence, ...]) -> None:
        self.policy = policy
        self.scrape_seconds = scrape_seconds
        self.gates = gates
        self.last_at: float | None = None
        self.began_at: float | None = None
        self.warm_until = float("-inf")
        self.weight = 0
        self.settled_at = float("-inf")


def stake(spec: GateSpec) -> float:
    """A gate's part of the error budget, before it is divided by the sum of all."""
    return spec.importance * (1.0 if spec.signal == "latency" else 1.0 + VANISHED_PART)


def series_names(spec: GateSpec, policy: GatePolicy) -> tuple[str, ...]:
    """The series a gate reads. Edges are written as the tally writes them: ``latency:0.25``."""
    if spec.signal != "latency":
        return (spec.signal,)
    if not policy.latency_edges:
        raise UsageError("a latency gate needs latency edges", hint="give latencyEdges in seconds, like 0.25, 0.4")
    return tuple(latency_series(edge) for edge in policy.latency_edges)


def latency_series(edge_seconds: float) -> str:
    return f"latency:{edge_seconds:g}"


def new_evidence(
    policy: GatePolicy,
    scrape_seconds: float,
    dispersion: Mapping[str, float],
    *,
    horizon_seconds: float = HORIZON_SECONDS,
) -> Evidence:
    """Evidence of a run that has not begun.

    Args:
        policy: the gates and their error budget.
        scrape_seconds: time between samples.
        dispersion: series -> phi of the stable arm's history, at least 1; a series that is missing gets the prior.
        horizon_seconds: how long after the start a fault may begin and still be met at full strength.
    """
    gates = []
    for spec in policy.gates:
        series = tuple(
            SeriesEvidence(
                name,
                spec,
                policy,
                dispersion.get(name),
                horizon_seconds=horizon_seconds,
            )
            for name in series_names(spec, policy)
        )
        gates.append(GateEvidence(spec, series))
    return Evidence(policy, scrape_seconds, tuple(gates))


def fold(evidence: Evidence, sample: Sample) -> Evidence:
    """Fold one scrape of both arms. Changes ``evidence`` in place and returns it."""
    if evidence.last_at is not None and sample.at <= evidence.last_at:
        return evidence
    evidence.last_at = sample.at
    if sample.weight != evidence.weight:
        for gate in evidence.gates:
            for series in gate.series:
                series.pace = Pace()
        evidence.weight = sample.weight
        evidence.settled_at = sample.at + SETTLE_SECONDS
    if evidence.began_at is None and sample.weight > 0 and sample.canary is not None and sample.canary.series:
        evidence.began_at = sample.at
        evidence.warm_until = sample.at + evidence.policy.warmup_seconds
    for gate in evidence.gates:
        for series in gate.series:
            series.fold(
                _series(sample.canary, series.name),
                _series(sample.stable, series.name),
                at=sample.at,
                weight=sample.weight,
                warm_until=evidence.warm_until,
                settled_at=evidence.settled_at,
            )
    return evidence


def _series(arm: ArmSample | None, name: str) -> SeriesCounts | None:
    return None if arm is None else arm.series.get(name)
