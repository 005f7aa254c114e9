"""Metrics from a Prometheus: raw counters as it has scraped them, by instant queries with an explicit time.

Three queries answer for all targets of a round: requests of pods, their latency, and what tallies count. Series read,
beside the labels ``job`` and ``instance`` that Prometheus itself adds:

    http_requests_total{namespace, pod, croupier_dev_policy, croupier_dev_version, code}
    http_request_duration_seconds_bucket{namespace, pod, croupier_dev_policy, croupier_dev_version, le}
    what ``exposition`` reads of an arm, and croupier_tally_updated_seconds      as a tally writes them

The two labels of a version are labels of its pods (``podTargetLabels`` of a PodMonitor, or a ``labelmap``); tallies are
scraped with ``honor_labels``, because theirs would be renamed otherwise.

What cannot be trusted is absent: a pod that is no longer scraped, a sample or a tally's count that is older than
``stale_seconds``, a pod or an arm that two scrapes count. All values of a tally come from one query and so from one
scrape. The queries' time moves in steps of the scrape interval: each pod then covers the same number of scrapes between
two reads, though they are not scraped at the same moment.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.samples import Sample as Reading

from croupier.adapters.metrics.exposition import NAMES, UPDATED, ArmKey, fold
from croupier.adapters.metrics.prometheus_api import PATIENCE_SECONDS, PrometheusApi, Series
from croupier.adapters.metrics.requests import BUCKET, REQUESTS, PodCounts, SeenUnderSplit, by_series, count_requests
from croupier.errors import Unreachable
from croupier.model.digest import short
from croupier.model.evidence import ArmSample, Count
from croupier.ports.clock import Clock
from croupier.ports.metrics import Target
from croupier.ports.traffic import Traffic

SETTLE_SECONDS = 2.0
"""How long after its time a scrape may still be on its way into the database."""

POLICY = "croupier_dev_policy"
VERSION = "croupier_dev_version"

log = logging.getLogger(__name__)


@dataclass
class Counted:
    """What a round's queries have found. ``pods``: service and version -> pod -> counts."""

    pods: dict[tuple[str, str], dict[str, PodCounts]] = field(default_factory=dict)
    arms: dict[ArmKey, ArmSample] = field(default_factory=dict)
    problems: set[str] = field(default_factory=set)
    """What is left out, and why."""


class PrometheusMetrics:
    """The metrics port on one Prometheus, or on what answers like it.

    Args:
        url: its address, to which ``/api/v1/query`` is added.
        clock: the time of the queries. A clock that is wrong by more than ``stale_seconds`` finds nothing.
        traffic: which split is in force, for counting who was seen under it where no tally knows players.
        scrape_seconds: how often pods and tallies are scraped.
        stale_seconds: how old a sample may be. None: three scrapes.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        traffic: Traffic,
        *,
        scrape_seconds: float = 15.0,
        stale_seconds: float | None = None,
    ) -> None:
        self._api = PrometheusApi(url)
        self._clock = clock
        self._seen = SeenUnderSplit(traffic)
        self._scrape_seconds = scrape_seconds
        self._stale_seconds = 3 * scrape_seconds if stale_seconds is None else stale_seconds
        self._told: set[str] = set()

    async def aclose(self) -> None:
        await self._api.aclose()

    async def read(self, targets: Sequence[Target]) -> Mapping[Target, ArmSample]:
        if not targets:
            return {}
        step = self._scrape_seconds
        at = math.floor((self._clock.now() - SETTLE_SECONDS) / step) * step
        asked = queries(sorted({short(target.digest) for target in targets}), oldest=at - self._stale_seconds)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                requests, latency, tallies = await asyncio.gather(*(self._api.vector(query, at) for query in asked))
        except TimeoutError as error:
            raise Unreachable(f"Prometheus at {self._api.url} did not answer within {PATIENCE_SECONDS:g} s") from error
        counted = count([*requests, *latency], tallies)
        for problem in sorted(counted.problems - self._told):
            log.warning("not counted: %s", problem)
        self._told = counted.problems
        found: dict[Target, ArmSample] = {}
        for service in sorted({target.service for target in targets}):
            found |= await self._samples(service, [target for target in targets if target.service == service], counted)
        return found

    async def _samples(self, service: str, targets: Sequence[Target], counted: Counted) -> dict[Target, ArmSample]:
        pods = {target: counted.pods.get((service, short(target.digest)), {}) for target in targets}
        requests = {
            pod: counts["errors"].total
            for arm in pods.values()
            for pod, counts in arm.items()
            if "errors" in counts and math.isfinite(counts["errors"].total)
        }
        revision = await self._seen.note(service, targets, requests) if requests else None
        found: dict[Target, ArmSample] = {}
        for target in targets:
            told = counted.arms.get(_arm(target))
            series = by_series(pods[target]) | dict(told.series if told is not None else {})
            if not series:
                continue
            violations = told.violations if told is not None else {}
            if told is not None and told.players_seen is not None:
                seen, of_split = told.players_seen, told.players_revision
                found[target] = ArmSample(series, seen, of_split, violations, told.began_with_run)
            else:
                by_requests = self._seen.since(service, pods[target], requests) if revision is not None else None
                began_with_run = told is not None and told.began_with_run
                found[target] = ArmSample(series, by_requests, revision, violations, began_with_run)
        return found


def queries(versions: Iterable[str], *, oldest: float) -> tuple[str, str, str]:
    """What is asked: requests, latency, tallies.

    Args:
        versions: short digests.
        oldest: epoch seconds; what was scraped, or counted by a tally, before is left out.
    """
    which = "|".join(versions)
    of_pods = (f'{name}{{{VERSION}=~"{which}"}}' for name in (REQUESTS, BUCKET))
    requests, latency = (f"{series} and (timestamp({series}) >= {oldest:.3f})" for series in of_pods)
    names = "|".join(NAMES)
    fresh = f"({UPDATED} >= {oldest:.3f} and timestamp({UPDATED}) >= {oldest:.3f})"
    tallies = f'{{__name__=~"{names}", version=~"{which}"}} and on (job, instance) {fresh}'
    return requests, latency, tallies


def count(requests: Iterable[Series], tallies: Iterable[Series]) -> Counted:
    """Sort series by version and pod, and by tally. What two scrapes tell of is left out, not counted twice."""
    counted = Counted()
    pods: defaultdict[tuple[str, str, str], list[Series]] = defaultdict(list)
    for series in requests:
        labels = series.labels
        if labels.keys() >= {POLICY, VERSION, "namespace", "pod"}:
            pods[f"{labels[POLICY]}.{labels['namespace']}", labels[VERSION], labels["pod"]].append(series)
    for (service, version, pod), mine in pods.items():
        if len({series.source for series in mine}) > 1:
            counted.problems.add(f"pod {pod} of {service} is scraped twice")
        elif any(series.name == REQUESTS for series in mine):
            counted.pods.setdefault((service, version), {})[pod] = _pod_counts(mine)
    by_tally: defaultdict[tuple[str, str], list[Reading]] = defaultdict(list)
    for series in tallies:
        by_tally[series.source].append(series.reading)
    found = [arm for source, readings in by_tally.items() for arm in _arms(source, readings, counted.problems)]
    often = Counter(key for key, _ in found)
    counted.arms = {key: sample for key, sample in found if often[key] == 1}
    counted.problems |= {f"two tallies count {'/'.join(key)}" for key, times in often.items() if times > 1}
    return counted


def _pod_counts(mine: Iterable[Series]) -> PodCounts:
    counts = count_requests(series.reading for series in mine)
    return {
        name: Count(*(value if math.isfinite(value) else math.nan for value in each)) for name, each in counts.items()
    }


def _arms(
    source: tuple[str, str], readings: Iterable[Reading], problems: set[str]
) -> Iterable[tuple[ArmKey, ArmSample]]:
    """What one tally counts. One that makes no sense is a problem of those it counts, not of all."""
    try:
        return fold(readings).arms.items()
    except ValueError as error:
        problems.add(f"the tally {'/'.join(source)} makes no sense: {error}")
        return ()


def _arm(target: Target) -> ArmKey:
    """A tally on a cluster knows no runs: a version serves in one role at a time there (``<service>.<namespace>``)."""
    run = "-" if "." in target.service else target.run
    return ArmKey(target.service, run, short(target.digest))
