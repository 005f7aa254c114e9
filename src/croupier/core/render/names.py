"""Names and labels that all objects of a cell share (S1.4): fixed, so that selectors, quotas and bills agree."""

from __future__ import annotations

from typing import Any

from croupier.model.objects import JsonObject
from croupier.model.platform import Cell
from croupier.model.service_spec import ServiceSpec

APP = "app.kubernetes.io/name"
MANAGED_BY = {"app.kubernetes.io/managed-by": "croupier"}
NOT_PRUNED = {"kustomize.toolkit.fluxcd.io/prune": "disabled"}
"""Annotation of what Flux leaves where it is when Git no longer has it."""


def cell_labels(cell: Cell) -> dict[str, str]:
    return {**MANAGED_BY, "brand": cell.brand, "market": cell.market, "region": cell.region, "cell": cell.name}


def rank(service: ServiceSpec) -> str:
    """Who goes first where room is short: by tier, and batch work that is not money last (S13.2)."""
    return "batch" if service.traffic == "batch" and service.tier != "money" else service.tier


def service_labels(cell: Cell, service: ServiceSpec) -> dict[str, str]:
    held = {"traffic": service.traffic} if service.traffic == "websocket" else {}
    return {APP: service.name, **cell_labels(cell), "tier": rank(service), "layer": service.layer, **held}


def selector(service: str) -> dict[str, Any]:
    """What selects the pods of a service, of every version."""
    return {"matchLabels": {APP: service}}


def priority_class(rank: str) -> str:
    return f"croupier-{rank}"


def of_cell(cell: Cell, api: str, kind: str, name: str, body: JsonObject) -> JsonObject:
    """An object of the cell's namespace that belongs to no service."""
    metadata = {"name": name, "namespace": cell.namespace, "labels": cell_labels(cell)}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **body}


def of_service(
    cell: Cell, service: ServiceSpec, api: str, kind: str, body: JsonObject, *, name: str | None = None
) -> JsonObject:
    """An object of one service, called like it unless ``name`` says otherwise."""
    metadata = {"name": name or service.name, "namespace": cell.namespace, "labels": service_labels(cell, service)}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, **body}
