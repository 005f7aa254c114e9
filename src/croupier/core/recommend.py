"""What a Vertical Pod Autoscaler recommends, held against what the platform file asks for (S6.3, S13.5).

Nothing acts on it: a request that changes is a new version, released behind its gates.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, get_args

from croupier.model.platform import PlacedCell
from croupier.model.quantity import size
from croupier.model.recommendation import Fit, Recommendation, Recommendations, Resource
from croupier.model.service_spec import ServiceSpec

KIND = "VerticalPodAutoscaler"
CONTAINER = "app"


def recommendations(cells: Iterable[PlacedCell], objects: Iterable[object]) -> Recommendations:
    """``objects``: what a cluster has; of what is no VerticalPodAutoscaler of a service of ``cells`` nothing is said,
    and a bound that is no quantity is left out. The label ``cell`` tells whose it is: two regions may share a
    namespace's name.
    """
    services = {(placed.cell.name, each.name): each for placed in cells for each in placed.services}
    found: list[Recommendation] = []
    unknown: list[str] = []
    others = 0
    for each in objects:
        metadata = _part(each, "metadata")
        key = (str(_part(metadata, "labels").get("cell")), str(metadata.get("name")))
        service = services.get(key)
        if not isinstance(each, Mapping) or each.get("kind") != KIND:
            continue
        if service is None:
            others += 1
            continue
        its = list(_of(key[0], service, each))
        found += its
        unknown += [] if its else [f"{key[1]} in {key[0]}"]
    order = sorted(found, key=lambda one: (one.fit == "fits", one.cell, one.service, one.resource))
    return Recommendations(recommendations=tuple(order), unknown=tuple(sorted(unknown)), others=others)


def _of(cell: str, service: ServiceSpec, autoscaler: object) -> Iterator[Recommendation]:
    said = _part(_part(autoscaler, "status"), "recommendation").get("containerRecommendations")
    for container in said if isinstance(said, list) else ():
        if not isinstance(container, Mapping) or container.get("containerName") != CONTAINER:
            continue
        for resource in get_args(Resource):
            target, lower, upper = (
                _part(container, key).get(resource) for key in ("target", "lowerBound", "upperBound")
            )
            asked: str = getattr(service.resources, resource)
            if _is_amount(target) and (fit := _fit(asked, lower or target, upper or target)) is not None:
                yield Recommendation(
                    cell=cell,
                    service=service.name,
                    resource=resource,
                    asked=asked,
                    target=str(target),
                    lower=str(lower or target),
                    upper=str(upper or target),
                    fit=fit,
                )


def _fit(asked: str, lower: object, upper: object) -> Fit | None:
    """Where a request lies between two bounds; None where they are no amounts."""
    if not (_is_amount(lower) and _is_amount(upper)):
        return None
    if size(asked) < size(str(lower)):
        return "too little"
    return "too much" if size(asked) > size(str(upper)) else "fits"


def _is_amount(value: object) -> bool:
    try:
        size(str(value))
    except ValueError:
        return False
    return True


def _part(value: object, key: str) -> Mapping[str, Any]:
    found = value.get(key) if isinstance(value, Mapping) else None
    return found if isinstance(found, Mapping) else {}
