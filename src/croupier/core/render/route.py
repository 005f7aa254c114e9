"""The objects that send callers to versions: the HTTPRoute with its weights, and the Service that callers know.

``HTTPRoute.rules`` is one list to Kubernetes, so weights cannot be shared between managers: the whole route is ours,
made from ``ReleasePolicy.spec.route`` (DESIGN §7).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from croupier.core.render.version import DIGEST, POLICY_LABEL, Owner, object_name
from croupier.model.objects import JsonObject
from croupier.model.release_policy import GROUP, Route

RUN = f"{GROUP}/run"
REVISION = f"{GROUP}/revision"


def http_route(owner: Owner, route: Route, weights: Mapping[str, int], run: str, revision: int) -> JsonObject:
    """The route with ``weights`` (digest -> percent); versions at 0 % stay in it, so that they stay reachable."""
    backends = [
        {"name": object_name(owner.name, digest), "port": owner.spec.service.port, "weight": weight}
        for digest, weight in sorted(weights.items())
    ]
    matches = [{"path": {"type": "PathPrefix", "value": prefix}} for prefix in route.path_prefixes]
    return {
        "apiVersion": "gateway.networking.k8s.io/v1",
        "kind": "HTTPRoute",
        "metadata": {
            "name": owner.name,
            "namespace": owner.namespace,
            "labels": {POLICY_LABEL: owner.name},
            "annotations": {RUN: run, REVISION: str(revision)},
            "ownerReferences": [owner.reference],
        },
        "spec": {
            "parentRefs": [_parent(each.model_dump(by_alias=True, exclude_none=True)) for each in route.parent_refs],
            **({"hostnames": list(route.hostnames)} if route.hostnames else {}),
            "rules": [{"matches": matches, **timeouts(route), "backendRefs": backends}],
        },
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


def timeouts(route: Route) -> JsonObject:
    """Of a rule, as the Gateway API writes durations (GEP-2257): whole seconds and milliseconds."""
    if route.timeout_seconds is None:
        return {}
    seconds, milliseconds = divmod(round(route.timeout_seconds * 1000), 1000)
    return {"timeouts": {"request": "".join(f"{n}{unit}" for n, unit in ((seconds, "s"), (milliseconds, "ms")) if n)}}


def _parent(reference: JsonObject) -> JsonObject:
    return {"group": "gateway.networking.k8s.io", "kind": "Gateway", **reference}
