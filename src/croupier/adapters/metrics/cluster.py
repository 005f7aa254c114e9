"""Metrics of services on a cluster: from where each policy says, pods and a tally by address or a Prometheus.

A source that does not answer leaves its own targets out, and says so; other services are not to wait for it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from croupier.adapters.kubernetes_cluster import Cluster
from croupier.adapters.metrics.pods import PodMetrics
from croupier.adapters.metrics.prometheus import PrometheusMetrics
from croupier.core.render.version import intent_digest
from croupier.errors import CroupierError, UnknownName
from croupier.model.evidence import ArmSample
from croupier.ports.metrics import Metrics, Target
from croupier.ports.traffic import Traffic
from croupier.ports.workloads import Workloads

log = logging.getLogger(__name__)


class ClusterMetrics:
    """The metrics port by policy.

    Args:
        cluster: policies say where metrics are.
        workloads: where the pods of a version are.
        traffic: which revision of the split is in force.
    """

    def __init__(self, cluster: Cluster, workloads: Workloads, traffic: Traffic) -> None:
        self._cluster = cluster
        self._traffic = traffic
        self._pods = PodMetrics(cluster, workloads, traffic)
        self._prometheis: dict[tuple[str, float], PrometheusMetrics] = {}
        self._silent: set[str] = set()

    async def aclose(self) -> None:
        await self._pods.aclose()
        for prometheus in self._prometheis.values():
            await prometheus.aclose()

    async def read(self, targets: Sequence[Target]) -> Mapping[Target, ArmSample]:
        parts: defaultdict[Metrics, list[Target]] = defaultdict(list)
        for target in targets:
            parts[self._source(target.service)].append(target)
        read = await asyncio.gather(*(self._read(source, mine) for source, mine in parts.items()))
        found = {target: sample for each in read for target, sample in each.items()}
        shared = {target.service for target in targets if self._is_intent(target)}
        return {
            target: replace(sample, players_seen=None, players_revision=None) if target.service in shared else sample
            for target, sample in found.items()
        }

    def _is_intent(self, target: Target) -> bool:
        """Whether the arm is the intent's own pods. Versions carry the labels that select those, too, so while both run
        what is sent to the intent reaches either, and shares of requests tell nothing about the split."""
        try:
            owner = self._cluster.owner(target.service)
        except UnknownName:
            return False
        return target.digest == intent_digest(owner.namespace, owner.spec.deployment)

    async def _read(self, source: Metrics, targets: Sequence[Target]) -> Mapping[Target, ArmSample]:
        services = {target.service for target in targets}
        try:
            found = await source.read(targets)
        except CroupierError as error:
            if services - self._silent:
                log.warning("no counters of %s: %s", ", ".join(sorted(services)), error)
            self._silent |= services
            return {}
        self._silent -= services
        return found

    def _source(self, service: str) -> Metrics:
        try:
            spec = self._cluster.owner(service).spec
        except UnknownName:
            return self._pods
        if spec.metrics.prometheus is None:
            return self._pods
        key = (spec.metrics.prometheus, spec.strategy.scrape_seconds)
        if key not in self._prometheis:
            url, seconds = key
            clock = self._cluster.clock
            self._prometheis[key] = PrometheusMetrics(url, clock, self._traffic, scrape_seconds=seconds)
        return self._prometheis[key]
