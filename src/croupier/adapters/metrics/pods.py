"""Metrics of pods: each pod's own counters of requests, read by its address; business signals from a tally's page.

A pod belongs to one version, so its counters belong to one arm. It tells of requests only: what became of deposits is
told by the tally, which is never under release itself (DESIGN §3). ``requests`` says which counters are read.

A pod that does not answer is absent from this scrape; an arm without any answer is missing. A version that was told to
end is still asked while it has pods.
"""

from __future__ import annotations

import asyncio
import contextlib
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
_NOTHING_TOLD = ArmSample({})


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
        owners = self._owners({target.service for target in targets})
        services = (
            self._requests(owner, [each for each in targets if each.service == service])
            for service, owner in owners.items()
        )
        told, *read = await asyncio.gather(self._business(owners, targets), *services)
        found: dict[Target, ArmSample] = {}
        for target, counted in ((target, counted) for each in read for target, counted in each.items()):
            business = told.get(target, _NOTHING_TOLD)
            if series := {**counted.series, **business.series}:
                found[target] = ArmSample(series, counted.players_seen, counted.players_revision, business.violations)
        return found

    def _owners(self, services: Iterable[str]) -> dict[str, Owner]:
        """Without those that no policy speaks of any more."""
        owners = {}
        for service in sorted(services):
            with contextlib.suppress(CroupierError):
                owners[service] = self._cluster.owner(service)
        return owners

    async def _requests(self, owner: Owner, mine: Sequence[Target]) -> dict[Target, ArmSample]:
        """Of one service. One that cannot be read leaves its targets out: others are not to wait for it."""
        try:
            versions = {each.digest: each.pods for each in await self._workloads.observe(owner.service)}
        except CroupierError:
            return {}
        pods = [pod for target in mine for pod in versions.get(target.digest, ())]
        counted = await self._count(owner, pods)
        requests = {pod: counts["errors"].total for pod, counts in counted.items() if "errors" in counts}
        revision = await self._seen.note(owner.service, mine, requests)
        found = {}
        for target in mine:
            names = [pod.name for pod in versions.get(target.digest, ())]
            seen = self._seen.since(owner.service, names, requests) if revision is not None else None
            found[target] = ArmSample(by_series({name: counted.get(name) for name in names}), seen, revision)
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
        text = await fetch_page(self._client, url)
        try:
            return None if text is None else read_pod(text)
        except ValueError:
            return None

    async def _business(self, owners: Mapping[str, Owner], targets: Sequence[Target]) -> Mapping[Target, ArmSample]:
        """What tallies say; each page is read once, however many services stand on it."""
        asked: dict[str, list[Target]] = {}
        for target in targets:
            owner = owners.get(target.service)
            if owner is not None and owner.spec.metrics.tally is not None:
                asked.setdefault(owner.spec.metrics.tally, []).append(target)
        told = await asyncio.gather(*(self._told(url, each) for url, each in asked.items()))
        return {target: sample for each in told for target, sample in each.items()}

    async def _told(self, url: str, targets: Sequence[Target]) -> Mapping[Target, ArmSample]:
        """By one tally; its arms on a cluster bear no run, because one version serves in one role at a time."""
        if url not in self._tallies:
            self._tallies[url] = ScrapeMetrics((url,), self._cluster.clock)
        asked = {Target(target.service, "-", target.digest): target for target in targets}
        try:
            return {asked[key]: sample for key, sample in (await self._tallies[url].read(list(asked))).items()}
        except Unreachable:
            return {}


async def fetch_page(client: httpx.AsyncClient, url: str) -> str | None:
    """What a pod's page says; None when it does not answer in time, or with more than a page has."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS), client.stream("GET", url) as answer:
            if answer.status_code != httpx.codes.OK:
                return None
            body = bytearray()
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > LARGEST_BYTES:
                    return None
        return body.decode()
    except (httpx.HTTPError, TimeoutError, ValueError):
        return None


def read_pod(text: str) -> PodCounts:
    """Counts of one pod from its page. Raises ``ValueError`` for what is no such page."""
    return count_requests(reading for family in text_string_to_metric_families(text) for reading in family.samples)
