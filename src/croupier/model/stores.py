"""What stores of a region stand on: storage, object storage, keys, operators.

Field names are the keys of the platform file; ``docs/reference/platform.md`` is made from this module.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, StringConstraints, field_validator

from croupier.model.address import Cidr, Endpoint, networks
from croupier.model.base import KmsKey, LabelKey, Name, Remote, Value
from croupier.model.container import Image
from croupier.model.kafka import Kafka
from croupier.model.mysql import Mysql
from croupier.model.postgres import Postgres, PostgresImage
from croupier.model.redis import Redis
from croupier.model.release_policy import Port

AwsRegion = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Bucket = Annotated[str, StringConstraints(pattern=r"^s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[A-Za-z0-9._-]+)*$")]
KafkaVersion = Annotated[str, StringConstraints(pattern=r"^[4-9]\.[0-9]+\.[0-9]+$")]
Provisioner = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9./-]{0,251}$")]


class StorageClass(Value):
    """Volumes of one kind (S2.6, S7.7)."""

    purpose: Literal["replicated", "fast", "local"]
    """``replicated``: the volume outlives a machine. ``fast``: many operations a second. ``local``: a disk in the
    machine, lost with it; stores on it replicate themselves and lose nothing (S7.8)."""
    provisioner: Provisioner | None = None
    """The driver that makes volumes. None: the StorageClass is there already, and not rendered."""
    parameters: Annotated[dict[str, str], Field(default_factory=dict)]
    """As the driver takes them."""
    pool: Name | None = None
    """Node pool of the region that stores with it run on. None: where there is room."""


class ObjectStore(Value):
    """Where backups of a region are kept: anything that speaks S3."""

    bucket: Bucket
    """``s3://name``, or a folder in it. Each cell has its own folder there."""
    endpoint: Endpoint | None = None
    """None: the one of AWS."""
    region: AwsRegion | None = None
    """What the object store calls its region, like ``eu-north-1``. None: whoever asks finds out, which MySQL's backups
    to AWS do not."""
    key: KmsKey | None = None
    """The key that the bucket by itself encrypts with what comes without one (its default encryption). None: the object
    store's own."""
    credentials: Remote | None = None
    """Where ``accessKeyId`` and ``secretAccessKey`` are in the secret store. None: by the role that
    ``serviceAccountAnnotations`` name."""
    service_account_annotations: Annotated[dict[LabelKey, str], Field(default_factory=dict)]
    """Of the ServiceAccount that stores run as, like ``eks.amazonaws.com/role-arn``."""


class PostgresOperator(Value):
    """CloudNativePG, with its plugin for Barman Cloud."""

    image: PostgresImage
    """What databases run unless they say otherwise."""
    namespace: Name = "cnpg-system"
    """Where the operator runs."""


class MysqlOperator(Value):
    """Percona's operator for XtraDB Cluster 1.18. All images are said here, so that none of its own choice runs."""

    image: Image
    """Percona XtraDB Cluster 8.0, which databases run unless they say otherwise."""
    proxy_image: Image
    """Percona's of HAProxy."""
    backup_image: Image
    """Percona's of XtraBackup, of the same version of MySQL."""
    operator_image: Image
    """The operator's own, 1.18.0: pods take their scripts from it."""
    exporter: Image | None = None
    """mysqld_exporter 0.15 or newer, which counts what nodes do. None: nobody does."""
    namespace: Name = "pxc-operator"
    """Where the operator runs; it has to watch the namespaces of stores."""


class RedisOperator(Value):
    """redis-operator, with its feature ``GenerateConfigInInitContainer``."""

    image: Image
    """What stores run unless they say otherwise: Redis 7 or newer."""
    exporter: Image | None = None
    """redis_exporter, which counts what instances do. None: nobody does."""
    namespace: Name = "redis-operator"
    """Where the operator runs."""


class KafkaOperator(Value):
    """Strimzi. All images are said here, so that none of its own choice runs."""

    version: KafkaVersion
    """Of Kafka, like ``4.2.0``: one that the operator knows. A higher one is rolled out broker by broker."""
    image: Image
    """Strimzi's of Kafka, of that version."""
    operator_image: Image
    """Strimzi's of the operator, for what makes topics and users, and tells nodes their zone."""
    namespace: Name = "strimzi"
    """Where the operator runs."""
    keda_namespace: Name = "keda"
    """Where KEDA runs: a scaler that refers to a store asks the brokers from there."""


class Stores(Value):
    """What databases, caches and queues of a region stand on (S2.7, S7). Operators are installed by other means."""

    api_servers: Annotated[tuple[Cidr, ...], Field(min_length=1, max_length=16)]
    """Addresses of the API server: database pods ask it who is the primary, and may reach nothing else."""
    api_port: Port = 6443
    storage: Annotated[dict[Name, StorageClass], Field(default_factory=dict)]
    """Storage classes by name."""
    object_store: ObjectStore | None = None
    """None: no backups can be kept there."""
    kms_key: KmsKey | None = None
    """The key that backups with ``keys`` there are encrypted with (S5.5). None: with the object store's own."""
    postgres: PostgresOperator | None = None
    """None: no PostgreSQL can be run there."""
    mysql: MysqlOperator | None = None
    """None: no MySQL can be run there."""
    redis: RedisOperator | None = None
    """None: no Redis can be run there."""
    kafka: KafkaOperator | None = None
    """None: no Kafka can be run there."""

    @property
    def operators(self) -> dict[str, PostgresOperator | MysqlOperator | RedisOperator | KafkaOperator]:
        """Key of an engine -> what runs it there."""
        every: dict[str, PostgresOperator | MysqlOperator | RedisOperator | KafkaOperator | None]
        every = {Postgres.KEY: self.postgres, Mysql.KEY: self.mysql, Redis.KEY: self.redis, Kafka.KEY: self.kafka}
        return {key: each for key, each in every.items() if each is not None}

    @field_validator("api_servers")
    @classmethod
    def _ranges_are_of_addresses(cls, ranges: tuple[str, ...]) -> tuple[str, ...]:
        return networks(ranges)
