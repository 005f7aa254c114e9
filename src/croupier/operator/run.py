"""The operator's process: caches, the lease, the desk and the reconciler under one roof.

Caches fill while the lease is waited for; everything else begins once it is ours. When the lease is lost the process
ends with an error: another operator may be writing by now, and a new start folds the journal again.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from contextlib import AsyncExitStack
from pathlib import Path

from croupier.adapters.clock import SystemClock
from croupier.adapters.history.files import FileHistory
from croupier.adapters.journal.evidence import FileEvidence
from croupier.adapters.journal.sqlite import SqliteJournal
from croupier.adapters.kubernetes_api import (
    BACKEND_TLS_POLICIES,
    DESTINATION_RULES,
    HTTP_ROUTES,
    RELEASE_CALENDARS,
    Resource,
)
from croupier.adapters.kubernetes_client import KubernetesClient
from croupier.adapters.kubernetes_cluster import Cluster
from croupier.adapters.kubernetes_lease import Lease
from croupier.adapters.metrics.cluster import ClusterMetrics
from croupier.adapters.metrics.sockets import PodSockets
from croupier.adapters.traffic.gateway_api import GatewayTraffic
from croupier.adapters.workloads.kubernetes import KubernetesWorkloads
from croupier.engine.desk import Desk
from croupier.errors import CroupierError, Missing, Refused
from croupier.model.service import Platform
from croupier.operator.calendar import current_freezes
from croupier.operator.reconcile import Reconciler

LEASE_NAME = "croupier"
ROUND_SECONDS = 1.0
"""Pause between two looks at all policies; a change in the cluster ends it."""
LEAST_PAUSE_SECONDS = 0.1

log = logging.getLogger(__name__)


async def operate(
    *, context: str | None, kubeconfig: Path | None, namespace: str | None, own_namespace: str, state: Path
) -> None:
    """Run until cancelled.

    Args:
        context: of the kubeconfig; None: the cluster this process runs in.
        kubeconfig: None: the usual one.
        namespace: the only one to look after; None: all.
        own_namespace: where the lease lies.
        state: folder of journal, evidence and keys.

    Raises:
        CroupierError: no way to the cluster, a journal somebody else holds, a lost lease.
    """
    client = KubernetesClient.connect(context, kubeconfig)
    clock = SystemClock()
    async with AsyncExitStack() as closing:
        closing.push_async_callback(client.aclose)
        has_gateway = await _has(client, HTTP_ROUTES)
        if not has_gateway:
            log.warning(
                "this cluster has no Gateway API: only services without spec.route and spec.mesh can be released"
            )
        has_backend_tls = has_gateway and await _has(client, BACKEND_TLS_POLICIES)
        cluster = Cluster(
            client,
            clock,
            namespace=namespace,
            has_gateway=has_gateway,
            has_backend_tls=has_backend_tls,
            has_istio=await _has(client, DESTINATION_RULES),
            has_calendars=await _has(client, RELEASE_CALENDARS),
        )
        holder = f"{socket.gethostname()}-{os.getpid()}"
        lease = Lease(client, clock, namespace=own_namespace, name=LEASE_NAME, holder=holder)
        client.fence = lease.fence
        async with asyncio.TaskGroup() as group:
            following = group.create_task(cluster.run(), name="follow the cluster")
            await cluster.listed()
            log.info("the cluster is known; waiting for %s", lease)
            await lease.run(lambda: _work(cluster, state))
            following.cancel()


async def _work(cluster: Cluster, state: Path) -> None:
    await asyncio.to_thread(state.mkdir, parents=True, exist_ok=True, mode=0o700)
    workloads = KubernetesWorkloads(cluster)
    sockets = PodSockets(cluster, workloads)
    traffic = GatewayTraffic(cluster, sockets.count)
    metrics = ClusterMetrics(cluster, workloads, traffic)
    closing = AsyncExitStack()
    closing.push_async_callback(metrics.aclose)
    closing.push_async_callback(sockets.aclose)
    journal = SqliteJournal(state / "journal.sqlite")
    closing.callback(journal.close)
    desk = Desk(
        platform=Platform(services=()),
        traffic=traffic,
        workloads=workloads,
        metrics=metrics,
        journal=journal,
        evidence=FileEvidence(state / "evidence"),
        clock=cluster.clock,
        closing=closing,
        history=FileHistory(state / "history"),
        freezes=current_freezes(cluster, cluster.policies()),  # a run that is held must not go on before the first turn
    )
    log.info("croupier operates")
    async with asyncio.TaskGroup() as group:
        group.create_task(desk.run(), name="rounds of the desk")
        group.create_task(_reconcile(Reconciler(desk, cluster, workloads, traffic), cluster), name="reconcile")


async def _reconcile(reconciler: Reconciler, cluster: Cluster) -> None:
    is_blind = False
    try:
        while True:
            reconciler.called.clear()
            try:
                await reconciler.round()
                is_blind = False
            except CroupierError as error:
                if not is_blind:  # said once, not in every round
                    log.warning("nothing is decided now: %s", error.message)
                is_blind = True
            await cluster.clock.sleep(LEAST_PAUSE_SECONDS)
            try:
                async with asyncio.timeout(ROUND_SECONDS):
                    await reconciler.called.wait()
            except TimeoutError:
                continue
    finally:
        await reconciler.close()


_NEEDS = {
    BACKEND_TLS_POLICIES: "a policy has spec.route.tls",
    DESTINATION_RULES: "a policy has spec.mesh, where DestinationRules are to hold for versions",
    RELEASE_CALENDARS: "a ReleaseCalendar counts",
}


async def _has(client: KubernetesClient, kind: Resource) -> bool:
    try:
        await client.list(kind, namespace="default")
    except Missing:
        if kind == RELEASE_CALENDARS:
            log.warning(
                "this cluster has no definition of ReleaseCalendar: no freeze counts; apply croupier operator "
                "manifests again, and restart the operator"
            )
        return False
    except Refused as error:
        if kind == HTTP_ROUTES:
            raise
        log.warning("%s: apply croupier operator manifests again before %s", error.message, _NEEDS[kind])
        return False
    return True
