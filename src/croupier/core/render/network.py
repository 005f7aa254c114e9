"""Who may talk to whom: nothing, in either direction, then only what a cell's services declare (S2.4, S2.5, S8.9)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from croupier.core.render.collector import GRPC, HTTP
from croupier.core.render.engines import reached
from croupier.core.render.interceptor import is_passed_on_to
from croupier.core.render.mesh import tunnelled
from croupier.core.render.names import of_cell, of_service, selector
from croupier.core.render.peers import allowed, door, names_looked_up, nothing_else, within
from croupier.core.render.release import route_of
from croupier.model.objects import JsonObject
from croupier.model.platform import ALLOW_DNS, DEFAULT_DENY, Cell, PlacedCell
from croupier.model.postgres import POSTGRES_PORT
from croupier.model.providers import EGRESS_PORT, egress_namespace
from croupier.model.service_spec import ServiceSpec
from croupier.model.store import agent_of, used_by

_API = "networking.k8s.io/v1"


def walls(cell: Cell) -> list[JsonObject]:
    """What holds for every pod of the cell: all is denied, names may be looked up."""
    return [
        of_cell(cell, _API, "NetworkPolicy", ALLOW_DNS, {"spec": names_looked_up()}),
        of_cell(cell, _API, "NetworkPolicy", DEFAULT_DENY, {"spec": nothing_else()}),
    ]


def doors(placed: PlacedCell, service: ServiceSpec) -> JsonObject:
    """What one service may be asked by and may ask."""
    spec = door(
        selector(service.name),
        (allowed("from", sources, ports) for sources, ports in _callers(placed, service)),
        (allowed("to", targets, ports) for targets, ports in _called(placed, service)),
    )
    return of_service(placed.cell, service, _API, "NetworkPolicy", {"spec": spec})


_Doors = Iterable[tuple[list[JsonObject], Sequence[int]]]


def _callers(placed: PlacedCell, service: ServiceSpec) -> _Doors:
    region = placed.region
    if (route := route_of(placed, service)) is not None:
        # Beside the port with TLS the one without: what is declared, a route and this policy change at their own times.
        ports = [service.port, *([route.tls.port] if route.tls else [])]
        yield [within(region.gateway.runs_in(placed.cell.namespace))], tunnelled(region.mesh, ports)
    if region.http_add_on is not None and is_passed_on_to(placed, service):
        yield [within(region.http_add_on.namespace)], [service.port]
    callers = [each.name for each in placed.services if service.name in each.depends_on]
    if callers:
        yield [{"podSelector": selector(name)} for name in callers], _called_at(placed, service)
    pods = service.release.metrics.pods
    operator = region.operator_namespace if region.released_by == "croupier" else None
    if readers := [name for name in (operator, region.monitoring_namespace) if name is not None]:
        yield [within(name) for name in readers], tunnelled(region.mesh, [pods.port if pods else service.port])


def _called_at(placed: PlacedCell, service: ServiceSpec) -> list[int]:
    """Where callers in the cell come to a service. The Services that croupier's operator makes have no more ports."""
    more = service.spare_ports if placed.region.released_by == "kubernetes" else ()
    return tunnelled(placed.region.mesh, [service.port, *(each.port for each in more)])


def _called(placed: PlacedCell, service: ServiceSpec) -> _Doors:
    for name in service.depends_on:
        called = next(each for each in placed.services if each.name == name)
        yield [{"podSelector": selector(name)}], _called_at(placed, called)
    mesh = placed.region.mesh if placed.region.egress is not None else None
    for kind in sorted({placed.providers[name].kind for name in service.egress}):
        providers = [placed.providers[name] for name in service.egress]
        ports = {end.port for each in providers if each.kind == kind for end in each.endpoints}
        # Pods of versions before the gateway go on by the way that they know.
        ports |= {EGRESS_PORT} if placed.region.egress is not None else set()
        # The gateway alone knows hosts: an address of a provider moves, and NetworkPolicy knows no names.
        yield [{"namespaceSelector": {"matchLabels": {"svc": egress_namespace(kind)}}}], tunnelled(mesh, sorted(ports))
    elsewhere = sorted({(use.namespace, use.port or POSTGRES_PORT) for use in service.data.values() if use.namespace})
    for namespace, number in elsewhere:
        yield [within(namespace)], [number]
    for store in used_by(placed, service):
        for pods, numbers in reached(store):
            yield [{**within(placed.cell.data_namespace), "podSelector": {"matchLabels": dict(pods)}}], numbers
    agent = placed.region.secrets_agent
    if agent is not None and agent_of(placed, service) is not None:
        yield [within(agent.namespace)], [agent.port]
    if traces := placed.region.traces:
        yield [within(traces.namespace)], [GRPC, HTTP]
