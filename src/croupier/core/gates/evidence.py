"""What is known about a running release: one fold per scrape, from counters to evidence.

``Evidence`` is mutable and small (a few dozen floats a series). ``fold`` changes it in place and returns it; folding
the same samples in the same order always gives the same evidence, so the engine rebuilds it from the evidence segment
after a restart and journal replay gets the same verdicts. A sample that is not newer than the last one is ignored.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from croupier.core.gates.ledger import Ledger
from croupier.core.gates.likelihood import HORIZON_SECONDS
from croupier.core.gates.running import Pace
from croupier.core.gates.series import SeriesEvidence
from croupier.errors import UsageError
from croupier.model.evidence import ArmSample, Sample, SeriesCounts
from croupier.model.release import GatePolicy, GateSpec
from croupier.model.service import BUSINESS, By

VANISHED_PART = 0.1
"""What the bet that attempts vanish adds to a gate's stake. It needs little: such evidence grows fast."""

VOLUME_PART = 0.2
"""What the bet that players attempt less, or far more, adds to a business gate's stake."""

STRATA_PART = 0.5
"""What a gate with strata stakes on them, evenly, of its bet that more attempts fail; the rest is on all together. The
mean of e-values is one, whatever players of two strata have in common; a product would need them to be strangers."""

SETTLE_SECONDS = 15.0
"""Attempts decided right after a change of weight began before it."""


class Stratum:
    """One provider or market of a gate, with evidence of its own."""

    __slots__ = ("by", "is_required", "name", "series")

    def __init__(self, by: By, name: str, series: SeriesEvidence, *, is_required: bool) -> None:
        self.by = by
        self.name = name
        self.series = series
        self.is_required = is_required


class GateEvidence:
    """One gate: its declaration, its series (one, or one per latency edge) and its strata.

    ``every``: all series that are folded.
    """

    __slots__ = ("every", "series", "spec", "strata")

    def __init__(self, spec: GateSpec, series: tuple[SeriesEvidence, ...], strata: tuple[Stratum, ...] = ()) -> None:
        self.spec = spec
        self.series = series
        self.strata = strata
        self.every = (*series, *(stratum.series for stratum in strata))


class Evidence:
    """Everything folded so far. Made by ``new_evidence``, changed by ``fold``, read by ``assess``."""

    __slots__ = (
        "began_at",
        "gates",
        "last_at",
        "ledger",
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
        self.ledger = Ledger()
        self.last_at: float | None = None
        self.began_at: float | None = None
        self.warm_until = float("-inf")
        self.weight = 0
        self.settled_at = float("-inf")


def stake(spec: GateSpec) -> float:
    """A gate's part of the error budget, before it is divided by the sum of all."""
    parts = 1.0
    if spec.signal != "latency":
        parts += VANISHED_PART
    if spec.signal in BUSINESS:
        parts += VOLUME_PART
    return spec.importance * parts


def series_names(spec: GateSpec, policy: GatePolicy) -> tuple[str, ...]:
    """The series a gate reads. Edges are written as the tally writes them: ``latency:0.25``."""
    if spec.signal != "latency":
        return (spec.signal,)
    if not policy.latency_edges:
        raise UsageError("a latency gate needs latency edges", hint="give latencyEdges in seconds, like 0.25, 0.4")
    return tuple(latency_series(edge) for edge in policy.latency_edges)


def stratum_series(signal: str, by: str, name: str) -> str:
    """Written as the tally writes it: ``deposits:provider=psp-b``."""
    return f"{signal}:{by}={name}"


def latency_series(edge_seconds: float) -> str:
    return f"latency:{edge_seconds:g}"


def new_evidence(
    policy: GatePolicy,
    scrape_seconds: float,
    dispersion: Mapping[str, float],
    *,
    few_pods: Collection[str] = (),
    horizon_seconds: float = HORIZON_SECONDS,
) -> Evidence:
    """Evidence of a run that has not begun.

    Args:
        policy: the gates and their error budget.
        scrape_seconds: time between samples.
        dispersion: series -> phi of the stable arm's history, at least 1; a series that is missing gets the prior.
        few_pods: series counted in events of which stable had one pod or two, see ``fewpods``.
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
                has_few_pods=name in few_pods,
            )
            for name in series_names(spec, policy)
        )
        gates.append(GateEvidence(spec, series, _strata(spec, policy, dispersion, few_pods, horizon_seconds)))
    return Evidence(policy, scrape_seconds, tuple(gates))


def _strata(
    spec: GateSpec,
    policy: GatePolicy,
    dispersion: Mapping[str, float],
    few_pods: Collection[str],
    horizon_seconds: float,
) -> tuple[Stratum, ...]:
    """Each stratum with the larger dispersion of its own and the whole signal's: few failures show no bursts."""
    # The objective is the whole signal's; a provider may never have kept it.
    alone = spec.model_copy(update={"objective_ratio": None, "strata": ()})
    strata = []
    for declared in spec.strata:
        for name in declared.of:
            series = stratum_series(spec.signal, declared.by, name)
            known = [dispersion[each] for each in (series, spec.signal) if each in dispersion]
            of_stratum = SeriesEvidence(
                series,
                alone,
                policy,
                max(known, default=None),
                horizon_seconds=horizon_seconds,
                has_few_pods=series in few_pods,
            )
            strata.append(Stratum(declared.by, name, of_stratum, is_required=name in declared.required))
    return tuple(strata)


def fold(evidence: Evidence, sample: Sample) -> Evidence:
    """Fold one scrape of both arms. Changes ``evidence`` in place and returns it."""
    if evidence.last_at is not None and sample.at <= evidence.last_at:
        return evidence
    evidence.last_at = sample.at
    if sample.weight != evidence.weight:
        for gate in evidence.gates:
            for series in gate.every:
                series.pace = Pace()
        evidence.weight = sample.weight
        evidence.settled_at = sample.at + SETTLE_SECONDS
    if evidence.began_at is None and sample.weight > 0 and sample.canary is not None and sample.canary.series:
        evidence.began_at = sample.at
        evidence.warm_until = sample.at + evidence.policy.warmup_seconds
    evidence.ledger.fold(sample.canary, sample.stable)
    for gate in evidence.gates:
        for series in gate.series:
            _fold_series(evidence, series, sample)
        # A pod that is sick is sick for each provider, though it may fail too few of any one to show it there.
        spared = bool(gate.strata) and any(series.set_aside.holding for series in gate.series)
        for stratum in gate.strata:
            _fold_series(evidence, stratum.series, sample, spared=spared)
    return evidence


def _fold_series(evidence: Evidence, series: SeriesEvidence, sample: Sample, *, spared: bool = False) -> None:
    series.fold(
        _series(sample.canary, series.name),
        _series(sample.stable, series.name),
        at=sample.at,
        weight=sample.weight,
        warm_until=evidence.warm_until,
        settled_at=evidence.settled_at,
        spared=spared,
    )


def _series(arm: ArmSample | None, name: str) -> SeriesCounts | None:
    return None if arm is None else arm.series.get(name)
