"""How new versions of a service are released in a cell: the ReleasePolicy that the operator follows (DESIGN §7)."""

from __future__ import annotations

from collections.abc import Iterator

from croupier.core.policy.strategies import DECIDED, LADDER
from croupier.core.render.names import of_service
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.release_policy import (
    API_VERSION,
    ClusterService,
    MeshRoute,
    ParentRef,
    ReleasePolicySpec,
    Route,
    RouteTls,
)
from croupier.model.service import GatedObjective
from croupier.model.service_spec import ServiceSpec

_AT_ONCE = (100,)
"""Without routes a Service is switched as a whole."""


def release_policy(placed: PlacedCell, service: ServiceSpec) -> JsonObject:
    """The policy. Who scales a service says how few pods it may have, where nothing does, ``replicas`` does."""
    route, mesh = route_of(placed, service), mesh_route_of(placed, service)
    strategy = service.release.strategy
    if route is None and mesh is None:
        strategy = strategy.model_copy(update={"steps": _AT_ONCE})
    spec = ReleasePolicySpec(
        deployment=service.name,
        service=ClusterService(name=service.name, target_port=service.port),
        route=route,
        mesh=mesh,
        tier=service.tier,
        traffic="websocket" if service.traffic == "websocket" else "http",
        replicas=service.scaling.min if service.scaling else service.replicas,
        drain_seconds=service.drain_seconds,
        objectives=tuple(_gated(service)),
        strategy=strategy,
        gates=service.release.gates,
        metrics=service.release.metrics,
    )
    body = {"spec": spec.model_dump(mode="json", by_alias=True, exclude_defaults=True)}
    policy = of_service(placed.cell, service, API_VERSION, "ReleasePolicy", body)
    if strategy.steps not in (LADDER, _AT_ONCE):
        # Who reads the manifests alone is told that the platform file asks for these steps (rule canary-steps).
        policy["metadata"]["annotations"] = {DECIDED: ", ".join(map(str, strategy.steps))}
    return policy


def _gated(service: ServiceSpec) -> Iterator[GatedObjective]:
    """Objectives that a release is held against."""
    for each in service.objectives:
        if each.signal != "roundTrips":
            yield GatedObjective(**dict(each))


def mesh_route_of(placed: PlacedCell, service: ServiceSpec) -> MeshRoute | None:
    """How long callers in the cell wait, where a mesh splits them; None where it does not."""
    if not placed.splits_calls(service):
        return None
    waits = None if service.calls is None else service.calls.timeout_seconds
    return MeshRoute(timeout_seconds=waits or service.timeout_seconds)


def route_of(placed: PlacedCell, service: ServiceSpec) -> Route | None:
    """How players come to it; None where they do not."""
    if not service.is_reached:
        return None
    gateway = placed.region.gateway
    parent = ParentRef(name=gateway.name, namespace=gateway.namespace, section_name=gateway.section_name)
    prefixes = tuple(path.rstrip("/") or "/" for path in service.routes)
    return Route(
        parent_refs=(parent,),
        hostnames=placed.cell.hostnames,
        path_prefixes=prefixes,
        timeout_seconds=service.timeout_seconds,
        hsts=service.edge.hsts,
        tls=_tls_of(placed, service),
    )


def _tls_of(placed: PlacedCell, service: ServiceSpec) -> RouteTls | None:
    wanted = service.edge.backend_tls
    if wanted is None:
        return None
    port = next(each.port for each in service.ports if each.name == wanted.port)
    hostname = wanted.hostname or f"{service.name}.{placed.cell.namespace}.svc"
    return RouteTls(port=port, hostname=hostname, ca=wanted.ca)
