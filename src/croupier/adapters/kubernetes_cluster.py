"""A cluster as the Kubernetes back ends share it: one cache a kind, and the policies that say what is ours.

Workloads, traffic and the operator read from here and write through ``apply``, whose answer enters the cache at once,
so that a round sees what the one before it wrote.
"""

from __future__ import annotations

import asyncio
import copy
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from croupier.adapters.kubernetes_api import (
    BACKEND_TLS_POLICIES,
    CONFIG_MAPS,
    DEPLOYMENTS,
    DESTINATION_RULES,
    HPAS,
    HTTP_ROUTES,
    PODS,
    RELEASE_CALENDARS,
    RELEASE_POLICIES,
    RELEASES,
    SERVICES,
    Kubernetes,
    Resource,
    resource_of,
)
from croupier.adapters.kubernetes_cache import STALE_SECONDS, Cache, OnChange, Terms, labels_of
from croupier.core.render.version import POLICY_LABEL, Owner
from croupier.errors import UnknownName, Unreachable
from croupier.model.base import NAME
from croupier.model.objects import JsonObject
from croupier.model.release_policy import ReleasePolicySpec
from croupier.ports.clock import Clock

WATCHED = (RELEASE_POLICIES, RELEASES, DEPLOYMENTS, PODS, SERVICES, CONFIG_MAPS, HPAS)
BESIDE = frozenset({DESTINATION_RULES, RELEASE_CALENDARS})
"""Nobody needs to know these to go back: a right or a definition that is taken away must not hold that up."""


SCALES = "croupier.dev/scales"
"""Term of an autoscaler: the Deployment that it scales."""


def _terms_of_scaler(obj: JsonObject) -> Terms:
    target = obj["spec"].get("scaleTargetRef") or {}
    scaled = {SCALES: str(target.get("name", ""))} if target.get("kind") == "Deployment" else {}
    return {**labels_of(obj), **scaled}


_TERMS: Mapping[Resource, Callable[[JsonObject], Terms]] = {HPAS: _terms_of_scaler}


@dataclass(frozen=True, slots=True)
class Policy:
    """A ``ReleasePolicy`` as it stands in the cluster. ``problems``: why it cannot be used; ``owner`` is None then."""

    object: JsonObject
    owner: Owner | None
    problems: tuple[str, ...] = ()
    fallback: Owner | None = None
    """Of one that cannot be used: what a live run of it goes on with, and goes back by. None: nothing is known."""

    @property
    def known(self) -> Owner | None:
        """The policy as it may be used for what is under way already."""
        return self.owner or self.fallback

    @property
    def uid(self) -> str:
        return str(self.object["metadata"]["uid"])

    @property
    def title(self) -> str:
        """As people write it."""
        return f"{self.object['metadata']['namespace']}/{self.object['metadata']['name']}"


class Cluster:
    """Caches of all that the operator works with.

    Args:
        kubernetes: the API server.
        clock: for the caches.
        namespace: None: all namespaces.
        has_gateway: whether the cluster has the Gateway API; without it, routes are not watched.
        has_backend_tls: whether that can be told of TLS to pods, which it can since 1.4.
        has_istio: whether it has Istio's definitions, and lets its DestinationRules be read.
        has_calendars: whether the cluster has the definition of ``ReleaseCalendar``, and lets it be read.
    """

    def __init__(
        self,
        kubernetes: Kubernetes,
        clock: Clock,
        *,
        namespace: str | None = None,
        has_gateway: bool = True,
        has_backend_tls: bool = True,
        has_istio: bool = False,
        has_calendars: bool = True,
    ) -> None:
        self.kubernetes = kubernetes
        self.clock = clock
        self.has_gateway = has_gateway
        self._namespace = namespace
        kinds = (*WATCHED, HTTP_ROUTES) if has_gateway else WATCHED
        kinds = (*kinds, BACKEND_TLS_POLICIES) if has_gateway and has_backend_tls else kinds
        kinds = (*kinds, DESTINATION_RULES) if has_istio else kinds
        kinds = (*kinds, RELEASE_CALENDARS) if has_calendars else kinds
        self._caches = {
            kind: Cache(kubernetes, kind, clock, namespace=namespace, terms_of=_TERMS.get(kind, labels_of))
            for kind in kinds
        }
        self._policies: dict[str, tuple[str, Policy]] = {}
        """Uid -> resource version, and the policy as it was read then: reading one takes longer than all else."""

    async def run(self) -> None:
        """Keep all caches current. Ends by cancellation only."""
        async with asyncio.TaskGroup() as group:
            for kind, cache in self._caches.items():
                group.create_task(cache.run(), name=f"follow {kind.plural}")

    async def listed(self) -> None:
        """Wait until everything has been listed once."""
        for cache in self._caches.values():
            await cache.listed.wait()

    def on_change(self, told: OnChange) -> None:
        for cache in self._caches.values():
            cache.on_change = told

    def require_fresh(self, *kinds: Resource) -> None:
        """Raises ``Unreachable`` when one of these may not be what the API server holds. None named: all but those that
        nobody needs to go back."""
        now = self.clock.now()
        for kind in kinds or tuple(each for each in self._caches if each not in BESIDE):
            self._cache(kind).require_fresh(now)

    def covers(self, namespace: str) -> bool:
        """Whether this is a namespace that is looked after."""
        return self._namespace in (None, namespace)

    def has(self, kind: Resource) -> bool:
        """Whether the cluster knew the kind when the operator started."""
        return kind in self._caches

    def get(self, kind: Resource, namespace: str, name: str) -> JsonObject | None:
        return self._cache(kind).get(namespace, name)

    def find(self, kind: Resource, namespace: str, terms: Mapping[str, str] | None = None) -> list[JsonObject]:
        """Those that carry all these labels; autoscalers also by what they scale (``SCALES``)."""
        return self._cache(kind).find(namespace, terms)

    async def apply(self, obj: JsonObject) -> JsonObject:
        """Server-side apply; the cache holds the answer from now on. Raises what ``Kubernetes.apply`` raises."""
        self._cache(resource_of(obj))
        stored = await self.kubernetes.apply(obj)
        self._cache(resource_of(obj)).put(stored)
        return stored

    async def patch_status(self, obj: JsonObject) -> None:
        """``apply`` of the status. Raises what ``Kubernetes.patch_status`` raises."""
        self._cache(resource_of(obj)).put(await self.kubernetes.patch_status(obj))

    async def delete(self, kind: Resource, obj: JsonObject) -> None:
        metadata = obj["metadata"]
        await self.kubernetes.delete(kind, metadata["name"], namespace=metadata["namespace"], uid=metadata["uid"])

    def _cache(self, kind: Resource) -> Cache:
        if kind not in self._caches:
            key = "spec.route.tls" if kind == BACKEND_TLS_POLICIES else "spec.route and spec.mesh"
            raise Unreachable(
                f"this cluster had no {kind.plural} when the operator started",
                hint=f"install Gateway API and restart the operator, or take {key} out of the policy",
            )
        return self._caches[kind]

    # --- policies -------------------------------------------------------------------------------------------------

    def policies(self) -> list[Policy]:
        """All policies, also those that cannot be used. One that is being deleted is none."""
        found = [
            self._policy(obj)
            for obj in self._caches[RELEASE_POLICIES].items()
            if not obj["metadata"].get("deletionTimestamp")
        ]
        if len(self._policies) > len(found):
            present = {policy.uid for policy in found}
            self._policies = {uid: known for uid, known in self._policies.items() if uid in present}
        return found

    def calendars(self) -> list[JsonObject]:
        """All ``ReleaseCalendar`` objects."""
        return list(self._caches[RELEASE_CALENDARS].items()) if RELEASE_CALENDARS in self._caches else []

    def knows_calendars(self) -> bool:
        """Whether ``calendars`` is what the API server holds; also where it has no definition of them."""
        known = self._caches.get(RELEASE_CALENDARS)
        return known is None or known.age(self.clock.now()) <= STALE_SECONDS

    def owner(self, service: str) -> Owner:
        """The policy behind an engine's service, also one that is known but not usable now. Raises ``UnknownName``."""
        name, _, namespace = service.partition(".")
        obj = self._caches[RELEASE_POLICIES].get(namespace, name)
        owner = self._policy(obj).known if obj is not None else None
        if owner is None:
            raise UnknownName("service with a usable ReleasePolicy", service, list(self._services()))
        return owner

    def is_usable(self, owner: Owner) -> bool:
        """Whether the policy can be used as it is now, and not only what is known of it."""
        obj = self._caches[RELEASE_POLICIES].get(owner.namespace, owner.name)
        return obj is not None and self._policy(obj).owner is not None

    def concerned(self, kind: Resource, obj: JsonObject) -> list[Policy]:
        """Policies for which a change of this object may mean something.

        What is ours says whose it is. Of the rest, pods matter to nobody until their Deployment says that they changed;
        anything else may be an intent, its configuration, or its autoscaler.
        """
        metadata = obj["metadata"]
        name = metadata["name"] if kind == RELEASE_POLICIES else labels_of(obj).get(POLICY_LABEL)
        if name is not None:
            found = self._caches[RELEASE_POLICIES].get(metadata["namespace"], name)
            return [] if found is None else [self._policy(found)]
        if kind == PODS:
            return []
        return [self._policy(each) for each in self._caches[RELEASE_POLICIES].find(metadata["namespace"])]

    def _policy(self, obj: JsonObject) -> Policy:
        uid, version = str(obj["metadata"]["uid"]), obj["metadata"]["resourceVersion"]
        known = self._policies.get(uid)
        if known is None or known[0] != version:
            before = None if known is None else known[1].known
            known = self._policies[uid] = version, _read(obj, before)
        return known[1]

    def _services(self) -> Iterable[str]:
        return (policy.owner.service for policy in self.policies() if policy.owner is not None)


def _read(obj: JsonObject, before: Owner | None) -> Policy:
    """``before``: the same policy as it could be used last; without it, what is left without the unknown fields that a
    newer croupier's definitions let in."""
    metadata, given = obj["metadata"], obj.get("spec", {})
    if re.fullmatch(NAME, metadata["name"]) is None:
        return Policy(obj, None, (f"metadata.name: {metadata['name']} is no DNS label that begins with a letter",))

    def owner(spec: ReleasePolicySpec) -> Owner:
        return Owner(metadata["namespace"], metadata["name"], metadata["uid"], spec)

    try:
        return Policy(obj, owner(ReleasePolicySpec.model_validate(given)))
    except ValidationError as error:
        problems = tuple(f"spec.{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
        known = None if before is not None else _known_part(given, error)
        return Policy(obj, None, problems, before if known is None else owner(known))


def _known_part(spec: JsonObject, error: ValidationError) -> ReleasePolicySpec | None:
    """The spec without the fields that do not exist; None when that is not all that is wrong with it."""
    known = copy.deepcopy(spec)
    try:
        for each in error.errors():
            *way, last = each["loc"]
            if each["type"] != "extra_forbidden":
                return None
            place: Any = known
            for part in way:
                place = place[part]
            del place[last]
        return ReleasePolicySpec.model_validate(known)
    except (LookupError, TypeError, ValidationError):  # one policy's oddity must not stop the others
        return None
