"""A whole cluster in virtual time: API server in memory, a kubelet, a gateway, players, and the operator over them.

Kubelet and gateway are what the operator waits for on a real cluster, as small as they can be: Deployments get pods
that become ready (unless their template says otherwise), routes get the conditions of a gateway that accepts them.
Players go where the route sends them, and where there is none for them, callers where a mesh does; what a version does
to them stands in its template's environment (``DEFECT``).
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from tests.support.world import PER_SECOND, PLAYERS, POLICY, USUAL, Killed, VirtualClock

from croupier.adapters.journal.memory import MemoryEvidence, MemoryJournal
from croupier.adapters.kubernetes_api import (
    BACKEND_TLS_POLICIES,
    DEPLOYMENTS,
    EVENTS,
    HTTP_ROUTES,
    PODS,
    RELEASE_POLICIES,
    RELEASES,
    SERVICES,
    Change,
    Listing,
    Resource,
    open_fence,
)
from croupier.adapters.kubernetes_cluster import Cluster
from croupier.adapters.kubernetes_memory import MemoryKubernetes
from croupier.adapters.metrics.memory import MemoryMetrics
from croupier.adapters.traffic.gateway_api import GatewayTraffic
from croupier.adapters.workloads.kubernetes import KubernetesWorkloads
from croupier.core.render.version import DIGEST, VERSION_LABEL, intent_digest
from croupier.engine.desk import Desk
from croupier.model.digest import short
from croupier.model.evidence import ArmSample, Count, SeriesCounts
from croupier.model.journal import Draft, Entry
from croupier.model.objects import JsonObject
from croupier.model.service import Platform
from croupier.operator.calendar import current_freezes
from croupier.operator.reconcile import Reconciler
from croupier.ports.metrics import Target

NAMESPACE = "casino"
POLICY_NAME = "payments-api"
SERVICE = f"{POLICY_NAME}.{NAMESPACE}"
INTENT = intent_digest(NAMESPACE, POLICY_NAME)
LABELS = {"app.kubernetes.io/name": POLICY_NAME}
GATES = [gate.model_dump(mode="json", by_alias=True, exclude_none=True) for gate in POLICY.gates]

TICK_SECONDS = 2.5
_TURNS = 10_000
"""Most turns of the event loop until everybody has seen what was written. A bound, never reached."""


class Writes:
    """The operator's way to the API server: counts what is written, and kills after one of them."""

    def __init__(self, server: MemoryKubernetes) -> None:
        self._server = server
        self.fence: Callable[[], None] = open_fence
        self.calls: list[str] = []
        self.kill_at: int | None = None
        """Index into ``calls``: the process ends once that is done; None: never."""
        self.is_dead = False

    async def list(self, resource: Resource, *, namespace: str | None = None, labels: str = "") -> Listing:
        return await self._server.list(resource, namespace=namespace, labels=labels)

    def watch(
        self, resource: Resource, *, namespace: str | None = None, labels: str = "", resource_version: str
    ) -> AsyncIterator[Change]:
        return self._server.watch(resource, namespace=namespace, labels=labels, resource_version=resource_version)

    async def get(self, resource: Resource, name: str, *, namespace: str | None = None) -> JsonObject | None:
        return await self._server.get(resource, name, namespace=namespace)

    async def apply(self, obj: JsonObject, *, force: bool = True) -> JsonObject:
        number = self.before(f"apply {obj['kind']} {obj['metadata']['name']}")
        answer = await self._server.apply(obj, force=force)
        self.after(number)
        return answer

    async def patch_status(self, obj: JsonObject) -> JsonObject:
        number = self.before(f"status {obj['kind']} {obj['metadata']['name']}")
        answer = await self._server.patch_status(obj)
        self.after(number)
        return answer

    async def delete(
        self, resource: Resource, name: str, *, namespace: str | None = None, uid: str | None = None
    ) -> None:
        number = self.before(f"delete {resource.kind} {name}")
        await self._server.delete(resource, name, namespace=namespace, uid=uid)
        self.after(number)

    def before(self, call: str) -> int:
        if self.is_dead:
            raise Killed(call)
        if not call.startswith("journal"):
            self.fence()
        self.calls.append(call)
        return len(self.calls) - 1

    def after(self, number: int) -> None:
        if self.kill_at == number:
            self.is_dead = True
            raise Killed(self.calls[number])


class JournalWrites:
    """The operator's journal, on the same tripwire."""

    def __init__(self, journal: MemoryJournal, writes: Writes) -> None:
        self._journal = journal
        self._writes = writes

    def append(self, drafts: Sequence[Draft], *, way_back: bool = False) -> Sequence[Entry]:
        number = self._writes.before("journal " + " ".join(draft.kind for draft in drafts))
        entries = self._journal.append(drafts, way_back=way_back)
        self._writes.after(number)
        return entries

    def read(self, *, after: int = 0, subject: str | None = None) -> Iterator[Entry]:
        return self._journal.read(after=after, subject=subject)

    def newest(self, kind: str, subject: str) -> Entry | None:
        return self._journal.newest(kind, subject)

    def verify(self) -> int:
        return self._journal.verify()


@dataclass
class Operator:
    """One process of the operator: what is lost when it is killed."""

    cluster: Cluster
    desk: Desk
    reconciler: Reconciler
    workloads: KubernetesWorkloads
    traffic: GatewayTraffic
    following: asyncio.Task[None]

    async def round(self) -> None:
        await self.reconciler.round()
        await self.desk.round()

    async def stop(self) -> None:
        """As the end of the process: what was being carried out is given up."""
        await self.reconciler.close()
        with suppress(Killed, BaseExceptionGroup):
            await self.desk.close()
        self.following.cancel()
        with suppress(asyncio.CancelledError):
            await self.following


class SmallCluster:
    """What outlives an operator. ``async with SmallCluster.begin() as world`` runs kubelet and gateway beside.

    Attributes:
        git, person: the API server as a GitOps loop and as somebody with kubectl see it.
        writes: the operator's own way to it.
        quota: why no more pods may be made; "" lets everything run.
    """

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.server = MemoryKubernetes(self.clock)
        self.git = self.server.acting_as("git")
        self.person = self.server.acting_as("kubectl")
        self.journal = MemoryJournal()
        self.evidence = MemoryEvidence()
        self.metrics = MemoryMetrics()
        self.writes = Writes(self.server)
        self.quota = ""
        self.gateway_says = "True"
        self.mesh_says = "True"
        """Status of its conditions; "": there is no mesh."""
        self.gateway_says_of_tls = "True"
        """Status of its condition; "": it knows no BackendTLSPolicy."""
        self.losing: set[str] = set()
        """Short digests of versions that lose deposits from now on, whatever their template says."""
        self.sockets: dict[str, int] = {}
        """Short digest -> sockets that its pods count; absent: they count none, or do not say."""
        self._kubelet = self.server.acting_as("kubelet")
        self._gateway = self.server.acting_as("gateway")
        self._counts: dict[tuple[Target, str, str], list[float]] = {}
        self._operators: list[Operator] = []

    @classmethod
    @asynccontextmanager
    async def begin(cls) -> AsyncIterator[SmallCluster]:
        world = cls()
        async with asyncio.TaskGroup() as group:
            beside = [
                group.create_task(world._each(world._kubelet, DEPLOYMENTS, world._run_pods), name="kubelet"),
                group.create_task(world._each(world._gateway, HTTP_ROUTES, world._accept), name="gateway"),
                group.create_task(world._each(world._gateway, BACKEND_TLS_POLICIES, world._heed), name="its TLS"),
            ]
            try:
                yield world
            finally:
                for operator in world._operators:
                    await operator.stop()
                for task in beside:
                    task.cancel()

    async def operator(
        self, *, has_gateway: bool = True, has_backend_tls: bool = True, has_istio: bool = True
    ) -> Operator:
        """A new process, as after a start."""
        cluster = Cluster(
            self.writes, self.clock, has_gateway=has_gateway, has_backend_tls=has_backend_tls, has_istio=has_istio
        )
        following = asyncio.create_task(cluster.run(), name="follow the cluster")  # noqa: TID251
        await cluster.listed()
        workloads, traffic = KubernetesWorkloads(cluster), GatewayTraffic(cluster, self._open_sockets)
        desk = Desk(
            platform=Platform(services=()),
            traffic=traffic,
            workloads=workloads,
            metrics=self.metrics,
            journal=JournalWrites(self.journal, self.writes),
            evidence=self.evidence,
            clock=self.clock,
            freezes=current_freezes(cluster, cluster.policies()),
        )
        made = Operator(cluster, desk, Reconciler(desk, cluster, workloads, traffic), workloads, traffic, following)
        self._operators.append(made)
        return made

    async def _open_sockets(self, service: str) -> dict[str, int]:
        digests = ((each["metadata"].get("annotations") or {}).get(DIGEST, "") for each in self.all(DEPLOYMENTS))
        found = {digest: self.sockets[short(digest)] for digest in digests if short(digest) in self.sockets}
        return {INTENT: 0, **found}

    # --- what people and Git do ---------------------------------------------------------------------------------------

    async def commit(
        self, *, replicas: int = 0, name: str = POLICY_NAME, config: bool = True, ports: Sequence[int] = (), **env: str
    ) -> None:
        """The Deployment in Git, with this environment; its pods declare ``ports``."""
        container: JsonObject = {
            "name": "app",
            "image": f"registry.example/{name}:{env.get('BUILD', '1')}",
            "env": [{"name": key, "value": value} for key, value in sorted(env.items())],
        }
        if config:
            container["envFrom"] = [{"configMapRef": {"name": f"{name}-config"}}]
        if ports:
            container["ports"] = [{"containerPort": each} for each in ports]
        labels = {**LABELS, "app.kubernetes.io/name": name}
        await self.git.apply(
            {
                "apiVersion": "apps/v1",
                "kind": "Deployment",
                "metadata": {"name": name, "namespace": NAMESPACE},
                "spec": {
                    "replicas": replicas,
                    "selector": {"matchLabels": labels},
                    "template": {"metadata": {"labels": labels}, "spec": {"containers": [container]}},
                },
            }
        )

    async def configure(self, name: str = f"{POLICY_NAME}-config", **data: str) -> None:
        kind = {"apiVersion": "v1", "kind": "ConfigMap"}
        await self.git.apply({**kind, "metadata": {"name": name, "namespace": NAMESPACE}, "data": data})

    async def declare(self, *, name: str = POLICY_NAME, **spec: Any) -> None:
        """The policy in Git. ``route`` is a usual one unless given; ``route=None``: none."""
        values: JsonObject = {
            "deployment": name,
            "service": {"name": name},
            "route": {"parentRefs": [{"name": "public"}], "hostnames": ["pay.example"]},
            "tier": "money",
            "replicas": 4,
            "gates": GATES,
            "strategy": {"dwellSeconds": 10.0, "bakeSeconds": 10.0, "deadlineSeconds": 120.0},
            **spec,
        }
        values = {key: value for key, value in values.items() if value is not None}
        kind = {"apiVersion": RELEASE_POLICIES.api_version, "kind": RELEASE_POLICIES.kind}
        await self.git.apply({**kind, "metadata": {"name": name, "namespace": NAMESPACE}, "spec": values})

    async def annotate(self, name: str = POLICY_NAME, **annotations: str) -> None:
        """``retry`` and ``leave``, as a person sets them."""
        kind = {"apiVersion": RELEASE_POLICIES.api_version, "kind": RELEASE_POLICIES.kind}
        written = {f"croupier.dev/{key}": value for key, value in annotations.items()}
        await self.person.apply({**kind, "metadata": {"name": name, "namespace": NAMESPACE, "annotations": written}})

    async def change(self, resource: Resource, name: str, change: Callable[[JsonObject], None]) -> None:
        """Somebody edits an object by hand."""
        obj = copy.deepcopy(self.find(resource, name))
        change(obj)
        await self.person.replace(obj)

    async def select_by_expressions(self, name: str = POLICY_NAME) -> None:
        """The Deployment in Git is made anew, and selects the same pods in the other way."""
        obj = copy.deepcopy(self.find(DEPLOYMENTS, name))
        labels = obj["spec"]["selector"].pop("matchLabels")
        wanted = [{"key": key, "operator": "In", "values": [value]} for key, value in labels.items()]
        obj["spec"]["selector"]["matchExpressions"] = wanted
        obj["metadata"] = {key: obj["metadata"][key] for key in ("name", "namespace")}
        obj.pop("status", None)
        await self.git.delete(DEPLOYMENTS, name, namespace=NAMESPACE)
        await self.git.create(obj)
        await self.settle()

    # --- time ---------------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Until kubelet, gateway and caches have seen everything."""
        quiet = 0
        before = -1
        for _ in range(_TURNS):
            quiet = quiet + 1 if self.server.revision == before else 0
            before = self.server.revision
            if quiet > 14:
                self.server._server.log.clear()  # everybody has seen it
                return
            if quiet == 8:
                self.server.bookmark()
            await asyncio.sleep(0)
        raise AssertionError("the cluster does not come to rest")

    async def tick(self, operator: Operator, seconds: float = TICK_SECONDS) -> None:
        await self.settle()
        await operator.round()
        await self.settle()
        self.play(seconds)

    async def until(
        self, operator: Operator, holds: Callable[[JsonObject], bool], seconds: float = 600.0, name: str = POLICY_NAME
    ) -> JsonObject:
        """Rounds until the policy's status is as wanted; the status."""
        deadline = self.clock.now() + seconds
        while self.clock.now() < deadline:
            await self.tick(operator)
            status = self.status(name)
            if holds(status):
                return status
        raise AssertionError(f"after {seconds:g} s: {self.status(name)}")

    async def until_ready(self, operator: Operator, **more: Any) -> JsonObject:
        return await self.until(operator, is_ready, **more)

    async def open(self, operator: Operator, **spec: Any) -> str:
        """A first version that serves, and enough history for a forecast; its short digest."""
        await self.configure(COLOUR="green")
        await self.commit(BUILD="1")
        await self.declare(**spec)
        await self.until_ready(operator)
        for _ in range(16):
            await self.tick(operator)
        return str((self.status())["stable"])

    def play(self, seconds: float) -> None:
        """Players play for ``seconds`` where the route sends them."""
        for policy in self.all(RELEASE_POLICIES):
            self._play(policy, seconds)
        self.clock.time += seconds

    def _play(self, policy: JsonObject, seconds: float) -> None:
        name = policy["metadata"]["name"]
        intents = {each: intent_digest(NAMESPACE, each) for each in (policy["spec"].get("deployment", ""),)}
        deployments = {
            (each["metadata"].get("annotations") or {}).get(DIGEST, intents.get(each["metadata"]["name"], "")): each
            for each in self.all(DEPLOYMENTS)
        }
        run, revision, weights = self._split(policy)
        for digest, weight in weights.items():
            deployment = deployments.get(digest)
            if not weight or deployment is None:
                continue
            pods = [pod for pod in self.pods(deployment["metadata"]["name"]) if is_pod_ready(pod)]
            target = Target(f"{name}.{NAMESPACE}", run, digest)
            series = self._count(target, deployment, pods, seconds * weight / 100)
            if pods:
                self.metrics.arms[target] = ArmSample(series, round(PLAYERS * weight / 100), revision)

    def _split(self, policy: JsonObject) -> tuple[str, int, dict[str, int]]:
        """Run, revision, and digest -> weight, as the data plane has them."""
        services = {each["metadata"]["name"]: each for each in self.all(SERVICES)}
        digests = {name: each["metadata"].get("annotations", {}).get(DIGEST, "") for name, each in services.items()}
        name = policy["metadata"]["name"]
        routes = {each["metadata"]["name"]: each for each in self.all(HTTP_ROUTES)}
        if route := routes.get(name) or routes.get(f"{name}.mesh"):
            notes = route["metadata"]["annotations"]
            backends = route["spec"]["rules"][0]["backendRefs"]
            weights = {digests.get(each["name"], ""): each["weight"] for each in backends}
            return notes["croupier.dev/run"], int(notes["croupier.dev/revision"]), weights
        stable = services.get(policy["spec"].get("service", {}).get("name", ""), {"metadata": {}})
        notes = stable["metadata"].get("annotations", {})
        if DIGEST not in notes:
            return "-", 0, {}
        return notes["croupier.dev/run"], int(notes["croupier.dev/revision"]), {notes[DIGEST]: 100}

    def _count(
        self, target: Target, deployment: JsonObject, pods: list[JsonObject], seconds: float
    ) -> dict[str, SeriesCounts]:
        """Counters of an arm that had all players for ``seconds`` more."""
        series: dict[str, SeriesCounts] = {}
        is_lossy = environment(deployment).get("DEFECT") == "deposit-loss" or short(target.digest) in self.losing
        for signal, rate in PER_SECOND.items():
            ratio = 0.33 if is_lossy and signal == "deposits" else USUAL
            events: dict[str, Count] = {}
            for pod in pods:
                name = pod["metadata"]["name"]
                counts = self._counts.setdefault((target, signal, name), [0.0, 0.0])
                attempts = rate * seconds / len(pods)
                counts[0] += attempts
                counts[1] += attempts * ratio
                events[name] = Count(*counts)
            series[signal] = SeriesCounts(events=events, players=events)
        return series

    # --- looking ------------------------------------------------------------------------------------------------------

    def all(self, resource: Resource) -> list[JsonObject]:
        """As they are stored: nobody may change them. Copies would take most of a test's time."""
        found = [pair for pair in self.server._server.objects.items() if pair[0].resource == resource]
        return [obj for _, obj in sorted(found, key=lambda pair: pair[0][1:])]

    def find(self, resource: Resource, name: str) -> JsonObject:
        """As it is stored: nobody may change it."""
        found = next((obj for obj in self.all(resource) if obj["metadata"]["name"] == name), None)
        assert found is not None, f"{resource.kind} {name} does not exist"
        return found

    def status(self, name: str = POLICY_NAME) -> JsonObject:
        return dict(self.find(RELEASE_POLICIES, name).get("status") or {})

    def release(self, run: str) -> JsonObject:
        return dict(self.find(RELEASES, f"{POLICY_NAME}-{run}")["status"])

    def weights(self, name: str = POLICY_NAME) -> dict[str, int]:
        """Short digest -> percent, without the versions at 0 %."""
        policy = self.find(RELEASE_POLICIES, name)
        _, _, weights = self._split(policy)
        return {short(digest): weight for digest, weight in weights.items() if weight}

    def events(self, reason: str = "") -> list[JsonObject]:
        return [each for each in self.all(EVENTS) if reason in ("", each["reason"])]

    def running(self) -> dict[str, int]:
        """Short digest, or "intent" -> how many pods the Deployment asks for; those at 0 are left out."""
        return {
            (each["metadata"].get("labels") or {}).get(VERSION_LABEL, "intent"): each["spec"]["replicas"]
            for each in self.all(DEPLOYMENTS)
            if each["spec"]["replicas"]
        }

    def entries(self, kind: str) -> list[Entry]:
        return [entry for entry in self.journal.read() if entry.kind == kind]

    # --- kubelet and gateway ------------------------------------------------------------------------------------------

    async def _each(self, client: MemoryKubernetes, resource: Resource, act: Callable[[JsonObject], Any]) -> None:
        """A controller: looks at every object that is made or changed."""
        listing = await client.list(resource)
        for obj in listing.items:
            await act(obj)
        stream = client.watch(resource, resource_version=listing.resource_version)
        async for change in stream:
            if change.kind in ("ADDED", "MODIFIED"):
                obj = await client.get(
                    resource, change.object["metadata"]["name"], namespace=change.object["metadata"].get("namespace")
                )
                if obj is not None:
                    await act(obj)

    def pods(self, deployment: str) -> list[JsonObject]:
        return [pod for pod in self.all(PODS) if pod["metadata"]["name"].rpartition("-")[0] == deployment]

    async def _run_pods(self, deployment: JsonObject) -> None:
        metadata, wanted = deployment["metadata"], deployment["spec"]["replicas"]
        found = {pod["metadata"]["name"] for pod in self.pods(metadata["name"])}
        names = [f"{metadata['name']}-{number}" for number in range(wanted)]
        for name in found - set(names):
            await self._kubelet.delete(PODS, name, namespace=NAMESPACE)
        missing = [name for name in names if name not in found]
        if missing and self.quota:
            failure = {"type": "ReplicaFailure", "status": "True", "reason": "FailedCreate", "message": self.quota}
            await self._kubelet.patch_status(_status_of(deployment, {"conditions": [failure]}))
            return
        for name in missing:
            await self._start_pod(name, deployment)

    async def _start_pod(self, name: str, deployment: JsonObject) -> None:
        owner = {"apiVersion": "apps/v1", "kind": "Deployment", "name": deployment["metadata"]["name"]}
        made = await self._kubelet.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {
                    "name": name,
                    "namespace": NAMESPACE,
                    "labels": deployment["spec"]["template"]["metadata"]["labels"],
                    "ownerReferences": [{**owner, "uid": deployment["metadata"]["uid"]}],
                },
                "spec": copy.deepcopy(deployment["spec"]["template"]["spec"]),
            }
        )
        number = made["metadata"]["resourceVersion"]
        is_broken = environment(deployment).get("DEFECT") == "never-ready"
        status: JsonObject = {
            "phase": "Running",
            "podIP": f"10.{int(number) // 250 % 250}.{int(number) % 250}.1",
            "conditions": [{"type": "Ready", "status": "False" if is_broken else "True"}],
        }
        if is_broken:
            waiting = {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed container"}
            status["containerStatuses"] = [{"name": "app", "restartCount": 0, "state": {"waiting": waiting}}]
        await self._kubelet.patch_status(_status_of(made, status))

    async def restart(self, pod: str) -> None:
        """The pod's container has died and was started again."""
        found = self.find(PODS, pod)
        before = found["status"].get("containerStatuses") or [{"restartCount": 0}]
        container = {"name": "app", "restartCount": before[0]["restartCount"] + 1, "state": {"running": {}}}
        await self._kubelet.patch_status(_status_of(found, {**found["status"], "containerStatuses": [container]}))

    def _said(self, kind: str, of: JsonObject, status: str) -> JsonObject:
        return {
            "type": kind,
            "status": status,
            "observedGeneration": of["metadata"]["generation"],
            "reason": kind,
            "message": "as the gateway says",
            "lastTransitionTime": "2027-01-15T08:00:00Z",
        }

    async def _heed(self, policy: JsonObject) -> None:
        if not self.gateway_says_of_tls:
            return
        ancestor = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "web"}
        conditions = [self._said("Accepted", policy, self.gateway_says_of_tls)]
        held = {"ancestorRef": ancestor, "controllerName": "example.com/gateway", "conditions": conditions}
        await self._gateway.patch_status(_status_of(policy, {"ancestors": [held]}))

    async def _accept(self, route: JsonObject) -> None:
        wanted = route["spec"]["parentRefs"]
        said = self.mesh_says if any(each.get("kind") == "Service" for each in wanted) else self.gateway_says
        if not said:
            return
        services = {each["metadata"]["name"] for each in self.all(SERVICES)}
        parents = []
        for parent in wanted:
            is_there = parent.get("kind") != "Service" or parent["name"] in services
            conditions = [
                self._said(kind, route, said if is_there else "False") for kind in ("Accepted", "ResolvedRefs")
            ]
            parents.append({"parentRef": parent, "controllerName": "example.com/gateway", "conditions": conditions})
        await self._gateway.patch_status(_status_of(route, {"parents": parents}))


def is_ready(status: Mapping[str, Any]) -> bool:
    return condition(status, "Ready").get("status") == "True"


def is_stalled(status: Mapping[str, Any]) -> bool:
    return condition(status, "Stalled").get("status") == "True"


def condition(status: Mapping[str, Any], kind: str) -> JsonObject:
    return next((each for each in status.get("conditions", ()) if each["type"] == kind), {})


def environment(deployment: JsonObject) -> dict[str, str]:
    container = deployment["spec"]["template"]["spec"]["containers"][0]
    return {each["name"]: each.get("value", "") for each in container.get("env") or ()}


def is_pod_ready(pod: JsonObject) -> bool:
    return condition(pod.get("status") or {}, "Ready").get("status") == "True"


def config_map_copies(objects: list[JsonObject]) -> list[JsonObject]:
    return [each for each in objects if "croupier.dev/copy-of" in each["metadata"].get("annotations", {})]


def _status_of(obj: JsonObject, status: JsonObject) -> JsonObject:
    place = {key: obj["metadata"][key] for key in ("name", "namespace")}
    return {"apiVersion": obj["apiVersion"], "kind": obj["kind"], "metadata": place, "status": status}
