"""PostgreSQL as a service asks for it (S7), run by CloudNativePG.

Field names are the keys of the platform file; ``docs/reference/platform.md`` is made from this module.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator
from pydantic_core import PydanticCustomError

from croupier.model.base import Cron, Memory, Name, Value
from croupier.model.connections import Demand, max_connections, total
from croupier.model.container import Resources
from croupier.model.quantity import size

POSTGRES_IMAGE = r"^[a-z0-9][a-z0-9._:-]*(/[a-z0-9][a-z0-9._-]*)*:[0-9]{2}[A-Za-z0-9._-]*@sha256:[0-9a-f]{64}$"

PostgresImage = Annotated[str, StringConstraints(pattern=POSTGRES_IMAGE)]
"""``registry/name:17.6@sha256:…``: the digest decides, and the operator reads the major version from the tag."""
Parameter = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_.]{0,62}$")]

COMPUTED = ("archive_timeout", "max_connections", "shared_buffers", "superuser_reserved_connections")
"""Parameters of PostgreSQL that follow from the rest."""
_OPERATED = """
allow_system_table_mods archive_cleanup_command archive_command archive_mode bonjour bonjour_name cluster_name
config_file data_directory data_sync_retry event_source external_pid_file hba_file hot_standby ident_file
jit_provider listen_addresses log_destination log_directory log_file_mode log_filename log_rotation_age
log_rotation_size log_truncate_on_rotation logging_collector pg_failover_slots.primary_dsn
pg_failover_slots.standby_slot_names port primary_conninfo primary_slot_name promote_trigger_file
recovery_end_command recovery_min_apply_delay recovery_target recovery_target_action recovery_target_inclusive
recovery_target_lsn recovery_target_name recovery_target_time recovery_target_timeline recovery_target_xid
restart_after_crash restore_command shared_preload_libraries ssl ssl_ca_file ssl_cert_file ssl_crl_file
ssl_dh_params_file ssl_ecdh_curve ssl_key_file ssl_passphrase_command ssl_passphrase_command_supports_reload
ssl_prefer_server_ciphers stats_temp_directory synchronized_standby_slots synchronous_standby_names
syslog_facility syslog_ident syslog_sequence_numbers syslog_split_messages temp_tablespaces
unix_socket_directories unix_socket_group unix_socket_permissions
"""
OPERATED = frozenset(_OPERATED.split())
"""Parameters that CloudNativePG sets itself: it refuses a cluster that names one."""
DURABLE = ("fsync", "full_page_writes")
"""Parameters that lose what was confirmed, or corrupt it, when they are off."""
_WAITING = ("on", "remote_apply")
"""Values of ``synchronous_commit`` with which a commit is on disk at a second machine."""
_LEAST_MEMORY = 4 * 2**20
"""Bytes. Of less, a quarter is no megabyte, and PostgreSQL does not start."""
POSTGRES_PORT = 5432


class Pooler(Value):
    """PgBouncer before a database (S13.7). Connections to the database are ``instances`` × ``size`` and no more,
    however many pods there are."""

    size: Annotated[int, Field(ge=1, le=1000)]
    """Connections that each instance keeps to the database."""
    instances: Annotated[int, Field(ge=2, le=30)] = 2
    mode: Literal["session", "transaction"] = "transaction"
    """``transaction``: a connection serves whoever has work. What lasts longer than a transaction needs ``session``:
    ``SET``, advisory locks of a session, ``LISTEN``."""
    resources: Resources = Resources(cpu="100m", memory="128Mi")
    """Of each instance."""


class Postgres(Value):
    """PostgreSQL, run by CloudNativePG in the region of the cell, with a copy in each of ``replicas`` and ``dr``."""

    KEY: ClassVar = "postgres"
    PRODUCT: ClassVar = "PostgreSQL"
    OPERATOR: ClassVar = "CloudNativePG"
    DECLARED: ClassVar = "storage"
    IS_BACKED_UP: ClassVar = True
    HAS_COPIES: ClassVar = True
    LOST_BY: ClassVar = ("rpoSeconds", "leave rpoSeconds out")

    storage: Name
    """Storage class, as ``stores`` of the region names it."""
    size: Memory
    """Of the volume of each instance."""
    wal_size: Memory | None = None
    """A volume of its own for the log. None: beside the data."""
    instances: Annotated[int, Field(ge=2, le=9)] = 3
    resources: Resources
    """Of each instance. A quarter of the memory becomes shared buffers."""
    image: PostgresImage | None = None
    """None: that of the region."""
    rpo_seconds: Annotated[int, Field(ge=0, le=86_400)] = 0
    """What may be lost with a machine or a zone (S7.4). 0: nothing; a commit waits for a second machine, which takes
    three instances. More: copies follow by themselves, and the log is archived this often."""
    region_rpo_seconds: Annotated[int, Field(ge=10, le=86_400)] = 300
    """What may be lost with the region: the log is archived twice as often, and copies elsewhere read it there."""
    rto_seconds: Annotated[int, Field(ge=60, le=86_400)] = 120
    """From the loss of a machine to the next commit. Where nothing may be lost, a planned switch that takes longer is
    ended by force. Kubernetes itself takes up to 55 s to see that a node is gone."""
    backup_schedule: Cron = "0 2 * * *"
    """When a whole copy is taken (S7.3); the log is archived all the time."""
    pitr_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """How far back any moment can be restored (S7.2)."""
    pooler: Pooler | None = None
    """None: pods connect to the database itself."""
    most_connections: Annotated[int, Field(ge=20, le=5000)] = 500
    """What max_connections may come to: it is computed from who connects."""
    parameters: Annotated[dict[Parameter, str], Field(default_factory=dict)]
    """Of postgresql.conf, beside those that are computed, those that CloudNativePG sets, ``fsync`` and
    ``full_page_writes``."""

    @field_validator("parameters")
    @classmethod
    def _computed_is_not_given(cls, parameters: dict[str, str]) -> dict[str, str]:
        for name in parameters:
            if name in COMPUTED:
                raise PydanticCustomError("parameter", f"{name} is computed", {"at": name})
            if name in OPERATED:
                raise PydanticCustomError("parameter", f"{name} is set by CloudNativePG", {"at": name})
            if name in DURABLE:
                raise PydanticCustomError("parameter", f"{name} stays on: without it a crash loses data", {"at": name})
        return parameters

    @field_validator("resources")
    @classmethod
    def _memory_is_enough_to_start(cls, resources: Resources) -> Resources:
        if size(resources.memory) < _LEAST_MEMORY:
            message = f"with {resources.memory} of memory PostgreSQL does not start"
            raise PydanticCustomError("resources", message, {"at": "memory"})
        return resources

    @model_validator(mode="after")
    def _quorum_survives_one(self) -> Self:
        if self.rpo_seconds == 0 and self.instances < 3:
            message = f"rpoSeconds 0 takes 3 instances: with {self.instances}, nothing is written while one is away"
            raise PydanticCustomError("instances", message)
        return self

    @model_validator(mode="after")
    def _a_commit_waits_where_nothing_may_be_lost(self) -> Self:
        waits = self.parameters.get("synchronous_commit", "on")
        if self.rpo_seconds == 0 and waits not in _WAITING:
            message = f"rpoSeconds 0 takes synchronous_commit on or remote_apply, not {waits[:40]}"
            raise PydanticCustomError("parameter", message)
        return self

    @property
    def is_synchronous(self) -> bool:
        """Whether a commit waits for a second machine."""
        return self.rpo_seconds == 0

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
        """What of it is lost with a machine, in words; "" for nothing."""
        return "" if self.is_synchronous else f"{self.rpo_seconds} s of it"

    @property
    def archive_seconds(self) -> int:
        """How often the log is archived at least: half of what may be lost, because it has to get there, too."""
        return max(5, min(self.region_rpo_seconds, self.rpo_seconds or self.region_rpo_seconds) // 2)

    def used(self, users: Iterable[Demand]) -> int:
        """Connections that it has to take from pods of ``users``, or from the pooler before it."""
        return self.pooler.instances * self.pooler.size if self.pooler else total(users)

    def max_connections(self, users: Iterable[Demand]) -> int:
        return max_connections(self.used(users))
