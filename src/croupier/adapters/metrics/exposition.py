"""The tally's page as values: Prometheus text -> counters per arm. Pure.

Series read (labels ``service, run, version, pod``; others are ignored):
``croupier_signal_{attempts,failures,players_exposed,players_affected}_total{signal}`` per pod, the gauge
``croupier_players_seen{split}`` per split revision, and ``croupier_tally_updated_seconds``, the time of the last
complete count.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample as Reading

from croupier.model.evidence import ArmSample, Count, SeriesCounts

UPDATED = "croupier_tally_updated_seconds"
PLAYERS_SEEN = "croupier_players_seen"
_COUNTERS = {
    "croupier_signal_attempts_total": ("events", 0),
    "croupier_signal_failures_total": ("events", 1),
    "croupier_signal_players_exposed_total": ("players", 0),
    "croupier_signal_players_affected_total": ("players", 1),
}


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

    def sample(self, revision: int | None) -> ArmSample:
        players = self.counts["players"]
        series = {
            name: SeriesCounts(_pods(pods), _pods(players[name]) if name in players else None)
            for name, pods in sorted(self.counts["events"].items())
        }
        return ArmSample(series, None if revision is None else self.seen.get(revision, 0), revision)


def read_page(text: str) -> Page:
    """Parse a page.

    A value that is not finite becomes NaN; a counter whose partner is missing has NaN for it.

    Raises:
        ValueError: for what is not such a page, or says two things about one counter.
    """
    if not text.endswith("\n"):
        raise ValueError("the page is cut off: its last line has no end")
    updated_at = math.nan
    arms: defaultdict[ArmKey, _Arm] = defaultdict(_Arm)
    for reading in _readings(text):
        if reading.name == UPDATED:
            updated_at = reading.value
        elif reading.name in _COUNTERS:
            _count(arms, reading)
        elif reading.name == PLAYERS_SEEN and math.isfinite(reading.value):
            arms[_key(reading)].seen[int(_label(reading, "split"))] = int(reading.value)
    revisions = _latest_revisions(arms)
    return Page(updated_at, {key: arm.sample(revisions.get((key.service, key.run))) for key, arm in arms.items()})


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


def _pods(pods: dict[str, list[float]]) -> dict[str, Count]:
    return {pod: Count(*count) for pod, count in sorted(pods.items())}


def _key(reading: Reading) -> ArmKey:
    return ArmKey(_label(reading, "service"), _label(reading, "run"), _label(reading, "version"))


def _label(reading: Reading, name: str) -> str:
    try:
        return reading.labels[name]
    except KeyError:
        raise ValueError(f"{reading.name} has no label {name}") from None
