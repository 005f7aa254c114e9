"""Whether a slow provider stays its own problem: timeouts, retries, limits on routes (S8.6, S8.7, S16.4)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from croupier.core.policy.objects import Object, at, items, listed, mapping, text
from croupier.core.policy.quantities import whole
from croupier.core.policy.rule import Hit, Level, object_rule

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|h|m|s)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
ROUTE = (
    "{apiVersion: networking.istio.io/v1, kind: VirtualService, metadata: {name: psp}, spec: {http: [{route: [{}]%s}]}}"
)
RULE = "{apiVersion: networking.istio.io/v1, kind: DestinationRule, metadata: {name: psp}, spec: {host: psp%s}}"
LIMITS = (
    ", trafficPolicy: {connectionPool: {tcp: {maxConnections: 100}, http: {http1MaxPendingRequests: 50}}, "
    "outlierDetection: {consecutive5xxErrors: 5}}"
)


def duration(value: Any) -> float | None:
    """Seconds of ``1h3m2.5s``; None for what is no duration."""
    parts = _DURATION.findall(value) if type(value) is str else []
    if not parts or "".join(number + unit for number, unit in parts) != value:
        return None
    return sum(float(number) * _SECONDS[unit] for number, unit in parts)


@object_rule(
    "mesh-no-timeout", "Every route of the mesh gives up in time", level=Level.ERROR, source="S8.6, S16.4",
    why="When a provider hangs, callers without a timeout hang with it, and soon everybody who calls them.",
    fix="Set a timeout on every route, below what the player waits for.",
    kinds=("VirtualService", "HTTPRoute", "GRPCRoute"),
    bad=ROUTE % "", good=ROUTE % ", timeout: 3s",
)  # fmt: skip
def mesh_no_timeout(each: Object) -> Iterator[Hit]:
    key = "http" if each.kind == "VirtualService" else "rules"
    for index, held in items(each.spec.get(key)):
        if held.get("redirect") or held.get("directResponse") or held.get("delegate"):
            continue
        limit = held.get("timeout") if key == "http" else at(held, "timeouts", "request")
        if limit is None:
            yield Hit(("spec", key, index), "a route without a timeout")
        elif not duration(limit):
            yield Hit(("spec", key, index), f"timeout {limit} is none")


@object_rule(
    "retry-budget", "Retries fit into the timeout", level=Level.ERROR, source="S8.6, S16.4",
    why="Attempts that do not fit are cut in the middle, and each retry is more load for a provider that is slow "
    "already.",
    fix="Let attempts + 1 times perTryTimeout be at most the timeout.", kinds=("VirtualService",),
    bad=ROUTE % ", timeout: 3s, retries: {attempts: 3, perTryTimeout: 2s}",
    good=ROUTE % ", timeout: 3s, retries: {attempts: 2, perTryTimeout: 1s}",
)  # fmt: skip
def retry_budget(each: Object) -> Iterator[Hit]:
    for index, route in items(each.spec.get("http")):
        retries, limit = mapping(route.get("retries")), duration(route.get("timeout"))
        attempts, once = whole(retries.get("attempts")), duration(retries.get("perTryTimeout"))
        path = ("spec", "http", index, "retries")
        if attempts and once is None:
            yield Hit(path, "retries without perTryTimeout: the first attempt may take all the time")
        elif attempts and once is not None and limit is not None and (attempts + 1) * once > limit:
            yield Hit(path, f"{attempts + 1} attempts of {once:g} s do not fit into {limit:g} s")


@object_rule(
    "mesh-no-limits", "Every destination has a circuit breaker", level=Level.ERROR, source="S8.7, S16.4",
    why="Requests to a provider that is slow pile up in the caller until it has no memory or connections left "
    "for others.",
    fix="Set trafficPolicy.connectionPool and outlierDetection.", kinds=("DestinationRule",),
    bad=RULE % "", good=RULE % LIMITS,
)  # fmt: skip
def mesh_no_limits(each: Object) -> Iterator[Hit]:
    policies = [
        each.spec.get("trafficPolicy"),
        *(mapping(one).get("trafficPolicy") for one in listed(each.spec.get("subsets"))),
    ]
    for key, what in (("connectionPool", "limit of connections"), ("outlierDetection", "ejection of what fails")):
        if not any(mapping(mapping(policy).get(key)) for policy in policies):
            yield Hit(("spec", "trafficPolicy"), f"no {what} ({key})")


@object_rule(
    "mesh-mtls", "Nobody in the mesh speaks in the clear", level=Level.ERROR, source="S8.8",
    why="PERMISSIVE lets any pod of the cluster call without a certificate.",
    fix="Set mtls.mode: STRICT.", kinds=("PeerAuthentication", "DestinationRule"),
    bad="{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: a}, spec: {mtls: {mode: "
    "PERMISSIVE}}}",
    good="{apiVersion: security.istio.io/v1, kind: PeerAuthentication, metadata: {name: a}, spec: {mtls: {mode: "
    "STRICT}}}",
)  # fmt: skip
def mesh_mtls(each: Object) -> Iterator[Hit]:
    if each.kind == "PeerAuthentication":
        mode = text(at(each.spec, "mtls", "mode"))
        if mode in ("PERMISSIVE", "DISABLE"):
            yield Hit(("spec", "mtls", "mode"), f"mTLS is {mode}")
    elif text(at(each.spec, "trafficPolicy", "tls", "mode")) == "DISABLE":
        yield Hit(("spec", "trafficPolicy", "tls", "mode"), "TLS is switched off")


RULES = (mesh_no_timeout, retry_budget, mesh_no_limits, mesh_mtls)
