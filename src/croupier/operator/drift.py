"""What somebody has changed about what serves is put back, told once, and written into the journal."""

from __future__ import annotations

import logging

from croupier.adapters.kubernetes_cluster import Cluster
from croupier.adapters.traffic.gateway_api import GatewayTraffic
from croupier.adapters.workloads.kubernetes import KubernetesWorkloads
from croupier.core.intent import Standing, keeps_its_pods, shortfall
from croupier.core.render.version import Owner
from croupier.engine.desk import Desk
from croupier.errors import UnknownName, Unreachable
from croupier.model.digest import short
from croupier.operator.memory import Memory
from croupier.operator.show import Show

TOLD_SECONDS = 60.0
"""How often at most the same drift is told: what another controller changes again and again is put back every time."""

log = logging.getLogger(__name__)


class Drift:
    """Keeps what serves as the journal says; called in every turn of a policy."""

    def __init__(
        self, desk: Desk, cluster: Cluster, workloads: KubernetesWorkloads, traffic: GatewayTraffic, show: Show
    ) -> None:
        self._desk = desk
        self._cluster = cluster
        self._workloads = workloads
        self._traffic = traffic
        self._show = show

    async def put_back(self, owner: Owner, standing: Standing, memory: Memory) -> None:
        """Only what the journal says serves: capacity, route and Service as they must be, the intent at rest."""
        keep = {standing.stable or standing.intent}
        if standing.live is not None:
            keep.add(standing.live.canary)
        found: list[str] = []
        keeper = keeps_its_pods(standing)
        if keeper is not None:
            found += await self._capacity(owner, keeper)
        if standing.stable not in (None, standing.intent) and standing.live is None:
            found += await self._traffic.put_back(owner.service, standing.stable)
            found += await self._rest(owner, standing)
        await self._tell(owner, found, memory)
        done = (
            [] if keeper is None or standing.live is not None else await self._workloads.follow(owner.service, keeper)
        )
        for text in (*done, *await self._workloads.tidy(owner.service, frozenset(keep))):
            log.info("%s: %s", owner.service, text)

    async def _capacity(self, owner: Owner, digest: str) -> list[str]:
        service = owner.service
        before = self._desk.floor(service)
        await self._workloads.hold(service, digest, before)
        versions = {each.digest: each.desired for each in await self._workloads.observe(service)}
        lack = shortfall(
            digest,
            versions.get(digest),
            before=before,
            replicas=owner.spec.replicas,
            is_scaled=self._workloads.is_scaled(service),
        )
        if lack is None:
            return []
        try:
            await self._workloads.ensure(service, digest, lack.replicas)
        except UnknownName as error:
            raise Unreachable(
                f"{short(digest)} serves, its Deployment was deleted, and Git holds another template now",
                hint=f"commit the template of {short(digest)} again: only from it can the version be made",
            ) from error
        return [lack.text]

    async def _rest(self, owner: Owner, standing: Standing) -> list[str]:
        if not standing.intent_runs or standing.leaving:
            return []
        replicas = self._workloads.intent_replicas(owner.service)
        await self._workloads.retire(owner.service, standing.intent)
        return [f"Deployment {owner.spec.deployment} was scaled to {replicas}; it is the intent, and serves nobody"]

    async def _tell(self, owner: Owner, found: list[str], memory: Memory) -> None:
        now = self._cluster.clock.now()
        memory.drift = {text: at for text, at in memory.drift.items() if now - at < TOLD_SECONDS}
        for text in found:
            if text in memory.drift:
                continue
            memory.drift[text] = now
            log.warning("%s: %s; put back", owner.service, text)
            await self._desk.note("drift", {"service": owner.service, "what": text})
            await self._show.event(owner, "PutBack", f"{text}; put back", now, f"drift/{text}/{now:.0f}")
