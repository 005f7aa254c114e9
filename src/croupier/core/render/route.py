"""The objects that send callers to versions: the HTTPRoute with its weights, how TLS is spoken to what it names, and
the Service that callers know.

``HTTPRoute.rules`` is one list to Kubernetes, so weights cannot be shared between managers: the whole route is ours,
made from ``ReleasePolicy.spec.route`` (DESIGN §7).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from croupier.core.render.version import DIGEST, POLICY_LABEL, TLS_PORT, TLS_PORT_NAME, Owner, metadata_of, object_name
from croupier.model.objects import JsonObject
from croupier.model.release_policy import GROUP, Route, RouteTls

GATEWAY_API = "gateway.networking.k8s.io/v1"

RUN = f"{GROUP}/run"
REVISION = f"{GROUP}/revision"
HSTS = "Strict-Transport-Security"
_NOBODY_HEEDS = (
    "no gateway has taken it up yet; one that knows no BackendTLSPolicy never does: take tls out of spec.route "
    "(platform: edge.backendTls), and players are sent on in the clear"
)


def http_route(owner: Owner, route: Route, weights: Mapping[str, int], run: str, revision: int) -> JsonObject:
    """The route with ``weights`` (digest -> percent); versions at 0 % stay in it, so that they stay reachable."""
    backends = [
        {"name": object_name(owner.name, digest), "port": port_of(route, owner.spec.service.port), "weight": weight}
        for digest, weight in sorted(weights.items())
    ]
    return {
        "apiVersion": GATEWAY_API,
        "kind": "HTTPRoute",
        "metadata": {
            "name": owner.name,
            "namespace": owner.namespace,
            "labels": {POLICY_LABEL: owner.name},
            "annotations": {RUN: run, REVISION: str(revision)},
            "ownerReferences": [owner.reference],
        },
        "spec": {
            "parentRefs": _parents(route),
            **({"hostnames": list(route.hostnames)} if route.hostnames else {}),
            "rules": [rule(route, backends)],
        },
    }


def rule(route: Route, backends: Iterable[JsonObject]) -> JsonObject:
    """The one rule of an HTTPRoute: what it takes, what it does to answers, how long it waits, where it sends."""
    matches = [{"path": {"type": "PathPrefix", "value": prefix}} for prefix in route.path_prefixes]
    return {"matches": matches, **_filters(route), **_timeouts(route), "backendRefs": list(backends)}


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
    """Why the gateways do not serve this route as it stands, in their own words; "" when all of them do."""
    metadata = route["metadata"]
    parents = (route.get("status") or {}).get("parents") or ()
    if len(parents) < len(route["spec"]["parentRefs"]):
        return "no gateway has taken it up yet"
    for parent in parents:
        conditions = {each["type"]: each for each in parent.get("conditions") or ()}
        for kind in ("Accepted", "ResolvedRefs"):
            found = conditions.get(kind)
            name = parent.get("parentRef", {}).get("name", "?")
            if found is None:
                return f"gateway {name} does not say whether it is {kind}"
            if found.get("observedGeneration", 0) < metadata.get("generation", 0):
                return f"gateway {name} has not seen its latest change yet"
            if found["status"] != "True":
                return f"gateway {name}: {kind} is {found['status']}: {found.get('message') or found.get('reason')}"
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


def _timeouts(route: Route) -> JsonObject:
    return {} if route.timeout_seconds is None else {"timeouts": {"request": duration(route.timeout_seconds)}}


def _filters(route: Route) -> JsonObject:
    if route.hsts is None:
        return {}
    headers = [{"name": HSTS, "value": route.hsts.value}]
    return {"filters": [{"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": headers}}]}


def _parents(route: Route) -> list[JsonObject]:
    kind = {"group": "gateway.networking.k8s.io", "kind": "Gateway"}
    return [{**kind, **each.model_dump(by_alias=True, exclude_none=True)} for each in route.parent_refs]
