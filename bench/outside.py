"""The shipped gates behind one small interface, so that other people's simulators can score them.

    gate = ReleaseGate(config)
    for block in simulation:              # once per scrape, first at t = 0
        answer = gate.observe(block)      # "promote" | "rollback" | "hold"

This module translates and nothing more: every decision is ``croupier.core.gates``. Arrays may be numpy or lists; numpy
itself is not needed.

config (mapping):
    scrape      seconds between blocks
    alpha       chance, at most, of taking back a release no worse than stable (default 0.01)
    beta        chance, at most, of passing a release worse than its margin (default 0.0125)
    metrics     subset of "errors", "latency", "deposits", "bets"
    warmup      seconds after the start in which only a broken release is taken back (default 0)
    edges_ms    latency bucket edges
    history     the stable arm before the release, or None: attributes or keys ``step`` (seconds), ``requests``,
                ``errors`` and, or None, ``latency_le``, ``attempts``, ``failed``: increments per step, shaped
                (blocks, pods[, edges + 1])
    steps       weights in percent, or None: the weight is fixed and "promote" means nothing
    horizon     seconds the release may last (default 3600)
    dispersion  optional, instead of history: series -> dispersion of the stable arm
    few_pods    optional, beside dispersion: series of which stable had one pod or two
    strata      optional: names of providers that deposits are judged by, too
    strata_by   "provider" (default) or "market": what these names are

block: keys (or attributes) ``t``, ``weight``, ``canary``, ``stable``; each arm None or with cumulative per-pod
``requests``, ``errors`` (NaN: absent in this scrape), ``latency_le`` or None, ``attempts``, ``succeeded`` or None and,
where known, ``players_unaffected``, ``players_newly_affected`` of this block, and ``spread``: cumulative visits of
players, and over both arms the sums of attempts squared, of attempts times visits and of visits squared.
``attempts`` and ``succeeded`` are those of deposits, or of bets where "bets" is gated. ``strata``: name of a provider
-> ``attempts``, ``succeeded`` and, where known, ``players_unaffected`` and ``players_newly_affected`` of it alone.

Where players are known they are the unit of errors and deposits alike: at risk are the players not affected before
this block. A player sits in one arm for the whole release, so their repeated failures are one observation
(release-gates §1.12). Latency has no such counts and stays with requests.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate, pairwise
from math import isnan
from typing import Any, Literal

from croupier.core.gates import Evidence, assess, fails, fold, new_evidence
from croupier.core.gates.dispersion import SeriesDispersion
from croupier.core.gates.evidence import latency_series, stratum_series
from croupier.model.evidence import ArmSample, Count, Sample, SeriesCounts, Spread
from croupier.model.release import GatePolicy, GateSpec, Margin
from croupier.model.service import Strata
from croupier.model.verdict import Outcome

Answer = Literal["promote", "rollback", "hold"]

MARGINS = {
    "errors": Margin(ratio=2.0),
    "latency": Margin(ratio=1.5),
    "deposits": Margin(points=2.0),
    "bets": Margin(points=2.0),
}
IMPORTANCE = {"errors": 3.0, "deposits": 2.0, "bets": 2.0, "latency": 1.0}
PLAYER_MARGIN = Margin(ratio=2.0)
"""Exposure of players may be counted in blocks rather than attempts, which points would depend on; a ratio does not."""

DWELL_SCRAPES = 2


class ReleaseGate:
    """One release. ``observe`` takes one block per scrape and answers for the time until the next."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._scrape = float(config["scrape"])
        self._alpha = float(config.get("alpha") or 0.01)
        self._beta = float(config.get("beta") or 0.0125)
        self._warmup = float(config.get("warmup") or 0.0)
        self._horizon = float(config.get("horizon") or 3600.0)
        self._edges = tuple(float(edge) / 1000.0 for edge in _plain(config.get("edges_ms")) or ())
        metrics = config.get("metrics") or ("errors",)
        self._metrics = [metric for metric in metrics if metric != "latency" or self._edges]
        self._steps = config.get("steps")
        names, by = tuple(config.get("strata") or ()), config.get("strata_by") or "provider"
        self._strata = (Strata(by=by, of=names),) if names else ()
        known, few_pods = config.get("dispersion"), config.get("few_pods") or ()
        if known is None:
            known, few_pods = dispersion(config.get("history"), self._edges)
        self._dispersion, self._few_pods = dict(known), tuple(few_pods)
        self._arms = {arm: _Arm(self._edges, by) for arm in ("canary", "stable")}
        self._waiting: Any = None
        self._evidence: Evidence | None = None
        self._last_t: float | None = None
        self._entered = 0.0
        self._weight: int | None = None
        self._rolled_back = False

    def observe(self, block: Any) -> Answer:
        """Fold one block. A block not newer than the last one changes nothing."""
        t = float(_get(block, "t"))
        if self._last_t is not None and t <= self._last_t:
            return "rollback" if self._rolled_back else "hold"
        self._last_t = t
        weight = round(float(_get(block, "weight") or 0.0))
        if weight != self._weight:
            # The first block at a new weight was served before the step or at its beginning.
            self._weight, self._entered = weight, t - self._scrape if self._weight is not None else t
        if self._evidence is None:
            # The first block holds only baselines; whether players are known shows with the first counts.
            present = all(_get(block, arm) is not None for arm in self._arms)
            if self._waiting is None or not present:
                self._waiting = self._waiting or (block if present else None)
                return "hold"
            self._begin(block)
        verdict = self._fold(block, t, weight)
        self._rolled_back |= verdict is Outcome.FAIL
        if self._rolled_back:
            return "rollback"
        dwelt = t - self._entered >= DWELL_SCRAPES * self._scrape * 0.999
        return "promote" if verdict is Outcome.PASS and dwelt and self._steps is not None else "hold"

    def _begin(self, block: Any) -> None:
        players = all(_players(_get(block, arm)) is not None for arm in self._arms)
        gates = tuple(
            GateSpec(
                signal=metric,
                role="required",
                importance=IMPORTANCE[metric],
                margin=PLAYER_MARGIN if players and metric != "latency" else MARGINS[metric],
                strata=self._strata if metric == "deposits" else (),
            )
            for metric in self._metrics
        )
        policy = GatePolicy(
            gates=gates,
            alpha=self._alpha,
            beta=self._beta,
            warmup_seconds=self._warmup,
            latency_edges=self._edges,
        )
        if players:
            # The history counts events; players' failures are not bursty in that way.
            self._dispersion = {name: phi for name, phi in self._dispersion.items() if name.startswith("latency:")}
            self._few_pods = tuple(name for name in self._few_pods if name.startswith("latency:"))
        for arm in self._arms.values():
            arm.by_player = players
        self._evidence = new_evidence(
            policy, self._scrape, self._dispersion, few_pods=self._few_pods, horizon_seconds=self._horizon
        )
        first, self._waiting = self._waiting, None
        self._fold(first, float(_get(first, "t")), round(float(_get(first, "weight") or 0.0)), baseline=True)

    def _fold(self, block: Any, t: float, weight: int, *, baseline: bool = False) -> Outcome:
        evidence = self._evidence
        assert evidence is not None
        arms = {name: _get(block, name) for name in self._arms}
        players = {name: (0.0, 0.0) if baseline else _players(arm) for name, arm in arms.items()}
        both_known = all(counts is not None for counts in players.values())
        samples = {
            name: self._arms[name].sample(arm, players[name] if both_known else None) for name, arm in arms.items()
        }
        fold(evidence, Sample(at=t, weight=weight, canary=samples["canary"], stable=samples["stable"]))
        if self._steps is None:  # nobody asks for a pass then, and why it fails is never asked
            return Outcome.FAIL if fails(evidence) else Outcome.INCONCLUSIVE
        return assess(evidence, weight=weight, now=t).outcome


class _Arm:
    """Translates one arm's arrays into the counts the gates read."""

    def __init__(self, edges: Sequence[float], by: str) -> None:
        self._by = by
        self._series = [latency_series(edge) for edge in edges]
        self._attempts = _Attempts()
        self._strata: dict[str, _Attempts] = {}
        self.by_player = False

    def sample(self, arm: Any, players: tuple[float, float] | None) -> ArmSample | None:
        """``players``: (at risk, newly affected) of this block, given only when both arms know them."""
        if arm is None:
            return None
        counted = self._attempts.exposed(players) if self.by_player else None
        requests, errors = _plain(_get(arm, "requests")), _plain(_get(arm, "errors"))
        series: dict[str, SeriesCounts] = {}
        if requests is not None and errors is not None:
            series["errors"] = SeriesCounts(_counts(requests, errors), counted)
        elif self.by_player:
            series["errors"] = SeriesCounts({}, counted)
        attempts, succeeded = _plain(_get(arm, "attempts")), _plain(_get(arm, "succeeded"))
        spread = _get(arm, "spread")
        for name in ("deposits", "bets"):
            if attempts is not None and succeeded is not None:
                told = None if spread is None else Spread(*map(float, spread))
                series[name] = SeriesCounts(self._attempts.failed(attempts, succeeded), counted, told)
            elif self.by_player:
                series[name] = SeriesCounts({}, counted)
        for name, stratum in (_get(arm, "strata") or {}).items():
            known = self._strata.setdefault(name, _Attempts())
            series[stratum_series("deposits", self._by, name)] = SeriesCounts(
                known.failed(_plain(_get(stratum, "attempts")), _plain(_get(stratum, "succeeded"))),
                known.exposed(_players(stratum) if players is not None else None) if self.by_player else None,
            )
        buckets = _plain(_get(arm, "latency_le"))
        if buckets is not None:
            for index, name in enumerate(self._series):
                slow = {
                    _pod(pod): Count(float(row[-1]), float(row[-1]) - float(row[index]))
                    for pod, row in enumerate(buckets)
                }
                series[name] = SeriesCounts(slow)
        return ArmSample(series)


class _Attempts:
    """Deposits or bets of one arm, or those through one provider."""

    def __init__(self) -> None:
        self._deposits: dict[str, tuple[float, float, float]] = {}
        self._exposed = 0.0
        self._affected = 0.0

    def exposed(self, players: tuple[float, float] | None) -> Mapping[str, Count]:
        """Cumulative, from (at risk, newly affected) of one block; nothing for a block that does not tell."""
        if players is None:
            return {}
        self._exposed += players[0]
        self._affected += players[1]
        return {"arm": Count(self._exposed, self._affected)}

    def failed(self, attempts: Sequence[float], succeeded: Sequence[float]) -> dict[str, Count]:
        """Failures are attempts without success. One still open would count as failed and then be taken back, which
        must not look like a restart: between restarts the figure only rises."""
        counts = {}
        for index, (all_tried, all_good) in enumerate(zip(attempts, succeeded, strict=False)):
            pod, tried, good = _pod(index), float(all_tried), float(all_good)
            before = self._deposits.get(pod)
            failed = tried - good
            if before is not None and tried >= before[0] and good >= before[1]:
                failed = max(failed, before[2])
            if not isnan(failed):
                self._deposits[pod] = (tried, good, failed)
            counts[pod] = Count(tried, failed)
        return counts


def dispersion(history: Any, edges: Sequence[float]) -> tuple[dict[str, float], tuple[str, ...]]:
    """Series -> phi of the stable arm before the release; and series with few stable pods."""
    if history is None:
        return {}, ()
    step = float(_get(history, "step") or 15.0)
    found = {}
    for name, total_key, bad_key in (("errors", "requests", "errors"), ("deposits", "attempts", "failed")):
        totals, bads = _plain(_get(history, total_key)), _plain(_get(history, bad_key))
        if totals is not None and bads is not None:
            found[name] = _played(zip(totals, bads, strict=False), step)
    buckets = _plain(_get(history, "latency_le"))
    if buckets is not None:
        for index, edge in enumerate(edges):
            rows = (
                ([pod[-1] for pod in row], [pod[-1] - pod[index] for pod in row]) for row in map(_cumulated, buckets)
            )
            found[latency_series(edge)] = _played(rows, step)
    few_pods = tuple(name for name, series in found.items() if series.has_few_pods)
    return {name: series.phi for name, series in found.items()}, few_pods


def _cumulated(pods: Sequence[Sequence[float]]) -> Sequence[Sequence[float]]:
    """Buckets cumulative over their edges, whichever way they came: only per-bucket counts ever fall."""
    if all(low <= high for pod in pods for low, high in pairwise(pod)):
        return pods
    return [list(accumulate(pod)) for pod in pods]


def _played(rows: Iterator[tuple[Sequence[float], Sequence[float]]] | Any, step: float) -> SeriesDispersion:
    series = SeriesDispersion(players=False)
    for number, (totals, bads) in enumerate(rows, 1):
        pods = {
            pod: (total, bad)
            for pod, (total, bad) in enumerate(zip(totals, bads, strict=False))
            if not isnan(total + bad)
        }
        series.add(pods, step, number * step)
    return series


def _players(arm: Any) -> tuple[float, float] | None:
    """(at risk, newly affected) of this block; None where they are not known."""
    unaffected, newly = _get(arm, "players_unaffected"), _get(arm, "players_newly_affected")
    if unaffected is None or newly is None or isnan(unaffected) or isnan(newly):
        return None
    return float(unaffected) + float(newly), float(newly)


def _counts(totals: Sequence[float], bads: Sequence[float]) -> dict[str, Count]:
    names = _NAMES if len(totals) <= len(_NAMES) else map(_pod, range(len(totals)))
    return dict(zip(names, map(Count, map(float, totals), map(float, bads)), strict=False))


_NAMES = [f"pod-{index}" for index in range(256)]


def _pod(index: int) -> str:
    return _NAMES[index] if index < len(_NAMES) else f"pod-{index}"


def _get(thing: Any, name: str) -> Any:
    if type(thing) is dict:
        return thing.get(name)
    if thing is None:
        return None
    return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)


def _plain(array: Any) -> Any:
    """Nested lists of Python numbers: faster to walk than array elements."""
    return array.tolist() if hasattr(array, "tolist") else array
