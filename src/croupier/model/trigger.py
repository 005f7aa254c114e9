"""What pods are scaled by, as KEDA asks it (S6.2): queues, and here what counts requests, too (``interceptor``).

Field names are the keys of the platform file.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from croupier.model.base import Name, Value
from croupier.model.interceptor import Http

Word = Annotated[str, StringConstraints(pattern=r"^[^\s{}]{1,200}$")]
Address = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?:[0-9]{1,5}$")]
Url = Annotated[str, StringConstraints(pattern=r"^https?://[^\s@{}]{1,500}$")]
Amount = Annotated[int, Field(ge=1, le=1_000_000_000)]


class SecretItem(Value):
    """One key of a Secret."""

    secret: Name
    key: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-][A-Za-z0-9._-]{0,252}$")]


class _Queue(Value):
    credentials: Annotated[dict[Word, SecretItem], Field(default_factory=dict, max_length=16)]
    """Parameter of KEDA's scaler, like ``password`` -> where it stands. Never in the file itself."""


class KafkaLag(_Queue):
    """Messages that a consumer group has not read yet."""

    kind: Literal["kafka"]
    servers: Annotated[tuple[Address, ...], Field(max_length=16)] = ()
    """Empty: those of ``store``."""
    store: Name | None = None
    """A store of Kafka that is rendered, which the service uses: KEDA asks it as the service. None: ``servers``."""
    topic: Word
    group: Word | None = None
    """None with ``store``: the one that is called like the service."""
    lag: Amount
    """Messages a pod."""

    @model_validator(mode="after")
    def _asks_one_kafka(self) -> Self:
        if (self.store is None) == (not self.servers):
            raise PydanticCustomError("trigger", "give servers, or a store that is rendered, and not both")
        if self.store is None and self.group is None:
            raise PydanticCustomError("trigger", "servers need group: whose messages are counted")
        return self


class RabbitMq(_Queue):
    """Messages that wait in a queue. ``credentials`` must hold ``host``: the address with its password."""

    kind: Literal["rabbitmq"]
    queue: Word
    length: Amount
    """Messages a pod."""

    @model_validator(mode="after")
    def _has_a_host(self) -> Self:
        if "host" not in self.credentials:
            raise PydanticCustomError("trigger", "credentials need host: the address of RabbitMQ with its password")
        return self


class RedisList(_Queue):
    """Entries of a list."""

    kind: Literal["redis"]
    address: Address
    list: Word
    length: Amount
    """Entries a pod."""


class Prometheus(_Queue):
    """What a Prometheus answers, like HTTP requests that wait at the gateway."""

    kind: Literal["prometheus"]
    url: Url
    query: Annotated[str, StringConstraints(min_length=1, max_length=2000)]
    """Of one number: the sum over all pods."""
    average: Annotated[float, Field(ge=0.001, le=1e12)]
    """A pod."""


Trigger = Annotated[KafkaLag | RabbitMq | RedisList | Prometheus | Http, Field(discriminator="kind")]
