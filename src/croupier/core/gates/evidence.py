"""What is known about a running release: one fold per scrape, from counters to evidence.

``Evidence`` is mutable and small (a few dozen floats a series). ``fold`` changes it in place and returns it; folding
the same samples in the same order always gives the same evidence, so the engine rebuilds it from the evidence segment
after a restart and journal replay gets the same verdicts. A sample that is not newer than the last one is ignored.

What a scrape can do wrong (release-gates §1.9): an arm missing, pods missing, NaN, a restart, a repeat, a gap. None of
these is ever evidence, for or against.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import log, sqrt

from croupier.core.gates.counters import NOBODY, Block, PairedCounters
from croupier.core.gates.dispersion import PRIOR_EVENTS, PRIOR_PLAYERS
from croupier.core.gates.likelihood import (
    HORIZON_SECONDS,
    NotWorse,
    ObjectiveBreach,
    PointsNotWorse,
    RatioNotWorse,
    RatioRise,
    Vanished,
)
from croupier.core.gates.setaside import SickPod
from croupier.errors import UsageError
from croupier.model.evidence import ArmSample, Count, Sample, SeriesCounts
from croupier.model.release import GatePolicy, GateSpec, Margin

LEAST_FAILURES = 3.0
"""No gate takes a release back for fewer failures of the canary, however telling (§1.9, zero baseline)."""

LATENCY_NULL = 1.25
"""A build is never exactly as fast as another: this much more time above an edge is no harm (§1.4)."""

SATURATED = 0.6
"""An edge that most of stable's requests exceed tells nothing."""

TELLING = 0.01
"""An edge that fewer of stable's requests exceed cannot show, by a ratio, that the canary is not worse."""

WARM_NULL = 5.0
WARM_RATIO = 0.05
WARM_FAILURES = 30.0
"""While warming up a canary goes back only if it fails at least 1 in 20, at least 30 times, five times as often as
stable, and beyond 10,000 times the usual bar: cold caches do not look like that, a broken release does (§1.8)."""

INCIDENT_SECONDS = 300.0
RECENT_SECONDS = 300.0
VANISHED_PART = 0.2
"""What the bet that attempts vanish adds to a gate's stake. It needs little: such evidence grows fast."""

SETTLE_SECONDS = 15.0
"""Attempts decided right after a change of weight began before it."""


@dataclass(slots=True)
class Totals:
    """Exposure and failures of both arms since the run began, for people to read."""

    canary_total: float = 0.0
    canary_bad: float = 0.0
    stable_total: float = 0.0
    stable_bad: float = 0.0

    def add(self, block: Block) -> None:
        self.canary_total += block.canary_total
        self.canary_bad += block.canary_bad
        self.stable_total += block.stable_total
        self.stable_bad += block.stable_bad

    @property
    def stable_ratio(self) -> float:
        return self.stable_bad / self.stable_total if self.stable_total > 0.0 else 0.0

    @property
    def canary_ratio(self) -> float:
        return self.canary_bad / self.canary_total if self.canary_total > 0.0 else 0.0


class SharedIncident:
    """Notices that stable itself fails far more than it did: such a block shows nothing in the canary's favour.

    A level that lasts five minutes is the new normal.
    """

    __slots__ = ("_bad", "_blocks", "_lasting", "_total", "active")

    def __init__(self) -> None:
        self._total = 0.0
        self._bad = 0.0
        self._blocks = 0
        self._lasting = 0.0
        self.active = False

    def update(self, block: Block, phi: float) -> None:
        total, bad = block.stable_total, block.stable_bad
        if total <= 0.0:
            return
        usual = total * (self._bad + 0.5) / (self._total + 1.0)
        self.active = self._blocks >= 3 and bad >= 10.0 and bad > 3.0 * usual + 5.0 * sqrt(phi * (usual + 1.0))
        if self.active:
            self._lasting += block.seconds
            if self._lasting < INCIDENT_SECONDS:
                return
            self._total = self._bad = 0.0
        self._lasting = 0.0
        self._blocks += 1
        self._total += total
        self._bad += bad


class Pace:
    """Exposure per second of both arms over about the last minute, at the present weight."""

    __slots__ = ("_canary", "_seconds", "_stable")

    def __init__(self) -> None:
        self._canary = 0.0
        self._stable = 0.0
        self._seconds = 0.0

    def update(self, block: Block) -> None:
        keep = 60.0 / (60.0 + block.seconds)
        self._canary = self._canary * keep + block.canary_total
        self._stable = self._stable * keep + block.stable_total
        self._seconds = self._seconds * keep + block.seconds

    def reset(self) -> None:
        self._canary = self._stable = self._seconds = 0.0

    @property
    def per_second(self) -> tuple[float, float]:
        if self._seconds <= 0.0:
            return 0.0, 0.0
        return self._canary / self._seconds, self._stable / self._seconds


class RecentRatio:
    """Stable's failure ratio over about the last five minutes."""

    __slots__ = ("_bad", "_total")

    def __init__(self) -> None:
        self._total = 0.0
        self._bad = 0.0

    def update(self, block: Block) -> None:
        keep = RECENT_SECONDS / (RECENT_SECONDS + block.seconds)
        self._total = self._total * keep + block.stable_total
        self._bad = self._bad * keep + block.stable_bad

    @property
    def value(self) -> float:
        return self._bad / self._total if self._total > 0.0 else 0.0


def not_worse(margin: Margin, phi: float, beta: float) -> NotWorse:
    """The non-inferiority bet for a margin as declared."""
    if margin.points is not None:
        return PointsNotWorse(phi, margin.points / 100.0, beta)
    if margin.ratio is None:
        raise ValueError("a margin has a ratio or points")
    return RatioNotWorse(phi, margin.ratio, beta)


class SeriesEvidence:
    """All evidence of one series. The unit (players or events) is what the first complete scrape offers."""

    __slots__ = (
        "_counters",
        "_known_phi",
        "_policy",
        "_recent",
        "_spec",
        "favour",
        "guard",
        "incident",
        "judged",
        "last_at",
        "name",
        "pace",
        "phi",
        "players",
        "rise",
        "set_aside",
        "silent_seconds",
        "totals",
        "vanished",
        "warm",
        "warm_totals",
    )

    def __init__(
        self, name: str, spec: GateSpec, policy: GatePolicy, phi: float | None, *, guarded: bool, horizon_seconds: float
    ) -> None:
        self.name = name
        self.players: bool | None = None
        self.totals = Totals()
        self.judged = Totals()
        self.warm_totals = Totals()
        self.last_at: float | None = None
        self.silent_seconds = 0.0
        self.set_aside = SickPod()
        self.incident = SharedIncident()
        self.pace = Pace()
        self.vanished = Vanished()
        self._recent = RecentRatio()
        self._counters = PairedCounters()
        self._spec = spec
        self._policy = policy
        self._known_phi = phi
        self._start(phi if phi is not None else PRIOR_EVENTS, guarded, horizon_seconds)

    def _start(self, phi: float, guarded: bool, horizon_seconds: float) -> None:
        spec, policy = self._spec, self._policy
        self.phi = max(1.0, phi)
        rho = LATENCY_NULL if spec.signal == "latency" else 1.0
        self.rise = RatioRise(self.phi, rho=rho, horizon_seconds=horizon_seconds)
        self.warm = RatioRise(self.phi, rho=WARM_NULL, horizon_seconds=horizon_seconds)
        self.favour = not_worse(spec.margin, self.phi, policy.beta)
        self.guard = (
            ObjectiveBreach(self.phi, 1.0 - spec.objective_ratio, policy.alpha)
            if guarded and spec.objective_ratio is not None
            else None
        )

    def fold(
        self,
        canary: SeriesCounts | None,
        stable: SeriesCounts | None,
        *,
        at: float,
        weight: int,
        skipped: bool,
        warm_until: float,
        settled_at: float,
    ) -> bool:
        """Fold one scrape; returns whether it completed a block."""
        alone = weight >= 100
        if canary is None or (stable is None and not alone):
            return False
        if self.players is None:
            self._choose_unit(canary, stable)
        of_canary, of_stable = self._counts(canary), self._counts(stable)
        if of_canary is None or of_stable is None:
            return False
        block = self._counters.advance(of_canary, of_stable, at=at, weight=weight, skipped=skipped, alone=alone)
        if block is None:
            return False
        self.last_at = at
        self.totals.add(block)
        self.pace.update(block)
        began = at - block.seconds
        self._listen(block, weight, settled=began >= max(settled_at, warm_until))
        self._judge(block, at, warming=began < warm_until)
        return True

    def _choose_unit(self, canary: SeriesCounts, stable: SeriesCounts | None) -> None:
        self.players = canary.players is not None and (stable is None or stable.players is not None)
        if self._known_phi is None and self.players:
            horizon = HORIZON_SECONDS
            self._start(PRIOR_PLAYERS, self.guard is not None, horizon)

    def _counts(self, arm: SeriesCounts | None) -> Mapping[str, Count] | None:
        """None: this scrape does not offer the unit the run counts in."""
        if arm is None:
            return NOBODY
        return arm.players if self.players else arm.events

    def _listen(self, block: Block, weight: int, *, settled: bool) -> None:
        """A canary that gets traffic but decides nothing is noticed, not taken for a quiet one."""
        if block.canary_total > 0.0:
            self.silent_seconds = 0.0
        elif block.stable_total * weight >= 5.0 * (100 - weight):
            self.silent_seconds += block.seconds
        if settled and self._spec.signal != "latency" and 0 < weight < 100:
            self.vanished.update(block.canary_total, block.stable_total, weight)

    def _judge(self, block: Block, at: float, *, warming: bool) -> None:
        if block.stable_total > 0.0:
            self.incident.update(block, self.phi)
        sifted = self.set_aside.sift(block, at) if self._spec.signal != "latency" else block
        if sifted is None:
            return
        n, k, m, b = sifted.canary_total, sifted.canary_bad, sifted.stable_total, sifted.stable_bad
        if warming:
            self.warm_totals.add(sifted)
            self.warm.update(n, k, m, b, sifted.seconds)
            return
        self.judged.add(sifted)
        self.rise.update(n, k, m, b, sifted.seconds)
        if not self.incident.active and not self.set_aside.holding:
            self.favour.update(n, k, m, b)
        self._recent.update(sifted)
        if self.guard is not None and not self._stable_breaches(sifted, self.guard.allowed):
            self.guard.update(n, k)

    def _stable_breaches(self, block: Block, allowed: float) -> bool:
        """Where stable breaches its objective too, now or lately, the canary's breach says nothing (§1.12)."""
        if block.stable_total <= 0.0:
            return False
        return block.stable_bad > allowed * block.stable_total or self._recent.value > allowed

    @property
    def log_against(self) -> float:
        """Evidence that the canary is worse, in nats; never above 0 before three failures of the canary."""
        if self.judged.stable_ratio > SATURATED:
            return 0.0
        value = self.rise.log_evidence
        return min(value, 0.0) if self.judged.canary_bad < LEAST_FAILURES else value

    @property
    def tells_favour(self) -> bool:
        """Whether this series can show at all that the canary is not worse."""
        if self._spec.signal != "latency":
            return True
        ratio = self.judged.stable_ratio
        return ratio <= SATURATED and (isinstance(self.favour, PointsNotWorse) or ratio >= TELLING)

    @property
    def broken_while_warm(self) -> bool:
        totals = self.warm_totals
        return (
            self._spec.signal != "latency"
            and totals.canary_bad >= WARM_FAILURES
            and totals.canary_ratio >= WARM_RATIO
            and self.warm.log_evidence >= log(1e4 / self._policy.alpha)
        )


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
        "skipped",
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
        self.skipped = False


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
                guarded=spec.signal != "latency",
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
                series.pace.reset()
        evidence.weight = sample.weight
        evidence.settled_at = sample.at + SETTLE_SECONDS
    if evidence.began_at is None and sample.weight > 0 and sample.canary is not None and sample.canary.series:
        evidence.began_at = sample.at
        evidence.warm_until = sample.at + evidence.policy.warmup_seconds
    complete = False
    for gate in evidence.gates:
        for series in gate.series:
            complete |= series.fold(
                _series(sample.canary, series.name),
                _series(sample.stable, series.name),
                at=sample.at,
                weight=sample.weight,
                skipped=evidence.skipped,
                warm_until=evidence.warm_until,
                settled_at=evidence.settled_at,
            )
    evidence.skipped = not complete
    return evidence


def _series(arm: ArmSample | None, name: str) -> SeriesCounts | None:
    return None if arm is None else arm.series.get(name)
