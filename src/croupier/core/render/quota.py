"""What a cell may use at most: the sum of what its services may ask for; no tenant starves another (S1.4, S13.4)."""

from __future__ import annotations

import math
from fractions import Fraction

from croupier.core.render.names import of_cell
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.quantity import size
from croupier.model.service_spec import ServiceSpec

VERSIONS = 2
"""Through a release the old version keeps its pods beside the new one's."""
_MEBIBYTE = 2**20


def limits(placed: PlacedCell) -> list[JsonObject]:
    """Of the namespace as a whole, and of one container. CPU has no limit: what is idle may be used."""
    services = placed.services
    if not services:
        return []
    pods = {each.name: VERSIONS * _most(each) for each in services}
    memory = {each.name: size(each.resources.memory_limit or each.resources.memory) for each in services}
    hard = {
        "limits.memory": _mebibytes(sum(pods[each.name] * memory[each.name] for each in services)),
        "pods": str(sum(pods.values())),
        "requests.cpu": _millicores(sum(pods[each.name] * size(each.resources.cpu) for each in services)),
        "requests.memory": _mebibytes(sum(pods[each.name] * size(each.resources.memory) for each in services)),
    }
    largest = {"type": "Container", "max": {"memory": _mebibytes(max(memory.values()))}}
    return [
        of_cell(placed.cell, "v1", "LimitRange", "largest-container", {"spec": {"limits": [largest]}}),
        of_cell(placed.cell, "v1", "ResourceQuota", "demand", {"spec": {"hard": hard}}),
    ]


def _most(service: ServiceSpec) -> int:
    """Pods of one version under the highest load."""
    return service.scaling.max if service.scaling else service.replicas


def _millicores(cores: Fraction | int) -> str:
    return f"{math.ceil(cores * 1000)}m"


def _mebibytes(size_bytes: Fraction | int) -> str:
    return f"{math.ceil(size_bytes / _MEBIBYTE)}Mi"
