"""PostgreSQL by CloudNativePG 1.30 (postgresql.cnpg.io/v1), archived by its plugin for Barman Cloud (S7.1 to S7.4).

Between regions there is no network: a copy reads the archive of the primary, and archives by itself, so that either may
become the other (CloudNativePG's distributed topology). Which one is the primary, a person changes: ``replica.primary``
and the token of the old one in one step.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from croupier.core.render.names import priority_class
from croupier.core.render.peers import allowed, door, within
from croupier.core.render.placement import placement
from croupier.core.render.pods import resources_of
from croupier.core.render.postgres_watch import CLUSTER, POOLER, store_rules
from croupier.core.render.store import (
    KEPT,
    MONITORING,
    NETWORK,
    Bucket,
    Home,
    api_servers,
    buckets,
    callers,
    external_secret,
    object_stores,
    pod_monitors,
    watchers,
    zones,
)
from croupier.model.connections import Demand, total
from croupier.model.container import Resources
from croupier.model.objects import JsonObject
from croupier.model.postgres import POSTGRES_PORT, Pooler, Postgres
from croupier.model.quantity import size
from croupier.model.store import Store, pooler_of, role_of

API = "postgresql.cnpg.io/v1"
BARMAN = "barmancloud.cnpg.io/v1"
PLUGIN = "barman-cloud.cloudnative-pg.io"
_ROLE = "cnpg.io/podRole"
_MANAGER, _METRICS, _POOLER_METRICS = 8000, 9187, 9127
"""Ports of an instance's manager and of what they count."""
_MEBIBYTE = 2**20
_SHARED = 4
"""Of the memory a quarter is shared buffers, the share that PostgreSQL's manual begins with."""
_SMART_SECONDS = 15
"""How long a primary that is to go waits for sessions to end by themselves: poolers keep theirs open."""
_STATEMENTS = 200
"""Prepared statements a pooled connection remembers; without them drivers that prepare fail in mode transaction."""
_SIDECAR = resources_of(Resources(cpu="100m", memory="256Mi", memory_limit="512Mi"))


def database(home: Home, store: Store[Postgres]) -> list[JsonObject]:
    """All that one database is in one region."""
    first, second = buckets(home.placed, store.use)
    reached = [first] if first == second else [first, second]
    return [
        *_secrets(home, store),
        *(_object_store(home, store, each) for each in reached),
        _cluster(home, store),
        _scheduled(home, store),
        *_pooler(home, store),
        *_doors(home, store, reached),
        *pod_monitors(home, store, _watched(store), "metrics", (CLUSTER, POOLER)),
        *_rules(home, store),
    ]


def told(store: Store[Postgres], service: str, namespace: str) -> dict[str, str]:
    """End of a variable -> what pods are told by it."""
    return {
        "HOST": f"{pooler_of(store) or f'{store.name}-rw'}.{namespace}",
        "PORT": str(POSTGRES_PORT),
        "DATABASE": store.role,
        "POOL_SIZE": str(store.shares[service].connections),
    }


def reached(store: Store[Postgres]) -> Iterator[tuple[Mapping[str, str], Sequence[int]]]:
    """Labels of the pods that users connect to, and by which ports."""
    pooler = pooler_of(store)
    yield {POOLER: pooler} if pooler else {CLUSTER: store.name}, [POSTGRES_PORT]


def _secrets(home: Home, store: Store[Postgres]) -> list[JsonObject]:
    """Passwords of all users; a rotation in the secret store becomes one in the database (S5.5)."""
    template = {"type": "kubernetes.io/basic-auth", "metadata": {"labels": {"cnpg.io/reload": "true"}}}
    return [
        each
        for service in home.placed.services
        if service.name in store.users and (remote := service.data[store.name].credentials)
        for each in external_secret(
            home, store, store.secret(service.name), remote, keys=("password", "username"), template=template
        )
    ]


def _archive_name(store: Store[Postgres], bucket: Bucket, first: Bucket) -> str:
    return store.name if bucket == first else f"{store.name}-dr"


def _object_store(home: Home, store: Store[Postgres], bucket: Bucket) -> JsonObject:
    first, _ = buckets(home.placed, store.use)
    held = bucket.held
    encrypted: JsonObject = {"encryption": "aws:kms" if bucket.key else "AES256"}
    key = ["--sse-kms-key-id", bucket.key] if bucket.key else []
    credentials: JsonObject = {"inheritFromIAMRole": True}
    if held.credentials is not None:
        credentials = {key: {"name": bucket.secret, "key": key} for key in ("accessKeyId", "secretAccessKey")}
    configuration = {
        "destinationPath": f"{held.bucket}/{home.placed.cell.name}/{store.name}",
        **({"endpointURL": f"https://{held.endpoint.host}:{held.endpoint.port}"} if held.endpoint else {}),
        "s3Credentials": credentials,
        "wal": {
            "compression": "gzip",
            **encrypted,
            **({"archiveAdditionalCommandArgs": key} if key else {}),
        },
        "data": {
            "compression": "gzip",
            **encrypted,
            **({"additionalCommandArgs": key} if key else {}),
        },
    }
    spec = {
        "retentionPolicy": f"{store.engine.pitr_days}d",
        "configuration": configuration,
        "instanceSidecarConfiguration": {"resources": _SIDECAR},
    }
    return home.made(store, BARMAN, "ObjectStore", _archive_name(store, bucket, first), spec, **KEPT)


def _archives(home: Home, store: Store[Postgres], region: str) -> JsonObject:
    """Parameters of the plugin for what the instance in ``region`` archives."""
    first, second = buckets(home.placed, store.use)
    is_primary = region == (store.use.region or home.placed.cell.region)
    bucket = first if is_primary else second
    return {"barmanObjectName": _archive_name(store, bucket, first), "serverName": region}


def _cluster(home: Home, store: Store[Postgres]) -> JsonObject:
    postgres = store.engine
    operator = home.stands.postgres
    assert operator is not None, "check refuses a region that runs no PostgreSQL"
    storage = home.stands.storage[postgres.storage]
    wanted = postgres.resources
    first, second = buckets(home.placed, store.use)
    annotations = {**first.held.service_account_annotations, **second.held.service_account_annotations}
    if home.stands.object_store is not None:
        annotations |= home.stands.object_store.service_account_annotations
    strict = postgres.is_synchronous and len(home.region.zones) > 1
    spec: JsonObject = {
        "imageName": postgres.image or operator.image,
        "instances": postgres.instances,
        "bootstrap": _bootstrap(home, store),
        **_topology(home, store),
        "postgresql": _postgresql(postgres, store),
        "storage": _volume(postgres.size, postgres.storage),
        **({"walStorage": _volume(postgres.wal_size, postgres.storage)} if postgres.wal_size else {}),
        "resources": resources_of(wanted),
        "priorityClassName": priority_class(store.owner.tier),
        "affinity": {
            "enablePodAntiAffinity": True,
            "podAntiAffinityType": "required",
            "topologyKey": "kubernetes.io/hostname",
            **placement(home.region.pools[storage.pool] if storage.pool is not None else None),
        },
        "topologySpreadConstraints": [zones({CLUSTER: store.name, _ROLE: "instance"}, strict=strict)],
        "enableSuperuserAccess": False,
        "primaryUpdateMethod": "switchover",
        "primaryUpdateStrategy": "unsupervised",
        "smartShutdownTimeout": _SMART_SECONDS,
        # By force after a while, where a second machine has every commit; elsewhere haste would lose some.
        **({"switchoverDelay": postgres.rto_seconds} if postgres.is_synchronous else {}),
        "plugins": [
            {"name": PLUGIN, "isWALArchiver": True, "parameters": _archives(home, store, home.name)},
        ],
        **({"managed": {"roles": shared}} if (shared := _roles(home, store)) else {}),
        "inheritedMetadata": {"labels": home.inherited(store)},
        **({"serviceAccountTemplate": {"metadata": {"annotations": annotations}}} if annotations else {}),
    }
    promised = {"rpo-seconds": postgres.rpo_seconds, "rto-seconds": postgres.rto_seconds}
    said = {f"croupier.dev/{name}": str(value) for name, value in promised.items()}
    return home.made(store, API, "Cluster", store.name, spec, **KEPT, **said)


def _volume(amount: str, storage: str) -> JsonObject:
    return {"size": amount, "storageClass": storage}


def _bootstrap(home: Home, store: Store[Postgres]) -> JsonObject:
    owned = {"database": store.role, "owner": store.role, "secret": {"name": store.secret(store.owner.name)}}
    if home.is_primary(store.use):
        return {"initdb": {**owned, "dataChecksums": True}}
    return {"recovery": {"source": home.placed.cell.region, **owned}}


def _topology(home: Home, store: Store[Postgres]) -> JsonObject:
    """Nothing where there is one region only."""
    primary = home.placed.cell.region
    copies = [each for each in store.use.copies if each != primary]
    if not copies:
        return {}
    source = primary if home.name != primary else store.use.dr or copies[0]
    ends = [
        {"name": each, "plugin": {"name": PLUGIN, "parameters": _archives(home, store, each)}}
        for each in (primary, *copies)
    ]
    return {"replica": {"self": home.name, "primary": primary, "source": source}, "externalClusters": ends}


def _postgresql(postgres: Postgres, store: Store[Postgres]) -> JsonObject:
    parameters = {
        **postgres.parameters,
        "archive_timeout": f"{postgres.archive_seconds}s",
        "max_connections": str(store.engine.max_connections(store.users.values())),
        "shared_buffers": f"{int(size(postgres.resources.memory)) // _MEBIBYTE // _SHARED}MB",
    }
    made: dict[str, Any] = {"parameters": dict(sorted(parameters.items())), "pg_hba": ["hostnossl all all all reject"]}
    if postgres.is_synchronous:
        made["synchronous"] = {"method": "any", "number": 1, "dataDurability": "required", "failoverQuorum": True}
    return made


def _roles(home: Home, store: Store[Postgres]) -> list[JsonObject]:
    """A user for each service that shares it, with no more connections than its own, so that none starves the owner."""
    return [
        {
            "name": role_of(name),
            "ensure": "present",
            "login": True,
            "inRoles": [store.role],
            "passwordSecret": {"name": store.secret(name)},
            **({} if store.engine.pooler else {"connectionLimit": asked.connections}),
        }
        for name, asked in sorted(store.users.items())
        if name != store.owner.name
    ]


def _scheduled(home: Home, store: Store[Postgres]) -> JsonObject:
    spec = {
        "schedule": f"0 {store.engine.backup_schedule}",  # seconds first
        "immediate": True,
        "backupOwnerReference": "none",  # what is kept outlives the cluster that it is of
        "cluster": {"name": store.name},
        "method": "plugin",
        "pluginConfiguration": {"name": PLUGIN},
    }
    return home.made(store, API, "ScheduledBackup", store.name, spec)


def _pooler(home: Home, store: Store[Postgres]) -> list[JsonObject]:
    pooler, name = store.engine.pooler, pooler_of(store)
    if pooler is None or name is None:
        return []
    wanted = pooler.resources
    labels = {POOLER: name}
    spread = zones(dict(labels), strict=False)
    container = {
        "name": "pgbouncer",
        "resources": resources_of(wanted),
    }
    template = {
        "metadata": {"labels": home.inherited(store)},
        "spec": {
            "containers": [container],
            "priorityClassName": priority_class(store.owner.tier),
            "topologySpreadConstraints": [spread],
        },
    }
    spec = {
        "cluster": {"name": store.name},
        "instances": pooler.instances,
        "type": "rw",
        "pgbouncer": {"poolMode": pooler.mode, "parameters": _pgbouncer(pooler, store.users.values())},
        "template": template,
    }
    budget = {"maxUnavailable": 1, "selector": {"matchLabels": labels}}
    return [
        home.made(store, API, "Pooler", name, spec),
        home.made(store, "policy/v1", "PodDisruptionBudget", name, budget),
    ]


def _pgbouncer(pooler: Pooler, asked: Iterable[Demand]) -> dict[str, str]:
    """One instance may be away: the others take all clients. A pool is one user's, so the database's limit is said."""
    each = -(-total(asked) // (pooler.instances - 1))
    said = {
        "default_pool_size": pooler.size,
        "max_client_conn": each,
        "max_db_connections": pooler.size,
        **({"max_prepared_statements": _STATEMENTS} if pooler.mode == "transaction" else {}),
    }
    return {name: str(value) for name, value in said.items()}


def _doors(home: Home, store: Store[Postgres], reached: list[Bucket]) -> list[JsonObject]:
    operator = home.stands.postgres
    assert operator is not None, "check refuses a region that runs no PostgreSQL"
    instances = {
        "matchLabels": {CLUSTER: store.name},
        "matchExpressions": [{"key": POOLER, "operator": "DoesNotExist"}],
    }
    itself, users = {"podSelector": instances}, callers(home.placed, store)
    pooler = pooler_of(store)
    pooled = {"matchLabels": {POOLER: pooler}}
    spec = door(
        instances,
        [
            allowed("from", [{"podSelector": pooled}] if pooler else users, [POSTGRES_PORT]),
            allowed("from", [itself, within(operator.namespace)], [POSTGRES_PORT, _MANAGER]),
            *watchers(home, _METRICS),
        ],
        [allowed("to", [itself], [POSTGRES_PORT, _MANAGER]), api_servers(home.stands), *object_stores(reached)],
    )
    made = [home.made(store, NETWORK, "NetworkPolicy", store.name, spec)]
    if pooler:
        spec = door(
            pooled,
            [allowed("from", users, [POSTGRES_PORT]), *watchers(home, _POOLER_METRICS)],
            [allowed("to", [itself], [POSTGRES_PORT]), api_servers(home.stands)],
        )
        made.append(home.made(store, NETWORK, "NetworkPolicy", pooler, spec))
    return made


def _rules(home: Home, store: Store[Postgres]) -> list[JsonObject]:
    """Nothing where the region's Prometheus is not an operator's."""
    prometheus = home.region.prometheus
    if prometheus is None or prometheus.form != "operator" or not (groups := store_rules(home.placed, store)):
        return []
    rule = home.made(store, MONITORING, "PrometheusRule", store.name, {"groups": groups})
    rule["metadata"]["labels"] |= prometheus.labels
    return [rule]


def _watched(store: Store[Postgres]) -> dict[str, dict[str, str]]:
    """Name -> labels of the pods that are measured."""
    watched = {store.name: {CLUSTER: store.name, _ROLE: "instance"}}
    if pooler := pooler_of(store):
        watched[pooler] = {POOLER: pooler}
    return watched
