"""Secrets from the manager that keeps them (S5.4): an ExternalSecret for each that the services of a cell share.

What it makes is a Secret; its values are in no file of ours and in no repository.
"""

from __future__ import annotations

from collections.abc import Iterator

from croupier.core.render.names import of_cell
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.service_spec import SecretRef
from croupier.model.store import secrets_of

_API = "external-secrets.io/v1"


def external_secrets(placed: PlacedCell) -> list[JsonObject]:
    """One a Secret, with every key that any service of the cell mounts."""
    store = placed.region.secret_store
    if store is None:
        return []
    shared: dict[str, list[SecretRef]] = {}
    for reference in _references(placed):
        shared.setdefault(reference.secret, []).append(reference)
    return [_external(placed, store, name, shared[name]) for name in sorted(shared)]


def _external(placed: PlacedCell, store: str, name: str, references: list[SecretRef]) -> JsonObject:
    remote, seconds = references[0].remote, min(each.refresh_seconds for each in references)
    keys = sorted({key for each in references for key in each.keys})
    spec = {
        "secretStoreRef": {"kind": "ClusterSecretStore", "name": store},
        "refreshPolicy": "Periodic",
        "refreshInterval": f"{seconds}s",
        "target": {"name": name, "creationPolicy": "Owner", "deletionPolicy": "Retain"},
        "data": [{"secretKey": key, "remoteRef": {"key": remote, "property": key}} for key in keys],
    }
    return of_cell(placed.cell, _API, "ExternalSecret", name, {"spec": spec})


def _references(placed: PlacedCell) -> Iterator[SecretRef]:
    """Those that come from the store; of one Secret all say the same place, or ``check`` refuses them."""
    for service in placed.services:
        for _, reference in sorted(secrets_of(placed, service).items()):
            if reference.remote is not None:
                yield reference
