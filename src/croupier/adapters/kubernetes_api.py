"""What an API server is to the adapters: kinds of objects, four verbs on them, and what its refusals mean.

Plain dicts go in and out, as Kubernetes writes them in JSON. ``kubernetes_client`` does it over HTTP,
``kubernetes_memory`` in memory; everybody else knows this protocol only.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Mapping
from typing import Any, Literal, NamedTuple, Protocol

from croupier.errors import Conflict, CroupierError, Expired, Missing, Refused, UnknownName, Unreachable
from croupier.model.objects import JsonObject
from croupier.model.release_policy import API_VERSION

_WORDS = 600
"""How many characters of a server's message are passed on."""


class Resource(NamedTuple):
    """A kind of object. ``plural`` is its name in addresses."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool = True


DEPLOYMENTS = Resource("apps/v1", "Deployment", "deployments")
PODS = Resource("v1", "Pod", "pods")
SERVICES = Resource("v1", "Service", "services")
CONFIG_MAPS = Resource("v1", "ConfigMap", "configmaps")
HTTP_ROUTES = Resource("gateway.networking.k8s.io/v1", "HTTPRoute", "httproutes")
BACKEND_TLS_POLICIES = Resource("gateway.networking.k8s.io/v1", "BackendTLSPolicy", "backendtlspolicies")
DESTINATION_RULES = Resource("networking.istio.io/v1", "DestinationRule", "destinationrules")
HPAS = Resource("autoscaling/v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers")
EVENTS = Resource("events.k8s.io/v1", "Event", "events")
LEASES = Resource("coordination.k8s.io/v1", "Lease", "leases")
RELEASE_POLICIES = Resource(API_VERSION, "ReleasePolicy", "releasepolicies")
RELEASES = Resource(API_VERSION, "Release", "releases")
RELEASE_CALENDARS = Resource(API_VERSION, "ReleaseCalendar", "releasecalendars")

RESOURCES = (
    DEPLOYMENTS,
    PODS,
    SERVICES,
    CONFIG_MAPS,
    HTTP_ROUTES,
    BACKEND_TLS_POLICIES,
    DESTINATION_RULES,
    HPAS,
    EVENTS,
    LEASES,
    RELEASE_POLICIES,
    RELEASES,
    RELEASE_CALENDARS,
)


class Listing(NamedTuple):
    """``resource_version``: where a watch goes on from."""

    items: tuple[JsonObject, ...]
    resource_version: str


class Change(NamedTuple):
    """One event of a watch. A bookmark's object holds nothing but a resourceVersion."""

    kind: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: JsonObject


class Kubernetes(Protocol):
    """What the adapters need from an API server.

    ``labels`` is a selector of equalities (``a=b,c=d``); ``namespace`` None means all of them. Errors, each with verb,
    object and the server's words: ``Unreachable`` for what may pass by itself (no connection, 401, 429, 5xx, too slow),
    ``Missing`` for 404, ``Conflict`` for 409, ``Expired`` for 410, ``Refused`` for 403, 422 and other faults of the
    request.
    """

    fence: Callable[[], None]
    """Called before every write except of leases; raises when nothing may be written."""

    async def list(self, resource: Resource, *, namespace: str | None = None, labels: str = "") -> Listing:
        """All objects, as of one moment."""
        ...

    def watch(
        self, resource: Resource, *, namespace: str | None = None, labels: str = "", resource_version: str
    ) -> AsyncGenerator[Change, None]:
        """What changes after ``resource_version``, in order, with bookmarks about once a minute.

        Ends when the server ends it. It may fall silent for ever: the caller watches for that, and closes it.
        """
        ...

    async def get(self, resource: Resource, name: str, *, namespace: str | None = None) -> JsonObject | None:
        """The object as of now, or None."""
        ...

    async def apply(self, obj: JsonObject, *, force: bool = True) -> JsonObject:
        """Server-side apply: the fields in ``obj`` are ours, those left out that we had are removed.

        Args:
            obj: with apiVersion, kind, metadata.name and, if namespaced, metadata.namespace; without managedFields.
            force: take fields that another manager holds with another value; without it that is a ``Conflict``.

        Returns:
            The whole object as it is now stored.
        """
        ...

    async def patch_status(self, obj: JsonObject) -> JsonObject:
        """``apply`` of the status; everything else in ``obj`` only says which object. ``Missing`` when it is gone."""
        ...

    async def create(self, obj: JsonObject) -> JsonObject:
        """``Conflict`` when there is one of the name."""
        ...

    async def replace(self, obj: JsonObject) -> JsonObject:
        """``Conflict`` when it is no longer at its metadata.resourceVersion, or no longer the one of its metadata.uid.

        Give both: some kinds, leases among them, are made anew by a replacement without a uid.
        """
        ...

    async def delete(
        self, resource: Resource, name: str, *, namespace: str | None = None, uid: str | None = None
    ) -> None:
        """With what it owns, in the background. Gone already, or another one than that of ``uid``: nothing to do."""
        ...


def resource_of(obj: Mapping[str, Any]) -> Resource:
    """Raises ``UnknownName`` for a kind that nobody here works with."""
    for resource in RESOURCES:
        if (resource.api_version, resource.kind) == (obj.get("apiVersion"), obj.get("kind")):
            return resource
    known = [f"{resource.api_version} {resource.kind}" for resource in RESOURCES]
    raise UnknownName("kind of object", f"{obj.get('apiVersion')} {obj.get('kind')}", known)


def selects(labels: str, obj: Mapping[str, Any]) -> bool:
    """Whether a selector of equalities selects the object; an empty one selects all."""
    have = obj["metadata"].get("labels") or {}
    pairs = (term.partition("=")[::2] for term in labels.split(",") if term)
    return all(have.get(name) == value for name, value in pairs)


def open_fence() -> None:
    """For clients without a lease: everything may be written."""


def describe(verb: str, resource: Resource, name: str = "", namespace: str | None = None) -> str:
    """Verb and object, for messages: ``apply Deployment shop/payments-api``."""
    if name:
        return f"{verb} {resource.kind} {namespace}/{name}" if namespace else f"{verb} {resource.kind} {name}"
    return f"{verb} {resource.plural}" + (f" in {namespace}" if namespace else "")


def failure(task: str, code: int, status: Mapping[str, Any], retry_after: str = "") -> CroupierError:
    """What an answer other than yes means.

    Args:
        task: verb and object.
        code: HTTP status code.
        status: Kubernetes' Status object, as far as there is one.
        retry_after: the header: seconds, or a date, which API servers do not send.
    """
    words = str(status.get("message") or status.get("reason") or "no reason given")[:_WORDS]
    message = f"cannot {task}: {code}: {words}"
    match code:
        case 404:
            return Missing(message)
        case 409:
            return Conflict(message)
        case 410:
            return Expired(message)
        case 401 | 408 | 429:
            return Unreachable(message, retry_after_seconds=_seconds(retry_after, status))
        case _ if 400 <= code < 500:
            return Refused(message)
        case _:
            return Unreachable(message, retry_after_seconds=_seconds(retry_after, status))


def _seconds(retry_after: str, status: Mapping[str, Any]) -> float:
    if retry_after.isascii() and retry_after.isdigit():
        return float(retry_after)
    details = status.get("details")
    told = details.get("retryAfterSeconds") if isinstance(details, dict) else None
    return float(told) if isinstance(told, int) else 0.0
