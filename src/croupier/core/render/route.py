"""The objects that send callers to versions: the HTTPRoutes with their weights, how TLS is spoken to what they name,
and the Service that callers know.

``HTTPRoute.rules`` is one list to Kubernetes, so weights cannot be shared between managers: the whole route is ours,
made from ``ReleasePolicy.spec.route`` for players, and from ``spec.mesh`` for callers in the cluster (DESIGN §7).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from croupier.core.render.version import DIGEST, POLICY_LABEL, TLS_PORT, TLS_PORT_NAME, Owner, metadata_of, object_name
from croupier.model.objects import JsonObject
from croupier.model.release_policy import GROUP, MeshRoute, Route, RouteTls

GATEWAY_API = "gateway.networking.k8s.io/v1"

RUN = f"{GROUP}/run"
REVISION = f"{GROUP}/revision"
HSTS = "Strict-Transport-Security"
_NOBODY_HEEDS = (
    "no gateway has taken it up yet; one that knows no BackendTLSPolicy never does: take tls out of spec.route "
    "(platform: edge.backendTls), and players are sent on in the clear"
)
_NO_MESH = (
    "no mesh has taken it up yet; one that reads no HTTPRoutes whose parent is a Service never does: take spec.mesh "
    "out of the policy, and callers in the cluster move at once, when a release has the players"
)


def http_route(owner: Owner, route: Route, weights: Mapping[str, int], run: str, revision: int) -> JsonObject:
    """The route with ``weights`` (digest -> percent); versions at 0 % stay in it, so that they stay reachable."""
    backends = _backends(owner, port_of(route, owner.spec.service.port), weights)
    spec = {
        "parentRefs": _parents(route),
        **({"hostnames": list(route.hostnames)} if route.hostnames else {}),
        "rules": [rule(route, backends)],
    }
    return _route(owner, owner.name, spec, run, revision)


def mesh_route_name(owner: Owner) -> str:
    """Of the route that a mesh reads. No policy is called so, because of the dot, and so no route of players."""
    return f"{owner.name}.mesh"


def mesh_route(owner: Owner, mesh: MeshRoute, weights: Mapping[str, int], run: str, revision: int) -> JsonObject:
    """The same weights for callers inside the cluster: whatever they ask of the Service, a mesh sends to versions, at
    the port without TLS, because it speaks TLS by itself."""
    parent = {"group": "", "kind": "Service", "name": owner.spec.service.name}
    rule = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        **_timeouts(mesh.timeout_seconds),
        "backendRefs": _backends(owner, owner.spec.service.port, weights),
    }
    return _route(owner, mesh_route_name(owner), {"parentRefs": [parent], "rules": [rule]}, run, revision)


def _backends(owner: Owner, port: int, weights: Mapping[str, int]) -> list[JsonObject]:
    return [
        {"name": object_name(owner.name, digest), "port": port, "weight": weight}
        for digest, weight in sorted(weights.items())
    ]


def _route(owner: Owner, name: str, spec: JsonObject, run: str, revision: int) -> JsonObject:
    return {
        "apiVersion": GATEWAY_API,
        "kind": "HTTPRoute",
        "metadata": {
            "name": name,
            "namespace": owner.namespace,
            "labels": {POLICY_LABEL: owner.name},
            "annotations": {RUN: run, REVISION: str(revision)},
            "ownerReferences": [owner.reference],
        },
        "spec": spec,
    }


def rule(route: Route, backends: Iterable[JsonObject]) -> JsonObject:
    """The one rule of an HTTPRoute: what it takes, what it does to answers, how long it waits, where it sends."""
    matches = [{"path": {"type": "PathPrefix", "value": prefix}} for prefix in route.path_prefixes]
    return {"matches": matches, **_filters(route), **_timeouts(route.timeout_seconds), "backendRefs": list(backends)}


def port_of(route: Route, port: int) -> int:
    """The port of a Service that a route names. ``port``: the one without TLS."""
    return port if route.tls is None else TLS_PORT


def version_tls(owner: Owner, tls: RouteTls, digest: str) -> JsonObject:
    """The BackendTLSPolicy for the Service of one version."""
    name = object_name(owner.name, digest)
    metadata = metadata_of(owner, digest, name, {})
    return {"apiVersion": GATEWAY_API, "kind": "BackendTLSPolicy", "metadata": metadata, "spec": tls_to(name, tls)}


def tls_to(service: str, tls: RouteTls) -> JsonObject:
    """Of a BackendTLSPolicy, for a Service that it names."""
    trusted: JsonObject = {"wellKnownCACertificates": "System"}
    if tls.ca is not None:
        trusted = {"caCertificateRefs": [{"group": "", "kind": "ConfigMap", "name": tls.ca}]}
    return {
        "targetRefs": [{"group": "", "kind": "Service", "name": service, "sectionName": TLS_PORT_NAME}],
        "validation": {**trusted, "hostname": tls.hostname},
    }


def stable_service(
    owner: Owner, digest: str, selector: Mapping[str, str], *, run: str = "-", revision: int = 0
) -> JsonObject:
    """The Service that callers in the cluster use; it selects the pods of one version."""
    spec = owner.spec.service
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {
            "name": spec.name,
            "namespace": owner.namespace,
            "labels": {POLICY_LABEL: owner.name},
            "annotations": {DIGEST: digest, RUN: run, REVISION: str(revision)},
        },
        "spec": {
            "selector": dict(selector),
            "ports": [{"name": "http", "port": spec.port, "targetPort": spec.target_port, "protocol": "TCP"}],
        },
    }


def refusal(route: Mapping[str, Any]) -> str:
    """Why gateways, or a mesh, do not serve this route as it stands, in their own words; "" when all of them do."""
    metadata, wanted = route["metadata"], route["spec"]["parentRefs"]
    is_mesh = any(each.get("kind") == "Service" for each in wanted)
    parents = (route.get("status") or {}).get("parents") or ()
    if len(parents) < len(wanted):
        return _NO_MESH if is_mesh else "no gateway has taken it up yet"
    for parent in parents:
        conditions = {each["type"]: each for each in parent.get("conditions") or ()}
        for kind in ("Accepted", "ResolvedRefs"):
            found = conditions.get(kind)
            name = parent.get("parentRef", {}).get("name", "?")
            who = f"mesh ({parent.get('controllerName', '?')})" if is_mesh else f"gateway {name}"
            if found is None:
                return f"{who} does not say whether it is {kind}"
            if found.get("observedGeneration", 0) < metadata.get("generation", 0):
                return f"{who} has not seen its latest change yet"
            if found["status"] != "True":
                return f"{who}: {kind} is {found['status']}: {found.get('message') or found.get('reason')}"
    return ""


def tls_refusal(policy: Mapping[str, Any]) -> str:
    """Why gateways do not go by a BackendTLSPolicy as it stands, in their own words; "" when all of them do."""
    generation = policy["metadata"].get("generation", 0)
    ancestors = (policy.get("status") or {}).get("ancestors") or ()
    for ancestor in ancestors:
        found = next((each for each in ancestor.get("conditions") or () if each["type"] == "Accepted"), None)
        name = ancestor.get("ancestorRef", {}).get("name", "?")
        if found is None or found.get("observedGeneration", 0) < generation:
            return f"gateway {name} has not seen its latest change yet"
        if found["status"] != "True":
            return f"gateway {name}: Accepted is {found['status']}: {found.get('message') or found.get('reason')}"
    return "" if ancestors else _NOBODY_HEEDS


def duration(seconds: float) -> str:
    """As the Gateway API writes durations (GEP-2257): whole seconds and milliseconds."""
    whole, milliseconds = divmod(round(seconds * 1000), 1000)
    return "".join(f"{n}{unit}" for n, unit in ((whole, "s"), (milliseconds, "ms")) if n)


def _timeouts(seconds: float | None) -> JsonObject:
    return {} if seconds is None else {"timeouts": {"request": duration(seconds)}}


def _filters(route: Route) -> JsonObject:
    if route.hsts is None:
        return {}
    headers = [{"name": HSTS, "value": route.hsts.value}]
    return {"filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": headers}}]}


def _parents(route: Route) -> list[JsonObject]:
    kind = {"group": "gateway.networking.k8s.io", "kind": "Gateway"}
    return [{**kind, **each.model_dump(by_alias=True, exclude_none=True)} for each in route.parent_refs]
