"""All stores of a platform, sorted into files: ``stores/<region>/<cell>.yaml`` for what runs there, primary or copy.

They stand apart from the cells that use them: what is taken out of Git by mistake must not take a database with it
(docs/adr/0011).
"""

from __future__ import annotations

from collections.abc import Iterable

from croupier.core.render.engines import made_of
from croupier.core.render.names import MANAGED_BY
from croupier.core.render.peers import names_looked_up, nothing_else
from croupier.core.render.pods import restricted
from croupier.core.render.store import KEPT, NETWORK, Bucket, Home, buckets, external_secret, home_of
from croupier.model.data import Engine
from croupier.model.objects import JsonObject
from croupier.model.platform import ALLOW_DNS, DEFAULT_DENY, PlacedCell, Region
from croupier.model.postgres import Postgres
from croupier.model.store import Store, stores_of


def stores(cells: Iterable[PlacedCell]) -> dict[str, list[JsonObject]]:
    """File -> the objects in it, in their order."""
    files: dict[str, list[JsonObject]] = {}
    for placed in cells:
        homes: dict[str, list[Store[Engine]]] = {}
        for store in stores_of(placed):
            for region in dict.fromkeys((placed.cell.region, *store.use.copies)):
                homes.setdefault(region, []).append(store)
        for region, held in homes.items():
            home = home_of(placed, region)
            made = [*_tenancy(home), *_credentials(home, held), *(each for one in held for each in made_of(home, one))]
            files[f"stores/{region}/{placed.cell.name}.yaml"] = made
    return files


def data_namespaces(region: str, cells: Iterable[PlacedCell]) -> list[str]:
    """Namespaces of the stores that run in ``region``, primaries and copies."""
    return [
        placed.cell.data_namespace
        for placed in cells
        if any(region in (placed.cell.region, *store.use.copies) for store in stores_of(placed))
    ]


def storage_classes(region: Region) -> list[JsonObject]:
    """Volumes are made where their pod is sent, and outlive the claim: deleting a claim deletes no data (S2.6)."""
    return [
        {
            "apiVersion": "storage.k8s.io/v1",
            "kind": "StorageClass",
            "metadata": {"name": name, "labels": dict(MANAGED_BY)},
            "provisioner": held.provisioner,
            **({"parameters": dict(held.parameters)} if held.parameters else {}),
            "reclaimPolicy": "Retain",
            "volumeBindingMode": "WaitForFirstConsumer",
            "allowVolumeExpansion": held.purpose != "local",
        }
        for name, held in sorted(region.stores.storage.items() if region.stores else ())
        if held.provisioner is not None
    ]


def _tenancy(home: Home) -> list[JsonObject]:
    metadata = {"name": home.namespace, "labels": {**home.labels(), **restricted()}, "annotations": dict(KEPT)}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata},
        home.made(None, NETWORK, "NetworkPolicy", ALLOW_DNS, names_looked_up()),
        home.made(None, NETWORK, "NetworkPolicy", DEFAULT_DENY, nothing_else()),
    ]


def _credentials(home: Home, held: Iterable[Store[Engine]]) -> list[JsonObject]:
    """Of the object stores that PostgreSQL archives to: one Secret each, whoever uses it."""
    reached: dict[str, Bucket] = {
        each.region: each
        for store in held
        if isinstance(store.engine, Postgres)
        for each in buckets(home.placed, store.use)
        if each.held.credentials
    }
    return [
        each
        for name in sorted(reached)
        for each in external_secret(
            home,
            None,
            reached[name].secret,
            str(reached[name].held.credentials),
            keys=("accessKeyId", "secretAccessKey"),
            template={},
        )
    ]
