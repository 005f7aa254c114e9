"""Egress gateways of a region: pods reach providers through the one of their class, and it reaches the hosts and ports
that the platform declares (S2.5, S8.9, S10.11).

A gateway is an Envoy that takes HTTP ``CONNECT`` and hands bytes on: TLS stays between pod and provider, so it needs no
key and sees no call. It looks hosts up itself; what a pod asks for only chooses among those that are declared.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from croupier.core.render.emit import document
from croupier.core.render.mesh import annotations_of, in_the_mesh_at, labels_of, providers_of, tunnelled
from croupier.core.render.names import APP, MANAGED_BY, selector
from croupier.core.render.peers import allowed, door, names_looked_up, nothing_else, within
from croupier.core.render.resident import Resident, resident, space, wall
from croupier.model.address import Endpoint
from croupier.model.mesh import Mesh
from croupier.model.objects import JsonObject
from croupier.model.platform import ALLOW_DNS, DEFAULT_DENY, ENDPOINTS_SECONDS, SLACK_SECONDS, PlacedCell
from croupier.model.providers import (
    EGRESS_GATEWAY,
    EGRESS_PORT,
    Egress,
    Provider,
    ProviderClass,
    egress_namespace,
    fallback_of,
)
from croupier.model.service_spec import ServiceSpec

PRIVATE = (
    "10.0.0.0/8",
    "100.64.0.0/10",
    "127.0.0.0/8",
    "169.254.0.0/16",
    "172.16.0.0/12",
    "192.168.0.0/16",
    "198.18.0.0/15",
)
"""Ranges that no provider is in: the cluster, its machines, the metadata of the cloud."""
FILE = "envoy.yaml"
_ANYWHERE = "0.0.0.0/0"
_READY = 8081
METRICS_PORT = 8082
METRICS_PATH = "/stats/prometheus"
"""Where a Prometheus reads what Envoy counts; the rest of its administration answers nobody but the pod."""
_ADMIN = 9901
_CONFIG = "/etc/envoy"
_USER = 65_532
"""The user of Envoy's image without a shell; the configuration needs no particular one."""
_CONNECT_SECONDS = 5.0
_THREADS = 2
_SPARE = 64
"""Connections of pods beyond those that clusters take: what is refused is told so."""
_TYPE = "type.googleapis.com/envoy.extensions"
_MANAGER = f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager"
_LOGGED = {
    "time": "%START_TIME%",
    "event": "%ACCESS_LOG_TYPE%",
    "from": "%DOWNSTREAM_REMOTE_ADDRESS%",
    "method": "%REQ(:METHOD)%",
    "asked": "%REQ(:AUTHORITY)%",
    "provider": "%ROUTE_NAME%",
    "to": "%UPSTREAM_HOST%",
    "status": "%RESPONSE_CODE%",
    "why": "%RESPONSE_CODE_DETAILS%",
    "flags": "%RESPONSE_FLAGS%",
    "sent": "%BYTES_RECEIVED%",
    "received": "%BYTES_SENT%",
    "milliseconds": "%DURATION%",
}
"""Of every tunnel when it is made and when it ends, and of all that is refused. No header but the name that was asked
for: credentials may stand in the others."""


_COUNTED = "|".join(
    (
        r"cluster\.[^.]+\.upstream_cx_(active|connect_fail|overflow|total)",
        r"cluster\.[^.]+\.upstream_rq_pending_(active|overflow)",
        r"cluster\.[^.]+\.(membership_(healthy|total)|update_failure|outlier_detection\.ejections_active)",
        r"http\.connect\.downstream_(cx_active|rq_4xx|rq_5xx|rq_total)",
        r"server\.(live|uptime)",
    )
)
"""What Envoy counts: what alerts read and a person wants to know, not its thousand others."""


class _Class(NamedTuple):
    """Providers of a class that cells of a region call. ``callers``: namespace of a cell -> services there.
    ``monitoring``: the namespace of who reads its counters; None: nobody."""

    kind: ProviderClass
    egress: Egress
    mesh: Mesh | None
    monitoring: str | None
    providers: Mapping[str, Provider]
    callers: Mapping[str, Sequence[str]]

    @property
    def namespace(self) -> str:
        return egress_namespace(self.kind)

    def most(self, provider: Provider) -> int:
        """Connections to each endpoint of ``provider`` from one pod: all pods together stay within what it takes."""
        return max(1, provider.max_connections // self.egress.replicas)


def proxied(placed: PlacedCell, service: ServiceSpec) -> dict[str, str]:
    """What a pod must know to call its providers: who takes over, what may be asked again, and the way to each; where
    one gateway has all of them, by the variables that HTTP clients read by themselves, too. What the service's own
    configuration says stays as it is."""
    said = {**_calls(placed, service), **_ways(placed, service)}
    return {name: value for name, value in said.items() if name not in service.variables}


def _calls(placed: PlacedCell, service: ServiceSpec) -> dict[str, str]:
    said: dict[str, str] = {}
    for name in sorted(service.egress):
        variable, provider = _variable(name), placed.providers[name]
        if provider.retries is not None:
            said[f"{variable}_RETRIES"] = str(provider.retries.attempts)
            said[f"{variable}_RETRY_METHODS"] = ",".join(sorted(provider.retries.methods))
        if fallback := fallback_of(name, placed.providers, service.egress):
            said[f"{variable}_FALLBACK"] = fallback
    return said


def _ways(placed: PlacedCell, service: ServiceSpec) -> dict[str, str]:
    if placed.region.egress is None or not service.egress:
        return {}
    kinds = {name: placed.providers[name].kind for name in sorted(service.egress)}
    gateways = {kind: f"http://{EGRESS_GATEWAY}.{egress_namespace(kind)}:{EGRESS_PORT}" for kind in kinds.values()}
    said = {_variable(name): gateways[kind] for name, kind in kinds.items()}
    if len(gateways) == 1:
        (said["HTTPS_PROXY"],) = gateways.values()
        said["NO_PROXY"] = ",".join(("localhost", "127.0.0.1", ".svc", ".cluster.local", *sorted(service.depends_on)))
    return said


def _variable(provider: str) -> str:
    return f"EGRESS_{provider.upper().replace('-', '_')}"


def egress_gateways(cells: Iterable[PlacedCell]) -> dict[ProviderClass, list[JsonObject]]:
    """Class of provider -> all that its gateway is. ``cells``: all those of one region."""
    return {each.kind: _gateway(each) for each in _classes(list(cells))}


def _classes(cells: Sequence[PlacedCell]) -> list[_Class]:
    egress = cells[0].region.egress
    if egress is None:
        return []
    providers: dict[ProviderClass, dict[str, Provider]] = {}
    callers: dict[ProviderClass, dict[str, set[str]]] = {}
    for placed in cells:
        for service in placed.services:
            for name in service.egress:
                provider = placed.providers[name]
                providers.setdefault(provider.kind, {})[name] = provider
                callers.setdefault(provider.kind, {}).setdefault(placed.cell.namespace, set()).add(service.name)
    return [
        _Class(
            kind,
            egress,
            cells[0].region.mesh,
            cells[0].region.monitoring_namespace,
            dict(sorted(called.items())),
            {namespace: sorted(services) for namespace, services in sorted(callers[kind].items())},
        )
        for kind, called in sorted(providers.items())
    ]


def _gateway(held: _Class) -> list[JsonObject]:
    walls = {DEFAULT_DENY: nothing_else(), ALLOW_DNS: names_looked_up(), EGRESS_GATEWAY: _doors(held)}
    return [
        space(held.namespace, svc=held.namespace, **labels_of(held.mesh)),
        *(wall(held.namespace, name, spec) for name, spec in walls.items()),
        *in_the_mesh_at(held.namespace, held.mesh, selector(EGRESS_GATEWAY), METRICS_PORT),
        *_known(held),
        *resident(_program(held)),
        *_leaving(held),
    ]


def _known(held: _Class) -> list[JsonObject]:
    """What the gateway's sidecars know of providers."""
    if held.mesh is None or not held.mesh.has_sidecars:
        return []
    return providers_of(held.namespace, ((name, each, held.most(each)) for name, each in held.providers.items()))


def _leaving(held: _Class) -> list[JsonObject]:
    """By which addresses calls leave, where Cilium is the network: each pod by one of them. The object belongs to no
    namespace."""
    nodes = held.egress.sources.cilium if held.egress.sources is not None else ()
    if not nodes:
        return []
    gateways = [{"nodeSelector": {"matchLabels": dict(each.labels)}, "egressIP": each.address} for each in nodes]
    pods = {"podSelector": {"matchLabels": {"io.kubernetes.pod.namespace": held.namespace, APP: EGRESS_GATEWAY}}}
    named = sorted({address for provider in held.providers.values() for address in provider.addresses})
    anywhere = any(not provider.addresses for provider in held.providers.values())
    spec = {
        "selectors": [pods],
        "destinationCIDRs": [_ANYWHERE] if anywhere else named,
        **({"excludedCIDRs": list(PRIVATE)} if anywhere else {}),
        # Needed by the definition, and read by who knows no list.
        "egressGateway": gateways[0],
        "egressGateways": gateways,
    }
    metadata = {"name": f"croupier-{held.namespace}", "labels": dict(MANAGED_BY)}
    return [{"apiVersion": "cilium.io/v2", "kind": "CiliumEgressGatewayPolicy", "metadata": metadata, "spec": spec}]


def _doors(held: _Class) -> JsonObject:
    """In: pods of the services that call the class, and who reads its counters. Out: its providers' ports at their
    addresses."""
    callers = [
        {
            **within(namespace),
            "podSelector": {"matchExpressions": [{"key": APP, "operator": "In", "values": list(services)}]},
        }
        for namespace, services in held.callers.items()
    ]
    outside: dict[tuple[str, ...], set[int]] = {}
    for provider in held.providers.values():
        outside.setdefault(provider.addresses, set()).update(each.port for each in provider.endpoints)
    return door(
        selector(EGRESS_GATEWAY),
        [
            allowed("from", callers, tunnelled(held.mesh, [EGRESS_PORT])),
            *(
                [allowed("from", [within(held.monitoring)], tunnelled(held.mesh, [METRICS_PORT]))]
                if held.monitoring
                else []
            ),
        ],
        (allowed("to", _blocks(addresses), sorted(ports)) for addresses, ports in sorted(outside.items())),
    )


def _blocks(addresses: Iterable[str]) -> list[JsonObject]:
    named = [{"ipBlock": {"cidr": each}} for each in addresses]
    return named or [{"ipBlock": {"cidr": _ANYWHERE, "except": list(PRIVATE)}}]


# --- Envoy ------------------------------------------------------------------------------------------------------------


def bootstrap(held: _Class) -> JsonObject:
    """The configuration of Envoy: whole and static, so that another one is another pod."""
    ends = [(name, each, provider) for name, provider in held.providers.items() for each in provider.endpoints]
    # Two providers may share a host, not a port of it: the first has it.
    unique = {f"{end.host}:{end.port}": (name, end, provider) for name, end, provider in reversed(ends)}
    allowed = [_allowed(name, address, provider) for address, (name, _, provider) in sorted(unique.items())]
    anything: list[JsonObject] = [{"connect_matcher": {}}, {"prefix": "/"}]
    refusals = [_answer(each, 403) for each in anything]
    most = sum(2 * held.most(provider) for _, _, provider in unique.values()) + _SPARE
    limit = {"@type": f"{_TYPE}.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig"}
    monitor = {
        "name": "envoy.resource_monitors.global_downstream_max_connections",
        "typed_config": {**limit, "max_active_downstream_connections": most},
    }
    return {
        "admin": {"address": _address("127.0.0.1", _ADMIN)},
        "overload_manager": {"resource_monitors": [monitor]},
        "stats_config": {
            "stats_matcher": {"inclusion_list": {"patterns": [{"safe_regex": {"regex": _COUNTED}}]}},
        },
        "static_resources": {
            "listeners": [
                _listener("connect", EGRESS_PORT, [*allowed, _host("refused", ["*"], refusals)], is_logged=True),
                _listener("ready", _READY, [_host("ready", ["*"], [_answer({"path": "/ready"}, 200)])]),
                _listener("metrics", METRICS_PORT, [_host("metrics", ["*"], [_COUNTERS])]),
            ],
            "clusters": [
                *(_cluster(held, address, *each) for address, each in sorted(unique.items())),
                _itself(),
            ],
        },
    }


def _allowed(name: str, address: str, provider: Provider) -> JsonObject:
    """What is silent for as long as a call may take is over; it would be kept for minutes otherwise."""
    tunnel = {
        "cluster": address,
        "timeout": "0s",
        "idle_timeout": _seconds(provider.timeout_seconds),
        "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}],
    }
    through = {"name": name, "match": {"connect_matcher": {}}, "route": tunnel}
    return _host(address, [address], [through, _answer({"prefix": "/"}, 403)])


def _host(name: str, domains: Sequence[str], routes: Sequence[JsonObject]) -> JsonObject:
    return {"name": name, "domains": list(domains), "routes": list(routes)}


def _answer(match: JsonObject, status: int) -> JsonObject:
    return {"match": match, "direct_response": {"status": status}}


def _listener(name: str, port: int, hosts: Sequence[JsonObject], *, is_logged: bool = False) -> JsonObject:
    manager: dict[str, Any] = {
        "@type": _MANAGER,
        "stat_prefix": name,
        "codec_type": "HTTP1",
        "request_headers_timeout": "10s",
        "common_http_protocol_options": {"idle_timeout": "60s"},
        "route_config": {"virtual_hosts": list(hosts)},
        "http_filters": [
            {"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPE}.filters.http.router.v3.Router"}}
        ],
    }
    if is_logged:
        logged = {
            "@type": f"{_TYPE}.access_loggers.stream.v3.StdoutAccessLog",
            "log_format": {"json_format": _LOGGED},
        }
        manager |= {
            "upgrade_configs": [{"upgrade_type": "CONNECT"}],
            "access_log": [{"name": "envoy.access_loggers.stdout", "typed_config": logged}],
            "access_log_options": {"flush_log_on_tunnel_successfully_established": True},
        }
    return {
        "name": name,
        "address": _address("0.0.0.0", port),
        **({} if is_logged else {"ignore_global_conn_limit": True}),
        "filter_chains": [
            {"filters": [{"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}
        ],
    }


_COUNTERS = {
    "match": {"path": METRICS_PATH, "headers": [{"name": ":method", "string_match": {"exact": "GET"}}]},
    "route": {"cluster": "itself"},
}


def _itself() -> JsonObject:
    """The administration of the same Envoy."""
    end = {"endpoint": {"address": _address("127.0.0.1", _ADMIN)}}
    return {
        "name": "itself",
        "type": "STATIC",
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": "itself", "endpoints": [{"lb_endpoints": [end]}]},
    }


def _cluster(held: _Class, address: str, name: str, end: Endpoint, provider: Provider) -> JsonObject:
    """Tunnels beyond ``max_connections`` wait for one to end, as many again; the rest is refused at once."""
    most, breaker = held.most(provider), provider.breaker
    return {
        "name": address,
        # Names of providers hold no underscore, names in counters no dot.
        "alt_stat_name": f"{name}_{end.host.replace('.', '-')}_{end.port}",
        "type": "STRICT_DNS",
        "dns_lookup_family": "V4_ONLY",
        "connect_timeout": _seconds(min(_CONNECT_SECONDS, provider.timeout_seconds)),
        "circuit_breakers": {"thresholds": [{"max_connections": most, "max_pending_requests": most}]},
        "outlier_detection": {
            "split_external_local_origin_errors": True,
            "consecutive_local_origin_failure": breaker.failures,
            "base_ejection_time": _seconds(breaker.eject_seconds),
            "max_ejection_percent": 50,
        },
        "load_assignment": {
            "cluster_name": address,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _address(end.host, end.port)}}]}],
        },
    }


def _address(host: str, port: int) -> JsonObject:
    return {"socket_address": {"address": host, "port_value": port}}


def _seconds(number: float) -> str:
    return f"{number:g}s"


# --- Pods -------------------------------------------------------------------------------------------------------------


def _program(held: _Class) -> Resident:
    """A pod that ends goes on for as long as its slowest provider may take: tunnels cannot be told that it ends."""
    wait = math.ceil(ENDPOINTS_SECONDS + max(each.longest_seconds for each in held.providers.values()))
    port = {"name": "connect", "port": EGRESS_PORT, "targetPort": "connect", "protocol": "TCP"}
    # A sidecar that took it for HTTP would answer CONNECT itself.
    port |= {"appProtocol": "tcp"} if held.mesh is not None else {}
    return Resident(
        namespace=held.namespace,
        name=EGRESS_GATEWAY,
        container="envoy",
        image=held.egress.image,
        words={
            "command": ["envoy"],
            "args": [f"--config-path={_CONFIG}/{FILE}", f"--concurrency={_THREADS}", "--disable-hot-restart"],
        },
        resources=held.egress.resources,
        replicas=held.egress.replicas,
        user=_USER,
        rank="money" if held.kind == "psp" else "standard",
        ports={"connect": EGRESS_PORT, "ready": _READY, "metrics": METRICS_PORT},
        service={"ports": [port]},
        ready=("/ready", "ready"),
        config=(_CONFIG, FILE, document(bootstrap(held))),
        pause_seconds=wait,
        grace_seconds=wait + SLACK_SECONDS,
        # Names are whole: each would be asked for below the cluster's own first.
        annotations=annotations_of(held.mesh),
        dns={"options": [{"name": "ndots", "value": "1"}]},
    )
