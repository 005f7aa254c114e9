"""What sends callers to a service that croupier does not release: its Service, and the route that players come by.

Where croupier does, both are its operator's (``route``): they follow versions. What else the gateway is told of a
service names the route only, and is the same for both: ``told``.
"""

from __future__ import annotations

from croupier.core.render import envoy_gateway, ingress_nginx, istio, mesh
from croupier.core.render.interceptor import backend_of
from croupier.core.render.names import of_service, selector, service_labels
from croupier.core.render.release import route_of
from croupier.core.render.route import GATEWAY_API, port_of, rule, tls_to
from croupier.core.render.version import TLS_PORT, TLS_PORT_NAME
from croupier.model.gateway import Target
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.release_policy import ClusterService, Route
from croupier.model.service_spec import ServiceSpec


def front(placed: PlacedCell, service: ServiceSpec) -> list[JsonObject]:
    """The Service, and of what players reach its route, as the region's gateway reads it."""
    port = ClusterService(name=service.name, target_port=service.port).port
    named = next(each.name for each in service.ports if each.name == "http")
    ports = [{"name": "http", "port": port, "targetPort": named, "protocol": "TCP"}]
    route = route_of(placed, service)
    if route is not None and service.edge.backend_tls is not None:
        tls = service.edge.backend_tls.port
        ports.append({"name": TLS_PORT_NAME, "port": TLS_PORT, "targetPort": tls, "protocol": "TCP"})
    ports += [
        {"name": each.name, "port": each.port, "targetPort": each.name, "protocol": "TCP"}
        for each in service.spare_ports
        if each.port not in {held["port"] for held in ports}
    ]
    spec = {"selector": selector(service.name)["matchLabels"], "ports": ports}
    if service.traffic == "websocket" and route is None:
        # Callers in the cluster hold connections to it, and no gateway sends them back to their pod.
        spec["sessionAffinity"] = "ClientIP"
    body = {"spec": spec}
    made = [of_service(placed.cell, service, "v1", "Service", body)]
    if route is None:
        return made
    target: Target = placed.region.gateway.target
    if target == "nginxIngress":
        return [*made, _within(placed, service, ingress_nginx.ingress(placed, service, port))]
    if target == "istio":
        return [*made, istio.virtual_service(placed, service, route, port)]
    return [*made, *_routed(placed, service, route, port)]


def told(placed: PlacedCell, service: ServiceSpec) -> list[JsonObject]:
    """What the gateway is told of the route of ``service``, whoever makes that, and what a mesh is of its callers."""
    region, route = placed.region, route_of(placed, service)
    made = envoy_gateway.traffic(placed, service) if region.gateway.target == "envoyGateway" and route else []
    inside, target = mesh.destination_of(placed, service), region.gateway.target
    if region.released_by == "kubernetes" and route is not None and region.gateway.is_of_istio:
        made += istio.destination(placed, service, route if target == "istio" else None, inside)
    elif inside is not None:
        made.append(istio.rule_of(placed.cell, service, inside))
    return [*made, *mesh.carried(placed, service)]


def _routed(placed: PlacedCell, service: ServiceSpec, route: Route, port: int) -> list[JsonObject]:
    """By the Gateway API."""
    ends = {"name": service.name, "port": port_of(route, port)}
    if (http := service.intercepted) is not None:
        ends = backend_of(placed)
        route = route.model_copy(update={"timeout_seconds": service.timeout_seconds + http.held_seconds})
    spec = {
        "parentRefs": [each.model_dump(by_alias=True, exclude_none=True) for each in route.parent_refs],
        "hostnames": list(route.hostnames),
        "rules": [rule(route, [ends])],
    }
    made = [of_service(placed.cell, service, GATEWAY_API, "HTTPRoute", {"spec": spec})]
    if route.tls is not None:
        body = {"spec": tls_to(service.name, route.tls)}
        made.append(of_service(placed.cell, service, GATEWAY_API, "BackendTLSPolicy", body))
    return made


def _within(placed: PlacedCell, service: ServiceSpec, each: JsonObject) -> JsonObject:
    """``each`` in its cell's namespace, with the labels of its service."""
    metadata = {**each["metadata"], "namespace": placed.cell.namespace, "labels": service_labels(placed.cell, service)}
    return {**each, "metadata": metadata}
