"""The tally's page: counters as Prometheus text. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from croupier_kit.tally_fold import Counters, Fold

_COUNTERS = (
    ("croupier_signal_attempts_total", "Attempts, counted when decided.", "attempts"),
    ("croupier_signal_failures_total", "Failures among them.", "failures"),
    ("croupier_signal_players_exposed_total", "Players not yet affected, with a decided attempt, per tick.", "exposed"),
    ("croupier_signal_players_affected_total", "First failures of players in a run.", "affected"),
)


def render(fold: Fold, updated_at: float) -> str:
    """The whole page. ``updated_at``: epoch seconds up to which all sources were read."""
    return "\n".join(_lines(fold, updated_at)) + "\n"


def _lines(fold: Fold, updated_at: float) -> Iterator[str]:
    yield from _head("croupier_tally_updated_seconds", "Up to when all sources were read, epoch.", "gauge")
    yield f"croupier_tally_updated_seconds {updated_at:.3f}"
    for name, about, attribute in _COUNTERS:
        yield from _head(name, about, "counter")
        for key, counters in fold.series.items():
            labels = f'service="{key.service}",run="{key.run}",version="{key.version}"'
            for pod, count in _per_pod(counters, attribute):
                yield f'{name}{{{labels},pod="{_escaped(pod)}",signal="{key.signal}"}} {count}'
    yield from _head("croupier_outcomes_total", "How attempts ended.", "counter")
    for key, counters in fold.series.items():
        labels = f'service="{key.service}",run="{key.run}",version="{key.version}",signal="{key.signal}"'
        for outcome, count in sorted(counters.outcomes.items()):
            yield f'croupier_outcomes_total{{{labels},outcome="{outcome}"}} {count}'
    yield from _head("croupier_players_seen", "Distinct players at the edge under one revision of a split.", "gauge")
    for arm, players in fold.players_seen.items():
        labels = f'service="{arm.service}",run="{arm.run}",version="{arm.version}",split="{arm.revision}"'
        yield f"croupier_players_seen{{{labels}}} {len(players)}"


def _per_pod(counters: Counters, attribute: str) -> Iterable[tuple[str, int]]:
    """Every pod that has attempts has all four counters: a counter that appears late would look like a restart."""
    counts: Mapping[str, int] = getattr(counters, attribute)
    return sorted((pod, counts.get(pod, 0)) for pod in counters.attempts)


def _head(name: str, about: str, kind: str) -> Iterator[str]:
    yield f"# HELP {name} {about}"
    yield f"# TYPE {name} {kind}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
