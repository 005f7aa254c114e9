"""Envoy's configuration as values: the static bootstrap, and the resources that change. Pure; does no I/O.

The listeners are static and never change, because a changed listener closes every open connection. What changes are
three kinds of files that Envoy reads anew when one is renamed into place: clusters (CDS, one per version), endpoints
(EDS, one file per version) and routes (RDS, one file per listener).

There are two listeners. ``public`` serves players and webhooks: it throws away every ``x-croupier-*`` and ``x-envoy-*``
header a client sends, and stamps the arm. ``mesh`` serves calls between services: it keeps the arm that began the
request and stamps the hop, so that harm seen deep in the platform is charged to where it began.

Sources: Envoy 1.40 API reference; S8.6 (timeouts and retries), S8.7 (circuit breakers), S4.5 (sticky steps).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple, TypeAlias

from croupier.model.digest import short
from croupier.model.service import Platform, Service
from croupier.model.traffic import WHOLE, ArmBackend, Endpoint, Split

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | bool | None"
JsonObject: TypeAlias = "dict[str, Json]"
Table: TypeAlias = Mapping[str, tuple[Service, Split]]
"""Service name -> the service and the split it is to have."""

PUBLIC = "public"
MESH = "mesh"
LISTENERS = (MESH, PUBLIC)
"""In the order of publication: a split that ``public`` serves is served by ``mesh`` too."""

ARM_HEADER = "x-croupier-arm"
HOP_HEADER = "x-croupier-hop"
PLAYER_HEADER = "x-player"
PLAYER_PARAMETER = "player"

LATENCY_BUCKETS_MS = (
    1,
    2,
    5,
    10,
    25,
    50,
    75,
    100,
    120,
    150,
    200,
    250,
    300,
    400,
    500,
    750,
    1000,
    2000,
    3000,
    5000,
    10_000,
)
"""Envoy's own buckets hold neither 120 nor 400 ms, the edges of the latency objectives (S1.7, S1.8)."""

_ANSWER_SECONDS = 15.0
"""How long a websocket service is waited for: what is said of it counts for its open sockets."""
_SILENT_SECONDS = 60.0
"""How long a request may be silent, unless its service is waited for longer."""
_REQUESTS_PER_POD = 2048
_CONNECTIONS = 20_000
"""Of players with the edge, besides the declared WebSockets."""
_TYPE = "type.googleapis.com/envoy"


class Resources(NamedTuple):
    """Names of the files in the watched directory."""

    clusters: str = "cds.json"
    routes: str = "rds-{listener}.json"
    endpoints: str = "eds-{cluster}.json"


FILES = Resources()


def cluster_name(service: str, digest: str) -> str:
    return f"{service}~{short(digest)}"


def arm(split: Split, backend: ArmBackend) -> str:
    """What a request is stamped with: ``service/run/digest12/revision``. Opaque to everybody but the tally and us."""
    return f"{split.service}/{split.run}/{short(backend.digest)}/{split.revision}"


def windows(split: Split) -> tuple[tuple[ArmBackend, int], ...]:
    """The hash ring from slot 0 to ``WHOLE``: (who owns the next slots, how many). The sum is always ``WHOLE``.

    The canary's window begins at ``offset`` and grows at its end only, so that a step up moves nobody back (S4.5); it
    may go round the end of the ring. A backend without slots is left out.
    """
    stable, canary = split.stable, split.canary
    if canary is None or canary.weight <= 0:
        return ((stable, WHOLE),)
    size = min(canary.weight * WHOLE // 100, WHOLE)
    begin = split.offset % WHOLE
    end = begin + size
    if end <= WHOLE:
        ring = ((stable, begin), (canary, size), (stable, WHOLE - end))
    else:
        ring = ((canary, end - WHOLE), (stable, WHOLE - size), (canary, WHOLE - begin))
    return tuple((backend, slots) for backend, slots in ring if slots > 0)


def backends(split: Split) -> tuple[ArmBackend, ...]:
    """Every version that must stay reachable, also one with weight 0."""
    return (split.stable,) if split.canary is None else (split.stable, split.canary)


# --- resources that change -----------------------------------------------------------------------------------------


def response(resources: Sequence[Json]) -> JsonObject:
    """A discovery response. Its version is the hash of its content: equal content is never a change."""
    digest = hashlib.sha256(json.dumps(resources, sort_keys=True).encode()).hexdigest()
    return {"version_info": digest[:16], "resources": resources}


def clusters(directory: Path, versions: Iterable[tuple[Service, str]]) -> JsonObject:
    """CDS: one cluster per (service, digest).

    A cluster says nothing about endpoints or weights: it does not change while a release runs, and Envoy neither warms
    it again nor drops its connections.
    """
    unique = {cluster_name(service.name, digest): (service, digest) for service, digest in versions}
    return response([_cluster(directory, name, *unique[name]) for name in sorted(unique)])


def _cluster(directory: Path, name: str, service: Service, digest: str) -> JsonObject:
    limit = (_REQUESTS_PER_POD + (service.sockets or 0)) * service.replicas
    return {
        "@type": f"{_TYPE}.config.cluster.v3.Cluster",
        "name": name,
        "type": "EDS",
        "eds_cluster_config": {"eds_config": _file(directory, FILES.endpoints.format(cluster=name))},
        "metadata": {"filter_metadata": {"croupier": {"service": service.name, "digest": digest}}},
        "connect_timeout": "1s",
        "lb_policy": "LEAST_REQUEST",
        # Only when every pod fails its checks are all of them tried: the checks may be wrong, the silence is certain.
        "common_lb_config": {"healthy_panic_threshold": {"value": 1}},
        "ignore_health_on_host_removal": True,
        "circuit_breakers": {
            "thresholds": [
                {
                    "max_connections": limit,
                    "max_pending_requests": limit,
                    "max_requests": limit,
                    "max_retries": 16 * service.replicas,
                }
            ]
        },
        "health_checks": [
            {
                "timeout": "1s",
                "interval": "1s",
                "no_traffic_interval": "1s",
                "no_traffic_healthy_interval": "1s",
                "unhealthy_threshold": 3,
                "healthy_threshold": 1,
                "http_health_check": {"path": service.readiness_path},
            }
        ],
        "outlier_detection": {
            # A pod that cannot be reached is left out for a while. One that answers with errors is not: the gates judge
            # a version by its answers, and hiding them would hide the fault. In a fleet of two, one may go.
            "split_external_local_origin_errors": True,
            "consecutive_local_origin_failure": 3,
            "enforcing_consecutive_local_origin_failure": 100,
            "enforcing_consecutive_5xx": 0,
            "enforcing_consecutive_gateway_failure": 0,
            "enforcing_success_rate": 0,
            "enforcing_local_origin_success_rate": 0,
            "interval": "1s",
            "base_ejection_time": "3s",
            "max_ejection_time": "30s",
            "max_ejection_percent": 50,
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPE}.extensions.upstreams.http.v3.HttpProtocolOptions",
                # Shorter than any server's keep-alive: a request never meets a connection that is just being closed.
                "common_http_protocol_options": {"idle_timeout": "20s"},
                "explicit_http_config": {"http_protocol_options": {}},
            }
        },
    }


def endpoints(cluster: str, addresses: Iterable[Endpoint]) -> JsonObject:
    """EDS of one cluster."""
    hosts: list[Json] = [
        {"endpoint": {"address": {"socket_address": {"address": each.host, "port_value": each.port}}}}
        for each in sorted(set(addresses), key=lambda each: (each.host, each.port))
    ]
    return response(
        [
            {
                "@type": f"{_TYPE}.config.endpoint.v3.ClusterLoadAssignment",
                "cluster_name": cluster,
                "endpoints": [{"lb_endpoints": hosts}] if hosts else [],
            }
        ]
    )


def routes(listener: str, table: Table) -> JsonObject:
    """RDS of one listener, the longest prefix first. Internal services are served on the mesh only.

    Anything else is answered with 404 by Envoy itself.
    """
    served = [(service, split) for service, split in table.values() if listener == MESH or not service.internal]
    declared = frozenset(prefix for service, _ in served for prefix in service.routes)
    prefixes = [
        (prefix, name, service, split) for service, split in served for prefix, name in _prefixes(service, declared)
    ]
    prefixes.sort(key=lambda route: (-len(route[0]), route[0]))
    found = [
        route
        for prefix, name, service, split in prefixes
        for route in _routes_of(listener, prefix, name, service, split)
    ]
    return response(
        [
            {
                "@type": f"{_TYPE}.config.route.v3.RouteConfiguration",
                "name": listener,
                "validate_clusters": True,
                "virtual_hosts": [
                    {
                        "name": listener,
                        "domains": ["*"],
                        "routes": found,
                    }
                ],
            }
        ]
    )


def _prefixes(service: Service, declared: frozenset[str]) -> Iterator[tuple[str, str]]:
    """(prefix, route name). Webhooks have a name of their own: players' gates leave them out. What somebody has
    ``declared`` is theirs, also below a prefix of another service."""
    for prefix in service.routes:
        if prefix.endswith("/webhooks/"):
            yield prefix, f"{service.name}:webhook"
        else:
            yield prefix, service.name
            if f"{prefix}webhooks/" not in declared:
                yield f"{prefix}webhooks/", f"{service.name}:webhook"


def _routes_of(listener: str, prefix: str, name: str, service: Service, split: Split) -> Iterator[JsonObject]:
    """What is served under one prefix, the narrower match first. Upgrades have a route, and a name, of their own."""
    waits = service.timeout_seconds
    if service.traffic == "websocket" and name == service.name:
        waits = min(waits, _ANSWER_SECONDS)
        upgrade: Json = {"name": "upgrade", "string_match": {"exact": "websocket", "ignore_case": True}}
        yield {
            "name": f"{name}:socket",
            "match": {"prefix": prefix, "headers": [upgrade]},
            "route": {
                **_action(listener, split),
                "upgrade_configs": [{"upgrade_type": "websocket"}],
                "timeout": f"{waits:g}s",
                "idle_timeout": f"{service.timeout_seconds:g}s",
            },
        }
    yield {
        "name": name,
        "match": {"prefix": prefix},
        "route": {
            **_action(listener, split),
            "timeout": f"{waits:g}s",
            "idle_timeout": f"{max(waits, _SILENT_SECONDS):g}s",
        },
    }


def _action(listener: str, split: Split) -> JsonObject:
    return {
        "weighted_clusters": {
            "use_hash_policy": True,
            "clusters": [_weighted(listener, split, backend, slots) for backend, slots in windows(split)],
        },
        "hash_policy": [
            {"header": {"header_name": PLAYER_HEADER}, "terminal": True},
            {"query_parameter": {"name": PLAYER_PARAMETER}, "terminal": True},
        ],
        # Only what never reached a pod is tried again: a second try of anything else could move money twice.
        "retry_policy": {
            "retry_on": "connect-failure,refused-stream",
            "num_retries": 2,
            "host_selection_retry_max_attempts": 3,
            "retry_host_predicate": [
                {
                    "name": "envoy.retry_host_predicates.previous_hosts",
                    "typed_config": {
                        "@type": f"{_TYPE}.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"
                    },
                }
            ],
        },
    }


def _weighted(listener: str, split: Split, backend: ArmBackend, slots: int) -> JsonObject:
    value = arm(split, backend)
    origin = "OVERWRITE_IF_EXISTS_OR_ADD" if listener == PUBLIC else "ADD_IF_ABSENT"
    return {
        "name": cluster_name(split.service, backend.digest),
        "weight": slots,
        "request_headers_to_add": [
            {"header": {"key": ARM_HEADER, "value": value}, "append_action": origin},
            {"header": {"key": HOP_HEADER, "value": value}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"},
        ],
    }


def _file(directory: Path, name: str) -> JsonObject:
    return {
        "resource_api_version": "V3",
        "path_config_source": {"path": str(directory / name), "watched_directory": {"path": str(directory)}},
    }


# --- the part that never changes -----------------------------------------------------------------------------------


def bootstrap(
    directory: Path,
    public_port: int,
    mesh_port: int,
    admin_port: int,
    access_log_path: Path,
    *,
    host: str = "127.0.0.1",
    sockets: int = 0,
) -> JsonObject:
    """The file Envoy is started with.

    Args:
        directory: the edge directory, laid out by ``EnvoyTraffic.write_files``: without files Envoy does not start.
        public_port: where players and webhooks come in, on ``host``.
        mesh_port: where services call each other, on ``host``.
        admin_port: always on loopback.
        access_log_path: JSON lines of both listeners; a file or ``/dev/stdout``.
        sockets: WebSockets that the services are declared to hold, all pods together (``declared_sockets``).
    """
    watched = directory.absolute() / "d"
    return {
        "node": {"id": "edge", "cluster": "croupier"},
        "admin": {"address": _address("127.0.0.1", admin_port)},
        "dynamic_resources": {"cds_config": _file(watched, FILES.clusters)},
        "static_resources": {
            "listeners": [
                _listener(PUBLIC, host, public_port, watched, access_log_path),
                _listener(MESH, host, mesh_port, watched, access_log_path),
            ]
        },
        "stats_config": {
            "histogram_bucket_settings": [{"match": {"suffix": "rq_time"}, "buckets": list(LATENCY_BUCKETS_MS)}]
        },
        "overload_manager": {
            "resource_monitors": [
                {
                    "name": "envoy.resource_monitors.global_downstream_max_connections",
                    "typed_config": {
                        "@type": f"{_TYPE}.extensions.resource_monitors.downstream_connections.v3"
                        ".DownstreamConnectionsConfig",
                        "max_active_downstream_connections": _CONNECTIONS + sockets,
                    },
                }
            ]
        },
    }


def declared_sockets(platform: Platform) -> int:
    """WebSockets that players may hold at a time, as far as services say."""
    return sum((service.sockets or 0) * service.replicas for service in platform.services)


def _address(host: str, port: int) -> JsonObject:
    return {"socket_address": {"address": host, "port_value": port}}


def _listener(name: str, host: str, port: int, watched: Path, access_log_path: Path) -> JsonObject:
    return {
        "name": name,
        "address": _address(host, port),
        "per_connection_buffer_limit_bytes": 65_536,
        "filter_chains": [
            {
                "filters": [
                    {
                        "name": "envoy.filters.network.http_connection_manager",
                        "typed_config": _connection_manager(name, watched, access_log_path),
                    }
                ]
            }
        ],
    }


def _connection_manager(listener: str, watched: Path, access_log_path: Path) -> JsonObject:
    return {
        "@type": f"{_TYPE}.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": listener,
        "rds": {
            "route_config_name": listener,
            "config_source": _file(watched, FILES.routes.format(listener=listener)),
        },
        "early_header_mutation_extensions": [_strip(listener)],
        "use_remote_address": listener == PUBLIC,
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "server_name": "croupier",
        "max_request_headers_kb": 32,
        "common_http_protocol_options": {
            "idle_timeout": "120s",
            "max_headers_count": 64,
            "headers_with_underscores_action": "REJECT_REQUEST",
        },
        # Routes of services with sockets let them through.
        "upgrade_configs": [{"upgrade_type": "websocket", "enabled": False}],
        "request_headers_timeout": "10s",
        "request_timeout": "30s",
        "stream_idle_timeout": f"{_SILENT_SECONDS:g}s",
        # A handshake is told when it is done, not when the socket ends hours later.
        "access_log_options": {"flush_log_on_tunnel_successfully_established": True},
        "access_log": [
            {
                "name": "envoy.access_loggers.file",
                "typed_config": {
                    "@type": f"{_TYPE}.extensions.access_loggers.file.v3.FileAccessLog",
                    "path": str(access_log_path),
                    "log_format": {"json_format": _access_record(listener)},
                },
            }
        ],
        "http_filters": [
            {
                "name": "envoy.filters.http.router",
                "typed_config": {"@type": f"{_TYPE}.extensions.filters.http.router.v3.Router"},
            }
        ],
    }


def _strip(listener: str) -> JsonObject:
    """Headers thrown away before anything else looks at the request.

    ``x-envoy-*`` too: by them a client could ask Envoy to repeat a deposit (``x-envoy-retry-on``) or to wait for ever.
    """
    prefixes = ("x-croupier-", "x-envoy-") if listener == PUBLIC else (HOP_HEADER, "x-envoy-")
    mutations: list[Json] = [
        {"remove_on_match": {"key_matcher": {"prefix": prefix, "ignore_case": True}}} for prefix in prefixes
    ]
    return {
        "name": "envoy.http.early_header_mutation.header_mutation",
        "typed_config": {
            "@type": f"{_TYPE}.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
            "mutations": mutations,
        },
    }


def _access_record(listener: str) -> JsonObject:
    return {
        "t": "%START_TIME(%s.%6f)%",
        "arm": f"%REQ({ARM_HEADER})%",
        "hop": f"%REQ({HOP_HEADER})%",
        "player": f"%REQ({PLAYER_HEADER})%",
        "ms": "%DURATION%",
        "code": "%RESPONSE_CODE%",
        "flags": "%RESPONSE_FLAGS%",
        "up": "%UPSTREAM_HOST%",
        "route": "%ROUTE_NAME%",
        "type": "%ACCESS_LOG_TYPE%",
        "listener": listener,
    }
