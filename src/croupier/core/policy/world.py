"""All objects that are checked together: by kind, by name, and who scales or selects whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

from croupier.core.policy.objects import SEVERAL, Object, Pod, at, items, text
from croupier.core.policy.operated import labels_of
from croupier.core.policy.quantities import whole
from croupier.core.policy.selectors import matches
from croupier.model.objects import JsonObject

NOT_SCALED = "httpscaledobject.keda.sh/skip-scaledobject-creation"
"""Annotation of an HTTPScaledObject by which the add-on makes no ScaledObject of it."""


class Bounds(NamedTuple):
    """Where in its ``spec`` a scaler says how many pods there are, and what holds where it does not."""

    least: tuple[str, ...]
    least_otherwise: int
    most: tuple[str, ...]
    most_otherwise: int


BOUNDS: Mapping[str, Bounds] = {
    "HorizontalPodAutoscaler": Bounds(("minReplicas",), 1, ("maxReplicas",), 1),
    "ScaledObject": Bounds(("minReplicaCount",), 0, ("maxReplicaCount",), 100),
    "HTTPScaledObject": Bounds(("replicas", "min"), 0, ("replicas", "max"), 100),
}
SCALERS = tuple(BOUNDS)
"""Kinds that say how many pods something has."""


class World:
    """What rules on bundles see. ``objects`` keep the order in which they were read."""

    def __init__(self, objects: Sequence[Object]) -> None:
        self.objects = objects
        self._of_kind: dict[str, list[Object]] = defaultdict(list)
        for each in objects:
            self._of_kind[each.kind].append(each)

    def of(self, *kinds: str) -> Iterator[Object]:
        """The objects of ``kinds``, kind by kind."""
        for kind in kinds:
            yield from self._of_kind.get(kind, ())

    def has(self, kinds: Iterable[str]) -> bool:
        return any(self._of_kind.get(kind) for kind in kinds)

    def named(self, kind: str, namespace: str, name: str) -> Object | None:
        """The object of that kind, namespace and name, or None."""
        return self._names.get((kind, namespace, name))

    def has_in(self, kind: str, namespace: str) -> bool:
        """Whether any object of ``kind`` in ``namespace`` is among those checked: only then is a missing one missed."""
        return (kind, namespace) in self._places

    def lives_in(self, namespace: str) -> bool:
        """Whether anything among those checked is of ``namespace``."""
        return namespace in self._spaces

    @cached_property
    def _spaces(self) -> set[str]:
        return {each.namespace for each in self.objects}

    @cached_property
    def _places(self) -> set[tuple[str, str]]:
        return {(each.kind, each.namespace) for each in self.objects}

    @cached_property
    def _names(self) -> dict[tuple[str, str, str], Object]:
        return {(each.kind, each.namespace, each.name): each for each in self.objects}

    @cached_property
    def pods(self) -> list[Pod]:
        """Every pod and pod template."""
        return [pod for each in self.objects for pod in each.pods]

    @cached_property
    def _pods_of(self) -> dict[str, list[Pod]]:
        held: dict[str, list[Pod]] = defaultdict(list)
        for pod in self.pods:
            held[pod.owner.namespace].append(pod)
        return held

    @cached_property
    def _labelled(self) -> dict[tuple[str, str, Any], list[Pod]]:
        held: dict[tuple[str, str, Any], list[Pod]] = defaultdict(list)
        for pod in self.pods:
            for key, value in pod.labels.items():
                if type(value) is str:
                    held[pod.owner.namespace, key, value].append(pod)
        return held

    def selected(self, namespace: str, selector: Any) -> list[Pod]:
        """Pods of ``namespace`` that a LabelSelector takes."""
        wanted = at(selector, "matchLabels")
        if type(wanted) is dict and wanted:
            key, value = next(iter(wanted.items()))
            near = self._labelled.get((namespace, key, value), []) if type(value) is str else []
        else:
            near = self._pods_of.get(namespace, [])
        return [pod for pod in near if matches(selector, pod.labels)]

    def is_selected(self, namespace: str, selector: Any) -> bool:
        """Whether a LabelSelector takes any pod of ``namespace``, written or made by an operator."""
        return bool(self.selected(namespace, selector)) or any(
            matches(selector, labels) for labels in self._operated.get(namespace, ())
        )

    @cached_property
    def _operated(self) -> dict[str, list[JsonObject]]:
        held: dict[str, list[JsonObject]] = defaultdict(list)
        for each in self.objects:
            held[each.namespace] += map(dict, labels_of(each))
        return held

    def behind(self, namespace: str, service: str) -> list[Pod]:
        """Pods that the Service called ``service`` selects; none where it is not among the objects."""
        held = self.named("Service", namespace, service)
        wanted = held.spec.get("selector") if held is not None else None
        return self.selected(namespace, {"matchLabels": wanted}) if wanted else []

    @cached_property
    def scalers(self) -> dict[tuple[str, str, str], list[Object]]:
        """(kind, namespace, name) of what is scaled -> what scales it, of ``SCALERS``."""
        held: dict[tuple[str, str, str], list[Object]] = defaultdict(list)
        for each in self.of(*SCALERS):
            if scales(each) and not self._is_made_of_another(each):
                held[target(each)].append(each)
        return held

    def _is_made_of_another(self, scaler: Object) -> bool:
        """Whether ``scaler`` is the ScaledObject that KEDA's HTTP add-on makes of an HTTPScaledObject among these."""
        owners = [each for _, each in items(scaler.metadata.get("ownerReferences"))]
        names = [text(each.get("name")) for each in owners if each.get("kind") == "HTTPScaledObject"]
        return any(self.named("HTTPScaledObject", scaler.namespace, name) is not None for name in names)

    def scalers_of(self, each: Object) -> list[Object]:
        held = self.scalers.get((each.kind, each.namespace, each.name), [])
        return [scaler for scaler in held if is_beside(scaler, each)]

    def replicas(self, each: Object) -> int:
        """The least number of pods that ``each`` keeps: the minimum of its scaler, else its replicas, else one."""
        minima = [minimum(scaler) for scaler in self.scalers_of(each)]
        if minima:
            return min(minima)
        held = whole(each.spec.get("replicas"))
        return 1 if held is None else held

    def most_replicas(self, each: Object) -> int:
        """The greatest number of pods that ``each`` keeps, without those that surge."""
        maxima = [maximum(scaler) for scaler in self.scalers_of(each)]
        held = whole(each.spec.get("replicas"))
        return max([*maxima, *([] if maxima else [1 if held is None else held])])

    def release_policy_of(self, each: Object) -> Object | None:
        """The ReleasePolicy that releases a Deployment, or None."""
        held = self._policies.get((each.namespace, each.name), []) if each.kind == "Deployment" else []
        return next((policy for policy in held if is_beside(policy, each)), None)

    @cached_property
    def _policies(self) -> dict[tuple[str, str], list[Object]]:
        held: dict[tuple[str, str], list[Object]] = defaultdict(list)
        for each in self.of("ReleasePolicy"):
            held[each.namespace, text(each.spec.get("deployment"))].append(each)
        return held

    @cached_property
    def controllers(self) -> list[Object]:
        """Controllers that keep a number of like pods."""
        return [each for each in self.objects if each.kind in SEVERAL and each.pods]

    @cached_property
    def namespaces(self) -> dict[str, JsonObject]:
        """Namespace -> its labels, as far as the namespace is among the objects."""
        return {each.name: {**each.labels, "kubernetes.io/metadata.name": each.name} for each in self.of("Namespace")}


def is_beside(one: Object, other: Object) -> bool:
    """Whether both may be in one cluster: what bears the label ``cell`` is where its like is, and so is what croupier
    made for a ``region``."""
    cells = text(one.labels.get("cell")), text(other.labels.get("cell"))
    if all(cells) and cells[0] != cells[1]:
        return False
    if any(each.labels.get("app.kubernetes.io/managed-by") != "croupier" for each in (one, other)):
        return True
    regions = text(one.labels.get("region")), text(other.labels.get("region"))
    return not all(regions) or regions[0] == regions[1]


def target(scaler: Object) -> tuple[str, str, str]:
    """(kind, namespace, name) of what one of ``SCALERS`` scales."""
    reference = scaler.spec.get("scaleTargetRef")
    return text(at(reference, "kind")) or "Deployment", scaler.namespace, text(at(reference, "name"))


def scales(scaler: Object) -> bool:
    """Whether it changes a number of pods: KEDA's HTTP add-on can be told to route and count only."""
    return scaler.kind != "HTTPScaledObject" or scaler.annotations.get(NOT_SCALED) != "true"


def minimum(scaler: Object) -> int:
    held = whole(at(scaler.spec, *BOUNDS[scaler.kind].least))
    return BOUNDS[scaler.kind].least_otherwise if held is None else held


def maximum(scaler: Object) -> int:
    held = whole(at(scaler.spec, *BOUNDS[scaler.kind].most))
    return BOUNDS[scaler.kind].most_otherwise if held is None else held
