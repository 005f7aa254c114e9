"""Traffic by Gateway API: an HTTPRoute for players and one for callers in the cluster, with a backend a version, and
the Service that those callers know.

The second hangs on that Service, and a mesh reads it (GAMMA). Both are one change: they have the same weights, and a
change counts once every gateway, and the mesh, say that they have accepted this generation of their route and found its
backends; the players' counters then show whether it also took effect. Where a policy's ``spec.route`` or ``spec.mesh``
was taken away, our route goes, too.

Where pods speak TLS, the Service of a version has a policy that says so, and gateways must have accepted that, too.
While a version of the route declares ports and not that one, all of them are asked in the clear: what was made before
TLS was asked for goes on serving, and can be gone back to. Callers past a mesh stay with the stable version until a
release has all players, or all but those held back: a Service cannot split. Clusters without Gateway API have only that
Service.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from typing import Literal

from croupier.adapters.kubernetes_api import (
    BACKEND_TLS_POLICIES,
    DEPLOYMENTS,
    DESTINATION_RULES,
    HTTP_ROUTES,
    SERVICES,
    resource_of,
)
from croupier.adapters.kubernetes_cluster import Cluster
from croupier.adapters.traffic.checks import check_weights
from croupier.adapters.traffic.gateway_objects import annotation, covers, revision, says, weights_of
from croupier.adapters.traffic.version_rules import rules_of, spare_rules
from croupier.core.render.route import (
    RUN,
    http_route,
    mesh_route,
    mesh_route_name,
    refusal,
    stable_service,
    tls_refusal,
    version_tls,
)
from croupier.core.render.version import DIGEST, Owner, intent_digest, labels, object_name, version_service
from croupier.errors import Unconfirmed, Unreachable, UsageError
from croupier.model.digest import short
from croupier.model.objects import JsonObject
from croupier.model.release_object import RouteStatus
from croupier.model.release_policy import Route
from croupier.model.traffic import ArmBackend, Capabilities, ObservedSplit, Split

CONFIRM_SECONDS = 9.0
"""Below the ten seconds of the port."""
_PAUSE_SECONDS = 0.05
CALLERS_MOVE_AT = 95
"""Percent: no more than the rest is ever held back, so callers in the cluster are with what is being baked."""

Render = Callable[[Mapping[str, int], str, int], JsonObject]
"""An HTTPRoute with these weights (digest -> percent), of this run and revision."""

log = logging.getLogger(__name__)


class GatewayTraffic:
    """The traffic port on a cluster."""

    def __init__(self, cluster: Cluster, sockets: Callable[[str], Awaitable[dict[str, int]]] | None = None) -> None:
        """``sockets``: counts those of each version of a service, as ``open_sockets`` tells them; None: nobody does."""
        self._cluster = cluster
        self._sockets = sockets

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(sticky=False, mirroring=False, verifies=True)

    async def open_sockets(self, service: str) -> dict[str, int]:
        """As pods count them: a Gateway tells nobody what goes through it."""
        self._cluster.owner(service)
        return {} if self._sockets is None else await self._sockets(service)

    async def set_split(self, split: Split) -> None:
        owner = self._cluster.owner(split.service)
        check_weights(split)
        weights = weights_of(split)
        route, routes = self._route(owner, weights), self._routes(owner, weights)
        if not routes and set(weights.values()) - {0, 100}:
            raise UsageError(
                f"{split.service} has no route, and a Service cannot split",
                hint="use steps: [100], or give spec.route, or spec.mesh where there is a mesh",
            )
        goes_back = split.goes_back
        left = self._left_behind(owner)
        if not (routes and goes_back):  # a route that is known leads back, whatever becomes of the other
            self._require_usable(owner, left)
        pointed = next((digest for digest, weight in weights.items() if weight >= CALLERS_MOVE_AT), split.stable.digest)
        selector = self._selector(owner, pointed)
        callers = stable_service(owner, pointed, selector, run=split.run, revision=split.revision)
        if routes:
            if route != owner.spec.route:
                log.warning(
                    "%s is asked in the clear: not all its versions have the port of spec.route.tls", owner.service
                )
            made = self._version_services(owner, weights)
            made += self._tls(owner, route, weights)
            rules = rules_of(self._cluster, owner, weights)
            made += [] if goes_back else rules
            if owner.spec.mesh is not None and self._service(owner) is None:
                made.append(callers)  # what a route of a mesh hangs on
            made += [render(weights, split.run, split.revision) for render in routes.values()]
            if goes_back or pointed == split.stable.digest:  # callers go back whether or not a gateway answers
                made.append(callers)
            made += rules if goes_back else []  # nobody waits on a bad version for what only limits calls
            if split.run == "-" and self._is_intent(owner, split.stable.digest):
                for each in made:  # the service has left: its players must not notice that the policy is deleted
                    each["metadata"].pop("ownerReferences", None)
            for each in made:  # make before break: what the route names exists before it names it
                await self._apply(each)
            if goes_back and self._cluster.is_usable(owner):
                left = await self._drop_callers(owner, left)
            await self._confirm(owner, routes)
        await self._apply(callers)
        self._require_usable(owner, left)
        for each in left:
            await self._cluster.delete(HTTP_ROUTES, each)

    async def observe(self, service: str) -> ObservedSplit:
        """What the gateways and the mesh have accepted. While nothing of ours is there, the intent's own pods serve."""
        owner = self._cluster.owner(service)
        self._cluster.require_fresh(SERVICES)
        stable = self._service(owner)
        pointed = self._pointed(owner, stable)
        names = list(self._routes(owner, ()))
        if names:
            self._cluster.require_fresh(HTTP_ROUTES)
        found = {name: self._cluster.get(HTTP_ROUTES, owner.namespace, name) for name in names}
        if not pointed and not any(found.values()):
            return self._untouched(owner)
        if pointed:
            assert stable is not None
            self._require_pointed(owner, stable, pointed)
        left = next((each["metadata"]["name"] for each in self._left_behind(owner)), "")
        stays = f"HTTPRoute {owner.namespace}/{left} is left, and sends players still" if left else ""
        if not names:
            assert stable is not None
            if stays:
                raise Unreachable(stays)
            return ObservedSplit(service, annotation(stable, RUN), revision(stable), {pointed: 100})
        seen = {name: self._written(owner, name, route) for name, route in found.items()}
        splits = {name: split for name, (split, _) in seen.items()}
        refused = next((why for _, why in seen.values() if why), stays)
        split = splits[names[0]]
        if apart := self._apart(owner, splits) or self._astray(owner, stable, pointed, split):
            raise Unreachable(refused or apart)
        if refused:
            raise Unconfirmed(refused, run=split.run, revision=split.revision, weights=split.weights)
        return split

    async def put_back(self, service: str, digest: str) -> list[str]:
        """Outside of a run only ``digest`` serves: restore whatever somebody changed about that; tells what it was.

        Raises what writing raises.
        """
        owner = self._cluster.owner(service)
        found = []
        for name in self._routes(owner, (digest,)):
            route = self._cluster.get(HTTP_ROUTES, owner.namespace, name)
            if route is None:
                found.append(f"HTTPRoute {name} was not there")
                continue
            try:
                if self._loaded(owner, name, route) != {digest: 100} or annotation(route, RUN) != "-":
                    found.append(f"HTTPRoute {name} had other weights")
            except Unreachable as error:
                found.append(error.message)
        tls = self._tls(owner, self._route(owner, (digest,)), (digest,))
        for wanted in (*tls, *rules_of(self._cluster, owner, (digest,))):
            name = wanted["metadata"]["name"]
            known = self._cluster.get(resource_of(wanted), owner.namespace, name)
            if known is None or not says(known, wanted):
                found.append(f"{wanted['kind']} {name} was {'not there' if known is None else 'changed'}")
        stable = self._service(owner)
        has_routes = owner.spec.route is not None or owner.spec.mesh is not None
        if stable is None:
            found.append(f"Service {owner.spec.service.name} was deleted")
        elif stable["spec"].get("selector") != self._selector(owner, digest):
            found.append(f"Service {owner.spec.service.name} selected {stable['spec'].get('selector')}")
        elif annotation(stable, DIGEST) != digest or (
            not has_routes and (annotation(stable, RUN), revision(stable)) != ("-", 0)
        ):
            found.append(f"Service {owner.spec.service.name} had other annotations")
        for each in self._left_behind(owner):
            found.append(f"HTTPRoute {each['metadata']['name']} was left of what the policy had once")
        if found:
            backend = ArmBackend(digest=digest, weight=100, endpoints=())
            await self.set_split(Split(service=service, run="-", revision=0, stable=backend))
        for each in spare_rules(self._cluster, owner, digest):
            await self._cluster.delete(DESTINATION_RULES, each)
        return found

    def told(self, owner: Owner) -> tuple[RouteStatus, ...]:
        """Each route for people to see: the split that it asks for, and what keeps it from being in force."""
        if not self._cluster.has_gateway:
            return ()
        found = []
        for name in self._routes(owner, ()):
            what: Literal["players", "callers"] = "players" if name == owner.name else "callers"
            weights: dict[str, int] = {}
            try:
                route = self._cluster.get(HTTP_ROUTES, owner.namespace, name)
                weights = {} if route is None else self._loaded(owner, name, route)
                why = "it is not there" if route is None else self._refusal(owner, name, route, weights)
            except Unreachable as error:
                why = error.message
            split = ", ".join(f"{short(digest)} {weight} %" for digest, weight in sorted(weights.items()) if weight)
            found.append(RouteStatus(name=name, moves=what, accepted=not why, split=split, message=why))
        return tuple(found)

    # --- inside -------------------------------------------------------------------------------------------------------

    def _untouched(self, owner: Owner) -> ObservedSplit:
        digest = intent_digest(owner.namespace, owner.spec.deployment)
        return ObservedSplit(service=owner.service, run="-", revision=0, weights={digest: 100})

    def _service(self, owner: Owner) -> JsonObject | None:
        """The one that callers in the cluster know."""
        return self._cluster.get(SERVICES, owner.namespace, owner.spec.service.name)

    def _routes(self, owner: Owner, digests: Iterable[str]) -> dict[str, Render]:
        """The HTTPRoutes that the policy asks for, by name: that of players first."""
        found: dict[str, Render] = {}
        if (route := self._route(owner, digests)) is not None:
            found[owner.name] = partial(http_route, owner, route)
        if owner.spec.mesh is not None:
            found[mesh_route_name(owner)] = partial(mesh_route, owner, owner.spec.mesh)
        return found

    def _left_behind(self, owner: Owner) -> list[JsonObject]:
        """Routes of ours, of the time when the policy had ``spec.route`` or ``spec.mesh``: they would go on sending
        players to versions that end. One that is not ours, or names no version any more, is none of our business."""
        if not self._cluster.has_gateway:
            return []
        names = {owner.name, mesh_route_name(owner)} - self._routes(owner, ()).keys()
        known = (self._cluster.get(HTTP_ROUTES, owner.namespace, name) for name in sorted(names))
        return [
            route
            for route in known
            if route is not None
            and any(each.get("uid") == owner.uid for each in route["metadata"].get("ownerReferences") or ())
            and self._names_versions(owner, route)
        ]

    async def _drop_callers(self, owner: Owner, left: list[JsonObject]) -> list[JsonObject]:
        """Delete the route of callers, if it is left: they follow the Service without it, and that has moved already.
        Returns what else is left."""
        others = [each for each in left if each["metadata"]["name"] != mesh_route_name(owner)]
        for each in left:
            if each not in others:
                await self._cluster.delete(HTTP_ROUTES, each)
        return others

    def _require_usable(self, owner: Owner, left: list[JsonObject]) -> None:
        """Raises ``Unreachable`` where routes are left of a policy that only a part is known of."""
        if left and not self._cluster.is_usable(owner):
            raise Unreachable(
                f"HTTPRoute {owner.namespace}/{left[0]['metadata']['name']} stays: without a ReleasePolicy that can be "
                "used nobody knows whether it is still wanted"
            )

    def _names_versions(self, owner: Owner, route: JsonObject) -> bool:
        """Whether a backend of the route is a version's Service, also one that is gone."""
        for rule in route["spec"].get("rules") or ():
            for name in {backend["name"] for backend in rule.get("backendRefs") or ()}:
                service = self._cluster.get(SERVICES, owner.namespace, name)
                if service is None or name == object_name(owner.name, annotation(service, DIGEST)):
                    return True
        return False

    def _pointed(self, owner: Owner, stable: JsonObject | None) -> str:
        """The version that the Service follows; "" when it follows none, or one that went with an earlier policy."""
        digest = annotation(stable, DIGEST)
        name = object_name(owner.name, digest)
        # One whose Deployment somebody has deleted is still what serves: its own Service says so.
        is_made = any(self._cluster.get(kind, owner.namespace, name) is not None for kind in (DEPLOYMENTS, SERVICES))
        return digest if is_made or self._is_intent(owner, digest) else ""

    def _route(self, owner: Owner, digests: Iterable[str]) -> Route | None:
        """``spec.route`` for these versions: without TLS while one of them does not speak it."""
        route = owner.spec.route
        if route is None or route.tls is None:
            return route
        if all(self._has_port(owner, digest, route.tls.port) for digest in digests):
            return route
        return route.model_copy(update={"tls": None})

    def _has_port(self, owner: Owner, digest: str, port: int) -> bool:
        """Whether the pods of a version declare it. Those that declare none are taken at the policy's word."""
        name = owner.spec.deployment if self._is_intent(owner, digest) else object_name(owner.name, digest)
        made = self._cluster.get(DEPLOYMENTS, owner.namespace, name)
        pod = made["spec"]["template"]["spec"] if made is not None else {}
        containers = (*pod.get("containers", ()), *pod.get("initContainers", ()))
        declared = {each["containerPort"] for container in containers for each in container.get("ports") or ()}
        return not declared or port in declared

    def _version_services(self, owner: Owner, weights: Mapping[str, int]) -> list[JsonObject]:
        """Of those that players are sent to. What a Deployment that was deleted has selected stays as it was made: it
        must not bar the way back from its pods."""
        found = []
        for digest, weight in weights.items():
            try:
                found.append(version_service(owner, digest, self._selector(owner, digest)))
            except Unreachable:
                if weight:
                    raise
        return found

    def _tls(self, owner: Owner, route: Route | None, digests: Iterable[str]) -> list[JsonObject]:
        """What says that TLS is spoken to versions; nothing where it is not."""
        tls = None if route is None else route.tls
        return [] if tls is None else [version_tls(owner, tls, digest) for digest in digests]

    def _tls_refusal(self, owner: Owner, weights: Mapping[str, int]) -> str:
        """Why gateways speak no TLS to one of the versions; "" when all of them do, or are not to."""
        for wanted in self._tls(owner, self._route(owner, weights), weights):
            name = wanted["metadata"]["name"]
            known = self._cluster.get(BACKEND_TLS_POLICIES, owner.namespace, name)
            why = "it was deleted" if known is None else tls_refusal(known)
            if why:
                return f"BackendTLSPolicy {name}: {why}"
        return ""

    async def _apply(self, wanted: JsonObject) -> None:
        """Write what does not stand yet: where most writes fail, a way back goes on from the last one that did not."""
        metadata = wanted["metadata"]
        known = self._cluster.get(resource_of(wanted), metadata["namespace"], metadata["name"])
        if known is None or not says(known, wanted):
            await self._cluster.apply(wanted)

    def _is_intent(self, owner: Owner, digest: str) -> bool:
        return digest == intent_digest(owner.namespace, owner.spec.deployment)

    def _selector(self, owner: Owner, digest: str) -> dict[str, str]:
        """Labels of a version's pods; of the intent's own, the labels of its Deployment."""
        if not self._is_intent(owner, digest):
            return labels(owner.name, digest)
        intent = self._cluster.get(DEPLOYMENTS, owner.namespace, owner.spec.deployment)
        if intent is None:
            raise Unreachable(f"Deployment {owner.namespace}/{owner.spec.deployment} does not exist")
        selector = intent["spec"]["selector"]
        if selector.get("matchExpressions") or not selector.get("matchLabels"):
            raise Unreachable(
                f"Deployment {owner.namespace}/{owner.spec.deployment} selects its pods by matchExpressions, and a "
                "Service cannot",
                hint="make it anew with matchLabels; until then players cannot be sent to its own pods",
            )
        return dict(selector["matchLabels"])

    def _require_pointed(self, owner: Owner, stable: JsonObject, digest: str) -> None:
        if stable["spec"].get("selector") != self._selector(owner, digest):
            raise Unreachable(
                f"Service {owner.namespace}/{owner.spec.service.name} selects {stable['spec'].get('selector')}: "
                "somebody else has changed it"
            )

    def _written(self, owner: Owner, name: str, route: JsonObject | None) -> tuple[ObservedSplit, str]:
        """The split of one route, and why it is not in force, or "". Raises ``Unreachable`` while it is not as we make
        it."""
        if route is None:
            raise Unreachable(f"HTTPRoute {owner.namespace}/{name} is not there")
        weights = self._loaded(owner, name, route)
        why = self._refusal(owner, name, route, weights)
        served = {digest: weight for digest, weight in weights.items() if weight}
        split = ObservedSplit(owner.service, annotation(route, RUN), revision(route), served)
        return split, f"HTTPRoute {owner.namespace}/{name}: {why}" if why else ""

    def _apart(self, owner: Owner, splits: Mapping[str, ObservedSplit]) -> str:
        """Which route does not split as the first one does; "" when all do."""
        (first, split), *others = splits.items()
        for name, other in others:
            is_one = (other.run, other.revision) == (split.run, split.revision)
            if other.weights != split.weights or not (is_one or split.run == "-"):
                return f"HTTPRoute {owner.namespace}/{name} does not split as {owner.namespace}/{first} does"
        return ""

    def _astray(self, owner: Owner, stable: JsonObject | None, pointed: str, split: ObservedSplit) -> str:
        """Why the Service of callers does not go with this split; "" when it does."""
        where = f"Service {owner.namespace}/{owner.spec.service.name}"
        if stable is None or not pointed:
            return f"{where} does not follow a version"
        # Outside of a run the Service need only select what serves: a run that ends is not to wait for its annotations.
        is_told = (annotation(stable, RUN), revision(stable)) == (split.run, split.revision)
        follows = split.weights.get(pointed) == 100 if split.run == "-" else is_told
        return "" if follows else f"{where} does not follow the route"

    def _refusal(self, owner: Owner, name: str, route: JsonObject, weights: Mapping[str, int]) -> str:
        """Why a route is not in force as it stands; "" when it is."""
        return refusal(route) or (self._tls_refusal(owner, weights) if name == owner.name else "")

    def _loaded(self, owner: Owner, name: str, route: JsonObject) -> dict[str, int]:
        """Digest -> percent, of a route that is as we make it. Raises ``Unreachable`` for one that was changed."""
        weights: dict[str, int] = {}
        for rule in route["spec"].get("rules") or ():
            for backend in rule.get("backendRefs") or ():
                service = self._cluster.get(SERVICES, owner.namespace, backend["name"])
                digest = annotation(service, DIGEST)
                if not digest or object_name(owner.name, digest) != backend["name"]:
                    raise Unreachable(f"HTTPRoute {owner.namespace}/{name} names {backend['name']}, not a version")
                weights[digest] = weights.get(digest, 0) + int(backend.get("weight", 1))
        made = self._routes(owner, weights)[name](weights, "-", 0)
        if not covers(route["spec"], made["spec"]):
            raise Unreachable(f"HTTPRoute {owner.namespace}/{name} was changed by somebody else")
        return weights

    async def _confirm(self, owner: Owner, names: Iterable[str]) -> None:
        """Wait until every gateway, and the mesh, have accepted their route as it is now. Raises ``Unreachable``."""
        clock = self._cluster.clock
        deadline = clock.now() + CONFIRM_SECONDS
        while why := next(filter(None, (self._unconfirmed(owner, name) for name in names)), ""):
            if clock.now() >= deadline:
                raise Unreachable(why)
            await clock.sleep(_PAUSE_SECONDS)

    def _unconfirmed(self, owner: Owner, name: str) -> str:
        route = self._cluster.get(HTTP_ROUTES, owner.namespace, name)
        why = "it is gone" if route is None else self._refusal(owner, name, route, self._loaded(owner, name, route))
        return f"HTTPRoute {owner.namespace}/{name} is not confirmed: {why}" if why else ""
