"""What the mesh of a region is told: who is in it, that nobody speaks in the clear, how callers in a cell reach a
service (S8.6-S8.8), and which providers there are outside (S8.9).

Istio takes both modes by the same PeerAuthentications. Rules for HTTP are read by sidecars; in ambient mode they would
need a waypoint, which is not rendered, so there is none of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from croupier.core.render import istio
from croupier.core.render.envoy_gateway import MOST_EJECTED_PERCENT
from croupier.core.render.names import MANAGED_BY, of_cell, of_service, selector
from croupier.core.render.peers import allowed, within
from croupier.core.render.route import duration
from croupier.model.edge import RouteBreaker
from croupier.model.mesh import CONTROL, PROBED_FROM, TUNNEL, Calls, Mesh
from croupier.model.objects import JsonObject
from croupier.model.platform import ALLOW_MESH, Cell, PlacedCell
from croupier.model.providers import Provider
from croupier.model.release_policy import ClusterService
from croupier.model.service_spec import ServiceSpec

API = "security.istio.io/v1"
_STRICT = {"mtls": {"mode": "STRICT"}}
_PROXY = "sidecar.istio.io/proxy"
MOST_TO_A_POD = 1024
"""What Envoy lets through by itself."""


def labels_of(mesh: Mesh | None) -> dict[str, str]:
    """Of a namespace whose pods are in the mesh."""
    return mesh.labels if mesh is not None else {}


def annotations_of(mesh: Mesh | None) -> dict[str, str]:
    """Of a pod: what its sidecar asks for, so that a quota with limits takes it."""
    if mesh is None or not mesh.has_sidecars:
        return {}
    proxy = mesh.proxy
    asked = {"CPU": proxy.cpu, "Memory": proxy.memory, "MemoryLimit": proxy.memory_limit or proxy.memory}
    asked |= {"CPULimit": proxy.cpu_limit} if proxy.cpu_limit is not None else {}
    return {f"{_PROXY}{key}": value for key, value in asked.items()}


def tunnelled(mesh: Mesh | None, ports: Iterable[int]) -> list[int]:
    """Ports by which a pod in the mesh is reached. A network policy of ambient mode sees the tunnel and not what is in
    it; the ports stay, for who is not in the mesh yet."""
    tunnel = [TUNNEL] if mesh is not None and not mesh.has_sidecars else []
    return [*ports, *tunnel]


def wall_of(mesh: Mesh) -> JsonObject:
    """Spec of the NetworkPolicy that every pod in the mesh needs: probes of ambient mode come from an address of their
    own, and sidecars ask for their certificates."""
    if not mesh.has_sidecars:
        return {
            "podSelector": {},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": [{"ipBlock": {"cidr": PROBED_FROM}}]}],
        }
    asked = {**within(mesh.namespace), "podSelector": {"matchLabels": {"app": "istiod"}}}
    return {"podSelector": {}, "policyTypes": ["Egress"], "egress": [allowed("to", [asked], [CONTROL])]}


def in_the_mesh(placed: PlacedCell) -> list[JsonObject]:
    """Of the namespace of a cell: TLS or nothing, and the door that the mesh itself needs."""
    mesh, cell = placed.region.mesh, placed.cell
    if mesh is None:
        return []
    return [
        of_cell(cell, API, "PeerAuthentication", "default", {"spec": _STRICT}),
        of_cell(cell, "networking.k8s.io/v1", "NetworkPolicy", ALLOW_MESH, {"spec": wall_of(mesh)}),
    ]


def carried(placed: PlacedCell, service: ServiceSpec) -> list[JsonObject]:
    """Of one service: counters in the clear where they have a port of their own, and how callers reach it."""
    if placed.region.mesh is None:
        return []
    return [*_counted(placed.cell, service), *_calls(placed, service)]


def _counted(cell: Cell, service: ServiceSpec) -> Iterator[JsonObject]:
    pods = service.release.metrics.pods
    if pods is not None and pods.port != service.port:
        spec = open_at(selector(service.name), pods.port)
        yield of_service(cell, service, API, "PeerAuthentication", {"spec": spec})


def open_at(pods: JsonObject, port: int) -> JsonObject:
    """Spec of a PeerAuthentication: who reads counters need not be in the mesh, everybody else must."""
    return {"selector": pods, **_STRICT, "portLevelMtls": {str(port): {"mode": "PERMISSIVE"}}}


def _calls(placed: PlacedCell, service: ServiceSpec) -> list[JsonObject]:
    """What sidecars of callers are told of a service, that some in its cell depend on."""
    mesh = placed.region.mesh
    if mesh is None or not mesh.has_sidecars or not placed.is_called(service):
        return []
    if placed.splits_calls(service):
        return []  # Istio takes one route a host from its mesh: the HTTPRoute of the operator says the timeout
    calls = service.calls or Calls()
    host = istio.host_of(placed.cell, service.name)
    port = ClusterService(name=service.name, target_port=service.port).port
    rule = {
        "route": [{"destination": {"host": host, "port": {"number": port}}}],
        "timeout": duration(calls.timeout_seconds or service.timeout_seconds),
        "retries": {"attempts": 0} if calls.retries is None else istio.retried(calls.retries),
        "match": [{"port": port}],
    }
    spec = {"hosts": [host], "http": [dict(sorted(rule.items()))]}
    return [of_service(placed.cell, service, istio.API, "VirtualService", {"spec": spec}, name=f"{service.name}-calls")]


def destination_of(placed: PlacedCell, service: ServiceSpec) -> JsonObject | None:
    """Of the trafficPolicy by which sidecars of callers reach a service; None: nobody is told.

    Unlike a gateway's, it leaves pods out also where croupier releases: callers come to one version at a time, and half
    of its pods at least are asked, so what it does is seen.
    """
    mesh = placed.region.mesh
    if mesh is None or not mesh.has_sidecars or not placed.is_called(service):
        return None
    calls = service.calls or Calls()
    breaker = calls.breaker or service.breaker or RouteBreaker(per_pod=service.sockets or MOST_TO_A_POD)
    policy = {**istio.bounded(breaker, breaker.per_pod * service.most_pods), "tls": {"mode": "ISTIO_MUTUAL"}}
    if calls.retries is not None:
        policy["retryBudget"] = istio.budgeted(calls.retries)
    return policy


def providers_of(namespace: str, providers: Iterable[tuple[str, Provider, int]]) -> list[JsonObject]:
    """What sidecars of the egress gateway in ``namespace`` know of who is outside, and nobody else does: each provider
    with the most connections to one of its endpoints from one pod. The gateway looks hosts up, so the mesh does not."""
    made = []
    for name, provider, most in providers:
        ports = sorted({end.port for end in provider.endpoints if end.namespace is None})
        hosts = sorted({end.host for end in provider.endpoints if end.namespace is None})
        if not hosts:
            continue
        entry = {
            "hosts": hosts,
            "exportTo": ["."],
            "location": "MESH_EXTERNAL",
            "resolution": "NONE",
            "ports": [{"number": each, "name": f"tls-{each}", "protocol": "TLS"} for each in ports],
        }
        made.append(_outside(namespace, "ServiceEntry", name, entry))
        limits = {
            "connectionPool": {"tcp": {"maxConnections": most}},
            "outlierDetection": {
                "splitExternalLocalOriginErrors": True,
                "consecutiveLocalOriginFailures": provider.breaker.failures,
                "baseEjectionTime": duration(provider.breaker.eject_seconds),
                "maxEjectionPercent": MOST_EJECTED_PERCENT,
            },
        }
        for number, host in enumerate(hosts):
            rule = {"host": host, "exportTo": ["."], "trafficPolicy": limits}
            made.append(_outside(namespace, "DestinationRule", name if number == 0 else f"{name}-{number}", rule))
    return made


def _outside(namespace: str, kind: str, name: str, spec: JsonObject) -> JsonObject:
    metadata = {"name": name, "namespace": namespace, "labels": dict(MANAGED_BY)}
    return {"apiVersion": istio.API, "kind": kind, "metadata": metadata, "spec": spec}


def in_the_mesh_at(namespace: str, mesh: Mesh | None, pods: JsonObject, counted_at: int) -> list[JsonObject]:
    """The same as of a cell's, for a namespace of a region whose pods are read in the clear at one port."""
    if mesh is None:
        return []

    def made(api: str, kind: str, name: str, spec: JsonObject) -> JsonObject:
        metadata = {"name": name, "namespace": namespace, "labels": dict(MANAGED_BY)}
        return {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec}

    return [
        made(API, "PeerAuthentication", "default", _STRICT),
        made(API, "PeerAuthentication", "counters", open_at(pods, counted_at)),
        made("networking.k8s.io/v1", "NetworkPolicy", ALLOW_MESH, wall_of(mesh)),
    ]
