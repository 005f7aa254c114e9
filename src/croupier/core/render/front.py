"""What sends callers to a service that croupier does not release: its Service, and the route that players come by.

Where croupier does, both are its operator's (``route``): they follow versions.
"""

from __future__ import annotations

from croupier.core.render.names import of_service, selector
from croupier.core.render.release import route_of
from croupier.core.render.route import timeouts
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.release_policy import ClusterService
from croupier.model.service_spec import ServiceSpec


def front(placed: PlacedCell, service: ServiceSpec) -> list[JsonObject]:
    """The Service, and the HTTPRoute of what players reach."""
    port = ClusterService(name=service.name, target_port=service.port).port
    named = next(each.name for each in service.ports if each.name == "http")
    ports = [{"name": "http", "port": port, "targetPort": named, "protocol": "TCP"}]
    body = {"spec": {"selector": selector(service.name)["matchLabels"], "ports": ports}}
    made = [of_service(placed.cell, service, "v1", "Service", body)]
    if route := route_of(placed, service):
        spec = {
            "parentRefs": [each.model_dump(by_alias=True, exclude_none=True) for each in route.parent_refs],
            "hostnames": list(route.hostnames),
            "rules": [
                {
                    "matches": [{"path": {"type": "PathPrefix", "value": prefix}} for prefix in route.path_prefixes],
                    **timeouts(route),
                    "backendRefs": [{"name": service.name, "port": port}],
                }
            ],
        }
        made.append(of_service(placed.cell, service, "gateway.networking.k8s.io/v1", "HTTPRoute", {"spec": spec}))
    return made
