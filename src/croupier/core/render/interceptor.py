"""What KEDA's HTTP add-on is told of a service, and how requests come by its interceptor (S6.2).

The add-on would make a ScaledObject of its own from an HTTPScaledObject, without how fast pods go, without a fallback
and without the calendar. It is told not to: the one that is rendered asks its scaler (add-on 0.12,
docs/walkthrough.md).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from croupier.core.policy.world import NOT_SCALED
from croupier.core.render.names import MANAGED_BY, of_service
from croupier.core.render.release import route_of
from croupier.core.render.route import duration
from croupier.model.interceptor import Http, HttpAddOn
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.release_policy import ClusterService
from croupier.model.service_spec import ServiceSpec

API = "http.keda.sh/v1alpha1"
DEFAULT_WINDOW_SECONDS = 60
_GRANT = "gateway.networking.k8s.io/v1beta1"
"""The version that gateways of every age read; from 1.5 on the Gateway API has ``v1`` beside it."""
MOST_GRANTED = 16
"""The Gateway API takes no more namespaces an object."""


def http_scaled_object(placed: PlacedCell, service: ServiceSpec, http: Http) -> JsonObject:
    """http.keda.sh/v1alpha1: whose requests are passed on to where, what is counted, how long they are held."""
    route = route_of(placed, service)
    assert route is not None  # held by spec.interceptor
    scaling = service.scaling
    assert scaling is not None
    if http.request_rate is not None:
        window = duration(http.window_seconds or DEFAULT_WINDOW_SECONDS)
        counted: JsonObject = {"requestRate": {"targetValue": http.request_rate, "window": window, "granularity": "1s"}}
    else:
        counted = {"concurrency": {"targetValue": http.average}}
    kind = "StatefulSet" if service.volumes else "Deployment"
    target = {"apiVersion": "apps/v1", "kind": kind, "name": service.name, **_ends_at(service)}
    spec: JsonObject = {
        "hosts": list(route.hostnames),
        "pathPrefixes": list(route.path_prefixes),
        "scaleTargetRef": target,
        "replicas": {"min": scaling.min, "max": scaling.max},
        "scaledownPeriod": scaling.down_seconds,
        "scalingMetric": counted,
        "timeouts": {
            "conditionWait": duration(http.held_seconds),
            "responseHeader": duration(service.timeout_seconds),
        },
    }
    if http.fallback is not None:
        other = next(each for each in placed.services if each.name == http.fallback)
        spec["coldStartTimeoutFailoverRef"] = {**_ends_at(other), "timeoutSeconds": http.held_seconds}
    made = of_service(placed.cell, service, API, "HTTPScaledObject", {"spec": spec})
    made["metadata"]["annotations"] = {NOT_SCALED: "true"}
    return made


def _ends_at(service: ServiceSpec) -> JsonObject:
    port = ClusterService(name=service.name, target_port=service.port).port
    return {"service": service.name, "port": port}


def scaler_of(placed: PlacedCell) -> str:
    """Where KEDA asks how many requests there are."""
    add_on = _add_on(placed)
    return f"{add_on.scaler}.{add_on.namespace}:{add_on.scaler_port}"


def backend_of(placed: PlacedCell) -> JsonObject:
    """Where a route sends requests that the interceptor is to count."""
    add_on = _add_on(placed)
    return {"name": add_on.interceptor, "namespace": add_on.namespace, "port": add_on.port}


def is_passed_on_to(placed: PlacedCell, service: ServiceSpec) -> bool:
    """Whether requests come to a service by the interceptor: its own, or those of one that it answers for."""
    https = [each.intercepted for each in placed.services]
    return service.intercepted is not None or any(http is not None and http.fallback == service.name for http in https)


def grants(cells: Sequence[PlacedCell]) -> list[JsonObject]:
    """What lets routes of the cells of a region name the interceptor, which is in a namespace of its own."""
    spaces = sorted({each.cell.namespace for each in cells if any(held.intercepted for held in each.services)})
    if not spaces:
        return []
    add_on = _add_on(cells[0])
    parts = [spaces[at : at + MOST_GRANTED] for at in range(0, len(spaces), MOST_GRANTED)]
    return [_grant(add_on, f"croupier-{number}", part) for number, part in enumerate(parts, 1)]


def _grant(add_on: HttpAddOn, name: str, spaces: Iterable[str]) -> JsonObject:
    group = "gateway.networking.k8s.io"
    spec = {
        "from": [{"group": group, "kind": "HTTPRoute", "namespace": each} for each in spaces],
        "to": [{"group": "", "kind": "Service", "name": add_on.interceptor}],
    }
    metadata = {"name": name, "namespace": add_on.namespace, "labels": dict(MANAGED_BY)}
    return {"apiVersion": _GRANT, "kind": "ReferenceGrant", "metadata": metadata, "spec": spec}


def _add_on(placed: PlacedCell) -> HttpAddOn:
    add_on = placed.region.http_add_on
    assert add_on is not None  # held by spec.interceptor
    return add_on
