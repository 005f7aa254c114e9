"""The counting behind the tally: facts go in, cumulative counters per arm come out. Pure: no I/O, no clock.

An *attempt* (a deposit, a bet, a withdrawal) begins at one moment under one arm, and is *decided* later by facts from
sources that the version under release does not control: the ledger and the partners' books. What is not decided in time
is decided by its deadline. An attempt and its outcome are counted together, when it is decided. Requests at the edge
are attempts that are decided at once.

Facts are handed in as they are read, in any order. ``advance`` counts everything decided before a moment up to which
all sources are known to be complete, in the order of time. So the counters depend on the facts only, not on how the
reading went, and a tally that starts again and reads everything anew comes to the same counters.

Players (notes on release gates §1.12): an *exposure* is a player, not yet affected in this run, with at least one
decided attempt in one tick of five seconds; the first failure of a player in a run makes the player *affected*. Outside
releases (run "-") the affected are forgotten every ten minutes, so that history keeps its meaning.
"""

from __future__ import annotations

import heapq
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

TICK_SECONDS = 5.0
HISTORY_SECONDS = 600.0
LATENCY_EDGES = (0.1, 0.25, 0.4, 1.0)
NO_RUN = "-"

_IDLE_SECONDS = 600.0
"""After so long without a decision, who was exposed and affected in a run is forgotten; its counters stay."""
_OVER_SECONDS = 1800.0
"""After so long without any decision a run is over, and its counters go too: a page that grows with every release is
one day too large to be read."""
_ORPHAN_SECONDS = 300.0
_TIDY_SECONDS = 60.0
_LATENCY_SERIES = tuple((f"latency:{edge:g}", edge) for edge in LATENCY_EDGES)
_ARM = re.compile(r"^([a-z][a-z0-9-]{0,62})/([A-Za-z0-9-]{1,32})/([0-9a-f]{12})/([0-9]{1,9})$")


class Arm(NamedTuple):
    """What the edge stamps: ``<service>/<run>/<version>/<revision of the split>``."""

    service: str
    run: str
    version: str
    revision: int


class SeriesKey(NamedTuple):
    """One series of one arm."""

    service: str
    run: str
    version: str
    signal: str


class Fact(NamedTuple):
    """Something that happened to an attempt. ``amount``: cents, where it matters to the outcome."""

    at: float
    kind: str
    amount: int = 0


class Outcome(NamedTuple):
    """How an attempt ended, and when that was certain."""

    at: float
    name: str
    is_good: bool


Facts = Mapping[str, Fact]
"""Kind -> the first fact of that kind."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How attempts of one signal are decided. ``resolve`` gives None while the facts do not decide."""

    resolve: Callable[[Facts], Outcome | None]
    patience_seconds: float


class Beginning(NamedTuple):
    """An attempt begins. ``player`` is "" when unknown."""

    at: float
    signal: str
    id: str
    arm: Arm
    player: str
    pod: str


class Request(NamedTuple):
    """One request at the edge. ``at``: when it ended."""

    at: float
    arm: Arm
    player: str
    pod: str
    is_failure: bool
    seconds: float


@dataclass(slots=True)
class Counters:
    """Cumulative counts of one series: pod -> count; outcome -> count."""

    attempts: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    failures: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    exposed: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    affected: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    outcomes: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    last_exposure: dict[str, tuple[float, str]] = field(default_factory=dict)
    """Player -> (tick, pod that the exposure was counted for)."""
    decided_at: float = 0.0


class _Lane(NamedTuple):
    """Where one kind of decision of one arm is counted, looked up once. ``edge``: seconds, for latency."""

    counters: Counters
    affected: dict[str, float]
    is_history: bool
    edge: float | None


class _Decision(NamedTuple):
    """Sorts by time, then by what it is about, so that the order never hangs on the reading.

    ``seconds``: how long a request took; None for business attempts.
    """

    at: float
    id: str
    player: str
    pod: str
    arm: Arm
    signal: str
    is_good: bool
    outcome: str
    seconds: float | None


@lru_cache(4096)
def parse_arm(text: str) -> Arm | None:
    """Read an arm; None for anything else."""
    match = _ARM.match(text)
    return Arm(match[1], match[2], match[3], int(match[4])) if match else None


class Fold:
    """All counters. Feed it with ``begin``, ``learn``, ``decide`` and ``request``; only ``advance`` counts."""

    def __init__(self, rules: Mapping[str, Rule]) -> None:
        """``rules``: signal -> how its attempts are decided."""
        self._rules = rules
        self.series: dict[SeriesKey, Counters] = {}
        self.players_seen: defaultdict[Arm, set[str]] = defaultdict(set)
        self.counted_until = 0.0
        self._open: dict[tuple[str, str], Beginning] = {}
        self._facts: defaultdict[tuple[str, str], dict[str, Fact]] = defaultdict(dict)
        self._deadlines: list[tuple[float, str, str]] = []
        self._ready: list[_Decision] = []
        self._affected: dict[SeriesKey, dict[str, float]] = {}
        """Run and signal (version "", because it is the run that affects) -> player -> stretch of history."""
        self._lanes: dict[tuple[Arm, str], Sequence[_Lane]] = {}
        self._tidied_at = 0.0

    def begin(self, beginning: Beginning) -> None:
        """An attempt begins. A second beginning of the same attempt is ignored."""
        key = (beginning.signal, beginning.id)
        if key in self._open:
            return
        self._open[key] = beginning
        patience = self._rules[beginning.signal].patience_seconds
        heapq.heappush(self._deadlines, (beginning.at + patience, *key))
        self._resolve(key)

    def learn(self, signal: str, id_: str, fact: Fact) -> None:
        """Something happened to an attempt, which may have been handed in or not. The first fact of a kind stays."""
        key = (signal, id_)
        known = self._facts[key].get(fact.kind)
        if known is None or fact.at < known.at:
            self._facts[key][fact.kind] = fact
        self._resolve(key)

    def decide(self, beginning: Beginning, outcome: Outcome) -> None:
        """An attempt that begins and is decided at one moment (a login)."""
        self._push(beginning, outcome)

    def request(self, request: Request) -> None:
        """A request at the edge: counts for ``errors`` and for each latency edge."""
        if request.player:
            self.players_seen[request.arm].add(request.player)
        outcome = Outcome(request.at, "failed" if request.is_failure else "answered", not request.is_failure)
        self._push(
            Beginning(request.at, "errors", "", request.arm, request.player, request.pod), outcome, request.seconds
        )

    def advance(self, until: float) -> None:
        """Count what was decided before ``until``; all sources must be complete up to it. Never goes back."""
        if until <= self.counted_until:
            return
        self.counted_until = until
        while self._deadlines and self._deadlines[0][0] < until:
            at, signal, id_ = heapq.heappop(self._deadlines)
            if (signal, id_) in self._open:
                self._close((signal, id_), Outcome(at, "expired", is_good=False))
        while self._ready and self._ready[0].at < until:
            self._count(heapq.heappop(self._ready))
        if until - self._tidied_at > _TIDY_SECONDS:
            self._tidied_at = until
            self._tidy(until)

    def _resolve(self, key: tuple[str, str]) -> None:
        """Close the attempt if its facts decide it within its patience."""
        beginning, facts = self._open.get(key), self._facts.get(key)
        if beginning is None or not facts:
            return
        rule = self._rules[key[0]]
        outcome = rule.resolve(facts)
        if outcome is not None and outcome.at <= beginning.at + rule.patience_seconds:
            self._close(key, outcome)

    def _close(self, key: tuple[str, str], outcome: Outcome) -> None:
        self._facts.pop(key, None)
        self._push(self._open.pop(key), outcome)

    def _push(self, beginning: Beginning, outcome: Outcome, seconds: float | None = None) -> None:
        decision = _Decision(
            outcome.at,
            beginning.id,
            beginning.player,
            beginning.pod,
            beginning.arm,
            beginning.signal,
            outcome.is_good,
            outcome.name,
            seconds,
        )
        heapq.heappush(self._ready, decision)

    def _count(self, decision: _Decision) -> None:
        lanes = self._lanes.get((decision.arm, decision.signal)) or self._make_lanes(decision)
        lanes[0].counters.outcomes[decision.outcome] += 1
        for lane in lanes:
            is_good = decision.is_good if lane.edge is None else (decision.seconds or 0.0) <= lane.edge
            self._add(lane, decision, is_good)

    def _add(self, lane: _Lane, decision: _Decision, is_good: bool) -> None:
        counters, pod, player, at = lane.counters, decision.pod, decision.player, decision.at
        counters.decided_at = at
        counters.attempts[pod] += 1
        if not is_good:
            counters.failures[pod] += 1
        if not player:
            return
        stretch = at // HISTORY_SECONDS if lane.is_history else 0.0
        if lane.affected.get(player) == stretch:
            return
        tick = at // TICK_SECONDS
        last = counters.last_exposure.get(player)
        if last is None or tick > last[0]:
            last = counters.last_exposure[player] = (tick, pod)
            counters.exposed[pod] += 1
        if not is_good:
            lane.affected[player] = stretch
            # For the pod that the exposure was counted for, so that no pod has more affected than exposed.
            counters.affected[last[1]] += 1

    def _make_lanes(self, decision: _Decision) -> Sequence[_Lane]:
        """One lane for the signal itself and, for requests, one a latency edge."""
        arm, edges = decision.arm, _LATENCY_SERIES if decision.seconds is not None else ()
        lanes = []
        for signal, edge in ((decision.signal, None), *edges):
            key = SeriesKey(arm.service, arm.run, arm.version, signal)
            counters = self.series.setdefault(key, Counters())
            affected = self._affected.setdefault(key._replace(version=""), {})
            lanes.append(_Lane(counters, affected, arm.run == NO_RUN, edge))
        self._lanes[arm, decision.signal] = lanes
        return lanes

    def _tidy(self, until: float) -> None:
        """Forget what can no longer matter: facts without an attempt, people of idle runs, and runs long over."""
        for orphan in [key for key, facts in self._facts.items() if _is_orphaned(facts, until)]:
            del self._facts[orphan]
        live = set()
        for key, counters in self.series.items():
            if counters.decided_at < until - _IDLE_SECONDS:
                counters.last_exposure.clear()
            else:
                live.add(key._replace(version=""))
        for run in self._affected.keys() - live:
            self._affected[run].clear()
        self._drop_runs(until - _OVER_SECONDS)

    def _drop_runs(self, before: float) -> None:
        """Drop runs as a whole, so that no series of a live run ever looks as if its pods had restarted."""
        decided_at: dict[tuple[str, str], float] = {}
        for key, counters in self.series.items():
            run = (key.service, key.run)
            decided_at[run] = max(decided_at.get(run, 0.0), counters.decided_at)
        over = {run for run, at in decided_at.items() if run[1] != NO_RUN and at < before}
        if over:
            self.series = {key: each for key, each in self.series.items() if (key.service, key.run) not in over}
            self._affected = {key: each for key, each in self._affected.items() if (key.service, key.run) not in over}
            for arm in [arm for arm in self.players_seen if (arm.service, arm.run) in over]:
                del self.players_seen[arm]
            for lane in [lane for lane in self._lanes if (lane[0].service, lane[0].run) in over]:
                del self._lanes[lane]


def _is_orphaned(facts: Facts, until: float) -> bool:
    return all(fact.at < until - _ORPHAN_SECONDS for fact in facts.values())
