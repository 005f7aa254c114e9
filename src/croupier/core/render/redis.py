"""Redis by redis-operator 0.23 (redis.redis.opstreelabs.in/v1beta2), with Sentinel or as a Cluster (S7.1).

The operator runs with its feature ``GenerateConfigInInitContainer``: only then may the file system of a pod be
read-only, and any image of Redis will do. Pods have what they were started with: another configuration is another
ConfigMap, so they roll; another password is theirs after a restart.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence

from croupier.core.render.names import priority_class
from croupier.core.render.peers import allowed, door, within
from croupier.core.render.placement import placement
from croupier.core.render.pods import hardened, resources_of
from croupier.core.render.redis_watch import COPIED, store_rules
from croupier.core.render.store import (
    KEPT,
    MONITORING,
    NETWORK,
    Home,
    callers,
    pod_monitors,
    secret_of,
    watchers,
    zones,
)
from croupier.model.container import Resources
from croupier.model.objects import JsonObject
from croupier.model.redis import REDIS_PORT, SENTINEL_PORT, Redis
from croupier.model.store import Store, role_of

API = "redis.redis.opstreelabs.in/v1beta2"
METRICS_PORT = "redis-exporter"
MASTER = "mymaster"
"""What sentinels call the primary."""
_BUS, _METRICS = REDIS_PORT + 10_000, 9121
_USER = 999
"""Of the official image."""
_GRACE_SECONDS = 60
_SENTINELS = 3
_SENTINEL = Resources(cpu="50m", memory="64Mi")
_EXPORTER = resources_of(Resources(cpu="20m", memory="64Mi"))
_NODES = "1Gi"
"""Of the volume on which an instance of a cluster keeps who else is in it: the least that many drivers make."""
_RIGHTS = "~* &* +@all -@admin -@dangerous +info +role"
"""Of who shares a store: all of the data, and nothing of the server."""
_RETAINED = {"whenDeleted": "Retain", "whenScaled": "Retain"}


def database(home: Home, store: Store[Redis]) -> list[JsonObject]:
    """All that one store is in its region."""
    account = home.made(store, "v1", "ServiceAccount", store.name, {})
    del account["spec"]
    return [
        {**account, "automountServiceAccountToken": False},
        _configuration(home, store),
        *_users(home, store),
        *(_sentinel(home, store) if store.engine.mode == "sentinel" else _cluster(home, store)),
        *_doors(home, store),
        *_monitors(home, store),
    ]


def told(store: Store[Redis], service: str, namespace: str) -> dict[str, str]:
    """End of a variable -> what pods are told by it."""
    said = {
        "HOST": f"{store.name}-master.{namespace}",
        "PORT": str(REDIS_PORT),
        "MODE": store.engine.mode,
        "POOL_SIZE": str(store.shares[service].connections),
    }
    if store.engine.mode == "sentinel":
        said |= {"SENTINELS": f"{store.name}-sentinel.{namespace}:{SENTINEL_PORT}", "SENTINEL_MASTER": MASTER}
    return said


def reached(store: Store[Redis]) -> Iterator[tuple[Mapping[str, str], Sequence[int]]]:
    """Labels of the pods that users connect to, and by which ports."""
    for end, labels in _workloads(store).items():
        yield labels, [SENTINEL_PORT if end == "-sentinel" else REDIS_PORT]


def labels_of(name: str, kind: str, role: str) -> dict[str, str]:
    """Of the pods that redis-operator makes for what is called ``name``."""
    return {"app": name, "redis_setup_type": kind, "role": role}


def _workloads(store: Store[Redis]) -> dict[str, dict[str, str]]:
    """End of a StatefulSet's name -> labels of its pods."""
    if store.engine.mode == "sentinel":
        roles = {"": ("replication", "replication"), "-sentinel": ("sentinel", "sentinel")}
    else:
        roles = {"-leader": ("cluster", "leader"), "-follower": ("cluster", "follower")}
    return {end: labels_of(f"{store.name}{end}", *role) for end, role in roles.items()}


def _image(home: Home, store: Store[Redis]) -> str:
    operator = home.stands.redis
    assert operator is not None, "check refuses a region that runs no Redis"
    return store.engine.image or operator.image


def _exporter(home: Home) -> JsonObject:
    """Nothing where the region names no image for it."""
    image = home.stands.redis.exporter if home.stands.redis else None
    if image is None:
        return {}
    made = {"enabled": True, "image": image, "port": _METRICS, "resources": _EXPORTER, "securityContext": hardened()}
    return {"redisExporter": made}


def _configuration(home: Home, store: Store[Redis]) -> JsonObject:
    """Read after what the operator writes, so it has the last word."""
    text = "".join(f"{line}\n" for line in _lines(store))
    name = _configured(store)
    made = home.made(store, "v1", "ConfigMap", name, {})
    del made["spec"]
    return {**made, "immutable": True, "data": {"redis-additional.conf": text}}


def _configured(store: Store[Redis]) -> str:
    text = "\n".join(_lines(store))
    return f"{store.name}-config-{hashlib.sha256(text.encode()).hexdigest()[:10]}"


def _lines(store: Store[Redis]) -> Iterator[str]:
    redis = store.engine
    yield f"maxmemory {redis.most_memory}"
    yield f"maxmemory-policy {redis.policy}"
    yield f"maxclients {redis.max_clients(store.users.values())}"
    if redis.is_cache:
        yield "appendonly no"
        yield 'save ""'
        return
    yield "appendonly yes"
    yield f"appendfsync {redis.fsync}"
    # A primary that is cut off from its copies takes no writes that nobody else would have.
    yield "min-replicas-to-write 1"
    yield f"min-replicas-max-lag {max(2, redis.rto_seconds // 4)}"


def _users(home: Home, store: Store[Redis]) -> list[JsonObject]:
    """Who may log in, as Redis reads it, with digests of passwords; and what the operator logs in by (S5.4, S10.6)."""
    remotes = {
        service.name: remote
        for service in home.placed.services
        if service.name in store.users and (remote := service.data[store.name].credentials)
    }
    owner = remotes.pop(store.owner.name, "")
    entries = {"password": (owner, "password")}
    entries |= {f"of_{role_of(name)}": (remote, "password") for name, remote in sorted(remotes.items())}
    rules = [f"user default on #{_digest('password')} ~* &* +@all"]
    rules += [f"user {role_of(name)} on #{_digest(f'of_{role_of(name)}')} {_RIGHTS}" for name in sorted(remotes)]
    data = {"password": "{{ .password }}", "user.acl": "".join(f"{rule}\n" for rule in rules)}
    if store.engine.mode == "sentinel":
        entries["sentinelPassword"] = (owner, "sentinelPassword")
        data["sentinelPassword"] = "{{ .sentinelPassword }}"
    return secret_of(home, store, f"{store.name}-users", entries, {"data": data})


def _digest(key: str) -> str:
    return "{{ ." + key + " | sha256sum }}"


def _login(store: Store[Redis], key: str) -> JsonObject:
    return {"redisSecret": {"name": f"{store.name}-users", "key": key}}


def _common(home: Home, store: Store[Redis], login: JsonObject, wanted: Resources) -> JsonObject:
    """Of both kinds that hold data, and of sentinels."""
    image = _image(home, store)
    return {
        "kubernetesConfig": {
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "resources": resources_of(wanted),
            "persistentVolumeClaimRetentionPolicy": dict(_RETAINED),
            **login,
        },
        **_exporter(home),
        # Not run; but the container that writes the configuration has its security context.
        "initContainer": {"enabled": False, "image": image, "securityContext": hardened()},
        "podSecurityContext": {
            "runAsNonRoot": True,
            "runAsUser": _USER,
            "runAsGroup": _USER,
            "fsGroup": _USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "priorityClassName": priority_class(store.owner.tier),
        "serviceAccountName": store.name,
    }


def _placed(home: Home, store: Store[Redis], labels: Mapping[str, str]) -> JsonObject:
    """Apart from each other, on the nodes of the store; one at a time may be taken away."""
    pool = home.stands.storage[store.engine.storage].pool
    strict = not store.engine.is_cache and len(home.region.zones) > 1
    machine = "kubernetes.io/hostname"
    apart: JsonObject = {"labelSelector": {"matchLabels": dict(labels)}, "topologyKey": machine}
    rules: JsonObject = {"requiredDuringSchedulingIgnoredDuringExecution": [apart]}
    if store.engine.mode == "cluster":
        # Leaders from followers too, where there are machines: a shard's may be any two, and they change places.
        others = {"labelSelector": {"matchLabels": {"cluster": store.name}}, "topologyKey": machine}
        rules["preferredDuringSchedulingIgnoredDuringExecution"] = [{"weight": 100, "podAffinityTerm": others}]
    return {
        "affinity": {"podAntiAffinity": rules},
        "topologySpreadConstraints": [zones(dict(labels), strict=strict)],
        **placement(home.region.pools[pool] if pool is not None else None),
        "pdb": {"enabled": True, "maxUnavailable": 1},
        "securityContext": hardened(),
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
    }


def _claim(storage: str, amount: str) -> JsonObject:
    wanted = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": amount}}}
    return {"spec": {**wanted, "storageClassName": storage}}


def _sentinel(home: Home, store: Store[Redis]) -> list[JsonObject]:
    redis, workloads = store.engine, _workloads(store)
    replication = {
        "clusterSize": redis.instances,
        **_common(home, store, _login(store, "password"), redis.resources),
        **_placed(home, store, workloads[""]),
        "redisConfig": {"additionalRedisConfig": _configured(store)},
        "acl": {"secret": {"secretName": f"{store.name}-users"}},
        "storage": {"keepAfterDelete": True, "volumeClaimTemplate": _claim(redis.storage, redis.size)},
    }
    password = {"secretKeyRef": {"name": f"{store.name}-users", "key": "password"}}
    watched = {
        "clusterSize": _SENTINELS,
        **_common(home, store, _login(store, "sentinelPassword"), _SENTINEL),
        **_placed(home, store, workloads["-sentinel"]),
        "redisSentinelConfig": {
            "redisReplicationName": store.name,
            "masterGroupName": MASTER,
            "redisPort": str(REDIS_PORT),
            "quorum": str(_SENTINELS // 2 + 1),
            "parallelSyncs": "1",
            "downAfterMilliseconds": str(redis.rto_seconds * 1000 // 4),
            "failoverTimeout": str(redis.rto_seconds * 1000),
            "redisReplicationPassword": password,
        },
    }
    return [
        home.made(store, API, "RedisReplication", store.name, replication, **KEPT),
        home.made(store, API, "RedisSentinel", store.name, watched, **KEPT),
    ]


def _cluster(home: Home, store: Store[Redis]) -> list[JsonObject]:
    redis, workloads = store.engine, _workloads(store)
    configured = {"redisConfig": {"additionalRedisConfig": _configured(store)}}
    copies = redis.primaries * (redis.instances - 1)
    spec = {
        "clusterSize": redis.primaries,
        "clusterVersion": "v7",
        "persistenceEnabled": True,
        **_common(home, store, _login(store, "password"), redis.resources),
        "redisLeader": {"replicas": redis.primaries, **configured, **_placed(home, store, workloads["-leader"])},
        "redisFollower": {"replicas": copies, **configured, **_placed(home, store, workloads["-follower"])},
        "acl": {"secret": {"secretName": f"{store.name}-users"}},
        "storage": {
            "keepAfterDelete": True,
            "volumeClaimTemplate": _claim(redis.storage, redis.size),
            "nodeConfVolume": True,
            "nodeConfVolumeClaimTemplate": _claim(redis.storage, _NODES),
        },
    }
    return [home.made(store, API, "RedisCluster", store.name, spec, **KEPT)]


def _doors(home: Home, store: Store[Redis]) -> list[JsonObject]:
    """Instances and sentinels each; of a cluster leaders and followers together, because they change places."""
    operator, users = home.stands.redis, callers(home.placed, store)
    assert operator is not None, "check refuses a region that runs no Redis"
    from_operator, measured = within(operator.namespace), watchers(home, _METRICS)
    workloads = {end: {"podSelector": {"matchLabels": labels}} for end, labels in _workloads(store).items()}
    if store.engine.mode == "cluster":
        names = [labels["app"] for labels in _workloads(store).values()]
        chosen = {"matchExpressions": [{"key": "app", "operator": "In", "values": names}]}
        itself = {"podSelector": chosen}
        spec = door(
            chosen,
            [
                allowed("from", [*users, from_operator], [REDIS_PORT]),
                allowed("from", [itself], [REDIS_PORT, _BUS]),
                *measured,
            ],
            [allowed("to", [itself], [REDIS_PORT, _BUS])],
        )
        return [home.made(store, NETWORK, "NetworkPolicy", store.name, spec)]
    instances, sentinels = workloads[""], workloads["-sentinel"]
    of_instances = door(
        instances["podSelector"],
        [allowed("from", [*users, instances, sentinels, from_operator], [REDIS_PORT]), *measured],
        [allowed("to", [instances], [REDIS_PORT])],
    )
    of_sentinels = door(
        sentinels["podSelector"],
        [allowed("from", [*users, sentinels, from_operator], [SENTINEL_PORT]), *measured],
        [allowed("to", [instances], [REDIS_PORT]), allowed("to", [sentinels], [SENTINEL_PORT])],
    )
    return [
        home.made(store, NETWORK, "NetworkPolicy", store.name, of_instances),
        home.made(store, NETWORK, "NetworkPolicy", f"{store.name}-sentinel", of_sentinels),
    ]


def _monitors(home: Home, store: Store[Redis]) -> list[JsonObject]:
    """Nothing where nobody counts, or the region's Prometheus is not an operator's."""
    prometheus = home.region.prometheus
    if not _exporter(home) or prometheus is None or prometheus.form != "operator":
        return []
    watched = {f"{store.name}{end}": labels for end, labels in _workloads(store).items()}
    made = pod_monitors(home, store, watched, METRICS_PORT, COPIED)
    if groups := store_rules(home.placed, store):
        rule = home.made(store, MONITORING, "PrometheusRule", store.name, {"groups": groups})
        rule["metadata"]["labels"] |= prometheus.labels
        made.append(rule)
    return made
