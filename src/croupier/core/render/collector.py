"""Collectors of a region: they keep every failed and every slow trace, all of the money, and a share of the rest
(S9.1, S9.2).

Whether a trace failed is known when all of its spans are there, so spans of one trace must meet. There are two tiers:
``receiver`` takes spans from pods and sends those of one trace to one ``sampler``; that waits, decides, takes out what
must not leave the region, and hands over. Configuration is the one of OpenTelemetry Collector contrib.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from croupier.core.render.emit import document
from croupier.core.render.names import MANAGED_BY, selector
from croupier.core.render.peers import allowed, door, names_looked_up, nothing_else, reached, within
from croupier.core.render.resident import Resident, resident, space, wall
from croupier.model.address import Endpoint
from croupier.model.objects import JsonObject
from croupier.model.platform import ALLOW_DNS, DEFAULT_DENY, ENDPOINTS_SECONDS, TRACES_REGION, PlacedCell, Traces
from croupier.model.service_spec import ServiceSpec

RECEIVER, SAMPLER = "receiver", "sampler"
GRPC, HTTP = 4317, 4318
"""Ports of OTLP."""
METRICS_PORT = 8888
"""Where a collector says what it has taken, refused and lost."""
_HEALTH = 13133
_CONFIG = "/etc/otelcol"
_FILE = "collector.yaml"
_USER = 10_001
"""The user of the collector's images."""
_FLUSH_SECONDS = 30
"""From the order to end until force: what was taken in is handed on."""
_SPARE = 2
"""Traces that are held at a time: so many times what is expected, because spans of some come late."""
_OWN = {
    "prometheus": {
        "host": "0.0.0.0",
        "port": METRICS_PORT,
        # Names as their documentation has them, whatever the version makes of units and types by itself.
        "without_scope_info": True,
        "without_type_suffix": True,
        "without_units": True,
    }
}
"""What a collector counts of itself, for a Prometheus."""
_SHADOW_HOSTS = ("server.address", "http.host", "net.host.name")
"""Attributes with the Host of a request. Envoy and Istio append ``-shadow`` to it where they mirror."""


def tracing(placed: PlacedCell, service: ServiceSpec) -> dict[str, str]:
    """What a pod must know to call itself by one name in spans and logs, to send the first and to write the second, by
    the variables that every OpenTelemetry SDK reads, ``LOG_FORMAT`` and ``LOG_LEVEL``. What the service's own
    configuration says stays as it is. ``CROUPIER_VERSION`` must stand before them."""
    traces, logging, cell = placed.region.traces, service.logging, placed.cell
    if traces is None and logging is None:
        return {}
    resource = {
        "service.version": "$(CROUPIER_VERSION)",
        "service.namespace": cell.namespace,
        "service.instance.id": "$(POD_NAME)",
        "brand": cell.brand,
        "market": cell.market,
        **({"region": cell.region} if logging is not None else {}),
        "cell": cell.name,
        **({TRACES_REGION: service.telemetry.traces or cell.region} if traces is not None else {}),
    }
    said = {
        "OTEL_SERVICE_NAME": service.name,
        "OTEL_RESOURCE_ATTRIBUTES": ",".join(f"{name}={value}" for name, value in resource.items()),
    }
    if traces is not None:
        said |= {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://{RECEIVER}.{traces.namespace}:{HTTP}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
            # The samplers choose: nothing is left out before they have seen how it ended.
            "OTEL_TRACES_SAMPLER": "always_on",
        }
    if logging is not None:
        said |= {"LOG_FORMAT": logging.format, "LOG_LEVEL": logging.level}
    return {name: value for name, value in said.items() if name not in service.variables}


def collectors(cells: Iterable[PlacedCell]) -> list[JsonObject]:
    """All that a region's collectors are; nothing where the region has none. ``cells``: all those of one region."""
    here = list(cells)
    traces = here[0].region.traces
    if traces is None:
        return []
    kept = dict(sorted({where: end for placed in here for where, end in placed.traces_kept.items()}.items()))
    return [
        space(traces.namespace),
        *_walls(traces, kept.values(), here[0].region.monitoring_namespace),
        *_tier(traces, RECEIVER, _receiver_config(traces)),
        *_tier(traces, SAMPLER, _sampler_config(traces, here, kept)),
    ]


def _destinations(cells: Iterable[PlacedCell]) -> dict[str, set[str]]:
    """Region that traces go to -> fields that must be taken out before."""
    found: dict[str, set[str]] = {}
    for placed in cells:
        for service in placed.services:
            where = service.telemetry.traces or placed.cell.region
            leaves = where != placed.cell.region
            found.setdefault(where, set()).update(service.telemetry.redact if leaves else ())
    return found


def _receiver_config(traces: Traces) -> JsonObject:
    shadows = [
        f'set(span.attributes["shadow"], true) where IsMatch(span.attributes["{name}"], "-shadow(:[0-9]+)?$")'
        for name in _SHADOW_HOSTS
    ]
    balanced = {
        "routing_key": "traceID",
        "protocol": {"otlp": {"tls": {"insecure": True}}},
        "resolver": {"dns": {"hostname": f"{SAMPLER}.{traces.namespace}", "port": GRPC, "interval": "5s"}},
    }
    return _config(
        protocols=("grpc", "http"),
        processors={"transform/shadow": {"error_mode": "ignore", "trace_statements": shadows}},
        exporters={"loadbalancing": balanced},
        pipelines={"traces": (["otlp"], ["memory_limiter", "transform/shadow"], ["loadbalancing"])},
    )


def _sampler_config(traces: Traces, cells: Sequence[PlacedCell], kept: Mapping[str, Endpoint]) -> JsonObject:
    held = math.ceil(traces.per_second * traces.wait_seconds * _SPARE / traces.samplers)
    sampling = {
        "decision_wait": f"{traces.wait_seconds}s",
        "num_traces": held,
        "expected_new_traces_per_sec": math.ceil(traces.per_second / traces.samplers),
        # Spans that come after the decision share it.
        "decision_cache": {"sampled_cache_size": 10 * held, "non_sampled_cache_size": 10 * held},
        "policies": [*_policies(traces, cells)],
    }
    processors: JsonObject = {"tail_sampling": sampling}
    exporters: JsonObject = {}
    pipelines = {"traces": (["otlp"], ["memory_limiter", "tail_sampling"], [f"forward/{region}" for region in kept])}
    redacted = _destinations(cells)
    own = cells[0].cell.region
    for region, endpoint in kept.items():
        steps = []
        if len(kept) > 1:
            steps.append(f"filter/{region}")
            processors[steps[-1]] = {"error_mode": "propagate", "traces": {"span": [_elsewhere(region, own)]}}
        if redacted[region]:
            steps.append(f"transform/{region}")
            processors[steps[-1]] = {"error_mode": "propagate", "trace_statements": _taken_out(redacted[region])}
        exporters[f"otlp/{region}"] = {"endpoint": f"{endpoint.host}:{endpoint.port}"}
        pipelines[f"traces/{region}"] = ([f"forward/{region}"], [*steps, "batch"], [f"otlp/{region}"])
    made = _config(
        protocols=("grpc",), processors={**processors, "batch": {}}, exporters=exporters, pipelines=pipelines
    )
    return {**made, "connectors": {f"forward/{region}": {} for region in kept}}


def _elsewhere(region: str, own: str) -> str:
    """Whether a span goes to another region. One that does not say where it goes stays in its own."""
    attribute = f'resource.attributes["{TRACES_REGION}"]'
    silent = f"{attribute} != nil and " if region == own else ""
    return f'{silent}{attribute} != "{region}"'


def _taken_out(fields: Iterable[str]) -> list[JsonObject]:
    """A group a context: in one group, all would run once an event of a span, and for spans without any not at all."""
    return [
        {"context": of, "statements": [f'delete_key({of}.attributes, "{name}")' for name in sorted(fields)]}
        for of in ("resource", "scope", "span", "spanevent")
    ]


def _policies(traces: Traces, cells: Iterable[PlacedCell]) -> Iterable[JsonObject]:
    """Any of them keeps a trace."""
    yield {"name": "failed", "type": "status_code", "status_code": {"status_codes": ["ERROR"]}}
    slow: dict[float, set[str]] = {}
    money: set[str] = set()
    for placed in cells:
        for service in placed.services:
            if service.tier == "money":
                money.add(service.name)
            for objective in service.objectives:
                if objective.signal == "latency" and objective.p95_seconds is not None:
                    slow.setdefault(objective.p95_seconds, set()).add(service.name)
    for seconds, names in sorted(slow.items()):
        milliseconds = math.floor(seconds * 1000)
        both = [
            _through(names),
            {"name": "late", "type": "latency", "latency": {"threshold_ms": milliseconds}},
        ]
        yield {"name": f"slower-than-{milliseconds}ms", "type": "and", "and": {"and_sub_policy": both}}
    if money:
        yield {**_through(money), "name": "money"}
    share = {"sampling_percentage": traces.kept_percent}
    yield {"name": "share", "type": "probabilistic", "probabilistic": share}


def _through(services: Iterable[str]) -> JsonObject:
    matched = {"key": "service.name", "values": sorted(services)}
    return {"name": "through", "type": "string_attribute", "string_attribute": matched}


def _config(
    *,
    protocols: Iterable[str],
    processors: JsonObject,
    exporters: JsonObject,
    pipelines: Mapping[str, tuple[list[str], list[str], list[str]]],
) -> JsonObject:
    ports = {"grpc": GRPC, "http": HTTP}
    limited = {"check_interval": "1s", "limit_percentage": 80, "spike_limit_percentage": 20}
    return {
        "receivers": {"otlp": {"protocols": {name: {"endpoint": f"0.0.0.0:{ports[name]}"} for name in protocols}}},
        "processors": {"memory_limiter": limited, **processors},
        "exporters": exporters,
        "extensions": {"health_check": {"endpoint": f"0.0.0.0:{_HEALTH}"}},
        "service": {
            "extensions": ["health_check"],
            "telemetry": {"logs": {"encoding": "json"}, "metrics": {"readers": [{"pull": {"exporter": _OWN}}]}},
            "pipelines": {
                name: dict(zip(("receivers", "processors", "exporters"), parts, strict=True))
                for name, parts in pipelines.items()
            },
        },
    }


def _tier(traces: Traces, name: str, config: JsonObject) -> list[JsonObject]:
    ports = {"otlp": GRPC, "otlp-http": HTTP} if name == RECEIVER else {"otlp": GRPC}
    service: JsonObject = {
        "ports": [{"name": each, "port": port, "targetPort": port, "protocol": "TCP"} for each, port in ports.items()],
    }
    if name == SAMPLER:  # its pods are told apart by those that choose among them
        service |= {"clusterIP": "None"}
    return resident(
        Resident(
            namespace=traces.namespace,
            name=name,
            container="collector",
            image=traces.image,
            words={"args": [f"--config={_CONFIG}/{_FILE}"]},
            resources=traces.resources,
            replicas=traces.samplers if name == SAMPLER else traces.receivers,
            user=_USER,
            rank="standard",
            ports={**ports, "health": _HEALTH, "metrics": METRICS_PORT},
            service=service,
            ready=("/", "health"),
            config=(_CONFIG, _FILE, document(config)),
            pause_seconds=ENDPOINTS_SECONDS,
            grace_seconds=traces.wait_seconds + _FLUSH_SECONDS,
            dns={},
        )
    )


def _walls(traces: Traces, kept: Iterable[Endpoint], monitoring: str | None) -> list[JsonObject]:
    """Spans come from cells, go from tier to tier, and out to where they are kept; nothing else.

    ``monitoring``: the namespace that reads what collectors count of themselves; None: nobody does.
    """
    cells = {"namespaceSelector": {"matchLabels": dict(MANAGED_BY)}}
    receivers, samplers = ({"podSelector": selector(name)} for name in (RECEIVER, SAMPLER))
    read = [allowed("from", [within(monitoring)], [METRICS_PORT])] if monitoring is not None else []
    taken, handed = allowed("from", [cells], [GRPC, HTTP]), allowed("from", [receivers], [GRPC])
    walls = {
        DEFAULT_DENY: nothing_else(),
        ALLOW_DNS: names_looked_up(),
        RECEIVER: door(selector(RECEIVER), [taken, *read], [allowed("to", [samplers], [GRPC])]),
        SAMPLER: door(selector(SAMPLER), [handed, *read], reached(kept, "traces-egress")),
    }
    return [wall(traces.namespace, name, spec) for name, spec in walls.items()]
