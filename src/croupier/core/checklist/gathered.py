"""What the checklist is judged by: bundles of manifests as one place has them, and the plan of the release."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import Any

from croupier.core.policy.objects import Object, Pod, at, mapping, text
from croupier.core.policy.world import SCALERS, World
from croupier.model.objects import JsonObject
from croupier.model.policy import FindingView

_NAME_LABELS = ("app.kubernetes.io/name", "app")
_PLAIN = ("ConfigMap", "Secret", "ServiceAccount", "ExternalSecret", "SecretProviderClass")
"""Kinds that a pod names."""


class Bundle:
    """Manifests that are one place's, seen from one service.

    Attributes:
        name: of the place: a cell, or what the manifests were called.
        world: all objects.
        findings: of the policy check on all of them, those that count.
        rules: ids of the rules that were asked.
        pods: pod templates of the service.
        today: the day on which it is looked at.
    """

    def __init__(
        self,
        name: str,
        world: World,
        findings: tuple[FindingView, ...],
        rules: frozenset[str],
        service: str,
        *,
        today: date,
    ) -> None:
        self.name = name
        self.world = world
        self.findings = findings
        self.rules = rules
        self.today = today
        self._service, _, self._namespace = service.partition(".")
        self.pods = [each for each in world.pods if self._is_of_service(each)]

    @cached_property
    def owners(self) -> list[Object]:
        """What makes the pods of the service."""
        return list({id(pod.owner): pod.owner for pod in self.pods}.values())

    @cached_property
    def mine(self) -> dict[str, Object]:
        """What people call an object -> it, for all that belong to the service: what makes its pods, bears its name,
        selects or scales them, is named by them, and its namespace.
        """
        spaces = {owner.namespace for owner in self.owners}
        found = [each for each in self.world.objects if self._belongs(each, spaces)]
        return {each.manifest.name: each for each in found}

    def _is_of_service(self, pod: Pod) -> bool:
        if self._namespace and pod.owner.namespace != self._namespace:
            return False
        named = {pod.owner.name, *(text(pod.labels.get(label)) for label in _NAME_LABELS)}
        return self._service in named

    def _belongs(self, each: Object, spaces: set[str]) -> bool:
        if any(each is owner for owner in self.owners):
            return True
        if each.kind == "Namespace":
            return each.name in spaces
        if each.namespace not in spaces:
            return False
        if each.name == self._service:
            return True
        if each.kind in _PLAIN:
            return each.name in self._named or text(at(each.spec, "target", "name")) in self._named
        if each.kind in SCALERS:
            return any(each is scaler for owner in self.owners for scaler in self.world.scalers_of(owner))
        selector = self._selector(each)
        # What selects everything in the namespace is the namespace's, not the service's.
        return bool(selector) and any(
            pod is mine for pod in self.world.selected(each.namespace, selector) for mine in self.pods
        )

    @staticmethod
    def _selector(each: Object) -> JsonObject:
        match each.kind:
            case "NetworkPolicy":
                return mapping(each.spec.get("podSelector"))
            case "PodDisruptionBudget":
                return mapping(each.spec.get("selector"))
            case "Service":
                labels = mapping(each.spec.get("selector"))
                return {"matchLabels": labels} if labels else {}
        return {}

    @cached_property
    def _named(self) -> set[str]:
        """Names that stand anywhere in the pods."""
        return {found for pod in self.pods for found in _names_in(pod.spec)}

    def secrets_used(self) -> dict[str, Pod]:
        """Name of each Secret that the pods take values from -> a pod that does."""
        return {name: pod for pod in self.pods for name in _secrets_in(pod.spec)}


def _names_in(value: Any) -> Iterator[str]:
    if type(value) is dict:
        for key, inner in value.items():
            if key in ("name", "secretName", "serviceAccountName", "secretProviderClass") and type(inner) is str:
                yield inner
            else:
                yield from _names_in(inner)
    elif type(value) is list:
        for inner in value:
            yield from _names_in(inner)


def _secrets_in(value: Any) -> Iterator[str]:
    """Names of Secrets in the spec of a pod: volumes, projected sources, envFrom, valueFrom."""
    if type(value) is dict:
        for key, inner in value.items():
            if key in ("secretRef", "secretKeyRef") or (key == "secret" and type(inner) is dict):
                held = mapping(inner)
                if name := text(held.get("secretName")) or text(held.get("name")):
                    yield name
            else:
                yield from _secrets_in(inner)
    elif type(value) is list:
        for inner in value:
            yield from _secrets_in(inner)


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """How the release would go.

    ``steps``: percent of players. ``gates``: signals that are watched. ``source``: where that was read.
    """

    steps: tuple[int, ...]
    gates: tuple[str, ...]
    strategy: str
    source: str


@dataclass(frozen=True, slots=True)
class Gathered:
    """All that was read about one service. ``plan`` None: read it off the manifests."""

    service: str
    now: float
    bundles: tuple[Bundle, ...]
    plan: ReleasePlan | None = None
    sources: tuple[str, ...] = ()
    not_checked: tuple[str, ...] = ()
    unread: tuple[str, ...] = field(default=())
