"""What a route gives one request: how long it may take, how often it is sent, and to whom (S7.5, S8.6, S16.4; policy
N15).

Of VirtualServices, and of HTTPRoutes and GRPCRoutes with the BackendTrafficPolicies of Envoy Gateway that target them
or their gateway. How long somebody waits for an answer is declared on the route or on what is behind it:
``croupier.dev/answer-seconds``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from croupier.core.policy.facts import PREFIX, annotation, is_money, seconds
from croupier.core.policy.mesh import duration
from croupier.core.policy.objects import Object, Pod, at, items, listed, mapping, text
from croupier.core.policy.quantities import whole
from croupier.core.policy.rule import Found, Level, bundle_rule
from croupier.core.policy.world import World
from croupier.model.manifest import Path
from croupier.model.objects import JsonObject

ANSWER = f"{PREFIX}answer-seconds"
POLICIES = "gateway.envoyproxy.io"
"""The group of BackendTrafficPolicies."""
SAFE_RETRIES = frozenset(("connect-failure", "refused-stream", "reset-before-request"))
"""When a request is retried that cannot have been heard."""
_OFTEN = 2
"""How often Envoy Gateway sends a request again where ``retry`` does not say."""
MONEY = (
    "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: cashier, namespace: casino}, spec: "
    "{hosts: [cashier], http: [{timeout: 3s, route: [{destination: {host: cashier}}]%s}]}}\n---\n{apiVersion: v1, "
    "kind: Service, metadata: {name: cashier, namespace: casino}, spec: {selector: {app: cashier}}}\n---\n{apiVersion: "
    "v1, kind: Pod, metadata: {name: cashier, namespace: casino, labels: {app: cashier, tier: money}}, spec: "
    "{containers: [{name: app}]}}"
)


GATEWAY = (
    "{apiVersion: gateway.networking.k8s.io/v1, kind: HTTPRoute, metadata: {name: psp}, spec: {parentRefs: [{name: "
    "edge}], rules: [{timeouts: {request: 3s}, backendRefs: [{name: psp, port: 80}]}]}}\n---\n{apiVersion: "
    "gateway.envoyproxy.io/v1alpha1, kind: BackendTrafficPolicy, metadata: {name: psp}, spec: {targetRefs: [{group: "
    "gateway.networking.k8s.io, kind: HTTPRoute, name: psp}], retry: {numRetries: %s, perRetry: {timeout: %s}}}}"
)
WAITED = (
    "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: bets, annotations: "
    "{croupier.dev/answer-seconds: '2'}}, spec: {hosts: [bets], http: [{timeout: %s, route: [{destination: {host: "
    "bets}}]}]}}"
)


class Retries(NamedTuple):
    """When a gateway sends a request again. ``once``: seconds of one attempt, None: no limit of its own."""

    place: Object
    path: Path
    attempts: int
    once: float | None
    when: frozenset[str]

    @property
    def is_safe(self) -> bool:
        return bool(self.when) and self.when <= SAFE_RETRIES


class Way(NamedTuple):
    """One rule of a route. ``limit``: seconds for everything; None where none is set."""

    route: Object
    path: Path
    rule: JsonObject
    limit: float | None
    retries: tuple[Retries, ...]


def ways(world: World) -> Iterator[Way]:
    """Of HTTPRoutes and GRPCRoutes, with what the policies on them say."""
    policies = [each for each in world.of("BackendTrafficPolicy") if each.group == POLICIES]
    for route in world.of("HTTPRoute", "GRPCRoute"):
        for index, rule in items(route.spec.get("rules")):
            on = [each for each in policies if _targets(each, route, rule)]
            path: Path = ("spec", "rules", index)
            retries = [*_own(route, path, rule), *(found for each in on if (found := _of_policy(each)) is not None)]
            limits = [
                at(rule, "timeouts", "request"),
                *(at(each.spec, "timeout", "http", "requestTimeout") for each in on),
            ]
            limit = next((held for each in limits if (held := duration(each))), None)
            yield Way(route, path, rule, limit, tuple(retries))


def _targets(policy: Object, route: Object, rule: JsonObject) -> bool:
    for held in (*listed(policy.spec.get("targetRefs")), policy.spec.get("targetRef")):
        kind, name, section = (text(at(held, key)) for key in ("kind", "name", "sectionName"))
        if kind == route.kind and name == route.name and policy.namespace == route.namespace:
            return section in ("", text(rule.get("name")))
        for parent in listed(route.spec.get("parentRefs")) if kind == "Gateway" and not section else ():
            near = text(at(parent, "namespace")) or route.namespace
            if (policy.namespace, name) == (near, text(at(parent, "name"))):
                return True
    return False


def _own(route: Object, path: Path, rule: JsonObject) -> Iterator[Retries]:
    """Of an HTTPRoute itself: after answers with the codes that it names, and whatever breaks a connection."""
    held = mapping(rule.get("retry"))
    attempts = whole(held.get("attempts"))
    if held and attempts != 0:
        codes = frozenset(str(code) for code in listed(held.get("codes")))
        once = duration(at(rule, "timeouts", "backendRequest"))
        yield Retries(route, (*path, "retry"), 1 if attempts is None else attempts, once, codes | {"reset"})


def _of_policy(policy: Object) -> Retries | None:
    held = mapping(policy.spec.get("retry"))
    attempts = whole(held.get("numRetries"))
    if "retry" not in policy.spec or attempts == 0:
        return None
    when = frozenset(text(each) for each in listed(at(held, "retryOn", "triggers")))
    when |= {str(code) for code in listed(at(held, "retryOn", "httpStatusCodes"))}
    once = duration(at(held, "perRetry", "timeout"))
    return Retries(policy, ("spec", "retry"), _OFTEN if attempts is None else attempts, once, when)


@bundle_rule(
    "gateway-retry-budget", "Retries of a gateway fit into the timeout of the route", level=Level.ERROR,
    source="S8.6, S16.4",
    why="Attempts that do not fit are cut in the middle, and each retry is more load for what is slow already.",
    fix="Let attempts + 1 times the timeout of one (perRetry.timeout, timeouts.backendRequest) be at most that of the "
    "request.",
    bad=GATEWAY % (3, "2s"), good=GATEWAY % (2, "1s"),
)  # fmt: skip
def gateway_retry_budget(world: World) -> Iterator[Found]:
    for way in ways(world):
        for each in way.retries:
            if each.once is None:
                yield Found(
                    each.place, each.path, "retries without a limit of one attempt: the first may take all the time"
                )
            elif way.limit is not None and (each.attempts + 1) * each.once > way.limit:
                said = f"{each.attempts + 1} attempts of {each.once:g} s do not fit into {way.limit:g} s"
                yield Found(each.place, each.path, f"{said} of {way.route.manifest.name}")


@bundle_rule(
    "timeout-answer", "A route gives up before nobody waits any more", level=Level.ERROR, source="S8.6, S16.4",
    why="An answer after that is load without use: the player has pressed the button again.",
    fix=f"Lower the timeout of the route, or say with {ANSWER} how long an answer is waited for.",
    bad=WAITED % "5s", good=WAITED % "2s",
)  # fmt: skip
def timeout_answer(world: World) -> Iterator[Found]:
    for route, path, rule, limit in _timed(world):
        written = [route.annotations.get(ANSWER), *(annotation(pod, ANSWER) for pod in _behind(world, route, rule))]
        waited = [held for each in written if (held := seconds(each)) is not None]
        if waited and limit is None:
            yield Found(route, path, f"no timeout, and an answer is waited for {min(waited):g} s")
        elif waited and limit is not None and limit > min(waited):
            yield Found(route, path, f"the timeout is {limit:g} s, and an answer is waited for {min(waited):g} s")


def _timed(world: World) -> Iterator[tuple[Object, Path, JsonObject, float | None]]:
    for each in world.of("VirtualService"):
        for index, rule in items(each.spec.get("http")):
            if not (rule.get("redirect") or rule.get("directResponse") or rule.get("delegate")):
                yield each, ("spec", "http", index), rule, duration(rule.get("timeout")) or None
    for way in ways(world):
        if listed(way.rule.get("backendRefs")):
            yield way.route, way.path, way.rule, way.limit


@bundle_rule(
    "retry-money", "Nobody on the way repeats an order of money that may have been heard", level=Level.ERROR,
    source="S7.5, S8.6, S16.4",
    why="Where nothing is written the mesh repeats a request twice, also after 503: a deposit that was booked and "
    "whose answer was lost is booked again, unless everybody behind it knows repeated orders.",
    fix="Set retries.attempts: 0, or retry on connect-failure, refused-stream and reset-before-request only; give "
    "reads a route of their own (match method GET). Where every order bears a key and is booked once, waive it.",
    bad=MONEY % "", good=MONEY % ", retries: {attempts: 0}",
)  # fmt: skip
def retry_money(world: World) -> Iterator[Found]:
    for each in world.of("VirtualService"):
        for index, route in items(each.spec.get("http")):
            if route.get("redirect") or route.get("directResponse") or _only_reads(route):
                continue
            retries = mapping(route.get("retries"))
            when = {part.strip() for part in text(retries.get("retryOn")).split(",") if part.strip()}
            if retries.get("attempts") == 0 or (when and when <= SAFE_RETRIES):
                continue
            if any(map(is_money, _behind(world, each, route))):
                told = f"retryOn {', '.join(sorted(when - SAFE_RETRIES))}" if when else "no retryOn: 503, too"
                yield Found(
                    each, ("spec", "http", index), f"orders of money are sent again after they may be heard ({told})"
                )
    for way in ways(world):
        unsafe = [retries for retries in way.retries if not retries.is_safe]
        if unsafe and not _only_reads(way.rule) and any(map(is_money, _behind(world, way.route, way.rule))):
            for held in unsafe:
                told = f"after {', '.join(sorted(held.when - SAFE_RETRIES))}" if held.when else "no retryOn: 503, too"
                said = f"orders of money are sent again after they may be heard ({told})"
                yield Found(held.place, held.path, said)


def _only_reads(route: JsonObject) -> bool:
    matches = listed(route.get("match")) or listed(route.get("matches"))
    methods = [at(match, "method", "exact") if "match" in route else at(match, "method") for match in matches]
    return bool(methods) and all(text(each) in ("GET", "HEAD") for each in methods)


def _behind(world: World, route: Object, rule: JsonObject) -> Iterator[Pod]:
    """Pods that a rule of a route sends requests to, as far as they are among the objects."""
    for to in listed(rule.get("route")):
        name, _, rest = text(at(to, "destination", "host")).partition(".")
        yield from world.behind(rest.partition(".")[0] or route.namespace, name)
    for to in listed(rule.get("backendRefs")):
        if at(to, "kind") in (None, "Service"):
            yield from world.behind(text(at(to, "namespace")) or route.namespace, text(at(to, "name")))


RULES = (gateway_retry_budget, timeout_answer, retry_money)
