"""Counters of both arms over time, from a Prometheus, by selectors that a user gives: what judge and backtest read.

Each counter is summed by pod at every scrape interval; what had not been scraped for three intervals is absent at that
moment, and absent is never zero. One exception: failures that are a part of the same metric (``code=~"5.."`` of
``http_requests_total``) have no series before the first one, so where the total is there, with that label, they are
none. Of a pod with a series of the total that has no such label nobody knows what fails. Providers and markets that a
gate declares are summed by their label, too.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Collection, Mapping, Sequence

from croupier.adapters.metrics.prometheus_api import PrometheusApi, Ranged
from croupier.errors import Unreachable
from croupier.model.evidence import ArmSample, Count, Sample, SeriesCounts
from croupier.model.judge import ArmSelectors, JudgedService, metric_of

STALE_SCRAPES = 3
UNKNOWN_WEIGHT = 1
"""Percent assumed where nobody tells: so little that a canary with few requests is not one whose traffic vanished."""

Moments = Mapping[float, Mapping[str, float]]
"""Epoch seconds -> pod -> value."""

Counts = dict[float, dict[str, Count]]
"""Epoch seconds -> pod -> counts."""


class RangedCounters:
    """Reads from one Prometheus. ``pod_label``: what tells pods apart; ``scrape_seconds``: how often it scrapes."""

    def __init__(self, api: PrometheusApi, *, pod_label: str, scrape_seconds: float) -> None:
        self._api = api
        self._pod_label = pod_label
        self.scrape_seconds = scrape_seconds

    def grid(self, at: float) -> float:
        """The last moment up to ``at`` that is counted: all readers use the same ones, so that answers repeat."""
        return math.floor(at / self.scrape_seconds) * self.scrape_seconds

    async def read(
        self, service: JudgedService, revisions: Mapping[str, str], begin: float, end: float
    ) -> Sequence[Sample]:
        """One sample a scrape interval from ``begin`` to ``end``, both on the grid; an arm without counters is None.

        Args:
            service: whose counters.
            revisions: ``canary`` and ``stable`` as the caller named them; "" where it did not.
            begin: epoch seconds.
            end: epoch seconds.

        Raises:
            Unreachable: when Prometheus does not give them all, or failures of a total cannot be told apart.
        """
        canary, stable, weights = await asyncio.gather(
            self._arm(service, "canary", revisions, begin, end),
            self._arm(service, "stable", revisions, begin, end),
            self._weights(service, revisions, begin, end),
        )
        count = round((end - begin) / self.scrape_seconds) + 1
        times = [begin + index * self.scrape_seconds for index in range(count)]
        return [Sample(at, weights.get(at, UNKNOWN_WEIGHT), canary.get(at), stable.get(at)) for at in times]

    async def _arm(
        self, service: JudgedService, arm: str, revisions: Mapping[str, str], begin: float, end: float
    ) -> dict[float, ArmSample]:
        wanted: list[tuple[str, ArmSelectors, dict[str, str]]] = []
        for each in service.signals:
            selectors = each.canary if arm == "canary" else each.stable
            if each.signal == "latency":
                edges = [f"{edge:g}" for edge in service.policy.latency_edges]
                wanted += [(f"latency:{edge}", selectors, {**revisions, "edge": edge}) for edge in edges]
            else:
                wanted.append((each.signal, selectors, dict(revisions)))
        read = await asyncio.gather(*(self._series(selectors, names, begin, end) for _, selectors, names in wanted))
        found: dict[float, dict[str, SeriesCounts]] = {}
        told = [(name, moments) for (name, _, _), moments in zip(wanted, read, strict=True)]
        for name, moments in [*told, *await self._strata(service, arm, revisions, begin, end)]:
            for at, counts in moments.items():
                found.setdefault(at, {})[name] = SeriesCounts(counts)
        return {at: ArmSample(series) for at, series in found.items()}

    async def _strata(
        self, service: JudgedService, arm: str, revisions: Mapping[str, str], begin: float, end: float
    ) -> list[tuple[str, Counts]]:
        """The series of declared providers and markets; other values of the label are left out."""
        found = []
        signals = {each.signal: each for each in service.signals}
        for gate in service.policy.gates:
            for declared in gate.strata:
                each = signals[gate.signal]
                selectors = each.canary if arm == "canary" else each.stable
                counted = await self._by_label(selectors, revisions, begin, end, each.strata[declared.by])
                found += [
                    (f"{gate.signal}:{declared.by}={name}", counted[name]) for name in declared.of if name in counted
                ]
        return found

    async def _series(self, selectors: ArmSelectors, names: Mapping[str, str], begin: float, end: float) -> Counts:
        return (await self._by_label(selectors, names, begin, end, "")).get("", {})

    async def _by_label(
        self, selectors: ArmSelectors, names: Mapping[str, str], begin: float, end: float, label: str
    ) -> dict[str, Counts]:
        """Value of the label -> counts; all of them as "" without a label."""
        part = selectors.bad or selectors.good or ""
        totals, parts = await asyncio.gather(
            self._by_pod(filled(selectors.total, names), begin, end, label),
            self._by_pod(filled(part, names), begin, end, label),
        )
        untold = await self._untold(selectors, names, begin, end, label) if totals else {}
        counts = {
            value: self._counts(moments, parts.get(value, {}), untold.get(value, {}), selectors)
            for value, moments in totals.items()
        }
        moments = [pods for each in counts.values() for pods in each.values()]
        if untold and not any(math.isfinite(count.bad) for pods in moments for count in pods.values()):
            total, labels = filled(selectors.total, names), " and ".join(selectors.always_told_by)
            raise Unreachable(f"not all series of {total} have the label {labels}: nobody counts its failures")
        return counts

    async def _untold(
        self, selectors: ArmSelectors, names: Mapping[str, str], begin: float, end: float, label: str
    ) -> dict[str, dict[float, set[str]]]:
        """Value of the label -> pods at each moment that count by another label too: a version may have renamed it."""
        total = filled(selectors.total, names)
        inside = total.partition("{")[2].rstrip("}").rstrip(", ")
        found: dict[str, dict[float, set[str]]] = {}
        for teller in selectors.always_told_by:
            matchers = ",".join([*([inside] if inside else []), f'{teller}=""'])
            without = await self._by_pod(f"{metric_of(total)}{{{matchers}}}", begin, end, label)
            for value, moments in without.items():
                for at, pods in moments.items():
                    found.setdefault(value, {}).setdefault(at, set()).update(pods)
        return found

    @staticmethod
    def _counts(
        totals: Moments, parts: Moments, untold: Mapping[float, Collection[str]], selectors: ArmSelectors
    ) -> Counts:
        missing = 0.0 if selectors.bad_is_part else math.nan
        found: Counts = {}
        for at, pods in totals.items():
            some = {**parts.get(at, {}), **dict.fromkeys(untold.get(at, ()), math.nan)}
            found[at] = {pod: _count(total, some.get(pod, missing), selectors) for pod, total in sorted(pods.items())}
        return found

    async def _by_pod(self, selector: str, begin: float, end: float, label: str) -> Mapping[str, Moments]:
        """Value of the label, or "", -> values by pod."""
        fresh = f"timestamp({selector}) >= time() - {STALE_SCRAPES * self.scrape_seconds:g}"
        by = f"{self._pod_label}, {label}" if label else self._pod_label
        query = f"sum by ({by}) ({selector} and ({fresh}))"
        found: dict[str, dict[float, dict[str, float]]] = {}
        for ranged in await self._api.matrix(query, begin, end, self.scrape_seconds):
            moments = found.setdefault(ranged.labels.get(label, "") if label else "", {})
            for at, value in ranged.values:
                moments.setdefault(at, {})[ranged.labels.get(self._pod_label, "")] = value
        return found

    async def _weights(
        self, service: JudgedService, revisions: Mapping[str, str], begin: float, end: float
    ) -> dict[float, int]:
        if service.weight is None:
            return {}
        found: list[Ranged] = await self._api.matrix(filled(service.weight, revisions), begin, end, self.scrape_seconds)
        if len(found) > 1:
            raise Unreachable(f"the weight of {service.name} is told {len(found)} times", hint="narrow its selector")
        return {
            at: min(100, max(0, round(value))) for each in found for at, value in each.values if math.isfinite(value)
        }


def filled(selector: str, names: Mapping[str, str]) -> str:
    """A selector with ``$canary``, ``$stable`` and ``$edge`` replaced. Names are checked before: they cannot end it."""
    for name, value in names.items():
        selector = selector.replace(f"${name}", value)
    return selector


def _count(total: float, part: float, selectors: ArmSelectors) -> Count:
    bad = part if selectors.bad is not None else total - part
    return Count(total, bad) if math.isfinite(total) and math.isfinite(bad) else Count(math.nan, math.nan)
