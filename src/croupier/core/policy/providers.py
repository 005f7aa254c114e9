"""Providers outside: only those on a list are called, none is called without a limit, and all pods together stay
within what one takes (S8.7, S8.9, S13.6).

What a provider takes is written on the object that lets it be called (a ServiceEntry, or a Service of type
ExternalName): ``croupier.dev/max-connections`` and ``croupier.dev/max-requests-per-second``. How much a pod may ask is
read off its environment, from variables that begin like the one that names the host (PSP_URL: PSP_POOL_SIZE,
PSP_MAX_RPS), and off the connection pool of the DestinationRule for the host.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from croupier.core.policy.budgets import POOL, PROCESSES
from croupier.core.policy.demand import Peak, called, peak
from croupier.core.policy.facts import PREFIX
from croupier.core.policy.objects import Object, Pod, at
from croupier.core.policy.outside import Allowed, Named, Outside, limits_of, near, told
from croupier.core.policy.quantities import number, whole
from croupier.core.policy.rule import Found, Level, bundle_rule
from croupier.core.policy.sums import Budget, Part
from croupier.core.policy.world import World

CONNECTIONS, RATE = f"{PREFIX}max-connections", f"{PREFIX}max-requests-per-second"
_RATE = re.compile(r"RPS$|REQUESTS_PER_SECOND$|RATE(_LIMIT)?$", re.IGNORECASE)
CASHIER = (
    "{apiVersion: apps/v1, kind: Deployment, metadata: {name: cashier, namespace: casino}, spec: {replicas: %s, "
    "template: {spec: {containers: [{name: app, env: [{name: PSP_URL, value: 'https://api.psp.example'}%s]}]}}}}\n"
)
ENTRY = (
    "---\n{apiVersion: networking.istio.io/v1, kind: ServiceEntry, metadata: {name: psp, namespace: casino%s}, spec: "
    "{hosts: [%s], location: MESH_EXTERNAL}}\n"
)
TAKES = f", annotations: {{{CONNECTIONS}: '100'}}"
POOL_OF_TEN = ", {name: PSP_POOL_SIZE, value: '10'}"
LIMITS = (
    "---\n{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: psp, namespace: casino}, spec: "
    "{host: api.psp.example, trafficPolicy: {connectionPool: {tcp: {maxConnections: 20}}, outlierDetection: "
    "{consecutive5xxErrors: 5}}}}\n"
)


@bundle_rule(
    "egress-hosts", "What pods are told to call is on the list of what may be called", level=Level.ERROR,
    source="S8.9, S10.11",
    why="Either the call fails on the first day, or the list is not what keeps data in.",
    fix="Add the host to the ServiceEntry or the policy that lists hosts, or take it out of the configuration.",
    bad=CASHIER % (3, "") + ENTRY % ("", "api.other.example"),
    good=CASHIER % (3, "") + ENTRY % ("", "api.psp.example"),
)  # fmt: skip
def egress_hosts(world: World) -> Iterator[Found]:
    outside = Outside(world)
    for pod in world.pods if outside.allowed else ():
        here = [each for each in outside.allowed if near(each, pod)]
        for named in outside.named(pod):
            if not any(each.lets(named.host) for each in here):
                said = f"{named.variable} names {named.host}, which is on no list of what may be called"
                yield Found(named.object, named.path, said)


@bundle_rule(
    "egress-unused", "What may be called is called", level=Level.NOTE, source="S8.9",
    why="A door that nobody uses is one that nobody watches.",
    fix="Take the host off the list. Hosts that only a secret or the code names are not seen here.",
    bad=CASHIER % (3, "") + ENTRY % ("", "api.psp.example, api.gone.example"),
    good=CASHIER % (3, "") + ENTRY % ("", "api.psp.example"),
)  # fmt: skip
def egress_unused(world: World) -> Iterator[Found]:
    outside = Outside(world)
    called = [(pod, named.host) for pod in world.pods for named in outside.named(pod)] if outside.allowed else []
    for each in outside.allowed:
        if not any(near(each, pod) and each.lets(host) for pod, host in called):
            yield Found(each.object, each.path, f"no manifest names {each.pattern}")


def _limit(world: World, pod: Pod, named: Named, wanted: re.Pattern[str]) -> tuple[int, int | None]:
    """(processes, what each may ask) of a pod, by the variables that begin as the one that names the host."""
    variables = list(told(world, pod))
    processes = max((number(value) or 1 for name, value in variables if PROCESSES.search(name)), default=1)
    start = named.variable.partition("_")[0].upper()
    sizes = [
        size
        for name, value in variables
        if name.upper().startswith(start) and wanted.search(name) and (size := number(value)) is not None
    ]
    each = sizes[0] if sizes else None
    if wanted is POOL:
        pool = whole(at(limits_of(world, named.host, pod.owner.namespace), "connectionPool", "tcp", "maxConnections"))
        if pool is not None and (each is None or pool < processes * each):
            return 1, pool  # The proxy beside the pod stops it there, however many processes there are.
    return processes, each


@bundle_rule(
    "provider-budget", "All pods together ask of a provider what it takes, and no more", level=Level.ERROR,
    source="S13.6",
    why="At the greatest number of pods, in the middle of the match, the provider answers 429 or nothing: to deposits, "
    "too.",
    fix=f"Lower the pools, the rates or the greatest number of pods; or agree on more and raise {CONNECTIONS} or "
    f"{RATE}.",
    bad=CASHIER % (30, POOL_OF_TEN) + ENTRY % (TAKES, "api.psp.example"),
    good=CASHIER % (4, POOL_OF_TEN) + ENTRY % (TAKES, "api.psp.example"),
)  # fmt: skip
def provider_budget(world: World) -> Iterator[Found]:
    outside = Outside(world)
    for provider, key, _, _ in _bounds(outside):
        written = provider.annotations.get(key)
        if written is not None and number(written) is None:
            yield Found(provider, ("metadata", "annotations", key), f"{key} is no whole number")
    for budget, unlimited in _budgets(world, outside):
        for named in unlimited:
            said = f"nothing limits its {budget.resource} to {named.host}, which takes {budget.room:.0f}"
            yield Found(named.object, named.path, said)
        if not budget.fits:
            yield budget.found


def asked_of_providers(world: World) -> Iterator[Budget]:
    """Connections to each provider, and requests a second, where it is written what it takes."""
    return (budget for budget, _ in _budgets(world, Outside(world)))


def _bounds(outside: Outside) -> Iterator[tuple[Object, str, str, re.Pattern[str]]]:
    for provider in {id(each.object): each.object for each in outside.allowed}.values():
        yield provider, CONNECTIONS, "connections", POOL
        yield provider, RATE, "requests a second", _RATE


def _budgets(world: World, outside: Outside) -> Iterator[tuple[Budget, list[Named]]]:
    """What is asked of each provider, and where somebody is told to call it who may ask as much as they like."""
    for provider, key, what, wanted in _bounds(outside):
        room = number(provider.annotations.get(key))
        if room is None:
            continue
        hosts = [each for each in outside.allowed if each.object is provider]
        parts, unsaid, unlimited = [], [], []
        for pod, named in _callers(world, outside, hosts):
            processes, each = _limit(world, pod, named, wanted)
            if each is None:
                unsaid.append(called(pod.owner))
                unlimited.append(named)
            else:
                most = peak(world, pod.owner) or Peak(world.most_replicas(pod.owner), 0)
                parts.append(Part(called(pod.owner), most, each, processes))
        path = ("metadata", "annotations", key)
        yield Budget("provider-budget", what, provider, path, tuple(parts), room, tuple(unsaid)), unlimited


def _callers(world: World, outside: Outside, hosts: list[Allowed]) -> Iterator[tuple[Pod, Named]]:
    for pod in world.pods:
        for named in outside.named(pod):
            if any(near(each, pod) and each.lets(named.host) for each in hosts):
                yield pod, named


@bundle_rule(
    "provider-limits", "Calls to each provider have a circuit breaker", level=Level.ERROR, source="S8.7, S16.4",
    why="A provider that hangs takes the connections and the memory of its callers with it: then nobody is served, by "
    "no provider.",
    fix="Add a DestinationRule for the host with connectionPool and outlierDetection.",
    bad=ENTRY % ("", "api.psp.example"), good=ENTRY % ("", "api.psp.example") + LIMITS,
)  # fmt: skip
def provider_limits(world: World) -> Iterator[Found]:
    limited = [each.spec.get("host") for each in world.of("DestinationRule")]
    for each in Outside(world).allowed:
        if each.object.kind == "ServiceEntry" and each.pattern not in limited:
            yield Found(each.object, each.path, f"no DestinationRule limits calls to {each.pattern}")


RULES = (egress_hosts, egress_unused, provider_budget, provider_limits)
