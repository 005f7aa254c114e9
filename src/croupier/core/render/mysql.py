"""MySQL by Percona's operator for XtraDB Cluster 1.18 (pxc.percona.com/v1): Galera behind HAProxy (S7.1 to S7.4).

A write is confirmed when every member of the group has received it, so that none is lost with a machine. What the
images set otherwise is set here: they flush the log of a transaction once a second, and take clients without TLS.

Root file systems of its pods are written to, because its scripts change the configuration in the image; else they run
as Pod Security ``restricted`` asks. Its binary log goes to the object store without the name of a key: a key is the
bucket's own (``objectStore.key``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from croupier.core.render.mysql_doors import doors
from croupier.core.render.mysql_parts import (
    COLLECTOR,
    COLLECTOR_PORT,
    EXPORTER,
    EXPORTER_PORT,
    NODES,
    PROXIES,
    labels_of,
)
from croupier.core.render.mysql_watch import COPIED, store_rules
from croupier.core.render.names import priority_class
from croupier.core.render.placement import placement
from croupier.core.render.pods import hardened, resources_of
from croupier.core.render.store import (
    KEPT,
    MONITORING,
    Bucket,
    Home,
    buckets,
    external_secret,
    pod_monitors,
    secret_of,
    zones,
)
from croupier.model.container import Resources
from croupier.model.mysql import MYSQL_PORT, RTO_SECONDS, SYSTEM_USERS, Mysql
from croupier.model.objects import JsonObject
from croupier.model.store import Store, role_of
from croupier.model.stores import MysqlOperator

API = "pxc.percona.com/v1"
_VERSION = "1.18.0"
"""How the operator makes pods: a newer one goes on in this way until this is raised."""
_USER = 1001
"""Of all its images."""
_CONTAINER = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "privileged": False}
_BACKUPS, _LOG = "backups", "log"
"""Storages: each a folder, so that rules of the object store may take them away at different times."""
_SCRIPTS = resources_of(Resources(cpu="50m", memory="64Mi"))
_BACKUP = resources_of(Resources(cpu="500m", memory="512Mi", memory_limit="1Gi"))
_COLLECTOR = resources_of(Resources(cpu="100m", memory="256Mi", memory_limit="512Mi"))
_EXPORTER = resources_of(Resources(cpu="20m", memory="64Mi"))
_SOCKET, _CLIENT = "/run/mysqld", "/etc/mysqld-exporter"
_SHARED_GRANTS = ["SELECT", "INSERT", "UPDATE", "DELETE"]
"""Of who shares a database: its rows, and nothing of its tables."""


def database(home: Home, store: Store[Mysql]) -> list[JsonObject]:
    """All that one database is in its region."""
    account = home.made(store, "v1", "ServiceAccount", store.name, {})
    del account["spec"]
    return [
        {**account, "automountServiceAccountToken": False},
        *_secrets(home, store),
        *_client(home, store),
        _cluster(home, store),
        *doors(home, store),
        *_monitors(home, store),
    ]


def told(store: Store[Mysql], service: str, namespace: str) -> dict[str, str]:
    """End of a variable -> what pods are told by it."""
    return {
        "HOST": f"{store.name}-{PROXIES}.{namespace}",
        "PORT": str(MYSQL_PORT),
        "DATABASE": store.role,
        "POOL_SIZE": str(store.shares[service].connections),
    }


def reached(store: Store[Mysql]) -> Iterator[tuple[Mapping[str, str], Sequence[int]]]:
    """Labels of the pods that users connect to, and by which ports."""
    yield labels_of(store.name, PROXIES), [MYSQL_PORT]


def _operator(home: Home) -> MysqlOperator:
    operator = home.stands.mysql
    assert operator is not None, "check refuses a region that runs no MySQL"
    return operator


def _bucket(home: Home, store: Store[Mysql]) -> Bucket:
    first, _ = buckets(home.placed, store.use)
    return first


def _secrets(home: Home, store: Store[Mysql]) -> list[JsonObject]:
    """Passwords of all users, certificates, and keys of the object store under the names that the operator reads."""
    made = [
        each
        for service in home.placed.services
        if service.name in store.users and (remote := service.data[store.name].credentials)
        for each in external_secret(
            home, store, store.secret(service.name), remote, keys=("password", "username"), template={}
        )
    ]
    if remote := store.engine.system:
        made += external_secret(home, store, f"{store.name}-secrets", remote, keys=SYSTEM_USERS, template={})
    if remote := store.engine.certificate:
        keys, template = ("ca.crt", "tls.crt", "tls.key"), {"type": "kubernetes.io/tls"}
        made += external_secret(home, store, _certificate(store), remote, keys=keys, template=template)
    if remote := _bucket(home, store).held.credentials:
        entries = {"AWS_ACCESS_KEY_ID": "accessKeyId", "AWS_SECRET_ACCESS_KEY": "secretAccessKey"}
        asked = {key: (remote, its) for key, its in entries.items()}
        made += secret_of(home, store, f"{store.name}-object-store", asked, {})
    return made


def _certificate(store: Store[Mysql]) -> str:
    return f"{store.name}-tls"


def _client(home: Home, store: Store[Mysql]) -> list[JsonObject]:
    """How the exporter reaches the node beside it: by its socket, where no TLS is asked for. Its password is in the
    environment."""
    if _operator(home).exporter is None:
        return []
    made = home.made(store, "v1", "ConfigMap", f"{store.name}-{EXPORTER}", {})
    del made["spec"]
    return [
        {**made, "immutable": True, "data": {"my.cnf": f"[client]\nuser = monitor\nsocket = {_SOCKET}/mysql.sock\n"}}
    ]


def _cluster(home: Home, store: Store[Mysql]) -> JsonObject:
    mysql, operator = store.engine, _operator(home)
    spec: JsonObject = {
        "crVersion": _VERSION,
        "updateStrategy": "SmartUpdate",
        "upgradeOptions": {"apply": "disabled"},  # which version runs is said by images, and nobody is asked for news
        "secretsName": f"{store.name}-secrets",
        "tls": {"enabled": True},
        **(
            {key: _certificate(store) for key in ("sslSecretName", "sslInternalSecretName")}
            if mysql.certificate
            else {}
        ),
        "initContainer": {
            "image": operator.operator_image,
            "resources": _SCRIPTS,
            "containerSecurityContext": dict(_CONTAINER),
        },
        "pxc": _nodes(home, store),
        "haproxy": _proxies(home, store),
        "backup": _backup(home, store),
        "users": [_user(store, name) for name in sorted(store.users)],
    }
    promised = {"restore-days": mysql.pitr_days, "rpo-seconds": 0, "rto-seconds": RTO_SECONDS}
    said = {f"croupier.dev/{name}": str(value) for name, value in promised.items()}
    return home.made(store, API, "PerconaXtraDBCluster", store.name, spec, **KEPT, **said)


def _user(store: Store[Mysql], service: str) -> JsonObject:
    """The owner does as it likes with the database, and others with its rows."""
    is_owner = service == store.owner.name
    return {
        "name": store.role if is_owner else role_of(service),
        "dbs": [store.role],
        "hosts": ["%"],
        "passwordSecretRef": {"name": store.secret(service), "key": "password"},
        "grants": ["ALL PRIVILEGES"] if is_owner else list(_SHARED_GRANTS),
    }


def _pod(home: Home, store: Store[Mysql]) -> JsonObject:
    """Of nodes and of what stands before them."""
    return {
        "imagePullPolicy": "IfNotPresent",
        "labels": home.inherited(store),
        "priorityClassName": priority_class(store.owner.tier),
        "serviceAccountName": store.name,
        "affinity": {"antiAffinityTopologyKey": "kubernetes.io/hostname"},
        "podDisruptionBudget": {"maxUnavailable": 1},
        **_contexts(),
    }


def _contexts() -> JsonObject:
    pod = {
        "runAsNonRoot": True,
        "runAsUser": _USER,
        "runAsGroup": _USER,
        "fsGroup": _USER,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }
    return {"podSecurityContext": pod, "containerSecurityContext": dict(_CONTAINER)}


def _nodes(home: Home, store: Store[Mysql]) -> JsonObject:
    mysql, operator = store.engine, _operator(home)
    pool = home.stands.storage[mysql.storage].pool
    variables = {**mysql.variables, "max_connections": str(mysql.max_connections(store.users.values()))}
    lines = [f"{name} = {value}" for name, value in sorted(variables.items())]
    claim = {
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": mysql.storage,
        "resources": {"requests": {"storage": mysql.size}},
    }
    return {
        "size": mysql.instances,
        "image": mysql.image or operator.image,
        "autoRecovery": True,  # after all were down, from the one that has most
        "configuration": "".join(f"{line}\n" for line in ("[mysqld]", *lines)),
        "resources": resources_of(mysql.resources),
        "volumeSpec": {"persistentVolumeClaim": claim},
        **_pod(home, store),
        "topologySpreadConstraints": [zones(labels_of(store.name, NODES), strict=len(home.region.zones) > 1)],
        **placement(home.region.pools[pool] if pool is not None else None),
        **_exporter(store, operator.exporter),
    }


def _exporter(store: Store[Mysql], image: str | None) -> JsonObject:
    """Beside each node, by its socket; nothing where the region names no image for it."""
    if image is None:
        return {}
    password = {"secretKeyRef": {"name": f"internal-{store.name}", "key": "monitor"}}
    container = {
        "name": EXPORTER,
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "args": [f"--config.my-cnf={_CLIENT}/my.cnf", f"--web.listen-address=:{EXPORTER_PORT}"],
        "env": [{"name": "MYSQLD_EXPORTER_PASSWORD", "valueFrom": password}],
        "ports": [{"name": EXPORTER, "containerPort": EXPORTER_PORT, "protocol": "TCP"}],
        "resources": _EXPORTER,
        "securityContext": hardened(),
        "volumeMounts": [
            {"name": "tmp", "mountPath": _SOCKET},  # the node's, as the operator calls it
            {"name": EXPORTER, "mountPath": _CLIENT, "readOnly": True},
        ],
    }
    volume = {"name": EXPORTER, "configMap": {"name": f"{store.name}-{EXPORTER}"}}
    return {"sidecars": [container], "sidecarVolumes": [volume]}


def _proxies(home: Home, store: Store[Mysql]) -> JsonObject:
    """To the one node that is written to; there is no way by which a service reads what another node has not yet."""
    return {
        "enabled": True,
        "size": store.engine.proxies,
        "image": _operator(home).proxy_image,
        "exposeReplicas": {"enabled": False},
        "resources": resources_of(store.engine.proxy_resources),
        "sidecarResources": _SCRIPTS,
        **_pod(home, store),
        "topologySpreadConstraints": [zones(labels_of(store.name, PROXIES), strict=False)],
    }


def _backup(home: Home, store: Store[Mysql]) -> JsonObject:
    mysql = store.engine
    return {
        "image": _operator(home).backup_image,
        "imagePullPolicy": "IfNotPresent",
        "serviceAccountName": store.name,
        "storages": {
            name: {
                "type": "s3",
                "s3": _folder(home, store, name),
                "labels": home.inherited(store),
                "priorityClassName": priority_class(store.owner.tier),
                "resources": _BACKUP,
                **_contexts(),
            }
            for name in (_BACKUPS, _LOG)
        },
        "schedule": [
            {
                "name": "whole",
                "schedule": mysql.backup_schedule,
                "storageName": _BACKUPS,
                "retention": {"type": "count", "count": mysql.backups_kept, "deleteFromStorage": True},
            }
        ],
        "pitr": {
            "enabled": True,
            "storageName": _LOG,
            "timeBetweenUploads": mysql.archive_seconds,
            "resources": _COLLECTOR,
        },
    }


def _folder(home: Home, store: Store[Mysql], name: str) -> JsonObject:
    held = _bucket(home, store).held
    endpoint = {"endpointUrl": f"https://{held.endpoint.host}:{held.endpoint.port}"} if held.endpoint else {}
    return {
        "bucket": f"{held.bucket.removeprefix('s3://')}/{home.placed.cell.name}/{store.name}/{name}",
        "credentialsSecret": f"{store.name}-object-store",
        **({"region": held.region} if held.region else {}),
        **endpoint,
    }


def _monitors(home: Home, store: Store[Mysql]) -> list[JsonObject]:
    """Nothing where the region's Prometheus is not an operator's."""
    prometheus = home.region.prometheus
    if prometheus is None or prometheus.form != "operator":
        return []
    collector = {f"{store.name}-{COLLECTOR}": labels_of(store.name, COLLECTOR)}
    made = pod_monitors(home, store, collector, COLLECTOR_PORT, COPIED)
    if _operator(home).exporter is not None:
        made += pod_monitors(home, store, {store.name: labels_of(store.name, NODES)}, EXPORTER, COPIED)
    if groups := store_rules(home.placed, store):
        rule = home.made(store, MONITORING, "PrometheusRule", store.name, {"groups": groups})
        rule["metadata"]["labels"] |= prometheus.labels
        made.append(rule)
    return made
