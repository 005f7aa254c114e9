"""The tally's page: counters as Prometheus text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from croupier_kit.tally_fold import Counters, Fold
from croupier_kit.tally_invariants import INVARIANTS, ArmName
from croupier_kit.tally_visits import ArmVisits

_COUNTERS = (
    ("croupier_signal_attempts_total", "Attempts, counted when decided.", "attempts"),
    ("croupier_signal_failures_total", "Failures among them.", "failures"),
    ("croupier_signal_players_exposed_total", "Players not yet affected, with a decided attempt, per tick.", "exposed"),
    ("croupier_signal_players_affected_total", "First failures of players in a run.", "affected"),
)
_OF_PLAYERS = frozenset({"exposed", "affected"})


def render(fold: Fold, updated_at: float) -> str:
    """The whole page. ``updated_at``: epoch seconds up to which all sources were read."""
    return "\n".join(_lines(fold, updated_at)) + "\n"


def _lines(fold: Fold, updated_at: float) -> Iterator[str]:
    yield from _head("croupier_tally_updated_seconds", "Up to when all sources were read, epoch.", "gauge")
    yield f"croupier_tally_updated_seconds {updated_at:.3f}"
    known = {key.service for key, counters in fold.series.items() if counters.exposed}
    for metric, about, attribute in _COUNTERS:
        yield from _head(metric, about, "counter")
        for key, counters in fold.series.items():
            if attribute in _OF_PLAYERS and key.service not in known:
                continue  # nobody ever said who asks there: requests are counted, and zero players would be a lie
            labels = f'service="{key.service}",run="{key.run}",version="{key.version}"'
            for pod, count in _per_pod(counters, attribute):
                yield f'{metric}{{{labels},pod="{_escaped(pod)}",signal="{key.signal}"}} {count}'
    yield from _of_visits(fold)
    yield from _head("croupier_invariant_violations_total", "What the ledger must never show.", "counter")
    names = {ArmName(key.service, key.run, key.version) for key in fold.series}
    for name in sorted(name for name in names if name.service in fold.invariants.services):
        for invariant in INVARIANTS:
            labels = f'service="{name.service}",run="{name.run}",version="{name.version}",invariant="{invariant}"'
            yield f"croupier_invariant_violations_total{{{labels}}} {fold.invariants.violations[name, invariant]}"
    yield from _head("croupier_outcomes_total", "How attempts ended.", "counter")
    for key, counters in fold.series.items():
        labels = f'service="{key.service}",run="{key.run}",version="{key.version}",signal="{key.signal}"'
        for outcome, count in sorted(counters.outcomes.items()):
            yield f'croupier_outcomes_total{{{labels},outcome="{outcome}"}} {count}'
    yield from _head("croupier_players_seen", "Distinct players at the edge under one revision of a split.", "gauge")
    for arm, players in fold.players_seen.items():
        labels = f'service="{arm.service}",run="{arm.run}",version="{arm.version}",split="{arm.revision}"'
        yield f"croupier_players_seen{{{labels}}} {len(players)}"


_OF_ARMS = (
    ("croupier_player_visits_total", "Visits of players.", "visits"),
    ("croupier_player_visits_squared_total", "Sum over players of their visits squared.", "visit_squares"),
)
_OF_SIGNALS = (
    ("croupier_signal_attempts_squared_total", "Sum over players of their attempts squared.", "squares"),
    ("croupier_signal_attempts_by_visits_total", "Sum over players of attempts times visits.", "products"),
)


def _of_visits(fold: Fold) -> Iterator[str]:
    arms: list[tuple[str, ArmVisits, Iterable[str]]] = [
        (f'service="{service}",run="{run}",version="{version}"', arm, visits.attempts)
        for (service, run), visits in fold.visits.items()
        for version, arm in visits.arms.items()
    ]
    for name, about, attribute in _OF_ARMS:
        yield from _head(name, about, "counter")
        yield from (f"{name}{{{labels}}} {getattr(arm, attribute)}" for labels, arm, _ in arms)
    for name, about, attribute in _OF_SIGNALS:
        yield from _head(name, about, "counter")
        for labels, arm, signals in arms:
            sums: Mapping[str, int] = getattr(arm, attribute)
            yield from (f'{name}{{{labels},signal="{signal}"}} {sums.get(signal, 0)}' for signal in signals)


def _per_pod(counters: Counters, attribute: str) -> Iterable[tuple[str, int]]:
    """Every pod that has attempts has all counters: a counter that appears late would look like a restart."""
    counts: Mapping[str, int] = getattr(counters, attribute)
    return sorted((pod, counts.get(pod, 0)) for pod in counters.attempts)


def _head(name: str, about: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
