"""Before a release starts: how long its gates will need, what a fault would cost, and whether they can decide at all.

The forecast feeds the gates' own evidence with the counts to be expected, scrape by scrape, so that it cannot drift
away from what they will do. A required gate that cannot pass before the deadline even with a perfect canary is not
passed silently and not waited for in vain: the plan is not decidable, and the options are named with their numbers.
Where stable fails far more than usual, the first option is to wait, and the others are what would do afterwards.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from math import inf, log
from typing import NamedTuple

from croupier.core.gates.dispersion import PRIOR_EVENTS, PRIOR_PLAYERS
from croupier.core.gates.evidence import STRATA_PART, series_names, stake, stratum_series
from croupier.core.gates.fewpods import rise
from croupier.core.gates.likelihood import NotWorse
from croupier.core.gates.recent import Incident, Rate
from croupier.core.gates.series import LATENCY_NULL, LEAST_FAILURES, SATURATED, TELLING, not_worse
from croupier.model.forecast import FaultForecast, Forecast, StepForecast, StratumForecast
from croupier.model.release import GatePolicy, GateSpec, Margin

MOST_BLOCKS = 720
"""A forecast walks at most so many blocks a step; longer deadlines use longer blocks."""

WIDER_POINTS = (1.0, 2.0, 3.0, 5.0, 8.0, 10.0, 15.0, 20.0)
WIDER_RATIOS = (1.5, 2.0, 3.0, 5.0, 10.0)
LOST = 0.03
"""Reference fault of a business signal: 3 % more are lost."""

STRATUM_LOST = 0.10
"""Reference fault of one provider or market: a tenth of what goes through it is lost, and nothing else."""

BROKEN = (0.02, 0.10)
"""Reference faults of HTTP errors."""


def forecast(
    policy: GatePolicy,
    steps: Sequence[int],
    *,
    dwell: float,
    deadline: float,
    scrape_seconds: float,
    traffic: Mapping[str, Rate],
    dispersion: Mapping[str, float],
    few_pods: Collection[str] = (),
    needs_pass: bool = True,
) -> Forecast:
    """What to expect of a release whose canary is as good as stable, and of one that is not.

    Args:
        policy: the gates.
        steps: weights in percent, rising.
        dwell: least seconds at a step.
        deadline: most seconds at a step.
        scrape_seconds: time between samples.
        traffic: series -> rate of the stable arm, all of the service's traffic.
        dispersion: series -> phi; a missing series gets the prior.
        few_pods: series of which stable has one pod or two.
        needs_pass: False: the gates may only take it back, and no step waits for them.
    """
    watched = [step for step in steps if step < 100]
    required = [gate for gate in policy.gates if gate.role == "required"]
    waited_for = [gate for gate in policy.gates if gate in required or _required_strata(gate)]
    walk = _Walk(policy, scrape_seconds, deadline, traffic, _Bursts(dispersion, few_pods))
    times = {gate.signal: walk.times(gate, watched, gate.margin) for gate in waited_for}

    of_steps, problems = [], []
    for index, weight in enumerate(watched):
        slowest = max(waited_for, key=lambda gate: times[gate.signal][index], default=None)
        seconds = times[slowest.signal][index] if slowest is not None else 0.0
        waits_for = slowest.signal if slowest is not None and seconds > dwell else "dwell"
        total = max(seconds, dwell)
        of_steps.append(StepForecast(weight=weight, seconds=None if total == inf else total, waits_for=waits_for))
    if 100 in steps:
        of_steps.append(StepForecast(weight=100, seconds=dwell, waits_for="dwell"))

    options: list[str] = []
    for gate in waited_for:
        late = next((index for index, seconds in enumerate(times[gate.signal]) if seconds > deadline), None)
        if late is not None:
            problems.append(walk.problem(gate, watched[late]))
            options.extend(_options(walk, gate, watched))
    if needs_pass and not required:
        problems.append("no gate is required, so nothing can show that the canary may go on")
        options.append("make at least one gate required")
    known = [step.seconds for step in of_steps if step.seconds is not None]
    return Forecast(
        decidable=not problems,
        seconds=sum(known) if not problems and len(known) == len(of_steps) else None,
        steps=tuple(of_steps),
        faults=tuple(walk.faults(watched[0])) if watched else (),
        strata=tuple(walk.strata(watched)) if watched else (),
        problems=tuple(problems),
        options=tuple(dict.fromkeys(options)),
    )


def _options(walk: _Walk, gate: GateSpec, weights: Sequence[int]) -> Iterator[str]:
    """What would make the gate decidable. An incident is waited for, not planned for."""
    incident = walk.incident(gate)
    if incident is None:
        yield from walk.options(gate, weights)
        return
    over = " if it is over now" if incident.ended_at is None else " at the latest, if nothing more fails"
    yield f"wait until {_time(incident.gone_at)}{over}; asking for the plan again changes nothing"
    usual = walk.usual()
    if max(usual.times(gate, weights, gate.margin)) == inf:
        yield from (f"after that, {option}" for option in usual.options(gate, weights))


class _Bursts(NamedTuple):
    """What is known of how bursty failures are; fields as in ``forecast``."""

    dispersion: Mapping[str, float]
    few_pods: Collection[str]


class _Walk:
    """Feeds expected counts into real evidence."""

    def __init__(
        self,
        policy: GatePolicy,
        scrape_seconds: float,
        deadline: float,
        traffic: Mapping[str, Rate],
        bursts: _Bursts,
    ) -> None:
        self._policy = policy
        self._scrape = scrape_seconds
        self._deadline = deadline
        self._traffic = traffic
        self._known = bursts
        self._bar = log(1.0 / policy.beta)

    def times(self, gate: GateSpec, weights: Sequence[int], margin: Margin) -> list[float]:
        """Seconds each step needs until the gate passes, evidence carried over; inf once one is not decidable."""
        needed = _required_strata(gate)
        if not all(self._telling(gate, name, margin) for name in needed):
            return [inf] * len(weights)
        if gate.role == "required":
            whole = [name for name in series_names(gate, self._policy) if self._telling(gate, name, margin)]
            needed = [*whole, *needed] if whole else []
        return self._times(needed, weights, margin) if needed else [inf] * len(weights)

    def _times(self, series: Sequence[str], weights: Sequence[int], margin: Margin) -> list[float]:
        evidence = {name: not_worse(margin, self._phi(name), self._policy.beta) for name in series}
        times: list[float] = []
        for weight in weights:
            if times and times[-1] == inf:
                times.append(inf)
                continue
            warmup = self._policy.warmup_seconds if not times else 0.0
            needed = [self._feed(evidence[name], self._traffic[name], weight) for name in series]
            times.append(max(needed) + warmup if max(needed) + warmup <= self._deadline else inf)
        return times

    def _feed(self, evidence: NotWorse, rate: Rate, weight: int) -> float:
        block = max(self._scrape, self._deadline / MOST_BLOCKS)
        elapsed = 0.0
        while elapsed < self._deadline:
            canary, stable = self._split(rate, weight, block)
            evidence.update(canary, canary * rate.failure_ratio, stable, stable * rate.failure_ratio)
            elapsed += block
            if evidence.log_evidence >= self._bar:
                return elapsed
        return inf

    def _telling(self, gate: GateSpec, name: str, margin: Margin) -> bool:
        rate = self._traffic.get(name)
        if rate is None or rate.attempts_per_second <= 0.0:
            return False
        if gate.signal != "latency":
            return True
        return rate.failure_ratio <= SATURATED and (margin.points is not None or rate.failure_ratio >= TELLING)

    def _phi(self, name: str) -> float:
        rate = self._traffic.get(name)
        prior = PRIOR_PLAYERS if rate is not None and rate.players else PRIOR_EVENTS
        phi = self._known.dispersion.get(name, prior)
        whole = self._known.dispersion.get(name.partition(":")[0], 1.0) if "=" in name else 1.0
        return max(1.0, phi, whole)

    @staticmethod
    def _split(rate: Rate, weight: int, seconds: float) -> tuple[float, float]:
        attempts = rate.attempts_per_second * seconds
        return attempts * weight / 100.0, attempts * (100 - weight) / 100.0

    # --- what to say when it cannot be decided ---

    def usual(self) -> _Walk:
        """The same with the traffic as it is without incidents."""
        traffic = {name: rate.usual for name, rate in self._traffic.items()}
        return _Walk(self._policy, self._scrape, self._deadline, traffic, self._known)

    def incident(self, gate: GateSpec) -> Incident | None:
        """What stable goes through in the gate's series: the incident that is waited for longest."""
        names = (*series_names(gate, self._policy), *_required_strata(gate))
        rates = [self._traffic[name] for name in names if name in self._traffic]
        found = [rate.incident for rate in rates if rate.incident is not None]
        return max(found, key=lambda each: each.gone_at, default=None)

    def problem(self, gate: GateSpec, weight: int) -> str:
        names = [name for name in series_names(gate, self._policy) if name in self._traffic]
        if not names:
            return f"{gate.signal}: nothing of it was seen in the history, so it cannot be judged"
        if not any(self._telling(gate, name, gate.margin) for name in names):
            return f"{gate.signal}: stable exceeds none of the edges often enough to compare by a ratio"
        if unseen := [name for name in _required_strata(gate) if name not in self._traffic]:
            return f"{unseen[0]} is required, and nothing of it was seen in the history"
        need, name = self._unlimited(gate, weight)
        rate = self._traffic[name]
        pace = rate.attempts_per_second * weight / 100.0
        tail = f"would need {_minutes(need)}" if need < inf else "cannot decide at all"
        what = name if "=" in name else gate.signal
        return (
            f"{what}: at {weight} % the canary gets {pace:.3g} attempts/s, stable fails "
            f"{_failing(rate)}{self._bursts(name)}; a margin of {_margin(gate.margin)} {tail}, "
            f"the deadline is {_minutes(self._deadline)}"
        )

    def _bursts(self, name: str) -> str:
        phi = self._phi(name)
        return f" in bursts ({phi:.0f} count as one)" if phi > PRIOR_EVENTS else ""

    def options(self, gate: GateSpec, weights: Sequence[int]) -> Iterator[str]:
        need, _ = self._unlimited(gate, weights[0])
        if need < inf:
            yield f"raise the deadline to {_minutes(need * 1.5)}"
        for weight in (5, 10, 20, 25, 40, 50):
            if weight > weights[0] and self._decides(gate, [weight], gate.margin):
                yield f"start at {weight} %"
                break
        for margin in _wider(gate.margin):
            if self._decides(gate, weights, margin):
                yield f"widen the margin of {gate.signal} to {_margin(margin)}"
                break
        if gate.margin.ratio is not None:
            for points in WIDER_POINTS:
                if self._decides(gate, weights, Margin(points=points)):
                    yield f"give {gate.signal} a margin in points: {points:g}"
                    break
        if strata := _required_strata(gate):
            yield f"do not require {', '.join(strata)}: they can then take the release back, but nobody waits for them"
        if gate.role == "required":
            yield f"make {gate.signal} a veto: it can then take the release back, but nobody waits for it"

    def _decides(self, gate: GateSpec, weights: Sequence[int], margin: Margin) -> bool:
        return max(self.times(gate, weights, margin)) <= self._deadline

    def _unlimited(self, gate: GateSpec, weight: int) -> tuple[float, str]:
        """Seconds to a pass at one weight, without a deadline, and the series that takes as long."""
        names = series_names(gate, self._policy)
        found = []
        for name in (*names, *_required_strata(gate)):
            if self._telling(gate, name, gate.margin):
                rate = self._traffic[name]
                evidence = not_worse(gate.margin, self._phi(name), self._policy.beta)
                growth = evidence.growth(*self._split(rate, weight, 1.0), rate.failure_ratio)
                found.append((self._bar / growth if growth > 0.0 else inf, name))
        return max(found, key=lambda each: each[0], default=(inf, names[0]))

    # --- what harm would cost ---

    def faults(self, weight: int) -> Iterator[FaultForecast]:
        everything = sum(stake(gate) for gate in self._policy.gates)
        for gate in self._policy.gates:
            bar = log(1.0 / self._policy.alpha) + log(everything / gate.importance)
            bar -= log(1.0 - STRATA_PART) if gate.strata else 0.0
            for words, name, ratio in self._reference(gate):
                seconds, bad = self._notice(gate, name, ratio, weight, bar)
                yield FaultForecast(gate=gate.signal, fault=words, seconds=seconds, bad=bad)

    def strata(self, weights: Sequence[int]) -> Iterator[StratumForecast]:
        """Each declared stratum: when a fault of it alone is found, and when it would pass by itself."""
        everything = sum(stake(gate) for gate in self._policy.gates)
        for gate in self._policy.gates:
            declared = [(each.by, name, name in each.required) for each in gate.strata for name in each.of]
            bar = log(1.0 / self._policy.alpha) + log(everything / gate.importance)
            for by, name, required in declared:
                series = stratum_series(gate.signal, by, name)
                rate = self._traffic.get(series)
                seconds, bad, passes = None, None, inf
                if rate is not None and rate.attempts_per_second > 0.0:
                    ratio = min(rate.failure_ratio + STRATUM_LOST, 1.0)
                    seconds, bad = self._notice(gate, series, ratio, weights[0], bar + log(len(declared) / STRATA_PART))
                    passes = max(self._times([series], weights[:1], gate.margin))
                yield StratumForecast(
                    gate=gate.signal,
                    by=by,
                    name=name,
                    required=required,
                    attempts_per_second=0.0 if rate is None else rate.attempts_per_second,
                    fault=f"{100.0 * STRATUM_LOST:g} % more of them are lost",
                    fault_seconds=seconds,
                    bad=bad,
                    pass_seconds=None if passes == inf else passes,
                )

    def _reference(self, gate: GateSpec) -> Iterator[tuple[str, str, float]]:
        for name in series_names(gate, self._policy):
            rate = self._traffic.get(name)
            if rate is None or rate.attempts_per_second <= 0.0:
                continue
            usual = rate.failure_ratio
            if gate.signal == "errors":
                for broken in BROKEN:
                    if broken > usual:
                        yield f"{100.0 * broken:g} % of requests fail", name, broken
            elif gate.signal == "latency":
                edge = name.removeprefix("latency:")
                yield f"10 % more requests are slower than {edge} s", name, min(usual + 0.1, 1.0)
            else:
                yield f"{100.0 * LOST:g} % more of {gate.signal} are lost", name, min(usual + LOST, 1.0)

    def _notice(
        self, gate: GateSpec, name: str, ratio: float, weight: int, bar: float
    ) -> tuple[float | None, float | None]:
        rate = self._traffic[name]
        rho = LATENCY_NULL if gate.signal == "latency" else 1.0
        share = log(max(1, len(series_names(gate, self._policy))))
        has_few_pods = name in self._known.few_pods
        against = rise(self._phi(name), has_few_pods=has_few_pods, rho=rho)
        block = max(self._scrape, self._deadline / MOST_BLOCKS)
        canary, stable = self._split(rate, weight, block)
        elapsed, bad = 0.0, 0.0
        while elapsed < self._deadline:
            against.update(canary, canary * ratio, stable, stable * rate.failure_ratio, block)
            elapsed += block
            bad += canary * ratio
            if bad >= LEAST_FAILURES and against.log_evidence >= bar + share:
                return elapsed, round(bad, 1)
        return None, None


def _required_strata(gate: GateSpec) -> list[str]:
    """Series that must pass by themselves."""
    return [stratum_series(gate.signal, each.by, name) for each in gate.strata for name in each.required]


def _wider(margin: Margin) -> Iterator[Margin]:
    if margin.points is not None:
        yield from (Margin(points=points) for points in WIDER_POINTS if points > margin.points)
    elif margin.ratio is not None:
        yield from (Margin(ratio=ratio) for ratio in WIDER_RATIOS if ratio > margin.ratio)


def _failing(rate: Rate) -> str:
    incident = rate.incident
    seen = _percent(rate.failure_ratio)
    if incident is None:
        return seen
    usual, began = _percent(incident.usual_ratio), _time(incident.began_at)
    if incident.ended_at is None:
        return f"{seen} since {began} ({usual} before)"
    bad, ended = _percent(incident.failure_ratio), _time(incident.ended_at)
    return f"{seen} in the last quarter of an hour ({bad} from {began} to {ended}, else {usual})"


def _percent(ratio: float) -> str:
    return f"{100.0 * ratio:.3g} %"


def _time(at: float) -> str:
    return datetime.fromtimestamp(at, UTC).strftime("%H:%M:%S UTC")


def _margin(margin: Margin) -> str:
    return f"{margin.points:g} points" if margin.points is not None else f"{margin.ratio:g} times"


def _minutes(seconds: float) -> str:
    return f"{seconds:,.0f} s" if seconds < 600.0 else f"{seconds / 60.0:,.0f} min"
