"""Metrics of pods: each pod's own counters of requests, read by its address; business signals from a tally's page.

A pod belongs to one version, so its counters belong to one arm. It tells of requests only: what became of deposits is
told by the tally, which is never under release itself (DESIGN §3). ``requests`` says which counters are read.

A pod that does not answer is absent from this scrape; an arm without any answer is missing. A version that was told to
end is still asked while it has pods.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

import httpx
from prometheus_client.parser import text_string_to_metric_families

from croupier.adapters.kubernetes_cluster import Cluster
from croupier.adapters.metrics.requests import PodCounts, SeenUnderSplit, by_series, count_requests
from croupier.adapters.metrics.scrape import ScrapeMetrics
from croupier.core.render.version import Owner
from croupier.errors import CroupierError, Unreachable
from croupier.model.evidence import ArmSample
from croupier.model.workload import Pod
from croupier.ports.metrics import Target
from croupier.ports.traffic import Traffic
from croupier.ports.workloads import Workloads

PATIENCE_SECONDS = 2.0
LARGEST_BYTES = 4 * 1024 * 1024


class PodMetrics:
    """The metrics port on pods and tallies.

    Args:
        cluster: policies say where metrics are.
        workloads: where the pods of a version are.
        traffic: which revision of the split is in force, for counting who was seen under it.
    """

    def __init__(self, cluster: Cluster, workloads: Workloads, traffic: Traffic) -> None:
        self._cluster = cluster
        self._workloads = workloads
        self._seen = SeenUnderSplit(traffic)
        self._client = httpx.AsyncClient(timeout=PATIENCE_SECONDS, trust_env=False, follow_redirects=False)
        self._tallies: dict[str, ScrapeMetrics] = {}

    async def aclose(self) -> None:
        await self._client.aclose()
        for tally in self._tallies.values():
            await tally.aclose()

    async def read(self, targets: Sequence[Target]) -> Mapping[Target, ArmSample]:
        services = sorted({target.service for target in targets})
        read = await asyncio.gather(*(self._read_service(service, targets) for service in services))
        return {target: sample for found in read for target, sample in found.items()}

    async def _read_service(self, service: str, targets: Sequence[Target]) -> dict[Target, ArmSample]:
        """Of one service. One that cannot be read leaves its targets out: others are not to wait for it."""
        mine = [target for target in targets if target.service == service]
        try:
            owner = self._cluster.owner(service)
            versions = {each.digest: each.pods for each in await self._workloads.observe(service)}
        except CroupierError:
            return {}
        pods = [pod for target in mine for pod in versions.get(target.digest, ())]
        counted = await self._count(owner, pods)
        business = await self._business(owner, mine)
        requests = {pod: counts["errors"].total for pod, counts in counted.items() if "errors" in counts}
        revision = await self._seen.note(service, mine, requests)
        found: dict[Target, ArmSample] = {}
        for target in mine:
            names = [pod.name for pod in versions.get(target.digest, ())]
            series = by_series({name: counted.get(name, {}) for name in names})
            told = business.get(target)
            series |= told.series if told is not None else {}
            if series:
                seen = self._seen.since(service, names, requests) if revision is not None else None
                found[target] = ArmSample(series, seen, revision, told.violations if told is not None else {})
        return found

    async def _count(self, owner: Owner, pods: Iterable[Pod]) -> dict[str, PodCounts]:
        """Pod -> its counts; a pod that does not answer is missing."""
        where = owner.spec.metrics.pods
        if where is None:
            return {}
        asked = [pod for pod in pods if pod.endpoint is not None]
        urls = [f"http://{pod.endpoint.host}:{where.port}{where.path}" for pod in asked if pod.endpoint is not None]
        answers = await asyncio.gather(*map(self._fetch, urls))
        return {pod.name: counts for pod, counts in zip(asked, answers, strict=True) if counts is not None}

    async def _fetch(self, url: str) -> PodCounts | None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS), self._client.stream("GET", url) as answer:
                if answer.status_code != httpx.codes.OK:
                    return None
                body = bytearray()
                async for chunk in answer.aiter_bytes():
                    body += chunk
                    if len(body) > LARGEST_BYTES:
                        return None
            return read_pod(body.decode())
        except (httpx.HTTPError, TimeoutError, ValueError):
            return None

    async def _business(self, owner: Owner, targets: Sequence[Target]) -> Mapping[Target, ArmSample]:
        """What the tally says; its arms on a cluster bear no run, because one version serves in one role at a time."""
        url = owner.spec.metrics.tally
        if url is None:
            return {}
        tally = self._tallies.setdefault(url, ScrapeMetrics((url,), self._cluster.clock))
        asked = {Target(target.service, "-", target.digest): target for target in targets}
        try:
            return {asked[key]: sample for key, sample in (await tally.read(list(asked))).items()}
        except Unreachable:
            return {}


def read_pod(text: str) -> PodCounts:
    """Counts of one pod from its page. Raises ``ValueError`` for what is no such page."""
    return count_requests(reading for family in text_string_to_metric_families(text) for reading in family.samples)
