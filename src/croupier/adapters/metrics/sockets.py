"""Open WebSockets of each version of a service, as its pods count them: a Gateway tells nobody what goes through it.

Each pod shows them beside its counters (``spec.metrics.pods``):

croupier_open_sockets       gauge; with labels, all of them are added up
"""

from __future__ import annotations

import asyncio
import math

import httpx
from prometheus_client.parser import text_string_to_metric_families

from croupier.adapters.kubernetes_cluster import Cluster
from croupier.adapters.metrics.pods import PATIENCE_SECONDS, fetch_page
from croupier.core.render.version import intent_digest
from croupier.model.workload import Pod
from croupier.ports.workloads import Workloads

OPEN_SOCKETS = "croupier_open_sockets"


class PodSockets:
    """Counts when it is asked to; keeps nothing."""

    def __init__(self, cluster: Cluster, workloads: Workloads) -> None:
        self._cluster = cluster
        self._workloads = workloads
        self._client = httpx.AsyncClient(timeout=PATIENCE_SECONDS, trust_env=False, follow_redirects=False)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def count(self, service: str) -> dict[str, int]:
        """Digest -> open sockets of all its pods. A version of which one pod does not say is missing: it may have any
        number. Raises ``Unreachable`` when nobody knows which pods there are."""
        owner = self._cluster.owner(service)
        where = owner.spec.metrics.pods
        if where is None:
            return {}
        found = {intent_digest(owner.namespace, owner.spec.deployment): 0}  # unless it has pods of its own
        for version in await self._workloads.observe(service):
            told = await asyncio.gather(*(self._of(pod, f":{where.port}{where.path}") for pod in version.pods))
            counts = [count for count in told if count is not None]
            found.pop(version.digest, None)
            if len(counts) == len(told):
                found[version.digest] = sum(counts)
        return found

    async def _of(self, pod: Pod, page: str) -> int | None:
        """None: the pod does not answer, or does not count. One that has no address yet has no sockets either."""
        if pod.endpoint is None:
            return 0
        text = await fetch_page(self._client, f"http://{pod.endpoint.host}{page}")
        return None if text is None else read_sockets(text)


def read_sockets(text: str) -> int | None:
    """Open sockets on a pod's page; None where it does not count them, or is no such page."""
    try:
        families = list(text_string_to_metric_families(text))
    except ValueError:
        return None
    held = [each.value for family in families for each in family.samples if each.name == OPEN_SOCKETS]
    return round(sum(held)) if held and all(map(math.isfinite, held)) else None
