"""Who lets whom in by Istio's AuthorizationPolicies, all of them together (S2.5, S8.8).

Those in the root namespace hold for every pod of the mesh, the others for their namespace, and a selector narrows
both. DENY comes first; then, where any ALLOW governs a pod, one of its rules has to let the caller in. AUDIT changes
nothing. What manifests do not tell (methods, paths, tokens, addresses of pods) is taken the open way: a rule that
lets in may let in, and one that refuses has to refuse for certain. A pod outside the mesh is guarded by none, and a
caller outside it has no name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from croupier.core.policy.addresses import Ranges
from croupier.core.policy.mesh import INJECT, MESH_ROOT, MODE
from croupier.core.policy.objects import Object, Pod, listed, mapping, text
from croupier.core.policy.selectors import matches
from croupier.core.policy.world import World
from croupier.model.objects import JsonObject

GROUP = "security.istio.io"
TRUST_DOMAIN = "cluster.local"
"""What policies call the mesh's own trust domain, whatever it is."""
PODS = Ranges.of("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fc00::/7")
"""Where pods have their addresses (RFC 1918, RFC 6598, RFC 4193)."""


class Caller(NamedTuple):
    """Who asks, as the mesh knows it: both empty for a pod outside."""

    namespace: str
    account: str

    @property
    def principal(self) -> str:
        return f"{TRUST_DOMAIN}/ns/{self.namespace}/sa/{self.account}" if self.account else ""


class Authorization:
    """Asked of pairs of pods of one ``World``."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._governed: dict[int, list[Object]] = defaultdict(list)
        self._callers: dict[int, Caller] = {}
        for policy in world.of("AuthorizationPolicy"):
            if not is_read(policy):
                continue
            selector = policy.spec.get("selector")
            if policy.namespace != MESH_ROOT:
                pods = world.selected(policy.namespace, selector or {})
            else:
                pods = [each for each in world.pods if matches(selector or {}, each.labels)]
            for pod in pods:
                if is_in_mesh(world, pod):
                    self._governed[id(pod)].append(policy)

    def is_governed(self, pod: Pod) -> bool:
        return id(pod) in self._governed

    def answer(self, source: Pod, target: Pod, port: int | None) -> tuple[bool, tuple[Object, ...]]:
        """Whether ``target`` lets ``source`` in at ``port`` (None: at one that is not listed), and the policies that
        decide it.
        """
        policies = self._governed.get(id(target), [])
        caller = self._caller(source)
        refusing = [
            each
            for each in policies
            if each.spec.get("action") == "DENY" and _takes(each, caller, port, is_certain=True)
        ]
        if refusing:
            return False, tuple(refusing)
        lists = [each for each in policies if each.spec.get("action") in (None, "ALLOW")]
        allowing = [each for each in lists if _takes(each, caller, port, is_certain=False)]
        return not lists or bool(allowing), tuple(allowing or lists)

    def _caller(self, pod: Pod) -> Caller:
        if id(pod) not in self._callers:
            is_named = is_in_mesh(self._world, pod)
            self._callers[id(pod)] = Caller(pod.owner.namespace, account(pod)) if is_named else Caller("", "")
        return self._callers[id(pod)]


def is_read(policy: Object) -> bool:
    """Whether ``Authorization`` goes by ``policy``: not by those of others, of gateways, or that ask somebody else."""
    is_aimed = policy.spec.get("targetRefs") or policy.spec.get("targetRef")
    return policy.group == GROUP and not is_aimed and policy.spec.get("action") != "CUSTOM"


def account(pod: Pod) -> str:
    return text(pod.spec.get("serviceAccountName")) or text(pod.spec.get("serviceAccount")) or "default"


def is_in_mesh(world: World, pod: Pod) -> bool:
    """Whether a proxy stands before the pod: unless it or its namespace, where that is among the objects, tells
    otherwise.
    """
    said = [pod.labels.get(INJECT), pod.annotations.get(INJECT)]
    if pod.spec.get("hostNetwork") is True or any(each in ("false", False) for each in said):
        return False
    if pod.labels.get(MODE) == "none":
        return False
    space = world.namespaces.get(pod.owner.namespace)
    if space is None or any(each in ("true", True) for each in said) or pod.labels.get(MODE) == "ambient":
        return space is None or space.get("istio-injection") != "disabled"
    asks = space.get("istio-injection") == "enabled" or space.get(MODE) == "ambient"
    return asks or "istio.io/rev" in space or "istio.io/rev" in pod.labels


def _takes(policy: Object, caller: Caller, port: int | None, *, is_certain: bool) -> bool:
    """Whether a rule of ``policy`` is about the call: for certain, or else possibly."""
    asked = _Asked(policy.namespace, caller, port, is_certain)
    return any(asked.rule(mapping(rule)) for rule in listed(policy.spec.get("rules")))


class _Asked(NamedTuple):
    """One call held against rules of one policy."""

    namespace: str
    caller: Caller
    port: int | None
    is_certain: bool

    def rule(self, rule: JsonObject) -> bool:
        sources = [mapping(mapping(each).get("source")) for each in listed(rule.get("from"))]
        operations = [mapping(mapping(each).get("operation")) for each in listed(rule.get("to"))]
        return (
            (not sources or any(self._all(each, self._is_source) for each in sources))
            and (not operations or any(self._all(each, self._is_operation) for each in operations))
            and all(self._condition(mapping(each)) for each in listed(rule.get("when")))
        )

    def _all(self, held: JsonObject, one: Callable[[str, list[Any]], bool]) -> bool:
        return all(one(key, listed(values)) for key, values in held.items() if values)

    def _is_source(self, key: str, values: list[Any]) -> bool:
        match key:
            case "principals":
                return self._is_named(values, self.caller.principal)
            case "notPrincipals":
                return self._is_other(values, self.caller.principal)
            case "namespaces":
                return self._is_named(values, self.caller.namespace)
            case "notNamespaces":
                return self._is_other(values, self.caller.namespace)
            case "serviceAccounts":
                return self._is_account(values)
            case "notServiceAccounts":
                return not self._is_account(values)
            case "ipBlocks" | "remoteIpBlocks":
                return self._is_within(values)
            case "notIpBlocks" | "notRemoteIpBlocks":
                return self._is_beyond(values)
            case _:
                return not self.is_certain

    def _is_operation(self, key: str, values: list[Any]) -> bool:
        match key:
            case "ports":
                return self._is_port(values)
            case "notPorts":
                return not self.is_certain if self.port is None else not self._is_port(values)
            case _:
                return not self.is_certain

    def _condition(self, condition: JsonObject) -> bool:
        values, others = listed(condition.get("values")), listed(condition.get("notValues"))
        match condition.get("key"):
            case "source.namespace":
                keys = "namespaces", "notNamespaces"
            case "source.principal":
                keys = "principals", "notPrincipals"
            case "source.serviceAccount":
                keys = "serviceAccounts", "notServiceAccounts"
            case "source.ip":
                keys = "ipBlocks", "notIpBlocks"
            case "destination.port":
                held = {"ports": values, "notPorts": others}
                return self._all(held, self._is_operation)
            case _:
                return not self.is_certain
        return self._all(dict(zip(keys, (values, others), strict=True)), self._is_source)

    def _is_named(self, patterns: list[Any], name: str) -> bool:
        return any(_is_like(each, name) for each in _read(patterns, also_ours=not self.is_certain))

    def _is_other(self, patterns: list[Any], name: str) -> bool:
        return not any(_is_like(each, name) for each in _read(patterns, also_ours=self.is_certain))

    def _is_account(self, values: list[Any]) -> bool:
        own = f"{self.caller.namespace}/{self.caller.account}"
        return bool(self.caller.account) and any(
            own == (text(each) if "/" in text(each) else f"{self.namespace}/{text(each)}") for each in values
        )

    def _is_port(self, values: list[Any]) -> bool:
        if self.port is None:
            return not self.is_certain
        return str(self.port) in map(str, values)

    def _is_within(self, blocks: list[Any]) -> bool:
        held = _ranges(blocks)
        return not PODS - held if self.is_certain else bool(PODS & held)

    def _is_beyond(self, blocks: list[Any]) -> bool:
        held = _ranges(blocks)
        return not PODS & held if self.is_certain else bool(PODS - held)


def _read(patterns: list[Any], *, also_ours: bool) -> Iterator[str]:
    """``patterns``, and those that name another trust domain as if it were the mesh's own."""
    for each in map(text, patterns):
        yield each
        _, is_principal, rest = each.partition("/ns/")
        if is_principal and also_ours:
            yield f"{TRUST_DOMAIN}/ns/{rest}"


def _is_like(pattern: str, name: str) -> bool:
    """Istio's way: exact, ``ab*``, ``*ab``, or ``*`` for any that there is."""
    if not name:
        return False
    if pattern.endswith("*"):
        return name.startswith(pattern[:-1])
    return name.endswith(pattern[1:]) if pattern.startswith("*") else name == pattern


def _ranges(blocks: list[Any]) -> Ranges:
    try:
        return Ranges.of(*map(text, blocks))
    except ValueError:
        return Ranges()
