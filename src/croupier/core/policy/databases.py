"""Where data is kept: copies that nothing is lost with, storage and nodes that the wallet shares with nobody
(S7.1, S7.4, S7.8). Of CloudNativePG, Zalando's and Crunchy's PostgreSQL, Percona's MySQL, Strimzi's Kafka.

How much may be lost is declared: ``croupier.dev/rpo-seconds`` on the object, or ``tier: money``, which may lose
nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from croupier.core.policy.facts import PREFIX, seconds
from croupier.core.policy.objects import Object, at, items, listed, mapping, text
from croupier.core.policy.quantities import number, whole
from croupier.core.policy.rule import Found, Hit, Level, bundle_rule, object_rule
from croupier.core.policy.world import World
from croupier.model.manifest import Path

RPO = f"{PREFIX}rpo-seconds"
CNPG, ZALANDO, CRUNCHY, GALERA, KAFKA = (
    "postgresql.cnpg.io",
    "acid.zalan.do",
    "postgres-operator.crunchydata.com",
    "pxc.percona.com",
    "kafka.strimzi.io",
)
KINDS = {(CNPG, "Cluster"), (ZALANDO, "postgresql"), (CRUNCHY, "PostgresCluster")}
_XTRADB = (GALERA, "PerconaXtraDBCluster")
LEAST_COPIES = 3
_WALLET = re.compile(r"(^|[-.])(wallet|ledger)s?($|[-.])")
WALLET = (
    "{apiVersion: postgresql.cnpg.io/v1, kind: Cluster, metadata: {name: %s, labels: {tier: %s}}, spec: {instances: 3, "
    "storage: {size: 10Gi, storageClass: %s}, affinity: {nodeSelector: {disk: %s}}%s}}"
)
REPORTS = "\n---\n" + WALLET % ("reports", "batch", "fast", "data", "")
SYNCHRONOUS = ", postgresql: {synchronous: {method: any, number: 1}}"


def _tier(each: Object) -> str:
    return text(each.labels.get("tier")) or text(each.labels.get(f"{PREFIX}tier"))


def loses_nothing(each: Object) -> bool:
    """Whether somebody declared that no committed write may be lost."""
    declared = seconds(each.annotations.get(RPO))
    return _tier(each) == "money" if declared is None else declared == 0


@object_rule(
    "database-replication", "A committed write is on two machines", level=Level.ERROR, source="S7.1, S7.4",
    why="A bet that was confirmed to the player is gone with the disk of one machine: in money, that is a complaint "
    "and a report to the regulator.",
    fix=f"Replicate synchronously within the zone where nothing may be lost (tier: money, or {RPO}: '0'); give Kafka "
    "three replicas, of which two have to answer.",
    kinds=("Cluster", "postgresql", "PostgresCluster", "Kafka", "KafkaTopic"),
    bad=WALLET % ("wallet", "money", "fast", "wallet", ""),
    good=WALLET % ("wallet", "money", "fast", "wallet", SYNCHRONOUS),
)  # fmt: skip
def database_replication(each: Object) -> Iterator[Hit]:
    if each.group == KAFKA:
        yield from _kafka(each)
        return
    if (each.group, each.kind) not in KINDS:
        return
    declared = each.annotations.get(RPO)
    if declared is not None and seconds(declared) is None:
        yield Hit(("metadata", "annotations", RPO), f"{RPO} is no number of seconds")
    path, waits = _synchronous(each)
    if loses_nothing(each) and not waits:
        yield Hit(path, "nothing may be lost, and a write is confirmed before a second machine has it")
    elif loses_nothing(each) and at(each.spec, "postgresql", "synchronous", "dataDurability") == "preferred":
        said = "dataDurability: preferred confirms writes that no second machine has"
        yield Hit(("spec", "postgresql", "synchronous", "dataDurability"), said)
    if each.group == CNPG and at(each.spec, "replica", "enabled") is True:
        for key in ("standbyNamesPre", "standbyNamesPost"):
            if listed(at(each.spec, "postgresql", "synchronous", key)):
                said = (
                    "the copy of another region waits for a third machine: between regions replication is asynchronous"
                )
                yield Hit(("spec", "postgresql", "synchronous", key), said)


def is_synchronous(each: Object) -> bool:
    """Whether a commit waits until a second machine has it: in a group of Galera that has one, always."""
    if (each.group, each.kind) == _XTRADB:
        return (whole(at(each.spec, "pxc", "size")) or 0) > 1
    return (each.group, each.kind) in KINDS and _synchronous(each)[1]


def _synchronous(each: Object) -> tuple[Path, bool]:
    """Where it is written that a commit waits for a standby, and whether it does."""
    if each.group == CNPG:
        held = mapping(at(each.spec, "postgresql", "synchronous"))
        least = whole(each.spec.get("minSyncReplicas")) or 0
        return ("spec", "postgresql", "synchronous"), (number(held.get("number")) or 0) > 0 or least > 0
    path = ("spec", "patroni") if each.group == ZALANDO else ("spec", "patroni", "dynamicConfiguration")
    return path, at(each.value, *path, "synchronous_mode") is True


def _kafka(each: Object) -> Iterator[Hit]:
    if each.kind == "KafkaTopic":
        copies, answered = whole(each.spec.get("replicas")), number(at(each.spec, "config", "min.insync.replicas"))
        if copies is not None and copies < LEAST_COPIES:
            yield Hit(
                ("spec", "replicas"), f"{copies} copies: with one machine down nothing can be written, or it is lost"
            )
        if copies is not None and answered is not None and copies >= LEAST_COPIES and not 2 <= answered < copies:
            yield Hit(("spec", "config", "min.insync.replicas"), f"{answered} of {copies} copies have to answer")
        return
    if type(at(each.spec, "kafka")) is not dict:
        return
    path = ("spec", "kafka", "config")
    config = mapping(at(each.spec, "kafka", "config"))
    for key, least in (("default.replication.factor", LEAST_COPIES), ("min.insync.replicas", 2)):
        held = number(config.get(key))
        if (1 if held is None else held) < least:
            yield Hit(
                (*path, key) if held is not None else path, f"{key} is {held or 'not set (1)'}, {least} are needed"
            )


class Store(NamedTuple):
    """Where one database or stateful workload keeps its data, and on which nodes it runs."""

    made_by: Object
    storage: tuple[Path, str]
    nodes: tuple[Path, frozenset[tuple[str, str]]]


def _stores(world: World) -> Iterator[Store]:
    for each in world.of("Cluster", "postgresql", "PostgresCluster", "PerconaXtraDBCluster", "StatefulSet"):
        if each.kind == "StatefulSet":
            for index, claim in items(each.spec.get("volumeClaimTemplates")):
                place: Path = ("spec", "volumeClaimTemplates", index, "spec", "storageClassName")
                selector = _pairs(at(each.spec, "template", "spec", "nodeSelector"))
                nodes = (("spec", "template", "spec", "nodeSelector"), selector)
                yield Store(each, (place, text(at(claim, "spec", "storageClassName"))), nodes)
                break
        elif (each.group, each.kind) in {*KINDS, _XTRADB}:
            yield Store(each, *_of_operator(each))


def _of_operator(each: Object) -> tuple[tuple[Path, str], tuple[Path, frozenset[tuple[str, str]]]]:
    storage: Path
    where: Path
    if each.group == CNPG:
        storage, where = ("spec", "storage", "storageClass"), ("spec", "affinity", "nodeSelector")
        return (storage, text(at(each.value, *storage))), (where, _pairs(at(each.value, *where)))
    if each.group == GALERA:
        storage = ("spec", "pxc", "volumeSpec", "persistentVolumeClaim", "storageClassName")
        where = ("spec", "pxc", "nodeSelector")
        return (storage, text(at(each.value, *storage))), (where, _pairs(at(each.value, *where)))
    if each.group == ZALANDO:
        storage, where = ("spec", "volume", "storageClass"), ("spec", "nodeAffinity")
        return (storage, text(at(each.value, *storage))), (where, _required(at(each.value, *where)))
    first = next((held for _, held in items(each.spec.get("instances"))), {})
    place: Path = ("spec", "instances", 0, "dataVolumeClaimSpec", "storageClassName")
    nodes = _required(at(first, "affinity", "nodeAffinity"))
    return (place, text(at(first, "dataVolumeClaimSpec", "storageClassName"))), (
        ("spec", "instances", 0, "affinity"),
        nodes,
    )


def _pairs(selector: Any) -> frozenset[tuple[str, str]]:
    return frozenset((key, text(value)) for key, value in mapping(selector).items())


def _required(affinity: Any) -> frozenset[tuple[str, str]]:
    """What a node affinity insists on, where it is one term."""
    terms = listed(at(affinity, "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms"))
    wanted = items(at(terms[0], "matchExpressions")) if len(terms) == 1 else ()
    return frozenset(
        (text(each.get("key")), text(value))
        for _, each in wanted
        if each.get("operator") == "In"
        for value in listed(each.get("values"))
    )


def _is_wallet(each: Object) -> bool:
    return bool(_WALLET.search(each.name)) or (_tier(each) == "money" and each.kind != "StatefulSet")


@bundle_rule(
    "wallet-storage", "The wallet has a storage class and nodes of its own", level=Level.ERROR, source="S7.8",
    why="A report that scans its tables on the same disks and nodes makes every bet wait.",
    fix="Name a StorageClass and a nodeSelector that nothing but money uses.",
    bad=WALLET % ("wallet", "money", "fast", "data", "") + REPORTS,
    good=WALLET % ("wallet", "money", "wallet", "wallet", "") + REPORTS,
)  # fmt: skip
def wallet_storage(world: World) -> Iterator[Found]:
    stores = list(_stores(world))
    others = [each for each in stores if not _is_wallet(each.made_by)]
    for each in stores:
        if not _is_wallet(each.made_by):
            continue
        (at_storage, storage), (at_nodes, nodes) = each.storage, each.nodes
        shared = [other.made_by.manifest.name for other in others if storage and other.storage[1] == storage]
        if not storage:
            yield Found(each.made_by, at_storage, "no storage class is named: it shares that of everybody")
        elif shared:
            yield Found(each.made_by, at_storage, f"{shared[0]} keeps its data on {storage}, too")
        near = [other.made_by.manifest.name for other in others if nodes and other.nodes[1] == nodes]
        if not nodes:
            yield Found(each.made_by, at_nodes, "it is sent to no nodes of its own")
        elif near:
            yield Found(each.made_by, at_nodes, f"{near[0]} is sent to the same nodes")


ARCHIVED = (
    "{apiVersion: postgresql.cnpg.io/v1, kind: Cluster, metadata: {name: wallet}, spec: {instances: 3, backup: "
    "{retentionPolicy: 30d, barmanObjectStore: {destinationPath: 's3://backups/wallet'}}}}"
)
NIGHTLY = (
    "\n---\n{apiVersion: postgresql.cnpg.io/v1, kind: ScheduledBackup, metadata: {name: nightly}, spec: {schedule: "
    "'0 0 2 * * *', cluster: {name: wallet}}}"
)


@bundle_rule(
    "base-backup", "A database that archives its log has backups to begin from", level=Level.ERROR,
    source="S7.2, S7.3",
    why="A log without the state before it brings nothing back.",
    fix="Add a ScheduledBackup for the Cluster.",
    bad=ARCHIVED, good=ARCHIVED + NIGHTLY,
)  # fmt: skip
def base_backup(world: World) -> Iterator[Found]:
    planned = {
        (each.namespace, text(at(each.spec, "cluster", "name")))
        for each in world.of("ScheduledBackup")
        if each.group == CNPG and each.spec.get("suspend") is not True and text(each.spec.get("schedule"))
    }
    for each in world.of("Cluster"):
        is_archived = mapping(each.spec.get("backup")) or any(
            plugin.get("isWALArchiver") is True for _, plugin in items(each.spec.get("plugins"))
        )
        if each.group == CNPG and is_archived and (each.namespace, each.name) not in planned:
            yield Found(each, ("spec", "backup"), f"no ScheduledBackup backs up {each.name}")


RULES = (database_replication, wallet_storage, base_backup)
