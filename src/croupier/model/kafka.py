"""Kafka as it is rendered, run by Strimzi (S2.7, S7.1), and who writes and reads which of its topics.

Field names are the keys of the platform file; ``docs/reference/platform.md`` is made from this module.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator
from pydantic_core import PydanticCustomError

from croupier.model.base import Memory, Name, Remote, Value
from croupier.model.container import Resources
from croupier.model.quantity import size

TOPIC = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$"

TopicName = Annotated[str, StringConstraints(pattern=TOPIC, max_length=200)]
"""Lower case with dashes and dots, so that the KafkaTopic bears it in its name."""
Setting = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9.]{0,99}$")]

KAFKA_PORT = 9093
REPLICAS, IN_SYNC = 3, 2
"""Copies of a partition, and how many of them have a message before it is confirmed (S7.4)."""
LOSABLE_REPLICAS, LOSABLE_IN_SYNC = 2, 1
COMPUTED = (
    "auto.create.topics.enable", "default.replication.factor", "min.insync.replicas",
    "offsets.topic.replication.factor", "replica.selector.class", "transaction.state.log.min.isr",
    "transaction.state.log.replication.factor", "unclean.leader.election.enable",
)  # fmt: skip
"""Settings of a broker by which nothing is lost, and no topic is there that nobody declares."""
_OPERATED = (
    "advertised.", "authorizer.", "broker.", "client.quota.", "controller", "cruise.control.metrics.", "host.name",
    "inter.broker.", "listener", "log.dir", "metadata.log.dir", "node.id", "password.", "port", "principal.builder.",
    "process.roles", "sasl.", "security.", "servers", "ssl.", "super.user",
)  # fmt: skip
"""How settings begin that Strimzi sets itself: it ignores what people say of them."""
FULL_SHARE = 0.85
"""Of the disks that topics may come to: a broker whose disk is full stops."""
_SEGMENTS = 4
"""Segments that a partition is kept in; one more is being written before the oldest goes."""
_LARGEST_SEGMENT = 2**30
_SMALLEST_SEGMENT = 2**20


class Topic(Value):
    """Messages of one kind, kept in order within a partition."""

    classes: tuple[Name, ...] = ()
    """Classes of data in it, of those of the store. Empty: all of them."""
    partitions: Annotated[int, Field(ge=1, le=1000)] = 12
    """At most so many pods read it at once. More can be had later, fewer cannot; and with more, what is told apart by
    a key moves."""
    cleanup: Literal["delete", "compact"] = "delete"
    """``compact``: the latest message of every key is kept for good."""
    retention_hours: Annotated[int, Field(ge=1, le=87_600)] = 168
    """How long messages are kept at most, where they are deleted."""
    partition_size: Memory = "1Gi"
    """What is kept of a partition at most, where messages are deleted: the oldest go first, read or not."""
    may_be_lost: bool = False
    """True: two copies, and a message is confirmed once one has it."""
    lag_seconds: Annotated[int, Field(ge=10, le=86_400)] = 300
    """How far a consumer may be behind before somebody is called."""

    @property
    def replicas(self) -> int:
        return LOSABLE_REPLICAS if self.may_be_lost else REPLICAS

    @property
    def in_sync(self) -> int:
        return LOSABLE_IN_SYNC if self.may_be_lost else IN_SYNC

    @property
    def segment_bytes(self) -> int:
        return max(_SMALLEST_SEGMENT, min(_LARGEST_SEGMENT, int(size(self.partition_size)) // _SEGMENTS))

    @property
    def most_bytes(self) -> int:
        """Of all its copies together, with the segments that are being written."""
        return self.partitions * self.replicas * (int(size(self.partition_size)) + self.segment_bytes)


class Controllers(Value):
    """Nodes that keep what Kafka knows of itself (KRaft), apart from those that keep messages."""

    instances: Literal[3, 5] = 3
    """A majority of them is needed."""
    size: Memory = "20Gi"
    """Of the volume of each."""
    resources: Resources = Resources(cpu="500m", memory="2Gi")
    """Of each."""


class CruiseControl(Value):
    """Moves partitions when brokers come and go. Without it, new brokers get only new topics."""

    resources: Resources = Resources(cpu="500m", memory="2Gi")


class Kafka(Value):
    """Kafka, run by Strimzi in the region of the cell. It is not copied to another region, and not backed up: what must
    outlive a region is in the database that its messages come from (S7.5)."""

    KEY: ClassVar = "kafka"
    PRODUCT: ClassVar = "Kafka"
    OPERATOR: ClassVar = "Strimzi"
    DECLARED: ClassVar = "storage"
    IS_BACKED_UP: ClassVar = False
    HAS_COPIES: ClassVar = False
    LOST_BY: ClassVar = ("topics", "leave mayBeLost out")

    storage: Name
    """Storage class, as ``stores`` of the region names it."""
    size: Memory
    """Of the volume of each broker. All topics at their largest fit, or they are refused."""
    brokers: Annotated[int, Field(ge=3, le=60)] = 3
    resources: Resources
    """Of each broker. Half of the memory becomes Java's heap, 5 GiB at most; the rest keeps recent messages."""
    controllers: Controllers = Controllers()
    topics: Annotated[dict[TopicName, Topic], Field(min_length=1)]
    """No other topic is there, and no client makes one."""
    certificate: Remote | None = None
    """Where ``tls.crt``, ``tls.key`` and ``ca.crt`` of the brokers are in the secret store of the region. Pods find
    ``ca.crt`` below ``/secrets/<store>-ca/``. None: Strimzi makes its own authority, and somebody else brings
    ``ca.crt`` of the Secret ``<store>-cluster-ca-cert`` to the pods."""
    cruise_control: CruiseControl | None = None
    """None: partitions stay where they are."""
    parameters: Annotated[dict[Setting, str], Field(default_factory=dict)]
    """Of every broker, beside those by which nothing is lost and those that Strimzi sets."""

    @field_validator("parameters")
    @classmethod
    def _computed_is_not_given(cls, parameters: dict[str, str]) -> dict[str, str]:
        for name in parameters:
            if name in COMPUTED:
                raise PydanticCustomError("parameter", f"{name} is croupier's choice", {"at": name})
            if name.startswith(_OPERATED):
                raise PydanticCustomError("parameter", f"{name} is set by Strimzi", {"at": name})
        return parameters

    @model_validator(mode="after")
    def _topics_fit(self) -> Self:
        most, held = sum(each.most_bytes for each in self.topics.values()), self.brokers * int(size(self.size))
        if most > held * FULL_SHARE:
            largest = max(self.topics, key=lambda name: (self.topics[name].most_bytes, name))
            message = (
                f"topics come to {_gibibytes(most)}, most of it {largest}; {self.brokers} × {self.size} take "
                f"{_gibibytes(int(held * FULL_SHARE))} before they are too full"
            )
            raise PydanticCustomError("size", message, {"at": "size"})
        return self

    @property
    def pods(self) -> int:
        """Those that hold messages."""
        return self.brokers

    @property
    def is_cache(self) -> bool:
        return False

    @property
    def credentials(self) -> tuple[str, ...]:
        """Keys of what a user reads in the secret store."""
        return ("password",)

    @property
    def may_be_lost(self) -> str:
        """Nothing of it as a whole; a topic says that of itself."""
        return ""

    @property
    def losable(self) -> str | None:
        """The first topic that may be lost."""
        return next((name for name, each in self.topics.items() if each.may_be_lost), None)


class Access(Value):
    """What a service does with topics of a store of Kafka. Nothing else is allowed to it."""

    produces: tuple[TopicName, ...] = ()
    """Topics that it writes, also in transactions whose identifier begins with its name and a dot."""
    consumes: tuple[TopicName, ...] = ()
    """Topics that it reads, as the consumer group called like it, or its name, a dot and more."""
    produce_rate: Memory = "10Mi"
    """Bytes a second that it writes to each broker; with more it is slowed down, not refused."""
    consume_rate: Memory = "50Mi"
    """Bytes a second that it reads from each broker."""

    @property
    def topics(self) -> tuple[str, ...]:
        """All that it has to do with, by name."""
        return tuple(sorted({*self.produces, *self.consumes}))


def _gibibytes(amount: int) -> str:
    return f"{amount / 2**30:.4g}Gi"
