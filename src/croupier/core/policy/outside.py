"""Hosts outside the cluster: which of them pods are told to call, and which may be called at all.

What pods are told stands in their environment and in the ConfigMaps that they take values from: an address
(``https://api.psp.example/v2``), or a bare name in a variable called HOST, URL or the like. What may be called is said
by ServiceEntries, Services of type ExternalName, and network policies that know names (Cilium, Calico, GKE). A name
ends in a domain that is not a namespace's: ``wallet.casino`` may be a Service, ``wallet.casino.svc`` is one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from croupier.core.policy.objects import Object, Pod, at, items, listed, mapping, text
from croupier.core.policy.world import World, is_beside
from croupier.model.manifest import Path
from croupier.model.objects import JsonObject

_ADDRESS = re.compile(r"\b([a-z][a-z0-9+.-]*)://(?:[^\s/?#@,]*@)?([a-z0-9][a-z0-9.-]*)", re.IGNORECASE)
_BARE = re.compile(r"([a-z0-9-]+(?:\.[a-z0-9-]+)+)(?::[0-9]{1,5})?", re.IGNORECASE)
_BARE_IN = re.compile(r"HOST|URL|URI|ADDR|ENDPOINT|SERVER", re.IGNORECASE)
_OURS = re.compile(r"CORS|ORIGIN|COOKIE|PUBLIC|REDIRECT|RETURN|ALLOWED|ISSUER|DOMAIN", re.IGNORECASE)
"""Variables that name who may call, or where players are sent, not what is called."""
_STORES = frozenset(("s3", "gs", "file", "unix", "arn", "secret", "vault"))
_NOT_OUTSIDE = frozenset(("svc", "local", "internal", "localhost", "cluster", "consul"))
_DOMAIN = re.compile(r"[a-z]{2}|com|net|org|info|biz|app|cloud|bet|games?|casino|poker|bingo|finance|bank|example")
_LISTS = (
    "ServiceEntry", "Service", "CiliumNetworkPolicy", "CiliumClusterwideNetworkPolicy", "FQDNNetworkPolicy",
    "NetworkPolicy", "GlobalNetworkPolicy",
)  # fmt: skip
"""Kinds that may say what may be called."""


class Named(NamedTuple):
    """A host that a pod is told of. ``variable``: what tells it. ``object`` and ``path``: where it is written."""

    host: str
    variable: str
    object: Object
    path: Path


class Allowed(NamedTuple):
    """A host, or a pattern with ``*``, that may be called. ``namespace``: by whose pods; "": by all."""

    pattern: str
    namespace: str
    object: Object
    path: Path

    def lets(self, host: str) -> bool:
        wild = re.escape(self.pattern.lower().rstrip(".")).replace(r"\*", "[^/]*")
        return re.fullmatch(wild, host) is not None


class Outside:
    """Asked of pods of one ``World``. ``allowed``: every host that some object says may be called."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.allowed = [allowed for each in world.of(*_LISTS) for allowed in _allowed(each)]
        self._named: dict[int, list[Named]] = {}

    def named(self, pod: Pod) -> list[Named]:
        """Hosts outside that ``pod`` is told to call, each where it is written first."""
        if id(pod) not in self._named:
            found: dict[str, Named] = {}
            for variable, value, owner, path in _told(self._world, pod):
                for host in _hosts(variable, value):
                    if host not in found and host not in self._own and self._is_outside(host):
                        found[host] = Named(host, variable, owner, path)
            self._named[id(pod)] = list(found.values())
        return self._named[id(pod)]

    def _is_outside(self, host: str) -> bool:
        last = host.rpartition(".")[2]
        if "." not in host or _NOT_OUTSIDE.intersection(host.split(".")):
            return False
        is_namespace = last in self._world.namespaces or self._world.lives_in(last)
        return _DOMAIN.fullmatch(last) is not None and not is_namespace

    @cached_property
    def _own(self) -> frozenset[str]:
        return _own_names(self._world)


def told(world: World, pod: Pod) -> Iterator[tuple[str, str]]:
    """(name, value) of all variables of the pod whose values are among the manifests."""
    return ((name, value) for name, value, _, _ in _told(world, pod))


def _told(world: World, pod: Pod) -> Iterator[tuple[str, str, Object, Path]]:
    for container in pod.containers:
        for index, held in items(container.value.get("env")):
            name, path = text(held.get("name")), (*container.path, "env", index)
            if value := text(held.get("value")):
                yield name, value, pod.owner, path
            reference = mapping(at(held, "valueFrom", "configMapKeyRef"))
            yield from _of_config(world, pod, text(reference.get("name")), text(reference.get("key")), name)
        for _, source in items(container.value.get("envFrom")):
            yield from _of_config(world, pod, text(at(source, "configMapRef", "name")))
    for _, volume in items(pod.spec.get("volumes")):
        yield from _of_config(world, pod, text(at(volume, "configMap", "name")))


def _of_config(
    world: World, pod: Pod, name: str, key: str = "", variable: str = ""
) -> Iterator[tuple[str, str, Object, Path]]:
    """What the ConfigMap ``name`` tells; ``key``: only that one, as ``variable``."""
    held = world.named("ConfigMap", pod.owner.namespace, name) if name else None
    for found, value in mapping(held.value.get("data")).items() if held is not None else ():
        if held is not None and (not key or found == key):
            yield variable or str(found), text(value), held, ("data", found)


def _hosts(variable: str, value: str) -> Iterator[str]:
    if _OURS.search(variable):
        return
    for found in _ADDRESS.finditer(value):
        if found[1].lower() not in _STORES:
            yield found[2].lower().rstrip(".-")
    bare = _BARE.fullmatch(value.strip())
    if bare is not None and _BARE_IN.search(variable):
        yield bare[1].lower()


def _own_names(world: World) -> frozenset[str]:
    """Hosts by which players come."""
    found: set[str] = set()
    for each in world.of("Ingress"):
        found |= {text(rule.get("host")) for _, rule in items(each.spec.get("rules"))}
    for each in world.of("HTTPRoute", "GRPCRoute", "TLSRoute"):
        found |= {text(host) for host in listed(each.spec.get("hostnames"))}
    for each in world.of("Gateway"):
        found |= {text(listener.get("hostname")) for _, listener in items(each.spec.get("listeners"))}
        found |= {text(host) for _, server in items(each.spec.get("servers")) for host in listed(server.get("hosts"))}
    return frozenset(host.lower() for host in found)


def _allowed(each: Object) -> Iterator[Allowed]:
    match each.kind, each.group:
        case "ServiceEntry", "networking.istio.io":
            if each.spec.get("location") != "MESH_INTERNAL":
                only = each.namespace if each.spec.get("exportTo") == ["."] else ""
                for index, host in enumerate(listed(each.spec.get("hosts"))):
                    yield Allowed(text(host), only, each, ("spec", "hosts", index))
        case "Service", "":
            if each.spec.get("type") == "ExternalName":
                yield Allowed(text(each.spec.get("externalName")), "", each, ("spec", "externalName"))
        case (("CiliumNetworkPolicy" | "CiliumClusterwideNetworkPolicy"), "cilium.io"):
            yield from _of_rules(each, "toFQDNs", ("matchName", "matchPattern"))
        case "FQDNNetworkPolicy", "networking.gke.io":
            yield from _of_rules(each, "matches", ("name", "pattern"))
        case (("NetworkPolicy" | "GlobalNetworkPolicy"), "projectcalico.org" | "crd.projectcalico.org"):
            for index, rule in items(each.spec.get("egress")):
                for number, host in enumerate(listed(at(rule, "destination", "domains"))):
                    path = ("spec", "egress", index, "destination", "domains", number)
                    yield Allowed(text(host), each.namespace, each, path)


def _of_rules(each: Object, key: str, names: tuple[str, ...]) -> Iterator[Allowed]:
    for index, rule in items(each.spec.get("egress")):
        for number, held in items(rule.get(key)):
            for name in names:
                if host := text(held.get(name)):
                    yield Allowed(host, each.namespace, each, ("spec", "egress", index, key, number, name))


def near(entry: Allowed, pod: Pod) -> bool:
    """Whether ``entry`` is about pods such as this one."""
    return entry.namespace in ("", pod.owner.namespace) and is_beside(entry.object, pod.owner)


def limits_of(world: World, host: str, namespace: str) -> JsonObject:
    """The ``trafficPolicy`` of the DestinationRule for ``host``: of the callers' namespace before others'."""
    held = [each for each in world.of("DestinationRule") if text(each.spec.get("host")).lower() == host]
    held.sort(key=lambda each: each.namespace != namespace)
    return mapping(held[0].spec.get("trafficPolicy")) if held else {}
