"""All evidence of one series: what each scrape adds, for and against the canary.

What a scrape can do wrong (release-gates §1.9): an arm missing, pods missing, NaN, a restart, a repeat, a gap. None of
these is ever evidence.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite, log

from croupier.core.gates.counters import NOBODY, Block, PairedCounters
from croupier.core.gates.dispersion import PRIOR_EVENTS, PRIOR_PLAYERS
from croupier.core.gates.fewpods import rise
from croupier.core.gates.likelihood import (
    NotWorse,
    ObjectiveBreach,
    PointsNotWorse,
    RatioNotWorse,
    RatioRise,
    Vanished,
)
from croupier.core.gates.running import Pace, RecentRatio, SharedIncident, Stillness, Totals
from croupier.core.gates.setaside import SickPod
from croupier.core.gates.silence import Silence
from croupier.core.gates.volume import VolumeShift
from croupier.model.evidence import Count, SeriesCounts
from croupier.model.release import GatePolicy, GateSpec, Margin

LEAST_FAILURES = 3.0
"""No gate takes a release back for fewer failures of the canary, however telling (§1.9, zero baseline)."""

LATENCY_NULL = 1.25
"""A build is never exactly as fast as another: this much more time above an edge is no harm (§1.4)."""

SATURATED = 0.6
"""A latency edge that most of stable's requests exceed tells nothing."""

TELLING = 0.01
"""An edge that fewer of stable's requests exceed cannot show, by a ratio, that the canary is not worse."""

STILL_ATTEMPTS = 30.0
"""So many attempts of both arms are missing when nothing is counted any more: not by chance, and soon enough."""

WARM_NULL = 5.0
WARM_RATIO = 0.05
WARM_FAILURES = 30.0
"""While warming up a canary goes back only if it fails at least 1 in 20, at least 30 times, five times as often as
stable, and beyond 10,000 times the usual bar: cold caches do not look like that, a broken release does (§1.8)."""


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
        "_attempts",
        "_counters",
        "_horizon_seconds",
        "_known_phi",
        "_missed",
        "_policy",
        "_recent",
        "_spec",
        "_stillness",
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
        "silence",
        "silent_seconds",
        "totals",
        "vanished",
        "volume",
        "warm",
        "warm_totals",
    )

    def __init__(
        self,
        name: str,
        spec: GateSpec,
        policy: GatePolicy,
        phi: float | None,
        *,
        horizon_seconds: float,
        has_few_pods: bool = False,
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
        self.volume = VolumeShift()
        self.silence = Silence()
        self._attempts = PairedCounters()
        self._recent = RecentRatio()
        self._stillness = Stillness()
        self._counters = PairedCounters()
        self._spec = spec
        self._policy = policy
        self._known_phi = phi
        self._missed = False
        self._horizon_seconds = horizon_seconds
        self._start(phi if phi is not None else PRIOR_EVENTS, has_few_pods=has_few_pods)

    def _start(self, phi: float, *, has_few_pods: bool = False) -> None:
        spec, policy, horizon_seconds = self._spec, self._policy, self._horizon_seconds
        self.phi = max(1.0, phi)
        rho = LATENCY_NULL if spec.signal == "latency" else 1.0
        self.rise = rise(self.phi, has_few_pods=has_few_pods, rho=rho, horizon_seconds=horizon_seconds)
        self.warm = RatioRise(self.phi, rho=WARM_NULL, horizon_seconds=horizon_seconds)
        self.favour = not_worse(spec.margin, self.phi, policy.beta)
        self.guard = None
        if spec.objective_ratio is not None and spec.signal != "latency":
            self.guard = ObjectiveBreach(self.phi, 1.0 - spec.objective_ratio, policy.alpha)

    def fold(
        self,
        canary: SeriesCounts | None,
        stable: SeriesCounts | None,
        *,
        at: float,
        weight: int,
        warm_until: float,
        settled_at: float,
        spared: bool = False,
    ) -> None:
        """Fold one scrape.

        ``settled_at``: from when on attempts stand for the present weight. ``spared``: the block is not to be judged,
        because a canary pod is set aside by counts that this series is a part of.
        """
        block = self._block(canary, stable, at, weight)
        settled = max(settled_at, warm_until)
        if self._spec.signal == "errors":
            self._listen_for_silence(canary, stable, at, weight, settled)
        if canary is not None and stable is not None and canary.spread is not None and stable.spread is not None:
            self._count_volume(canary, stable, at, weight, settled)
        self._missed = block is None
        if block is None:
            return
        self.last_at = at
        self.totals.add(block)
        self.pace.update(block)
        self._stillness.update(block, self.pace)
        began = at - block.seconds
        self._listen(block, weight, settled=began >= settled)
        self._judge(block, at, warming=began < warm_until, spared=spared)

    def _block(self, canary: SeriesCounts | None, stable: SeriesCounts | None, at: float, weight: int) -> Block | None:
        alone = weight >= 100
        if canary is None or (stable is None and not alone):
            return None
        if self.players is None:
            self._choose_unit(canary, stable)
        of_canary, of_stable = self._counts(canary), self._counts(stable)
        if of_canary is None or of_stable is None:
            return None
        return self._counters.advance(of_canary, of_stable, at=at, weight=weight, skipped=self._missed, alone=alone)

    def _choose_unit(self, canary: SeriesCounts, stable: SeriesCounts | None) -> None:
        self.players = canary.players is not None and (stable is None or stable.players is not None)
        if self._known_phi is None and self.players:
            self._start(PRIOR_PLAYERS)

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
            self.vanished.update(block.canary_total, block.stable_total, self.volume.odds(weight))

    def _listen_for_silence(
        self, canary: SeriesCounts | None, stable: SeriesCounts | None, at: float, weight: int, settled: float
    ) -> None:
        """A canary of which nothing is told, while stable's requests are, is no dead source: it is silent."""
        is_told = canary is not None and any(isfinite(total) for total, _ in canary.events.values())
        expected = self.silence.update(is_told, NOBODY if stable is None else stable.events, at)
        if expected > 0.0 and at >= settled and 0 < weight < 100:
            self.vanished.update(0.0, expected, weight / (100.0 - weight))

    def _count_volume(self, canary: SeriesCounts, stable: SeriesCounts, at: float, weight: int, settled: float) -> None:
        """Attempts per visit, whatever the unit of the gate is."""
        if canary.spread is None or stable.spread is None or not 0 < weight < 100:
            return
        self.volume.read(canary.spread, stable.spread)
        block = self._attempts.advance(canary.events, stable.events, at=at, weight=weight, skipped=True)
        if block is None:
            self.volume.skip()
            return
        telling = at - block.seconds >= settled and not self.incident.active
        n, m = block.canary_total, block.stable_total
        self.volume.update(n, m, weight=weight, seconds=block.seconds, telling=telling)

    def _judge(self, block: Block, at: float, *, warming: bool, spared: bool) -> None:
        if block.stable_total > 0.0:
            self.incident.update(block, self.phi)
        sifted = self.set_aside.sift(block, at) if self._spec.signal != "latency" else block
        if sifted is None or (spared and sifted is block):
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
    def is_partial(self) -> bool:
        """Whether the newest block lacks a part of the canary that is there."""
        return self._counters.is_partial

    @property
    def is_still(self) -> bool:
        """Whether nothing of the canary was counted yet at the present weight, or nothing of either arm any more."""
        return self.pace.per_second[0] <= 0.0 or self._stillness.expected >= STILL_ATTEMPTS

    @property
    def log_against(self) -> float:
        """Evidence that the canary is worse, in nats; never above 0 before three failures of the canary."""
        if self._spec.signal == "latency" and self._recent.value > SATURATED:
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
