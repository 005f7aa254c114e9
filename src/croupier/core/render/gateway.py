"""What players come through, where it is rendered: a Gateway a region, with a listener for each hostname, on which only
routes of its own cell can hang (S1.4, S8.1, S8.2).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from croupier.core.render import envoy_gateway, istio
from croupier.core.render.mesh import labels_of
from croupier.core.render.names import MANAGED_BY
from croupier.core.render.peers import NAMESPACE
from croupier.core.render.pods import restricted
from croupier.core.render.route import GATEWAY_API
from croupier.model.gateway import Gateway
from croupier.model.mesh import Mesh
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell, Region

PLAIN = "http"
"""The listener that sends everybody to TLS."""
_ISSUER = "cert-manager.io/cluster-issuer"


def gateways(region: Region, cells: Iterable[PlacedCell]) -> list[JsonObject]:
    """The Gateway of a region and what belongs to it; nothing where somebody else makes it. ``cells``: those there."""
    gateway = region.gateway
    if not gateway.is_rendered:
        return []
    here = sorted(cells, key=lambda each: each.cell.name)
    if gateway.target == "istio":
        return istio.gateway_of(gateway, here)
    made = [
        _space(gateway, region.mesh),
        _of(gateway, GATEWAY_API, "Gateway", gateway.name, _gateway(gateway, here)),
        _of(gateway, GATEWAY_API, "HTTPRoute", f"{gateway.name}-to-https", _redirect(gateway)),
    ]
    if gateway.target == "envoyGateway":
        spec = envoy_gateway.clients(gateway)
        made.append(_of(gateway, envoy_gateway.API, "ClientTrafficPolicy", gateway.name, spec))
    return made


def _of(gateway: Gateway, api: str, kind: str, name: str, spec: JsonObject) -> JsonObject:
    metadata: dict[str, Any] = {"name": name, "namespace": gateway.namespace, "labels": dict(MANAGED_BY)}
    if kind == "Gateway" and gateway.issuer is not None:
        metadata["annotations"] = {_ISSUER: gateway.issuer}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec}


def _space(gateway: Gateway, mesh: Mesh | None) -> JsonObject:
    """Under Pod Security ``restricted``; ``baseline`` where the gateway's pods run: not all of them keep to more. There
    they are in the mesh, too, unless they speak its TLS by themselves."""
    labels = restricted()
    if gateway.runs_in("") == gateway.namespace:
        labels = dict.fromkeys(labels, "baseline")
        labels |= {} if gateway.is_of_istio else labels_of(mesh)
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": gateway.namespace, "labels": {**MANAGED_BY, **labels}},
    }


def _gateway(gateway: Gateway, cells: Sequence[PlacedCell]) -> JsonObject:
    plain = {
        "name": PLAIN,
        "port": 80,
        "protocol": "HTTP",
        "allowedRoutes": {"namespaces": {"from": "Same"}},
    }
    spec: dict[str, Any] = {
        "gatewayClassName": gateway.class_name,
        "listeners": [plain, *(_listener(each, host) for each in cells for host in each.cell.hostnames)],
    }
    if gateway.client_certificate is not None:
        spec["tls"] = {"backend": {"clientCertificateRef": _secret(gateway.client_certificate)}}
    return spec


def _listener(placed: PlacedCell, host: str) -> JsonObject:
    own = {"matchLabels": {NAMESPACE: placed.cell.namespace}}
    return {
        "name": host,
        "hostname": host,
        "port": 443,
        "protocol": "HTTPS",
        "tls": {"mode": "Terminate", "certificateRefs": [_secret(placed.cell.certificate)]},
        "allowedRoutes": {"namespaces": {"from": "Selector", "selector": own}},
    }


def _secret(name: str) -> JsonObject:
    return {"group": "", "kind": "Secret", "name": name}


def _redirect(gateway: Gateway) -> JsonObject:
    redirect = {"type": "RequestRedirect", "requestRedirect": {"scheme": "https", "statusCode": 301}}
    parent = {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": gateway.name, "sectionName": PLAIN}
    return {
        "parentRefs": [parent],
        "rules": [{"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "filters": [redirect]}],
    }
