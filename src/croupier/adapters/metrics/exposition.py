"""The tally's page as values: Prometheus text -> counters per arm. Pure.

Series read (labels ``service, run, version, pod``; others are ignored):
``croupier_signal_{attempts,failures,players_exposed,players_affected}_total{signal}`` per pod, the gauge
``croupier_players_seen{split}`` per split revision, and ``croupier_tally_updated_seconds``, the time of the last
complete count. One provider or market is a signal of its own, ``deposits:provider=psp-b``. Without a pod:
``croupier_invariant_violations_total{invariant}``, and how visits and attempts spread over players,
``croupier_player_visits_total``, ``croupier_player_visits_squared_total`` and per signal
``croupier_signal_attempts_{squared,by_visits}_total``; all four or nothing.

A tally counts all signals of all arms of a run or none of them, so a signal that one arm has and another has not is
zero there: else a version that loses every deposit before it begins would be one of which nothing is known.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as Reading

from croupier.model.evidence import ArmSample, Count, SeriesCounts, Spread

UPDATED = "croupier_tally_updated_seconds"
PLAYERS_SEEN = "croupier_players_seen"
_COUNTERS = {
    "croupier_signal_attempts_total": ("events", 0),
    "croupier_signal_failures_total": ("events", 1),
    "croupier_signal_players_exposed_total": ("players", 0),
    "croupier_signal_players_affected_total": ("players", 1),
}


VIOLATIONS = "croupier_invariant_violations_total"
_VISITS = {"croupier_player_visits_total": "visits", "croupier_player_visits_squared_total": "visit_squares"}
_SPREAD = {"croupier_signal_attempts_squared_total": "squares", "croupier_signal_attempts_by_visits_total": "products"}
NAMES = (*_COUNTERS, *_VISITS, *_SPREAD, VIOLATIONS, PLAYERS_SEEN)
"""All metrics that are read of an arm."""

_NOTHING = {"": Count(0.0, 0.0)}


class ArmKey(NamedTuple):
    """As the tally labels an arm; ``version`` is the short digest."""

    service: str
    run: str
    version: str


class Page(NamedTuple):
    """``updated_at``: epoch seconds; NaN if the page does not tell."""

    updated_at: float
    arms: dict[ArmKey, ArmSample]


class _Arm:
    """Counters of one arm while they are collected: kind -> series -> pod -> [total, bad]."""

    def __init__(self) -> None:
        self.counts: dict[str, dict[str, dict[str, list[float]]]] = {"events": {}, "players": {}}
        self.seen: dict[int, int] = {}
        self.visits: dict[str, float] = {}
        self.spread: dict[str, dict[str, float]] = {}
        self.violations: dict[str, float] = {}

    def sample(self, revision: int | None, signals: Mapping[str, bool], *, began_with_run: bool) -> ArmSample:
        """``signals``: all that are counted in the run -> whether players are known for it."""
        events, players = self.counts["events"], self.counts["players"]
        series = {}
        for name, by_player in sorted(signals.items()):
            of_players = _pods(players[name]) if name in players else None
            if name in events:
                series[name] = SeriesCounts(_pods(events[name]), of_players, self._spread(name))
            else:
                series[name] = SeriesCounts(_NOTHING, _NOTHING if by_player else None, self._spread(name))
        seen = None if revision is None else self.seen.get(revision, 0)
        return ArmSample(series, seen, revision, self.violations, began_with_run)

    def _spread(self, signal: str) -> Spread | None:
        figures = self.visits | self.spread.get(signal, {})
        return Spread(**figures) if len(figures) == len(Spread._fields) else None


def read_page(text: str) -> Page:
    """Parse a page. Raises ``ValueError`` for what is not such a page, or says two things about one counter."""
    if not text.endswith("\n"):
        raise ValueError("the page is cut off: its last line has no end")
    return fold(_readings(text))


def fold(readings: Iterable[Reading]) -> Page:
    """What the readings of one tally say.

    A value that is not finite becomes NaN; a counter whose partner is missing has NaN for it.

    Raises:
        ValueError: for a reading without its labels, or two values of one counter.
    """
    updated_at = math.nan
    arms: defaultdict[ArmKey, _Arm] = defaultdict(_Arm)
    for reading in readings:
        if reading.name == UPDATED:
            updated_at = reading.value
        elif reading.name in _COUNTERS:
            _count(arms, reading)
        elif reading.name == VIOLATIONS and math.isfinite(reading.value):
            arms[_key(reading)].violations[_label(reading, "invariant")] = reading.value
        elif reading.name in _VISITS and math.isfinite(reading.value):
            arms[_key(reading)].visits[_VISITS[reading.name]] = reading.value
        elif reading.name in _SPREAD and math.isfinite(reading.value):
            spread = arms[_key(reading)].spread.setdefault(_label(reading, "signal"), {})
            spread[_SPREAD[reading.name]] = reading.value
        elif reading.name == PLAYERS_SEEN and math.isfinite(reading.value):
            arms[_key(reading)].seen[int(_label(reading, "split"))] = int(reading.value)
    revisions, signals = _latest_revisions(arms), _signals(arms)
    return Page(
        updated_at,
        {
            key: arm.sample(
                revisions.get((key.service, key.run)),
                signals[key.service, key.run],
                began_with_run=key.run != "-",
            )
            for key, arm in arms.items()
        },
    )


def _readings(text: str) -> Iterable[Reading]:
    for family in text_string_to_metric_families(text):
        yield from family.samples


def _count(arms: defaultdict[ArmKey, _Arm], reading: Reading) -> None:
    kind, place = _COUNTERS[reading.name]
    pods = arms[_key(reading)].counts[kind].setdefault(_label(reading, "signal"), {})
    count = pods.setdefault(_label(reading, "pod"), [math.nan, math.nan])
    if not math.isnan(count[place]):
        raise ValueError(f"{reading.name} is given twice for {dict(reading.labels)}")
    count[place] = reading.value if math.isfinite(reading.value) else math.nan


def _latest_revisions(arms: dict[ArmKey, _Arm]) -> dict[tuple[str, str], int]:
    """(service, run) -> newest split under which any of its arms was seen: both arms are counted under the same one."""
    latest: dict[tuple[str, str], int] = {}
    for key, arm in arms.items():
        for revision in arm.seen:
            latest[key.service, key.run] = max(revision, latest.get((key.service, key.run), revision))
    return latest


def _signals(arms: Mapping[ArmKey, _Arm]) -> Mapping[tuple[str, str], Mapping[str, bool]]:
    """(service, run) -> signal -> whether any arm of the run knows players for it."""
    found: defaultdict[tuple[str, str], dict[str, bool]] = defaultdict(dict)
    for key, arm in arms.items():
        signals = found[key.service, key.run]
        for name in arm.counts["events"]:
            signals[name] = signals.get(name, False) or name in arm.counts["players"]
    return found


def _pods(pods: dict[str, list[float]]) -> dict[str, Count]:
    return {pod: Count(*count) for pod, count in sorted(pods.items())}


def _key(reading: Reading) -> ArmKey:
    return ArmKey(_label(reading, "service"), _label(reading, "run"), _label(reading, "version"))


def _label(reading: Reading, name: str) -> str:
    try:
        return reading.labels[name]
    except KeyError:
        raise ValueError(f"{reading.name} has no label {name}") from None
