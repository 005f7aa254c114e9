"""A release seen through its scrapes: cumulative counters of both arms, built block by block."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from croupier.core.gates import Evidence, assess, fold, new_evidence
from croupier.model.evidence import ArmSample, Count, Sample, SeriesCounts
from croupier.model.release import GatePolicy, GateSpec, Margin
from croupier.model.verdict import Verdict

SCRAPE = 5.0


class Release:
    """Plays blocks into real evidence. One pod for the canary, two for stable, one series unless told otherwise."""

    def __init__(self, policy: GatePolicy, dispersion: dict[str, float], *, players: bool, start: float = 1000.0):
        self.policy = policy
        self.evidence: Evidence = new_evidence(policy, SCRAPE, dispersion)
        self.players = players
        self.at = start
        self.weight = 5
        self.samples: list[Sample] = []
        self.counts: dict[tuple[str, str, str], list[float]] = {}
        self.hide: Callable[[str, str, str], bool] = lambda arm, series, pod: False
        self.missing: set[str] = set()

    def add(self, arm: str, series: str, total: float, bad: float, *, pod: str = "0") -> None:
        counter = self.counts.setdefault((arm, series, pod), [0.0, 0.0])
        counter[0] += total
        counter[1] += bad

    def restart(self, arm: str, series: str, pod: str = "0") -> None:
        self.counts[arm, series, pod] = [0.0, 0.0]

    def scrape(self, *, seconds: float = SCRAPE) -> Verdict:
        """Show the counters as they stand, fold, assess."""
        self.at += seconds
        sample = Sample(at=self.at, weight=self.weight, canary=self._arm("canary"), stable=self._arm("stable"))
        self.samples.append(sample)
        fold(self.evidence, sample)
        return self.verdict()

    def block(self, canary: tuple[float, float], stable: tuple[float, float], *, series: str = "deposits") -> Verdict:
        """One scrape interval: (attempts, failures) of each arm."""
        self.add("canary", series, *canary)
        self.add("stable", series, stable[0] / 2, stable[1], pod="0")
        self.add("stable", series, stable[0] / 2, 0.0, pod="1")
        return self.scrape()

    def start(self, *series: str) -> None:
        """The first scrape: only baselines, which start anywhere."""
        for name in series or ("deposits",):
            self.add("canary", name, 40.0, 1.0)
            self.add("stable", name, 7000.0, 12.0, pod="0")
            self.add("stable", name, 9000.0, 3.0, pod="1")
        self.scrape()

    def verdict(self, *, later: float = 0.0) -> Verdict:
        return assess(self.evidence, weight=self.weight, now=self.at + later)

    def _arm(self, arm: str) -> ArmSample | None:
        if arm in self.missing:
            return None
        series: dict[str, dict[str, Count]] = {}
        for (of, name, pod), (total, bad) in self.counts.items():
            if of == arm:
                count = Count(float("nan"), float("nan")) if self.hide(arm, name, pod) else Count(total, bad)
                series.setdefault(name, {})[f"{arm}-{pod}"] = count
        return ArmSample(
            {name: SeriesCounts(counts, counts if self.players else None) for name, counts in series.items()}
        )


@pytest.fixture
def policy() -> GatePolicy:
    return GatePolicy(gates=(GateSpec(signal="deposits", role="required", margin=Margin(points=2.0)),))


@pytest.fixture
def release(policy: GatePolicy) -> Release:
    """A started release with one required deposits gate, counted in players."""
    started = Release(policy, {"deposits": 1.0}, players=True)
    started.start()
    return started


@pytest.fixture
def make_release() -> Callable[..., Release]:
    def make(*gates: GateSpec, players: bool = True, dispersion: dict[str, float] | None = None, **fields: object):
        policy = GatePolicy(gates=gates, **fields)  # type: ignore[arg-type]
        return Release(policy, dispersion if dispersion is not None else {}, players=players)

    return make
