"""Traffic by Gateway API: one HTTPRoute a service, with a backend a version, and the Service that callers know.

Where a policy's ``spec.route`` was taken away, our route goes, too.

A change counts once every gateway says that it has accepted this generation of the route and found its backends; the
players' counters then show whether it also took effect. Where pods speak TLS, the Service of a version has a policy
that says so, and gateways must have accepted that, too. While a version of the route declares ports and not that one,
all of them are asked in the clear: what was made before TLS was asked for goes on serving, and can be gone back to.
Callers inside the cluster stay with the stable version until a release has all players, or all but those held back: a
Service cannot split. Clusters without Gateway API have only that Service.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping

from croupier.adapters.kubernetes_api import BACKEND_TLS_POLICIES, DEPLOYMENTS, HTTP_ROUTES, SERVICES, resource_of
from croupier.adapters.kubernetes_cluster import Cluster
from croupier.adapters.traffic.checks import check_weights
from croupier.core.render.route import (
    REVISION,
    RUN,
    http_route,
    refusal,
    stable_service,
    tls_refusal,
    version_tls,
)
from croupier.core.render.version import DIGEST, Owner, intent_digest, labels, object_name, version_service
from croupier.errors import Unreachable, UsageError
from croupier.model.objects import JsonObject
from croupier.model.release_policy import Route
from croupier.model.traffic import ArmBackend, Capabilities, ObservedSplit, Split

CONFIRM_SECONDS = 9.0
"""Below the ten seconds of the port."""
_PAUSE_SECONDS = 0.05
CALLERS_MOVE_AT = 95
"""Percent: no more than the rest is ever held back, so callers in the cluster are with what is being baked."""

log = logging.getLogger(__name__)


class GatewayTraffic:
    """The traffic port on a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(sticky=False, mirroring=False, verifies=True)

    async def open_sockets(self, service: str) -> dict[str, int]:
        """Of none: a Gateway tells nobody what goes through it."""
        self._cluster.owner(service)
        return {}

    async def set_split(self, split: Split) -> None:
        owner = self._cluster.owner(split.service)
        check_weights(split)
        weights = _weights(split)
        route = self._route(owner, weights)
        if route is None and set(weights.values()) - {0, 100}:
            raise UsageError(
                f"{split.service} has no route, and a Service cannot split", hint="use steps: [100], or give spec.route"
            )
        left = self._left_behind(owner) if route is None else None
        if left is not None and not self._cluster.is_usable(owner):
            raise Unreachable(
                f"HTTPRoute {owner.namespace}/{owner.name} stays: without a ReleasePolicy that can be used nobody "
                "knows whether its spec.route is gone"
            )
        pointed = next((digest for digest, weight in weights.items() if weight >= CALLERS_MOVE_AT), split.stable.digest)
        selector = self._selector(owner, pointed)
        callers = stable_service(owner, pointed, selector, run=split.run, revision=split.revision)
        if route is not None:
            if route != owner.spec.route:
                log.warning(
                    "%s is asked in the clear: not all its versions have the port of spec.route.tls", owner.service
                )
            made = [version_service(owner, digest, self._selector(owner, digest)) for digest in weights]
            made += self._tls(owner, route, weights)
            made.append(http_route(owner, route, weights, split.run, split.revision))
            if split.run == "-" and self._is_intent(owner, split.stable.digest):
                for each in made:  # the service has left: its players must not notice that the policy is deleted
                    del each["metadata"]["ownerReferences"]
            if pointed == split.stable.digest:  # callers in the cluster go back whether or not a gateway answers
                made.append(callers)
            for each in made:  # make before break: what the route names exists before it names it
                await self._apply(each)
            await self._confirm(owner)
        await self._apply(callers)
        if left is not None:
            await self._cluster.delete(HTTP_ROUTES, left)

    async def observe(self, service: str) -> ObservedSplit:
        """What the gateways have accepted. While nothing of ours is there, the intent's own pods serve."""
        owner = self._cluster.owner(service)
        self._cluster.require_fresh(SERVICES)
        stable = self._cluster.get(SERVICES, owner.namespace, owner.spec.service.name)
        pointed = self._pointed(owner, stable)
        if owner.spec.route is None:
            if stable is None or not pointed:
                return self._untouched(owner)
            self._require_pointed(owner, stable, pointed)
            if self._left_behind(owner) is not None:
                raise Unreachable(f"HTTPRoute {owner.namespace}/{owner.name} is left, and sends players still")
            return ObservedSplit(service, _annotation(stable, RUN), _revision(stable), {pointed: 100})
        self._cluster.require_fresh(HTTP_ROUTES)
        route = self._cluster.get(HTTP_ROUTES, owner.namespace, owner.name)
        if route is None and pointed:
            raise Unreachable(f"HTTPRoute {owner.namespace}/{owner.name} was deleted")
        if route is None:
            return self._untouched(owner)
        weights = self._loaded(owner, route)
        if why := refusal(route) or self._tls_refusal(owner, weights):
            raise Unreachable(f"HTTPRoute {owner.namespace}/{owner.name}: {why}")
        if stable is None or not pointed:
            raise Unreachable(f"Service {owner.namespace}/{owner.spec.service.name} does not follow a version")
        self._require_pointed(owner, stable, pointed)
        run = _annotation(route, RUN)
        # Outside of a run the Service need only select what serves: a run that ends is not to wait for its annotations.
        is_told = (_annotation(stable, RUN), _revision(stable)) == (run, _revision(route))
        if not (weights.get(pointed) == 100 if run == "-" else is_told):
            raise Unreachable(f"Service {owner.namespace}/{owner.spec.service.name} does not follow the route")
        return ObservedSplit(
            service, run, _revision(route), {digest: weight for digest, weight in weights.items() if weight}
        )

    async def put_back(self, service: str, digest: str) -> list[str]:
        """Outside of a run only ``digest`` serves: restore whatever somebody changed about that; tells what it was.

        Raises what writing raises.
        """
        owner = self._cluster.owner(service)
        found = []
        if (declared := self._route(owner, (digest,))) is not None:
            route = self._cluster.get(HTTP_ROUTES, owner.namespace, owner.name)
            if route is None:
                found.append(f"HTTPRoute {owner.name} was deleted")
            else:
                try:
                    if self._loaded(owner, route) != {digest: 100} or _annotation(route, RUN) != "-":
                        found.append(f"HTTPRoute {owner.name} had other weights")
                except Unreachable as error:
                    found.append(error.message)
            for wanted in self._tls(owner, declared, (digest,)):
                name = wanted["metadata"]["name"]
                known = self._cluster.get(BACKEND_TLS_POLICIES, owner.namespace, name)
                if known is None or not _says(known, wanted):
                    found.append(f"BackendTLSPolicy {name} was {'deleted' if known is None else 'changed'}")
        stable = self._cluster.get(SERVICES, owner.namespace, owner.spec.service.name)
        if stable is None:
            found.append(f"Service {owner.spec.service.name} was deleted")
        elif stable["spec"].get("selector") != self._selector(owner, digest):
            found.append(f"Service {owner.spec.service.name} selected {stable['spec'].get('selector')}")
        elif _annotation(stable, DIGEST) != digest or (
            owner.spec.route is None and (_annotation(stable, RUN), _revision(stable)) != ("-", 0)
        ):
            found.append(f"Service {owner.spec.service.name} had other annotations")
        if owner.spec.route is None and self._left_behind(owner) is not None:
            found.append(f"HTTPRoute {owner.name} was left of a spec.route that is gone")
        if found:
            backend = ArmBackend(digest=digest, weight=100, endpoints=())
            await self.set_split(Split(service=service, run="-", revision=0, stable=backend))
        return found

    # --- inside -------------------------------------------------------------------------------------------------------

    def _untouched(self, owner: Owner) -> ObservedSplit:
        digest = intent_digest(owner.namespace, owner.spec.deployment)
        return ObservedSplit(service=owner.service, run="-", revision=0, weights={digest: 100})

    def _left_behind(self, owner: Owner) -> JsonObject | None:
        """A route of ours, of the time when the policy had ``spec.route``: it would go on sending players to versions
        that end. One that is not ours, or names no version any more, is none of our business."""
        if not self._cluster.has_gateway:
            return None
        route = self._cluster.get(HTTP_ROUTES, owner.namespace, owner.name)
        if route is None:
            return None
        owners = route["metadata"].get("ownerReferences") or ()
        is_ours = any(each.get("uid") == owner.uid for each in owners)
        return route if is_ours and self._names_versions(owner, route) else None

    def _names_versions(self, owner: Owner, route: JsonObject) -> bool:
        """Whether a backend of the route is a version's Service, also one that is gone."""
        for rule in route["spec"].get("rules") or ():
            for name in {backend["name"] for backend in rule.get("backendRefs") or ()}:
                service = self._cluster.get(SERVICES, owner.namespace, name)
                if service is None or name == object_name(owner.name, _annotation(service, DIGEST)):
                    return True
        return False

    def _pointed(self, owner: Owner, stable: JsonObject | None) -> str:
        """The version that the Service follows; "" when it follows none, or one that went with an earlier policy."""
        digest = _annotation(stable, DIGEST)
        name = object_name(owner.name, digest)
        is_there = self._is_intent(owner, digest) or self._cluster.get(DEPLOYMENTS, owner.namespace, name) is not None
        return digest if is_there else ""

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

    def _tls(self, owner: Owner, route: Route, digests: Iterable[str]) -> list[JsonObject]:
        """What says that TLS is spoken to versions; nothing where it is not."""
        return [] if route.tls is None else [version_tls(owner, route.tls, digest) for digest in digests]

    def _tls_refusal(self, owner: Owner, weights: Mapping[str, int]) -> str:
        """Why gateways speak no TLS to one of the versions; "" when all of them do, or are not to."""
        route = self._route(owner, weights)
        for wanted in self._tls(owner, route, weights) if route is not None else ():
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
        if known is None or not _says(known, wanted):
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
        return dict(intent["spec"]["selector"].get("matchLabels", {}))

    def _require_pointed(self, owner: Owner, stable: JsonObject, digest: str) -> None:
        if stable["spec"].get("selector") != self._selector(owner, digest):
            raise Unreachable(
                f"Service {owner.namespace}/{owner.spec.service.name} selects {stable['spec'].get('selector')}: "
                "somebody else has changed it"
            )

    def _loaded(self, owner: Owner, route: JsonObject) -> dict[str, int]:
        """Digest -> percent, of a route that is as we make it. Raises ``Unreachable`` for one that was changed."""
        weights: dict[str, int] = {}
        for rule in route["spec"].get("rules") or ():
            for backend in rule.get("backendRefs") or ():
                service = self._cluster.get(SERVICES, owner.namespace, backend["name"])
                digest = _annotation(service, DIGEST)
                if not digest or object_name(owner.name, digest) != backend["name"]:
                    raise Unreachable(
                        f"HTTPRoute {owner.namespace}/{owner.name} names {backend['name']}, not a version"
                    )
                weights[digest] = weights.get(digest, 0) + int(backend.get("weight", 1))
        wanted = self._route(owner, weights)
        assert wanted is not None  # asked by the callers
        made = http_route(owner, wanted, weights, "-", 0)
        if not _covers(route["spec"], made["spec"]):
            raise Unreachable(f"HTTPRoute {owner.namespace}/{owner.name} was changed by somebody else")
        return weights

    async def _confirm(self, owner: Owner) -> None:
        """Wait until every gateway has accepted the route as it is now. Raises ``Unreachable``."""
        why = "it is gone"
        clock = self._cluster.clock
        deadline = clock.now() + CONFIRM_SECONDS
        while clock.now() < deadline:
            route = self._cluster.get(HTTP_ROUTES, owner.namespace, owner.name)
            if route is not None:
                why = refusal(route) or self._tls_refusal(owner, self._loaded(owner, route))
                if not why:
                    return
            await clock.sleep(_PAUSE_SECONDS)
        raise Unreachable(f"HTTPRoute {owner.namespace}/{owner.name} is not confirmed: {why}")


def _weights(split: Split) -> dict[str, int]:
    backends = [split.stable, *([split.canary] if split.canary is not None else [])]
    return {backend.digest: backend.weight for backend in backends}


def _annotation(obj: JsonObject | None, name: str) -> str:
    return str(((obj or {}).get("metadata") or {}).get("annotations", {}).get(name, ""))


def _revision(obj: JsonObject) -> int:
    text = _annotation(obj, REVISION)
    return int(text) if text.isdecimal() else -1


def _says(known: JsonObject, wanted: JsonObject) -> bool:
    """Whether writing ``wanted`` would change nothing of a route, of what says TLS, or of a Service."""
    have, need = known["metadata"], wanted["metadata"]
    is_marked = all((have.get(part) or {}).items() >= need[part].items() for part in ("labels", "annotations"))
    is_owned = have.get("ownerReferences") == need.get("ownerReferences")
    spec, made = known["spec"], wanted["spec"]
    if wanted["kind"] in (HTTP_ROUTES.kind, BACKEND_TLS_POLICIES.kind):
        return is_marked and is_owned and _covers(spec, made)
    selects = spec.get("selector") == made["selector"] and _covers(spec.get("ports"), made["ports"])
    return is_marked and is_owned and selects


def _covers(found: object, wanted: object) -> bool:
    """Whether ``found`` says what ``wanted`` says and adds nothing but defaults: lists have the same length, and a part
    of a route that was not asked for (a filter, a timeout) is a change."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        strange = found.keys() - wanted.keys() - _DEFAULTED
        return not strange and all(key in found and _covers(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list) and isinstance(found, list):
        return len(found) == len(wanted) and all(map(_covers, found, wanted))
    return found == wanted


_DEFAULTED = frozenset({"group", "kind", "namespace", "weight", "matches", "name"})
