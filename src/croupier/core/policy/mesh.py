"""Whether a slow provider stays its own problem: timeouts, retries, limits on routes (S8.6, S8.7, S16.4).

What only routes, the policies on them and the pods behind them tell together is in ``routes.py``.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from croupier.core.policy.facts import runs_to_completion
from croupier.core.policy.objects import Object, at, items, listed, mapping, text
from croupier.core.policy.quantities import whole
from croupier.core.policy.rule import Hit, Level, object_rule

_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|h|m|s)")
LONGEST_DURATION = 64
"""Characters. To look for units behind each digit of a megabyte of them takes hours."""
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
    parts = _DURATION.findall(value) if type(value) is str and len(value) <= LONGEST_DURATION else []
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
        if any(text(at(each, "type")) == "RequestRedirect" for each in listed(held.get("filters"))):
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


INJECT = "sidecar.istio.io/inject"
MODE = "istio.io/dataplane-mode"
MESH_ROOT = "istio-system"
"""The namespace whose policies hold for the whole mesh, where its settings name no other."""


@object_rule(
    "mesh-outside", "No pod stays outside the mesh", level=Level.WARNING, source="S8.8",
    why="It speaks in the clear, and no timeout or circuit breaker of the mesh holds for it.",
    fix=f"Remove {INJECT}: false (or {MODE}: none); leave it to Jobs that must end before the proxy does.",
    bad="{apiVersion: v1, kind: Pod, metadata: {name: bets, labels: {sidecar.istio.io/inject: 'false'}}, spec: "
    "{containers: [{name: app}]}}",
    good="{apiVersion: v1, kind: Pod, metadata: {name: bets, labels: {sidecar.istio.io/inject: 'true'}}, spec: "
    "{containers: [{name: app}]}}",
)  # fmt: skip
def mesh_outside(each: Object) -> Iterator[Hit]:
    for pod in () if runs_to_completion(each) else each.pods:
        for held in (pod.labels, pod.annotations):
            if held.get(INJECT) in ("false", False) or held.get(MODE) == "none":
                yield Hit(pod.meta or pod.path, "it is kept out of the mesh")
                break


@object_rule(
    "mesh-anybody", "No AuthorizationPolicy lets anybody in", level=Level.ERROR, source="S2.5, S8.8",
    why="One rule that asks for nothing lets in every caller, whatever the other rules ask for.",
    fix="Say in each rule from whom (source.principals), or to what, it lets callers in.",
    kinds=("AuthorizationPolicy",),
    bad="{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: bets}, spec: {rules: [{}]}}",
    good="{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: bets}, spec: {rules: [{from: "
    "[{source: {principals: [cluster.local/ns/casino/sa/web]}}]}]}}",
)  # fmt: skip
def mesh_anybody(each: Object) -> Iterator[Hit]:
    if each.spec.get("action") in (None, "ALLOW"):
        for index, rule in enumerate(listed(each.spec.get("rules"))):
            if not any(mapping(rule).get(key) for key in ("from", "to", "when")):
                yield Hit(("spec", "rules", index), "a rule that asks for nothing")


RULES = (mesh_no_timeout, retry_budget, mesh_no_limits, mesh_mtls, mesh_outside, mesh_anybody)
