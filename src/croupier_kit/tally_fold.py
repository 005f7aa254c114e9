"""The counting behind the tally: facts go in, cumulative counters per arm come out. Pure: no I/O, no clock.

An *attempt* (a deposit, a bet, a withdrawal) begins at one moment under one arm, and is *decided* later by facts from
sources that the version under release does not control: the ledger and the partners' books. What is not decided in time
is decided by its deadline. An attempt and its outcome are counted together, when it is decided. Requests at the edge
are attempts that are decided at once.

Facts are handed in as they are read, in any order. ``advance`` counts everything decided before a moment up to which
all sources are known to be complete, in the order of time. So the counters depend on the facts only, not on how the
reading went. What was decided before ``since`` belongs to an earlier life of the tally and is never counted here.

Players (notes on release gates §1.12): an *exposure* is a player, not yet affected in this run, with at least one
decided attempt in one tick of five seconds; the first failure of a player in a run makes the player *affected*. Outside
releases (run "-") the affected are forgotten every ten minutes, so that history keeps its meaning.

The page does not grow for ever: a run goes half an hour after its last decision, and so does what a version counted
outside releases once another version is the one that serves.

Strata: what is known of an attempt's provider or market (``provider=psp-b``) makes it count a second time, in a series
of its own (``deposits:provider=psp-b``) with exposures and affected players of its own. A run has room for sixteen
names of a kind, the first that are counted, whichever arm they come from; outside releases each version has. The
others, and what is no name, are counted as ``other``.
"""

from __future__ import annotations

import heapq
import math
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from croupier_kit.tally_invariants import MEMORY_SECONDS, Invariants
from croupier_kit.tally_visits import Visits

TICK_SECONDS = 5.0
HISTORY_SECONDS = 600.0
LATENCY_EDGES = (0.1, 0.25, 0.4, 1.0)
NO_RUN = "-"
MOST_STRATA = 16
OTHER = "other"

_IDLE_SECONDS = 600.0
"""After so long without a decision, who was exposed and affected in a run is forgotten; its counters stay."""
_OVER_SECONDS = 1800.0
"""After so long without any decision a run is over, and its counters go too: a page that grows with every release is
one day too large to be read."""
_ORPHAN_SECONDS = 300.0
_TIDY_SECONDS = 60.0
_LATENCY_SERIES = tuple((f"latency:{edge:g}", edge) for edge in LATENCY_EDGES)
_STRATUM = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")
_ARM = re.compile(r"^([a-z][a-z0-9-]{0,62})/([A-Za-z0-9-]{1,32})/([0-9a-f]{12})/([0-9]{1,9})$")


Strata = tuple[tuple[str, str], ...]


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
    """An attempt begins. ``player`` is "" when unknown.

    ``strata``: (kind, name), like ("provider", "psp-b"); each kind once.
    """

    at: float
    signal: str
    id: str
    arm: Arm
    player: str
    pod: str
    strata: Strata = ()


class Affected(NamedTuple):
    """A player whose first failure in a run, for one signal, is counted. ``stretch``: of history; 0 in a release."""

    service: str
    run: str
    signal: str
    player: str
    stretch: float


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
    """Where one kind of decision of one arm is counted, looked up once. ``edge``: seconds, for latency.

    ``run``: the series of the whole run, version "".
    """

    counters: Counters
    run: SeriesKey
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
    strata: Strata
    seconds: float | None


@lru_cache(4096)
def parse_arm(text: str) -> Arm | None:
    """Read an arm; None for anything else."""
    match = _ARM.match(text)
    return Arm(match[1], match[2], match[3], int(match[4])) if match else None


class Fold:
    """All counters. Feed it with ``begin``, ``learn``, ``decide`` and ``request``; only ``advance`` counts."""

    def __init__(self, rules: Mapping[str, Rule], *, since: float = 0.0) -> None:
        """``rules``: signal -> how its attempts are decided. ``since``: what was decided before is not counted."""
        self._rules = rules
        self._since = since
        self.series: dict[SeriesKey, Counters] = {}
        self.visits: defaultdict[tuple[str, str], Visits] = defaultdict(Visits)
        """Service and run -> visits of its players; outside releases nobody compares them."""
        self.invariants = Invariants(since)
        self.players_seen: defaultdict[Arm, set[str]] = defaultdict(set)
        self.counted_until = since
        self._open: dict[tuple[str, str], Beginning] = {}
        self._facts: defaultdict[tuple[str, str], dict[str, Fact]] = defaultdict(dict)
        self._deadlines: list[tuple[float, str, str]] = []
        self._ready: list[_Decision] = []
        self._affected: dict[SeriesKey, dict[str, float]] = {}
        """Run and signal (version "", because it is the run that affects) -> player -> stretch of history."""
        self._lanes: dict[tuple[Arm, str, Strata], Sequence[_Lane]] = {}
        self._names: defaultdict[tuple[str, str, str, str], set[str]] = defaultdict(set)
        """Service, run, version ("" in a release, whose arms are compared) and kind of stratum -> its names."""
        self._newly_affected: list[Affected] = []
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
        if request.at < self._since:
            return
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

    def recall(self, affected: Iterable[Affected]) -> None:
        """Before anything is counted: whom runs had affected in an earlier life of the tally."""
        for each in affected:
            run = SeriesKey(each.service, each.run, "", each.signal)
            self._affected.setdefault(run, {})[each.player] = each.stretch

    def take_newly_affected(self) -> Sequence[Affected]:
        """Who has been affected since this was asked last."""
        taken, self._newly_affected = self._newly_affected, []
        return taken

    def affected(self) -> Iterator[Affected]:
        """Who is affected and could be counted again if that were forgotten."""
        stretch = self.counted_until // HISTORY_SECONDS
        for run, players in self._affected.items():
            for player, at in players.items():
                if run.run != NO_RUN or at == stretch:
                    yield Affected(run.service, run.run, run.signal, player, at)

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
        if outcome.at < self._since:
            return
        decision = _Decision(
            outcome.at,
            beginning.id,
            beginning.player,
            beginning.pod,
            beginning.arm,
            beginning.signal,
            outcome.is_good,
            outcome.name,
            beginning.strata,
            seconds,
        )
        heapq.heappush(self._ready, decision)

    def _count(self, decision: _Decision) -> None:
        strata = self._known(decision) if decision.strata else ()
        lanes = self._lanes.get((decision.arm, decision.signal, strata)) or self._make_lanes(decision, strata)
        lanes[0].counters.outcomes[decision.outcome] += 1
        if decision.player and decision.arm.run != NO_RUN:
            visits = self.visits[decision.arm.service, decision.arm.run]
            if decision.seconds is not None:
                visits.request(decision.arm.version, decision.player, decision.at)
            else:
                visits.attempt(decision.arm.version, decision.player, decision.signal)
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
            self._newly_affected.append(Affected(lane.run.service, lane.run.run, lane.run.signal, player, stretch))
            # For the pod that the exposure was counted for, so that no pod has more affected than exposed.
            counters.affected[last[1]] += 1

    def _known(self, decision: _Decision) -> Strata:
        """Its strata, as far as there is room for their names: one that is made up must not fill the page."""
        return tuple((kind, self._name(decision.arm, kind, name)) for kind, name in decision.strata)

    def _name(self, arm: Arm, kind: str, name: str) -> str:
        names = self._names[arm.service, arm.run, arm.version if arm.run == NO_RUN else "", kind]
        if name not in names:
            if len(names) >= MOST_STRATA or not _STRATUM.match(name):
                return OTHER
            names.add(name)
        return name

    def _make_lanes(self, decision: _Decision, strata: Strata) -> Sequence[_Lane]:
        """One lane for the signal itself, one a stratum and, for requests, one a latency edge."""
        arm, edges = decision.arm, _LATENCY_SERIES if decision.seconds is not None else ()
        lanes = []
        of_strata = [(f"{decision.signal}:{kind}={name}", None) for kind, name in strata]
        for signal, edge in ((decision.signal, None), *of_strata, *edges):
            key = SeriesKey(arm.service, arm.run, arm.version, signal)
            counters = self.series.setdefault(key, Counters())
            run = key._replace(version="")
            affected = self._affected.setdefault(run, {})
            lanes.append(_Lane(counters, run, affected, arm.run == NO_RUN, edge))
        self._lanes[arm, decision.signal, strata] = lanes
        return lanes

    def _tidy(self, until: float) -> None:
        """Forget what can no longer matter: facts without an attempt, people of idle runs, and runs long over."""
        self.invariants.forget(until - MEMORY_SECONDS)
        for orphan in [key for key, facts in self._facts.items() if _is_orphaned(facts, until)]:
            del self._facts[orphan]
        # What was recalled stays as long as a run may be idle: its players may be about to come.
        live = set(self._affected) if until < self._since + _IDLE_SECONDS else set()
        known = {key._replace(version="") for key in self.series}
        for key, counters in self.series.items():
            if counters.decided_at < until - _IDLE_SECONDS:
                counters.last_exposure.clear()
            else:
                live.add(key._replace(version=""))
        for run in self._affected.keys() - live:
            self._affected[run].clear()
            if run not in known:
                del self._affected[run]
        self._drop_runs(until - _OVER_SECONDS)

    def _drop_runs(self, before: float) -> None:
        """Drop runs as a whole, so that no series of a live run ever looks as if its pods had restarted."""
        decided_at: defaultdict[_Life, float] = defaultdict(float)
        serving: dict[str, _Life] = {}
        for key, counters in self.series.items():
            life = _life(key)
            decided_at[life] = max(decided_at[life], counters.decided_at)
            if key.run == NO_RUN and decided_at[life] >= decided_at[serving.setdefault(key.service, life)]:
                serving[key.service] = life
        over = {life for life, at in decided_at.items() if at < before and serving.get(life[0]) != life}
        if over:
            self.series = {key: each for key, each in self.series.items() if _life(key) not in over}
            self._affected = {key: each for key, each in self._affected.items() if _life(key) not in over}
            self.invariants.drop(over)
            for life in over:
                self.visits.pop(life[:2], None)
            for arm in [arm for arm in self.players_seen if _life(arm) in over]:
                del self.players_seen[arm]
            for names in [names for names in self._names if names[:3] in over]:
                del self._names[names]
            for lane in [lane for lane in self._lanes if _life(lane[0]) in over]:
                del self._lanes[lane]


_Life = tuple[str, str, str]
"""What is dropped as a whole: (service, run, ""), and outside releases (service, "-", version)."""


def _life(of: SeriesKey | Arm) -> _Life:
    return of.service, of.run, of.version if of.run == NO_RUN else ""


def next_tick(at: float) -> float:
    """Where a tally that starts at ``at`` begins to count: no tick may count a player's exposure in two lives of it."""
    return math.ceil(at / TICK_SECONDS) * TICK_SECONDS


def _is_orphaned(facts: Facts, until: float) -> bool:
    return all(fact.at < until - _ORPHAN_SECONDS for fact in facts.values())
