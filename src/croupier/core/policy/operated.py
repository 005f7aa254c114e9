"""Pods that operators make: no template of theirs is written, but what labels they will bear is known."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from croupier.core.policy.objects import Object, at, mapping, text

Labels = Mapping[str, str]


def _instance(each: Object) -> list[Labels]:
    return [{"cnpg.io/cluster": each.name, "cnpg.io/podRole": "instance"}]


def _pooler(each: Object) -> list[Labels]:
    cluster = text(at(each.spec, "cluster", "name"))
    return [{"cnpg.io/cluster": cluster, "cnpg.io/poolerName": each.name, "cnpg.io/podRole": "pooler"}]


def _redis_copies(each: Object) -> list[Labels]:
    return [{"app": each.name, "redis_setup_type": "replication", "role": "replication"}]


def _redis_sentinel(each: Object) -> list[Labels]:
    return [{"app": f"{each.name}-sentinel", "redis_setup_type": "sentinel", "role": "sentinel"}]


def _redis_shards(each: Object) -> list[Labels]:
    return [{"app": f"{each.name}-leader", "redis_setup_type": "cluster", "role": "leader", "cluster": each.name}]


def _mysql(each: Object) -> list[Labels]:
    """Nodes, what stands before them, what keeps their log, and pods that make a copy or bring it back."""
    whose = {"app.kubernetes.io/name": "percona-xtradb-cluster", "app.kubernetes.io/instance": each.name}
    parts = ["pxc", *(part for part in ("haproxy", "proxysql") if part in each.spec)]
    backup = mapping(each.spec.get("backup"))
    parts += ["pitr"] if at(backup, "pitr", "enabled") is True else []
    beside = {"percona.com/backup-type": "xtrabackup", "percona.com/cluster": each.name}
    return [
        *({**whose, "app.kubernetes.io/component": part} for part in parts),
        *([{**whose, **beside}, {**whose, "percona.com/restore-job-name": "restore"}] if backup else []),
    ]


def _kafka(each: Object) -> list[Labels]:
    beside = {"entityOperator": "entity-operator", "kafkaExporter": "kafka-exporter", "cruiseControl": "cruise-control"}
    parts = ["kafka", *(part for key, part in beside.items() if key in each.spec)]
    return [{"strimzi.io/cluster": each.name, "strimzi.io/name": f"{each.name}-{part}"} for part in parts]


LABELS: Mapping[tuple[str, str], Callable[[Object], Sequence[Labels]]] = {
    ("postgresql.cnpg.io", "Cluster"): _instance,
    ("postgresql.cnpg.io", "Pooler"): _pooler,
    ("kafka.strimzi.io", "Kafka"): _kafka,
    ("pxc.percona.com", "PerconaXtraDBCluster"): _mysql,
    ("redis.redis.opstreelabs.in", "RedisReplication"): _redis_copies,
    ("redis.redis.opstreelabs.in", "RedisSentinel"): _redis_sentinel,
    ("redis.redis.opstreelabs.in", "RedisCluster"): _redis_shards,
}
"""(group, kind) -> labels of the pods that its operator makes for it, kind of pod by kind."""


def labels_of(each: Object) -> Sequence[Labels]:
    """Empty: no operator is known to make pods for it."""
    made = LABELS.get((each.group, each.kind))
    return made(each) if made is not None else ()
