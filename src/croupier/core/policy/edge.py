"""What players, and providers that call back, come in by: Ingresses, and connections that outlive a request
(S8.1, S8.3, S8.4, S8.9, S10.9, S16.1).

Ingresses are told by annotations, which each controller calls otherwise: any that speaks of the thing counts.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from croupier.core.policy.facts import PREFIX, annotation, is_realtime, seconds
from croupier.core.policy.mesh import MESH_ROOT, duration
from croupier.core.policy.objects import Object, Pod, at, items, listed, mapping, text
from croupier.core.policy.outside import told
from croupier.core.policy.rule import Found, Hit, Level, bundle_rule, object_rule
from croupier.core.policy.world import World
from croupier.model.manifest import Path

MIDDLEWARES = r"router\.middlewares$"
"""Traefik keeps all of these in objects that an Ingress names."""
LIMITS = rf"/(limit-(rps|rpm|connections)|rate-limit(-[a-z]+)*|wafv2-acl-arn)$|{MIDDLEWARES}"
BODIES = rf"/(proxy-body-size|client-max-body-size|max-body-size|request-body-size)$|{MIDDLEWARES}"
HSTS = rf"/(hsts|custom-headers|custom-response-headers|response-set-header)$|{MIDDLEWARES}"
BACKENDS = r"/(backend-protocol|server-ssl|service\.serversscheme|secure-backends|proxy-ssl-secret)$"
SOURCES = rf"/((whitelist|allowlist)-source-range|allow-list|inbound-cidrs|source-ranges)$|{MIDDLEWARES}"
ENCRYPTED = ("HTTPS", "GRPCS", "https", "grpcs", "h2", "true")
_CALLBACK = re.compile(r"(^|/)(callbacks?|webhooks?|ipn|notify|notifications?|postbacks?)(/|$)", re.IGNORECASE)
_SIGNED = re.compile(
    r"HMAC|SIGNATURE|SIGNING|(WEBHOOK|CALLBACK|NOTIFY|IPN|POSTBACK)[-_A-Z]*(SECRET|KEY)", re.IGNORECASE
)
KEEP_ALIVE = f"{PREFIX}keep-alive-seconds"
_KEEPS = re.compile(r"^(HTTP_|SERVER_|GUNICORN_|UVICORN_|APP_)*(KEEP_?ALIVE|IDLE)(_TIMEOUT)?(_SECONDS|_S|_MS)?$")
_CALLS = re.compile(r"^(HTTP_)?(CLIENT|POOL|OUTBOUND)_(KEEP_?ALIVE|IDLE)(_TIMEOUT)?(_SECONDS|_S|_MS)?$")
MESH_IDLE_SECONDS = 3600.0
"""How long a proxy of the mesh keeps a connection that nobody uses, where nothing is written."""
INGRESS = (
    "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: bets, namespace: casino, annotations: {%s}}, "
    "spec: {ingressClassName: %s, rules: [{host: a.example}]}}"
)
NGINX = "nginx.ingress.kubernetes.io"


_NOTHING = re.compile(r"(0[a-z]*|off|false|disabled|none|unlimited)?", re.IGNORECASE)
"""Values by which an annotation switches off what it is about."""
_ANYBODY = re.compile(r"(^|[\s,])[0-9a-f:.]+/0+([\s,]|$)", re.IGNORECASE)
"""A range that holds every address."""


def _has(each: Object, wanted: str) -> bool:
    return any(
        re.search(wanted, str(key)) and not _NOTHING.fullmatch(_told(value)) for key, value in each.annotations.items()
    )


def _told(value: Any) -> str:
    return "false" if value is False else "true" if value is True else str(value or "").strip()


@object_rule(
    "ingress-rate-limit", "Every Ingress limits how often one caller may ask", level=Level.WARNING, source="S8.4",
    why="One bot that guesses passwords, or one bonus hunt, takes the room of everybody.",
    fix="Set the controller's annotation (nginx: limit-rps), or name a middleware that does.", kinds=("Ingress",),
    bad=INGRESS % ("", "nginx"), good=INGRESS % (f"{NGINX}/limit-rps: '20'", "nginx"),
)  # fmt: skip
def ingress_rate_limit(each: Object) -> Iterator[Hit]:
    if not _has(each, LIMITS):
        yield Hit(("metadata", "annotations"), "no limit of how often one caller may ask")


@object_rule(
    "ingress-body-size", "Every Ingress says how large a request may be", level=Level.WARNING, source="S8.1",
    why="What a controller allows unasked differs, and may be anything: a body of a gigabyte fills a pod's memory.",
    fix="Set the controller's annotation (nginx: proxy-body-size), or name a middleware that does.", kinds=("Ingress",),
    bad=INGRESS % ("", "nginx"), good=INGRESS % (f"{NGINX}/proxy-body-size: 1m", "nginx"),
)  # fmt: skip
def ingress_body_size(each: Object) -> Iterator[Hit]:
    if not _has(each, BODIES):
        yield Hit(("metadata", "annotations"), "no limit of how large a request may be")


@object_rule(
    "ingress-hsts", "Browsers are told to come back by TLS only", level=Level.WARNING, source="S8.3",
    why="The first request of a player who types the name goes in the clear, and whoever is between may keep it so.",
    fix="Have the header Strict-Transport-Security sent: ingress-nginx does unless it is told not to (hsts); others "
    "need an annotation or a middleware.",
    kinds=("Ingress", "ConfigMap"),
    bad=INGRESS % ("", "haproxy"), good=INGRESS % ("haproxy-ingress.github.io/hsts: 'true'", "haproxy"),
)  # fmt: skip
def ingress_hsts(each: Object) -> Iterator[Hit]:
    if each.kind == "ConfigMap":
        data = mapping(each.value.get("data"))
        if "hsts" in data and text(data.get("hsts")).lower() == "false":
            yield Hit(("data", "hsts"), "the header Strict-Transport-Security is switched off")
        return
    named = (text(each.spec.get("ingressClassName")), text(each.annotations.get("kubernetes.io/ingress.class")))
    if "nginx" not in "/".join(named) and not _has(each, HSTS):
        yield Hit(("metadata", "annotations"), "nothing sends Strict-Transport-Security")


@object_rule(
    "ingress-backend-tls", "An Ingress speaks TLS to what is behind it", level=Level.WARNING, source="S8.1",
    why="Between the ingress and the pod, sessions and card data would cross the network in the clear.",
    fix="Set the controller's annotation (nginx: backend-protocol: HTTPS, and proxy-ssl-secret for mTLS). Where the "
    "ingress is in the mesh, which does it, switch this rule off.",
    kinds=("Ingress",),
    bad=INGRESS % ("", "nginx"), good=INGRESS % (f"{NGINX}/backend-protocol: HTTPS", "nginx"),
)  # fmt: skip
def ingress_backend_tls(each: Object) -> Iterator[Hit]:
    for key, value in each.annotations.items():
        if re.search(BACKENDS, str(key)) and (value in ENCRYPTED or key.endswith("/proxy-ssl-secret")):
            return
    yield Hit(("metadata", "annotations"), "what is behind it is asked in the clear")


CALLBACK = (
    "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: psp, namespace: casino%s}, spec: {rules: "
    "[{host: a.example, http: {paths: [{path: /psp/callback, backend: {service: {name: cashier}}}]}}]}}\n---\n"
    "{apiVersion: v1, kind: Service, metadata: {name: cashier, namespace: casino}, spec: {selector: {app: cashier}}}\n"
    "---\n{apiVersion: v1, kind: Pod, metadata: {name: cashier, namespace: casino, labels: {app: cashier}}, spec: "
    "{containers: [{name: app, env: [%s]}]}}"
)


@bundle_rule(
    "callback-guard", "Where providers call back, only they can, and what they say is signed", level=Level.ERROR,
    source="S10.9, S8.9",
    why="Whoever finds the path can say that a deposit was paid.",
    fix="List the provider's addresses (nginx: allowlist-source-range; Envoy Gateway: a SecurityPolicy; Istio: an "
    "AuthorizationPolicy beside the route or its gateway, or in istio-system), and give the pods the key that "
    "signatures are checked by (PSP_HMAC_KEY_FILE or the like).",
    bad=CALLBACK % ("", ""),
    good=CALLBACK % (
        f", annotations: {{{NGINX}/allowlist-source-range: 192.0.2.0/28}}",
        "{name: PSP_HMAC_KEY_FILE, value: /secrets/psp/hmac}",
    ),
)  # fmt: skip
def callback_guard(world: World) -> Iterator[Found]:
    for each, path, backend in _callbacks(world):
        if not _is_listed(world, each):
            yield Found(each, path, "anybody may call it: no list of the provider's addresses")
        for pod in world.behind(each.namespace, backend):
            if not any(_SIGNED.search(name) for name in _names_of(world, pod)):
                said = f"{backend} is told no key that signatures of callbacks could be checked by"
                yield Found(pod.owner, pod.path, said)


def _callbacks(world: World) -> Iterator[tuple[Object, Path, str]]:
    """(route, place, name of the Service) of each path that looks like one that a provider calls."""
    for each in world.of("Ingress"):
        for index, rule in items(each.spec.get("rules")):
            for number, path in items(at(rule, "http", "paths")):
                if _CALLBACK.search(text(path.get("path"))):
                    place = ("spec", "rules", index, "http", "paths", number)
                    yield each, place, text(at(path, "backend", "service", "name"))
    for each in world.of("HTTPRoute"):
        for index, rule in items(each.spec.get("rules")):
            paths = [text(at(match, "path", "value")) for match in listed(rule.get("matches"))]
            if any(_CALLBACK.search(path) for path in paths):
                for backend in listed(rule.get("backendRefs")) or [{}]:
                    yield each, ("spec", "rules", index), text(at(backend, "name"))
    for each in world.of("VirtualService"):
        for index, route in items(each.spec.get("http")):
            uris = [text(word) for match in listed(route.get("match")) for word in mapping(at(match, "uri")).values()]
            if any(_CALLBACK.search(uri) for uri in uris):
                for to in listed(route.get("route")) or [{}]:
                    yield each, ("spec", "http", index), text(at(to, "destination", "host")).partition(".")[0]


def _is_listed(world: World, each: Object) -> bool:
    if each.kind == "Ingress":
        return _has(each, SOURCES) and not any(
            re.search(SOURCES, str(key)) and _ANYBODY.search(_told(value)) for key, value in each.annotations.items()
        )
    for policy in world.of("SecurityPolicy"):
        targets = [*listed(policy.spec.get("targetRefs")), policy.spec.get("targetRef")]
        names = [text(at(target, "name")) for target in targets]
        if policy.namespace == each.namespace and each.name in names and policy.spec.get("authorization"):
            return True
    places = {MESH_ROOT, each.namespace, *filter(None, _gateways(each))}
    return any(policy.namespace in places and _lists_callers(policy) for policy in world.of("AuthorizationPolicy"))


def _gateways(route: Object) -> Iterator[str]:
    """Namespaces of the gateways that a route names: what it is about comes in there."""
    if route.kind == "HTTPRoute":
        yield from (text(at(parent, "namespace")) for parent in listed(route.spec.get("parentRefs")))
    else:
        yield from (text(name).rpartition("/")[0] for name in listed(route.spec.get("gateways")))


def _lists_callers(policy: Object) -> bool:
    """Whether it lets in listed addresses, or refuses those that are not."""
    refuses = policy.spec.get("action") == "DENY"
    keys = ("notIpBlocks", "notRemoteIpBlocks") if refuses else ("ipBlocks", "remoteIpBlocks")
    return policy.spec.get("action") in (None, "ALLOW", "DENY") and any(
        at(source, "source", key)
        for rule in listed(policy.spec.get("rules"))
        for source in listed(at(rule, "from"))
        for key in keys
    )


def _names_of(world: World, pod: Pod) -> Iterator[str]:
    """Names of the variables of the pod, and of the secrets and keys that it takes."""
    yield from (name for name, _ in told(world, pod))
    for container in pod.containers:
        for variable in listed(container.value.get("env")):
            yield text(at(variable, "name"))
            yield text(at(variable, "valueFrom", "secretKeyRef", "key"))
        for source in listed(container.value.get("envFrom")):
            yield text(at(source, "secretRef", "name"))
    for volume in listed(pod.spec.get("volumes")):
        yield text(at(volume, "secret", "secretName"))
        yield from (text(at(item, "key")) for item in listed(at(volume, "secret", "items")))


KEEPS = (
    "{apiVersion: v1, kind: Pod, metadata: {name: bets, namespace: casino, labels: {app: bets}}, spec: {containers: "
    "[{name: app, env: [{name: KEEP_ALIVE_SECONDS, value: '65'}]}]}}\n---\n{apiVersion: v1, kind: Service, metadata: "
    "{name: bets, namespace: casino}, spec: {selector: {app: bets}}}\n---\n{apiVersion: networking.istio.io/v1, kind: "
    "DestinationRule, metadata: {name: bets, namespace: casino}, spec: {host: bets, trafficPolicy: {connectionPool: "
    "{http: {idleTimeout: %s}}}}}"
)


@bundle_rule(
    "keep-alive-chain", "Who asks closes an idle connection before who is asked", level=Level.WARNING,
    source="S8.6, S16.1",
    why="Where the server closes first, a request may just be under way: it is lost, or sent twice, now and then, for "
    "ever.",
    fix="Let the idle timeout of the client be shorter than that of the mesh (connectionPool.http.idleTimeout), and "
    f"that shorter than what the program keeps (KEEP_ALIVE_SECONDS, or {KEEP_ALIVE} where only the code says it).",
    bad=KEEPS % "300s", good=KEEPS % "60s",
)  # fmt: skip
def keep_alive_chain(world: World) -> Iterator[Found]:
    for service in world.of("Service"):
        kept = [held for pod in world.behind(service.namespace, service.name) if (held := _kept(world, pod))]
        rule = _rule_for(world, service)
        idle = _mesh_idle(rule) if rule is not None else None
        if rule is not None and idle is not None and kept and idle >= min(kept):
            path = ("spec", "trafficPolicy", "connectionPool", "http", "idleTimeout")
            said = f"the mesh keeps idle connections for {idle:g} s, the program behind it for {min(kept):g} s"
            yield Found(rule, path, said)
        bound = idle if idle is not None else min(kept, default=None)
        for pod, place, held in _clients(world, service) if bound is not None else ():
            if bound is not None and held >= bound:
                who = "the mesh" if idle is not None else service.name
                yield Found(pod.owner, place, f"it keeps idle connections for {held:g} s, {who} for {bound:g} s")


def _in_seconds(name: str, value: str) -> float | None:
    held = seconds(value)
    return held / 1000 if held is not None and name.upper().endswith("_MS") else held


def _kept(world: World, pod: Pod) -> float | None:
    """How long the program keeps a connection that nobody uses; None: it does not say."""
    declared = seconds(annotation(pod, KEEP_ALIVE))
    found = [_in_seconds(name, value) for name, value in told(world, pod) if _KEEPS.search(name.upper())]
    return declared if declared is not None else next((each for each in found if each), None)


def _rule_for(world: World, service: Object) -> Object | None:
    names = (service.name, f"{service.name}.{service.namespace}", f"{service.name}.{service.namespace}.svc")
    for each in world.of("DestinationRule"):
        host = text(each.spec.get("host")).removesuffix(".cluster.local")
        if host in names[1:] or (host == service.name and each.namespace == service.namespace):
            return each
    return None


def _mesh_idle(rule: Object) -> float:
    written = duration(at(rule.spec, "trafficPolicy", "connectionPool", "http", "idleTimeout"))
    return MESH_IDLE_SECONDS if written is None else written


def _clients(world: World, service: Object) -> Iterator[tuple[Pod, Path, float]]:
    """Pods of the namespace that are told to call ``service`` and how long they keep connections."""
    called = re.compile(rf"(://|^){re.escape(service.name)}([:/.]|$)")
    for pod in world.selected(service.namespace, {}):
        if not any(called.search(value) for _, value in told(world, pod)):
            continue
        for container in pod.containers:
            for index, variable in items(container.value.get("env")):
                name = text(variable.get("name"))
                held = _in_seconds(name, text(variable.get("value")))
                if _CALLS.search(name.upper()) and held is not None:
                    yield pod, (*container.path, "env", index), held


PING = f"{PREFIX}ping-seconds"
"""Annotation of pods that players hold connections to: how often something is said on each at least."""
READ_TIMEOUT_SECONDS = 60.0
"""After how long ingress-nginx cuts a connection on which nothing is said, where nothing is written."""
TABLES = (
    "{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: tables, namespace: casino, annotations: {%s}}, "
    "spec: {ingressClassName: nginx, rules: [{host: a.example, http: {paths: [{path: /ws, backend: {service: "
    "{name: tables}}}]}}]}}\n---\n{apiVersion: v1, kind: Service, metadata: {name: tables, namespace: casino}, spec: "
    "{selector: {app: tables}}}\n---\n{apiVersion: v1, kind: Pod, metadata: {name: tables, namespace: casino, labels: "
    f"{{app: tables, tier: realtime}}, annotations: {{{PING}: '90'}}}}, spec: {{containers: [{{name: app}}]}}}}"
)


@bundle_rule(
    "ws-idle", "Nobody cuts a connection that is only quiet", level=Level.ERROR, source="S6.7, S16.1",
    why="A player who watches without betting is thrown out of the round each minute, and all of them come back at "
    "once.",
    fix=f"Set proxy-read-timeout and proxy-send-timeout above {PING}, or say something more often.",
    bad=TABLES % "", good=TABLES % f"{NGINX}/proxy-read-timeout: '300', {NGINX}/proxy-send-timeout: '300'",
)  # fmt: skip
def ws_idle(world: World) -> Iterator[Found]:
    for each in world.of("Ingress"):
        for index, rule in items(each.spec.get("rules")):
            for number, path in items(at(rule, "http", "paths")):
                pings = [
                    ping
                    for pod in world.behind(each.namespace, text(at(path, "backend", "service", "name")))
                    if is_realtime(pod) and (ping := seconds(annotation(pod, PING))) is not None
                ]
                for key, held in _cuts(each) if pings else ():
                    if held <= max(pings):
                        place = ("spec", "rules", index, "http", "paths", number)
                        said = f"{key} cuts after {held:g} s, and something is said every {max(pings):g} s"
                        yield Found(each, place, said)


def _cuts(each: Object) -> Iterator[tuple[str, float]]:
    """(what, seconds) after which the ingress cuts a connection on which nothing is said."""
    is_nginx = "nginx" in text(each.spec.get("ingressClassName"))
    for key in ("proxy-read-timeout", "proxy-send-timeout"):
        written = [value for name, value in each.annotations.items() if str(name).endswith(f"/{key}")]
        held = seconds(written[0]) if written else None
        if held is not None or is_nginx:
            yield key, READ_TIMEOUT_SECONDS if held is None else held


RULES = (
    ingress_rate_limit, ingress_body_size, ingress_hsts, ingress_backend_tls, callback_guard, keep_alive_chain, ws_idle,
)  # fmt: skip
