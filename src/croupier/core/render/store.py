"""What stores of every engine share: where they stand, who may reach them (S7, S10.6).

One module an engine renders it (``postgres.py``), ``engines.py`` lists them; ``stores.py`` puts all of a cell together.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from croupier.core.render.names import APP, NOT_PRUNED, cell_labels
from croupier.core.render.peers import allowed, reached, within
from croupier.model.address import Endpoint
from croupier.model.data import DataUse, Engine
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell, Region
from croupier.model.store import Store
from croupier.model.stores import ObjectStore, Stores

KEPT = {
    "argocd.argoproj.io/sync-options": "Prune=false,Delete=false",
    **NOT_PRUNED,
}
"""What is taken out of Git stays in the cluster: a line too few must not be the end of a ledger."""
NETWORK = "networking.k8s.io/v1"
MONITORING = "monitoring.coreos.com/v1"
_EXTERNAL = "external-secrets.io/v1"
_REFRESH = "3600s"
_AWS = Endpoint(host="s3.amazonaws.com")


class Home(NamedTuple):
    """A region that has all of a cell's stores, or of some: the primaries, or copies."""

    placed: PlacedCell
    name: str
    region: Region
    stands: Stores

    @property
    def namespace(self) -> str:
        return self.placed.cell.data_namespace

    def labels(self, store: Store[Engine] | None = None) -> dict[str, str]:
        """Of objects."""
        named = {} if store is None else {APP: store.name, "tier": store.owner.tier, "layer": "data"}
        return {**cell_labels(self.placed.cell), **named}

    def inherited(self, store: Store[Engine]) -> dict[str, str]:
        """Of pods: without what operators say of them themselves."""
        return {name: value for name, value in self.labels(store).items() if "/" not in name}

    def is_primary(self, use: DataUse) -> bool:
        return self.name == (use.region or self.placed.cell.region)

    def made(
        self, store: Store[Engine] | None, api: str, kind: str, name: str, spec: JsonObject, **annotations: str
    ) -> JsonObject:
        """An object of the stores' namespace."""
        metadata = {"name": name, "namespace": self.namespace, "labels": self.labels(store)}
        if annotations:
            metadata["annotations"] = annotations
        return {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec}


class Bucket(NamedTuple):
    """Where backups go. ``key``: of the KMS; None: the object store's own."""

    region: str
    held: ObjectStore
    key: str | None

    @property
    def secret(self) -> str:
        return f"object-store-{self.region}"

    @property
    def endpoint(self) -> Endpoint:
        return self.held.endpoint or _AWS


def home_of(placed: PlacedCell, region: str) -> Home:
    where = placed.where(region)
    assert where.stores is not None, "check refuses stores in a region that says nothing of them"
    return Home(placed, region, where, where.stores)


def buckets(placed: PlacedCell, use: DataUse) -> tuple[Bucket, Bucket]:
    """Where the primary archives to, and where copies do."""
    primary = use.region or placed.cell.region
    first = _bucket(placed, use.backup or primary, use.keys or primary)
    return first, (_bucket(placed, use.dr_backup, use.dr_backup) if use.dr_backup else first)


def _bucket(placed: PlacedCell, region: str, keys: str) -> Bucket:
    stores, of_keys = placed.where(region).stores, placed.where(keys).stores
    assert stores is not None
    assert stores.object_store is not None, "check refuses backups where there is no object store"
    return Bucket(region, stores.object_store, of_keys.kms_key if of_keys else None)


def external_secret(
    home: Home, store: Store[Engine] | None, name: str, remote: str, *, keys: Iterable[str], template: JsonObject
) -> list[JsonObject]:
    """The Secret, read from one place in the secret store of the region; nothing where somebody else makes it."""
    return secret_of(home, store, name, {key: (remote, key) for key in keys}, template)


def secret_of(
    home: Home, store: Store[Engine] | None, name: str, entries: Mapping[str, tuple[str, str]], template: JsonObject
) -> list[JsonObject]:
    """``entries``: key -> where it is in the secret store of the region, and what it is called there."""
    if home.region.secret_store is None:
        return []
    spec = {
        "secretStoreRef": {"kind": "ClusterSecretStore", "name": home.region.secret_store},
        "refreshPolicy": "Periodic",
        "refreshInterval": _REFRESH,
        "target": {
            "name": name,
            "creationPolicy": "Owner",
            "deletionPolicy": "Retain",
            **({"template": template} if template else {}),
        },
        "data": [
            {"secretKey": key, "remoteRef": {"key": remote, "property": its}} for key, (remote, its) in entries.items()
        ],
    }
    return [home.made(store, _EXTERNAL, "ExternalSecret", name, spec)]


def callers(placed: PlacedCell, store: Store[Engine]) -> list[JsonObject]:
    """Pods of the services that use it, and no others."""
    inside = within(placed.cell.namespace)
    return [{**inside, "podSelector": {"matchLabels": {APP: name}}} for name in sorted(store.users)]


def watchers(home: Home, port: int) -> list[JsonObject]:
    """Who reads counters there."""
    namespace = home.region.monitoring_namespace
    return [allowed("from", [within(namespace)], [port])] if namespace is not None else []


def pod_monitors(
    home: Home, store: Store[Engine], watched: Mapping[str, Mapping[str, str]], port: str, copied: Sequence[str] = ()
) -> list[JsonObject]:
    """``watched``: name -> labels of pods; ``copied``: those that their series bear. Nothing where the region's
    Prometheus is not an operator's.
    """
    prometheus = home.region.prometheus
    if prometheus is None or prometheus.form != "operator":
        return []
    made = []
    for name, labels in watched.items():
        spec = {
            "selector": {"matchLabels": dict(labels)},
            **({"podTargetLabels": list(copied)} if copied else {}),
            "podMetricsEndpoints": [{"port": port}],
        }
        each = home.made(store, MONITORING, "PodMonitor", name, spec)
        each["metadata"]["labels"] |= prometheus.labels
        made.append(each)
    return made


def zones(labels: JsonObject, *, strict: bool) -> JsonObject:
    """Pods with ``labels`` spread over zones; ``strict``: a pod waits rather than share one."""
    return {
        "maxSkew": 1,
        "topologyKey": "topology.kubernetes.io/zone",
        "whenUnsatisfiable": "DoNotSchedule" if strict else "ScheduleAnyway",
        "labelSelector": {"matchLabels": labels},
    }


def api_servers(stands: Stores) -> JsonObject:
    return allowed("to", [{"ipBlock": {"cidr": each}} for each in stands.api_servers], [stands.api_port])


def object_stores(used: Iterable[Bucket]) -> list[JsonObject]:
    """In the cluster, or out by the gateway for backups."""
    return reached((each.endpoint for each in used), "backup-egress")
