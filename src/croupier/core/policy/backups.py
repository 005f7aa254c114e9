"""Backups of databases: a way back to any moment, as far as is promised, that nobody can read on the way (S7.2, S7.3,
S15.8; policy N24).

Of CloudNativePG with what archives in it or by its plugin, Zalando's and Crunchy's PostgreSQL, Percona's PostgreSQL,
MySQL and MongoDB; of each only what its fields say. How far back is declared on the database:
``croupier.dev/restore-days``; how much may be lost: ``croupier.dev/rpo-seconds``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from croupier.core.policy.databases import CNPG, CRUNCHY, GALERA, RPO, ZALANDO, is_synchronous
from croupier.core.policy.facts import PREFIX, seconds
from croupier.core.policy.objects import Object, at, items, mapping, text
from croupier.core.policy.quantities import number
from croupier.core.policy.rule import Found, Level, bundle_rule
from croupier.core.policy.world import World
from croupier.model.cron import reached_days
from croupier.model.manifest import Path

RESTORE = f"{PREFIX}restore-days"
PERCONA_PG, PERCONA_MYSQL, PERCONA_MONGO = "pgv2.percona.com", GALERA, "psmdb.percona.com"
_DAY = 86_400
_WINDOW = re.compile(r"([1-9][0-9]{0,5})([dwm])")
_DAYS = {"d": 1, "w": 7, "m": 30}
_PERIOD = re.compile(r"([1-9][0-9]{0,8})(ms|s|min|h|d)?")
_SECONDS = {"ms": 0.001, "s": 1, "min": 60, "h": 3600, "d": _DAY}
_CNPG_ARCHIVES = 300.0
STORE = (
    "{apiVersion: postgresql.cnpg.io/v1, kind: Cluster, metadata: {name: wallet, annotations: "
    "{croupier.dev/restore-days: '30'}}, spec: {instances: 3, plugins: [{name: barman-cloud.cloudnative-pg.io, "
    "isWALArchiver: true, parameters: {barmanObjectName: wallet}}]}}\n---\n{apiVersion: barmancloud.cnpg.io/v1, kind: "
    "ObjectStore, metadata: {name: wallet}, spec: {%sconfiguration: {destinationPath: 's3://backups/wallet'%s}}}"
)
CIPHERS = ", data: {encryption: AES256}, wal: {encryption: AES256}"


class Backups(NamedTuple):
    """What is written of the backups of one database. None: its fields do not say.

    ``kept``: days back that can surely be reached; infinite where nothing is ever deleted. ``where``: the object and
    path that bound them. ``lag``: seconds of work that are in no archive yet.
    """

    database: Object
    where: tuple[Object, Path]
    has_log: bool | None = None
    has_base: bool | None = None
    kept: float | None = None
    is_bounded: bool = True
    lag: float | None = None
    is_encrypted: bool | None = None


def backups(world: World) -> Iterator[Backups]:
    """Those of each database that is known."""
    for each in world.of("Cluster"):
        if each.group == CNPG:
            yield _cnpg(world, each)
    for (group, kind), read in _READERS.items():
        yield from (read(each) for each in world.of(kind) if each.group == group)


def _cnpg(world: World, each: Object) -> Backups:
    """Its log and its base backups are asked for by ``database-backup`` and ``base-backup``."""
    backup = mapping(each.spec.get("backup"))
    held = mapping(backup.get("barmanObjectStore"))
    where: tuple[Object, Path] = each, ("spec", "backup", "retentionPolicy")
    window, is_written = backup.get("retentionPolicy"), bool(held)
    for _, plugin in items(each.spec.get("plugins")):
        if plugin.get("isWALArchiver") is True and plugin.get("enabled") is not False:
            name = text(at(plugin, "parameters", "barmanObjectName"))
            store = world.named("ObjectStore", each.namespace, name)
            if store is None:
                return Backups(each, where, is_bounded=False)
            held, where = mapping(store.spec.get("configuration")), (store, ("spec", "retentionPolicy"))
            window, is_written = store.spec.get("retentionPolicy"), True
    found = _WINDOW.fullmatch(text(window))
    timeout = at(each.spec, "postgresql", "parameters", "archive_timeout")
    return Backups(
        each,
        where,
        kept=int(found[1]) * _DAYS[found[2]] if found else None,
        is_bounded=is_written,
        lag=_period(timeout) if timeout is not None else _CNPG_ARCHIVES,
        is_encrypted=all(text(at(held, part, "encryption")) for part in ("data", "wal"))
        if text(held.get("destinationPath")).startswith("s3://")
        else None,
    )


def _zalando(each: Object) -> Backups:
    """What its own variables say; the rest is said to its operator."""
    said = {text(held.get("name")): text(held.get("value")) for _, held in items(each.spec.get("env"))}
    count = number(said.get("BACKUP_NUM_TO_RETAIN"))
    return Backups(
        each,
        (each, ("spec", "env")),
        has_log=False if said.get("USE_WALG_BACKUP") == "false" else None,
        kept=reached_days(said.get("BACKUP_SCHEDULE", ""), count) if count is not None else None,
        is_bounded=False,
        is_encrypted=False if said.get("WALG_DISABLE_S3_SSE") == "true" else None,
    )


def _pgbackrest(each: Object) -> Backups:
    """It archives the log of itself, and keeps all base backups where nothing else is written."""
    path: Path = ("spec", "backups", "pgbackrest")
    held = mapping(at(each.value, *map(str, path)))
    config = mapping(held.get("global"))
    repos = [repo for _, repo in items(held.get("repos"))]
    is_on = bool(repos) and at(each.spec, "backups", "enabled") is not False
    kept, planned, encrypted = 0.0, False, []
    for repo in repos:
        name = text(repo.get("name"))
        schedule = text(at(repo, "schedules", "full"))
        planned = planned or bool(schedule)
        count = number(config.get(f"{name}-retention-full"))
        is_time = config.get(f"{name}-retention-full-type") == "time"
        most = math.inf if count is None else float(count) if is_time else reached_days(schedule, count)
        kept = max(kept, math.inf if most is None else most)
        if "s3" in repo:
            cipher = text(config.get(f"{name}-cipher-type")) not in ("", "none")
            encrypted.append(cipher or bool(config.get(f"{name}-s3-kms-key-id")))
    return Backups(
        each,
        (each, (*path, "global")),
        has_log=is_on,
        has_base=planned and is_on,
        kept=kept if repos else None,
        is_bounded=False,
        is_encrypted=all(encrypted) if encrypted else None,
    )


def _percona(each: Object) -> Backups:
    is_mysql = each.group == PERCONA_MYSQL
    path: Path = ("spec", "backup", "schedule" if is_mysql else "tasks")
    backup = mapping(each.spec.get("backup"))
    is_on = bool(backup) and (is_mysql or backup.get("enabled") is True)
    planned = [
        task
        for _, task in items(backup.get(str(path[-1])))
        if task.get("enabled") is not False and task.get("schedule")
    ]
    kept = 0.0
    for task in planned:
        count = number(at(task, "retention", "count"))
        count = number(task.get("keep")) if count is None else count
        most = reached_days(text(task.get("schedule")), count) if count else math.inf
        kept = max(kept, math.inf if most is None else most)
    pitr = mapping(backup.get("pitr"))
    lag = seconds(pitr.get("timeBetweenUploads")) if is_mysql else None
    has_log = is_on and pitr.get("enabled") is True
    return Backups(
        each,
        (each, path),
        has_log=has_log,
        has_base=is_on and bool(planned),
        kept=kept if planned else None,
        is_bounded=False,
        lag=(60.0 if lag is None else lag) if is_mysql and has_log else None,
    )


_READERS: Mapping[tuple[str, str], Callable[[Object], Backups]] = {
    (ZALANDO, "postgresql"): _zalando,
    (CRUNCHY, "PostgresCluster"): _pgbackrest,
    (PERCONA_PG, "PerconaPGCluster"): _pgbackrest,
    (PERCONA_MYSQL, "PerconaXtraDBCluster"): _percona,
    (PERCONA_MONGO, "PerconaServerMongoDB"): _percona,
}


def _period(written: object) -> float | None:
    """Seconds of a setting of PostgreSQL; without a unit they are seconds."""
    found = _PERIOD.fullmatch(str(written).strip("'").replace(" ", ""))
    return int(found[1]) * _SECONDS[found[2] or "s"] if found else None


@bundle_rule(
    "backup-window", "A database can be brought back as far, and as near, as is promised", level=Level.ERROR,
    source="S7.2, S7.3, S15.8",
    why="What a slip destroyed is noticed after days: by then the last backup without it must still be there, and the "
    "log from it on.",
    fix=f"Schedule base backups, archive the log (pitr) often enough for {RPO}, and keep both for as many days as "
    f"{RESTORE} says.",
    bad=STORE % ("retentionPolicy: 7d, ", CIPHERS), good=STORE % ("retentionPolicy: 30d, ", CIPHERS),
)  # fmt: skip
def backup_window(world: World) -> Iterator[Found]:
    for each in backups(world):
        database, (place, path) = each.database, each.where
        if each.has_log is False:
            yield Found(place, path[:2], "no log is archived: there is no way back to a moment")
        if each.has_base is False:
            yield Found(place, path[:2], "no base backup is scheduled to begin from")
        if each.is_bounded and each.kept is None and place is not database:
            yield Found(place, path, "retentionPolicy is not set")
        promised = database.annotations.get(RESTORE)
        if promised is not None and seconds(promised) is None:
            yield Found(database, ("metadata", "annotations", RESTORE), f"{RESTORE} is no number of days")
        wanted, lost = seconds(promised), seconds(database.annotations.get(RPO))
        if wanted is not None and each.kept is not None and each.kept < wanted:
            yield Found(place, path, f"backups reach {each.kept:g} days back, and {wanted:g} are promised ({RESTORE})")
        if lost and each.lag is not None and each.lag > lost and not is_synchronous(database):
            said = f"the log is archived every {each.lag:g} s, and at most {lost:g} s may be lost ({RPO})"
            yield Found(database, ("spec", "postgresql" if database.group == CNPG else "backup"), said)


@bundle_rule(
    "backup-encryption", "Backups are encrypted where they are kept", level=Level.WARNING, source="S7.3, S10.6",
    why="A backup is the whole database: names, documents and balances, in a bucket that more people can read than the "
    "database.",
    fix="Say so where the archive is written: encryption of data and wal, cipher-type of the repository; do not switch "
    "it off.",
    bad=STORE % ("retentionPolicy: 30d, ", ""), good=STORE % ("retentionPolicy: 30d, ", CIPHERS),
)  # fmt: skip
def backup_encryption(world: World) -> Iterator[Found]:
    for each in backups(world):
        if each.is_encrypted is False:
            place, path = each.where
            yield Found(place, path[:2] if place is each.database else ("spec", "configuration"), "nothing encrypts it")


RULES = (backup_window, backup_encryption)
