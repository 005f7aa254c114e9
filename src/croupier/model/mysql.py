"""MySQL as a service asks for it (S7), run by Percona's operator for XtraDB Cluster: nodes that certify every write.

Field names are the keys of the platform file; ``docs/reference/platform.md`` is made from this module.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator
from pydantic_core import PydanticCustomError

from croupier.model.base import Cron, Memory, Name, Remote, Value
from croupier.model.connections import Demand, max_connections, total
from croupier.model.container import Image, Resources
from croupier.model.cron import most_runs
from croupier.model.quantity import size

Variable = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,63}$")]
Setting = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_./:,+-]([A-Za-z0-9_./:,+ -]{0,198}[A-Za-z0-9_./:,+-])?$")
]
"""Of one line, and without what the operator or MySQL would read as more than a value."""

MYSQL_PORT = 3306
PROXY_CONNECTIONS = 2000
"""What an instance of HAProxy takes: the image allows 2048, and some are the operator's and Prometheus'."""
RTO_SECONDS = 120
"""From the loss of the node that is written to, to the next commit. The others wait 15 s at most before they go on
without it; HAProxy asks each node every 10 s, waits 10 s for an answer, and goes elsewhere after two that it did not
like; and Kubernetes takes up to 55 s to see that a machine is gone, and an instance of HAProxy with it."""
SYSTEM_USERS = ("monitor", "operator", "proxyadmin", "replication", "root", "xtrabackup")
"""Whom the operator and what it runs log in as."""
COMPUTED = ("innodb_buffer_pool_chunk_size", "innodb_buffer_pool_size", "max_connections")
"""Variables that follow from the rest."""
DURABLE = ("innodb_doublewrite", "innodb_flush_log_at_trx_commit", "sync_binlog")
"""Variables that lose what was confirmed, or corrupt it, when they are not what they are here."""
_OPERATED = (
    "admin_", "authentication_policy", "auto_increment_", "bind_address", "binlog_format", "datadir",
    "default_authentication_plugin", "default_storage_engine", "early_plugin_load", "enforce_gtid_consistency",
    "gtid_mode", "init_file", "innodb_autoinc_lock_mode", "keyring_", "log_bin", "log_error", "log_replica_updates",
    "log_slave_updates", "plugin_load", "port", "proxy_protocol_networks", "pxc_", "read_only",
    "require_secure_transport", "server_id", "skip_", "socket", "ssl_", "super_read_only", "tls_", "wsrep_",
)  # fmt: skip
"""How variables begin that the operator, its images or this renderer set, and with another value break."""
_BINLOG_SECONDS = 7 * 86_400
"""How long a node keeps its own log of changes, unless ``parameters`` say otherwise."""
_LEAST_MEMORY = 2**30
"""Bytes. Of less, the group's own buffers leave nothing for data."""
_GIBIBYTE, _CHUNK = 2**30, 128 * 2**20
_YEARS = 5 * 366
"""Days within which any schedule comes that ever does."""


class Mysql(Value):
    """MySQL, run by Percona's operator for XtraDB Cluster in the region of the cell. It is backed up, and has no copy
    in another region: between regions there is no network that Galera or its asynchronous channels could use."""

    KEY: ClassVar = "mysql"
    PRODUCT: ClassVar = "MySQL"
    OPERATOR: ClassVar = "Percona's operator for XtraDB Cluster"
    DECLARED: ClassVar = "storage"
    IS_BACKED_UP: ClassVar = True
    HAS_COPIES: ClassVar = False
    LOST_BY: ClassVar = ("instances", "leave it as it is")

    storage: Name
    """Storage class, as ``stores`` of the region names it."""
    size: Memory
    """Of the volume of each node: data, and the log of changes of a week."""
    instances: Literal[3, 5] = 3
    """Nodes. A write is confirmed when all of them have received it; a majority goes on without the others. One of them
    is written to at a time, the others take its place."""
    resources: Resources
    """Of each node. Three fifths of the memory become the buffer pool."""
    image: Image | None = None
    """None: that of the region."""
    proxies: Annotated[int, Field(ge=2, le=20)] = 2
    """Instances of HAProxy, by which pods reach the node that is written to. Each takes 2000 connections, and all have
    to fit with one away."""
    proxy_resources: Resources = Resources(cpu="100m", memory="256Mi")
    """Of each instance of HAProxy."""
    region_rpo_seconds: Annotated[int, Field(ge=10, le=86_400)] = 300
    """What may be lost with the region: the log of changes is brought to the object store twice as often. With a
    machine or a zone nothing is lost."""
    backup_schedule: Cron = "0 2 * * *"
    """When a whole copy is taken (S7.3); the log is archived all the time."""
    pitr_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """How far back any moment can be restored (S7.2): so many whole copies are kept. The log of changes stays until the
    object store's own rules take it away: the operator deletes none of it."""
    certificate: Remote | None = None
    """Where ``tls.crt``, ``tls.key`` and ``ca.crt`` of the nodes are in the secret store of the region. Pods find
    ``ca.crt`` below ``/secrets/<store>-ca/``. None: the operator makes its own authority, and somebody else brings
    ``ca.crt`` of the Secret ``<store>-ssl-internal`` to the pods."""
    system: Remote | None = None
    """Where the passwords of ``root``, ``operator``, ``monitor``, ``xtrabackup``, ``replication`` and ``proxyadmin``
    are in the secret store. A backup holds them, so that it can be restored elsewhere only by who has them. None: the
    operator makes them, and they are in the Secret ``<store>-secrets`` alone."""
    most_connections: Annotated[int, Field(ge=20, le=20_000)] = 1000
    """What max_connections may come to: it is computed from who connects."""
    parameters: Annotated[dict[Variable, Setting], Field(default_factory=dict)]
    """Variables of mysqld, beside those that are computed, those that the operator sets, and those by which nothing is
    lost."""

    @field_validator("parameters")
    @classmethod
    def _computed_is_not_given(cls, parameters: dict[str, str]) -> dict[str, str]:
        for name in parameters:
            if name in COMPUTED:
                raise PydanticCustomError("parameter", f"{name} is computed", {"at": name})
            if name in DURABLE:
                message = f"{name} stays as it is: otherwise a crash loses data"
                raise PydanticCustomError("parameter", message, {"at": name})
            if name.startswith(_OPERATED):
                raise PydanticCustomError("parameter", f"{name} is set by the operator", {"at": name})
        return parameters

    @field_validator("resources")
    @classmethod
    def _memory_is_enough_to_start(cls, resources: Resources) -> Resources:
        if size(resources.memory) < _LEAST_MEMORY:
            message = f"with {resources.memory} of memory a node of MySQL has none for data"
            raise PydanticCustomError("resources", message, {"at": "memory"})
        return resources

    @model_validator(mode="after")
    def _it_is_backed_up_at_times(self) -> Self:
        if not most_runs(self.backup_schedule, _YEARS):
            raise PydanticCustomError("schedule", f"{self.backup_schedule} never comes", {"at": "backupSchedule"})
        return self

    @property
    def pods(self) -> int:
        """Those that hold data."""
        return self.instances

    @property
    def is_cache(self) -> bool:
        return False

    @property
    def credentials(self) -> tuple[str, ...]:
        """Keys of what a user reads in the secret store."""
        return ("password", "username")

    @property
    def may_be_lost(self) -> str:
        """Nothing of it with a machine: every member of the group has received a write before it is confirmed."""
        return ""

    @property
    def archive_seconds(self) -> int:
        """How often the log is brought away: half of what may be lost, because it has to get there, too."""
        return max(5, self.region_rpo_seconds // 2)

    @property
    def backups_kept(self) -> int:
        """Whole copies by which every moment of ``pitr_days`` has one before it, whenever they were taken."""
        return most_runs(self.backup_schedule, self.pitr_days + 1) + 1

    @property
    def variables(self) -> dict[str, str]:
        """Of mysqld, but for ``max_connections``, by name."""
        most = int(size(self.resources.memory)) * 3 // 5
        step = _GIBIBYTE if most >= _GIBIBYTE else _CHUNK
        said = {
            "binlog_expire_logs_seconds": str(_BINLOG_SECONDS),
            **self.parameters,
            "innodb_buffer_pool_size": str(most // step * step),
            "innodb_flush_log_at_trx_commit": "1",
            "require_secure_transport": "ON",
            "sync_binlog": "1",
        }
        return dict(sorted(said.items()))

    def used(self, users: Iterable[Demand]) -> int:
        """Connections that it has to take from pods of ``users``."""
        return total(users)

    def max_connections(self, users: Iterable[Demand]) -> int:
        return max_connections(self.used(users))
