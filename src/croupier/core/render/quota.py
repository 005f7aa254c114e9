"""What a cell may use at most: the sum of what its services may ask for; no tenant starves another (S1.4, S13.4)."""

from __future__ import annotations

import math
from fractions import Fraction

from croupier.core.render.names import of_cell
from croupier.model.container import Resources
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.quantity import size
from croupier.model.service_spec import ServiceSpec
from croupier.model.store import agent_of

VERSIONS = 2
"""Through a release the old version keeps its pods beside the new one's."""
_MEBIBYTE = 2**20


def limits(placed: PlacedCell) -> list[JsonObject]:
    """Of the namespace as a whole, and of one container. CPU has no limit: what is idle may be used."""
    services = placed.services
    if not services:
        return []
    pods = {each.name: VERSIONS * _most(each) for each in services}
    asked = [
        (pods[service.name], each)
        for service in services
        for each in (service.resources, agent_of(placed, service), placed.region.proxy)
        if each is not None
    ]
    hard = {
        "limits.memory": _mebibytes(sum(count * _most_memory(each) for count, each in asked)),
        "pods": str(sum(pods.values())),
        "requests.cpu": _millicores(sum(count * size(each.cpu) for count, each in asked)),
        "requests.memory": _mebibytes(sum(count * size(each.memory) for count, each in asked)),
    }
    largest = {"type": "Container", "max": {"memory": _mebibytes(max(_most_memory(each) for _, each in asked))}}
    return [
        of_cell(placed.cell, "v1", "LimitRange", "largest-container", {"spec": {"limits": [largest]}}),
        of_cell(placed.cell, "v1", "ResourceQuota", "demand", {"spec": {"hard": hard}}),
    ]


def _most_memory(resources: Resources) -> Fraction:
    """Bytes that a container may take."""
    return size(resources.memory_limit or resources.memory)


def _most(service: ServiceSpec) -> int:
    """Pods of one version under the highest load."""
    return service.scaling.max if service.scaling else service.replicas


def _millicores(cores: Fraction | int) -> str:
    return f"{math.ceil(cores * 1000)}m"


def _mebibytes(size_bytes: Fraction | int) -> str:
    return f"{math.ceil(size_bytes / _MEBIBYTE)}Mi"
